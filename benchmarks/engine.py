"""Cutouts: stencil in, FITS bytes out."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from imageserv.core.repository import Repository

from . import data
from .contestants import ANEW, COPIED, CUTOUT2D, FIRST, OURS, REOPENED, SECTION, UNCOPIED, Job, first_time, temporary
from .floor import Floor
from .report import Ratio, Table, difference, ratio, scaled
from .repositories import ingest, opened, select
from .rounds import Contestant, Effort, Series, measure

_FLOOR, _FLOOR_FRESH = "floor", "floor, fresh output"
_SIZES = (100, 1000)
_FIRST_CALLS = 8
_CODEC_ROUNDING = 1e-6


def uncompressed(folder: Path, effort: Effort) -> list[Table]:
    """Measure cutouts of plain files, files in memory."""
    root = folder / "survey"
    jobs = {
        "raw, uint16": Job(data.raw(root), 1),
        "coadd, one plane, TAN": Job(data.coadd(root), 1),
        "calexp, one plane, TAN-SIP": Job(data.calexp(root), 1),
        "calexp, three planes, TAN-SIP": Job(data.calexp(root), 3),
    }
    configuration = data.write_configuration(folder, "survey", {"survey": ("raw", "calexp", "deepcoadd")})
    ingest(configuration)
    with opened(configuration, "survey") as repository:
        tables = [
            _uncompressed(title, job, size, repository, effort, folder)
            for title, job in jobs.items()
            for size in _SIZES
        ]
    return [*tables, *_first(folder, effort)]


def _uncompressed(title: str, job: Job, size: int, repository: Repository, effort: Effort, folder: Path) -> Table:
    contestants = [
        job.ours(repository),
        Contestant(_FLOOR, Floor(job.frame, job.planes, fresh=False).cut, job.truth.fits(job.planes)),
        Contestant(_FLOOR_FRESH, Floor(job.frame, job.planes, fresh=True).cut, job.truth.fits(job.planes)),
        job.cutout2d(),
        job.section(),
        job.fitsio_file(),
        job.fitsio_pixels(),
        job.rustfits_slice(),
        job.rustfits_pixels(),
        job.astrocut(),
        job.cutout_fits(temporary(folder)),
        job.imcopy(temporary(folder)),
    ]
    rows = measure([each for each in contestants if each is not None], job.frame.places(size), effort)
    goals = {} if job.planes == 1 else {100: (2.0, 150.0, None), 1000: (None, None, 1.3)}
    floor, times, fresh = goals.get(size, (None, None, None))
    ratios = [
        *ratio(rows, OURS, _FLOOR, floor),
        *ratio(rows, OURS, _FLOOR_FRESH, fresh),
        *ratio(rows, CUTOUT2D, OURS, times, "at least"),
        *ratio(rows, SECTION, OURS),
    ]
    return Table("engine", f"{title}, {size} x {size} px", "us", scaled(rows, 1e6), tuple(ratios))


def _first(folder: Path, effort: Effort) -> list[Table]:
    """Measure the first cutout of each of many files: from memory, and from the disk."""
    count = 2 + 2 * (effort.rounds * _FIRST_CALLS + 1)
    frames = data.many(folder / "first", count, "first")
    configuration = data.write_configuration(folder, "first", {"first": ("calexp",)})
    ingest(configuration)
    with opened(configuration, "first") as repository:
        # One is kept open, one is opened by peers alone: pages that a process maps do not leave the memory.
        job, peers = Job(frames[0], 3), Job(frames[-1], 3)
        places = frames[0].places(100)
        # A file is used once, so that nothing of it is known to the process: the last of them are the cold ones.
        files = iter([(frame, select(repository, frame), frame.places(100, 1)[0]) for frame in frames[1:-1]])
        warm = job.ours(repository)
        rows = measure(
            [warm, first_time(repository, files, 3, _FIRST_CALLS, cold=False), job.section()], places, effort
        )
        more = difference(scaled(rows, 1e3), FIRST, OURS, "ms", 1.5)
        title = "calexp of 256 x 256 px, three planes, 100 x 100 px, first cutout of a file"
        tables = [Table("engine", title, "us", scaled(rows, 1e6), tuple(more))]
        if data.forget(peers.frame.path):
            cold = [first_time(repository, files, 3, _FIRST_CALLS, cold=True), *_cold(peers)]
            rows = measure(cold, peers.frame.places(100), effort)
            ratios = tuple(ratio(rows, SECTION, FIRST))
            tables.append(Table("engine", f"{title}, not in memory", "us", scaled(rows, 1e6), ratios))
    return tables


def _cold(job: Job) -> list[Contestant]:
    """Return peers that open the file anew, each time from the disk."""
    peers: Sequence[Contestant | None] = (job.section(), job.fitsio_slice(), job.rustfits_slice())
    return [
        replace(each, before=lambda: data.forget(job.frame.path), calls=_FIRST_CALLS)
        for each in peers
        if each is not None
    ]


def compressed(folder: Path, effort: Effort) -> list[Table]:
    """Measure cutouts of tile-compressed files, files in memory."""
    root = folder / "tiles"
    jobs = {kind: Job(data.tiled(root, kind), 1, _CODEC_ROUNDING) for kind in data.TILED}
    configuration = data.write_configuration(folder, "tiles", {"tiles": ("image",)})
    ingest(configuration)
    tables: list[Table] = []
    with opened(configuration, "tiles") as repository, opened(configuration, "tiles", tile_cache_bytes=0) as forgetful:
        for kind, job in jobs.items():
            for size in _SIZES:
                contestants = [
                    job.ours(repository),
                    job.ours(forgetful, ANEW),
                    *job.copied(forgetful),
                    job.reopened(configuration),
                    job.section(),
                    job.fitsio_slice(),
                    job.fitsio_pixels(),
                    job.rustfits_slice(),
                    job.rustfits_pixels(),
                ]
                places = job.frame.places(size)
                rows = measure([each for each in contestants if each is not None], places, effort)
                ratios = tuple(_tile_ratios(kind, size, rows))
                tables.append(Table("compressed", f"{kind}, {size} x {size} px", "us", scaled(rows, 1e6), ratios))
    return tables


def _tile_ratios(kind: str, size: int, rows: Sequence[Series]) -> list[Ratio]:
    square, small = "256" in kind, size == 100
    astropy = (15.0 if "RICE" in kind else 12.0) if square and small else None
    return [
        *ratio(rows, SECTION, ANEW, astropy, "at least"),
        *ratio(rows, ANEW, "fitsio, open file", 1.0 if small else None),
        *ratio(rows, ANEW, "rustfits open + slice", (1.1 if square else 1.2) if small else None),
        *ratio(rows, UNCOPIED, COPIED, 5.0, "at least"),
        *ratio(rows, ANEW, COPIED),
        *ratio(rows, SECTION, OURS),
        *ratio(rows, OURS, "rustfits, open file"),
        *ratio(rows, REOPENED, ANEW),
    ]
