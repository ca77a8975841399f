"""The pixel plane of an image, beside what it shows of the sky."""

import numpy as np
from numpy.typing import NDArray

from .footprint import Vectors, separation, widest
from .wcs import SkyWcs

Array = NDArray[np.float64]

NOISE = 1e-6
"""Pixels. A place that is meant to be at the edge of a pixel comes out of the WCS a last digit before or behind it."""


class Extent:
    """How far points in the pixel plane extend.

    Parameters
    ----------
    points : ndarray, shape (n, 2), optional
        x and y.

    Attributes
    ----------
    low, high : ndarray, shape (2,)
        The lowest and the highest x and y; of no points, plus and minus infinity.
    """

    def __init__(self, points: Array | None = None) -> None:
        points = np.empty((0, 2)) if points is None else points
        self.low: Array = points.min(axis=0, initial=np.inf)
        self.high: Array = points.max(axis=0, initial=-np.inf)

    def __bool__(self) -> bool:
        """Tell whether there are points."""
        return bool(self.low[0] <= self.high[0])

    def add(self, other: "Extent") -> None:
        """Widen the extent by another."""
        self.low, self.high = np.minimum(self.low, other.low), np.maximum(self.high, other.high)

    def pixels(self) -> Array:
        """Return the whole pixels that the extent touches, shape (2, 2): half-open ranges from 0 along x and y.

        Pixel i is from i - 0.5 to i + 0.5. What has no size touches a pixel nevertheless.
        """
        first = np.floor(self.low + 0.5 + NOISE)
        last = np.maximum(np.ceil(self.high + 0.5 - NOISE), first + 1)
        return np.stack([first, last], axis=1)


class ImagePlane:
    """The pixel plane of an image, and what part of the sky the image shows.

    Parameters
    ----------
    wcs, width, height
        Of the image.

    Attributes
    ----------
    size
        Number of pixels along x and y.
    low, high : ndarray, shape (2,)
        x and y of the outer edges of the first and last pixels.
    center, radius
        A cap that holds what the image shows: unit vector of shape (3,), and rad.
    simple
        True if the image shows each place once, and has the sky everywhere,
        without a seam: as far as 9 x 9 places all over it can tell, edges
        and corners among them. They are on the sky, near the middle, ordered
        there as here, and the way back leads to each. (A projection's
        limb is convex: an image beyond it somewhere has a corner beyond it.)
    """

    def __init__(self, wcs: SkyWcs, width: int, height: int) -> None:
        self.wcs = wcs
        self.size = (width, height)
        self.low, self.high = np.array([-0.5, -0.5]), np.array([width - 0.5, height - 0.5])
        places = self.grid(8, 8)
        sky = self.sky(places)
        self.center: Vectors = sky[4, 4]
        self.radius = np.pi
        self.simple = bool(np.isfinite(sky).all()) and self._is_simple(places, sky)
        if self.simple:
            self.radius = float(separation(sky, self.center).max()) + _longest_step(sky)
        else:
            self._cover()

    def grid(self, columns: int, rows: int) -> Array:
        """Return places all over the image from edge to edge, shape (rows + 1, columns + 1, 2)."""
        x = np.linspace(self.low[0], self.high[0], columns + 1)
        y = np.linspace(self.low[1], self.high[1], rows + 1)
        return np.stack(np.meshgrid(x, y), axis=-1)

    def sky(self, places: Array) -> Vectors:
        """Return unit vectors, shape (..., 3), of places in pixels, shape (..., 2); NaN off the sky."""
        flat = places.reshape(-1, 2)
        return self.wcs.vectors(flat[:, 0], flat[:, 1]).reshape(*places.shape[:-1], 3)

    def pixels(self, vectors: Vectors, sheet: int = 0) -> Array:
        """Return pixels, shape (n, 2), of unit vectors; NaN where the projection has no such place.

        Parameters
        ----------
        sheet
            How many turns away from where the projection puts a place by itself to look for it.
        """
        places = np.stack(self.wcs.to_pixels(vectors), axis=-1)
        if sheet:
            places += sheet * np.array(self.wcs.turn)
            shown = self.wcs.shows(places[:, 0], places[:, 1], vectors)
            places = np.where(shown[:, None], places, np.nan)
        return places

    def holds(self, places: Array, margin: float) -> NDArray[np.bool_]:
        """Tell which pixels, shape (..., 2), are in the image or no farther outside than a margin; False for NaN."""
        held: NDArray[np.bool_] = np.all((places >= self.low - margin) & (places <= self.high + margin), axis=-1)
        return held

    def _is_simple(self, places: Array, sky: Vectors) -> bool:
        if separation(sky, self.center).max() > widest:
            return False
        here = sky[:-1, :-1]
        turns = np.cross(sky[:-1, 1:] - here, sky[1:, :-1] - here) @ self.center
        if not ((turns > 0).all() or (turns < 0).all()):
            return False
        back = self.pixels(sky.reshape(-1, 3)).reshape(places.shape)
        return bool((np.abs(back - places) < 0.01).all())  # NaN is not

    def _cover(self) -> None:
        """Surround what the image shows of the sky, as far as a finer grid can tell."""
        places = self.grid(32, 32)
        sky = self.sky(places)
        valid = np.isfinite(sky[..., 0])
        if not valid.any():
            self.center = np.array([1.0, 0.0, 0.0])
            return
        off_middle = np.abs(places - (self.low + self.high) / 2).max(axis=-1)
        self.center = sky[np.unravel_index(np.argmin(np.where(valid, off_middle, np.inf)), valid.shape)]
        # Beyond the last valid place there may be somewhat more than one step to the limb.
        radius = float(np.nanmax(separation(sky, self.center))) + 4 * _longest_step(sky)
        self.radius = min(radius, np.pi)


def _longest_step(sky: Vectors) -> float:
    """Return the greatest angle (rad) between neighbours in a grid, shape (n, m, 3); pi if there are none."""
    steps = np.concatenate([separation(sky[1:], sky[:-1]).ravel(), separation(sky[:, 1:], sky[:, :-1]).ravel()])
    return float(np.nanmax(steps)) if np.isfinite(steps).any() else np.pi
