"""Processes that serve, started on a free port of the loopback and ended by their own number."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from http.client import HTTPConnection
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

_ROOT = Path(__file__).resolve().parent.parent
_PATIENCE = 60  # seconds


class Server:
    """A process that serves, and its workers.

    Parameters
    ----------
    command
        Prints the server's URL somewhere in its first line.

    Attributes
    ----------
    url
        Where it is reached.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self.url = ""

    def __enter__(self) -> Self:
        """Start it, and wait until it answers."""
        self._process = subprocess.Popen(
            self._command, cwd=_ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self._process.stdout is not None
        try:
            line = self._process.stdout.readline()
            match = re.search(r"http://\S+", line)
            if match is None:
                raise RuntimeError(f"no server: {' '.join(self._command[1:4])} printed {line!r}")
            self.url = match[0]
            self._wait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            for worker in self.workers():
                os.kill(worker, signal.SIGKILL)
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _wait(self) -> None:
        until = time.monotonic() + _PATIENCE
        while True:
            try:
                get(self.url, "/healthz")
                return
            except OSError:
                if time.monotonic() > until or self._process.poll() is not None:
                    raise
                time.sleep(0.1)

    def workers(self) -> list[int]:
        """Return the numbers of the processes that serve: the children that are no helper of Python's."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        return [
            pid for pid in map(int, children) if b"resource_tracker" not in Path(f"/proc/{pid}/cmdline").read_bytes()
        ]


def ours(configuration: Path, workers: int) -> Server:
    """Return our service, as the command line starts it."""
    return Server(
        [
            *(sys.executable, "-m", "imageserv.vo.cli", "serve", "--config", str(configuration)),
            *("--port", "0", "--workers", str(workers)),
        ]
    )


def handlers(folder: Path, workers: int) -> Server:
    """Return the handlers that ours is compared with (`benchmarks.handlers`)."""
    return Server([sys.executable, "-m", "benchmarks.handlers", str(folder), str(workers)])


def get(url: str, path: str) -> tuple[list[tuple[str, str]], bytes]:
    """Return headers and body of a resource.

    Raises
    ------
    RuntimeError
        Raised if the status is not 200.
    """
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=_PATIENCE)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{path} is answered with {answer.status}: {body[:300]!r}")
        return answer.getheaders(), body
    finally:
        connection.close()
