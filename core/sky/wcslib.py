"""The celestial WCS of one image as wcslib has it, by astropy: slow to make, right for whatever a header may say."""

import logging
import math
import re
import threading
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from astropy import units as u
from astropy.coordinates import (
    FK4,
    FK5,
    ICRS,
    BarycentricMeanEcliptic,
    BarycentricTrueEcliptic,
    BaseCoordinateFrame,
    FK4NoETerms,
    Galactic,
    GeocentricTrueEcliptic,
    Supergalactic,
    UnitSphericalRepresentation,
)
from astropy.io import fits
from astropy.wcs import WCS, Sip, Wcsprm
from astropy.wcs.utils import wcs_to_celestial_frame
from numpy.typing import NDArray

from imageserv.core.errors import UnsupportedFault
from imageserv.core.fits.cards import Cards

from .footprint import degrees_to_vectors, separation, vectors_to_degrees
from .gnomonic import Gnomonic, gnomonic

# astropy logs a line for every header with SIP terms; it says nothing that an operator can act on.
logging.getLogger("astropy").setLevel(logging.WARNING)

Array = NDArray[np.float64]

_KNOWN_FRAMES = (
    ICRS,
    FK5,
    FK4,
    FK4NoETerms,
    Galactic,
    Supergalactic,
    BarycentricMeanEcliptic,
    BarycentricTrueEcliptic,
    GeocentricTrueEcliptic,
)
"""Frames that have a fixed relation to ICRS. (wcslib also knows those of the Earth and of the planets.)"""

_LOOKUP_KEYWORDS = ("CPDIS", "CQDIS", "D2IMDIS")
"""Distortions that live in tables of their own (astropy's D2IMARR, WCSDVARR), which a cutout does not carry."""

_COUNT = re.compile(r"(NAXIS|WCSAXES[A-Z]?|[AB]P?_ORDER)$")
_MOST = 99
"""As many axes and powers as keywords such as CRPIXja and A_p_q can number. Of any more
wcslib and astropy make the square, unseen: they crash, or come to no end."""

_CTYPE = re.compile(r"CTYPE[1-9]\d*$")
_CELESTIAL = re.compile(r"(RA--|DEC-|[A-Z]LON|[A-Z]LAT|[A-Z]{2}LN|[A-Z]{2}LT)")
"""Celestial axes (FITS 4.0 section 8.3)."""

_SIP = re.compile(r"[AB]P?_(ORDER|DMAX|\d+_\d+)\s*$")
_TERM = re.compile(r"([AB])_(\d+)_(\d+)$")

_SETTLED = ("RA--", "DEC-"), ("GLON", "GLAT")
"""Celestial axes whose frame RADESYS and EQUINOX settle."""

_frames: dict[object, "tuple[BaseCoordinateFrame, Array | None]"] = {}
"""Those met, with the matrix that turns ICRS unit vectors into theirs: a survey has one for all its images."""

_MOST_FRAMES = 256

_CUBES = ("TSC", "CSC", "QSC")

_MOST_STEPS, _CLOSE = 50, 1e-7
"""How often a distortion is applied to find the pixel that it moves to a place; how near is near enough (pixels)."""

_ROUND_TRIP_PIXELS = 0.1
"""How closely a pixel must lead back to the place it was computed from: wcslib inverts CSC to some 0.03 pixel."""


class Wcslib:
    """The celestial axes of an image's primary WCS.

    Pixels and attributes are those of `imageserv.core.sky.wcs.SkyWcs`, which asks it what a tangent plane cannot tell.

    Parameters
    ----------
    header
        Of the image, as astropy has it, or its cards.

    Raises
    ------
    UnsupportedFault
        Raised if the header has no celestial WCS that can be used; the message says why.
    """

    def __init__(self, header: fits.Header | Cards) -> None:
        cards = header if isinstance(header, Cards) else Cards.of(_bytes(header))
        kinds = _kinds(tuple(cards.values))
        for keyword in kinds.lookups:
            if str(cards.values[keyword]).strip().upper() not in ("", "SIP", "NONE"):
                raise UnsupportedFault(
                    f"its WCS has a distortion by {keyword} = {cards.values[keyword]}, which is not read"
                )
        for keyword in kinds.counts:
            if cards.values[keyword] not in range(_MOST + 1):
                raise UnsupportedFault(f"it has {keyword} = {cards.values[keyword]}, not 0 to {_MOST}")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                wcs = _wcs(cards)
                if not wcs.has_celestial:
                    raise UnsupportedFault("it has no celestial WCS")
                lng, lat = int(wcs.wcs.lng), int(wcs.wcs.lat)
                self.axes: tuple[int, int] = (min(lng, lat), max(lng, lat))
                if wcs.naxis > 2:
                    wcs = wcs.sub([self.axes[0] + 1, self.axes[1] + 1])
                frame, rotation = _frame_of(wcs)
                # The first conversion makes wcslib check its parameters: what is wrong shows here, not in a request.
                wcs.wcs_pix2world([[0.0, 0.0]], 0)
                matrix = wcs.pixel_scale_matrix
                self.pixel_size = math.sqrt((matrix**2).sum(axis=0).max())
                self.turn = _turn(wcs)
        except UnsupportedFault:
            raise
        except Exception as error:  # wcslib and astropy raise nearly everything for a bad header, MemoryError included
            text = " ".join(str(error).split()) or type(error).__name__
            if "No WCS with key" in text:  # only alternate WCSs
                raise UnsupportedFault("it has no celestial WCS") from error
            raise UnsupportedFault(f"its WCS cannot be used: {text[:200]}") from error
        if not isinstance(frame, _KNOWN_FRAMES):
            raise UnsupportedFault(f"its WCS is in the frame {frame.name}, which has no fixed relation to ICRS")
        self._wcs: Any = wcs
        self._lon = int(lng > lat)  # which of the two axes longitude is
        # astropy lets other threads run while wcslib works on numbers that it has changed for its own use meanwhile.
        self._lock = threading.Lock()
        self._frame: BaseCoordinateFrame = frame
        self._rotation = rotation
        self._aligned = isinstance(frame, ICRS)
        self._values = cards.values
        self._matrix = matrix

    def tangent_plane(self) -> Gnomonic | None:
        """Return the same in plain numbers, if it is a tangent plane."""
        if self._rotation is None:
            return None
        return gnomonic(self._values, self._wcs, self._matrix, self._rotation, self.axes)

    def vectors(self, x: Array, y: Array) -> Array:
        """Convert pixels to ICRS unit vectors, shape (n, 3): NaN where a pixel is off the sky."""
        pixels = np.empty((len(x), 2))
        pixels[:, 0], pixels[:, 1] = x, y
        # The methods in C beneath astropy's own, which take ten times as long for a few places.
        with self._lock:
            world = self._wcs._all_pix2world(pixels, 0)
        return self._to_icrs(world[:, self._lon], world[:, 1 - self._lon])

    def to_pixel(self, ra: float, dec: float) -> tuple[float, float] | None:
        """Convert a place as `SkyWcs.to_pixel` does."""
        if self._aligned:
            lon, lat = np.array([ra]), np.array([dec])
        else:
            lon, lat = self._from_icrs(degrees_to_vectors([ra], [dec]))
        x, y = self._pixels(self._world(lon, lat))[0].tolist()
        return (x, y) if math.isfinite(x) else None

    def to_pixels(self, vectors: Array) -> tuple[Array, Array]:
        """Convert places as `SkyWcs.to_pixels` does.

        Far from an image the iteration that inverts a distortion can settle on a pixel that belongs to another place:
        each is followed back.
        """
        pixels = self._pixels(self._world(*self._from_icrs(vectors)))
        return pixels[:, 0], pixels[:, 1]

    def _world(self, lon: Array, lat: Array) -> Array:
        """Return degrees in the image's own frame as wcslib takes them: a column for each axis."""
        world = np.empty((len(lon), 2))
        world[:, self._lon], world[:, 1 - self._lon] = lon, lat
        return world

    def _pixels(self, world: Array) -> Array:
        """Return the pixels, shape (n, 2), of places, shape (n, 2): NaN where there are none."""
        try:
            with self._lock, np.errstate(all="ignore"):
                pixels = self._undistorted(self._wcs.wcs.s2p(world, 0)["pixcrd"])
                pixels[~np.isfinite(pixels).all(axis=1)] = np.nan
                back = self._wcs._all_pix2world(pixels, 0)
        except Exception:  # wcslib's own errors for a place that the projection lacks
            if len(world) < 2:
                return np.full(world.shape, np.nan)
            # One such place must not spoil the others.
            middle = len(world) // 2
            return np.concatenate([self._pixels(world[:middle]), self._pixels(world[middle:])])
        pixels[~(self._apart(back, world) <= _ROUND_TRIP_PIXELS * self.pixel_size)] = np.nan
        return pixels

    def _apart(self, one: Array, other: Array) -> Array:
        """Return the angles (deg) between places of shape (n, 2), by the haversine formula; NaN for NaN."""
        half = np.sin(np.radians(one - other) / 2) ** 2
        latitudes = np.cos(np.radians(one[:, 1 - self._lon])) * np.cos(np.radians(other[:, 1 - self._lon]))
        angle: Array = 2 * np.degrees(np.arcsin(np.sqrt(half[:, 1 - self._lon] + latitudes * half[:, self._lon])))
        return angle

    def _undistorted(self, focal: Array) -> Array:
        """Return the pixels, shape (n, 2), that a distortion (SIP) moves to these; not finite where there are none.

        A fixed point: the shift at a pixel is nearly that at its neighbour.
        """
        if self._wcs.sip is None:
            return focal
        pixels = focal.copy()
        for _ in range(_MOST_STEPS):
            error = self._wcs._pix2foc(pixels, 0) - focal
            pixels -= error
            if not (np.abs(error) > _CLOSE).any():  # NaN does not wait
                break
        return pixels

    def shows(self, x: Array, y: Array, vectors: Array) -> NDArray[np.bool_]:
        """Tell which pixels, shape (n,), show these places, unit vectors of shape (n, 3); False off the sky."""
        error = np.degrees(separation(self.vectors(x, y), vectors))  # NaN off the sky
        close: NDArray[np.bool_] = error <= _ROUND_TRIP_PIXELS * self.pixel_size
        return close

    def scales(self, x: float, y: float) -> tuple[float, float] | None:
        """Return the size on the sky, in degrees, of a pixel's extent along x and along y; None off the sky."""
        xs = np.array([x - 0.5, x + 0.5, x, x])
        ys = np.array([y, y, y - 0.5, y + 0.5])
        ends = self.vectors(xs, ys)
        if not np.isfinite(ends).all():
            return None
        left, right, lower, upper = ends
        along_x, along_y = math.degrees(separation(left, right)), math.degrees(separation(lower, upper))
        return (along_x, along_y) if along_x > 0 and along_y > 0 else None

    def _to_icrs(self, lon: Array, lat: Array) -> Array:
        if self._rotation is not None:
            vectors: Array = degrees_to_vectors(lon, lat) @ self._rotation
            return vectors
        return _transform(self._frame, lon, lat, ICRS())

    def _from_icrs(self, vectors: Array) -> tuple[Array, Array]:
        if self._rotation is not None:
            return vectors_to_degrees(vectors @ self._rotation.T)
        return vectors_to_degrees(_transform(ICRS(), *vectors_to_degrees(vectors), self._frame))


def _turn(wcs: Any) -> tuple[float, float]:
    """Return the pixels of a full turn of native longitude, for projections of which wcslib reads faces beyond it.

    A quadrilateralized cube (FITS WCS paper II, section 5.6) is four faces
    long, and the first may follow the last once more.
    """
    if str(wcs.wcs.ctype[0])[-3:] not in _CUBES:
        return 0.0, 0.0
    around = [360.0, 0.0] if wcs.wcs.lng < wcs.wcs.lat else [0.0, 360.0]
    x, y = np.linalg.solve(wcs.pixel_scale_matrix, around)
    return float(x), float(y)


def _bytes(header: fits.Header) -> bytes:
    text: str = header.tostring(sep="", endcard=False, padding=False)
    return text.encode("ascii", "replace")


def _wcs(cards: Cards) -> Any:
    """Return astropy's WCS; if it stumbles over an axis that is not celestial, one that takes that axis for linear."""
    try:
        return _assembled(cards) or WCS(fits.Header.fromstring(cards.block))
    except Exception:  # raised again, unless there is an axis that may be what is wrong
        header = fits.Header.fromstring(cards.block)
        others = [key for key in header if _CTYPE.match(key) and not _CELESTIAL.match(str(header[key]))]
        if not others or int(str(header.get("NAXIS", 0))) < 3:
            raise
        celestial = header.copy()
        for key in others:
            celestial.remove(key)
            celestial.remove(key.replace("TYPE", "UNIT"), ignore_missing=True)
        return WCS(celestial)


def _assembled(cards: Cards) -> Any:
    """Return what astropy makes of a header, put together from its parts: in a fifth of the time.

    None for headers that astropy reads otherwise than by the letter: with
    parameters of projections (PVi_m), some of which it takes for another
    distortion, or with SIP terms in any but the one right way.
    """
    values = cards.values
    kinds = _kinds(tuple(values))
    if kinds.has_parameters:
        return None
    sip = None
    if kinds.has_orders:
        orders = [int(values.get(f"{letter}_ORDER", 0)) for letter in "AB"]  # some write 3.0
        suffixes = [str(values.get(f"CTYPE{axis}"))[-4:] for axis in (1, 2)]
        if min(orders) < 2 or suffixes != ["-SIP", "-SIP"] or "CRPIX1" not in values or "CRPIX2" not in values:
            return None
        a, b = (
            _square([(p, q, values[keyword]) for keyword, p, q in kinds.terms[letter]], order)
            for letter, order in zip("AB", orders, strict=True)
        )
        # Without AP and BP: places are looked up by what A and B do to pixels.
        sip = Sip(a, b, None, None, (values["CRPIX1"], values["CRPIX2"]))
    linear = b"".join([cards.cards[keyword] for keyword in kinds.linear])
    try:
        parameters = Wcsprm(header=linear, relax=True)
    except Exception:  # astropy says better what is wrong
        return None
    if sip is not None and parameters.naxis != 2:
        return None
    wcs: Any = WCS(naxis=parameters.naxis, fix=False)
    wcs.wcs, wcs.sip = parameters, sip
    wcs.fix()
    wcs.wcs.set()
    return wcs


@dataclass(frozen=True, slots=True)
class _Kinds:
    """What the keywords of a WCS are.

    Attributes
    ----------
    lookups, counts
        Those that name distortions by tables, and numbers of axes and orders.
    terms
        Of A and of B of SIP: the keyword, and the powers p and q that it belongs to.
    linear
        All but those of SIP.
    has_parameters, has_orders
        Whether there are any PVi_m, and any orders of SIP.
    """

    lookups: Sequence[str]
    counts: Sequence[str]
    terms: Mapping[str, Sequence[tuple[str, int, int]]]
    linear: Sequence[str]
    has_parameters: bool
    has_orders: bool


@lru_cache(maxsize=64)  # many images of a survey have the same keywords
def _kinds(keywords: Sequence[str]) -> _Kinds:
    terms: dict[str, list[tuple[str, int, int]]] = {"A": [], "B": []}
    for keyword in keywords:
        if match := _TERM.match(keyword):
            terms[match[1]].append((keyword, int(match[2]), int(match[3])))
    return _Kinds(
        lookups=[keyword for keyword in keywords if keyword.startswith(_LOOKUP_KEYWORDS)],
        counts=[keyword for keyword in keywords if _COUNT.match(keyword)],
        terms=terms,
        linear=[keyword for keyword in keywords if not _SIP.match(keyword)],
        has_parameters=any(keyword.startswith("PV") for keyword in keywords),
        has_orders=any(keyword.endswith("_ORDER") for keyword in keywords),
    )


def _square(terms: Iterable[tuple[int, int, float]], order: int) -> Array:
    square = np.zeros((order + 1, order + 1))
    for p, q, value in terms:
        if p + q <= order:
            square[p, q] = value
    return square


def _transform(source: BaseCoordinateFrame, lon: Array, lat: Array, target: BaseCoordinateFrame) -> Array:
    """Convert degrees in one frame to unit vectors in another; NaN stays NaN."""
    good = np.isfinite(lon) & np.isfinite(lat)
    vectors = np.full((len(lon), 3), np.nan)
    if good.any():
        place = source.realize_frame(UnitSphericalRepresentation(lon[good] * u.deg, lat[good] * u.deg))
        vectors[good] = place.transform_to(target).represent_as(UnitSphericalRepresentation).to_cartesian().xyz.value.T
    return vectors


def _frame_of(wcs: Any) -> tuple[BaseCoordinateFrame, Array | None]:
    """Return the frame of celestial axes, and the matrix that turns ICRS unit vectors into it, None if none does."""
    parameters = wcs.wcs
    types = str(parameters.ctype[parameters.lng])[:4], str(parameters.ctype[parameters.lat])[:4]
    if types not in _SETTLED:
        other: Any = wcs_to_celestial_frame(wcs)
        return other, _rotation_from_icrs(other)
    key = types, parameters.radesys, str(parameters.equinox)  # as text, for nan is not itself
    found = _frames.get(key)
    if found is None:
        if len(_frames) >= _MOST_FRAMES:
            _frames.clear()
        frame: Any = wcs_to_celestial_frame(wcs)
        found = _frames[key] = frame, _rotation_from_icrs(frame)
    return found


def _rotation_from_icrs(frame: BaseCoordinateFrame) -> Array | None:
    """Return the matrix that turns ICRS unit vectors into the frame's, or None if no matrix does (FK4 has E-terms)."""
    if not isinstance(frame, _KNOWN_FRAMES):
        return None
    lon = np.array([0.0, 90.0, 0.0, 45.0, 200.0])
    lat = np.array([0.0, 0.0, 90.0, 35.0, -70.0])
    turned = _transform(ICRS(), lon, lat, frame)
    matrix: Array = turned[:3].T
    if np.abs(degrees_to_vectors(lon, lat) @ matrix.T - turned).max() > 1e-13:
        return None
    return matrix
