"""The command line about jobs, and the worker that a server keeps."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from imageserv.core.config import load
from imageserv.core.jobs.places import store_of
from imageserv.vo import cli

ASYNC = "/api/image/vo/async"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(plain: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    def invoke(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["imageserv", "jobs", *arguments, "--config", str(plain.path)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        output, errors = capfd.readouterr()
        return int(stopped.value.code or 0), output, errors

    return invoke


def test_operators_list_show_abort_and_purge(plain: Any, run: Run) -> None:
    urls = [plain.create("x", RUNID=name) for name in ("one", "two\x1b[31m", "three")]
    one, two, three = (url.rsplit("/", 1)[1] for url in urls)
    upload = plain.client.post(
        f"{urls[0]}/parameters", data={"UPLOAD": "t,param:p", "POS": "CIRCLE 1 2 3"}, files={"p": ("f", b"x")}
    )
    assert upload.status_code == 303
    status, listed, errors = run("list")
    assert (status, errors) == (0, "")
    head, *lines = listed.splitlines()
    assert head.split() == ["job", "phase", "created", "owner", "run", "id"]
    assert [line.split()[0] for line in lines] == [three, two, one]
    assert lines[2].split()[1] == "PENDING" and lines[2].split()[3:] == ["-", "one"]
    assert "\x1b" not in listed
    assert run("list", "--last", "1")[1].splitlines()[1].split()[0] == three
    assert run("abort", one, two)[1].splitlines() == [f"{one} ABORTED", f"{two} ABORTED"]
    assert plain.phase(urls[0]) == "ABORTED"
    assert [line.split()[0] for line in run("list", "--phase", "aborted")[1].splitlines()[1:]] == [two, one]
    shown = run("show", one)[1]
    for text in (one, "ABORTED", "POS=CIRCLE 1 2 3", str(plain.files / one), "0 of 14400 s"):
        assert text in shown, text
    assert run("purge", "--ended") == (0, "2 jobs deleted\n", "")
    assert not (plain.files / one).exists()
    assert [plain.client.get(url).status_code for url in urls] == [404, 404, 200]
    assert run("purge", three)[1] == "1 jobs deleted\n"
    for arguments in (("show", three), ("abort", three), ("purge", three)):
        status, _, errors = run(*arguments)
        assert status == 1 and errors.startswith("imageserv: there is no job") and len(errors.splitlines()) == 1
    assert run("purge")[0] == 2


# --- a server, and the worker beside it


@pytest.fixture
def served(plain: Any, until: Callable[..., None]) -> Iterator[tuple[subprocess.Popen[bytes], httpx.Client]]:
    port = _free_port()
    log = open(plain.path.parent / "serve.log", "ab")
    command = [sys.executable, "-m", "imageserv.vo.cli", "serve", "--config", str(plain.path), "--port", str(port)]
    process = subprocess.Popen(command, stdout=log, stderr=log)
    log.close()
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        until(lambda: _up(client), 120)
        yield process, client
    process.terminate()
    process.wait(60)


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _up(client: httpx.Client) -> bool:
    try:
        return client.get("/healthz").status_code == 200
    except httpx.TransportError:
        return False


def workers(pid: int) -> list[int]:
    """Give the children of a server that are workers for jobs."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread, or a child, that has ended
            for child in map(int, (task / "children").read_text().split()):
                if b"\0work\0" in Path(f"/proc/{child}/cmdline").read_bytes():
                    found.append(child)
    return found


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def did(client: httpx.Client) -> str:
    rows = client.get("/api/image/vo/sia", params={"RESPONSEFORMAT": "json", "COLLECTION": "SKY"}).json()["data"]
    return str(rows[0]["obs_publisher_did"])


def finish(client: httpx.Client, location: str, until: Callable[..., None]) -> dict[str, Any]:
    url = location.removeprefix("https://images.example.org")
    until(lambda: client.get(f"{url}/phase").text not in ("QUEUED", "EXECUTING"), 120)
    job: dict[str, Any] = client.get(url, headers={"Accept": "application/json"}).json()
    return job


def test_a_server_keeps_a_worker(
    plain: Any, served: tuple[subprocess.Popen[bytes], httpx.Client], until: Callable[..., None]
) -> None:
    process, client = served
    question = {"ID": did(client), "PIXELS": "[1:9,1:7]"}
    cut = client.get("/api/image/vo/sync", params=question).content
    until(lambda: bool(workers(process.pid)))
    for _ in range(2):
        location = client.post(ASYNC, data={**question, "PHASE": "RUN"}).headers["location"]
        job = finish(client, location, until)
        assert job["phase"] == "COMPLETED", job
        (result,) = job["results"]
        answer = client.get(result["href"].removeprefix("https://images.example.org"))
        assert answer.content == cut
        assert answer.headers["content-type"] == result["mime-type"] == "application/fits"
        (worker,) = workers(process.pid)
        os.kill(worker, signal.SIGKILL)  # another one is started
        until(lambda: gone(worker) and bool(workers(process.pid)))  # noqa: B023
    (worker,) = workers(process.pid)
    process.terminate()
    assert process.wait(60) == 0
    until(lambda: gone(worker))


def test_a_worker_ends_with_its_server_however_that_died(
    served: tuple[subprocess.Popen[bytes], httpx.Client], until: Callable[..., None]
) -> None:
    process, _ = served
    until(lambda: bool(workers(process.pid)))
    (worker,) = workers(process.pid)
    process.kill()
    until(lambda: gone(worker), 120)


def test_servers_do_not_pay_for_the_engine() -> None:
    """It takes half a second to import and 60 MB: only workers do."""
    code = "import sys, imageserv.vo.server, imageserv.vo.cli; print('dbos' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "False\n"


def test_jobs_have_settings_in_the_environment(plain: Any) -> None:
    environment = {"IMAGESERV_JOBS__DATABASE": "postgresql://x@127.0.0.1:9/y", "IMAGESERV_JOBS__RUNNING": "3"}
    config = load(plain.path, environment)
    assert (config.jobs.database, config.jobs.running) == ("postgresql://x@127.0.0.1:9/y", 3)
    assert store_of(config) is not None
