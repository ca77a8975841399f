"""Ingest: how many files a second are read into a registry."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from astropy.wcs import WCS

from imageserv.core.config import load
from imageserv.core.repository import Repository

from . import data
from .data import read_fits
from .report import Ratio, Table, ratio
from .rounds import Contestant, Effort, Series, Wrong, measure

_OURS, _ASTROPY, _BYTES = "ours", "astropy: all headers, one WCS", "reading the headers' bytes alone"
_BLOCK = 2880


def measure_ingest(folder: Path, effort: Effort, count: int) -> list[Table]:
    """Measure the ingest of so many small exposures, of twelve HDUs each, into an empty registry."""
    frames = data.many(folder / "many", count, "many")
    paths = [frame.path for frame in frames]
    for path in paths:
        path.read_bytes()
    configuration = data.write_configuration(folder, "many", {"many": ("calexp",)})
    rows = measure(
        [
            Contestant(_OURS, lambda _: _ingest(configuration), _check, lambda: _remove(configuration), 1),
            Contestant(_ASTROPY, lambda _: _astropy(paths), _check, None, 1),
            Contestant(_BYTES, lambda _: _read(paths), _check, None, 1),
        ],
        [count],
        effort,
    )
    rates = [Series(row.name, tuple(count / value for value in row.values), row.note, row.refused) for row in rows]
    ratios = [*ratio(rates, _OURS, _ASTROPY), *ratio(rates, _OURS, _BYTES)]
    title = f"{count} exposures of 12 HDUs, headers in memory"
    goal = [Ratio("files/s, one core", each.values, 500, "at least") for each in rates if each.name == _OURS]
    return [Table("ingest", title, "files/s", tuple(rates), (*goal, *ratios))]


def _check(answer: int, count: int) -> None:
    if answer != count:
        raise Wrong(f"{answer} files of {count}")


def _remove(configuration: Path) -> None:
    registry = load(configuration, {}).repositories["many"].registry
    for part in registry.parent.glob(f"{registry.name}*"):
        part.unlink()


def _ingest(configuration: Path) -> int:
    config = load(configuration, {})
    repository = Repository(config.repositories["many"], config, writable=True)
    try:
        return sum(summary.taken for summary in repository.ingest(None, lambda done, total, path: None))
    finally:
        repository.close()


def _astropy(paths: Sequence[Path]) -> int:
    found = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for path in paths:
            with read_fits(path) as hdus:
                headers = [hdu.header for hdu in hdus]
                found += WCS(headers[1]).has_celestial
    return found


def _read(paths: Sequence[Path]) -> int:
    """Walk each file as a reader must who parses no more than it needs to get from header to header."""
    found = 0
    for path in paths:
        with open(path, "rb") as file:
            while header := _next_header(file):
                found += header.startswith(b"SIMPLE")
    return found


def _next_header(file: Any) -> bytes:
    header = b""
    while block := file.read(_BLOCK):
        header += block
        if b"END" + b" " * 77 in block:
            break
    if header:
        axes = [_integer(header, f"NAXIS{axis + 1}") for axis in range(_integer(header, "NAXIS"))]
        size = abs(_integer(header, "BITPIX")) // 8 * (1 if axes else 0)
        for length in axes:
            size *= length
        file.seek(-(-size // _BLOCK) * _BLOCK, 1)
    return header


def _integer(header: bytes, keyword: str) -> int:
    at = header.index(f"{keyword:<8}= ".encode())
    return int(header[at + 10 : at + 30])
