"""Clients that wait for a job: all of them together cost one look into the database at a time."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from starlette.requests import Request

from imageserv.core.errors import UnavailableFault

from .threads import Threads, disconnected

_LOOK = 0.25  # seconds between two looks


@dataclass(eq=False, slots=True)
class _Waiter:
    identifier: str
    phase: str
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class Waiting:
    """Waits for jobs to change their phases, without a thread for each.

    Parameters
    ----------
    threads
        Where the database is asked.
    phases
        From identifiers to the phases of those jobs that there are. It may raise UnavailableFault.
    """

    def __init__(self, threads: Threads, phases: Callable[[Sequence[str]], Mapping[str, str]]) -> None:
        self._threads = threads
        self._phases = phases
        self._waiters: set[_Waiter] = set()
        self._looking: asyncio.Task[None] | None = None

    async def change(self, request: Request, identifier: str, phase: str, seconds: float) -> None:
        """Return when a job is no longer in a phase, or is gone; or its client is, or the time is over.

        Parameters
        ----------
        request
            Its body has been read.
        """
        waiter = _Waiter(identifier, phase)
        self._waiters.add(waiter)
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        ends = [asyncio.create_task(waiter.changed.wait()), asyncio.create_task(disconnected(request))]
        try:
            await asyncio.wait(ends, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._waiters.discard(waiter)
            for end in ends:
                end.cancel()

    async def _look(self) -> None:
        while self._waiters:
            await asyncio.sleep(_LOOK)
            identifiers = sorted({waiter.identifier for waiter in self._waiters})
            try:
                phases = await self._threads.step(lambda: self._phases(identifiers))  # noqa: B023  # awaited here
            except UnavailableFault:
                continue
            asked = set(identifiers)
            for waiter in self._waiters:
                if waiter.identifier in asked and phases.get(waiter.identifier) != waiter.phase:
                    waiter.changed.set()
