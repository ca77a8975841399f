"""What must be right in the header of every cutout.

What changes: NAXISj; CRPIXj of the primary and of every alternate WCS
(inserted where it is absent, for it defaults to 0: FITS 4.0 section 8.2),
which moves SIP, TPV, TNX and ZPX along, since these count from the reference
pixel or from intermediate world coordinates; LTVj (IRAF's way from image to
physical pixels; LTMi_j stays; inserted where IRAF's spectra count coordinates in
physical pixels: CTYPE MULTISPE); CNPIXj (the offset of a DSS plate solution).
What is left out, for it would be wrong: CHECKSUM, DATASUM, DATAMIN, DATAMAX.
"""

import re
from collections.abc import Iterator, Sequence, Set
from functools import lru_cache
from typing import NamedTuple

from imageserv.core.answer import REPORT, SOURCES
from imageserv.core.errors import UnsupportedFault

from .cards import HeaderTemplate, card_value, make_card, number_card, places_of
from .layout import Hdu
from .tileheader import image_header

Ranges = Sequence[tuple[int, int]]
"""One half-open range of pixels per FITS axis, NAXIS1 first, counted from 0."""

UNTRUE = frozenset({"CHECKSUM", "DATASUM", *REPORT, *SOURCES})
"""What is true of no HDU that goes into a cutout, for the primary header gets a report."""

_UNTRUE_AFTER_A_CUT = UNTRUE | {"DATAMIN", "DATAMAX"}
_OF_THE_TABLE = frozenset({"THEAP", "ZHECKSUM", "ZDATASUM"})
_REFERENCE_PIXEL = re.compile(r"CRPIX([1-9]\d*)[A-Z]?$")
_OTHER_OFFSET = re.compile(r"(LTV|CNPIX)([1-9]\d*)$")
_WCS_AXIS = re.compile(r"(?:CTYPE|CRVAL|CDELT|CROTA|(?:PC|CD)\d+_)([1-9]\d*)([A-Z]?)$")
_PHYSICAL_AXIS = re.compile(r"LTM[1-9]\d*_([1-9]\d*)$")
_OF_THE_ARRAY = re.compile(
    r"(NAXIS\d+|BSCALE|BZERO|BLANK|GROUPS|PCOUNT|GCOUNT|WCSAXES[A-Z]?|WCSNAME[A-Z]?|LTV\d+|LTM\d+_\d+"
    r"|(CTYPE|CRVAL|CRPIX|CDELT|CUNIT|CROTA)\d+[A-Z]?|(PC|CD|PV|PS)\d+_\d+[A-Z]?|[AB]P?_(ORDER|\d+_\d+))$"
)
_BEGINNINGS = frozenset({"CR", "CT", "CD", "PC", "LT", "CN"})
"""First letters of the keywords that one of the patterns of offsets and axes matches."""

_OF_A_PLACE = ("SIMPLE", "XTENSION", "EXTEND", "NEXTEND", "EXTNAME", "EXTVER", "EXTLEVEL", "INHERIT")
"""What a header says of where in a file it is."""

_BYTES, _NO_ARRAY = make_card("BITPIX", 8), make_card("NAXIS", 0)


class Move(NamedTuple):
    """How a card changes with a cut.

    Attributes
    ----------
    axis
        Along which it is cut, counted from 0.
    sign
        Which way the value moves with the first pixel; 0 for NAXISj, which is the length.
    value
        The parent's; None if it is no number.
    """

    keyword: str
    axis: int
    sign: int
    value: float | None
    comment: str


class Moves:
    """The cards of a header that a cut changes; planes that are alike share one, and what it wrote last."""

    __slots__ = ("_last", "rules")

    def __init__(self, rules: Sequence[Move]) -> None:
        self.rules = tuple(rules)
        self._last: tuple[Ranges, list[bytes | None]] = ((), [])

    def cards(self, ranges: Ranges) -> list[bytes | None]:
        """Return the card of each rule for a cut, None where it stays as it is.

        Raises
        ------
        UnsupportedFault
            Raised if a card that must change holds no number.
        """
        before, cards = self._last
        if before is not ranges:
            cards = [_moved(rule, *ranges[rule.axis]) for rule in self.rules]
            self._last = ranges, cards
        return cards


def _moved(rule: Move, start: int, stop: int) -> bytes | None:
    if rule.sign == 0:
        return number_card(rule.keyword, stop - start)
    if start == 0:
        return None
    if rule.value is None:
        raise UnsupportedFault(f"only the whole file is served: {rule.keyword} is no number")
    return number_card(rule.keyword, rule.value + rule.sign * start, rule.comment)


class _OfPixels(NamedTuple):
    """What the keywords of a header have to do with pixels.

    Attributes
    ----------
    offsets
        Of cards that move with the first pixel: the keyword, its axis (counted from 1), which way.
    expected
        Keywords of that kind, and their axes, that there must be after a cut.
    types
        CTYPEs: the keyword, its axis, the letter of its WCS.
    """

    offsets: Sequence[tuple[str, int, int]]
    expected: Set[tuple[str, int]]
    types: Sequence[tuple[str, int, str]]


@lru_cache(maxsize=64)  # many images of a survey have the same keywords
def _of_pixels(keywords: tuple[bytes, ...]) -> _OfPixels:
    offsets: list[tuple[str, int, int]] = []
    expected: set[tuple[str, int]] = set()
    types: list[tuple[str, int, str]] = []
    # Most keywords have nothing to do with pixels: those that may begin alike.
    for keyword in (keyword for keyword in places_of(keywords) if keyword[:2] in _BEGINNINGS):
        if match := _REFERENCE_PIXEL.match(keyword):
            offsets.append((keyword, int(match[1]), -1))
        elif match := _OTHER_OFFSET.match(keyword):
            offsets.append((keyword, int(match[2]), -1 if match[1] == "LTV" else 1))
        elif match := _WCS_AXIS.match(keyword):
            expected.add((f"CRPIX{match[1]}{match[2]}", int(match[1])))
            if keyword.startswith("CTYPE"):
                types.append((keyword, int(match[1]), match[2]))
        elif match := _PHYSICAL_AXIS.match(keyword):
            expected.add((f"LTV{match[1]}", int(match[1])))
    return _OfPixels(offsets, expected, types)


class PlaneHeader:
    """The header of one plane, and where in it the cards are that a cut changes.

    Parameters
    ----------
    hdu
        The plane; of a tile-compressed one this is the header of the image inside.
    drop
        Keywords to leave out.
    name
        Of a plane that comes from another file than the rest of the cutout: the header is that of an extension
        of this name, for in a file of its own it may be the primary, and the EXTNAMEs of such files are often alike.
    as_tiles
        Whether the plane stays compressed: then the header is that of its table.

    Attributes
    ----------
    template
        The header without those keywords, and without what would be untrue after a cut.
    moves
        What a cut changes.
    tables : frozenset of str
        EXTNAMEs of the tables that hold coordinates of its axes (-TAB: FITS WCS Paper III section 6).
    """

    __slots__ = ("_missing", "_places", "moves", "tables", "template")

    def __init__(self, hdu: Hdu, drop: Set[str], *, name: str = "", as_tiles: bool = False) -> None:
        full = HeaderTemplate(hdu.header if as_tiles or hdu.kind != "compressed" else image_header(hdu))
        if name:
            full = _named(full, name) if as_tiles else _extension(full, hdu, name)
        self.template = full.without(drop | _UNTRUE_AFTER_A_CUT | (_OF_THE_TABLE if as_tiles else frozenset()))
        naxis = len(hdu.shape)
        places, known = self.template.places(), _of_pixels(self.template.keywords())
        moves: list[tuple[int, Move]] = []
        for axis in range(naxis):
            keyword = f"{'Z' if as_tiles else ''}NAXIS{axis + 1}"
            moves += [(place, Move(keyword, axis, 0, None, "")) for place in places[keyword]]
        for keyword, axis, sign in known.offsets:
            moves += self._found(places[keyword], keyword, axis, sign, naxis)
        expected = set(known.expected)
        tables: set[str] = set()
        for keyword, axis, letter in known.types:
            kind = str(self.template.value(keyword))
            if kind == "MULTISPE":
                expected.add((f"LTV{axis}", axis))
            elif kind.endswith("-TAB"):
                tables.add(str(self.template.value(f"PS{axis}_0{letter}")))
        self._places = tuple(place for place, _ in moves)
        self.moves = Moves([move for _, move in moves])
        self.tables = frozenset(tables)
        self._missing = tuple(
            sorted((keyword, axis - 1) for keyword, axis in expected if keyword not in places and axis <= naxis)
        )

    def _found(
        self, places: Sequence[int], keyword: str, axis: int, sign: int, naxis: int
    ) -> Iterator[tuple[int, Move]]:
        for place in places if axis <= naxis else ():
            card = self.template.card(place)
            comment = card[10:].partition(b"/")[2].strip().decode("ascii")
            value = card_value(card)
            number = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
            yield place, Move(keyword, axis - 1, sign, number, comment)

    def cut(self, ranges: Ranges) -> tuple[list[tuple[int, bytes]], list[bytes]]:
        """Return the cards of a cutout that change, with their numbers, and those that are new.

        Raises
        ------
        UnsupportedFault
            Raised if a card that must change holds no number.
        """
        cards = self.moves.cards(ranges)
        changes = [(place, card) for place, card in zip(self._places, cards, strict=True) if card is not None]
        added = [number_card(keyword, float(-ranges[axis][0])) for keyword, axis in self._missing if ranges[axis][0]]
        return changes, added


def _extension(header: HeaderTemplate, hdu: Hdu, name: str) -> HeaderTemplate:
    """Return a header as that of an IMAGE extension (FITS 4.0 section 7.1), which has another primary than before."""
    axes = {f"NAXIS{axis}": length for axis, length in enumerate(hdu.shape, 1)}
    numbers = {"BITPIX": hdu.bitpix, "NAXIS": len(hdu.shape), **axes, "PCOUNT": 0, "GCOUNT": 1}
    cards = [make_card("XTENSION", "IMAGE"), *(make_card(keyword, value) for keyword, value in numbers.items())]
    cards.append(make_card("EXTNAME", name.upper()))
    rest = header.without({*numbers, *_OF_A_PLACE})
    return HeaderTemplate(b"".join([*cards, *rest.cards()]))


def _named(header: HeaderTemplate, name: str) -> HeaderTemplate:
    """Return an extension's header with another name."""
    rest = header.without({*_OF_A_PLACE} - {"XTENSION"})
    return HeaderTemplate(b"".join([*rest.cards(), make_card("EXTNAME", name.upper())]))


def empty_primary(hdu: Hdu, drop: Set[str]) -> HeaderTemplate:
    """Return a primary header for extensions alone: the parent's, without what described an array in it."""
    full = HeaderTemplate(hdu.header)
    untrue = {keyword for keyword in full.places() if hdu.shape and _OF_THE_ARRAY.match(keyword)}
    template = full.without(drop | untrue | _UNTRUE_AFTER_A_CUT)
    places = [template.place(keyword) for keyword in ("BITPIX", "NAXIS")]
    changes = zip(places, (_BYTES, _NO_ARRAY), strict=True)
    return HeaderTemplate(template.write([(place, card) for place, card in changes if place is not None]))
