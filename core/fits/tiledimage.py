"""One tile-compressed image: the tiles that a section touches, decoded, and made pixels (FITS 4.0 section 10)."""

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from imageserv.core.errors import FitsFault, LimitFault, UnsupportedFault

from .cards import HeaderTemplate
from .codecs import DamagedTile, Decoder, Tile, decoder, gzipped, plain, unpack
from .files import MappedFile
from .layout import Hdu, stored_type
from .quantization import Quantization
from .tilecache import TileCache
from .tileheader import integer_blank, tile_shape
from .tiletable import TileRow, TileTable

Section = tuple[slice, ...]
"""One slice per axis, in numpy's order."""

_BLOCK_PIXELS = 1 << 16
"""So many pixels are worked on at once: they stay in the processor's cache meanwhile."""

_HELD_PIXELS = 1 << 20
"""So many pixels of decoded tiles, and of dither, are held at once, unless a single tile has more."""

_MOST_TILES = 1_000_000
"""Of one section. Files have as many only if they mean harm."""


@dataclass(frozen=True, slots=True)
class _Cut:
    """Pixels of a tile that are in a section.

    Attributes
    ----------
    tile, shape
        Pixels along each axis, of the tile and of those in the section.
    start, stop
        The first of them and that after their last, counted from the tile's first.
    strides
        Pixels from one to the next along each axis.
    """

    tile: tuple[int, ...]
    shape: tuple[int, ...]
    start: int
    stop: int
    strides: tuple[int, ...]

    def slabs(self) -> Iterator[tuple[Section, "_Cut"]]:
        """Cut across the slowest axis, into slabs of hardly more pixels than a block; tell where in a batch each is."""
        axis = next((axis for axis, length in enumerate(self.shape) if length > 1), 0)
        length, stride = self.shape[axis], self.strides[axis]
        step = max(1, min(_BLOCK_PIXELS * length // math.prod(self.shape), _HELD_PIXELS // stride))
        for first in range(0, length, step):
            last = min(first + step, length)
            shape = (*self.shape[:axis], last - first, *self.shape[axis + 1 :])
            slab = _Cut(
                self.tile, shape, self.start + first * stride, self.stop - (length - last) * stride, self.strides
            )
            yield (slice(None), *[slice(None)] * axis, slice(first, last)), slab


class _Piece(NamedTuple):
    """A tile of which a section has pixels: its row in the table, what that says, its numbers, which of them."""

    number: int
    row: TileRow
    tile: Tile
    cut: _Cut


class TiledImage:
    """One tile-compressed image; safe for use from several threads.

    Attributes
    ----------
    shape, tile
        Pixels along each axis of the image, and of its tiles but for those at its end; in numpy's order.
    table
        Where the tiles are.
    dithered
        Whether what was subtracted from a tile's pixels depends on its row in the table.
    seed
        ZDITHER0, if so.

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
        self.table = TileTable(hdu, header, file)
        counts = [-(-length // side) for length, side in zip(self.shape, self.tile, strict=True)]
        if math.prod(counts) > self.table.rows:
            raise FitsFault(f"HDU {hdu.index}: it has {math.prod(counts)} tiles, its table {self.table.rows} rows")
        self._steps = _strides(counts)  # rows from one tile to the next along each axis: FITS 4.0 section 10.1.1
        self._dtype = stored_type(hdu.bitpix)
        floating = hdu.bitpix < 0
        quantised = any(name in header or name in self.table.columns for name in ("ZSCALE", "ZZERO"))
        if quantised and not floating:
            raise UnsupportedFault("its tiles hold integers that are scaled, which are not read")
        if "ZMASKCMP" in header:
            raise UnsupportedFault("its undefined pixels are in a mask of their own (ZMASKCMP), which is not read")
        self._quantization = Quantization(header) if quantised else None
        self.dithered = self._quantization is not None and self._quantization.dither > 0
        self.seed = self._quantization.seed if self._quantization is not None else 0
        # What stands for undefined pixels in tiles of integers becomes what stands for them in the image.
        self._blank = integer_blank(hdu, header) if "ZBLANK" in self.table.columns else None
        self._decode: dict[str, Decoder] = {
            "COMPRESSED_DATA": decoder(header, floating=floating and not quantised),
            "GZIP_COMPRESSED_DATA": partial(gzipped, floating=floating),
            "UNCOMPRESSED_DATA": partial(plain, floating=floating),
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
        touched = [range(at.start // side, -(-at.stop // side)) for at, side in zip(section, self.tile, strict=True)]
        if math.prod(map(len, touched)) > _MOST_TILES:
            raise LimitFault(f"the section is in more than {_MOST_TILES} tiles")
        # Small tiles are worked on several at once: those that follow one another along one axis.
        along = max(range(len(touched)), key=lambda axis: len(touched[axis]))
        line, touched[along] = touched[along], touched[along][:1]
        with np.errstate(over="ignore", invalid="ignore"):
            for first in itertools.product(*touched):
                target = [
                    slice(max(place * side - at.start, 0), (place + 1) * side - at.start)
                    for place, side, at in zip(first, self.tile, section, strict=True)
                ]
                target[along] = slice(None)
                self._read_line(first, along, len(line), section, pixels[tuple(target)])
        return pixels

    def numbers(self, section: Section) -> list[int]:
        """Return the rows of the table that hold the tiles of a section, in the order in which they stand there."""
        numbers = [0]
        for at, side, step in zip(section, self.tile, self._steps, strict=True):
            further = range(at.start // side * step, -(-at.stop // side) * step, step)
            numbers = [number + more for number in numbers for more in further]
        return numbers

    def _read_line(
        self, first: tuple[int, ...], along: int, count: int, section: Section, target: NDArray[Any]
    ) -> None:
        """Read what a section has of so many tiles from a first one on, which is counted along each axis."""
        # Tiles in the middle are all cut alike, and often those at the ends, too.
        middle = self._cut(_moved(first, along, count // 2), section)
        ends = [self._cut(_moved(first, along, step), section) for step in (0, count - 1)]
        head, tail = (middle if cut == middle else cut for cut in ends)
        cuts = [head, *[middle] * (count - 2), tail][:count]
        most = max(1, min(_BLOCK_PIXELS // math.prod(middle.shape), _HELD_PIXELS // math.prod(middle.tile)))
        number = sum([place * step for place, step in zip(first, self._steps, strict=True)])
        pieces = (self._piece(number + step * self._steps[along], cut) for step, cut in enumerate(cuts))
        done = 0
        for cut, alike in _batches(pieces, most):
            length = len(alike) * cut.shape[along]
            part = target[(*[slice(None)] * along, slice(done, done + length))]
            done += length
            # One axis more, which counts tiles: a view still.
            part = part.reshape(*part.shape[:along], len(alike), cut.shape[along], *part.shape[along + 1 :])
            part = part.transpose(along, *range(along), *range(along + 1, part.ndim))
            for where, slab in cut.slabs():
                self._convert(alike, slab, part[where])

    def _cut(self, place: Sequence[int], section: Section) -> _Cut:
        """Return which pixels of a tile are in a section; the tile is counted along each axis."""
        origins = [number * side for number, side in zip(place, self.tile, strict=True)]
        tile = [min(side, end - at) for side, end, at in zip(self.tile, self.shape, origins, strict=True)]
        low = [max(part.start - at, 0) for part, at in zip(section, origins, strict=True)]
        high = [min(part.stop - at, side) for part, at, side in zip(section, origins, tile, strict=True)]
        strides = _strides(tile)
        start = sum([at * stride for at, stride in zip(low, strides, strict=True)])
        last = sum([(at - 1) * stride for at, stride in zip(high, strides, strict=True)])
        return _Cut(tuple(tile), tuple([b - a for a, b in zip(low, high, strict=True)]), start, last + 1, strides)

    def _piece(self, number: int, cut: _Cut) -> _Piece:
        """Decode a tile as far as is needed."""
        key = (self._key, number)
        try:
            row = self.table.row(number)
            tile = self._cache.get(key, cut.stop)
            if tile is None:
                tile = self._decode[row.column](self.table.bytes(row), cut.tile, cut.stop)
                if tile.pixels < cut.stop:
                    raise DamagedTile(f"has {tile.pixels} pixels")
                self._cache.put(key, tile)
        except DamagedTile as error:
            raise DamagedTile(f"tile {number + 1} {error}") from error
        return _Piece(number, row, tile, cut)

    def _convert(self, pieces: list[_Piece], cut: _Cut, target: NDArray[Any]) -> None:
        """Write the pixels of tiles that are alike, of which each has the same part in the section."""
        stored = unpack([piece.tile for piece in pieces], cut.start, cut.stop, cut.shape, cut.strides)
        rows = [piece.row for piece in pieces]
        ones = [1] * len(cut.shape)

        def each(values: list[Any], default: Any) -> Any:
            """Return what is of each tile, to be used with its pixels."""
            return default if values[0] is None else np.array(values).reshape(-1, *ones)

        method = self._quantization
        if method is not None and rows[0].column == "COMPRESSED_DATA":
            method.restore(
                stored,
                method.randoms([piece.number for piece in pieces], cut.start, cut.stop, cut.shape, cut.strides),
                each([row.scale for row in rows], method.scale),
                each([row.zero for row in rows], method.zero),
                each([row.blank for row in rows], method.blank),
                target,
            )
        else:  # integers, or floating-point numbers that were not worth quantising
            target[...] = stored
            if self._blank is not None:
                target[stored == each([row.blank for row in rows], None)] = self._blank


def _batches(pieces: Iterable[_Piece], most: int) -> Iterator[tuple[_Cut, list[_Piece]]]:
    """Yield tiles that follow one another and are alike together, and which part of each is needed."""
    batch: list[_Piece] = []
    for piece in pieces:
        last = batch[-1] if batch else piece
        alike = piece.cut is last.cut and piece.row.column == last.row.column and piece.tile.dtype == last.tile.dtype
        if batch and (len(batch) == most or not alike):
            yield last.cut, batch
            batch = []
        batch.append(piece)
    yield batch[-1].cut, batch


def _strides(shape: Sequence[int]) -> tuple[int, ...]:
    """Return how far apart neighbours along each axis are, in an array of that shape."""
    strides = [1]
    for length in reversed(shape[1:]):
        strides.append(strides[-1] * length)
    return tuple(reversed(strides))


def _moved(place: tuple[int, ...], axis: int, step: int) -> tuple[int, ...]:
    return (*place[:axis], place[axis] + step, *place[axis + 1 :])
