"""The server as users start it: processes, signals, sockets."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

URL = "/api/image/v1/DC_W13_Stripe82?ds=raw&sid=5646240694"


class Started:
    """A process that serves an archive, and a client."""

    def __init__(self, archive: Path, log: Path, *options: str) -> None:
        command = [sys.executable, "-m", "imageserv.vo.cli", "serve", "--config", str(archive), "--port", "0", *options]
        environ = {key: value for key, value in os.environ.items() if not key.startswith("IMAGESERV_")}
        self.log = log
        with log.open("w") as errors:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environ)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        match = re.search(r"http://127\.0\.0\.1:([0-9]+)", line)
        assert match, f"{line!r} {log.read_text()}"
        self.port = int(match[1])
        self.client = httpx.Client(base_url=match[0], timeout=30)
        self.wait_until_up()

    def wait_until_up(self) -> None:
        deadline = time.monotonic() + 60
        while True:
            try:
                if self.client.get("/healthz").status_code == 200:
                    return
            except httpx.TransportError:
                assert time.monotonic() < deadline, self.log.read_text()
                time.sleep(0.05)

    def workers(self) -> list[int]:
        """Return the processes that hold the listening socket, without the supervisor."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [int(pid) for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(60)
        self.client.close()
        assert self.process.stdout is not None
        self.process.stdout.close()
        return status


@pytest.fixture
def start(archive: Path, tmp_path: Path) -> Iterator[Callable[..., Started]]:
    started: list[Started] = []

    def begin(*options: str, configuration: Path = archive) -> Started:
        started.append(Started(configuration, tmp_path / "log.txt", *options))
        return started[-1]

    yield begin
    for server in started:
        server.stop()


def test_a_worker_that_dies_is_replaced(start: Callable[..., Started]) -> None:
    """A mapped file that somebody truncates kills the process that reads it: by SIGBUS, which nothing catches."""
    server = start()
    (worker,) = server.workers()
    os.kill(worker, signal.SIGBUS)
    deadline = time.monotonic() + 60
    while server.workers() in ([], [worker]):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    server.wait_until_up()
    assert server.client.get(URL).status_code == 200
    assert server.stop() == 0


def test_what_is_in_flight_is_finished(start: Callable[..., Started], archive: Path) -> None:
    server = start("--workers", "2")
    assert len(server.workers()) == 2
    size = int(server.client.head(URL).headers["content-length"])
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        # Half a request: it is in flight, and cannot be answered yet.
        form = f"ds=raw&sid={5646240694}"
        head = f"POST {URL.partition('?')[0]} HTTP/1.1\r\nHost: h\r\nContent-Length: {len(form)}\r\n"
        connection.sendall(f"{head}Content-Type: application/x-www-form-urlencoded\r\n\r\n{form[:5]}".encode())
        time.sleep(0.5)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(1)
        connection.sendall(form[5:].encode())
        received = b""
        while chunk := connection.recv(1 << 16):
            received += chunk
    assert received.startswith(b"HTTP/1.1 200 ")
    assert len(received.partition(b"\r\n\r\n")[2]) == size
    assert server.stop() == 0


def test_the_log_is_json(start: Callable[..., Started]) -> None:
    server = start()
    identifier = server.client.get(URL).headers["x-request-id"]
    assert server.stop() == 0
    lines: list[dict[str, Any]] = [json.loads(line) for line in server.log.read_text().splitlines()]
    (line,) = [line for line in lines if line.get("id") == identifier]
    assert (line["status"], line["method"], line["target"]) == (200, "GET", URL)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])


def run(*arguments: str, environ: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("IMAGESERV_")}
    command = [sys.executable, "-m", "imageserv.vo.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=kept | (environ or {}))


def test_a_port_that_is_taken(archive: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = run("serve", "--config", str(archive), "--port", port)
    assert result.returncode == 1
    assert result.stderr.splitlines() == [f"imageserv: cannot listen on 127.0.0.1, port {port}: Address already in use"]


def test_an_address_that_is_none(archive: Path) -> None:
    result = run("serve", "--config", str(archive), "--host", "no such host", "--port", "0")
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("imageserv: cannot listen on no such host")


def test_a_service_that_cannot_start_says_why(tmp_path: Path, archive: Path) -> None:
    configuration = tmp_path / "imageserv.toml"
    configuration.write_text('[repositories.A]\nroot = "."\n[repositories.A.datasets.x]\nplugin = "none"\n')
    result = run("serve", "--config", str(configuration), "--port", "0")
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("imageserv: ")
    assert "no plugin 'none' is installed" in line and "raw" in line
    missing = run("serve", "--config", str(tmp_path / "missing.toml"), "--port", "0")
    assert missing.returncode == 1
    assert "missing.toml" in missing.stderr


def test_a_worker_that_cannot_start_again_ends_the_service(start: Callable[..., Started], own_archive: Path) -> None:
    """A configuration that went wrong since is reported once, not tried for ever."""
    server = start(configuration=own_archive)
    own_archive.write_text("nonsense = [")
    for worker in server.workers():
        os.kill(worker, signal.SIGKILL)
    server.process.wait(60)
    assert "imageserv.toml" in server.log.read_text()


def test_a_worker_without_supervisor_ends(start: Callable[..., Started]) -> None:
    """An orphan would keep the port, and answer by an old configuration."""
    server = start()
    (worker,) = server.workers()
    server.process.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 30
    while os.path.exists(f"/proc/{worker}"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
