"""The folders of jobs: what is freed, and when."""

import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from imageserv.core.jobs.files import JobFiles
from imageserv.core.jobs.model import PHASES, UNFINISHED, Phase

TARGETS = ("uploads/table", "work/done-000000.json", "work/a.part", "results/a.fits", "manifest/manifest.json")
HOUR = 3600


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
    JobFiles(tmp_path).sweep(lambda names: dict.fromkeys(names, phase))
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
    JobFiles(tmp_path).sweep(lambda names: dict.fromkeys(names, phase))
    assert left(folder) == set(TARGETS)


def test_what_belongs_to_no_job_goes_after_an_hour(tmp_path: Path) -> None:
    for name, age in (("stray", 2 * HOUR), ("young", 120), ("mine", 2 * HOUR)):
        make(tmp_path, name, age, resting=100)

    def phases(names: Iterable[str]) -> dict[str, Phase]:
        return {name: "PENDING" for name in names if name == "mine"}

    for _ in range(2):  # renamed, then removed
        JobFiles(tmp_path).sweep(phases)
    assert {path.name for path in tmp_path.iterdir()} == {"young", "mine"}
