"""Jobs: a catalogue of many rows, beside a plain loop that locates, cuts and appends the same bytes to one file."""

import json
import shutil
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from imageserv.core.batch import Batch, BatchLimits
from imageserv.core.config import load
from imageserv.core.request import CutoutRequest
from imageserv.core.selection import ByPosition
from imageserv.core.service import Service, open_service
from imageserv.core.sky.stencil import Box

from . import data
from .report import Ratio, Table, ratio
from .repositories import ingest
from .rounds import Contestant, Effort, Wrong, measure

_OURS, _LOOP = "a job: tar, manifest, checksums", "a plain loop"
_IMAGES, _SIZE = 200, 32
_LOOKED_AT = 50  # results that are compared, byte by byte


@dataclass(frozen=True, slots=True)
class _Task:
    """A catalogue of places in the images, as numbers and as a file."""

    places: Sequence[tuple[float, float]]
    table: Path


def measure_batch(folder: Path, effort: Effort, rows: int) -> list[Table]:
    """Measure a job of so many cutouts of one plane, and the memory that it takes."""
    frames = data.many(folder / "batch", _IMAGES, "batch")
    configuration = data.write_configuration(folder, "batch", {"batch": ("calexp",)})
    ingest(configuration)
    service = open_service(load(configuration, {}))
    task = _task(frames, rows, folder / "batch.csv")
    memory: list[float] = []
    try:
        rounds = measure(
            [
                Contestant(_OURS, lambda task: _job(service, task, folder / "job", memory), _check_job, None, 1),
                Contestant(_LOOP, lambda task: _loop(service, task, folder / "loop"), _check_loop, None, 1),
            ],
            [task],
            effort,
        )
    finally:
        service.close()
        shutil.rmtree(folder / "job", ignore_errors=True)
    title = f"{rows:,} rows over {_IMAGES} images, {_SIZE} x {_SIZE} pixels of one plane"
    growth = Ratio("own memory, the most less that at the first step", tuple(memory), unit="MB")
    return [Table("batch", title, "s", tuple(rounds), (*ratio(rounds, _OURS, _LOOP, 2.0), growth))]


def _task(frames: Sequence[data.Frame], rows: int, table: Path) -> _Task:
    each = -(-rows // len(frames))
    places = [(place.ra, place.dec) for frame in frames for place in frame.places(_SIZE, each)]
    order = np.random.default_rng(1).permutation(len(places))[:rows]
    chosen = [places[at] for at in order.tolist()]
    table.write_text("ra,dec\n" + "".join(f"{ra!r},{dec!r}\n" for ra, dec in chosen))
    return _Task(chosen, table)


def _loop(service: Service, task: _Task, target: Path) -> tuple[Path, list[int]]:
    repository = service.default
    plugin = repository.dataset("calexp")
    ends: list[int] = []
    with open(target, "wb") as out:
        for ra, dec in task.places:
            selection = repository.select(plugin, ByPosition(ra, dec, "r"))
            request = CutoutRequest(Box(ra, dec, _SIZE, _SIZE, "pixel"), "image")
            out.write(repository.cutout(selection, request).content)
            ends.append(out.tell())
    return target, ends


def _job(service: Service, task: _Task, folder: Path, memory: list[float]) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    given: Mapping[str, Any] = {
        "UPLOAD": "t,param:t",
        "filter": "r",
        "width": _SIZE,
        "height": _SIZE,
        "unit": "pixel",
        "DETAIL": "image",
    }
    pairs = [(name, str(value)) for name, value in given.items()]
    batch = Batch(service, pairs, {"t": task.table}, folder, BatchLimits(), lambda repository, dataset: None)
    seen: list[float] = []
    for step in range(batch.steps):
        batch.run(step, lambda: False)
        seen.append(_own_memory())
    batch.finish()
    memory.append(max(*seen, _own_memory()) - seen[0])
    return folder


def _check_loop(answer: tuple[Path, list[int]], task: _Task) -> None:
    if len(answer[1]) != len(task.places):
        raise Wrong(f"{len(answer[1])} cutouts of {len(task.places)}")


def _check_job(folder: Path, task: _Task) -> None:
    """Hold the manifest against the catalogue, and some of the cutouts against what was asked for."""
    rows = json.loads((folder / "manifest" / "manifest.json").read_text())["data"]
    if [(row["ra"], row["dec"], row["status"]) for row in rows] != [(*place, "OK") for place in task.places]:
        raise Wrong("the manifest is not the catalogue's")
    with tarfile.open(folder / "results" / "cutouts.tar") as tar:
        members = {member.name.partition("/")[2]: member for member in tar}
        for row in rows[:: max(len(rows) // _LOOKED_AT, 1)]:
            with data.read_fits(tar.extractfile(members[row["file"]])) as hdus:
                if hdus[1].data.shape != (_SIZE, _SIZE):
                    raise Wrong(f"{row['file']} is not as was asked for")


def _own_memory() -> float:
    """Return this process's own memory, MB."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) / 1000 for line in lines if line.startswith("RssAnon"))
