"""Ingest: from a tree of files to the registry.

Each file is examined and put into the registry in one step, so a run that is
killed loses nothing but its last moments, and the next one goes on from
there: a file whose size and modification time have not changed since it was
read is not opened again.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from . import hookspecs
from .config import Limits
from .errors import ConfigurationFault, FitsFault
from .examine import examine
from .fits.files import FileStore, exclusive
from .manager import DatasetPlugin
from .registry import Registry

_FORMAT = 1
"""Part of every recipe: a change in what ingest stores makes it read all files again."""


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


def ingest(
    store: FileStore,
    registry: Registry,
    datasets: Sequence[DatasetPlugin],
    *,
    recipes: dict[str, str],
    limits: Limits,
    lock: Path,
    progress: Progress,
) -> list[Summary]:
    """Bring the registry up to date with the files below the root.

    Parameters
    ----------
    recipes
        For each dataset a fingerprint of how its files are read: those read by another recipe are read again.
    lock
        A file that keeps a second run away.

    Returns
    -------
    list of Summary
        One for each dataset.

    Raises
    ------
    ConfigurationFault
        Raised if the root is no folder, or another run is under way.
    """
    if not store.root.is_dir():
        raise ConfigurationFault(f"root {store.root} is no folder")
    with exclusive(lock) as alone:
        if not alone:
            raise ConfigurationFault(f"another ingest of this repository is running (it holds {lock})")
        paths = list(walk(store.root))
        summaries = [Summary(plugin.name) for plugin in datasets]
        for plugin, summary in zip(datasets, summaries, strict=True):
            _ingest_dataset(store, registry, plugin, summary, paths, recipes[plugin.name], limits, progress)
        return summaries


def _ingest_dataset(
    store: FileStore,
    registry: Registry,
    plugin: DatasetPlugin,
    summary: Summary,
    paths: Sequence[str],
    recipe: str,
    limits: Limits,
    progress: Progress,
) -> None:
    registry.begin_run(plugin.name)
    for done, path in enumerate(paths, 1):
        _ingest_file(store, registry, plugin, summary, path, recipe, limits)
        progress(done, len(paths), path)
    summary.removed = len(registry.vanished(plugin.name))
    summary.images = registry.count(plugin.name)
