"""From a stencil to the pixels that it takes of one image."""

import math

from imageserv.core.errors import NoOverlapFault, UsageFault

from .stencil import PixelBox, Stencil
from .wcs import SkyWcs

_MOST_PIXELS = 2**31
"""No image is wider than this (`imageserv.core.fits.layout`)."""

_NOISE = 1e-6
"""Pixels. A centre that is meant to be a pixel's own comes out of the WCS a last digit above or below it."""


def pixel_box(stencil: Stencil, wcs: SkyWcs) -> PixelBox:
    """Return the box of pixels that a stencil makes in an image, which may lie partly or wholly outside of it.

    A `Box` of size s takes n = max(1, round(s / scale)) pixels along an axis,
    with the scale of that axis at the centre; the first is ceil(c - n / 2),
    for the centre's pixel c counted from 0, as in astropy's `Cutout2D`.

    Raises
    ------
    NoOverlapFault
        Raised if the image's projection does not have the centre.
    UsageFault
        Raised if the box is wider than any image can be.
    """
    center = wcs.to_pixel(stencil.ra, stencil.dec)
    scales = (1.0, 1.0)
    if center is not None and stencil.unit == "deg":
        scales = wcs.scales(*center) or (0.0, 0.0)
    if center is None or not all(scales):
        raise NoOverlapFault(f"the image does not reach ra {stencil.ra:g}, dec {stencil.dec:g}")
    x_min, x_max = _span("width", center[0], stencil.width / scales[0])
    y_min, y_max = _span("height", center[1], stencil.height / scales[1])
    return PixelBox(x_min, x_max, y_min, y_max)


def _span(name: str, center: float, size: float) -> tuple[int, int]:
    if size > _MOST_PIXELS:
        raise UsageFault(
            f"{name} is {size:.3g} pixels of this image; at most {_MOST_PIXELS} can be asked", parameter=name
        )
    count = max(1, round(size))
    first = math.ceil(center - count / 2 - _NOISE)
    return first, first + count
