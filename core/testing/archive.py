"""The files of a test, ingested by the plugin under test, and what astropy reads in them."""

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import pytest

from imageserv.core.answer import CutoutAnswer
from imageserv.core.candidate import CandidateFile
from imageserv.core.config import Config, load
from imageserv.core.dataset import Dataset
from imageserv.core.fits.files import FileStore, UnpackedCache
from imageserv.core.ingest import Summary
from imageserv.core.manager import DatasetPlugin
from imageserv.core.record import ImageRecord, Plane
from imageserv.core.repository import Repository
from imageserv.core.request import CutoutRequest
from imageserv.core.selection import Selection

from .pixels import Pixels, read_plane

DATASET = "trial"
"""The configured name of the dataset: not the plugin's own, for users choose another, too."""

REPOSITORY = "KIT"
MOST = 6
"""How many images the tests look at closely."""


class Archive:
    """One dataset of one repository. All of it is made when it is first asked for.

    Parameters
    ----------
    plugin
        The entry point of the plugin.
    options
        The dataset's table in the configuration, beside ``plugin``.
    root
        The files' folder; it is not changed.
    folder
        Where configuration and registry are put.
    """

    def __init__(self, plugin: str, options: Mapping[str, object], root: Path, folder: Path) -> None:
        self.plugin = plugin
        self.root = root
        self._read: dict[tuple[Path, int, int], Pixels] = {}
        self.configuration = folder / "imageserv.toml"
        lines = [f"[repositories.{REPOSITORY}]", f"root = {json.dumps(str(root))}"]
        lines += [f"[repositories.{REPOSITORY}.datasets.{DATASET}]", f"plugin = {json.dumps(plugin)}"]
        lines += [f"{key} = {json.dumps(value)}" for key, value in options.items()]
        self.configuration.write_text("\n".join([*lines, ""]), encoding="utf-8")

    @cached_property
    def config(self) -> Config:
        """The configuration."""
        return load(self.configuration, {})

    @cached_property
    def repository(self) -> Repository:
        """The repository, writable. Raises what `Repository` raises."""
        return Repository(self.config.repositories[REPOSITORY], self.config, writable=True)

    @property
    def dataset(self) -> DatasetPlugin:
        """The dataset."""
        return self.repository.datasets[DATASET]

    @property
    def declaration(self) -> Dataset:
        """What the plugin says of the dataset."""
        return self.dataset.declaration

    @cached_property
    def summary(self) -> Summary:
        """What ingest did with the files."""
        (summary,) = self.repository.ingest(None, lambda done, total, path: None)
        return summary

    @cached_property
    def images(self) -> list[ImageRecord]:
        """All images that were taken, by science id; without any a test of images is skipped, for another one fails."""
        if not self.summary.images:
            pytest.skip("no image was taken: see test_every_file_is_taken")
        return list(self.repository.registry.images(DATASET))

    @property
    def some(self) -> list[ImageRecord]:
        """Those that the tests look at closely."""
        return self.images[:MOST]

    def candidate(self, path: str, root: Path | None = None) -> CandidateFile:
        """Return a file below the root, or another root, as a plugin is asked about it."""
        limits = self.config.limits
        cache = UnpackedCache(self.config.cache, self.config.cache_bytes, limits.max_unpacked_bytes)
        return CandidateFile(FileStore(root or self.root, cache), path, limits)

    def cut(self, record: ImageRecord, request: CutoutRequest) -> CutoutAnswer:
        """Cut an image as the service does. Raises what `Repository.cutout` raises."""
        return self.repository.cutout(Selection(record, 1, self.repository.publisher_did(record)), request)

    def path(self, record: ImageRecord, plane: Plane) -> Path:
        """Return where the file is that holds a plane."""
        return self.root / (plane.file or record.file).path

    def plane(self, record: ImageRecord, plane: Plane) -> Pixels:
        """Read a plane of an image as astropy does; once, as long as its file does not change."""
        path = self.path(record, plane)
        key = (path, path.stat().st_mtime_ns, plane.hdu)
        if key not in self._read:
            self._read[key] = read_plane(path, plane.hdu)
        return self._read[key]

    def close(self) -> None:
        """Let go of the files."""
        if "repository" in self.__dict__:
            self.repository.close()


def given(record: ImageRecord) -> tuple[Plane, ...]:
    """Return the planes of an image in the order in which answers have them: that of their HDUs, other files' last."""
    own = sorted((plane for plane in record.planes if plane.file is None), key=lambda plane: plane.hdu)
    return (*own, *(plane for plane in record.planes if plane.file is not None))
