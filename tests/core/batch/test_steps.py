"""Steps: whatever kills a process, and whenever, the next one goes on to the same files, and counts nothing twice."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imageserv.core.batch import Done
from imageserv.core.batch import plan as plans

SDSS = "ivo://example.org/DC_W13_Stripe82"
NAMES = ("raw/5646/4/694/g", "raw/1/1/1/g", "raw/5646/4/694/r", "calexp/5646/4/694/g", "raw/2708/3/103/r")
COMBINATIONS = [("ID", f"{SDSS}?{name}") for name in NAMES] + [("PIXELS", "[1:4,2:7]"), ("PIXELS", "[90:99,1:2]")]
TABLE = "\n".join(
    [
        "name,ra,dec,ds,filter,width,height",
        "a,37.64516,0.10322,raw,g,2,3",
        "b,37.64516,0.1033,raw,r,2,3",
        "c,200,0,raw,r,2,3",
        "d,359.19462,-0.10564,calexp,r,4,4",
        "e,x,0,raw,r,2,3",
        "f,37.64516,0.1031,raw,r,3,3",
        "g,37.64516,0.1033,calexp,g,2,3",
        "h,9.46796,-1.15803,raw,z,5,5",
    ]
)
KINDS = {
    "files": ([*COMBINATIONS], None),
    "tar": ([*COMBINATIONS, ("package", "tar")], None),
    "catalogue": ([("unit", "pixel")], TABLE),
    "catalogue in files": ([("unit", "pixel"), ("package", "files")], TABLE),
}


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "_MOST_PER_STEP", 2)
    monkeypatch.setattr("imageserv.core.batch.catalogue._PER_LOCATING", 3)


def tree(folder: Path) -> dict[str, bytes]:
    """Return all that is for the client."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for part in ("results", "manifest")
        for path in sorted((folder / part).iterdir())
    }


def begun(jobs: Any, kind: str) -> tuple[list[tuple[str, str]], Path | None, Path]:
    """Make a batch; return its parameters, its table and its folder, to be copied: they share the time of the tar."""
    pairs, text = KINDS[kind]
    table = None
    if text is not None:
        table = jobs.folder / "table.csv"
        table.write_text(text)
    batch, folder = jobs.make(pairs, table)
    assert batch.steps >= 4
    return pairs, table, folder


def finished(jobs: Any, pairs: Any, table: Path | None, folder: Path) -> dict[str, bytes]:
    batch, _ = jobs.make(pairs, table, folder=folder)
    for step in range(batch.steps):
        batch.run(step, lambda: False)
    batch.finish()
    return tree(folder)


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize("kind", KINDS)
def test_a_process_that_dies_at_any_write_is_followed_by_one_that_ends_alike(
    jobs: Any, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs, table, folder = begun(jobs, kind)
    template = jobs.folder / "template"
    shutil.copytree(folder, template)
    wanted = finished(jobs, pairs, table, folder)
    names = ("replace", "fdatasync", "fsync", "ftruncate")
    real = {name: getattr(os, name) for name in names}
    left = 0

    def hooked(name: str) -> Any:
        def call(*arguments: Any, **more: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                raise Killed
            return real[name](*arguments, **more)

        return call

    for name in names:
        monkeypatch.setattr(os, name, hooked(name))
    at, deaths = 0, 1
    while deaths:
        at, deaths = at + 1, 0
        copy = jobs.folder / f"copy{at}"
        shutil.copytree(template, copy)
        done: dict[int, Done] = {}
        left = at
        while True:
            try:
                batch, _ = jobs.make(pairs, table, folder=copy)
                for step in range(len(done), batch.steps):
                    done[step] = batch.run(step, lambda: False)
                outcome = batch.finish()
                break
            except Killed:
                deaths += 1
                left = at if deaths == 1 else 0
        assert tree(copy) == wanted, at
        assert sum(each.results for each in done.values()) == batch.total
        assert {file.name for file in outcome.results} == {path.name for path in (copy / "results").iterdir()}
    assert at > 10


PROGRAM = """
import json, os, signal, sys
from pathlib import Path
from imageserv.core.batch import Batch, BatchLimits
from imageserv.core.batch import catalogue, plan
from imageserv.core.config import load
from imageserv.core.service import open_service

plan._MOST_PER_STEP, catalogue._PER_LOCATING = 2, 3
configuration, folder, table, pairs, left = sys.argv[1:]
left = int(left)
replace = os.replace

def deadly(*arguments):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    replace(*arguments)

os.replace = deadly
service = open_service(load(Path(configuration), {}))
uploads = {"sources": Path(table)} if table else {}
batch = Batch(service, json.loads(pairs), uploads, Path(folder), BatchLimits(), lambda repository, dataset: None)
for step in range(batch.steps):
    batch.run(step, lambda: False)
batch.finish()
"""


def test_a_process_that_is_killed_again_and_again_is_followed_by_one_that_ends_alike(jobs: Any, archive: Path) -> None:
    pairs, table, folder = begun(jobs, "catalogue")
    copy = jobs.folder / "copy"
    shutil.copytree(folder, copy)
    wanted = finished(jobs, pairs, table, folder)
    sent = json.dumps([("UPLOAD", "sources,param:part"), *pairs])
    codes: list[int] = []
    while codes[-1:] != [0]:
        assert len(codes) < 30
        command = [sys.executable, "-c", PROGRAM, archive, copy, table or "", sent, len(codes) + 3]
        codes.append(subprocess.run(list(map(str, command)), timeout=120).returncode)
    assert len(codes) >= 4 and set(codes[:-1]) == {-9}
    assert tree(copy) == wanted


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_steps_that_are_done_can_be_repeated_in_any_order(jobs: Any, kind: str, data: st.DataObject) -> None:
    pairs, table, folder = begun(jobs, kind)
    copy = jobs.folder / f"copy{jobs.count}"
    shutil.copytree(folder, copy)
    wanted = finished(jobs, pairs, table, folder)
    done: list[Done] = []
    batch, _ = jobs.make(pairs, table, folder=copy)
    for step in range(batch.steps):
        done.append(batch.run(step, lambda: False))
        for again in data.draw(st.lists(st.integers(0, step), max_size=3)):
            if data.draw(st.booleans()):
                batch, _ = jobs.make(pairs, table, folder=copy)
            assert batch.run(again, lambda: False) == done[again]
    assert batch.finish() == batch.finish()
    assert batch.run(0, lambda: False) == done[0]
    assert tree(copy) == wanted


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_that_is_stopped_stops_and_can_go_on(jobs: Any, kind: str) -> None:
    pairs, table, folder = begun(jobs, kind)
    copy = jobs.folder / "copy"
    shutil.copytree(folder, copy)
    wanted = finished(jobs, pairs, table, folder)
    batch, _ = jobs.make(pairs, table, folder=copy)
    for step in range(batch.steps):
        for patience in (0, 1):
            asked = 0

            def stopped(patience: int = patience) -> bool:
                nonlocal asked
                asked += 1
                return asked > patience

            batch.run(step, stopped)
            assert asked <= patience + 1
        batch.run(step, lambda: False)
    batch.finish()
    assert tree(copy) == wanted


def test_a_file_that_is_copied_can_be_stopped_too(jobs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imageserv.core.batch.answering._CHUNK", 1000)
    pairs = [("ID", f"{SDSS}?{NAMES[0]}")]
    wanted = jobs.run(pairs).files
    batch, folder = jobs.make(pairs)
    answers = iter([False, False, True])
    assert batch.run(0, lambda: next(answers)) == Done(0, 0, 0)
    assert not list((folder / "results").iterdir())
    batch.run(0, lambda: False)
    batch.finish()
    assert {path.name: path.read_bytes() for path in (folder / "results").iterdir()} == wanted


def test_a_full_disk_is_told_and_the_step_can_be_repeated(
    jobs: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pairs, table, folder = begun(jobs, "tar")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    batch, _ = jobs.make(pairs, table, folder=folder)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", full)
        with pytest.raises(OSError, match="No space left"):
            batch.run(0, lambda: False)
    assert batch.run(0, lambda: False).results == 2


def test_steps_out_of_order_are_refused(jobs: Any) -> None:
    pairs, table, folder = begun(jobs, "tar")
    batch, _ = jobs.make(pairs, table, folder=folder)
    with pytest.raises(FileNotFoundError, match="step 1 of the job is not done"):
        batch.run(2, lambda: False)
    batch.run(0, lambda: False)
    with pytest.raises(FileNotFoundError):
        batch.finish()


def test_a_folder_of_other_parameters_is_begun_anew(jobs: Any) -> None:
    pairs, table, folder = begun(jobs, "files")
    finished(jobs, pairs, table, folder)
    other = [*pairs, ("DETAIL", "image")]
    assert tree(folder) != finished(jobs, other, table, folder)
    _, fresh = jobs.make(other)
    assert finished(jobs, other, table, fresh) == tree(folder)


def test_a_batch_is_made_again_without_reading_its_table(jobs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs, table, folder = begun(jobs, "catalogue")
    first, _ = jobs.make(pairs, table, folder=folder)
    monkeypatch.delattr(plans, "read_catalogue")
    again, _ = jobs.make(pairs, table, folder=folder)
    assert (again.steps, again.total, again.estimate) == (first.steps, first.total, first.estimate)
