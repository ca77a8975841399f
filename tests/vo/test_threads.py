"""The bounded place where work blocks: how much runs, how much waits, what is refused, what is dropped."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from imageserv.core.config import load
from imageserv.core.errors import UnavailableFault
from imageserv.core.service import Service, open_service
from imageserv.vo.threads import Threads


class Client:
    """A client whose request has been read, and that can go away."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()
        self.request = Request({"type": "http"}, self._receive)

    async def _receive(self) -> Message:
        await self.gone.wait()
        return {"type": "http.disconnect"}


def test_between_two_answers_the_event_loop_looks_around() -> None:
    """Else a new connection would wait until all that are open have their answers."""
    at: list[int] = []
    loops = 0

    async def scenario() -> None:
        def count() -> None:
            nonlocal loops
            loops += 1
            if len(at) < 8:
                asyncio.get_running_loop().call_soon(count)

        threads = Threads(running=1, waiting=1)
        count()
        await asyncio.gather(*(threads.answer(Client().request, "kind", lambda _: at.append(loops)) for _ in range(8)))
        threads.close()

    asyncio.run(scenario())
    assert len(set(at)) == 8


def test_only_so_many_run_and_only_so_many_wait() -> None:
    release, running, most = threading.Event(), 0, 0
    lock = threading.Lock()

    def work(number: int) -> int:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        assert release.wait(30)
        with lock:
            running -= 1
        return number

    async def scenario() -> None:
        threads = Threads(running=2, waiting=3)
        calls = [asyncio.create_task(threads.run(Client().request, partial(work, n))) for n in range(5)]
        await asyncio.sleep(0.05)
        with pytest.raises(UnavailableFault, match="busy"):
            await threads.run(Client().request, partial(work, 5))
        further = asyncio.create_task(threads.step(partial(work, 6)))  # what has begun is not refused
        await asyncio.sleep(0.05)
        release.set()
        assert await asyncio.gather(*calls, further) == [0, 1, 2, 3, 4, 6]
        assert await threads.run(Client().request, partial(work, 7)) == 7
        threads.close()

    asyncio.run(scenario())
    assert most == 2


def test_what_nobody_waits_for_is_not_done() -> None:
    release = threading.Event()
    done: list[str] = []

    async def scenario() -> None:
        threads = Threads(running=1, waiting=2)
        first = asyncio.create_task(threads.run(Client().request, lambda: release.wait(30)))
        await asyncio.sleep(0.05)
        leaver, stayer = Client(), Client()
        left = asyncio.create_task(threads.run(leaver.request, partial(done.append, "left")))
        stayed = asyncio.create_task(threads.run(stayer.request, partial(done.append, "stayed")))
        await asyncio.sleep(0.05)
        leaver.gone.set()
        with pytest.raises(ClientDisconnect):
            await left
        # Its place in the queue is free again.
        other = asyncio.create_task(threads.run(Client().request, partial(done.append, "other")))
        await asyncio.sleep(0.05)
        release.set()
        await asyncio.gather(first, stayed, other)
        threads.close()

    asyncio.run(scenario())
    assert done == ["stayed", "other"]


def test_an_exception_comes_back_and_frees_the_place() -> None:
    def fail() -> None:
        raise KeyError("x")

    async def scenario() -> None:
        threads = Threads(running=1, waiting=0)
        for _ in range(5):
            with pytest.raises(KeyError):
                await threads.run(Client().request, fail)
        threads.close()

    asyncio.run(scenario())


def test_a_busy_service_says_so_and_recovers(
    archive: Path, serve: Callable[[Service], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    service = open_service(load(archive, {"IMAGESERV_LIMITS__THREADS": "2", "IMAGESERV_LIMITS__MAX_WAITING": "3"}))
    release, select = threading.Event(), service.default.select

    def slow(*arguments: Any, **options: Any) -> Any:
        assert release.wait(30)
        return select(*arguments, **options)

    monkeypatch.setattr(service.default, "select", slow)
    server = serve(service)
    url = "/api/image/v1/DC_W13_Stripe82?ds=raw&sid=5646240694"
    with ThreadPoolExecutor(6) as users:
        asked = [users.submit(server.client.get, url) for _ in range(6)]
        refused = next(as_completed(asked)).result()
        assert refused.status_code == 503
        assert refused.json()["exception"] == "UnavailableFault"
        assert int(refused.headers["retry-after"]) > 0
        # What needs no thread is answered all the same.
        assert server.client.get("/healthz").status_code == 200
        assert server.client.get("/api/image/v1/availability").json()["available"] == "true"
        assert server.client.get("/api/image/v1/DC_W13_Stripe82?ds=raw").status_code == 400
        release.set()
        assert sorted(future.result().status_code for future in asked) == [200] * 5 + [503]
    assert server.client.get(url).status_code == 200
    service.close()


def test_clients_that_leave_in_the_middle_of_a_file_leave_nothing(
    own_archive: Path, serve: Callable[[Service], Any]
) -> None:
    path = own_archive.parent / "stripe82" / "runs" / "fpC-007000-u1-0001.fit"
    with path.open("ab") as file:  # 64 MB, which no socket holds
        file.truncate(path.stat().st_size + (64 << 20))
    service = open_service(load(own_archive, {"IMAGESERV_LIMITS__MAX_UNPACKED_BYTES": "1000000000"}))
    server = serve(service)
    url = "/api/image/v1/DC_W13_Stripe82?ds=raw&run=7000&camcol=1&field=1&filter=u"

    def open_files() -> int:
        return sum(1 for link in Path("/proc/self/fd").iterdir() if _target(link) == str(path))

    for _ in range(10):
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(f"GET {url} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
            assert connection.recv(100).startswith(b"HTTP/1.1 200")
    deadline = time.monotonic() + 30
    while open_files():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert len(server.client.get(url).content) == path.stat().st_size
    service.close()


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return ""
