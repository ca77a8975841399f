"""FITS header cards as bytes: reading them, writing them, and headers as templates.

A cutout's header is its parent's, with a handful of cards changed. So the
parent's cards are kept as bytes, and only those that change are written anew:
what astronomers put into a header comes out as they wrote it.
"""

import re
import struct
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

CARD = 80
"""FITS 4.0 section 3.3.1: a card has 80 characters."""

BLOCK = 2880
"""FITS 4.0 section 3.1: a header, and the data of an HDU, take whole blocks of so many bytes."""

_SHORT = 68
"""Characters of a string, between its quotes, that one card takes."""

_END = b"END".ljust(CARD)
_VALUE = re.compile(
    rb"= \s*(?:'((?:[^']|'')*)'"
    rb"|(?:([TF])|([+-]?[0-9]+)|([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[EeDd][+-]?[0-9]+)?))\s*(?:/|$))"
)
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
    match = _VALUE.match(card, 8)
    if match is None:
        return None
    string, logical, integer, real = match.groups()
    if string is not None:
        return string.decode("latin-1").replace("''", "'").rstrip()
    if logical:
        return logical == b"T"
    return int(integer) if integer else float(real.upper().replace(b"D", b"E"))


@dataclass(frozen=True, slots=True)
class Cards:
    """Some cards of a header, one of each keyword.

    Attributes
    ----------
    cards
        80 bytes each, by keyword.
    values
        Theirs; astropy's own way to one takes longer than all of these.
    """

    cards: Mapping[str, bytes]
    values: Mapping[str, Any]

    @classmethod
    def of(cls, header: bytes) -> "Cards":
        """Read a header without END."""
        cards = {card_keyword(card): card for card in (header[at : at + CARD] for at in range(0, len(header), CARD))}
        return cls(cards, {keyword: card_value(card) for keyword, card in cards.items()})

    @property
    def block(self) -> bytes:
        """All cards, one after the other."""
        return b"".join(self.cards.values())


def find_card(cards: bytes, keyword: str, end: int | None = None) -> int:
    """Return where the first card of a keyword of at most 8 characters is, in bytes; -1 if there is none.

    Other cards are not read: only where a keyword stands is a multiple of 80.
    """
    # Not with its blanks: in a header they are what is most common, and so what takes longest to look for.
    name = keyword.encode("latin-1")
    at = cards.find(name, 0, end)
    while at >= 0 and (at % CARD or cards[at + len(name) : at + 8].strip(b" ")):
        at = cards.find(name, at + 1, end)
    return at


def find_end(cards: bytes) -> int:
    """Return where the card END is, which has nothing else (FITS 4.0 section 4.4.1); -1 if it is not there."""
    at = cards.find(b"END")
    while at >= 0 and (at % CARD or cards[at + 3 : at + 8] != b"     " or cards[at + 8 : at + CARD].strip()):
        at = cards.find(b"END", at + 1)
    return at


def make_card(keyword: str, value: bool | int | float | str, comment: str = "") -> bytes:
    """Write a card; a string longer than 68 characters goes on in CONTINUE cards (FITS 4.0 section 4.2.1.2).

    Floats are written with all their digits: no pixel is lost to rounding.
    """
    if isinstance(value, str):
        quoted = value.replace("'", "''") if "'" in value else value
        if len(quoted) <= _SHORT:
            return _with_comment(f"{keyword:<8}= '{quoted:<8}'", comment)
        return _long_string(keyword, quoted)
    return number_card(keyword, value, comment)


# The planes of an image are cut alike, and clients ask for like cutouts. Typed, for 1, 1.0 and True are equal.
@lru_cache(maxsize=4096, typed=True)
def number_card(keyword: str, value: bool | int | float, comment: str = "") -> bytes:
    """Write a card as `make_card` does; one that was written before is not written anew."""
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


def _long_string(keyword: str, quoted: str) -> bytes:
    pieces: list[str] = []
    while quoted:
        end = min(_SHORT - 1, len(quoted))
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
        The header as it is written without changes: the cards, END, and blanks, in whole blocks.
    length
        Bytes of the cards alone.
    """

    __slots__ = ("_known", "block", "length")

    def __init__(self, header: bytes) -> None:
        cards = printable(header)
        if (end := find_end(cards)) >= 0:
            cards = cards[:end]
        cards += b" " * (-len(cards) % CARD)
        self.length = len(cards)
        self.block = (cards + _END).ljust(padded(self.length + CARD))
        self._known: dict[str, int | None] = {}

    def __contains__(self, keyword: str) -> bool:
        """Tell whether there is a card of that keyword, of at most 8 characters."""
        return self.place(keyword) is not None

    def place(self, keyword: str) -> int | None:
        """Return the number, from 0, of the first card of a keyword of at most 8 characters; None if there is none.

        What was asked once is kept: the cutouts of an image all ask for the same few.
        """
        if keyword not in self._known:
            at = find_card(self.block, keyword, self.length)
            self._known[keyword] = None if at < 0 else at // CARD
        return self._known[keyword]

    def keywords(self) -> tuple[bytes, ...]:
        """Return the keyword of each card, in 8 bytes; of a HIERARCH card the name that follows it."""
        words: tuple[bytes, ...] = struct.unpack("8s72x" * (self.length // CARD), self.block[: self.length])
        if b"HIERARCH" not in words:
            return words
        return tuple(
            card_keyword(card).encode("latin-1") if word == b"HIERARCH" else word
            for word, card in zip(words, self.cards(), strict=True)
        )

    def places(self) -> Mapping[str, Sequence[int]]:
        """Return where the cards of each keyword are: their numbers, from 0."""
        return places_of(self.keywords())

    def card(self, place: int) -> bytes:
        """Return the card of that number."""
        return self.block[place * CARD : (place + 1) * CARD]

    def cards(self) -> list[bytes]:
        """Return all cards."""
        return [self.block[start : start + CARD] for start in range(0, self.length, CARD)]

    def value(self, keyword: str) -> bool | int | float | str | None:
        """Return the value of the first card of that keyword, of at most 8 characters, or None."""
        place = self.place(keyword)
        return None if place is None else card_value(self.card(place))

    def without(self, drop: Set[str]) -> "HeaderTemplate":
        """Return a template that lacks some keywords, and the CONTINUE cards that belong to them."""
        places = self.places()
        going_on = set(places.get("CONTINUE", ()))
        kept: list[bytes] = []
        start = 0
        for place in sorted([place for keyword in places.keys() & drop for place in places[keyword]]):
            kept.append(self.block[start : place * CARD])
            while place + 1 in going_on:
                place += 1
            start = (place + 1) * CARD
        return HeaderTemplate(b"".join([*kept, self.block[start : self.length]])) if start else self

    def size(self, added: int) -> int:
        """Return how many bytes the header takes with so many bytes of further cards."""
        return padded(self.length + added + CARD) if added else len(self.block)

    def write_into(self, answer: memoryview, at: int, changes: Iterable[tuple[int, bytes]], added: bytes = b"") -> int:
        """Write what `write` does into a buffer, from some place on; return where it ends."""
        end = at + len(self.block)
        if added:
            rest = at + self.length
            answer[at:rest] = memoryview(self.block)[: self.length]
            end = at + self.size(len(added))
            answer[rest:end] = (added + _END).ljust(end - rest)
        else:
            answer[at:end] = self.block
        for place, card in changes:
            start = at + place * CARD
            answer[start : start + CARD] = card
        return end

    def write(self, changes: Iterable[tuple[int, bytes]], added: Iterable[bytes] = ()) -> bytes:
        """Return the cards, some replaced (by their numbers), others added, and END: whole blocks of 2880 bytes."""
        more = b"".join(added)
        header = bytearray(self.size(len(more)))
        self.write_into(memoryview(header), 0, changes, more)
        return bytes(header)


@lru_cache(maxsize=64)  # many images of a survey have the same keywords
def places_of(keywords: Iterable[bytes]) -> Mapping[str, Sequence[int]]:
    """Return where each keyword is among those of a header (`HeaderTemplate.keywords`): numbers, from 0."""
    places: dict[str, list[int]] = {}
    for place, keyword in enumerate(keywords):
        places.setdefault(keyword.rstrip().decode("ascii"), []).append(place)
    return places


def padded(size: int) -> int:
    """Return the bytes of the whole blocks that so many bytes take."""
    return -(-size // BLOCK) * BLOCK
