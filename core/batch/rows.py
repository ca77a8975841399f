"""The rows of a catalogue, kept on disk so that any of them is at hand and none is in memory."""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from .storage import whole, write_array
from .tables import Row

_ROWS, _STARTS = "rows.json", "rows.npy"


def write_rows(folder: Path, rows: Iterable[Row]) -> int:
    """Write rows; return how many."""
    starts = [0]
    with whole(folder / _ROWS, folder) as file:
        for row in rows:
            starts.append(starts[-1] + file.write(json.dumps(row).encode()))
    write_array(folder / _STARTS, np.array(starts, dtype=np.int64))
    return len(starts) - 1


class StoredRows:
    """Rows that were written to a folder."""

    def __init__(self, folder: Path) -> None:
        # Mapped, both: as long as nobody holds the rows there is nothing to close.
        self._rows = np.asarray(np.memmap(folder / _ROWS, np.uint8, mode="r"))
        self._starts = np.asarray(np.load(folder / _STARTS, mmap_mode="r"))

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._starts) - 1

    def __getitem__(self, number: int) -> Row:
        """Read one row, counted from 0."""
        start, stop = self._starts[number : number + 2].tolist()
        row: Row = json.loads(self._rows[start:stop].tobytes())
        return row
