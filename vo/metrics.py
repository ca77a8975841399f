"""Counters for operators, in the text format that Prometheus reads (version 0.0.4); each worker has its own."""

import os
import time
from collections import Counter
from collections.abc import Iterable, Mapping

from imageserv.core.errors import UnavailableFault
from imageserv.core.jobs.model import PHASES
from imageserv.core.jobs.store import JobStore


class Metrics:
    """What the requests of one worker add up to."""

    def __init__(self) -> None:
        self._requests: Counter[tuple[str, int]] = Counter()
        self._bytes: Counter[str] = Counter()
        self._seconds: dict[str, float] = {}

    def count(self, route: str, status: int, size: int, seconds: float) -> None:
        """Add one request: the path's template, the answer's status and bytes, and how long it took."""
        self._requests[route, status] += 1
        self._bytes[route] += size
        self._seconds[route] = self._seconds.get(route, 0.0) + seconds

    def text(self) -> str:
        """Write the counters; the label ``worker`` is the process's number."""
        requests = (
            (f'route="{route}",status="{status}"', str(count))
            for (route, status), count in sorted(self._requests.items())
        )
        sizes = ((f'route="{route}"', str(size)) for route, size in sorted(self._bytes.items()))
        seconds = ((f'route="{route}"', f"{time:.6f}") for route, time in sorted(self._seconds.items()))
        lines = [
            *_counter("imageserv_requests_total", "Requests answered", requests),
            *_counter("imageserv_response_bytes_total", "Bytes of bodies sent", sizes),
            *_counter("imageserv_request_seconds_total", "Time from a request's headers to its answer's end", seconds),
        ]
        return "\n".join(lines) + "\n"


def _counter(name: str, what: str, samples: Iterable[tuple[str, str]]) -> list[str]:
    """Write one counter: what it counts, and its samples, each with its labels and its value."""
    worker = os.getpid()
    return [
        f"# HELP {name} {what}; each worker counts its own, and the one that answers tells its.",
        f"# TYPE {name} counter",
        *(f'{name}{{worker="{worker}",{labels}}} {value}' for labels, value in samples),
    ]


def job_metrics(store: JobStore) -> str:
    """Write what the database knows of jobs: the same whichever worker answers; nothing if it cannot be reached."""
    try:
        counts, oldest = store.counts()
        totals = store.totals()
    except UnavailableFault:
        return ""
    age = 0.0 if oldest is None else max(0.0, time.time() - oldest)
    ended = {phase: totals[f"ended_{phase}"] for phase in ("COMPLETED", "ERROR")}
    lines = [
        *_of_all("imageserv_jobs", "gauge", "Jobs in each phase", {phase: counts.get(phase, 0) for phase in PHASES}),
        *_of_all("imageserv_jobs_longest_wait_seconds", "gauge", "How long the first of the queue waits", age),
        *_of_all("imageserv_jobs_started_total", "counter", "Jobs taken up by a worker", totals["started"]),
        *_of_all("imageserv_jobs_wait_seconds_total", "counter", "Time they were queued", totals["wait_seconds"]),
        *_of_all("imageserv_jobs_ended_total", "counter", "Jobs that ended by themselves", ended),
        *_of_all("imageserv_jobs_run_seconds_total", "counter", "Time they executed", totals["run_seconds"]),
    ]
    return "\n".join(lines) + "\n"


def _of_all(name: str, kind: str, what: str, values: Mapping[str, float] | float) -> list[str]:
    samples = (
        {f'{{phase="{key}"}}': value for key, value in values.items()} if isinstance(values, Mapping) else {"": values}
    )
    return [
        f"# HELP {name} {what}.",
        f"# TYPE {name} {kind}",
        *(f"{name}{labels} {value}" for labels, value in samples.items()),
    ]
