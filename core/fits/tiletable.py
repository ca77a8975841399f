"""The binary table that holds the tiles of a compressed image (FITS 4.0 sections 7.3 and 10.1): a row for each."""

import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from imageserv.core.errors import FitsFault

from .cards import HeaderTemplate
from .codecs import Bytes, DamagedTile
from .files import MappedFile
from .layout import Hdu

DATA = ("COMPRESSED_DATA", "GZIP_COMPRESSED_DATA", "UNCOMPRESSED_DATA")
"""The columns that a tile's bytes may be in, in the order in which they are looked at (FITS 4.0 section 10.1.3)."""

_FORM = re.compile(r"(\d*)([LXBIJKAEDCMPQ])\(?([A-Z]?)")
_SIZES = {"L": 1, "B": 1, "I": 2, "J": 4, "K": 8, "A": 1, "E": 4, "D": 8, "C": 8, "M": 16, "P": 8, "Q": 16}
_STRUCT = {"B": "B", "I": "h", "J": "i", "K": "q", "E": "f", "D": "d", "P": "II", "Q": "qq"}
_NUMBERS = ("ZSCALE", "ZZERO", "ZBLANK")


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a binary table.

    Attributes
    ----------
    offset
        Bytes from the start of a row.
    form
        Letter of its type; P and Q are descriptors of arrays in the heap.
    size
        Bytes of a number, of the arrays' if it has descriptors.
    """

    offset: int
    form: str
    size: int


class TileRow(NamedTuple):
    """What a table says of one tile.

    Attributes
    ----------
    column
        One of `DATA`.
    offset, size
        Of its bytes in the file.
    scale, zero, blank
        From the columns ZSCALE, ZZERO, ZBLANK; None where there are none.
    """

    column: str
    offset: int
    size: int
    scale: float | None
    zero: float | None
    blank: int | None


class TileTable:
    """The table of one compressed image.

    Parameters
    ----------
    hdu, header
        The HDU, and its header read.
    file
        The file that it is in.

    Attributes
    ----------
    rows
        How many.
    columns
        By name: those that tiles have.

    Raises
    ------
    FitsFault
        Raised if it is no table of tiles.
    """

    def __init__(self, hdu: Hdu, header: HeaderTemplate, file: MappedFile) -> None:
        width, rows, fields, heap = (header.value(name) for name in ("NAXIS1", "NAXIS2", "TFIELDS", "THEAP"))
        if not isinstance(width, int) or not isinstance(rows, int) or not isinstance(fields, int):
            raise FitsFault(f"HDU {hdu.index}: its table of tiles has no NAXIS1, NAXIS2 or TFIELDS")
        self.rows = rows
        columns = _columns(hdu, header, width, fields)
        self.columns = {name: column for name, column in columns if name in (*DATA, *_NUMBERS)}
        self._arrays = [column for _, column in columns if column.form in "PQ"]
        self._file = file
        self._bytes = np.frombuffer(file.buffer, np.uint8)
        self._width = width
        self._start = hdu.data_offset
        self._heap = hdu.data_offset + (heap if isinstance(heap, int) and heap >= width * rows else width * rows)
        self._end = hdu.data_offset + hdu.data_size
        self._table = self._bytes[hdu.data_offset : hdu.data_offset + width * rows].reshape(rows, width)
        # The fields of a row that tell of a tile, and where in what is unpacked they are.
        places: dict[str, int] = {}
        form, at, place = ">", 0, 0
        for name, column in sorted(self.columns.items(), key=lambda item: item[1].offset):
            codes = _STRUCT[column.form]
            form += f"{column.offset - at}x{codes}"
            at = column.offset + _SIZES[column.form]
            places[name] = place
            place += len(codes)
        self._row = struct.Struct(form)
        # None, which follows the fields, where there is no such column.
        self._scale, self._zero, self._blank = (places.get(name, -1) for name in _NUMBERS)
        self._data = [(name, places[name], self.columns[name].size) for name in DATA if name in places]

    def row(self, number: int) -> TileRow:
        """Return what the table says of a tile; rows count from 0.

        Raises
        ------
        DamagedTile
            Raised if it has no bytes, or such as are not in the table's heap.
        """
        fields: tuple[Any, ...] = *self._row.unpack_from(self._file.buffer, self._start + number * self._width), None
        for name, place, size in self._data:
            if count := fields[place]:
                size *= count
                offset = self._heap + fields[place + 1]
                if count < 0 or offset < self._heap or offset + size > self._end:
                    raise DamagedTile("is not within its table")
                return TileRow(name, offset, size, fields[self._scale], fields[self._zero], fields[self._blank])
        raise DamagedTile("is not there")

    def bytes(self, row: TileRow) -> Bytes:
        """Return the bytes of a tile: a view of the file."""
        return self._bytes[row.offset : row.offset + row.size]

    def copied(self, numbers: Sequence[int]) -> tuple[Bytes, list[tuple[int, int]]]:
        """Return rows as they are, but for their descriptors: those of a heap that has only their arrays.

        Returns
        -------
        rows : ndarray
            Of bytes, a row for each number.
        pieces : list of tuple
            What the heap has: offsets in the file, and sizes.

        Raises
        ------
        DamagedTile
            Raised if an array is not in the table's heap, or if they have more bytes together than it.
        """
        rows = self._table[numbers]
        pieces: list[tuple[int, int]] = []
        room, length = self._end - self._heap, 0
        for column in self._arrays:
            place = slice(column.offset, column.offset + _SIZES[column.form])
            # What is negative, and should not be, is far too large without its sign.
            descriptors = rows[:, place].copy().view(">u4" if column.form == "P" else ">u8")
            if descriptors.max() > room:
                raise DamagedTile("is not within its table")
            counts, starts = descriptors.astype(np.int64).T
            if not counts.any():
                rows[:, place] = 0
                continue
            sizes = counts * column.size
            ends = sizes.cumsum() + length
            if (starts + sizes).max() > room or ends[-1] > room:
                raise DamagedTile("is not within its table")
            descriptors[:, 1] = ends - sizes
            rows[:, place] = descriptors.view(np.uint8)
            pieces += _runs(self._heap + starts, sizes)
            length = int(ends[-1])
        return rows, pieces

    def joined(self, rows: Bytes, pieces: list[tuple[int, int]]) -> list[Bytes]:
        """Return a table and its heap, what `copied` gave, in the parts that it consists of."""
        return [rows.ravel(), *[self._bytes[start : start + size] for start, size in pieces]]


def _columns(hdu: Hdu, header: HeaderTemplate, width: int, fields: int) -> list[tuple[str, Column]]:
    """Return the columns that hold a number, or a descriptor of an array, in each row."""
    columns: list[tuple[str, Column]] = []
    offset = 0
    for number in range(1, fields + 1):
        name, form = header.value(f"TTYPE{number}"), header.value(f"TFORM{number}")
        match = _FORM.match(form) if isinstance(form, str) else None
        if match is None:
            raise FitsFault(f"HDU {hdu.index}: TFORM{number} of its table of tiles is {form!r}")
        count, letter, element = int(match[1] or 1), match[2], match[3]
        size = _SIZES.get(element if letter in "PQ" else letter)
        if letter in "PQ" and count and (size is None or count > 1 or name in _NUMBERS):
            raise FitsFault(f"HDU {hdu.index}: TFORM{number} of its table of tiles is {form!r}")
        if size is not None and count == 1 and letter in _STRUCT and (letter in "PQ" or name in _NUMBERS):
            columns.append((str(name), Column(offset, letter, size)))
        offset += -(-count // 8) if letter == "X" else count * _SIZES[letter]
    if offset > width or not any(name in DATA for name, _ in columns):
        raise FitsFault(f"HDU {hdu.index}: its table has no tiles")
    return columns


def _runs(starts: NDArray[np.int64], sizes: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Join arrays, one at least not empty, that follow one another in the file: where each run starts, its size."""
    if not sizes.all():  # what is empty may be said to be anywhere
        starts, sizes = starts[sizes > 0], sizes[sizes > 0]
    first = np.concatenate(([0], np.flatnonzero(starts[1:] != starts[:-1] + sizes[:-1]) + 1))
    return list(zip(starts[first].tolist(), np.add.reduceat(sizes, first).tolist(), strict=True))
