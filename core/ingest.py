"""Ingest: from a tree of files to the registry.

Files are examined one by one, and put into the registry a second's worth at a
time, so a run that is killed loses nothing but its last moments, and the next
one goes on from there: a file whose size and modification time have not changed since it was
read is not opened again.
"""

import hashlib
import json
import os
import time
from collections import Counter, deque
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import astuple, dataclass, field
from pathlib import Path, PurePosixPath

from . import hookspecs
from .candidate import CandidateFile, stamp_of
from .config import Limits
from .errors import ConfigurationFault, FitsFault, ImageServError
from .examine import examine
from .fits.files import FileStore, exclusive
from .fits.packing import Packer
from .manager import DatasetPlugin
from .record import FileStamp
from .registry import FileImages, FileRow, WritableRegistry

_FORMAT = 3
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
        Path and reason of each file or folder that was not taken, now or in an earlier run.
    warnings
        Path and text, of files that were taken now.
    images
        How many images the dataset has now.
    foreign
        A file of which the plugin said that it is not of the dataset; empty if there is none.
    """

    dataset: str
    taken: int = 0
    unchanged: int = 0
    removed: int = 0
    images: int = 0
    foreign: str = ""
    skipped: list[tuple[str, str]] = field(default_factory=list)
    warnings: list[tuple[str, str]] = field(default_factory=list)


_Found = tuple[FileImages, tuple[str, ...]]
"""A file that is to be put into the registry, and what to warn of if it is taken."""

Progress = Callable[[int, int, str], None]
"""Called after each file: how many are done, how many there are, which it was."""


@dataclass(slots=True)
class Tree:
    """What lies below a root.

    Attributes
    ----------
    files
        Their paths, with slashes, in a fixed order.
    refused
        Path and reason of what is left out for good.
    unreadable
        Path and reason of folders that cannot be read now.
    """

    files: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)


def walk(root: Path) -> Tree:
    """Look for all files below a root; hidden ones are left out.

    Links to folders are followed if they stay below the root. Each folder is
    read once, and by a link only if there is no other way to it.
    """
    tree = Tree()
    real_root = root.resolve()
    seen: set[str] = set()
    folders, links = [""], deque[str]()
    while folders or links:
        folder = folders.pop() if folders else links.popleft()
        real = os.path.realpath(root / folder)
        if real in seen:
            continue
        seen.add(real)
        if not Path(real).is_relative_to(real_root):
            tree.refused[folder] = "a link out of the repository's root"
            continue
        try:
            with os.scandir(real) as scan:
                entries = sorted(scan, key=lambda entry: entry.name)
        except OSError as error:
            tree.unreadable[folder] = f"cannot be read: {error.strerror}"
            continue
        deeper: list[str] = []
        for entry in entries:
            path = f"{folder}/{entry.name}" if folder else entry.name
            if entry.name.startswith("."):
                continue
            if not _is_text(entry.name):
                tree.refused[os.fsencode(path).decode(errors="backslashreplace")] = "its name is not UTF-8"
            elif not _is_folder(entry):
                tree.files.append(path)
            elif entry.is_symlink():
                links.append(path)
            else:
                deeper.append(path)
        folders.extend(reversed(deeper))
    return tree


def _is_text(name: str) -> bool:
    """Tell whether a file's name was UTF-8: Python smuggles other bytes in as lone surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in name)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


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
    packers: dict[str, Packer] = field(default_factory=dict[str, Packer], init=False)

    def run(self, datasets: Sequence[DatasetPlugin], progress: Progress) -> list[Summary]:
        """Bring the registry up to date with the files below the root, one dataset after the other.

        Raises
        ------
        ConfigurationFault
            Raised if the root is no folder, or is empty though the registry has images, or another run is under way.
        """
        if not self.store.root.is_dir():
            raise ConfigurationFault(f"root {self.store.root} is no folder")
        with exclusive(self.lock) as alone:
            if not alone:
                raise ConfigurationFault(f"another ingest of this repository is running (it holds {self.lock})")
            tree = walk(self.store.root)
            if not tree.files and not tree.unreadable and any(self.registry.count(plugin.name) for plugin in datasets):
                # More likely a disk that is not mounted than a survey that was thrown away.
                raise ConfigurationFault(
                    f"root {self.store.root} holds no file at all, the registry has images: is it mounted?"
                    " If they are really gone, remove the registry"
                )
            return [self._dataset(plugin, tree, progress) for plugin in datasets]

    def _dataset(self, plugin: DatasetPlugin, tree: Tree, progress: Progress) -> Summary:
        summary = Summary(plugin.name, skipped=[*tree.refused.items(), *tree.unreadable.items()])
        known = {row.stamp.path: row for row in self.registry.files(plugin.name)}
        # What is gone goes first, and what holds an image is read before what was its duplicate, which can take over.
        for path in known.keys() - set(tree.files):
            if not _is_below(path, tree.unreadable):
                self.registry.remove_file(plugin.name, path)
                summary.removed += 1
        paths = sorted(tree.files, key=lambda path: path not in known or known[path].status == "duplicate")
        committed = time.monotonic()
        found: list[_Found] = []
        for done, path in enumerate(paths, 1):
            self._file(plugin, path, known.get(path), found, summary)
            if time.monotonic() - committed > _COMMIT_SECONDS:
                self._put(plugin, found, summary)
                self.registry.commit()
                committed = time.monotonic()
            progress(done, len(paths), path)
        self._put(plugin, found, summary)
        self.registry.commit()
        summary.images = self.registry.count(plugin.name)
        return summary

    def _file(
        self, plugin: DatasetPlugin, path: str, known: FileRow | None, found: list[_Found], summary: Summary
    ) -> None:
        recipe = self.recipes[plugin.name]
        stamp = stamp_of(self.store, path)
        unchanged = known is not None and known.stamp == stamp and self._reads_alike(known.recipe, recipe)
        if known is not None and known.status != "duplicate" and unchanged:
            if known.status == "taken":
                summary.unchanged += 1
            else:
                summary.skipped.append((path, known.reason))
            return
        candidate = CandidateFile(self.store, path, self.limits, stamp=stamp)
        try:
            examined = examine(plugin, candidate)
        except FitsFault as fault:
            recipe = _noted(recipe, candidate.consulted)
            # A file that could not even be read, or at which the plugin failed, is not to blame: a stamp of zeros makes
            # sure of another look, though it does not change.
            again = fault.__cause__ is not None and not isinstance(fault.__cause__, ImageServError)
            self._put(plugin, found, summary)
            self.registry.skip_file(plugin.name, FileStamp(path, 0, 0) if again else stamp, recipe, fault.message)
            summary.skipped.append((path, fault.message))
            return
        if examined is None:
            summary.foreign = summary.foreign or path
            if known is not None:
                self._put(plugin, found, summary)
                self.registry.remove_file(plugin.name, path)
            return
        file = FileImages(
            examined.stamp,
            _noted(recipe, candidate.consulted),
            examined.images,
            self._packed(plugin.name, examined.layout.to_bytes()),
        )
        found.append((file, examined.warnings))

    def _packed(self, dataset: str, layout: bytes) -> bytes:
        """Pack a layout by that which was the dataset's first."""
        packer = self.packers.get(dataset)
        if packer is None:
            pattern = self.registry.pattern(dataset)
            packer = self.packers[dataset] = Packer(layout if pattern is None else pattern)
            if pattern is None:
                self.registry.put_pattern(dataset, packer.pattern)
        return packer.pack(layout)

    def _put(self, plugin: DatasetPlugin, found: list[_Found], summary: Summary) -> None:
        """Put what was found into the registry: before anything else is written, so that the first keeps an image."""
        rejected: Counter[str] = Counter()
        for image, holder in self.registry.put_files(plugin.name, [file for file, _ in found]):
            which = ", ".join(f"{key}={value}" for key, value in image.data_id.items())
            summary.skipped.append((image.file.path, f"{which}: the image is in {holder} already"))
            rejected[image.file.path] += 1
        for file, warnings in found:
            if rejected[file.stamp.path] < len(file.images):
                summary.taken += 1
                summary.warnings.extend((file.stamp.path, warning) for warning in warnings)
        found.clear()

    def _reads_alike(self, noted: str, recipe: str) -> bool:
        return noted.partition(" ")[0] == recipe and changed_beside(self.store, noted) is None


def _noted(recipe: str, consulted: Sequence[FileStamp]) -> str:
    """Return a recipe with, behind it, the other files that were asked for when a file was read."""
    return f"{recipe} {json.dumps([astuple(stamp) for stamp in consulted])}" if consulted else recipe


def changed_beside(store: FileStore, recipe: str) -> str | None:
    """Return the path of one of the files that a recipe notes which is not as it was; None if all are."""
    noted = recipe.partition(" ")[2]
    stamps = [FileStamp(*facts) for facts in json.loads(noted)] if noted else []
    return next((stamp.path for stamp in stamps if stamp_of(store, stamp.path) != stamp), None)


def _is_below(path: str, folders: Container[str]) -> bool:
    return "" in folders or any(str(parent) in folders for parent in PurePosixPath(path).parents)


def recipe(plugin: DatasetPlugin, options: object, limits: Limits) -> str:
    """Return a fingerprint of how a dataset's files are read, and of what the registry has of its declaration."""
    reading = (limits.max_header_bytes, limits.max_headers_bytes, limits.max_hdus, limits.max_unpacked_bytes)
    declared = plugin.declaration
    keys = [(key.name, key.choices) for key in declared.keys]
    bands = [(band.name, band.em_min, band.em_max) for band in declared.bands]
    stored = (keys, declared.band_key, bands, declared.facility, declared.instrument)
    facts = [_FORMAT, hookspecs.CONTRACT, plugin.plugin, plugin.source, options, reading, stored]
    return hashlib.sha256(json.dumps(facts, default=str, sort_keys=True).encode()).hexdigest()[:16]
