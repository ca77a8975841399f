"""The command: ``python -m benchmarks`` measures, ``python -m benchmarks plot FILE`` draws what was measured."""

import argparse
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from . import batch, engine, ingest, memory, registry, service
from .load import tool
from .plot import plot
from .report import Table, machine, summary, text, write_json
from .settings import FULL, QUICK, USUAL, Settings

SECTIONS: Mapping[str, Callable[[Path, Settings], list[Table]]] = {
    "engine": lambda folder, settings: engine.uncompressed(folder, settings.effort),
    "compressed": lambda folder, settings: engine.compressed(folder, settings.effort),
    "service": service.measure_service,
    "registry": lambda folder, settings: registry.measure_registry(folder, settings.effort, settings.images),
    "ingest": lambda folder, settings: ingest.measure_ingest(folder, settings.effort, settings.files),
    "memory": memory.measure_memory,
    "batch": lambda folder, settings: batch.measure_batch(folder, settings.effort, settings.rows),
}


def main() -> None:
    """Read the command line, and do as it says."""
    if sys.argv[1:2] == ["plot"]:
        _plot(sys.argv[2:])
    else:
        _measure(sys.argv[1:])


def _plot(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser("python -m benchmarks plot", description="Draw what was measured, as SVG.")
    parser.add_argument("file", type=Path, help="what --json wrote")
    parser.add_argument("--to", type=Path, default=Path("benchmark-plots"), help="folder for the drawings")
    options = parser.parse_args(arguments)
    for path in plot(options.file, options.to):
        print(path)


def _measure(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(
        "python -m benchmarks", description="Measure ImageServ beside its peers, or: plot FILE, which draws a run."
    )
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="a look in minutes: few rounds, small registries")
    size.add_argument("--full", action="store_true", help="with ten million images: hours, and 50 GB of disk")
    parser.add_argument("--only", default=",".join(SECTIONS), metavar="SECTIONS", help=f"of {','.join(SECTIONS)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there, too")
    parser.add_argument("--data", type=Path, metavar="DIR", help="keep the generated files there, and use them again")
    options = parser.parse_args(arguments)
    chosen = [name.strip() for name in options.only.split(",")]
    if unknown := [name for name in chosen if name not in SECTIONS]:
        parser.error(f"there is no section {unknown[0]}; there are {', '.join(SECTIONS)}")
    settings = QUICK if options.quick else FULL if options.full else USUAL
    warnings.simplefilter("ignore")  # peers warn of what they do with our files

    print(", ".join(f"{name} {value}" for name, value in machine().items()) + f"; load by {tool()}\n", flush=True)
    tables: list[Table] = []
    failed: list[str] = []
    with ExitStack() as stack:
        folder = options.data or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmarks-")))
        folder = folder.absolute()
        folder.mkdir(parents=True, exist_ok=True)
        for name in chosen:
            started = time.monotonic()
            found: list[Table] = []
            try:
                found = SECTIONS[name](folder, settings)
            except Exception:  # what the other sections measure is worth having
                traceback.print_exc()
                failed.append(name)
            print(f"--- {name}: {time.monotonic() - started:.0f} s\n", flush=True)
            for table in found:
                print(text(table) + "\n", flush=True)
            tables += found
    print(summary(tables))
    if options.json:
        write_json(tables, asdict(settings) | {"load": tool()}, options.json)
    if failed:
        sys.exit(f"not measured: {', '.join(failed)}")


if __name__ == "__main__":
    main()
