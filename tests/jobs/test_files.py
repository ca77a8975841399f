"""The folders of jobs: what is freed, and when."""

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from imageserv.core.jobs.files import JobFiles
from imageserv.core.jobs.model import PHASES, UNFINISHED, Phase

TARGETS = ("uploads/table", "work/done-000000.json", "work/a.part", "results/a.fits", "manifest/manifest.json")
HOUR = 3600
LONG_AGO = 0.0


def make(root: Path, name: str, age: float, *, resting: float) -> Path:
    """Make a job's folder, and say how long ago its names were changed, and those that it works with."""
    folder = root / name
    for target in TARGETS:
        (folder / target).parent.mkdir(parents=True, exist_ok=True)
        (folder / target).write_text("x")
    for path, seconds in ((folder / "work", resting), (folder, age)):
        then = path.stat().st_mtime - seconds
        os.utime(path, (then, then))
    return folder


def left(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("phase", PHASES)
def test_an_ended_job_keeps_what_clients_can_ask_for(tmp_path: Path, phase: Phase) -> None:
    folder = make(tmp_path, "job", 2 * HOUR, resting=HOUR)
    JobFiles(tmp_path).sweep(lambda names: (LONG_AGO, dict.fromkeys(names, phase)))
    if phase in UNFINISHED:
        assert left(folder) == set(TARGETS)
    elif phase == "COMPLETED":
        assert left(folder) == {"uploads/table", "results/a.fits", "manifest/manifest.json"}
    else:  # its document lists no result, which would only fill the disk
        assert left(folder) == {"uploads/table"}
    assert (folder / "work").exists() == (phase in UNFINISHED)


@pytest.mark.parametrize("phase", ["COMPLETED", "ABORTED"])
def test_who_wrote_a_moment_ago_may_still_be_stopping(tmp_path: Path, phase: Phase) -> None:
    folder = make(tmp_path, "job", 2 * HOUR, resting=5)
    JobFiles(tmp_path).sweep(lambda names: (LONG_AGO, dict.fromkeys(names, phase)))
    assert left(folder) == set(TARGETS)


def test_what_belongs_to_no_job_goes_after_an_hour(tmp_path: Path) -> None:
    for name, age in (("stray", 2 * HOUR), ("young", 120), ("mine", 2 * HOUR)):
        make(tmp_path, name, age, resting=100)

    for _ in range(2):  # renamed, then removed
        JobFiles(tmp_path).sweep(knowing_since(LONG_AGO, "mine"))
    assert {path.name for path in tmp_path.iterdir()} == {"young", "mine"}


@pytest.mark.parametrize(
    ("reign", "left_over"),
    [
        (60, {"old", "older"}),
        (3 * HOUR, {"older"}),
        (23 * HOUR, {"older"}),
        (25 * HOUR, set[str]()),
        (-25 * HOUR, set[str]()),
    ],
)
def test_what_is_older_than_the_database_is_kept_for_a_day(tmp_path: Path, reign: float, left_over: set[str]) -> None:
    # A database that was put away for a moment: another one was made, which knows nothing of the jobs. (The
    # last was made while the clock was a day ahead: its strays are freed, too.)
    for name, age in (("old", 2 * HOUR), ("older", 24 * HOUR)):
        make(tmp_path, name, age, resting=100)
    for _ in range(2):
        JobFiles(tmp_path).sweep(knowing_since(time.time() - reign))
    assert {path.name for path in tmp_path.iterdir()} == left_over


def knowing_since(since: float, *known: str) -> Callable[[Sequence[str]], tuple[float, dict[str, Phase]]]:
    return lambda names: (since, {name: "PENDING" for name in names if name in known})
