"""One tile-compressed image: the tiles that a section touches, decoded, and made pixels (FITS 4.0 section 10)."""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

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
        """Cut across the slowest axis, so that no slab has many more pixels than a block; say where each is."""
        axis = next((axis for axis, length in enumerate(self.shape) if length > 1), 0)
        length, stride = self.shape[axis], self.strides[axis]
        step = max(1, _BLOCK_PIXELS * length // math.prod(self.shape))
        for first in range(0, length, step):
            last = min(first + step, length)
            shape = (*self.shape[:axis], last - first, *self.shape[axis + 1 :])
            slab = _Cut(self.tile, shape, self.start + first * stride, self.stop - (length - last) * stride, self.strides)
            yield (*[slice(None)] * axis, slice(first, last)), slab


class _Piece(NamedTuple):
    """A tile, its row in the table and what that says, and its pixels that are in a section."""

    tile: Tile
    number: int
    row: TileRow
    cut: _Cut

    def pixels(self) -> NDArray[Any]:
        """Return the pixels, as they are stored."""
        return self.tile.part(self.cut.start, self.cut.shape, self.cut.strides)

    def randoms(self, seed: int) -> NDArray[np.float64]:
        """Return the dither of the pixels."""
        cut = self.cut
        numbers = randoms(self.number + seed, cut.start, cut.stop)
        return np.ndarray(cut.shape, np.float64, numbers, 0, tuple([8 * stride for stride in cut.strides]))


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

    def _read_line(
        self, first: tuple[int, ...], along: int, count: int, section: Section, target: NDArray[Any]
    ) -> None:
        """Read what a section has of so many tiles from a first one on, which is counted along each axis."""
        ends = [self._cut(_moved(first, along, step), section) for step in sorted({0, count - 1})]
        inner = [self._cut(_moved(first, along, 1), section)] * (count - 2)  # all alike
        cuts = [ends[0], *inner, *ends[1:]]
        number = sum([place * step for place, step in zip(first, self._steps, strict=True)])
        together = max(1, _BLOCK_PIXELS // math.prod(cuts[len(cuts) // 2].shape))
        done = 0
        for start in range(0, count, together):
            pieces: list[_Piece] = []
            length = 0
            for step, cut in enumerate(cuts[start : start + together], start):
                pieces.append(self._piece(number + step * self._steps[along], cut))
                length += cut.shape[along]
            part = target[(*[slice(None)] * along, slice(done, done + length))]
            done += length
            if len(pieces) > 1:
                self._convert(pieces, along, part)
            else:
                for where, slab in cut.slabs():
                    self._convert([pieces[0]._replace(cut=slab)], along, part[where])

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
            row = self._table.row(number)
            tile = self._cache.get(key, cut.stop)
            if tile is None:
                tile = self._decode[row.column](self._table.bytes(row), cut.tile, cut.stop)
                if tile.pixels < cut.stop:
                    raise DamagedTile(f"has {tile.pixels} pixels")
                self._cache.put(key, tile)
        except DamagedTile as error:
            raise DamagedTile(f"tile {number + 1} {error}") from error
        return _Piece(tile, number, row, cut)

    def _convert(self, pieces: list[_Piece], along: int, target: NDArray[Any]) -> None:
        """Write the pixels of pieces that follow one another along an axis."""
        lead, at = (slice(None),) * along, 0
        parts: list[tuple[_Piece, Section]] = []
        for piece in pieces:
            parts.append((piece, (*lead, slice(at, at := at + piece.cut.shape[along]))))
        if self._quantization is not None:
            self._dequantise(parts, along, target, self._quantization)
            return
        for piece, where in parts:
            pixels = piece.pixels()
            target[where] = pixels
            if self._blank is not None:
                target[where][pixels == piece.row.blank] = self._blank

    def _dequantise(
        self, parts: list[tuple[_Piece, Section]], along: int, target: NDArray[Any], method: Quantization
    ) -> None:
        rows = [piece.row for piece, _ in parts]
        lengths = [piece.cut.shape[along] for piece, _ in parts]

        def each(values: list[Any], default: Any) -> Any:
            """Return what is of one tile; of several, an array of it for the pixels along the axis."""
            if values[0] is None:
                return default
            if len(values) == 1:
                return values[0]
            return np.repeat(np.array(values), lengths).reshape(-1, *[1] * (target.ndim - 1 - along))

        numbers = np.empty(target.shape)
        for piece, where in parts:
            numbers[where] = piece.pixels()
        special = method.special(numbers, each([row.blank for row in rows], method.blank))
        if method.dither:
            for piece, where in parts:
                part = numbers[where]
                np.subtract(part, piece.randoms(method.seed), out=part)
            numbers += 0.5
        numbers *= each([row.scale for row in rows], method.scale)
        numbers += each([row.zero for row in rows], method.zero)
        target[...] = numbers
        for value, mask in special:
            target[mask] = value
        for piece, where in parts:
            if piece.row.column != "COMPRESSED_DATA":  # a tile that was not worth quantising
                target[where] = piece.pixels()


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
        strides.append(strides[-1] * length)
    return tuple(reversed(strides))


def _moved(place: tuple[int, ...], axis: int, step: int) -> tuple[int, ...]:
    return (*place[:axis], place[axis] + step, *place[axis + 1 :])
