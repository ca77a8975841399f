"""Counters for operators, in the text format that Prometheus reads (version 0.0.4); each worker has its own."""

from collections import Counter


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
        """Write the counters."""
        lines = ["# HELP imageserv_requests_total Requests answered.", "# TYPE imageserv_requests_total counter"]
        lines += [
            f'imageserv_requests_total{{route="{route}",status="{status}"}} {count}'
            for (route, status), count in sorted(self._requests.items())
        ]
        lines += [
            "# HELP imageserv_response_bytes_total Bytes of bodies sent.",
            "# TYPE imageserv_response_bytes_total counter",
        ]
        lines += [
            f'imageserv_response_bytes_total{{route="{route}"}} {size}' for route, size in sorted(self._bytes.items())
        ]
        lines += [
            "# HELP imageserv_request_seconds_total Time from a request's headers to its answer's end.",
            "# TYPE imageserv_request_seconds_total counter",
        ]
        lines += [
            f'imageserv_request_seconds_total{{route="{route}"}} {seconds:.6f}'
            for route, seconds in sorted(self._seconds.items())
        ]
        return "\n".join(lines) + "\n"
