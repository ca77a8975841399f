"""The one place where work that may block leaves the event loop."""

import asyncio
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar, cast

from starlette.requests import ClientDisconnect, Request

from imageserv.core.errors import UnavailableFault, WouldWait

T = TypeVar("T")


_LONG, _WHILE = 0.05, 20
"""Seconds that the event loop may be kept busy by one call; calls of a kind for which such a one is remembered."""

_NICE = 5


class Threads:
    """A few threads and a queue of bounded length before them.

    Parameters
    ----------
    running
        How many calls run at a time.
    waiting
        How many more may wait.
    """

    def __init__(self, *, running: int, waiting: int) -> None:
        self._running = running
        self._waiting = waiting
        self._pending = 0
        self._turn = asyncio.Lock()
        self._slow: dict[object, int] = {}
        self._executor = ThreadPoolExecutor(running, thread_name_prefix="imageserv", initializer=_stand_back)

    async def run(self, request: Request, call: Callable[[], T]) -> T:
        """Call in a thread, on behalf of a request whose body has been read.

        Raises
        ------
        UnavailableFault
            Raised if the queue is full.
        ClientDisconnect
            Raised if the client went away while the call waited; it is then not made.
        """
        if self._pending >= self._running + self._waiting:
            raise UnavailableFault(f"the service is busy: {self._waiting} requests are waiting already")
        if self._pending < self._running:
            return await self.step(call)
        self._pending += 1
        future = self._executor.submit(call)
        answer = asyncio.wrap_future(future)
        gone = asyncio.create_task(disconnected(request))
        try:
            await asyncio.wait(cast("list[asyncio.Future[Any]]", [answer, gone]), return_when=asyncio.FIRST_COMPLETED)
            if gone.done() and future.cancel():
                raise ClientDisconnect
            return await answer
        finally:
            gone.cancel()
            self._pending -= 1

    async def answer(self, request: Request, kind: object, call: Callable[[bool], T]) -> T:
        """Call at once, in the event loop, if that needs no wait; else in a thread.

        A thread costs more than a small cutout. What took long though it should not is left to threads for a while.
        The loop looks around between two answers: else a new connection waits until all others have had theirs.

        Parameters
        ----------
        kind
            What calls that take alike have in common.
        call
            Given False, it raises `WouldWait` rather than wait; given True, it may wait.

        Raises
        ------
        UnavailableFault, ClientDisconnect
            Raised as `run` does.
        """
        if not self._slow.get(kind):
            await self._turn.acquire()
            asyncio.get_running_loop().call_soon(self._turn.release)
            started = time.perf_counter()
            try:
                return call(False)
            except WouldWait:
                pass
            finally:
                if time.perf_counter() - started > _LONG:
                    self._slow[kind] = _WHILE
        else:
            self._slow[kind] -= 1
        return await self.run(request, lambda: call(True))

    async def step(self, call: Callable[[], T]) -> T:
        """Call in a thread as a further step of a request that is being answered: never refused."""
        self._pending += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, call)
        finally:
            self._pending -= 1

    def close(self) -> None:
        """Wait for the calls that run, and drop those that wait."""
        self._executor.shutdown(cancel_futures=True)


def _stand_back() -> None:
    """Let the event loop's thread go first where there are not cores enough for all (Linux has a value a thread)."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)


async def disconnected(request: Request) -> None:
    """Return when the client has gone (ASGI: once the body is read, nothing else is received)."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
