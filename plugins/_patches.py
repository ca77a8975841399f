"""Cutouts across the patches of a tract of a sky map.

The patches of a tract share one grid of pixels, and overlap: each has an inner region, which is its own, and a border
that it shares with its neighbours (LSST: ``lsst.skymap``). The files do not say how wide the border is; but it is the
same for all, so that the inner regions of two neighbouring columns (or rows) meet in the middle of what they share. So:

- a pixel comes from the patch whose inner region has it;
- where that patch is missing, from another whose border has it, the first by column and row;
- what no patch has is without data: there the registry has no patch. One that it has and whose file cannot be read is
  an `UnavailableFault`: to call it a hole would be untrue.

The parent of such a cutout is the patch that the request named, or the one nearest to the place that it named. All that
was asked for is given: pixels beyond the parent have the numbers that they would have if it were larger.
"""

import re
from collections.abc import Iterable, Iterator, Sequence, Set
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from astropy.io import fits

from imageserv.core.answer import MOST_SOURCES
from imageserv.core.errors import LimitFault, NoOverlapFault
from imageserv.core.fits.engine import Cutout, CutoutRequest, cut
from imageserv.core.fits.opened import OpenImage
from imageserv.core.fits.stitch import Offset, Share, check_size, grid_offset, stitch
from imageserv.core.fits.wcscards import wcs_header
from imageserv.core.fits.window import window
from imageserv.core.neighbours import Neighbours
from imageserv.core.record import ImageRecord
from imageserv.core.sky.boxes import PixelBox, Span, pixel_box, reach
from imageserv.core.sky.caps import vector_to_degrees
from imageserv.core.sky.footprint import separation
from imageserv.core.sky.stencil import Box, Circle, Section, Shape, Stencil
from imageserv.core.sky.wcs import SkyWcs

_ALIKE = re.compile(r"MP_.+|FLUXMAG0")
"""What the bits of a mask mean, and the zero point."""

_NO_DATA = "MP_NO_DATA"
_WIDE = 90.0
"""Degrees. Wider boxes are looked for all over the sky."""

_MARGIN = 2
"""Pixels, for what a footprint and a predicted place are off."""


class _Patch(NamedTuple):
    image: OpenImage
    offset: Offset
    column: int
    row: int

    @property
    def box(self) -> PixelBox:
        """Its pixels, in the grid of the parent."""
        (x, y), (width, height) = self.offset, self.image.record.shape
        return (x, x + width), (y, y + height)


def cut_patches(image: OpenImage, request: CutoutRequest, neighbours: Neighbours, drop: Set[str]) -> Cutout:
    """Cut a patch, and go on in the others of its tract and filter where the stencil goes beyond its inner region.

    What is in the inner region is cut as without the others.

    Raises
    ------
    NoOverlapFault
        Raised if no patch has a pixel that was asked for.
    LimitFault
        Raised if the cutout has too many pixels, or too many patches.
    UnsupportedFault
        Raised if the patches do not share one grid of pixels, or do not mean the same by them.
    UnavailableFault
        Raised if a patch that the registry has cannot be read.
    UsageFault
        Raised if the tables of the file are wanted, and there are several files.
    """
    stencil = request.stencil
    if stencil is None or (isinstance(stencil, Section) and any(span is not None for span in stencil.ranges[2:])):
        return cut(image, request, drop=drop)
    grid_offset(image, image)  # is it a plane of the sky at all?
    window(image, request._replace(stencil=None))  # BAND, TIME and POL take all of it or nothing
    asked = _asked(image, stencil)
    if asked is not None:
        check_size(image, request, asked)
    own = _patch(image, (0, 0))
    patches = [own, *_others(image, neighbours, stencil, asked)]
    requested = asked
    if asked is None and not isinstance(stencil, Section | Box):
        requested, asked = _asked_of_all(image, stencil, [patch.box for patch in patches])
        check_size(image, request, asked)
    assert asked is not None
    shares = list(_shares(patches, asked))
    if not shares:
        raise NoOverlapFault(
            f"no patch of the tract has a pixel there: the request makes the box {Section(asked)} in the pixels of"
            f" {image.record.identifier}"
        )
    if all(share.image is image for share in shares) and _area(asked) == sum(_area(share.box) for share in shares):
        return cut(image, request, drop=drop)
    section = None if requested is None else Section(requested)
    return stitch(image, request, section, asked, shares, blank=_blank, alike=_ALIKE, drop=drop)


def _blank(plane: str, header: fits.Header) -> int | None:
    """Return what a mask stores where there are no data: the bit NO_DATA alone."""
    bit: Any = header.get(_NO_DATA)
    if plane != "mask" or isinstance(bit, bool) or not isinstance(bit, int):
        return None
    zero: Any = header.get("BZERO", 0)
    return int((1 << bit) - zero)


def _asked(image: OpenImage, stencil: Stencil) -> PixelBox | None:
    """Return the box of a stencil in the patch's pixels, if that does not depend on what others show."""
    match stencil:
        case Box():
            return pixel_box(stencil, image.wcs)
        case Section(ranges):
            width, height = image.record.shape
            x, y = (*ranges, None, None)[:2]
            return x or (0, width), y or (0, height)
        case _:
            try:
                found = reach(stencil, image.wcs, *image.record.shape)
            except NoOverlapFault:
                return None
            return found.requested if found.requested == found.delivered else None


def _asked_of_all(image: OpenImage, stencil: Shape, boxes: Sequence[PixelBox]) -> tuple[PixelBox | None, PixelBox]:
    """Return the box of a stencil in the pixels that all patches span together, and what of it can be given.

    Raises
    ------
    NoOverlapFault
        Raised if that is nothing.
    """
    (x0, x1), (y0, y1) = (_hull(spans) for spans in zip(*boxes, strict=True))
    header: Any = wcs_header(image.science)
    for keyword, first in (("CRPIX1", x0), ("CRPIX2", y0)):
        header[keyword] = float(header.get(keyword, 0.0)) - first
    found = reach(stencil, SkyWcs(header), x1 - x0, y1 - y0)

    def moved(box: PixelBox) -> PixelBox:
        (left, right), (low, high) = box
        return (left + x0, right + x0), (low + y0, high + y0)

    requested = None if found.requested is None else moved(found.requested)
    return requested, requested or moved(found.delivered)


def _hull(spans: Iterable[Span]) -> Span:
    firsts, lasts = zip(*spans, strict=True)
    return min(firsts), max(lasts)


def _others(image: OpenImage, neighbours: Neighbours, stencil: Stencil, asked: PixelBox | None) -> Iterator[_Patch]:
    """Yield the other patches of the tract, in the same filter, that have pixels of a stencil."""
    shape = stencil if not isinstance(stencil, Box | Section) else _around(image.wcs, asked or ((0, 1), (0, 1)))
    tract, band = image.record.data_id["tract"], image.record.data_id["filter"]
    records = [
        record
        for record in neighbours.meeting(shape)
        if (record.data_id["tract"], record.data_id["filter"]) == (tract, band)
        and record.science_id != image.record.science_id
        and (asked is None or _may_have(record, image.wcs, asked))
    ]
    if len(records) >= MOST_SOURCES:
        raise LimitFault(f"the stencil meets {len(records) + 1} patches; at most {MOST_SOURCES} are put together")
    for record in records:
        other = neighbours.open(record)
        patch = _patch(other, grid_offset(image, other))
        if asked is None or _area(_both(patch.box, asked)):
            yield patch


def _around(wcs: SkyWcs, box: PixelBox) -> Circle:
    """Return a circle on the sky that has all of a box of pixels."""
    xs, ys = (np.array([first - 0.5, (first + last - 1) / 2, last - 0.5]) for first, last in box)
    x, y = (grid.ravel() for grid in np.meshgrid(xs, ys))
    vectors = wcs.vectors(x, y)
    wide = max(last - first for first, last in box) * wcs.pixel_size > _WIDE
    if wide or not np.isfinite(vectors).all():
        return Circle(0.0, 0.0, 180.0)
    center = vectors[len(vectors) // 2]
    radius = float(np.degrees(separation(center, vectors).max())) * 1.01 + _MARGIN * wcs.pixel_size
    return Circle(*vector_to_degrees(center.tolist()), radius)


def _may_have(record: ImageRecord, wcs: SkyWcs, box: PixelBox) -> bool:
    """Tell whether a patch may have pixels of a box, before its file is opened: by where its middle is."""
    if record.footprint is None:
        return False
    middle = wcs.to_pixel(*vector_to_degrees(record.footprint.center.tolist()))
    return middle is None or all(
        first - length / 2 - _MARGIN <= at <= last + length / 2 + _MARGIN
        for at, length, (first, last) in zip(middle, record.shape, box, strict=True)
    )


def _patch(image: OpenImage, offset: Offset) -> _Patch:
    column, row = (int(part) for part in str(image.record.data_id["patch"]).split(","))
    return _Patch(image, offset, column, row)


def _shares(patches: Sequence[_Patch], asked: PixelBox) -> Iterator[Share]:
    """Yield who gives what of a box: rectangles, between the edges of all patches and of their inner regions."""
    patches = sorted(patches, key=lambda patch: (patch.column, patch.row))
    columns = _inner({patch.column for patch in patches}, [(patch.column, patch.box[0]) for patch in patches])
    rows = _inner({patch.row for patch in patches}, [(patch.row, patch.box[1]) for patch in patches])
    inner = [_both(patch.box, (columns[patch.column], rows[patch.row])) for patch in patches]
    boxes = [*inner, *(patch.box for patch in patches)]
    for y in _spans(asked[1], (box[1] for box in boxes)):
        for x in _spans(asked[0], (box[0] for box in boxes)):
            for number, box in enumerate(boxes):
                if _area(_both(box, (x, y))):
                    patch = patches[number % len(patches)]
                    yield Share(patch.image, patch.offset, (x, y))
                    break


def _inner(numbers: Set[int], spans: Sequence[tuple[int, Span]]) -> dict[int, Span]:
    """Return where the inner regions of columns, or rows, may be: between the middles of what neighbours share."""
    far = 1 << 62
    found: dict[int, Span] = {}
    hulls = {number: _hull(span for each, span in spans if each == number) for number in numbers}
    order = sorted(numbers, key=lambda number: hulls[number])
    middles = [(hulls[one][1] + hulls[two][0]) // 2 for one, two in pairwise(order)]
    for number, first, last in zip(order, [-far, *middles], [*middles, far], strict=True):
        found[number] = first, last
    return found


def _spans(whole: Span, edges: Iterable[Span]) -> Iterator[Span]:
    """Part a span at all edges that are in it."""
    cuts = {*whole, *(edge for span in edges for edge in span if whole[0] < edge < whole[1])}
    return pairwise(sorted(cuts))


def _both(one: PixelBox, other: PixelBox) -> PixelBox:
    (x0, x1), (y0, y1) = one
    (a0, a1), (b0, b1) = other
    return (max(x0, a0), min(x1, a1)), (max(y0, b0), min(y1, b1))


def _area(box: PixelBox) -> int:
    (left, right), (low, high) = box
    return max(0, right - left) * max(0, high - low)
