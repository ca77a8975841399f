"""From a stencil to the pixels that it takes of one image."""

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from imageserv.core.errors import NoOverlapFault, UsageFault

from .plane import NOISE, Extent, ImagePlane
from .regions import contains, region
from .stencil import Box, Section, Shape
from .survey import seeds, survey
from .tracing import trace
from .wcs import SkyWcs

Span = tuple[int, int]
"""Pixels along an axis: a half-open range, counted from 0."""

PixelBox = tuple[Span, Span]
"""Pixels along x, the first celestial axis, and along y, the second."""

_MOST_PIXELS = 2**31
"""No image is wider than this (`imageserv.core.fits.layout`)."""

_WIDE = math.radians(5.0)
"""Stencils no wider are shown whole if their boundary is."""


class Reach(NamedTuple):
    """What a stencil takes of an image.

    Attributes
    ----------
    requested
        The box of the whole stencil in the image's pixel plane, which may lie
        beyond the image; None if the projection cannot show the whole stencil,
        in one piece and within 2**31 pixels.
    delivered
        The smallest box of pixels of the image that holds all those which the stencil touches. It is not empty.
    """

    requested: PixelBox | None
    delivered: PixelBox


def reach(stencil: Box | Shape, wcs: SkyWcs, width: int, height: int) -> Reach:
    """Find the pixels that a stencil takes of an image.

    A `Box` of size s takes n = max(1, round(s / scale)) pixels along an axis,
    with the scale of that axis at the centre; the first is ceil(c - n / 2),
    for the centre's pixel c counted from 0, as in astropy's `Cutout2D`.

    Of all other stencils, every pixel that they touch is taken: pixel i is
    from i - 0.5 to i + 0.5, and a touch of less than a millionth of a pixel
    is none, unless the stencil itself is no larger.

    Parameters
    ----------
    wcs, width, height
        Of the image.

    Raises
    ------
    NoOverlapFault
        Raised if the stencil has no pixel of the image.
    UsageFault
        Raised if a box is wider than any image can be, or successive vertices of a polygon are opposite to each other.
    """
    if isinstance(stencil, Box):
        requested = pixel_box(stencil, wcs)
        (left, right), (bottom, top) = requested
        if left >= 0 and bottom >= 0 and right <= width and top <= height:
            return Reach(requested, requested)
        delivered = ((max(left, 0), min(right, width)), (max(bottom, 0), min(top, height)))
        if any(first >= last for first, last in delivered):
            raise _no_overlap(requested, width, height)
        return Reach(requested, delivered)
    return _shape(stencil, _plane(wcs, width, height))


@lru_cache(maxsize=64)
def _plane(wcs: SkyWcs, width: int, height: int) -> ImagePlane:
    return ImagePlane(wcs, width, height)


def _no_overlap(requested: PixelBox | None, width: int, height: int) -> NoOverlapFault:
    if requested is None:
        return NoOverlapFault(f"the image of {width} x {height} pixels has no pixel there")
    return NoOverlapFault(
        f"the image has no pixel there: the request makes the box {Section(requested)} in an image of"
        f" {width} x {height} pixels"
    )


def pixel_box(stencil: Box, wcs: SkyWcs) -> PixelBox:
    """Return the pixels of a box in an image's pixel plane, perhaps beyond the image; raises what `reach` does."""
    center = wcs.to_pixel(stencil.ra, stencil.dec)
    scales = (1.0, 1.0)
    if center is not None and stencil.unit == "deg":
        scales = wcs.scales(*center) or (0.0, 0.0)
    if center is None or not all(scales):
        raise NoOverlapFault(f"the image does not reach ra {stencil.ra:g}, dec {stencil.dec:g}")
    return (
        _span("width", center[0], stencil.width / scales[0]),
        _span("height", center[1], stencil.height / scales[1]),
    )


def _span(name: str, center: float, size: float) -> Span:
    if size > _MOST_PIXELS:
        raise UsageFault(
            f"{name} is {size:.3g} pixels of this image; at most {_MOST_PIXELS} can be asked", parameter=name
        )
    count = max(1, round(size))
    first = math.ceil(center - count / 2 - NOISE)
    return first, first + count


def _shape(shape: Shape, plane: ImagePlane) -> Reach:
    """Find where the boundary runs in the image, and which of its corners are inside.

    In an image that is not simple there may be more to the stencil than that: it is searched from its pixels too.
    """
    boundary = region(shape).boundary
    line = trace(boundary, plane)
    whole = line.extent() if line.whole else Extent()
    # A stencil of no size may lie on the image's very edge; others have to come inside.
    margin = np.where(bool(whole) & (whole.high - whole.low <= 2 * NOISE), -NOISE, NOISE)
    low, high = plane.low + margin, plane.high - margin
    found = Extent()
    if whole and (whole.low >= low).all() and (whole.high <= high).all():
        found.add(whole)
    else:
        found.add(line.extent_within(low, high))
    corners = np.array([[x, y] for x in (plane.low[0], plane.high[0]) for y in (plane.low[1], plane.high[1])])
    corners = corners.clip(plane.low + 2 * NOISE, plane.high - 2 * NOISE)
    found.add(Extent(corners[contains(shape, plane.sky(corners))]))
    elsewhere = Extent()
    if line.broken or not plane.simple:
        for sheet in (-1, 1) if any(plane.wcs.turn) else ():
            elsewhere.add(trace(boundary, plane, sheet).extent_within(low, high))
        found.add(elsewhere)
        survey(shape, plane, found)

    requested = None if elsewhere else _requested(shape, plane, whole)
    if not found:
        raise _no_overlap(requested, *plane.size)
    delivered = _spans(found)
    delivered = _clip(delivered[0], plane.size[0]), _clip(delivered[1], plane.size[1])
    if requested is not None:
        # A corner of the image can be in a stencil by a digit that the trace of the boundary does not have.
        requested = _union(requested[0], delivered[0]), _union(requested[1], delivered[1])
    return Reach(requested, delivered)


def _requested(shape: Shape, plane: ImagePlane, whole: Extent) -> PixelBox | None:
    """Return the box of a boundary, if the stencil is what the boundary surrounds in the pixel plane, and not torn."""
    if not whole or max(np.abs(whole.low).max(), np.abs(whole.high).max()) > _MOST_PIXELS:
        return None
    if region(shape).radius > _WIDE:
        pixels = plane.pixels(seeds(shape))
        if not ((pixels >= whole.low - NOISE) & (pixels <= whole.high + NOISE)).all():  # NaN is not
            return None
    return _spans(whole)


def _spans(extent: Extent) -> PixelBox:
    (x_min, x_max), (y_min, y_max) = extent.pixels().tolist()
    return (int(x_min), int(x_max)), (int(y_min), int(y_max))


def _clip(span: Span, length: int) -> Span:
    """Move the ends of a range that has something of an axis onto the axis."""
    first = min(max(span[0], 0), length - 1)
    return first, min(max(span[1], first + 1), length)


def _union(one: Span, other: Span) -> Span:
    return min(one[0], other[0]), max(one[1], other[1])
