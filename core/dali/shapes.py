"""Readers of shapes: what clients write of places on the sky and of pixels, to stencils.

The forms are those of DALI 1.1 section 3.3.5 to 3.3.7 (circle, polygon), SODA
1.0 section 3.3.1 (POS), and of FITS sections (SODA's PIXELS, from the 1.1
working draft). Longitudes are reduced to 0 to 360; keywords may be of any
case, as DALI 1.2 has them. Each reader raises ValueError with what would be right.
"""

import math
import re
from collections.abc import Sequence

from imageserv.core.errors import LimitFault
from imageserv.core.sky.stencil import Circle, Polygon, Range, Section, Shape

from .literals import bound, real

most_corners = 1000
"""Of a polygon: more would cost time, and say nothing that pixels can show."""

_CIRCLE = (
    "longitude, latitude and radius in degrees, such as 12.5 -3 0.1; the radius is 0 to 180, the latitude -90 to 90"
)
_POLYGON = "the longitudes and latitudes, in degrees, of at least three corners, such as 12 34 13 34 13 35"
_RANGE = (
    "two longitudes and two latitudes in degrees, such as 12 13 -1 1, the lower latitude first;"
    " the longitudes may cross 0, as in 359 1 -1 1, and a bound may be infinite"
)
_SECTION = "a FITS section, such as [1:100,51:150] or [*,51:150]: counted from 1, both ends included, the lower first"

_PART = re.compile(r"\s*(?:\*|([+-]?[0-9]{1,18})(?:\s*:\s*([+-]?[0-9]{1,18}))?)\s*")


def circle(text: str) -> Circle:
    """Read a circle: longitude, latitude, radius.

    Raises
    ------
    ValueError
        Raised if the text is not three numbers in range.
    """
    numbers = _reals(text.split(), _CIRCLE)
    if len(numbers) != 3 or not -90 <= numbers[1] <= 90 or not 0 <= numbers[2] <= 180:
        raise ValueError(f"must be {_CIRCLE}")
    return Circle(_reduced(numbers[0]), numbers[1], numbers[2])


def polygon(text: str) -> Polygon:
    """Read a polygon: a longitude and a latitude for each corner; that the first comes again at the end is no matter.

    Raises
    ------
    ValueError
        Raised if the text is not six numbers or more, an even count, in range, or if
        neighbouring corners are opposite points of the sky: no one great circle joins them.
    LimitFault
        Raised if it has more than `most_corners`.
    """
    numbers = _reals(text.split(), _POLYGON)
    corners = [(_reduced(lon), lat) for lon, lat in zip(numbers[::2], numbers[1::2], strict=False)]
    if len(corners) > 1 and corners[0] == corners[-1]:
        corners.pop()
    if len(numbers) % 2 or len(corners) < 3 or not all(-90 <= lat <= 90 for _, lat in corners):
        raise ValueError(f"must be {_POLYGON}; the latitudes are -90 to 90")
    if len(corners) > most_corners:
        raise LimitFault(f"the polygon has {len(corners)} corners; at most {most_corners} are read")
    for (lon, lat), (other_lon, other_lat) in zip(corners, [*corners[1:], corners[0]], strict=True):
        if lat == -other_lat and (abs(lat) == 90 or (lon - other_lon) % 360 == 180):
            raise ValueError("has neighbouring corners that are opposite points of the sky: no one line joins them")
    return Polygon(tuple(corners))


def shape(text: str) -> Shape:
    """Read a POS: CIRCLE, RANGE or POLYGON, and its numbers.

    Raises
    ------
    ValueError
        Raised if the text is none of these.
    """
    keyword, _, numbers = " ".join(text.split()).partition(" ")
    match keyword.upper():
        case "CIRCLE":
            return circle(numbers)
        case "POLYGON":
            return polygon(numbers)
        case "RANGE":
            return _range(numbers)
        case _:
            raise ValueError("must be CIRCLE, RANGE or POLYGON and numbers, such as CIRCLE 12.5 -3 0.1")


def section(text: str) -> Section:
    """Read a FITS section: a range, one pixel, or ``*`` for each axis, NAXIS1 first.

    Raises
    ------
    ValueError
        Raised if the text is no section, if a range is reversed, or if it has a stride or names an HDU.
    """
    inside = re.fullmatch(r"\s*\[([^\[\]]*)\]\s*", text)
    if inside is None:
        raise ValueError(f"must be {_SECTION}, without an HDU")
    ranges: list[tuple[int, int] | None] = []
    for part in inside[1].split(","):
        match = _PART.fullmatch(part)
        if match is None:
            raise ValueError(f"must be {_SECTION}; there are no strides")
        if match[1] is None:
            ranges.append(None)
            continue
        first = int(match[1])
        last = first if match[2] is None else int(match[2])
        if first > last:
            raise ValueError(f"has {part.strip()}, whose ends are reversed: it must be {_SECTION}")
        ranges.append((first - 1, last))
    return Section(tuple(ranges))


def _range(text: str) -> Range:
    parts = text.split()
    if len(parts) != 4:
        raise ValueError(f"must be RANGE and {_RANGE}")
    try:
        west, east, south, north = map(bound, parts)
    except ValueError:
        raise ValueError(f"must be RANGE and {_RANGE}") from None
    # SODA 1.0 section 3.3.1: an infinite bound stands for the end of its axis.
    west = 0.0 if west == -math.inf else west
    east = 360.0 if east == math.inf else east
    south = -90.0 if south == -math.inf else south
    north = 90.0 if north == math.inf else north
    extent = east - west  # not finite if a bound is infinite at the wrong end, or if both are absurd
    if not (math.isfinite(extent) and -90 <= south <= north <= 90):
        raise ValueError(f"must be RANGE and {_RANGE}")
    if extent < 0:  # across longitude 0
        extent %= 360.0
    return Range(_reduced(west), min(extent, 360.0), south, north)


def _reals(parts: Sequence[str], right: str) -> list[float]:
    try:
        return [real(part) for part in parts]
    except ValueError:
        raise ValueError(f"must be {right}") from None


def _reduced(longitude: float) -> float:
    """Return a longitude as 0 <= longitude < 360."""
    reduced = longitude % 360.0
    return 0.0 if reduced == 360.0 else reduced  # the remainder of a tiny negative number rounds up
