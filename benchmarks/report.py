"""What was measured: as tables for people, and as JSON."""

import json
import os
import platform
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from .rounds import Series

_PACKAGES = (
    "imageserv",
    "numpy",
    "astropy",
    "uvicorn",
    "uvloop",
    "httptools",
    "starlette",
    "fitsio",
    "rustfits",
    "astrocut",
    "cutout-fits",
)


@dataclass(frozen=True, slots=True)
class Ratio:
    """One number by another of the same round, for each round; or, for a difference, their difference.

    Attributes
    ----------
    goal
        What it should be, if there is a goal.
    bound
        Whether the goal is the most or the least that it should be.
    unit
        Of a difference.
    """

    name: str
    values: tuple[float, ...]
    goal: float | None = None
    bound: Literal["at most", "at least"] = "at most"
    unit: str = ""

    @property
    def median(self) -> float:
        """Of the rounds."""
        return statistics.median(self.values)

    @property
    def met(self) -> bool | None:
        """Whether the goal is reached; None without one."""
        if self.goal is None:
            return None
        return self.median <= self.goal if self.bound == "at most" else self.median >= self.goal


@dataclass(frozen=True, slots=True)
class Table:
    """What contestants for one piece of work needed.

    Attributes
    ----------
    section
        As ``--only`` names it.
    unit
        Of the rows' values.
    ratios
        What follows from them.
    note
        What a reader should know.
    """

    section: str
    title: str
    unit: str
    rows: tuple[Series, ...]
    ratios: tuple[Ratio, ...] = ()
    note: str = ""


def scaled(rows: Iterable[Series], factor: float) -> tuple[Series, ...]:
    """Return the same series in another unit."""
    return tuple(Series(row.name, tuple(value * factor for value in row.values), row.note, row.refused) for row in rows)


def ratio(
    rows: Sequence[Series],
    above: str,
    below: str,
    goal: float | None = None,
    bound: Literal["at most", "at least"] = "at most",
) -> list[Ratio]:
    """Divide two rows, round by round; an empty list if one of them was refused or is not there."""
    pair = _pair(rows, above, below)
    if pair is None:
        return []
    values = tuple(first / second for first, second in zip(*pair, strict=True))
    return [Ratio(f"{above} / {below}", values, goal, bound)]


def difference(rows: Sequence[Series], more: str, less: str, unit: str, goal: float | None = None) -> list[Ratio]:
    """Subtract two rows, round by round; an empty list if one of them was refused or is not there."""
    pair = _pair(rows, more, less)
    if pair is None:
        return []
    values = tuple(first - second for first, second in zip(*pair, strict=True))
    return [Ratio(f"{more} - {less}", values, goal, "at most", unit)]


def _pair(rows: Sequence[Series], first: str, second: str) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    named = {row.name: row.values for row in rows if row.values}
    return (named[first], named[second]) if first in named and second in named else None


def text(table: Table) -> str:
    """Write a table for people."""
    lines = [f"{table.section}: {table.title}   [{table.unit}, median (lowest - highest round)]"]
    lines += [f"  {line}" for line in table.note.splitlines()]
    width = max((len(row.name) for row in table.rows), default=0)
    for row in table.rows:
        if row.values:
            spread = f"({_number(min(row.values))} - {_number(max(row.values))})"
            line = f"  {row.name:<{width}}  {_number(row.median):>10}  {spread:<22}  {row.note}"
        else:
            line = f"  {row.name:<{width}}  {'-':>10}  {row.refused}"
        lines.append(line.rstrip())
    width = max((len(each.name) for each in table.ratios), default=0)
    for each in table.ratios:
        spread = f"({_number(min(each.values))} - {_number(max(each.values))})"
        line = f"    {each.name:<{width}}  {_number(each.median):>8} {each.unit:<3}{spread:<20}"
        if each.goal is not None:
            line += f"  goal: {each.bound} {each.goal:g}   {'met' if each.met else 'MISSED'}"
        lines.append(line.rstrip())
    return "\n".join(lines)


def _number(value: float) -> str:
    """Write three significant digits, without an exponent."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def summary(tables: Iterable[Table]) -> str:
    """Write all goals, and whether they are met."""
    goals = [(table, each) for table in tables for each in table.ratios if each.met is not None]
    lines = [f"{sum(bool(each.met) for _, each in goals)} of {len(goals)} goals met; missed:"]
    lines += [
        f"  {table.title}: {each.name} is {_number(each.median)}{each.unit}, should be {each.bound} {each.goal:g}"
        for table, each in goals
        if not each.met
    ]
    return "\n".join(lines)


def write_json(tables: Sequence[Table], settings: dict[str, Any], path: Path) -> None:
    """Write everything, with what is needed to judge it; no name of a machine or path of a file."""
    document = {
        "settings": settings,
        "machine": machine(),
        "versions": {name: _version(name) for name in _PACKAGES} | {"python": platform.python_version()},
        "tables": [
            asdict(table) | {"ratios": [asdict(each) | {"met": each.met} for each in table.ratios]} for table in tables
        ],
    }
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def machine() -> dict[str, Any]:
    """Return what the machine is like."""
    cpu = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    models = [line.partition(":")[2].strip() for line in cpu.splitlines() if line.startswith("model name")]
    return {
        "cores": len(os.sched_getaffinity(0)),
        "cpu": models[0] if models else platform.machine(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "kernel": platform.release().partition("-")[0],
        "load": round(os.getloadavg()[0], 2),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
