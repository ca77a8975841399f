"""The service as a process: under load, when a worker dies, when it is told to stop."""

import contextlib
import gzip
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

DB = "/api/image/v1/DC_W13_Stripe82"
SAMPLES = "/api/image/v1/ASTROPY_SAMPLES"
CALEXP = "ds=calexp&run=5646&camcol=4&field=694&filter=r"


def children(pid: int) -> list[int]:
    """Give the processes that a process started, and theirs."""
    found: list[int] = []
    with contextlib.suppress(FileNotFoundError):  # it has ended
        for task in list(Path(f"/proc/{pid}/task").iterdir()):
            for child in map(int, _text(task / "children").split()):
                found += [child, *children(child)]
    return found


def _text(path: Path) -> str:
    """Read a file of a process or a thread; nothing if it has ended."""
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def serving(pid: int) -> list[int]:
    """Give the workers: those children that listen (multiprocessing starts a resource tracker, too)."""
    return [child for child in children(pid) if "spawn_main" in _text(Path(f"/proc/{child}/cmdline"))]


def descriptors(pid: int) -> Counter[str]:
    """Count the open files of a process, by path."""
    names: Counter[str] = Counter()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            names[os.readlink(entry)] += 1
        except FileNotFoundError:
            continue
    return names


def memory(pid: int) -> int:
    """Give a process's own memory in bytes: what it did not map from a file."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0]) * 1024


Start = Callable[..., tuple[subprocess.Popen[str], httpx.Client]]


@pytest.fixture
def start(demo: Any) -> Iterator[Start]:
    """Start servers of the demo's repositories; they end with the test."""
    started: list[tuple[subprocess.Popen[str], httpx.Client]] = []

    def starter(*options: str) -> tuple[subprocess.Popen[str], httpx.Client]:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        config = demo.folder / "demo" / "imageserv.toml"
        process = subprocess.Popen(
            [sys.executable, "-m", "imageserv.vo.cli", "serve", "--config", str(config), "--port", str(port), *options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60)
        started.append((process, client))
        until(lambda: up(client), 60)
        return process, client

    yield starter
    for process, client in started:
        client.close()
        process.terminate()
        process.wait(60)


def up(client: httpx.Client) -> bool:
    try:
        return client.get("/healthz").status_code == 200
    except httpx.TransportError:
        return False


def until(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_thousand_mixed_requests_from_twenty_clients(demo: Any, start: Start) -> None:
    process, client = start()
    samples, packed = demo.folder / "demo" / "ASTROPY_SAMPLES", "dss/dss.14.29.56-62.41.05.fits.gz"
    queries: list[tuple[str, int, int | None]] = [
        (f"{DB}?{CALEXP}", 200, 30525120),
        (f"{DB}?ds=raw&sid=5646240694", 200, 6102720),
        (f"{DB}?{CALEXP}&ra=37.6292&dec=0.104625&width=100&height=100&unit=pixel", 200, 120960),
        (f"{DB}?ds=raw&ra=359.195&dec=-0.1055&filter=r&width=30&height=45&unit=pixel", 200, 8640),
        (f"{DB}?ds=deepcoadd&sid=23986176&ra=9.47103&dec=-1.181766&width=30.0&height=45.0", 200, 109440),
        (f"{SAMPLES}?ds=image&file=m13/m13_rice.fits", 200, 69120),
        (f"{SAMPLES}?ds=image&ra=250.42&dec=36.46&width=20&height=20&unit=px&detail=image", 200, None),
        (f"{SAMPLES}?ds=image&file={packed}", 200, len(gzip.decompress((samples / packed).read_bytes()))),
        (f"{DB}?ds=raw&get_dataid&sid=5646240964", 200, None),
        (f"{DB}?ds=raw&sid=12", 400, None),
        (f"{DB}?ds=raw&ra=120&dec=45&filter=r", 404, None),
        ("/api/image/v1/availability", 200, None),
    ]  # fmt: skip
    weights = [1, 2, 8, 8, 8, 4, 8, 4, 4, 4, 4, 4]
    asked = random.Random(82).choices(queries, weights, k=1000)

    def ask(part: list[tuple[str, int, int | None]]) -> list[str]:
        wrong: list[str] = []
        with httpx.Client(base_url=client.base_url, timeout=120) as own:
            for url, status, size in part:
                response = own.get(url)
                if response.status_code != status or (size is not None and len(response.content) != size):
                    wrong.append(f"{url}: {response.status_code}, {len(response.content)} bytes")
        return wrong

    ask(queries)
    (worker,) = serving(process.pid)
    time.sleep(0.5)
    before = descriptors(worker)
    with ThreadPoolExecutor(20) as clients:
        wrong = [text for part in clients.map(ask, [asked[number::20] for number in range(20)]) for text in part]
    assert wrong == []
    time.sleep(0.5)
    after = descriptors(worker)
    grown = {name: count for name, count in (after - before).items() if not name.startswith(("socket:", "anon_inode"))}
    # A registry has a connection for each question that is answered at the same time: one in each thread, at the most.
    registries = {name: count for name, count in grown.items() if ".sqlite" in name}
    assert all(count <= 4 for count in registries.values())
    assert {name: count for name, count in grown.items() if name not in registries} == {}
    assert serving(process.pid) == [worker]
    assert not list(demo.folder.rglob("*.part"))


def test_whole_images_are_streamed_in_constant_memory(start: Start) -> None:
    process, client = start()
    (worker,) = serving(process.pid)
    client.get(f"{DB}?ds=raw&sid=5646240694")
    before = memory(worker)
    most = 0
    with ThreadPoolExecutor(8) as clients:

        def read() -> int:
            size = 0
            with httpx.stream("GET", f"{client.base_url}{DB}?{CALEXP}", timeout=60) as response:
                for chunk in response.iter_raw(1 << 16):
                    size += len(chunk)
                    time.sleep(0.0005)
            return size

        jobs = [clients.submit(read) for _ in range(8)]
        while not all(job.done() for job in jobs):
            most = max(most, memory(worker))
            time.sleep(0.05)
    assert [job.result() for job in jobs] == [30525120] * 8
    assert most - before < 64e6  # eight images are 244 MB


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGBUS])
def test_a_worker_that_dies_is_replaced(start: Start, number: int) -> None:
    process, client = start()
    (worker,) = serving(process.pid)
    os.kill(worker, number)
    until(lambda: worker not in serving(process.pid) and up(client), 30)
    assert client.get(f"{DB}?{CALEXP}&ra=37.6292&dec=0.104625&width=9&height=9&unit=pixel").status_code == 200


def test_what_is_in_flight_is_finished_at_the_end(start: Start) -> None:
    process, client = start()
    with client.stream("GET", f"{DB}?{CALEXP}") as response:
        parts = response.iter_raw(1 << 16)
        size = len(next(parts))
        process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        assert process.poll() is None
        size += sum(map(len, parts))
    assert size == 30525120
    assert process.wait(40) == 0


def test_several_workers_share_the_port(start: Start) -> None:
    process, client = start("--workers", "2")
    until(lambda: len(serving(process.pid)) == 2, 20)
    for _ in range(20):
        assert httpx.get(f"{client.base_url}{DB}?ds=raw&get_dataid&sid=5646240964").status_code == 200


def test_a_taken_port_is_said_in_one_line(demo: Any) -> None:
    port = str(demo.client.base_url.port)
    config = str(demo.folder / "demo" / "imageserv.toml")
    ended = subprocess.run(
        [sys.executable, "-m", "imageserv.vo.cli", "serve", "--config", config, "--port", port],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert port in ended.stderr
