"""Repositories of small made-up images, and a dataset plugin that is installed for one test."""

import contextlib
import gzip
import io
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from itertools import count
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any, cast

import numpy as np
import pytest
from astropy.io import fits

from imageserv.core import manager
from imageserv.core.candidate import CandidateFile
from imageserv.core.config import Config, DatasetConfig, Limits, RepositoryConfig
from imageserv.core.dataset import Band, DataId, Dataset, Key
from imageserv.core.fits.engine import Cutout, CutoutRequest, cut
from imageserv.core.fits.opened import OpenImage
from imageserv.core.hookspecs import hookimpl
from imageserv.core.record import Found, Plane
from imageserv.core.repository import Repository

Recognise = Callable[[CandidateFile], Sequence[Found] | None]


class Sketch:
    """A dataset of files named ``sketch-<number>-<filter>.fits``, gzipped or not, in any folder.

    The option ``prefix`` replaces ``sketch``; ``recognise``, a function, replaces the plugin's own.
    """

    def __init__(self, name: str, options: Mapping[str, object]) -> None:
        self._name = re.compile(rf"{options.get('prefix', 'sketch')}-(\d+)-([gr])\.fits(\.gz)?")
        self._recognise = cast(Recognise, options.get("recognise", self._by_name))

    @hookimpl
    def imageserv_dataset(self) -> Dataset:
        return Dataset(
            description="Sketches.",
            keys=(Key("number", int, "Which.", minimum=0), Key("filter", str, "Colour.", choices=("g", "r"))),
            band_key="filter",
            bands=(Band("g", 4e-7, 5.5e-7), Band("r", 5.5e-7, 7e-7)),
        )

    @hookimpl
    def imageserv_science_id(self, data_id: DataId) -> int:
        return 2 * int(data_id["number"]) + (data_id["filter"] == "r")

    @hookimpl
    def imageserv_data_id(self, science_id: int) -> DataId | None:
        return {"number": science_id // 2, "filter": "gr"[science_id % 2]}

    @hookimpl
    def imageserv_recognise(self, file: CandidateFile) -> Sequence[Found] | None:
        return self._recognise(file)

    @hookimpl
    def imageserv_cutout(self, image: OpenImage, request: CutoutRequest) -> Cutout:
        return cut(image, request)

    def _by_name(self, file: CandidateFile) -> Sequence[Found] | None:
        match = self._name.fullmatch(PurePosixPath(file.path).name)
        return match and [Found({"number": int(match[1]), "filter": match[2]}, (Plane("image", 0),))]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Install a plugin for one test: a name, and what its entry point names (an object, or a text that names one)."""
    points: list[EntryPoint] = []
    number = count()

    def listed(*, group: str, name: str | None = None) -> list[EntryPoint]:
        # Of what this machine has installed only what ImageServ ships, lest the tests depend on it.
        ours = [point for point in entry_points(group=group) if point.dist and point.dist.name == "imageserv"]
        return [point for point in ours + points if point.group == group and name in (None, point.name)]

    def put(name: str, plugin: object, group: str = "imageserv.dataset") -> None:
        value = plugin
        if not isinstance(value, str):
            module = ModuleType(f"stranger{next(number)}")
            module.__dict__["plugin"] = plugin
            monkeypatch.setitem(sys.modules, module.__name__, module)
            value = f"{module.__name__}:plugin"
        points.append(EntryPoint(name, value, group))

    monkeypatch.setattr(manager, "entry_points", listed)
    put("sketch", Sketch)
    return put


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The folder of a repository's files."""
    path = tmp_path / "root"
    path.mkdir()
    return path


@pytest.fixture
def write_image(root: Path) -> Callable[..., Path]:
    """Write an image below the root: TAN, 40 x 30 pixels of 1 arcsec, its middle at a place.

    A name that ends in ``.gz`` is gzipped. Each pixel has a value of its own;
    `first` is that of the first one. Further cards go into the header.
    """

    def write(
        path: str, ra: float = 150.0, dec: float = 2.0, shape: tuple[int, int] = (40, 30), first: int = 0, **cards: Any
    ) -> Path:
        width, height = shape
        hdu = fits.PrimaryHDU(np.arange(first, first + width * height, dtype="i4").reshape(height, width))
        hdu.header.update(
            CTYPE1="RA---TAN", CTYPE2="DEC--TAN", CRVAL1=ra, CRVAL2=dec, RADESYS="ICRS",
            CRPIX1=(width + 1) / 2, CRPIX2=(height + 1) / 2, CDELT1=-1 / 3600, CDELT2=1 / 3600,
        )  # fmt: skip
        hdu.header.update(cards)
        content = io.BytesIO()
        hdu.writeto(content)
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        data = content.getvalue()
        target.write_bytes(gzip.compress(data, mtime=0) if path.endswith(".gz") else data)
        return target

    return write


@pytest.fixture
def open_repository(root: Path, install: object) -> Iterator[Callable[..., Repository]]:
    """Open a repository of the files below the root, by default with the one dataset ``sketch``.

    Datasets are given by name, each with its plugin's name and options.
    """
    with contextlib.ExitStack() as stack:

        def opener(
            datasets: Mapping[str, tuple[str, Mapping[str, object]]] | None = None,
            *,
            writable: bool = True,
            limits: Limits | None = None,
            extensions: tuple[str, ...] = (),
            cache_bytes: int = 10**9,
        ) -> Repository:
            chosen = {"sketch": ("sketch", dict[str, object]())} if datasets is None else datasets
            table = {name: DatasetConfig(name, *plugin) for name, plugin in chosen.items()}
            config = RepositoryConfig("SKY", root, root.parent / "registry.sqlite", True, table)
            service = Config(
                authority="example.org",
                cache=root.parent / "cache",
                cache_bytes=cache_bytes,
                limits=limits or Limits(),
                extensions=extensions,
                repositories={"SKY": config},
            )
            repository = Repository(config, service, writable=writable)
            stack.callback(repository.close)
            return repository

        yield opener
