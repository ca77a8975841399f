"""The registry: loading it, and looking up positions among ten thousand to ten million images."""

import itertools
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imageserv.core.config import load
from imageserv.core.identifiers import local_identifier
from imageserv.core.manager import DatasetPlugin
from imageserv.core.obscore import coverage
from imageserv.core.record import FileStamp, Footprint, ImageRecord, Observation, Plane
from imageserv.core.registry import FileImages, Registry, WritableRegistry
from imageserv.core.registry.sqlite import open_registry
from imageserv.core.repository import Repository
from imageserv.core.search import Search
from imageserv.core.sky.stencil import Circle

from . import data
from .report import Ratio, Table, ratio, scaled
from .repositories import ingest, opened
from .rounds import Contestant, Effort, Series, Wrong, measure

Vectors = NDArray[np.float64]

DATASET = "calexp"
RADIUS = 0.1
"""Degrees, of searches."""

REAL = 100
"""How many images of a crowd have a file."""

_AREA = 18_000.0  # square degrees
_SIDE = 0.2  # degrees, of an image where there are a million
_DEC_MOST = np.degrees(np.arcsin(_AREA / (720.0 * np.degrees(1.0))))
_CHUNK = 50_000  # of a transaction
_LAYOUT = 1000  # bytes: the 49 kB of headers of a real calexp, packed by those of another, take 966
_RUN_OF_FIRST = 100_000  # no run of a file
_TOLERANCE = 1e-4  # degrees, of the brute-force check


@dataclass(frozen=True, slots=True)
class Crowd:
    """Squares on the sky, as many at each place whatever their number: about two over any point.

    Attributes
    ----------
    count
        How many.
    """

    count: int

    @property
    def side(self) -> float:
        """Of a square, degrees."""
        return _SIDE * float(np.sqrt(1e6 / self.count))

    def centers(self) -> NDArray[np.float64]:
        """Return ra and dec of the middles, degrees, of shape (2, count)."""
        random = np.random.default_rng(self.count)
        ra = random.uniform(0, 360, self.count)
        z = np.sin(np.radians(_DEC_MOST))
        return np.stack([ra, np.degrees(np.arcsin(random.uniform(-z, z, self.count)))])

    def records(self, plugin: DatasetPlugin) -> Iterator[ImageRecord]:
        """Yield a record for each square."""
        centers = self.centers()
        for first in range(0, self.count, _CHUNK):
            middles, corners = _squares(centers[:, first : first + _CHUNK], self.side)
            for number, (middle, vertices) in enumerate(zip(middles, corners, strict=True), first):
                yield _record(plugin, number, Footprint(vertices, middle))

    def near(self, ra: float, dec: float, radius: float) -> tuple[set[int], set[int]]:
        """Return which squares surely meet a circle, and which perhaps do, by brute force."""
        x, y = _offsets(self.centers(), ra, dec)
        half = self.side / 2
        apart = np.hypot(np.maximum(np.abs(x) - half, 0), np.maximum(np.abs(y) - half, 0))
        sure, perhaps = (np.flatnonzero(apart < radius + margin) for margin in (-_TOLERANCE, _TOLERANCE))
        if radius == 0:
            sure = np.flatnonzero((np.abs(x) < half - _TOLERANCE) & (np.abs(y) < half - _TOLERANCE))
        return set(sure.tolist()), set(perhaps.tolist())


def _squares(centers: Vectors, side: float) -> tuple[Vectors, Vectors]:
    """Return middles (n, 3) and corners (n, 4, 3) of squares in the tangent planes of their middles."""
    lon, lat = np.radians(centers)
    middle = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)
    east = np.stack([-np.sin(lon), np.cos(lon), np.zeros_like(lon)], axis=-1)
    north = np.cross(middle, east)
    half = np.tan(np.radians(side / 2))
    corners = np.stack(
        [middle + half * (x * east + y * north) for x, y in ((-1, 1), (1, 1), (1, -1), (-1, -1))], axis=1
    )
    return middle, corners / np.linalg.norm(corners, axis=-1, keepdims=True)


def _offsets(centers: Vectors, ra: float, dec: float) -> tuple[Vectors, Vectors]:
    """Return where a point is in the tangent planes of squares, degrees; infinitely far behind the horizon."""
    lon, lat = np.radians(ra - centers[0]), np.radians(centers[1])
    y = np.radians(dec)
    depth = np.sin(lat) * np.sin(y) + np.cos(lat) * np.cos(y) * np.cos(lon)
    with np.errstate(divide="ignore", invalid="ignore"):
        xi = np.cos(y) * np.sin(lon) / depth
        eta = (np.cos(lat) * np.sin(y) - np.sin(lat) * np.cos(y) * np.cos(lon)) / depth
    far = np.where(depth > 0.1, 0.0, np.inf)
    return np.degrees(np.arctan(xi)) + far, np.degrees(np.arctan(eta)) + far


def _data_id(number: int) -> dict[str, int | str]:
    return {"run": _RUN_OF_FIRST + number // 10_000, "camcol": 1, "field": number % 10_000, "filter": "r"}


def local_part(number: int) -> str:
    """Return how the identifier of one of the crowd ends."""
    return "/".join(map(str, _data_id(number).values()))


def is_real(local: str) -> bool:
    """Tell whether an identifier that ends so is that of an image with a file."""
    return int(local.partition("/")[0]) < _RUN_OF_FIRST


def _record(plugin: DatasetPlugin, number: int, footprint: Footprint) -> ImageRecord:
    data_id = _data_id(number)
    start = 53_000.0 + number * 1e-4
    return ImageRecord(
        dataset=plugin.name,
        identifier=local_identifier(plugin.name, plugin.declaration, data_id),
        science_id=plugin.science_id(data_id),
        data_id=data_id,
        band="r",
        file=FileStamp(f"calexps/{number // 1000:06d}/calexp-{number:08d}.fits", 36_800_000, 10**18 + number),
        size=36_800_000,
        planes=(Plane("image", 1), Plane("mask", 2), Plane("variance", 3)),
        shape=(2048, 1489),
        footprint=footprint,
        pixel_scale=0.396,
        channels=1,
        pol_states=(),
        observation=Observation(
            t_min=start,
            t_max=start + 53.9 / 86400,
            t_exptime=53.9,
            t_resolution=53.9,
            em_min=5.57e-7,
            em_max=6.952e-7,
            facility="Sloan 2.5m",
            instrument="SDSS camera",
            title=f"SDSS calibrated exposure (calexp): number {number}",
        ),
        coverage=coverage(footprint),
    )


# --- loading


def build(folder: Path, count: int) -> tuple[Path, list[float]]:
    """Make a repository of a crowd and a few real files.

    Returns
    -------
    configuration : Path
    rates : list of float
        Rows a second, of each tenth of the load; empty if the registry was there already.
    """
    name = f"crowd{count}"
    done = folder / f"{name}.toml"
    if done.exists():
        return done, []
    data.many(folder / name, REAL, name)
    configuration = data.write_configuration(folder, f"{name}-part", {name: (DATASET,)})
    registry = load(configuration, {}).repositories[name].registry
    for part in folder.glob(f"{registry.name}*"):
        part.unlink()
    ingest(configuration)
    with opened(configuration, name) as repository:
        plugin = repository.dataset(DATASET)
    writable = open_registry(registry, writable=True)
    try:
        rates = _load(writable, Crowd(count).records(plugin), count, os.urandom(_LAYOUT))
    finally:
        writable.close()
    configuration.rename(done)
    return done, rates


def _load(registry: WritableRegistry, records: Iterator[ImageRecord], count: int, layout: bytes) -> list[float]:
    """Put records into a registry, each with a file of its own; making the records is not timed."""
    chunk = min(_CHUNK, count // 10)
    rates: list[float] = []
    rows, spent = 0, 0.0
    while some := list(itertools.islice(records, chunk)):
        files = [FileImages(record.file, "benchmark", [record], layout) for record in some]
        started = time.perf_counter()
        registry.put_files(DATASET, files)
        registry.commit()
        spent += time.perf_counter() - started
        rows += len(some)
        if rows >= count // 10:
            rates.append(rows / spent)
            rows, spent = 0, 0.0
    return rates


# --- looking up


def measure_registry(folder: Path, effort: Effort, counts: Sequence[int]) -> list[Table]:
    """Measure loading and looking up for crowds of several sizes."""
    configurations: dict[int, Path] = {}
    loads: list[Series] = []
    for count in counts:
        configurations[count], rates = build(folder, count)
        if rates:
            loads.append(Series(_name(count), tuple(rates)))
    tables: list[Table] = []
    if loads:
        goals = tuple(Ratio(f"rows/s, {each.name}", each.values, 20_000, "at least") for each in loads)
        note = "Through the registry's interface, a file and an image each; each round is a tenth of the load."
        tables.append(Table("registry", "bulk load", "rows/s", tuple(loads), goals, note))
    config = {count: load(path, {}) for count, path in configurations.items()}
    registries = {count: Repository(each.repositories[f"crowd{count}"], each) for count, each in config.items()}
    try:
        places = points(64)
        for title, work in (
            ("images that contain a point", _containing),
            ("the nearest image", _nearest),
            (f"search by a circle of {RADIUS} deg", _search),
        ):
            rows = measure(
                [
                    Contestant(_name(count), *_pair(work, repository.registry, Crowd(count)))
                    for count, repository in registries.items()
                ],
                places,
                effort,
            )
            tables.append(Table("registry", title, "us", scaled(rows, 1e6), tuple(_growth(counts, rows, title))))
    finally:
        for repository in registries.values():
            repository.close()
    return tables


def _growth(counts: Sequence[int], rows: Sequence[Series], title: str) -> list[Ratio]:
    """Compare with a hundred thousand images."""
    goal = 3.0 if "contain" in title else None
    return [each for count in counts if count > 100_000 for each in ratio(rows, _name(count), _name(100_000), goal)]


def _name(count: int) -> str:
    return f"{count:,} images"


def points(count: int) -> list[tuple[float, float]]:
    """Return places, as ra and dec, that are not at the border of a crowd."""
    random = np.random.default_rng(9)
    places = zip(random.uniform(1, 359, count), random.uniform(-0.9, 0.9, count) * _DEC_MOST, strict=True)
    return [(float(ra), float(dec)) for ra, dec in places]


Work = Callable[[Registry, tuple[float, float]], list[ImageRecord]]


def _containing(registry: Registry, point: tuple[float, float]) -> list[ImageRecord]:
    return registry.containing(DATASET, "r", *point)


def _nearest(registry: Registry, point: tuple[float, float]) -> list[ImageRecord]:
    found = registry.nearest(DATASET, "r", *point)
    return [] if found is None else [found[0]]


def _search(registry: Registry, point: tuple[float, float]) -> list[ImageRecord]:
    return list(registry.search([DATASET], Search(shapes=(Circle(*point, RADIUS),))))


def _pair(
    work: Work, registry: Registry, crowd: Crowd
) -> tuple[
    Callable[[tuple[float, float]], list[ImageRecord]], Callable[[list[ImageRecord], tuple[float, float]], None]
]:
    """Return the work, and its check against brute force over the crowd."""

    def check(answer: list[ImageRecord], point: tuple[float, float]) -> None:
        numbers = {_number(record) for record in answer} - {None}
        if work is _nearest:
            x, y = _offsets(crowd.centers(), *point)
            if int(np.argmin(np.hypot(x, y))) not in numbers:
                raise Wrong("another image is nearer")
            return
        sure, perhaps = crowd.near(*point, RADIUS if work is _search else 0.0)
        if not sure <= numbers <= perhaps:
            raise Wrong(f"{len(numbers)} images, brute force finds {len(sure)} to {len(perhaps)}")

    return partial(work, registry), check


def _number(record: ImageRecord) -> int | None:
    """Return which of the crowd an image is; None for a real one."""
    data_id = record.data_id
    number = (int(data_id["run"]) - _RUN_OF_FIRST) * 10_000 + int(data_id["field"])
    return number if number >= 0 else None
