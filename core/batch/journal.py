"""The journal: what each step has done, one file a step, which is there once the step is done."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from .manifest import RowText
from .outcome import Done
from .storage import settle, whole

_PIECE = 10_000
"""Of how many rows the places are in memory as Python's numbers."""


@dataclass(slots=True)
class Entry:
    """What a step did.

    Attributes
    ----------
    results, bytes, failed
        As of `imageserv.core.batch.Done`.
    total_bytes
        Of this step and all before it.
    end
        How long the package is after this step.
    numbers, lengths
        Of each row its result's number, and how many bytes each of its forms has.
    """

    results: int = 0
    bytes: int = 0
    failed: int = 0
    total_bytes: int = 0
    end: int = 0
    numbers: list[int] = field(default_factory=list[int])
    lengths: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])

    @property
    def done(self) -> Done:
        """What the batch tells of the step."""
        return Done(self.results, self.bytes, self.failed)


class Journal:
    """The entries of all steps that are done, with their rows of the manifest.

    Parameters
    ----------
    folder
        Where they are.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, step: int) -> Entry | None:
        """Return the entry of a step; None if it is not done."""
        try:
            with open(self._path(step), "rb") as file:
                return Entry(**json.loads(file.readline()))
        except FileNotFoundError:
            return None

    def before(self, step: int) -> Entry:
        """Return the entry of the step before one.

        Raises
        ------
        FileNotFoundError
            Raised if that was not done.
        """
        if step == 0:
            return Entry()
        entry = self.read(step - 1)
        if entry is None:
            raise FileNotFoundError(f"step {step - 1} of the job is not done")
        return entry

    def write(self, step: int, entry: Entry, rows: Sequence[RowText]) -> None:
        """Note that a step is done."""
        with whole(self._path(step), self._folder) as file:
            file.write(json.dumps(asdict(entry)).encode() + b"\n")
            for forms in rows:
                file.writelines(forms)
        settle(self._folder)

    def rows(self, steps: int, total: int) -> Iterator[RowText]:
        """Yield the manifest's rows by the results' numbers: none but one is in memory.

        Raises
        ------
        FileNotFoundError
            Raised if a step was not done.
        """
        places = np.zeros((total, 3), dtype=np.int64)  # where a row starts, and the lengths of its forms
        with tempfile.TemporaryFile(dir=self._folder) as rows:  # one file, where there may be thousands of steps
            for step in range(steps):
                with open(self._path(step), "rb") as file:
                    entry = Entry(**json.loads(file.readline()))
                    lengths = np.array(entry.lengths, dtype=np.int64).reshape(-1, 2)
                    mine = np.array(entry.numbers, dtype=np.int64) - 1
                    places[mine, 0] = rows.tell() + np.cumsum(lengths.sum(axis=1)) - lengths.sum(axis=1)
                    places[mine, 1:] = lengths
                    shutil.copyfileobj(file, rows)
            rows.flush()
            for first in range(0, total, _PIECE):
                for start, length, more in places[first : first + _PIECE].tolist():
                    text = os.pread(rows.fileno(), length + more, start)
                    yield text[:length], text[length:]

    def _path(self, step: int) -> Path:
        return self._folder / f"done-{step:06}.json"
