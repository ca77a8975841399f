"""FITS header cards as bytes: reading them, writing them, and headers as templates.

A cutout's header is its parent's, with a handful of cards changed. So the
parent's cards are kept as bytes, and only those that change are written anew:
what astronomers put into a header comes out as they wrote it.
"""

import re
from collections.abc import Container, Iterable, Mapping
from functools import lru_cache

CARD = 80
"""FITS 4.0 section 3.3.1: a card has 80 characters."""

BLOCK = 2880
"""FITS 4.0 section 3.1: a header, and the data of an HDU, take whole blocks of so many bytes."""

_END = b"END".ljust(CARD)
_HIERARCH = re.compile(rb"HIERARCH +(.+?) *=")
_PRINTABLE = bytes(byte if 0x20 <= byte <= 0x7E else 0x20 for byte in range(256))


def printable(header: bytes) -> bytes:
    """Return a header with blanks for the bytes that FITS does not allow in it (FITS 4.0 section 3.2)."""
    return header.translate(_PRINTABLE)


def card_keyword(card: bytes) -> str:
    """Return a card's keyword; for a HIERARCH card the name that follows it."""
    if card.startswith(b"HIERARCH "):
        match = _HIERARCH.match(card)
        if match:
            return match[1].decode("latin-1")
    return card[:8].rstrip().decode("latin-1")


def card_value(card: bytes) -> bool | int | float | str | None:
    """Return a fixed- or free-format value (FITS 4.0 section 4.2); None where there is none to be read."""
    if card[8:10] != b"= ":
        return None
    text = card[10:].decode("latin-1").strip()
    if text.startswith("'"):
        match = re.match(r"'((?:[^']|'')*)'", text)
        return match[1].replace("''", "'").rstrip() if match else None
    text = text.partition("/")[0].strip()
    if text in ("T", "F"):
        return text == "T"
    if re.fullmatch(r"[+-]?[0-9]+", text):
        return int(text)
    if re.fullmatch(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[EeDd][+-]?[0-9]+)?", text):
        return float(text.upper().replace("D", "E"))
    return None


def make_card(keyword: str, value: bool | int | float | str, comment: str = "") -> bytes:
    """Write a card; a string longer than 68 characters goes on in CONTINUE cards (FITS 4.0 section 4.2.1.2).

    Floats are written with all their digits: no pixel is lost to rounding.
    """
    if isinstance(value, str):
        return _string_card(keyword, value, comment)
    return _number_card(keyword, value, comment)


# The planes of an image are cut alike, and clients ask for like cutouts. Typed, for 1, 1.0 and True are equal.
@lru_cache(maxsize=4096, typed=True)
def _number_card(keyword: str, value: bool | int | float, comment: str) -> bytes:
    if isinstance(value, bool):
        text = "T" if value else "F"
    elif isinstance(value, float):
        text = repr(value).upper()
        if "." not in text and "E" in text:
            text = text.replace("E", ".0E")
    else:
        text = str(value)
    return _with_comment(f"{keyword:<8}= {text:>20}", comment)


def _with_comment(card: str, comment: str) -> bytes:
    if comment and len(card) + 3 < CARD:
        card = f"{card} / {comment}"
    return card[:CARD].ljust(CARD).encode("ascii", "replace")


def _string_card(keyword: str, value: str, comment: str) -> bytes:
    quoted = value.replace("'", "''")
    if len(quoted) <= 68:
        return _with_comment(f"{keyword:<8}= '{quoted:<8}'", comment)
    pieces: list[str] = []
    while quoted:
        end = min(67, len(quoted))
        if quoted[:end].count("'") % 2:  # do not part the two quotes that stand for one
            end -= 1
        pieces.append(quoted[:end])
        quoted = quoted[end:]
    heads = [f"{keyword:<8}= ", *["CONTINUE  "] * (len(pieces) - 1)]
    cards = [f"{head}'{piece}&'" for head, piece in zip(heads, pieces, strict=True)]
    cards[-1] = f"{heads[-1]}'{pieces[-1]}'"
    return b"".join(card.ljust(CARD).encode("ascii", "replace") for card in cards)


class HeaderTemplate:
    """A header's cards, ready to be written again with changes.

    Parameters
    ----------
    header
        80-byte cards, with or without END. Bytes that FITS does not allow in a header become blanks.

    Attributes
    ----------
    block
        The cards one after the other, without END.
    places
        Where the cards of each keyword are: their numbers, from 0.
    """

    __slots__ = ("block", "places")

    def __init__(self, header: bytes) -> None:
        block = printable(header)
        block += b" " * (-len(block) % CARD)
        text = block.decode("ascii")
        self.places: dict[str, list[int]] = {}
        for start in range(0, len(text), CARD):
            keyword = text[start : start + 8].rstrip()
            if keyword == "HIERARCH":
                keyword = card_keyword(block[start : start + CARD])
            elif keyword == "END" and not text[start + 8 : start + CARD].strip():
                block = block[:start]
                break
            self.places.setdefault(keyword, []).append(start // CARD)
        self.block = block

    def __contains__(self, keyword: str) -> bool:
        """Tell whether there is a card of that keyword."""
        return keyword in self.places

    def card(self, place: int) -> bytes:
        """Return the card of that number."""
        return self.block[place * CARD : (place + 1) * CARD]

    def cards(self) -> list[bytes]:
        """Return all cards."""
        return [self.block[start : start + CARD] for start in range(0, len(self.block), CARD)]

    def value(self, keyword: str) -> bool | int | float | str | None:
        """Return the value of the first card of that keyword, or None."""
        places = self.places.get(keyword)
        return card_value(self.card(places[0])) if places else None

    def without(self, drop: Container[str]) -> "HeaderTemplate":
        """Return a template that lacks some keywords, and the CONTINUE cards that belong to them."""
        if not any(keyword in drop for keyword in self.places):
            return self
        kept: list[bytes] = []
        dropping = False
        for card in self.cards():
            keyword = card_keyword(card)
            dropping = (dropping and keyword == "CONTINUE") or keyword in drop
            if not dropping:
                kept.append(card)
        return HeaderTemplate(b"".join(kept))

    def write(self, changes: Mapping[int, bytes], added: Iterable[bytes] = ()) -> bytes:
        """Return the cards, some replaced by number, others added, and END: whole blocks of 2880 bytes."""
        header = bytearray(self.block)
        for place, card in changes.items():
            header[place * CARD : (place + 1) * CARD] = card
        header += b"".join(added)
        header += _END
        return bytes(header.ljust(-(-len(header) // BLOCK) * BLOCK))
