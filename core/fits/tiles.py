"""Tile-compressed images (FITS 4.0 section 10): the tiles that a section touches, and the image's own header."""

import math
import re
from typing import Any

from numpy.typing import NDArray

from imageserv.core.errors import FitsFault, LimitFault

from .cards import CARD, HeaderTemplate, make_card
from .codecs import DamagedTile
from .files import MappedFile
from .layout import Hdu
from .tilecache import TileCache
from .tiledimage import TiledImage
from .tiletable import integer_blank

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


class TileReader:
    """The tile-compressed images of one file; safe for use from several threads.

    Parameters
    ----------
    file
        The file, unpacked.
    cache
        Where decoded tiles are kept.
    max_tile_pixels
        A tile of more pixels is refused: decoding it would need that much memory whatever the section.
    """

    def __init__(self, file: MappedFile, cache: TileCache, max_tile_pixels: int) -> None:
        self._file = file
        self._cache = cache
        self._max_tile_pixels = max_tile_pixels
        self._images: dict[int, TiledImage] = {}

    def read(self, hdu: Hdu, section: tuple[slice, ...]) -> NDArray[Any]:
        """Return the stored (unscaled) pixels of a section.

        Parameters
        ----------
        section
            One slice per axis in numpy's order (the last is NAXIS1).

        Returns
        -------
        ndarray
            Of the section's shape and the image's BITPIX, big-endian.

        Raises
        ------
        LimitFault
            Raised if the tiles are larger than allowed, or too many.
        UnsupportedFault
            Raised if the tiles are of a kind that is not read.
        FitsFault
            Raised if the tiles cannot be decoded.
        """
        image = self._images.get(hdu.index)
        if image is None:
            image = self._images[hdu.index] = TiledImage(hdu, self._file, self._cache)
        pixels = math.prod(image.tile)
        if pixels > self._max_tile_pixels:
            raise LimitFault(f"its tiles have {pixels} pixels; at most {self._max_tile_pixels} are decoded")
        try:
            return image.read(section)
        except DamagedTile as error:
            raise FitsFault(f"HDU {hdu.index}: its tiles cannot be decoded: {error}") from error
