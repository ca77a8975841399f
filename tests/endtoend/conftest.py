"""The demo, as a user starts it: a process of its own, spoken to over a socket."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest


@dataclass(frozen=True)
class Demo:
    """A running demo: where its files are, and a client that is connected to it."""

    folder: Path
    client: httpx.Client
    process: subprocess.Popen[str]

    @property
    def url(self) -> str:
        return str(self.client.base_url).rstrip("/")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until_up(client: httpx.Client, process: subprocess.Popen[str], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while True:
        assert process.poll() is None, f"the process ended with {process.returncode}"
        try:
            if client.get("/healthz").status_code == 200:
                return
        except httpx.TransportError:
            assert time.monotonic() < deadline, "the service does not answer"
            time.sleep(0.1)


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    folder = tmp_path_factory.mktemp("demo")
    port = free_port()
    log = open(folder / "output.txt", "w")
    process = subprocess.Popen(
        [sys.executable, "-m", "imageserv.vo.cli", "demo", "--dir", str(folder / "demo"), "--port", str(port)],
        stdout=log,
        stderr=subprocess.STDOUT,
        text=True,
        env={key: value for key, value in os.environ.items() if not key.startswith("IMAGESERV_")},
    )
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        wait_until_up(client, process)
        yield Demo(folder, client, process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    log.close()
