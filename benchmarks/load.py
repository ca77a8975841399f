"""Load on a service: by wrk if it is installed, else by a small client of our own (``python -m benchmarks.load``).

Both keep a number of connections busy for some seconds, and go through a list
of paths.
"""

import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

_ROOT = Path(__file__).resolve().parent.parent

_SCRIPT = """
local requests, at = {}, 0
function init(args)
  for line in io.lines(args[1]) do requests[#requests + 1] = wrk.format("GET", line) end
end
function request()
  at = at % #requests + 1
  return requests[at]
end
function done(summary, latency)
  local e = summary.errors
  io.write(string.format('\\nmeasured {"requests": %d, "seconds": %f, "bytes": %d, "refused": %d, ' ..
    '"broken": %d, "p50": %f, "p99": %f, "longest": %f}\\n', summary.requests, summary.duration / 1e6, summary.bytes,
    e.status, e.connect + e.read + e.write + e.timeout,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, latency.max / 1e3))
end
"""


@dataclass(frozen=True, slots=True)
class Load:
    """What came of it.

    Attributes
    ----------
    bytes
        Received.
    refused, broken
        Requests that were answered with an error, and not at all.
    p50, p99, longest
        Between a request and the end of its answer, ms.
    """

    requests: int
    seconds: float
    bytes: int
    refused: int
    broken: int
    p50: float
    p99: float
    longest: float

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds


def tool() -> str:
    """Return which client is used."""
    return "wrk" if shutil.which("wrk") else "the suite's own client"


class Loading:
    """A load that is under way; a context manager, which ends it.

    Parameters
    ----------
    url
        Of the server.
    paths
        With queries.
    connections
        Kept busy.
    seconds
        How long.
    """

    def __init__(self, url: str, paths: Sequence[str], connections: int, seconds: int) -> None:
        self._folder = tempfile.TemporaryDirectory()
        listed, script = Path(self._folder.name) / "paths", Path(self._folder.name) / "script.lua"
        listed.write_text("\n".join(paths) + "\n", encoding="utf-8")
        script.write_text(_SCRIPT, encoding="utf-8")
        if program := shutil.which("wrk"):
            command = [program, "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s"]
            command += ["-s", str(script), url, "--", str(listed)]
        else:
            command = [sys.executable, "-m", "benchmarks.load", url, str(listed), str(connections), str(seconds)]
        self._process = subprocess.Popen(
            command, cwd=_ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        """End it, whether it is done or not."""
        if self._process.poll() is None:
            self._process.terminate()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._folder.cleanup()

    def result(self) -> Load:
        """Wait for its end.

        Raises
        ------
        RuntimeError
            Raised if it did not end well, or a request was not answered with success.
        """
        output, _ = self._process.communicate()
        lines = [line.removeprefix("measured ") for line in output.splitlines() if line.startswith("measured ")]
        if not lines:
            raise RuntimeError(f"the load was not measured: {output[-300:]!r}")
        load = Load(**json.loads(lines[0]))
        if load.refused or load.broken or not load.requests:
            raise RuntimeError(f"of {load.requests} requests {load.refused} were refused, {load.broken} broken off")
        return load


def load(url: str, paths: Sequence[str], connections: int, seconds: int) -> Load:
    """Load a server, and return what came of it; raises what `Loading.result` does."""
    with Loading(url, paths, connections, seconds) as loading:
        return loading.result()


# --- our own client


class _Client(asyncio.Protocol):
    """One connection: asks, waits for the answer, asks again."""

    def __init__(self, work: "_Work") -> None:
        self._work = work
        self._started = 0.0

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._ask()

    def _ask(self) -> None:
        if time.perf_counter() >= self._work.until:
            self._transport.close()
            return
        self._parser = self._work.parser(self)
        self._started = time.perf_counter()
        self._transport.write(self._work.next())

    def data_received(self, data: bytes) -> None:
        self._work.bytes += len(data)
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        self._work.refused += self._parser.get_status_code() >= 400
        self._work.latencies.append(1e3 * (time.perf_counter() - self._started))
        self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        self._work.broken += exc is not None
        self._work.lost()


class _Work:
    """What all connections share."""

    def __init__(self, host: str, paths: Sequence[str], connections: int, seconds: int) -> None:
        import httptools  # uvicorn[standard] brings it

        self.parser: Any = httptools.HttpResponseParser
        self._requests = [f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode() for path in paths]
        self._at = -1
        self._open = connections
        self.until = time.perf_counter() + seconds
        self.bytes = self.refused = self.broken = 0
        self.latencies: list[float] = []
        self.ended = asyncio.get_running_loop().create_future()

    def next(self) -> bytes:
        self._at = (self._at + 1) % len(self._requests)
        return self._requests[self._at]

    def lost(self) -> None:
        self._open -= 1
        if not self._open:
            self.ended.set_result(None)


async def _run(url: str, paths: Sequence[str], connections: int, seconds: int) -> Load:
    parts = urlsplit(url)
    started = time.perf_counter()
    work = _Work(parts.netloc, paths, connections, seconds)
    loop = asyncio.get_running_loop()
    for _ in range(connections):
        await loop.create_connection(lambda: _Client(work), parts.hostname or "", parts.port or 80)
    await work.ended
    ordered = sorted(work.latencies) or [0.0]
    p50, p99 = (ordered[int(part * (len(ordered) - 1))] for part in (0.5, 0.99))
    spent = time.perf_counter() - started
    return Load(len(work.latencies), spent, work.bytes, work.refused, work.broken, p50, p99, ordered[-1])


def main() -> None:
    """Load a server, and print what came of it."""
    import uvloop

    url, listed, connections, seconds = sys.argv[1:]
    paths = Path(listed).read_text(encoding="utf-8").splitlines()
    found = uvloop.run(_run(url, paths, int(connections), int(seconds)))
    facts = {name: getattr(found, name) for name in Load.__slots__}
    print("measured " + json.dumps(facts))


if __name__ == "__main__":
    main()
