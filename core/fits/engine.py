"""The cutout engine: bytes in, bytes out.

FITS is big-endian in and out, so a cutout is a copy of bytes: rows of a
mapped file into the answer, beside a header in which a handful of cards
change. Nothing is decoded but the tiles of compressed images that a box
touches, and nothing is ever resampled.
"""

import math
from collections.abc import Set
from functools import partial

from imageserv.core.errors import LimitFault
from imageserv.core.request import CutoutRequest as CutoutRequest
from imageserv.core.request import Detail as Detail

from .opened import OpenImage
from .output import Cutout as Cutout
from .output import OutputHdu as OutputHdu
from .window import window


def cut(image: OpenImage, request: CutoutRequest, *, drop: Set[str] = frozenset()) -> Cutout:
    """Cut the planes of an image: HDUs of its file, or of others beside it, which come last.

    Parameters
    ----------
    image
        The image, opened.
    request
        What to cut, and which HDUs to give: with detail ``all`` those that are no planes are copied as they are; else
        only tables that hold coordinates of the planes' axes.
    drop
        Keywords that point at such HDUs: left out of all headers unless detail is ``all``.

    Raises
    ------
    NoOverlapFault
        Raised if the image has no pixel that was asked for.
    LimitFault
        Raised if the cutout has more pixels than is allowed.
    UsageFault
        Raised if a section has more ranges than the image has axes.
    UnsupportedFault
        Raised if the image has no usable WCS.
    """
    taken = window(image, request)
    plan = image.plan(request.detail, drop, as_tiles=request.as_tiles)
    tiled = [(image.holder(part.path).tiles, part.hdu) for part in plan.parts if part.as_tiles]
    if tiled:
        taken = taken.widened(tiled)
    pixels = 0
    hdus: list[OutputHdu] = []
    for hdu, template, plane, copied, path, as_tiles in plan.parts:
        if plane is not None:
            ranges = taken.of(hdu)
            pixels += math.prod([stop - start for start, stop in ranges])
            changes, added = plane.cut(ranges)
            holder = image.holder(path)
            if as_tiles:
                tiles = holder.tiles.copy(hdu, ranges)
                hdus.append(OutputHdu(template, [*changes, *tiles.changes(template)], added, tiles.read))
            else:
                hdus.append(OutputHdu(template, changes, added, partial(holder.pixels, hdu, ranges)))
        else:
            hdus.append(OutputHdu(template, (), (), partial(image.stored, hdu) if copied else _nothing))
    if pixels > image.limits.max_pixels:
        raise LimitFault(
            f"the cutout has {pixels} pixels in all its planes; at most {image.limits.max_pixels} are given at once",
            details={"limit": image.limits.max_pixels},
        )
    if plan.copied_bytes > image.limits.max_copied_bytes:
        raise LimitFault(
            f"the HDUs that are not cut have {plan.copied_bytes} bytes; at most {image.limits.max_copied_bytes} are"
            " copied: ask for the planes, or for the whole image",
            parameter="detail",
            details={"limit": image.limits.max_copied_bytes},
        )
    return Cutout(tuple(hdus), taken.requested, taken.delivered, bool(tiled))


def _nothing() -> memoryview:
    return memoryview(b"")
