"""Workers as processes: what they do with jobs, and what is left when they are killed."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from imageserv.core.jobs.places import store_of

ASYNC = "/api/image/vo/async"
Until = Callable[..., None]


def children(pid: int) -> list[int]:
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def tries(site: Any, url: str, step: int = 0) -> int:
    path = site.files / url.rsplit("/", 1)[1] / f"tries-{step}"
    return path.stat().st_size if path.exists() else 0


def test_a_job_is_done(working: Any) -> None:
    do = ["write:a", "failed:b", "write:c"]
    url = working.run(*do)
    job = working.end(url)
    working.check(url, do)
    assert job["jobInfo"]["failed"] == 1
    assert (job["jobInfo"]["expectedBytes"], job["jobInfo"]["expectedSeconds"]) == (24, 0.03)
    assert job["errorSummary"] is None
    assert job["creationTime"] <= job["startTime"] <= job["endTime"]
    assert job["quote"] is not None
    (manifest,) = job["jobInfo"]["manifest"]
    answer = working.client.get(manifest["href"].removeprefix("https://images.example.org"))
    assert (answer.text, answer.headers["content-type"]) == ("[]", "application/json")
    assert working.client.get(f"{url}/error").status_code == 404
    head = working.client.head(f"{url}/results/0.txt")
    assert (head.status_code, head.headers["content-length"]) == (200, "7")
    assert head.headers["content-disposition"] == 'attachment; filename="0.txt"'


def test_uploads_reach_the_job(working: Any) -> None:
    files = {"p": ("f.csv", b"a,1\nb,2")}
    sent = {"UPLOAD": "stars,param:p", "DO": "write:x", "PHASE": "RUN"}
    url = working.path_of(working.client.post(ASYNC, data=sent, files=files))
    working.check(url, ["write:x", "write:stars:a,1", "write:stars:b,2"])


@pytest.mark.parametrize(
    ("do", "message", "kind"),
    [
        ((), "UsageError: DO is missing", "fatal"),
        (("write:x", "usage:what is right"), "UsageError: what is right", "fatal"),
        (("limit:too much",), "UsageError: too much", "fatal"),
        (("full",), "ServiceUnavailable: the results cannot be stored: No space left on device", "transient"),
        (("bug:secret",), "Error: the service failed; its log says why, under the job's id ", "transient"),
    ],
)
def test_what_is_wrong_is_the_jobs_error(working: Any, do: tuple[str, ...], message: str, kind: str) -> None:
    url = working.run(*do)
    job = working.end(url)
    assert job["phase"] == "ERROR"
    summary = job["errorSummary"]
    assert (summary["type"], summary["hasDetail"]) == (kind, True)
    assert summary["message"].startswith(message) and "secret" not in summary["message"]
    error = working.client.get(f"{url}/error")
    assert (error.status_code, error.text) == (200, summary["message"] + "\n")
    assert error.headers["content-type"] == "text/plain; charset=utf-8"
    assert job["results"] == []
    if "bug" in "".join(do):
        assert "KeyError" in working.log() and job["jobId"] in working.log()


def test_a_crash_is_tried_again_and_three_are_the_end(working: Any) -> None:
    neighbours = [working.run("write:1") for _ in range(3)]
    crashed_once, poison = working.run("write:x", "once", "write:y"), working.run("write:x", "kill", "write:y")
    neighbours += [working.run("write:2") for _ in range(3)]
    working.check(crashed_once, ["write:x", "once", "write:y"])
    assert [tries(working, crashed_once, step) for step in range(3)] == [1, 2, 1]
    job = working.end(poison)
    assert job["phase"] == "ERROR"
    assert "3 times" in job["errorSummary"]["message"] and "SIGKILL" in job["errorSummary"]["message"]
    assert [tries(working, poison, step) for step in range(3)] == [1, 3, 0]
    assert {working.end(url)["phase"] for url in neighbours} == {"COMPLETED"}
    assert len(working.workers) == 1 and working.workers[0].poll() is None


@pytest.mark.parametrize(("word", "how"), [("sleep:600", "abort"), ("hang:600", "delete")])
def test_running_work_is_stopped(working: Any, until: Until, word: str, how: str) -> None:
    url = working.run(word)
    folder = working.files / url.rsplit("/", 1)[1]
    until(lambda: tries(working, url) == 1)
    hands = children(working.workers[0].pid)
    assert len(hands) == 2
    if how == "abort":
        assert working.client.post(f"{url}/phase", data={"PHASE": "ABORT"}).status_code == 303
        assert working.phase(url) == "ABORTED"
    else:
        assert working.client.delete(url).status_code == 303
    until(lambda: len([pid for pid in hands if alive(pid)]) < 2)
    working.check(working.run("write:next"), ["write:next"])
    if how == "abort":
        job = working.job(url)
        assert (job["phase"], job["results"], job["errorSummary"]) == ("ABORTED", [], None)
    else:
        assert not folder.exists()


def test_a_job_ends_with_its_time(working: Any) -> None:
    job = working.end(working.run("write:x", "hang:600", EXECUTIONDURATION="1"))
    assert job["phase"] == "ERROR"
    message = job["errorSummary"]["message"]
    assert message.startswith("UsageError: the job was stopped after the 1 s") and "1 of 2 results" in message


def test_expired_jobs_go_with_their_files(plain: Any, until: Until) -> None:
    url = plain.create("x", DESTRUCTION="2000-01-01")
    other = plain.path_of(plain.client.post(ASYNC, data={"UPLOAD": "t,param:p", "DO": "x"}, files={"p": ("f", b"x")}))
    gone = plain.path_of(plain.client.post(ASYNC, data={"UPLOAD": "t,param:p", "DO": "x"}, files={"p": ("f", b"x")}))
    plain.client.post(f"{gone}/destruction", data={"DESTRUCTION": "2000-01-01"})
    stray = plain.files / "stray"
    stray.mkdir()
    os.utime(stray, (0, 0))
    with sqlite3.connect(plain.path.parent / "jobs" / "jobs.sqlite", timeout=60) as database:
        database.execute("UPDATE imageserv_total SET value = 0 WHERE name = 'made'")  # else it might be another one's
    database.close()
    young = plain.files / "young"
    young.mkdir()
    assert plain.client.get(url).status_code == 404
    plain.work()
    until(lambda: {path.name for path in plain.files.iterdir()} == {other.rsplit("/", 1)[1], "young"}, 90)
    assert plain.client.get(other).status_code == 200


def test_files_of_expired_jobs_go_while_the_database_takes_nothing(plain: Any, until: Until) -> None:
    """As one on a full disk: nothing else would give it room again."""
    url = plain.path_of(plain.client.post(ASYNC, data={"UPLOAD": "t,param:p", "DO": "x"}, files={"p": ("f", b"x")}))
    with sqlite3.connect(plain.path.parent / "jobs" / "jobs.sqlite", timeout=60) as database:
        database.execute("CREATE TRIGGER full BEFORE DELETE ON imageserv_job BEGIN SELECT RAISE(ABORT, 'full'); END")
        database.execute("UPDATE imageserv_job SET destruction = 0")
    plain.work()
    until(lambda: not list(plain.files.iterdir()), 90)
    (left,) = database.execute("SELECT count(*) FROM imageserv_job").fetchone()
    assert left == 1
    database.execute("DROP TRIGGER full")
    database.commit()
    until(lambda: database.execute("SELECT count(*) FROM imageserv_job").fetchone() == (0,), 90)
    database.close()
    assert plain.client.get(url).status_code == 404


def test_removing_files_holds_up_nothing(plain: Any, until: Until) -> None:
    """However slow their disk is: signs of life go on, and what was aborted is stopped."""
    worker = plain.work("stuck")
    until((plain.path.parent / "sweeping").exists)
    url = plain.run("hang:600")
    until(lambda: tries(plain, url) == 1)
    hands = children(worker.pid)
    store = store_of(plain.config)
    ((name, beat),) = store.beats().items()
    until(lambda: store.beats()[name] >= beat + 2)
    assert plain.client.post(f"{url}/phase", data={"PHASE": "ABORT"}).status_code == 303
    until(lambda: len([pid for pid in hands if alive(pid)]) < 2)
    plain.check(plain.run("write:next"), ["write:next"])


def test_a_worker_that_is_told_to_stop_leaves_its_jobs_to_the_next(plain: Any, until: Until) -> None:
    first = plain.work()
    do = ["write:x", "sleep:3", "write:y"]
    urls = [plain.run(*do) for _ in range(4)]
    until(lambda: any(tries(plain, url, 1) for url in urls))
    done = [url for url in urls if tries(plain, url, 1)]  # their first step is: of others it may have been under way
    first.terminate()
    assert first.wait(30) == 0
    assert children(first.pid) == []
    plain.work()
    for url in urls:
        plain.check(url, do)
    for url in done:
        assert tries(plain, url, 0) == 1  # a step that was done is not done again


def test_whatever_is_killed_nothing_is_lost_and_nothing_is_double(plain: Any, until: Until) -> None:
    """Worker and hands are killed again and again, at random, while jobs run."""
    chance = random.Random(5)
    plain.work()
    jobs = {plain.run(*do): do for do in ([f"write:{job}.{step}" for step in range(1 + job % 4)] for job in range(60))}
    for kill in range(6):
        time.sleep(chance.uniform(0.2, 3))
        worker = plain.workers[-1]
        hands = children(worker.pid)
        if kill % 3 == 2 and hands:
            os.kill(chance.choice(hands), signal.SIGKILL)
            continue
        worker.kill()
        worker.wait()
        until(lambda: not any(map(alive, hands)))  # noqa: B023  # they end with it
        plain.work()
    for url, do in jobs.items():
        plain.check(url, do)


def test_two_workers_share_and_one_takes_over(site: Callable[..., Any], until: Until) -> None:
    it = site("running = 1")
    workers = [it.work(), it.work()]
    do = ["write:x", "sleep:2", "write:y"]
    urls = [it.run(*do) for _ in range(6)]

    def executing() -> int:
        return sum(it.phase(url) == "EXECUTING" for url in urls)

    until(lambda: executing() == 2)
    workers[0].kill()
    for url in urls:
        it.check(url, do)


def test_the_engines_database_may_be_lost(plain: Any, until: Until) -> None:
    """All that it knows is found again from the rows of the jobs."""
    worker = plain.work()
    url = plain.run("write:x", "sleep:600")
    until(lambda: tries(plain, url, 1) == 1)
    worker.kill()
    worker.wait()
    for path in (plain.path.parent / "jobs").glob("engine.sqlite*"):
        path.unlink()
    plain.work()
    until(lambda: tries(plain, url, 1) == 2, 120)
    plain.client.post(f"{url}/phase", data={"PHASE": "ABORT"})


def test_the_engines_database_may_be_taken_away_under_a_worker(plain: Any, until: Until) -> None:
    """It has the file open still, and would go on with what no other worker sees: it makes way for the next one."""
    worker = plain.work()
    do = ["write:x", "sleep:5", "write:y"]
    url, waiting = plain.run(*do), plain.create("write:z")
    until(lambda: tries(plain, url, 1) == 1)
    for path in (plain.path.parent / "jobs").glob("engine.sqlite*"):
        path.unlink()
    assert worker.wait(60) == 1
    assert "engine's database was taken away" in plain.log()
    assert plain.client.post(f"{waiting}/phase", data={"PHASE": "RUN"}).status_code == 303
    plain.work()
    plain.check(waiting, ["write:z"])
    plain.check(url, do)


def test_the_engines_database_may_fail_for_a_while(plain: Any, until: Until) -> None:
    """Of a full disk, say: it can neither note that a step was done nor that it let the job go."""
    worker = plain.work()
    do = ["write:x", "sleep:2", "write:y"]
    url = plain.run(*do)
    until(lambda: tries(plain, url, 1) == 1)
    with sqlite3.connect(plain.path.parent / "jobs" / "engine.sqlite", timeout=60) as engine:
        engine.execute("ALTER TABLE workflow_status RENAME TO away")
        engine.commit()
        until(lambda: "Exception encountered in background workflow" in plain.log())
        engine.execute("ALTER TABLE away RENAME TO workflow_status")
    engine.close()
    plain.check(url, do)
    assert worker.poll() is None


def test_metrics_tell_of_the_queue(plain: Any, until: Until) -> None:
    def metric(name: str) -> float:
        text = plain.client.get("/metrics").text
        return float(next(line for line in text.splitlines() if line.startswith(name)).rsplit(" ", 1)[1])

    urls = [plain.run("write:x") for _ in range(3)]
    assert metric('imageserv_jobs{phase="QUEUED"}') == 3
    until(lambda: metric("imageserv_jobs_longest_wait_seconds") > 0)
    plain.work()
    for url in urls:
        plain.end(url)
    assert metric('imageserv_jobs{phase="QUEUED"}') == 0
    assert metric('imageserv_jobs_ended_total{phase="COMPLETED"}') == metric("imageserv_jobs_started_total") == 3
    assert metric("imageserv_jobs_wait_seconds_total") > 0 and metric("imageserv_jobs_run_seconds_total") > 0


def test_a_worker_that_cannot_work_says_so(plain: Any) -> None:
    plain.path.write_text(plain.path.read_text().replace('plugin = "image"', 'plugin = "none"'))
    ended = subprocess.run(
        [sys.executable, "-m", "imageserv.vo.cli", "work", "--config", str(plain.path)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 1
    # Each process that computes has a line; the first to end ends the worker, which says so before the other is gone.
    lines = ended.stderr.splitlines()
    (told,) = [line for line in lines if line.startswith("imageserv: ")]
    assert "cannot be started" in told
    lines.remove(told)
    assert 1 <= len(lines) <= 2
    assert all("none" in json.loads(line)["message"] for line in lines)  # the plugin that there is not
