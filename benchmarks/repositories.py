"""The product, as the suite meets it: repositories of generated files, through their public interface."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from imageserv.core.config import load
from imageserv.core.repository import Repository
from imageserv.core.selection import ByDataId, Selection

from .data import Frame


def ingest(configuration: Path) -> None:
    """Bring all registries of a configuration up to date."""
    config = load(configuration, {})
    for part in config.repositories.values():
        repository = Repository(part, config, writable=True)
        try:
            for summary in repository.ingest(None, lambda done, total, path: None):
                if summary.skipped:
                    raise RuntimeError(f"ingest skipped {summary.skipped[0]}")
        finally:
            repository.close()


@contextmanager
def opened(configuration: Path, name: str, **settings: Any) -> Generator[Repository]:
    """Open a repository, with settings in place of the configuration's, and close it."""
    config = replace(load(configuration, {}), **settings)
    repository = Repository(config.repositories[name], config)
    try:
        yield repository
    finally:
        repository.close()


def select(repository: Repository, frame: Frame) -> Selection:
    """Return the image of a file."""
    return repository.select(repository.dataset(frame.dataset), ByDataId(frame.data_id))


def selections(repository: Repository, frames: Sequence[Frame]) -> list[Selection]:
    """Return the images of some files."""
    return [select(repository, frame) for frame in frames]
