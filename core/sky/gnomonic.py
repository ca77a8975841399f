"""TAN and TAN-SIP in plain numbers: one place at a time, in a fraction of the time that arrays of one take.

Nearly every image of a survey has this projection (FITS WCS Paper II section
5.1.3), many with the SIP distortion (Shupe et al. 2005), and nearly every
request asks for one place. Positions are unit vectors here: in the tangent
plane at the vector c, with e to the east and n to the north of it, a place p
is at p.e / p.c and p.n / p.c. There is no wrap at RA 0 and no case for the
poles, and a frame other than ICRS is a matter of turning c, e and n once.
"""

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .axis import ctypes_of

_OTHERWISE = frozenset({"PV", "DP", "DQ", "WA", "AM", "PP"})
"""How keywords begin that make another projection of TAN: parameters, distortions, IRAF's words, DSS plates."""

Vector = tuple[float, float, float]
Polynomials = tuple[tuple[tuple[float, float], ...], ...]
"""Coefficients of u^p v^q in A and in B: a row for each power of u, in each those of v, highest first."""

_MOST_STEPS, _CLOSE = 20, 1e-7
"""How often a distortion is applied to find the pixel that it moves to a place; after how short a step (pixels), of
which the next would be a thousandth, it is found."""


@dataclass(frozen=True, slots=True)
class Gnomonic:
    """A tangent plane and its pixels.

    Attributes
    ----------
    center, east, north
        Unit vectors (ICRS): the reference point, and the directions in which longitude and latitude grow there.
    pixel_of_reference
        CRPIX, counted from 0.
    to_plane
        From pixels to the plane: (xi, eta) in radians by pixels along x and y, row by row.
    to_pixels
        Its inverse.
    shift
        How far SIP shifts a pixel along x and y; None without a distortion.
    axes
        The two FITS axes (counted from 0) that x and y run along.
    """

    center: Vector
    east: Vector
    north: Vector
    pixel_of_reference: tuple[float, float]
    to_plane: tuple[float, float, float, float]
    to_pixels: tuple[float, float, float, float]
    shift: Polynomials | None
    axes: tuple[int, int]

    def to_bytes(self) -> bytes:
        """Write it for the registry: numbers as text take far longer to write, and to read."""
        plain = *self.center, *self.east, *self.north, *self.pixel_of_reference, *self.to_plane, *self.to_pixels
        terms = () if self.shift is None else [term for row in self.shift for pair in row for term in pair]
        return struct.pack(f"<2B{len(plain) + len(terms)}d", *self.axes, *plain, *terms)

    @classmethod
    def from_bytes(cls, written: bytes) -> "Gnomonic":
        """Read what `to_bytes` wrote."""
        known: Any = struct.unpack(f"<2B{len(written) // 8}d", written)
        pairs = list(zip(known[21::2], known[22::2], strict=True))
        rows: list[tuple[tuple[float, float], ...]] = []
        while pairs:
            rows.append(tuple(pairs[: len(rows) + 1]))
            del pairs[: len(rows)]
        vectors = known[2:5], known[5:8], known[8:11]
        return cls(*vectors, known[11:13], known[13:17], known[17:21], tuple(rows) or None, known[:2])

    @property
    def pixel_size(self) -> float:
        """The longer side of a pixel at the reference point (deg)."""
        a, b, c, d = self.to_plane
        return math.degrees(max(math.hypot(a, c), math.hypot(b, d)))

    def pixel(self, ra: float, dec: float) -> tuple[float, float] | None:
        """Return the pixel, counted from 0, of a place (ICRS degrees).

        Returns
        -------
        tuple of float or None
            None if the place is not on this side of the sky, or its pixel is not found within a few steps.
        """
        lon, lat = math.radians(ra), math.radians(dec)
        around = math.cos(lat)
        x, y, z = around * math.cos(lon), around * math.sin(lon), math.sin(lat)
        center, east, north = self.center, self.east, self.north
        depth = x * center[0] + y * center[1] + z * center[2]
        if depth <= 0.0:
            return None
        xi = (x * east[0] + y * east[1] + z * east[2]) / depth
        eta = (x * north[0] + y * north[1] + z * north[2]) / depth
        a, b, c, d = self.to_pixels
        u, v = a * xi + b * eta, c * xi + d * eta
        if self.shift is not None:
            far_u, far_v = u, v
            for _ in range(_MOST_STEPS):
                shift_u, shift_v = _values(self.shift, u, v)
                last_u, last_v = u, v
                u, v = far_u - shift_u, far_v - shift_v
                if abs(u - last_u) + abs(v - last_v) < _CLOSE:
                    break
            else:
                return None
        return u + self.pixel_of_reference[0], v + self.pixel_of_reference[1]

    def vector(self, x: float, y: float) -> Vector:
        """Return the unit vector (ICRS) of a pixel, counted from 0."""
        u, v = x - self.pixel_of_reference[0], y - self.pixel_of_reference[1]
        if self.shift is not None:
            shift_u, shift_v = _values(self.shift, u, v)
            u, v = u + shift_u, v + shift_v
        a, b, c, d = self.to_plane
        xi, eta = a * u + b * v, c * u + d * v
        scale = 1.0 / math.sqrt(1.0 + xi * xi + eta * eta)
        center, east, north = self.center, self.east, self.north
        return (
            scale * (center[0] + xi * east[0] + eta * north[0]),
            scale * (center[1] + xi * east[1] + eta * north[1]),
            scale * (center[2] + xi * east[2] + eta * north[2]),
        )

    def scales(self, x: float, y: float) -> tuple[float, float]:
        """Return the size on the sky (deg) of a pixel's extent along x and along y."""
        along_x = math.dist(self.vector(x - 0.5, y), self.vector(x + 0.5, y))
        return _degrees(along_x), _degrees(math.dist(self.vector(x, y - 0.5), self.vector(x, y + 0.5)))


def _degrees(chord: float) -> float:
    return math.degrees(2.0 * math.asin(min(1.0, chord / 2.0)))


def _values(polynomials: Polynomials, u: float, v: float) -> tuple[float, float]:
    """Evaluate A and B by Horner's scheme."""
    a = b = 0.0
    for row in polynomials:
        inner_a = inner_b = 0.0
        for in_a, in_b in row:
            inner_a = inner_a * v + in_a
            inner_b = inner_b * v + in_b
        a = a * u + inner_a
        b = b * u + inner_b
    return a, b


def gnomonic(
    header: Mapping[str, object],
    wcs: Any,
    matrix: NDArray[np.float64],
    rotation: NDArray[np.float64],
    axes: tuple[int, int],
) -> Gnomonic | None:
    """Read a celestial WCS of two axes.

    Parameters
    ----------
    header
        Values of the image's, by keyword. wcslib makes TAN of other projections that it knows (TPV, TNX, DSS plates),
        with distortions that it does not show, so the header itself must say TAN, and nothing of parameters.
    wcs
        astropy's, its parameters set.
    matrix : ndarray, shape (2, 2)
        Its ``pixel_scale_matrix``, degrees.
    rotation : ndarray, shape (3, 3)
        Turns ICRS unit vectors into those of the frame of the WCS.
    axes
        The FITS axes that these two are in the image.

    Returns
    -------
    Gnomonic or None
        None for another projection, or one with parameters of its own.
    """
    parameters, sip = wcs.wcs, wcs.sip
    keywords = tuple(header)
    written = [str(header[keyword]) for _, keyword in ctypes_of(keywords)]
    kinds = {ctype[5:].rstrip() for ctype in written if ctype[4:8] == "-TAN"}
    if kinds not in ({"TAN"}, {"TAN-SIP"}) or not _are_plain(keywords):
        return None
    if (
        {str(ctype)[5:8] for ctype in parameters.ctype} != {"TAN"}
        or parameters.lonpole != 180.0
        or len(parameters.get_pv())
        or wcs.naxis != 2
    ):
        return None
    if any(distortion is not None for distortion in (wcs.cpdis1, wcs.cpdis2, wcs.det2im1, wcs.det2im2)):
        return None
    if sip is not None and (sip.a is None or sip.b is None or list(sip.crpix) != list(parameters.crpix)):
        return None
    matrix = np.radians(matrix)
    a, b, c, d = (matrix if parameters.lng < parameters.lat else matrix[::-1]).ravel().tolist()
    largest = max(map(abs, (a, b, c, d)))
    if not 1e-12 < largest < 1.0 or not abs(a * d - b * c) > 1e-6 * largest**2:  # no camera's
        return None
    area = a * d - b * c
    lon, lat = (math.radians(parameters.crval[axis]) for axis in (parameters.lng, parameters.lat))
    frame = np.array(
        [
            [math.cos(lat) * math.cos(lon), math.cos(lat) * math.sin(lon), math.sin(lat)],
            [-math.sin(lon), math.cos(lon), 0.0],
            [-math.sin(lat) * math.cos(lon), -math.sin(lat) * math.sin(lon), math.cos(lat)],
        ]
    )
    center, east, north = (frame @ rotation).tolist()
    return Gnomonic(
        tuple(center),
        tuple(east),
        tuple(north),
        (float(parameters.crpix[0]) - 1.0, float(parameters.crpix[1]) - 1.0),
        (a, b, c, d),
        (d / area, -b / area, -c / area, a / area),
        None if sip is None else _polynomials(sip.a, sip.b),
        axes,
    )


@lru_cache(maxsize=64)  # many images of a survey have the same
def _are_plain(keywords: Sequence[str]) -> bool:
    return not any(keyword[:2] in _OTHERWISE for keyword in keywords)


def _polynomials(a: NDArray[np.float64], b: NDArray[np.float64]) -> Polynomials:
    """Return the coefficients of square matrices [p, q], of the higher of their two orders."""
    order = max(len(a), len(b)) - 1
    in_a, in_b = a.tolist(), b.tolist()

    def coefficient(rows: list[list[float]], p: int, q: int) -> float:
        return rows[p][q] if p + q < len(rows) else 0.0

    return tuple(
        tuple([(coefficient(in_a, p, q), coefficient(in_b, p, q)) for q in range(order - p, -1, -1)])
        for p in range(order, -1, -1)
    )
