"""Where the files of jobs are: a folder for each, in one that all workers and servers see."""

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from .model import UNFINISHED, Phase

_DISCARDED = ".discarded-"
_GRACE = 3600.0  # seconds in which a folder's job may still be on its way into the database
_REST = 60.0  # seconds without a change after which nobody works on a job that has ended, however it did
_RETURN = 86_400.0  # seconds in which a database that was put away, with the jobs of older folders in it, may come back
_WORK = "work"


class JobFiles:
    """The folders of jobs.

    Parameters
    ----------
    root
        Where they are; made when it is needed.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def folder(self, identifier: str) -> Path:
        """Return the folder of a job, which may not exist yet."""
        return self._root / identifier

    def upload(self, identifier: str, name: str) -> Path:
        """Return a file that was uploaded."""
        return self.folder(identifier) / "uploads" / name

    def result(self, identifier: str, name: str) -> Path:
        """Return a result's file. A job that packs its results has its manifest among them, which is a file once."""
        path = self.folder(identifier) / "results" / name
        return path if path.exists() else self.manifest(identifier, name)

    def manifest(self, identifier: str, name: str) -> Path:
        """Return a file of the manifest."""
        return self.folder(identifier) / "manifest" / name

    def discard(self, identifier: str) -> None:
        """Take a job's files away: at once, however many; their space is free once a worker has swept."""
        try:
            self.folder(identifier).rename(self._root / f"{_DISCARDED}{identifier}")
        except OSError:
            pass  # there are none, or it was done already; what cannot be renamed will be swept

    def sweep(self, known: Callable[[Sequence[str]], tuple[float, Mapping[str, Phase]]]) -> None:
        """Free the space of what was discarded, of what belongs to no job, and of what ended jobs need no more.

        Parameters
        ----------
        known
            Tells since when jobs are known, seconds since 1970, and the phases of some, by identifiers; those that are
            no job's are left out.
        """
        looked_at: list[Path] = []
        for path in self._folders():
            if path.name.startswith(_DISCARDED):
                shutil.rmtree(path, ignore_errors=True)
            elif _age(path) > _GRACE or _age(path / _WORK) > _REST:
                looked_at.append(path)
        for start in range(0, len(looked_at), 500):
            part = looked_at[start : start + 500]
            since, phases = known([path.name for path in part])
            reign = abs(time.time() - since)  # a clock may have run ahead
            for path in part:
                phase = phases.get(path.name)
                if phase is None:
                    age = _age(path)
                    if age > _GRACE and (age < reign or reign > _RETURN):
                        self.discard(path.name)
                elif phase not in UNFINISHED and _age(path / _WORK) > _REST:
                    _tidy(path, phase)

    def _folders(self) -> Iterator[Path]:
        try:
            yield from self._root.iterdir()
        except OSError:
            return


def _tidy(folder: Path, phase: Phase) -> None:
    """Remove what a job worked with, and the results of one that has none: `_WORK` at last, by which it is found."""
    for name in (_WORK,) if phase == "COMPLETED" else ("results", "manifest", _WORK):
        shutil.rmtree(folder / name, ignore_errors=True)


def _age(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return 0.0
