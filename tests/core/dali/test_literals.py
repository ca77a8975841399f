"""Literals: what is read, and that nothing else is."""

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imageserv.core.dali.literals import (
    bound,
    choice,
    integer,
    interval,
    interval_or_number,
    latitude,
    longitude,
    positive,
    real,
)

ANY_TEXT = st.text(st.characters())  # lone surrogates too
BOUNDS = st.floats(allow_nan=False)
BLANKS = st.text(" \t\n\r", min_size=1, max_size=4)
INFINITIES = [
    ("inf", math.inf),
    ("+inf", math.inf),
    ("-inf", -math.inf),
    ("+Inf", math.inf),  # DALI 1.1 section 3.3.1
    ("-Inf", -math.inf),
    ("+InF", math.inf),  # pyvo
    ("INFINITY", math.inf),  # Java
    ("-Infinity", -math.inf),
]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("359.195", 359.195),
        ("-0.1055", -0.1055),
        ("+3", 3.0),
        ("3.", 3.0),
        (".5", 0.5),
        ("5.000000000000001e-07", 5.000000000000001e-07),
        ("1E2", 100.0),
    ],
)
def test_real_reads_decimal_numbers(text: str, value: float) -> None:
    assert real(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nan",
        "NaN",
        "inf",
        "-Inf",
        "infinity",
        "1_000",
        "0x10",
        "1e999",
        "9" * 65,
        "1,5",
        "1 2",
        "1\n",
        "e5",
        ".",
        "٣",
    ],
)
def test_real_refuses_what_is_no_finite_decimal_number(text: str) -> None:
    with pytest.raises(ValueError, match="must be a finite decimal number"):
        real(text)


def test_real_has_no_negative_zero() -> None:
    assert math.copysign(1.0, real("-0.0")) == 1.0


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_real_reads_back_every_double(value: float) -> None:
    assert real(repr(value)) == value


@given(st.integers(-(2**63), 2**63 - 1))
def test_integer_reads_back_every_int64(value: int) -> None:
    assert integer(str(value)) == value


@pytest.mark.parametrize(
    "text", ["", "1.0", "1e3", "1_000", "0x1f", " 1", "1\n", "--1", "²", "٣", str(2**63), str(-(2**63) - 1), "1" * 5000]
)
def test_integer_refuses_what_is_no_int64(text: str) -> None:
    with pytest.raises(ValueError, match="must be a decimal integer of at most 64 bits"):
        integer(text)


@pytest.mark.parametrize(
    ("read", "inside", "outside"),
    [
        (longitude, ["0", "360", "359.999"], ["-0.001", "360.001", "nan", "x"]),
        (latitude, ["-90", "90", "0"], ["-90.001", "90.001", "inf", ""]),
        (positive, ["1e-300", "45"], ["0", "-0", "-1", "1e-999", "inf", "NaN"]),
    ],
)
def test_ranges(read: Callable[[str], float], inside: list[str], outside: list[str]) -> None:
    assert [read(text) for text in inside] == [float(text) for text in inside]
    for text in outside:
        with pytest.raises(ValueError, match="must be"):
            read(text)


def test_ranges_are_named() -> None:
    with pytest.raises(ValueError, match="a longitude in decimal degrees, 0 to 360"):
        longitude("400")
    with pytest.raises(ValueError, match="a latitude in decimal degrees, -90 to 90"):
        latitude("north")
    with pytest.raises(ValueError, match="greater than 0"):
        positive("0")


def test_choice_is_blind_to_case_and_knows_aliases() -> None:
    unit = choice("arcsec", "pixel", aliases={"px": "pixel", "Pixels": "pixel"})
    assert [unit(text) for text in ("arcsec", "ARCSEC", "Px", "pixels")] == ["arcsec", "arcsec", "pixel", "pixel"]
    with pytest.raises(ValueError, match=r"must be one of arcsec, pixel$"):
        unit("furlong")


@pytest.mark.parametrize(("text", "value"), INFINITIES)
def test_a_bound_may_be_infinite_in_any_spelling(text: str, value: float) -> None:
    assert bound(text) == value


@pytest.mark.parametrize("text", ["nan", "NaN", "+-Inf", "infinit", "in f", "∞", "", "1e999", "1 2"])
def test_a_bound_is_a_number_or_infinite(text: str) -> None:
    with pytest.raises(ValueError, match=r"^must be a decimal number, or -Inf or \+Inf$"):
        bound(text)


@given(BOUNDS, BOUNDS, BLANKS, st.sampled_from([str.lower, str.upper, str.title]))
def test_an_interval_reads_back_whatever_its_blanks_and_case(
    one: float, other: float, blanks: str, case: Callable[[str], str]
) -> None:
    low, high = sorted((one, other))
    text = case(f"{blanks}{low!r}{blanks}{high!r}{blanks}")
    if low == math.inf or high == -math.inf:  # it holds no number
        with pytest.raises(ValueError, match="two numbers in order"):
            interval(text)
    else:
        assert interval(text) == interval_or_number(text) == (low, high)


@given(BOUNDS, BOUNDS)
def test_a_reversed_interval_is_refused(one: float, other: float) -> None:
    low, high = sorted((one, other))
    if low < high:
        for read in (interval, interval_or_number):
            with pytest.raises(ValueError, match=r"must be .*two.* in order"):
                read(f"{high!r} {low!r}")


@pytest.mark.parametrize("text", ["", "1", "1 2 3", "1,2", "nan 1", "1 NaN", "NaN NaN", "a b", "1/2", "[1 2]", "-inf"])
def test_an_interval_is_two_numbers_and_its_error_shows_one(text: str) -> None:
    with pytest.raises(ValueError, match=r"^must be two numbers in order, joined by a blank, such as 4e-7 7e-7") as it:
        interval(text)
    assert interval("4e-7 7e-7") == (4e-7, 7e-7)
    assert interval("-Inf 5e-7") == (-math.inf, 5e-7)
    assert str(it.value).endswith("such as 4e-7 7e-7 or -Inf 5e-7")


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_one_number_is_an_interval_of_that_value_alone(value: float) -> None:
    assert interval_or_number(repr(value)) == (value, value)


@pytest.mark.parametrize("text", ["", "NaN", "inf", "1 2 3", "x", "2 1"])
def test_neither_a_number_nor_an_interval(text: str) -> None:
    with pytest.raises(ValueError, match=r"must be one number, or two in order, .* such as 0.5 or 0.5 \+Inf$"):
        interval_or_number(text)
    assert interval_or_number("0.5 +Inf") == (0.5, math.inf)


@pytest.mark.parametrize(
    "read",
    [real, integer, longitude, latitude, positive, choice("a", "b"), bound, interval, interval_or_number],
)
@given(text=ANY_TEXT)
def test_any_text_is_read_or_refused(read: Callable[[str], object], text: str) -> None:
    try:
        value = read(text)
    except ValueError as error:
        assert str(error).startswith("must be ")
    else:
        assert isinstance(value, str | tuple) or not math.isnan(float(str(value)))
