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
from collections.abc import Container, Sequence
from dataclasses import dataclass

import numpy as np

from imageserv.core.errors import UnsupportedFault

from .cards import HeaderTemplate, card_value, make_card
from .layout import BITPIX, Hdu
from .tiles import image_header

Ranges = Sequence[tuple[int, int]]
"""One half-open range of pixels per FITS axis, NAXIS1 first, counted from 0."""

_UNTRUE_AFTER_A_CUT = frozenset({"CHECKSUM", "DATASUM", "DATAMIN", "DATAMAX"})
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

_BYTES, _NO_ARRAY = make_card("BITPIX", 8), make_card("NAXIS", 0)


@dataclass(frozen=True, slots=True)
class _Move:
    """A card that moves with the first pixel along an axis."""

    place: int
    keyword: str
    axis: int
    sign: int
    value: bool | int | float | str | None
    comment: str


class PlaneHeader:
    """The header of one plane, and where in it the cards are that a cut changes.

    Parameters
    ----------
    hdu
        The plane; of a tile-compressed one this is the header of the image inside.
    drop
        Keywords to leave out.

    Attributes
    ----------
    template
        The header without those keywords, and without what would be untrue after a cut.
    dtype
        Of the pixels, as they are stored.
    tables : frozenset of str
        EXTNAMEs of the tables that hold coordinates of its axes (-TAB: FITS WCS Paper III section 6).
    """

    __slots__ = ("_missing", "_moves", "_sizes", "dtype", "tables", "template")

    def __init__(self, hdu: Hdu, drop: Container[str]) -> None:
        self.dtype = np.dtype(f">{'f' if hdu.bitpix < 0 else 'u' if hdu.bitpix == 8 else 'i'}{BITPIX[hdu.bitpix]}")
        full = HeaderTemplate(image_header(hdu) if hdu.kind == "compressed" else hdu.header)
        untrue = {keyword for keyword in full.places if keyword in drop or keyword in _UNTRUE_AFTER_A_CUT}
        self.template = full.without(untrue)
        naxis = len(hdu.shape)
        places = self.template.places
        self._sizes = [(place, axis) for axis in range(naxis) for place in places[f"NAXIS{axis + 1}"]]
        self._moves: list[_Move] = []
        expected: set[tuple[str, int]] = set()
        tables: set[str] = set()
        # Most keywords have nothing to do with pixels: those that may begin alike.
        for keyword in (keyword for keyword in places if keyword[:2] in _BEGINNINGS):
            if match := _REFERENCE_PIXEL.match(keyword):
                self._note(keyword, int(match[1]), -1, naxis)
            elif match := _OTHER_OFFSET.match(keyword):
                self._note(keyword, int(match[2]), -1 if match[1] == "LTV" else 1, naxis)
            elif match := _WCS_AXIS.match(keyword):
                expected.add((f"CRPIX{match[1]}{match[2]}", int(match[1])))
                kind = str(self.template.value(keyword)) if keyword.startswith("CTYPE") else ""
                if kind == "MULTISPE":
                    expected.add((f"LTV{match[1]}", int(match[1])))
                elif kind.endswith("-TAB"):
                    tables.add(str(self.template.value(f"PS{match[1]}_0{match[2]}")))
            elif match := _PHYSICAL_AXIS.match(keyword):
                expected.add((f"LTV{match[1]}", int(match[1])))
        self.tables = frozenset(tables)
        self._missing = sorted(
            (keyword, axis - 1) for keyword, axis in expected if keyword not in places and axis <= naxis
        )

    def _note(self, keyword: str, axis: int, sign: int, naxis: int) -> None:
        if axis > naxis:
            return
        for place in self.template.places[keyword]:
            card = self.template.card(place)
            comment = card[10:].partition(b"/")[2].strip().decode("ascii")
            self._moves.append(_Move(place, keyword, axis - 1, sign, card_value(card), comment))

    def cut(self, ranges: Ranges) -> tuple[dict[int, bytes], list[bytes]]:
        """Return the cards of a cutout that change, by place, and those that are new.

        Raises
        ------
        UnsupportedFault
            Raised if a card that must change holds no number.
        """
        changes = {
            place: make_card(f"NAXIS{axis + 1}", ranges[axis][1] - ranges[axis][0]) for place, axis in self._sizes
        }
        for move in self._moves:
            if start := ranges[move.axis][0]:
                value = move.value
                if isinstance(value, bool) or not isinstance(value, int | float):
                    raise UnsupportedFault(f"only the whole file is served: {move.keyword} = {value!r} is no number")
                changes[move.place] = make_card(move.keyword, float(value + move.sign * start), move.comment)
        added = [make_card(keyword, float(-ranges[axis][0])) for keyword, axis in self._missing if ranges[axis][0]]
        return changes, added


def empty_primary(hdu: Hdu, drop: Container[str]) -> HeaderTemplate:
    """Return a primary header for extensions alone: the parent's, without what described an array in it."""
    full = HeaderTemplate(hdu.header)
    untrue = {
        keyword
        for keyword in full.places
        if keyword in drop or keyword in _UNTRUE_AFTER_A_CUT or (hdu.shape and _OF_THE_ARRAY.match(keyword))
    }
    template = full.without(untrue)
    places = template.places
    return HeaderTemplate(template.write({places["BITPIX"][0]: _BYTES, places["NAXIS"][0]: _NO_ARRAY}))
