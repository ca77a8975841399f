"""Cards and headers, judged by astropy's reading of them."""

import math
import re

import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

from imageserv.core.fits.cards import HeaderTemplate, card_keyword, card_value, make_card

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
