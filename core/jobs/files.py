"""Where the files of jobs are: a folder for each, in one that all workers and servers see."""

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

_DISCARDED = ".discarded-"
_GRACE = 3600.0  # seconds in which a folder's job may still be on its way into the database


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

    def sweep(self, known: Callable[[Sequence[str]], set[str]]) -> None:
        """Free the space of what was discarded, and of what belongs to no job.

        Parameters
        ----------
        known
            Tells which of some identifiers are those of jobs.
        """
        strays: list[str] = []
        for path in self._folders():
            if path.name.startswith(_DISCARDED):
                shutil.rmtree(path, ignore_errors=True)
            elif _age(path) > _GRACE:
                strays.append(path.name)
        for start in range(0, len(strays), 500):
            part = strays[start : start + 500]
            there = known(part)
            for name in part:
                if name not in there:
                    self.discard(name)

    def _folders(self) -> Iterator[Path]:
        try:
            yield from self._root.iterdir()
        except OSError:
            return


def _age(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return 0.0
