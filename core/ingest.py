"""Ingest: from a tree of files to the registry.

Each file is examined and put into the registry in one step, so a run that is
killed loses nothing but its last moments, and the next one goes on from
there: a file whose size and modification time have not changed since it was
read is not opened again.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from . import hookspecs
from .config import Limits
from .errors import ConfigurationFault, FitsFault
from .examine import examine
from .fits.files import FileStore, exclusive
from .manager import DatasetPlugin
from .record import FileStamp
from .registry import FileRow, WritableRegistry

_FORMAT = 1
"""Part of every recipe: a change in what ingest stores makes it read all files again."""

_COMMIT_SECONDS = 1.0
"""How much work a run that is killed may lose."""


@dataclass(slots=True)
class Summary:
    """What a run of ingest did with the files of one dataset.

    Attributes
    ----------
    taken, unchanged, removed
        Files that were read and put in, that had not changed, and that were gone.
    skipped
        Path and reason of each file that was not taken, now or in an earlier run.
    warnings
        Path and text, of files that were taken now.
    images
        How many images the dataset has now.
    """

    dataset: str
    taken: int = 0
    unchanged: int = 0
    removed: int = 0
    images: int = 0
    skipped: list[tuple[str, str]] = field(default_factory=list)
    warnings: list[tuple[str, str]] = field(default_factory=list)


Progress = Callable[[int, int, str], None]
"""Called after each file: how many are done, how many there are, which it was."""


def walk(root: Path) -> Iterator[str]:
    """Yield the paths of all files below a root, with slashes, in a fixed order; hidden ones are left out.

    Links to folders are followed if they stay below the root, each folder once.
    """
    real_root = root.resolve()
    seen: set[str] = set()
    stack = [""]
    while stack:
        folder = stack.pop()
        real = os.path.realpath(root / folder)
        if real in seen or not Path(real).is_relative_to(real_root):
            continue
        seen.add(real)
        with os.scandir(root / folder) as scan:
            entries = sorted(scan, key=lambda entry: entry.name)
        deeper: list[str] = []
        for entry in entries:
            if entry.name.startswith("."):
                continue
            path = f"{folder}/{entry.name}" if folder else entry.name
            if entry.is_dir():
                deeper.append(path)
            else:
                yield path
        stack.extend(reversed(deeper))


@dataclass(frozen=True, slots=True)
class Ingest:
    """What a run needs.

    Attributes
    ----------
    recipes
        For each dataset a fingerprint of how its files are read: those read by another recipe are read again.
    lock
        A file that keeps a second run away.
    """

    store: FileStore
    registry: WritableRegistry
    recipes: Mapping[str, str]
    limits: Limits
    lock: Path

    def run(self, datasets: Sequence[DatasetPlugin], progress: Progress) -> list[Summary]:
        """Bring the registry up to date with the files below the root, one dataset after the other.

        Raises
        ------
        ConfigurationFault
            Raised if the root is no folder, or another run is under way.
        """
        if not self.store.root.is_dir():
            raise ConfigurationFault(f"root {self.store.root} is no folder")
        with exclusive(self.lock) as alone:
            if not alone:
                raise ConfigurationFault(f"another ingest of this repository is running (it holds {self.lock})")
            paths = list(walk(self.store.root))
            return [self._dataset(plugin, paths, progress) for plugin in datasets]

    def _dataset(self, plugin: DatasetPlugin, paths: Sequence[str], progress: Progress) -> Summary:
        summary = Summary(plugin.name)
        known = {row.stamp.path: row for row in self.registry.files(plugin.name)}
        # What is gone goes first: a file that was its duplicate then takes its place.
        for path in known.keys() - set(paths):
            self.registry.remove_file(plugin.name, path)
            summary.removed += 1
        committed = time.monotonic()
        for done, path in enumerate(paths, 1):
            self._file(plugin, path, known.get(path), summary)
            if time.monotonic() - committed > _COMMIT_SECONDS:
                self.registry.commit()
                committed = time.monotonic()
            progress(done, len(paths), path)
        self.registry.commit()
        summary.images = self.registry.count(plugin.name)
        return summary

    def _file(self, plugin: DatasetPlugin, path: str, known: FileRow | None, summary: Summary) -> None:
        recipe = self.recipes[plugin.name]
        if known is not None and known.status != "duplicate" and known.recipe == recipe and self._same(known.stamp):
            if known.status == "taken":
                summary.unchanged += 1
            else:
                summary.skipped.append((path, known.reason))
            return
        try:
            examined = examine(plugin, self.store, path, self.limits)
        except FitsFault as fault:
            self.registry.skip_file(plugin.name, self._stamp_of_skipped(path), recipe, fault.message)
            summary.skipped.append((path, fault.message))
            return
        if examined is None:
            if known is not None:
                self.registry.remove_file(plugin.name, path)
            return
        layout = examined.layout.to_bytes()
        rejected = self.registry.put_file(plugin.name, examined.stamp, recipe, examined.images, layout)
        for image, holder in rejected:
            which = ", ".join(f"{key}={value}" for key, value in image.data_id.items())
            summary.skipped.append((path, f"{which}: the image is in {holder} already"))
        if len(rejected) < len(examined.images):
            summary.taken += 1
            summary.warnings.extend((path, warning) for warning in examined.warnings)

    def _same(self, stamp: FileStamp) -> bool:
        try:
            return self.store.stamp(stamp.path) == stamp
        except (FitsFault, OSError):
            return False

    def _stamp_of_skipped(self, path: str) -> FileStamp:
        try:
            return self.store.stamp(path)
        except (FitsFault, OSError):
            return FileStamp(path, 0, 0)


def recipe(plugin: DatasetPlugin, options: object, limits: Limits) -> str:
    """Return a fingerprint of how a dataset's files are read."""
    facts = json.dumps([_FORMAT, hookspecs.CONTRACT, plugin.plugin, options, repr(limits)], default=str, sort_keys=True)
    return hashlib.sha256(facts.encode()).hexdigest()[:16]
