"""The floor: what a bare script needs that does nothing but the work itself.

Mapped rows are copied by numpy into a FITS file's bytes, beside headers in
which four cards are patched; the sky is looked up once, by TAN-SIP written
out in Python. It refuses nothing, checks nothing, and knows one file alone.
"""

import math
import mmap
from typing import Any

import numpy as np

from .data import Frame, Place, read_fits

_BLOCK = 2880
_CARD = 80


class Floor:
    """A file, mapped.

    Parameters
    ----------
    frame
        The file.
    planes
        How many of its planes to cut.
    fresh
        Whether each answer has memory of its own, as a real one must, or all have the same.
    """

    def __init__(self, frame: Frame, planes: int, *, fresh: bool) -> None:
        with open(frame.path, "rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        with read_fits(frame.path) as hdus:
            self._wcs = _TanSip(hdus[frame.hdus[0]].header)
            self._parts: list[tuple[bytearray, list[int], np.ndarray[Any, Any] | None]] = []
            chosen = frame.hdus[:planes]
            for index in chosen if chosen[0] == 0 else (0, *chosen):
                info = hdus[index].fileinfo()
                header = bytearray(self._map[info["hdrLoc"] : info["datLoc"]])
                plane = None
                if index in chosen:
                    facts = hdus[index].header
                    dtype = {16: ">i2", 32: ">i4", -32: ">f4"}[facts["BITPIX"]]
                    plane = np.ndarray((facts["NAXIS2"], facts["NAXIS1"]), dtype, self._map, info["datLoc"])
                    plane.max()  # touches its pages
                self._parts.append((header, _places(header) if plane is not None else [], plane))
        self._fresh = fresh
        self._kept = bytearray()

    def cut(self, place: Place) -> bytearray:
        """Return a cutout as a FITS file."""
        x, y = self._wcs.pixel(place.ra, place.dec)
        size = place.size
        left, bottom = math.ceil(x - size / 2), math.ceil(y - size / 2)
        cards = (
            b"%20d" % size,
            b"%20d" % size,
            b"%20r" % (self._wcs.crpix[0] - left),
            b"%20r" % (self._wcs.crpix[1] - bottom),
        )
        length = sum(
            len(header) + (0 if plane is None else _padded(size * size * plane.itemsize))
            for header, _, plane in self._parts
        )
        if self._fresh or len(self._kept) != length:
            self._kept = bytearray(length)
        answer, at = self._kept, 0
        for header, places, plane in self._parts:
            answer[at : at + len(header)] = header
            for offset, card in zip(places, cards, strict=False):
                answer[at + offset + 10 : at + offset + 30] = card
            at += len(header)
            if plane is not None:
                target: np.ndarray[Any, Any] = np.ndarray((size, size), plane.dtype, answer, at)
                target[...] = plane[bottom : bottom + size, left : left + size]
                at += _padded(target.nbytes)
        return answer


def _padded(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK


def _places(header: bytearray) -> list[int]:
    """Return where the cards are that a cutout changes."""
    names = [bytes(header[at : at + 8]).rstrip() for at in range(0, len(header), _CARD)]
    return [names.index(name) * _CARD for name in (b"NAXIS1", b"NAXIS2", b"CRPIX1", b"CRPIX2")]


class _TanSip:
    """From the sky to pixels (FITS WCS Paper II section 5.1.3; Shupe et al. 2005, the SIP convention)."""

    def __init__(self, header: Any) -> None:
        self.crpix = header["CRPIX1"], header["CRPIX2"]
        self._ra, self._dec = math.radians(header["CRVAL1"]), math.radians(header["CRVAL2"])
        cd = np.array([[header["CD1_1"], header["CD1_2"]], [header["CD2_1"], header["CD2_2"]]])
        self._inverse = np.linalg.inv(np.radians(cd)).ravel().tolist()
        order = header.get("A_ORDER", 0)
        self._terms = [
            (p, q, header[f"A_{p}_{q}"], header[f"B_{p}_{q}"])
            for p in range(order + 1)
            for q in range(order + 1 - p)
            if f"A_{p}_{q}" in header
        ]
        self._powers = range(order)

    def pixel(self, ra: float, dec: float) -> tuple[float, float]:
        """Return x and y, counted from 0, of ICRS degrees."""
        ra, dec = math.radians(ra) - self._ra, math.radians(dec)
        sin, cos = math.sin(dec), math.cos(dec)
        sin0, cos0 = math.sin(self._dec), math.cos(self._dec)
        depth = sin * sin0 + cos * cos0 * math.cos(ra)
        xi = cos * math.sin(ra) / depth
        eta = (sin * cos0 - cos * sin0 * math.cos(ra)) / depth
        a, b, c, d = self._inverse
        far_u, far_v = a * xi + b * eta, c * xi + d * eta
        u, v = far_u, far_v
        if self._terms:
            for _ in range(20):
                us, vs = [1.0], [1.0]
                for _ in self._powers:
                    us.append(us[-1] * u)
                    vs.append(vs[-1] * v)
                moved_u = moved_v = 0.0
                for p, q, in_u, in_v in self._terms:
                    term = us[p] * vs[q]
                    moved_u += in_u * term
                    moved_v += in_v * term
                last_u, last_v = u, v
                u, v = far_u - moved_u, far_v - moved_v
                if abs(u - last_u) + abs(v - last_v) < 1e-6:
                    break
        return u + self.crpix[0] - 1, v + self.crpix[1] - 1
