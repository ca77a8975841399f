"""Plots for the documentation, drawn from the JSON of a run."""

import importlib
import json
import re
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_OURS, _FLOOR, _PEER = "#0b6e99", "#8a8f98", "#d9a441"


def plot(measured: Path, folder: Path) -> list[Path]:
    """Draw each table as bars, one SVG file each.

    Parameters
    ----------
    measured
        What ``--json`` wrote.
    folder
        Where the drawings go.

    Returns
    -------
    list of Path
        The files.
    """
    pyplot: Any = importlib.import_module("matplotlib.pyplot")
    document = json.loads(measured.read_text(encoding="utf-8"))
    folder.mkdir(parents=True, exist_ok=True)
    # The same measurements give the same file, whose text can be searched.
    pyplot.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "benchmarks", "font.size": 9})
    drawn: list[Path] = []
    for table in document["tables"]:
        rows = [row for row in table["rows"] if row["values"]]
        if rows:
            path = folder / f"{_slug(table['section'], table['title'])}.svg"
            _draw(pyplot, table, rows, path)
            drawn.append(path)
    return drawn


def _draw(pyplot: Any, table: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    names = [row["name"] for row in rows]
    values = [statistics.median(row["values"]) for row in rows]
    spread = [
        [value - min(row["values"]) for value, row in zip(values, rows, strict=True)],
        [max(row["values"]) - value for value, row in zip(values, rows, strict=True)],
    ]
    figure, axes = pyplot.subplots(figsize=(7.0, 0.9 + 0.32 * len(rows)), layout="constrained")
    axes.barh(names, values, xerr=spread, color=[_color(name) for name in names], ecolor="#444444", capsize=2)
    axes.invert_yaxis()
    if min(values) > 0 and max(values) > 20 * min(values):
        axes.set_xscale("log")
    for place, value in enumerate(values):
        axes.annotate(f"{value:,.3g}" if value < 1000 else f"{value:,.0f}", (value, place), (6, 0),
                      textcoords="offset points", va="center", fontsize=8)  # fmt: skip
    axes.margins(x=0.15)
    axes.set_xlabel(table["unit"])
    axes.set_title(table["title"], loc="left", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None, "Creator": None})
    pyplot.close(figure)


def _color(name: str) -> str:
    return _OURS if name.startswith("ours") else _FLOOR if re.match("floor|constant", name) else _PEER


def _slug(*parts: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", " ".join(parts).lower()).strip("-")
