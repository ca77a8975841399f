"""One tile-compressed image: the tiles that a section touches, decoded, and made pixels (FITS 4.0 section 10)."""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imageserv.core.errors import FitsFault, LimitFault, UnsupportedFault

from .cards import HeaderTemplate
from .codecs import DamagedTile, Tile, decoder, gzipped, stored
from .files import MappedFile
from .layout import BITPIX, Hdu
from .quantization import Quantization, randoms
from .tilecache import TileCache
from .tiletable import TileRow, TileTable, tile_shape

Section = tuple[slice, ...]
"""One slice per axis, in numpy's order."""

_BLOCK_PIXELS = 1 << 16
"""So many pixels are worked on at once: they stay in the processor's cache meanwhile."""

_MOST_TILES = 1_000_000
"""Of one section. Files have as many only if they mean harm."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """What a section has of one tile.

    Attributes
    ----------
    number, row
        The tile's row in the table, and what it says.
    tile
        The tile, decoded.
    place
        Where in the image the pixels are.
    start, strides
        Where in the tile they are: the first of them, counted from the tile's first, and steps along the axes.
    """

    number: int
    row: TileRow
    tile: Tile
    place: Section
    start: int
    strides: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Pixels along each axis."""
        return tuple([at.stop - at.start for at in self.place])

    def pixels(self) -> NDArray[Any]:
        """Return the numbers of the tile, as they are stored."""
        return self.tile.part(self.start, self.shape, self.strides)

    def randoms(self, seed: int) -> NDArray[np.float64]:
        """Return the dither of the pixels."""
        shape = self.shape
        stop = self.start + 1 + sum([(length - 1) * step for length, step in zip(shape, self.strides, strict=True)])
        numbers = randoms(self.number + seed, self.start, stop)
        return np.ndarray(shape, np.float64, numbers, 0, tuple([step * 8 for step in self.strides]))

    def slabs(self) -> Iterator["_Piece"]:
        """Cut the piece across its slowest axis, so that none has many more pixels than a block."""
        shape = self.shape
        axis = next((axis for axis, length in enumerate(shape) if length > 1), 0)
        step = max(1, _BLOCK_PIXELS * shape[axis] // math.prod(shape))
        whole = self.place[axis]
        for start in range(whole.start, whole.stop, step):
            place = _with(self.place, axis, slice(start, min(start + step, whole.stop)))
            yield replace(self, place=place, start=self.start + (start - whole.start) * self.strides[axis])


class TiledImage:
    """One tile-compressed image; safe for use from several threads.

    Attributes
    ----------
    shape, tile
        Pixels along each axis of the image, and of its tiles but for those at its end; in numpy's order.

    Raises
    ------
    FitsFault
        Raised if its table is damaged.
    UnsupportedFault
        Raised if it is of a kind that is not read.
    """

    def __init__(self, hdu: Hdu, file: MappedFile, cache: TileCache) -> None:
        header = HeaderTemplate(hdu.header)
        self.shape = tuple(reversed(hdu.shape))
        self.tile = tuple(reversed(tile_shape(hdu, header)))
        self._cache = cache
        self._key = (file.identity, hdu.index)
        self._table = TileTable(hdu, header, file)
        counts = [-(-length // side) for length, side in zip(self.shape, self.tile, strict=True)]
        if math.prod(counts) > self._table.rows:
            raise FitsFault(f"HDU {hdu.index}: it has {math.prod(counts)} tiles, its table {self._table.rows} rows")
        self._steps = _strides(counts)  # rows from one tile to the next along each axis: FITS 4.0 section 10.1.1
        self._dtype = np.dtype(f">{'f' if hdu.bitpix < 0 else 'u' if hdu.bitpix == 8 else 'i'}{BITPIX[hdu.bitpix]}")
        floating = hdu.bitpix < 0
        quantised = any(name in header or name in self._table.columns for name in ("ZSCALE", "ZZERO"))
        if quantised and not floating:
            raise UnsupportedFault("its tiles hold integers that are scaled, which are not read")
        if "ZMASKCMP" in header:
            raise UnsupportedFault("its undefined pixels are in a mask of their own (ZMASKCMP), which is not read")
        self._quantization = Quantization(header) if quantised else None
        self._blank = _blank(header, hdu.bitpix) if not floating and "ZBLANK" in self._table.columns else None
        self._decode = {
            "COMPRESSED_DATA": decoder(header, floating=floating and not quantised),
            "GZIP_COMPRESSED_DATA": lambda data, shape, _: gzipped(data, shape, floating=floating),
            "UNCOMPRESSED_DATA": lambda data, shape, _: stored(data, shape, floating=floating),
        }

    def read(self, section: Section) -> NDArray[Any]:
        """Return the stored (unscaled) pixels of a section, big-endian.

        Raises
        ------
        LimitFault
            Raised if it touches too many tiles.
        DamagedTile
            Raised if a tile cannot be decoded.
        """
        pixels: NDArray[Any] = np.empty([at.stop - at.start for at in section], self._dtype)
        shares = [
            [slice(max(at.start, tile), min(at.stop, tile + side)) for tile in range(at.start // side * side, at.stop, side)]
            for at, side in zip(section, self.tile, strict=True)
        ]
        if math.prod(map(len, shares)) > _MOST_TILES:
            raise LimitFault(f"the section is in more than {_MOST_TILES} tiles")
        # Small tiles are worked on several at once: those that follow one another along one axis.
        along = max(range(len(shares)), key=lambda axis: len(shares[axis]))
        tiles, shares[along] = shares[along], [slice(0, 1)]
        with np.errstate(over="ignore", invalid="ignore"):
            for share in itertools.product(*shares):
                others = math.prod([at.stop - at.start for at in share])
                count = max(1, _BLOCK_PIXELS // (others * self.tile[along]))
                for first in range(0, len(tiles), count):
                    pieces = [self._piece(_with(share, along, at)) for at in tiles[first : first + count]]
                    for block in [pieces] if len(pieces) > 1 else [[slab] for slab in pieces[0].slabs()]:
                        self._convert(block, along, pixels, section)
        return pixels

    def _piece(self, place: Section) -> _Piece:
        """Decode a tile as far as is needed for a part of the image that is within it."""
        sides = self.tile
        tile = [at.start // side for at, side in zip(place, sides, strict=True)]
        shape = tuple([min(side, len_ - no * side) for no, side, len_ in zip(tile, sides, self.shape, strict=True)])
        strides = _strides(shape)
        start, last = 0, 0
        for at, no, side, stride in zip(place, tile, sides, strides, strict=True):
            start += (at.start - no * side) * stride
            last += (at.stop - 1 - no * side) * stride
        number = sum([no * step for no, step in zip(tile, self._steps, strict=True)])
        key = (*self._key, number)
        try:
            row = self._table.row(number)
            decoded = self._cache.get(key, last + 1)
            if decoded is None:
                decoded = self._decode[row.column](self._table.bytes(row), shape, last + 1)
                if len(decoded) <= last:
                    raise DamagedTile(f"has {len(decoded)} pixels")
                self._cache.put(key, decoded)
        except DamagedTile as error:
            raise DamagedTile(f"tile {number + 1} {error}") from error
        return _Piece(number, row, decoded, place, start, strides)

    def _convert(self, pieces: list[_Piece], along: int, pixels: NDArray[Any], section: Section) -> None:
        """Write the pixels of pieces that follow one another along an axis to where they belong in the section."""
        block = _with(pieces[0].place, along, slice(pieces[0].place[along].start, pieces[-1].place[along].stop))
        target = pixels[_within(block, section)]
        if self._quantization is None:
            for piece in pieces:
                part = target[_within(piece.place, block)]
                numbers = piece.pixels()
                part[...] = numbers
                if self._blank is not None:
                    part[numbers == piece.row.blank] = self._blank
        else:
            self._dequantise(pieces, along, target, block, self._quantization)

    def _dequantise(
        self, pieces: list[_Piece], along: int, target: NDArray[Any], block: Section, method: Quantization
    ) -> None:
        rows = [piece.row for piece in pieces]
        lengths = [piece.shape[along] for piece in pieces]

        def each(values: list[Any]) -> Any:
            """Return what is of one tile; of several, an array of it for the pixels along the axis."""
            if len(values) == 1:
                return values[0]
            return np.repeat(np.array(values), lengths).reshape(-1, *[1] * (target.ndim - 1 - along))

        numbers = np.empty(target.shape)
        for piece in pieces:
            numbers[_within(piece.place, block)] = piece.pixels()
        blank = method.blank if rows[0].blank is None else each([row.blank for row in rows])
        special = method.special(numbers, blank)
        if method.dither:
            for piece in pieces:
                numbers[_within(piece.place, block)] -= piece.randoms(method.seed)
            numbers += 0.5
        numbers *= method.scale if rows[0].scale is None else each([row.scale for row in rows])
        numbers += method.zero if rows[0].zero is None else each([row.zero for row in rows])
        target[...] = numbers
        for value, where in special:
            target[where] = value
        for piece in pieces:
            if piece.row.column != "COMPRESSED_DATA":  # a tile that was not worth quantising
                target[_within(piece.place, block)] = piece.pixels()


def _blank(header: HeaderTemplate, bitpix: int) -> int:
    """Return what stands for undefined pixels in an image of integers whose tiles have their own: its BLANK."""
    for keyword in ("ZBLANK", "BLANK"):
        value = header.value(keyword)
        if isinstance(value, int):
            return value
    return 0 if bitpix == 8 else -(1 << (bitpix - 1))


def _strides(shape: Sequence[int]) -> tuple[int, ...]:
    """Return how far apart neighbours along each axis are, in an array of that shape."""
    strides = [1]
    for length in reversed(shape[1:]):
        strides.insert(0, strides[0] * length)
    return tuple(strides)


def _with(section: Section, axis: int, at: slice) -> Section:
    return (*section[:axis], at, *section[axis + 1 :])


def _within(inner: Section, outer: Section) -> Section:
    return tuple([slice(a.start - b.start, a.stop - b.start) for a, b in zip(inner, outer, strict=True)])
