"""How much a job is likely to take: a guess from a few of its results, made before it runs."""

import math

from imageserv.core.record import ImageRecord
from imageserv.core.request import Detail
from imageserv.core.sky.regions import region
from imageserv.core.sky.stencil import Box, Section, Stencil

_HEADER = 8_640
"""Bytes of a plane's header, with what fills the last blocks."""

_LEAST_PER_PIXEL = 2
"""Bytes of a pixel, where the file has fewer: it is compressed, and few ask for cutouts that are."""

_TEXT = 200
"""Bytes of a result that says why there is no cutout."""

_PER_RESULT, _PER_ROW, _PER_IMAGE, _PER_BYTE, _PER_PACKED_BYTE = 3e-4, 2e-4, 1e-2, 3e-9, 1e-8
"""Seconds, on a machine of no great speed."""


def guess(record: ImageRecord | None, stencil: Stencil | None, detail: Detail) -> int:
    """Return how many bytes a result is likely to have."""
    if record is None:
        return _TEXT
    planes = 1 if detail == "image" else len(record.planes)
    width, height = record.shape
    wanted = _extent(stencil, record.pixel_scale)
    pixels = min(wanted[0], width) * min(wanted[1], height)
    stored = record.size / (width * height * len(record.planes))
    return int(planes * pixels * max(stored, _LEAST_PER_PIXEL)) + planes * _HEADER


def opening(record: ImageRecord | None) -> float:
    """Return how many seconds it is likely to take until an image can be cut."""
    if record is None:
        return 0.0
    packed = record.size if record.file.path.lower().endswith(".gz") else 0
    return _PER_IMAGE + packed * _PER_PACKED_BYTE


def locating(rows: int) -> float:
    """Return how many seconds it is likely to take to find the images of so many rows."""
    return rows * _PER_ROW


def cutting(size: float) -> float:
    """Return how many seconds a result of so many bytes is likely to take."""
    return _PER_RESULT + size * _PER_BYTE


def _extent(stencil: Stencil | None, scale: float | None) -> tuple[float, float]:
    """Return about how many pixels of `scale` arcsec a stencil has along x and y."""
    match stencil:
        case Section(ranges):
            spans = [math.inf if span is None else span[1] - span[0] for span in (*ranges, None, None)[:2]]
            return spans[0], spans[1]
        case Box(_, _, width, height, "pixel"):
            return width, height
        case _ if stencil is None or not scale:
            return math.inf, math.inf
        case Box(_, _, width, height):
            return width * 3600 / scale, height * 3600 / scale
        case _:
            diameter = 2 * math.degrees(region(stencil).radius) * 3600 / scale
            return diameter, diameter
