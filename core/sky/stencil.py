"""Stencils: what a client asks to cut, before any image is known."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Box:
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


Stencil = Box
"""Every kind of stencil that the engine cuts."""


@dataclass(frozen=True, slots=True)
class PixelBox:
    """Whole pixels of an image: half-open ranges, counted from 0, x along the first celestial axis."""

    x_min: int
    x_max: int
    y_min: int
    y_max: int

    @property
    def width(self) -> int:
        """Number of pixels along x, never negative."""
        return max(0, self.x_max - self.x_min)

    @property
    def height(self) -> int:
        """Number of pixels along y, never negative."""
        return max(0, self.y_max - self.y_min)

    @property
    def area(self) -> int:
        """Number of pixels."""
        return self.width * self.height

    def clip(self, *, width: int, height: int) -> "PixelBox":
        """Return what lies inside an image of that size; its `area` is 0 if nothing does.

        >>> PixelBox(x_min=-3, x_max=4, y_min=0, y_max=9).clip(width=20, height=5)
        PixelBox(x_min=0, x_max=4, y_min=0, y_max=5)
        """
        return PixelBox(
            min(max(self.x_min, 0), width),
            min(max(self.x_max, 0), width),
            min(max(self.y_min, 0), height),
            min(max(self.y_max, 0), height),
        )

    def section(self) -> str:
        """Write the box as a FITS section: ``[x1:x2,y1:y2]``, counted from 1, inclusive.

        >>> PixelBox(x_min=0, x_max=100, y_min=10, y_max=20).section()
        '[1:100,11:20]'
        """
        return f"[{self.x_min + 1}:{self.x_max},{self.y_min + 1}:{self.y_max}]"
