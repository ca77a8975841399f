"""The celestial WCS of one image as wcslib has it, by astropy: slow to make, right for whatever a header may say."""

import math
import threading
import warnings
from typing import Any

import numpy as np
from astropy.coordinates import ICRS, BaseCoordinateFrame
from astropy.io import fits
from numpy.typing import NDArray

from imageserv.core.errors import UnsupportedFault
from imageserv.core.fits.cards import Cards

from .footprint import degrees_to_vectors, separation, vectors_to_degrees
from .frames import Array, frame_of, is_fixed, transform
from .gnomonic import Gnomonic, gnomonic
from .wcsmaking import check_cards, make_wcs

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
        check_cards(cards)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                wcs = make_wcs(cards)
                if not wcs.has_celestial:
                    raise UnsupportedFault("it has no celestial WCS")
                lng, lat = int(wcs.wcs.lng), int(wcs.wcs.lat)
                self.axes: tuple[int, int] = (min(lng, lat), max(lng, lat))
                if wcs.naxis > 2:
                    wcs = wcs.sub([self.axes[0] + 1, self.axes[1] + 1])
                frame, rotation = frame_of(wcs)
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
        if not is_fixed(frame):
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
        return transform(self._frame, lon, lat, ICRS())

    def _from_icrs(self, vectors: Array) -> tuple[Array, Array]:
        if self._rotation is not None:
            return vectors_to_degrees(vectors @ self._rotation.T)
        return vectors_to_degrees(transform(ICRS(), *vectors_to_degrees(vectors), self._frame))


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
