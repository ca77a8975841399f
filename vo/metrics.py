"""Counters for operators, in the text format that Prometheus reads (version 0.0.4); each worker has its own."""

import os
from collections import Counter
from collections.abc import Iterable


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
