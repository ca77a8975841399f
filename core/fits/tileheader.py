"""What the header of a table of tiles says (FITS 4.0 section 10.1): of the tiles, and of the image that they are."""

import math
import re

from imageserv.core.errors import FitsFault

from .cards import CARD, HeaderTemplate, make_card
from .layout import Hdu

_TABLE_KEYWORDS = re.compile(
    r"(XTENSION|BITPIX|NAXIS\d*|PCOUNT|GCOUNT|TFIELDS|THEAP|T(TYPE|FORM|UNIT|NULL|SCAL|ZERO|DISP|DIM)\d+"
    r"|ZIMAGE|ZCMPTYPE|ZNAME\d+|ZVAL\d+|ZTILE\d+|ZBITPIX|ZNAXIS\d*|ZMASKCMP|ZQUANTIZ|ZDITHER0|ZSCALE|ZZERO|ZBLANK"
    r"|ZSIMPLE|ZTENSION|ZEXTEND|ZBLOCKED|ZPCOUNT|ZGCOUNT|ZHECKSUM|ZDATASUM|CHECKSUM|DATASUM)$"
)
"""What describes the table that holds the tiles, not the image (FITS 4.0 sections 7.3 and 10.1)."""


def image_header(hdu: Hdu) -> bytes:
    """Return the header of the image that a table of tiles holds: an IMAGE extension's, 80-byte cards without END."""
    table = HeaderTemplate(hdu.header)
    cards = [make_card("XTENSION", "IMAGE"), make_card("BITPIX", hdu.bitpix), make_card("NAXIS", len(hdu.shape))]
    cards += [make_card(f"NAXIS{axis}", length) for axis, length in enumerate(hdu.shape, 1)]
    cards += [make_card("PCOUNT", 0), make_card("GCOUNT", 1)]
    drop = {keyword for keyword in table.places() if _TABLE_KEYWORDS.match(keyword)}
    if table.value("EXTNAME") == "COMPRESSED_IMAGE":
        drop.add("EXTNAME")  # the name that writers give the table
    cards += table.without(drop).cards()
    blank = integer_blank(hdu, table)
    if blank is not None and "BLANK" not in table:
        cards.append(make_card("BLANK", blank))
    return b"".join(card.ljust(CARD) for card in cards)


def tile_shape(hdu: Hdu, header: HeaderTemplate) -> tuple[int, ...]:
    """Return the shape of the tiles, NAXIS1 first; those that are left out are rows of the image."""
    lengths: list[int] = []
    for axis, whole in enumerate(hdu.shape):
        length = header.value(f"ZTILE{axis + 1}")
        lengths.append(length if isinstance(length, int) else whole if axis == 0 else 1)
    if min(lengths, default=0) < 1:
        raise FitsFault(f"HDU {hdu.index}: its tiles are of {math.prod(lengths)} pixels")
    return tuple(lengths)


def integer_blank(hdu: Hdu, header: HeaderTemplate) -> int | None:
    """Return BLANK of an image of integers: its own, or its table's; None if no pixel is undefined."""
    if hdu.bitpix < 0:
        return None
    for keyword in ("BLANK", "ZBLANK"):
        value = header.value(keyword)
        if isinstance(value, int):
            return value
    fields = header.value("TFIELDS")
    names = [header.value(f"TTYPE{number + 1}") for number in range(fields if isinstance(fields, int) else 0)]
    return (0 if hdu.bitpix == 8 else -(1 << (hdu.bitpix - 1))) if "ZBLANK" in names else None
