"""Cards and headers, judged by astropy's reading of them."""

import math
import re

import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

from imageserv.core.fits.cards import HeaderTemplate, card_keyword, card_value, find_card, find_end, make_card

texts = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=300)
numbers = st.one_of(st.integers(-(2**63), 2**63), st.floats(allow_nan=False, allow_infinity=False), st.booleans())


@given(numbers)
def test_numbers_survive_to_the_last_bit(value: float) -> None:
    card = make_card("CRPIX1", value)
    assert len(card) == 80
    read = fits.Card.fromstring(card).value
    assert read == value
    assert type(read) is type(value)
    assert card_value(card) == value


@given(texts.filter(lambda text: not re.search("' */", text)))  # there astropy takes a doubled quote for the end
def test_strings_of_any_length_are_read_back_by_astropy(text: str) -> None:
    cards = make_card("CUTID", text)
    assert len(cards) % 80 == 0
    assert fits.Header.fromstring(cards)["CUTID"] == text.rstrip()


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=40), numbers)
def test_a_comment_never_damages_the_value(comment: str, value: float) -> None:
    assert fits.Card.fromstring(make_card("LTV1", value, comment)).value == value


@pytest.mark.parametrize(
    ("card", "value"),
    [
        ("CRPIX1  = 1.02450000000000E+03 / Column", 1024.5),
        ("CD1_1   = 1.95D-08", 1.95e-8),
        ("NAXIS   =                    2", 2),
        ("SIMPLE  =                    T / yes", True),
        ("EXPTIME = '53.907456'          / a string", "53.907456"),
        ("OBJECT  = 'it''s / here'       / not the comment", "it's / here"),
        ("COMMENT   = 3", None),
        ("CRPIX1  = 'abc", None),
        ("CRPIX1  = ", None),
        ("CRPIX1  = 1,5", None),
    ],
)
def test_values_as_real_headers_write_them(card: str, value: object) -> None:
    assert card_value(card.ljust(80).encode()) == value


keywords = st.text("ABEND", min_size=1, max_size=8)


@given(st.lists(keywords, max_size=8), keywords, st.integers(0, 8))
def test_a_card_is_found_where_the_first_of_its_keyword_is(names: list[str], wanted: str, most: int) -> None:
    # Values and comments hold keywords, too, and one keyword begins with another.
    cards = b"".join(make_card(name, wanted, f"{wanted} {name}") for name in names)
    there = [place for place, name in enumerate(names) if name == wanted]
    assert find_card(cards, wanted) == (there[0] * 80 if there else -1)
    within = [place for place in there if place < most]
    assert find_card(cards, wanted, most * 80) == (within[0] * 80 if within else -1)


@given(st.lists(keywords, max_size=8), st.integers(0, 8))
def test_the_end_is_a_card_that_has_nothing_else(names: list[str], at: int) -> None:
    cards = [make_card(name, "END", "END") for name in names]
    assert find_end(b"".join(cards)) == -1
    end = b"END".ljust(80)
    assert find_end(b"".join([*cards[:at], end, *cards[at:], end])) == len(cards[:at]) * 80


@pytest.mark.parametrize(
    ("card", "is_end"),
    [
        (b"END".ljust(80), True),
        (b"END".ljust(20), True),  # where a file was cut off
        (b"END     \t\n".ljust(80), True),
        (b"END", False),
        (b"END\n".ljust(80), False),
        (b"END     x".ljust(80), False),
        (b"ENDING  ".ljust(80), False),
        (b" END".ljust(80), False),
    ],
)
def test_what_an_end_looks_like(card: bytes, is_end: bool) -> None:
    assert find_end(make_card("A", 1) + card) == (80 if is_end else -1)


def test_keywords() -> None:
    assert card_keyword(b"CRPIX1  = 1".ljust(80)) == "CRPIX1"
    assert card_keyword(b"HIERARCH MP_NO_DATA =    8".ljust(80)) == "MP_NO_DATA"
    assert card_keyword(b"HIERARCH ESO DET CHIP = 'x'".ljust(80)) == "ESO DET CHIP"


def header(*cards: str) -> bytes:
    return b"".join(card.ljust(80).encode("latin-1") for card in cards)


def test_dropping_a_long_string_takes_its_continuation_along() -> None:
    long = make_card("WCS_TEXT", "x" * 200)
    template = HeaderTemplate(header("SIMPLE  = T") + long + header("OBJECT  = 'M13'", "END")).without({"WCS_TEXT"})
    read = fits.Header.fromstring(template.write(()))
    assert list(read) == ["SIMPLE", "OBJECT"]


def test_what_is_not_changed_is_not_touched() -> None:
    cards = [
        "SIMPLE  =                    T / odd   spacing",
        "HIERARCH a b c = 1 / kept",
        "COMMENT free text",
        "NOTACARD",
    ]
    written = HeaderTemplate(header(*cards, "END", "JUNK")).write(())
    assert len(written) == 2880
    assert written[: 80 * 5] == header(*cards, "END")
    assert not written[80 * 5 :].strip()


def test_bytes_that_fits_forbids_become_blanks() -> None:
    written = HeaderTemplate(b"COMMENT a\x00b\xff\nc".ljust(80)).write(())
    assert written.startswith(b"COMMENT a b  c")
    assert math.prod([0x20 <= byte <= 0x7E for byte in written])
