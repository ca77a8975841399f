"""Stencils: what a client asks to cut, before any image is known."""

from typing import Literal, NamedTuple


class Box(NamedTuple):
    """A box along an image's pixel axes, around a place on the sky.

    Attributes
    ----------
    ra, dec
        Centre, ICRS degrees.
    width, height
        Along the image's x and y axes, in `unit`.
    unit
        ``deg`` or ``pixel``.
    """

    ra: float
    dec: float
    width: float
    height: float
    unit: Literal["deg", "pixel"]


class Circle(NamedTuple):
    """All places within a distance of one place.

    Attributes
    ----------
    ra, dec
        Centre, ICRS degrees.
    radius
        0 to 180 degrees; 0 is a point.
    """

    ra: float
    dec: float
    radius: float


class Range(NamedTuple):
    """All places between two meridians and two parallels, bounds included.

    Attributes
    ----------
    west
        The first right ascension, ICRS degrees, 0 <= west < 360.
    extent
        From there eastwards, 0 to 360 degrees; 360 is all round.
    south, north
        Declinations, -90 <= south <= north <= 90 degrees.
    """

    west: float
    extent: float
    south: float
    north: float


class Polygon(NamedTuple):
    """What great circles between vertices enclose: the smaller of the two parts of the sky, whatever the winding.

    Attributes
    ----------
    vertices
        Right ascension and declination, ICRS degrees, of at least three corners; the first is not repeated.
    """

    vertices: tuple[tuple[float, float], ...]


class Section(NamedTuple):
    """Whole pixels of an array, by its own axes.

    Attributes
    ----------
    ranges
        Of each FITS axis, NAXIS1 first: a half-open range, counted from 0, which may reach beyond the
        array; None for the whole axis. Axes beyond the last range are taken whole.
    """

    ranges: tuple[tuple[int, int] | None, ...]

    def __str__(self) -> str:
        """Write it as FITS sections are written: counted from 1, inclusive.

        >>> str(Section(((0, 100), None, (10, 20))))
        '[1:100,*,11:20]'
        """
        return f"[{','.join(['*' if part is None else f'{part[0] + 1}:{part[1]}' for part in self.ranges])}]"


Shape = Circle | Range | Polygon
"""A part of the sky."""

Stencil = Box | Shape | Section
"""Every kind of stencil that the engine cuts."""

Interval = tuple[float, float]
"""Lower and upper bound, both included; either may be infinite."""
