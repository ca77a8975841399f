"""Tile-compressed images (FITS 4.0 section 10): the tiles that a section touches, and the image's own header."""

import itertools
import math
import re
import threading
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from imageserv.core.errors import FitsFault, LimitFault, UnsupportedFault

from .cards import CARD, HeaderTemplate, make_card
from .layout import Hdu

_TABLE_KEYWORDS = re.compile(
    r"(XTENSION|BITPIX|NAXIS\d*|PCOUNT|GCOUNT|TFIELDS|THEAP|T(TYPE|FORM|UNIT|NULL|SCAL|ZERO|DISP|DIM)\d+"
    r"|ZIMAGE|ZCMPTYPE|ZNAME\d+|ZVAL\d+|ZTILE\d+|ZBITPIX|ZNAXIS\d*|ZMASKCMP|ZQUANTIZ|ZDITHER0|ZBLANK"
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
    blank = table.value("ZBLANK")
    if hdu.bitpix > 0 and isinstance(blank, int) and "BLANK" not in table:
        cards.append(make_card("BLANK", blank))
    return b"".join(card.ljust(CARD) for card in cards)


class TileReader:
    """The tile-compressed images of one file; safe for use from several threads.

    Parameters
    ----------
    path
        The file, unpacked.
    max_tile_pixels
        A tile of more pixels is refused: decoding it would need that much memory whatever the section.
    """

    def __init__(self, path: Path, max_tile_pixels: int) -> None:
        self._lock = threading.Lock()
        self._max_tile_pixels = max_tile_pixels
        self._hdus: Any = fits.open(path, mode="readonly", memmap=True, do_not_scale_image_data=True)
        self._tables: Any = fits.open(path, mode="readonly", memmap=True, disable_image_compression=True)

    def __del__(self) -> None:
        """Close the file."""
        for hdus in (getattr(self, "_hdus", None), getattr(self, "_tables", None)):
            if hdus is not None:
                hdus.close()

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
            Raised if the tiles are larger than allowed.
        FitsFault
            Raised if the tiles cannot be decoded.
        """
        header = HeaderTemplate(hdu.header)
        if hdu.bitpix < 0 and ("ZSCALE" in header or "ZZERO" in header):
            raise UnsupportedFault("its tiles are scaled by the keywords ZSCALE and ZZERO, which is not read")
        tile = [header.value(f"ZTILE{axis}") for axis in range(1, len(hdu.shape) + 1)]
        lengths = [
            length if isinstance(length, int) else (hdu.shape[0] if axis == 0 else 1)  # the default: rows
            for axis, length in enumerate(tile)
        ]
        if math.prod(lengths) > self._max_tile_pixels or min(lengths) < 1:
            raise LimitFault(f"its tiles have {math.prod(lengths)} pixels; at most {self._max_tile_pixels} are decoded")
        try:
            with self._lock, warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._check_gzip(hdu, lengths, section)
                pixels = self._hdus[hdu.index].section[section]
        except FitsFault:
            raise
        except Exception as error:  # codecs raise what they like on damaged tiles
            raise FitsFault(f"HDU {hdu.index}: its tiles cannot be decoded: {error}") from error
        return np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder(">"))

    def _check_gzip(self, hdu: Hdu, tile: list[int], section: tuple[slice, ...]) -> None:
        """Refuse gzipped tiles that unpack to more than a tile, before anybody unpacks them whole."""
        table = self._tables[hdu.index].data
        names = [name for name in ("COMPRESSED_DATA", "GZIP_COMPRESSED_DATA") if name in table.names]
        if not str(self._tables[hdu.index].header["ZCMPTYPE"]).startswith("GZIP"):
            names.remove("COMPRESSED_DATA")
        most = math.prod(tile) * 8
        for row in _touched_rows(hdu.shape, tile, section):
            for name in names:
                packed = table[name][row].tobytes()
                if packed and len(zlib.decompressobj(31).decompress(packed, most + 1)) > most:
                    raise FitsFault(f"HDU {hdu.index}: tile {row + 1} unpacks to more than its pixels")


def _touched_rows(shape: tuple[int, ...], tile: list[int], section: tuple[slice, ...]) -> Iterator[int]:
    """Yield the rows (from 0) of the tiles that a section touches: NAXIS1 runs fastest (FITS 4.0 section 10.1)."""
    counts = [-(-length // size) for length, size in zip(shape, tile, strict=True)]
    ranges = [
        range(part.start // size, -(-part.stop // size)) for part, size in zip(reversed(section), tile, strict=True)
    ]
    for places in itertools.product(*ranges):
        yield sum(place * math.prod(counts[:axis]) for axis, place in enumerate(places))
