"""The celestial WCS of one image: ICRS degrees to pixels and back, every distortion included."""

import math
from collections.abc import Callable
from functools import cached_property

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from imageserv.core.fits.cards import Cards

from .caps import vector_to_degrees
from .footprint import vectors_to_degrees
from .frames import Array
from .gnomonic import Gnomonic
from .wcslib import Wcslib

_SAME = 1e-6
"""Pixels: how closely two ways to reckon agree."""

_LOOKS = (-7.0, 900.0, -400.0), (5.0, 300.0, -800.0)
"""Where two ways to reckon are compared: x and y, in pixels from the reference pixel."""


class SkyWcs:
    """The celestial axes of an image's primary WCS.

    Single places are converted in plain numbers where the projection is a tangent plane, and all else by wcslib,
    which is made when it is first asked for.

    Pixels are counted from 0 at the centre of the first one; x runs along the
    first of the two celestial axes in the file's order, whichever of
    longitude and latitude it is.

    Parameters
    ----------
    header
        Of the image, as astropy has it, or its cards, or what gives them.
    tangent_plane
        What it was when the same header was read before: then wcslib need not be asked now.

    Attributes
    ----------
    tangent_plane
        The same in plain numbers, None for other projections: wcslib agrees with it.
    axes
        The two FITS axes (counted from 0) that x and y run along.
    pixel_size
        The longer side of a pixel at the reference point (deg).
    turn
        How far away, in pixels x and y, a projection repeats itself: (0, 0) for all but the cubes.

    Raises
    ------
    UnsupportedFault
        Raised if the header has no celestial WCS that can be used; the message says why.
    """

    def __init__(
        self, header: fits.Header | Cards | Callable[[], Cards], tangent_plane: Gnomonic | None = None
    ) -> None:
        self._header = header
        if tangent_plane is None:
            found = self._wcslib.tangent_plane()
            tangent_plane = found if found is not None and _is_same(found, self._wcslib) else None
        self.tangent_plane = tangent_plane
        known = self._wcslib if tangent_plane is None else tangent_plane
        self.axes: tuple[int, int] = known.axes
        self.pixel_size: float = known.pixel_size
        self.turn: tuple[float, float] = (0.0, 0.0) if tangent_plane is not None else self._wcslib.turn

    @cached_property
    def _wcslib(self) -> Wcslib:
        return Wcslib(self._header() if callable(self._header) else self._header)

    def to_sky(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Convert pixels to ICRS degrees.

        Parameters
        ----------
        x, y : ndarray, shape (n,)
            Pixels, counted from 0.

        Returns
        -------
        ra, dec : ndarray, shape (n,)
            NaN where a pixel is off the sky.
        """
        return vectors_to_degrees(self.vectors(x, y))

    def vectors(self, x: Array, y: Array) -> Array:
        """Convert pixels to ICRS unit vectors, shape (n, 3): NaN where a pixel is off the sky."""
        return self._wcslib.vectors(x, y)

    def to_pixel(self, ra: float, dec: float) -> tuple[float, float] | None:
        """Convert a place, ICRS degrees, to pixels counted from 0.

        Returns
        -------
        tuple of float or None
            None if the projection does not have the place, as in `to_pixels`.
        """
        if self.tangent_plane is not None and (pixel := self.tangent_plane.pixel(ra, dec)) is not None:
            return pixel
        return self._wcslib.to_pixel(ra, dec)

    def to_pixels(self, vectors: Array) -> tuple[Array, Array]:
        """Convert places, ICRS unit vectors of shape (n, 3), to pixels.

        Returns
        -------
        x, y : ndarray, shape (n,)
            Pixels, counted from 0; NaN where the projection does not have the
            place. (Far from an image the iteration that inverts a distortion
            can settle on a pixel that belongs to another place: such pixels
            count as none.)
        """
        return self._wcslib.to_pixels(vectors)

    def shows(self, x: Array, y: Array, vectors: Array) -> NDArray[np.bool_]:
        """Tell which pixels, shape (n,), show these places, unit vectors of shape (n, 3); False off the sky."""
        return self._wcslib.shows(x, y, vectors)

    def scales(self, x: float, y: float) -> tuple[float, float] | None:
        """Return the size on the sky, in degrees, of a pixel's extent along x and along y; None off the sky."""
        known = self._wcslib if self.tangent_plane is None else self.tangent_plane
        return known.scales(x, y)


def _is_same(plane: Gnomonic, wcslib: Wcslib) -> bool:
    """Tell whether a tangent plane is what wcslib makes of a WCS: near and far, there and back."""
    x, y = (at + np.array(far) for at, far in zip(plane.pixel_of_reference, _LOOKS, strict=True))
    most = _SAME * math.radians(wcslib.pixel_size)
    return all(
        math.dist(plane.vector(u, v), vector) < most
        and (back := plane.pixel(*vector_to_degrees(vector))) is not None
        and math.dist(back, (u, v)) < _SAME
        for u, v, vector in zip(x.tolist(), y.tolist(), wcslib.vectors(x, y).tolist(), strict=True)
    )
