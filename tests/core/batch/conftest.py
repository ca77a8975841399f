"""Batches of the small archive: made, run to their end, and read back by others' programs."""

import io
import json
import tarfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from astropy.io import fits, votable

from imageserv.core.batch import Admits, Batch, BatchLimits, Done, Outcome
from imageserv.core.config import Config, DatasetConfig, Limits, RepositoryConfig
from imageserv.core.repository import Repository
from imageserv.core.service import Service

# astropy's annotations tell little of what these give.
read_fits: Any = fits.open
read_votable: Any = votable.parse

Pairs = Sequence[tuple[str, str]]


def anyone(repository: Repository, dataset: str) -> None:
    """Admit to all."""


@dataclass
class Ran:
    """A batch that ran to its end.

    Attributes
    ----------
    rows
        Of the manifest, as JSON has them.
    files
        The results, by name: those in the tar, if they are in one.
    """

    folder: Path
    outcome: Outcome
    done: list[Done]
    rows: list[dict[str, Any]]
    files: dict[str, bytes]

    def pixels(self, result: int, hdu: int = 0) -> Any:
        """Return the pixels of a result, counted from 1."""
        with read_fits(io.BytesIO(self.files[self.rows[result - 1]["file"]])) as hdus:
            hdus.verify("exception")
            return hdus[hdu].data.copy()

    def text(self, result: int) -> str:
        """Return a result that is a text."""
        assert self.rows[result - 1]["media_type"] == "text/plain"
        return self.files[self.rows[result - 1]["file"]].decode()


def unpacked(path: Path) -> dict[str, bytes]:
    """Return the members of a tar, as Python's own reader has them."""
    with tarfile.open(path) as tar:
        members = tar.getmembers()
        assert {member.name.partition("/")[0] for member in members} == {"cutouts"}
        return {member.name.partition("/")[2]: tar.extractfile(member).read() for member in members}  # type: ignore[union-attr]


def read_back(folder: Path, outcome: Outcome, done: list[Done]) -> Ran:
    """Read what a batch left, and hold its parts against each other."""
    rows: list[dict[str, Any]] = json.loads((folder / "manifest" / "manifest.json").read_text())["data"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of whatever is not quite a VOTable
        table = read_votable(folder / "manifest" / "manifest.vot", verify="exception").get_first_table()
    columns = [field.name for field in table.fields]
    plain = [
        {name: None if value is None or value == "" else value for name, value in zip(columns, row, strict=True)}
        for row in table.array.tolist()
    ]
    assert plain == [{name: value if value != "" else None for name, value in row.items()} for row in rows]
    listed = {file.name: file.size for file in outcome.results}
    stored = {path.name: path.read_bytes() for path in (folder / "results").iterdir()}
    assert {name: len(content) for name, content in stored.items()} == listed
    assert {file.name: file.size for file in outcome.manifest} == {
        path.name: path.stat().st_size for path in (folder / "manifest").iterdir()
    }
    if "cutouts.tar" in stored:
        files = unpacked(folder / "results" / "cutouts.tar")
        for name in ("manifest.vot", "manifest.json"):
            assert files.pop(name) == stored[name] == (folder / "manifest" / name).read_bytes()
    else:
        files = stored
        assert [file.name for file in outcome.results] == [row["file"] for row in rows]
        assert [file.media_type for file in outcome.results] == [row["media_type"] for row in rows]
    assert sorted(files) == sorted(row["file"] for row in rows)
    assert sum(each.results for each in done) == len(rows)
    assert sum(each.bytes for each in done) == sum(map(len, files.values()))
    assert sum(each.failed for each in done) == sum(row["error"] is not None for row in rows)
    return Ran(folder, outcome, done, rows, files)


@dataclass
class Jobs:
    """Makes batches of one service, each in a folder of its own."""

    service: Service
    folder: Path
    count: int = 0

    def make(
        self,
        pairs: Pairs,
        table: Path | None = None,
        limits: BatchLimits | None = None,
        admits: Admits = anyone,
        folder: Path | None = None,
    ) -> tuple[Batch, Path]:
        """Make a batch; a table is the upload ``sources``."""
        if folder is None:
            self.count += 1
            folder = self.folder / f"job{self.count}"
            folder.mkdir()
        uploads: Mapping[str, Path] = {} if table is None else {"sources": table}
        if table is not None:
            pairs = [("UPLOAD", "sources,param:part"), *pairs]
        return Batch(self.service, pairs, uploads, folder, limits or BatchLimits(), admits), folder

    def run(
        self, pairs: Pairs, table: Path | None = None, limits: BatchLimits | None = None, admits: Admits = anyone
    ) -> Ran:
        """Run a batch to its end."""
        batch, folder = self.make(pairs, table, limits, admits)
        done = [batch.run(step, lambda: False) for step in range(batch.steps)]
        ran = read_back(folder, batch.finish(), done)
        assert len(ran.rows) == batch.total
        return ran


@pytest.fixture
def jobs(service: Service, tmp_path: Path) -> Jobs:
    """Give batches of the archive that no test changes."""
    return Jobs(service, tmp_path)


@pytest.fixture
def jobs_of(tmp_path: Path) -> Iterator[Callable[[Service], Jobs]]:
    """Give batches of another service, which is closed in the end."""
    services: list[Service] = []

    def make(service: Service) -> Jobs:
        services.append(service)
        folder = tmp_path / f"jobs{len(services)}"
        folder.mkdir()
        return Jobs(service, folder)

    yield make
    for service in services:
        service.close()


@pytest.fixture
def sketches(root: Path, install: object) -> Callable[..., Service]:
    """Open a service of the images below the root; datasets are given by name, each with its plugin's name."""

    def open_it(datasets: Mapping[str, str] | None = None) -> Service:
        table = {name: DatasetConfig(name, plugin, {}) for name, plugin in (datasets or {"sketch": "sketch"}).items()}
        part = RepositoryConfig("SKY", root, root.parent / "sky.sqlite", True, table)
        config = Config(
            authority="example.org", cache=root.parent / "cache", limits=Limits(), repositories={"SKY": part}
        )
        repository = Repository(part, config, writable=True)
        repository.ingest(None, lambda done, total, path: None)
        repository.close()
        return Service(config)

    return open_it
