"""Shapes: read as clients write them, the same place whatever the spelling, and errors that show what is right."""

import math
import re
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from imageserv.core.dali.shapes import circle, most_corners, polygon, section, shape
from imageserv.core.errors import LimitFault
from imageserv.core.sky.stencil import Circle, Polygon, Range, Section

ANY_TEXT = st.text(st.characters())
LONGITUDES = st.floats(0, 360, exclude_max=True).map(lambda value: value + 0.0)  # -0 is 0
LATITUDES = st.floats(-90, 90).map(lambda value: value + 0.0)
RADII = st.floats(0, 180).map(lambda value: value + 0.0)
TURNS = st.integers(-3, 3)
BLANKS = st.text(" \t\n", min_size=1, max_size=3)


def place(longitude: float, latitude: float) -> NDArray[np.float64]:
    lon, lat = math.radians(longitude), math.radians(latitude)
    return np.array([math.cos(lat) * math.cos(lon), math.cos(lat) * math.sin(lon), math.sin(lat)])


def recased(word: str, upper: list[bool]) -> str:
    return "".join(letter.upper() if up else letter.lower() for letter, up in zip(word, upper, strict=True))


def cases(word: str) -> st.SearchStrategy[str]:
    return st.lists(st.booleans(), min_size=len(word), max_size=len(word)).map(lambda upper: recased(word, upper))


@given(LONGITUDES, LATITUDES, RADII)
def test_a_circle_reads_back(lon: float, lat: float, radius: float) -> None:
    assert circle(f"{lon!r} {lat!r} {radius!r}") == Circle(lon, lat, radius)


@given(cases("CIRCLE"), LONGITUDES, LATITUDES, RADII, BLANKS)
def test_neither_case_nor_blanks_of_a_shape_matter(word: str, lon: float, lat: float, radius: float, gap: str) -> None:
    text = gap.join(("", word, repr(lon), repr(lat), repr(radius), ""))
    assert shape(text) == circle(f"{lon!r} {lat!r} {radius!r}")


@given(st.floats(-2000, 2000), LATITUDES, st.floats(0, 180))
def test_reduced_longitudes_are_the_same_place(lon: float, lat: float, radius: float) -> None:
    found = circle(f"{lon!r} {lat!r} {radius!r}")
    assert 0 <= found.ra < 360
    np.testing.assert_allclose(place(found.ra, found.dec), place(lon, lat), atol=1e-12)


@pytest.mark.parametrize(("text", "lon"), [("360", 0.0), ("-1", 359.0), ("-1e-20", 0.0), ("725", 5.0), ("-360", 0.0)])
def test_longitudes_around_the_wrap(text: str, lon: float) -> None:
    assert circle(f"{text} 10 1") == Circle(lon, 10.0, 1.0)
    assert shape(f"POLYGON {text} 10 30 10 30 20") == Polygon(((lon, 10.0), (30.0, 10.0), (30.0, 20.0)))


WRONG_CIRCLES = ["", "1 2", "1 2 3 4", "1 91 3", "1 -90.001 3", "1 2 -0.1", "1 2 180.1", "nan 2 3", "1 2 inf", "1,2,3"]


@pytest.mark.parametrize("text", WRONG_CIRCLES)
def test_a_wrong_circle_is_refused_with_a_right_one(text: str) -> None:
    for read, sent in ((circle, text), (shape, f"CIRCLE {text}")):
        with pytest.raises(ValueError, match=r"^must be .*radius.*such as 12\.5 -3 0\.1;.*0 to 180.*-90 to 90"):
            read(sent)
    assert circle("12.5 -3 0.1") == Circle(12.5, -3.0, 0.1)


@given(st.lists(st.tuples(LONGITUDES, LATITUDES), min_size=3, max_size=12, unique=True))
def test_a_polygon_reads_back_with_or_without_its_first_corner_again(corners: list[tuple[float, float]]) -> None:
    pairs = zip(corners, [*corners[1:], corners[0]], strict=True)
    opposite = any(
        lat == -other_lat and (abs(lat) == 90 or (lon - other) % 360 == 180) for (lon, lat), (other, other_lat) in pairs
    )
    numbers = " ".join(f"{lon!r} {lat!r}" for lon, lat in corners)
    closed = f"{numbers} {corners[0][0]!r} {corners[0][1]!r}"
    for text in (numbers, closed):
        if opposite:
            with pytest.raises(ValueError, match="opposite points"):
                polygon(text)
        else:
            assert polygon(text) == shape(f"polygon {text}") == Polygon(tuple(corners))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1 2",
        "1 2 3 4",
        "1 2 3 4 5",
        "1 2 3 4 5 6 7",
        "1 2 3 4 1 2",  # closed, and of two corners
        "1 2 3 4 5 91",
        "1 2 3 4 5 nan",
        "1 2 3 4 5 inf",
        "(1 2) (3 4) (5 6)",
    ],
)
def test_a_wrong_polygon_is_refused_with_a_right_one(text: str) -> None:
    with pytest.raises(ValueError, match=r"^must be .*three corners, such as 12 34 13 34 13 35"):
        polygon(text)
    assert len(polygon("12 34 13 34 13 35").vertices) == 3


@pytest.mark.parametrize("text", ["0 0 180 0 90 10", "10 20 190 -20 50 0", "0 90 30 -90 5 5", "90 10 0 0 180 0"])
def test_corners_that_no_one_line_joins_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="neighbouring corners that are opposite points of the sky"):
        polygon(text)


def test_corners_are_bounded() -> None:
    corners = [f"{at * 300 / most_corners!r} {at % 2}" for at in range(most_corners + 1)]
    assert len(polygon(" ".join(corners[:-1])).vertices) == most_corners
    with pytest.raises(LimitFault, match=f"has {most_corners + 1} corners; at most {most_corners} are read"):
        polygon(" ".join(corners))


def held(extent: Range, longitude: float) -> bool:
    return (longitude - extent.west) % 360 <= extent.extent


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("12 13 -1 1", Range(12.0, 1.0, -1.0, 1.0)),
        ("359 1 -1 1", Range(359.0, 2.0, -1.0, 1.0)),  # across the meridian, as DALI 1.2 has it
        ("-1 1 -1 1", Range(359.0, 2.0, -1.0, 1.0)),
        ("0 360 -2 2", Range(0.0, 360.0, -2.0, 2.0)),
        ("-180 180 -2 2", Range(180.0, 360.0, -2.0, 2.0)),
        ("0 360 89 +Inf", Range(0.0, 360.0, 89.0, 90.0)),  # SIA 2.0 section 2.1.1
        ("-Inf +Inf -Inf +Inf", Range(0.0, 360.0, -90.0, 90.0)),
        ("-inf 10 -INF 0", Range(0.0, 10.0, -90.0, 0.0)),
        ("350 +Infinity 0 1", Range(350.0, 10.0, 0.0, 1.0)),
        ("5 5 6 6", Range(5.0, 0.0, 6.0, 6.0)),  # a point
        ("360 360 0 1", Range(0.0, 0.0, 0.0, 1.0)),
    ],
)
def test_ranges(text: str, expected: Range) -> None:
    assert shape(f"RANGE {text}") == expected


@given(st.floats(0, 360), st.floats(0, 360), LATITUDES, LATITUDES, cases("RANGE"), BLANKS, TURNS, LONGITUDES)
def test_a_range_holds_the_longitudes_from_the_first_to_the_second(
    west: float, east: float, south: float, north: float, word: str, gap: str, turn: int, probe: float
) -> None:
    south, north = sorted((south, north))
    found = shape(gap.join((word, repr(west), repr(east), repr(south), repr(north))))
    assert isinstance(found, Range)
    assert (found.south, found.north) == (south, north)
    inside = west <= probe <= east if west <= east else probe >= west or probe <= east
    edges = [abs((probe - edge + 180) % 360 - 180) for edge in (west, east)]
    if min(edges) > 1e-9:
        assert held(found, probe) == inside
    moved = shape(f"RANGE {west + 360 * turn!r} {east + 360 * turn!r} {south!r} {north!r}")
    assert isinstance(moved, Range)
    if west != east and abs(abs(west - east) - 360) > 1e-6 and abs(west - east) > 1e-6:
        assert math.isclose(moved.extent, found.extent, abs_tol=1e-9)


@pytest.mark.parametrize(
    "text",
    ["", "1 2 3", "1 2 3 4 5", "1 2 4 3", "1 2 -91 0", "1 2 0 91", "nan 2 3 4", "1 2 3 NaN", "Inf 2 3 4", "1 -Inf 3 4"],
)
def test_a_wrong_range_is_refused_with_a_right_one(text: str) -> None:
    with pytest.raises(ValueError, match=r"^must be RANGE and .*such as 12 13 -1 1.*cross 0, as in 359 1 -1 1"):
        shape(f"RANGE {text}")


@pytest.mark.parametrize("text", ["", "BOX 1 2 3 4", "CIRCLES 1 2 3", "1 2 3", "CIRCLE(1 2 3)", "CIRCLE ICRS 1 2 3"])
def test_a_shape_starts_with_its_name(text: str) -> None:
    with pytest.raises(ValueError, match="must be"):
        shape(text)
    if not text.startswith("CIRCLE "):
        with pytest.raises(ValueError, match=r"must be CIRCLE, RANGE or POLYGON and numbers, such as CIRCLE 12\.5 -3"):
            shape(text)


@given(
    st.lists(st.none() | st.tuples(st.integers(-10, 10**9), st.integers(1, 10**6)), min_size=1, max_size=6),
    st.sampled_from(["", " ", "  "]),
)
def test_a_section_reads_back(parts: list[tuple[int, int] | None], gap: str) -> None:
    ranges = tuple(None if part is None else (part[0], part[0] + part[1]) for part in parts)
    text = str(Section(ranges))
    spaced = "".join(f"{gap}{character}{gap}" if character in "[],:" else character for character in text)
    assert section(text) == section(spaced) == Section(ranges)


def test_sections_count_from_one_and_include_both_ends() -> None:
    assert section("[1:100,51:150]") == Section(((0, 100), (50, 150)))
    assert section("[*,3]") == Section((None, (2, 3)))
    assert section("[-5:5]") == Section(((-6, 5),))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "must be a FITS section"),
        ("1:100", "must be a FITS section"),
        ("[]", "must be a FITS section"),
        ("[1:100", "must be a FITS section"),
        ("[1:100,]", "must be a FITS section"),
        ("[1:10:2]", "there are no strides"),
        ("[1.5:10]", "must be a FITS section"),
        ("[1:]", "must be a FITS section"),
        ("[-*]", "must be a FITS section"),
        ("[1][1:100,1:100]", "without an HDU"),
        ("[SCI,1][1:100]", "without an HDU"),
        ("[1:100][2:3]", "without an HDU"),
        ("[10:9]", r"has 10:9, whose ends are reversed"),
        ("[1:2, 7 : 3]", r"has 7 : 3, whose ends are reversed"),
    ],
)
def test_a_wrong_section_is_refused_with_a_right_one(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=rf"{reason}.*") as caught:
        section(text)
    assert "such as [1:100,51:150] or [*,51:150]" in str(caught.value)


@pytest.mark.parametrize("read", [circle, polygon, shape, section])
@given(text=ANY_TEXT | st.text("0123456789 .-+eInfCIRLEPOYGNA[]:,*"))
def test_any_text_is_read_or_refused(read: Callable[[str], object], text: str) -> None:
    try:
        found = read(text)
    except ValueError as error:
        assert re.match(r"must be |has ", str(error))
    else:
        assert isinstance(found, Circle | Range | Polygon | Section)
