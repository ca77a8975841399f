"""What surrounds every request: its id, its line in the log, CORS, and the answer where one is refused or fails."""

import asyncio
import os
import time
from collections.abc import Mapping

from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from . import logs
from .faults import error_response, log_fault
from .metrics import Metrics

_EXPOSED = ", ".join(
    [
        *(f"X-ImageServ-{name}" for name in ("Parent", "Requested", "Delivered", "Clipped", "Coverage", "Candidates")),
        "Accept-Ranges",
        "Content-Disposition",
        "Content-Range",
        "ETag",
        "Last-Modified",
        "Retry-After",
        "X-Request-Id",
    ]
)


_FOR_BROWSERS = (
    # Images are public, or refused by header: browsers may read them from any page.
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", _EXPOSED.encode()),
)

_STALL = 120  # seconds in which a client takes nothing of its answer before it is given up


class Edge:
    """ASGI middleware, the outermost of ours.

    It puts the request's ``id`` into its state; an application may add, for
    the log, ``image``, the identifier of the image it answered with, and
    ``run_id``, the client's own name for the request.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        identifier = os.urandom(8).hex()
        scope.setdefault("state", {})["id"] = identifier
        status, size = 0, 0

        async def send_on(message: Message) -> None:
            nonlocal status, size
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", identifier.encode()), *_FOR_BROWSERS]
            elif scope["method"] != "HEAD":
                size += len(message.get("body", b""))
            try:
                async with asyncio.timeout(_STALL):
                    await send(message)
            except TimeoutError as error:  # only this one is the client's: a file system's is a fault like others
                raise ClientDisconnect from error

        try:
            try:
                await self._app(scope, receive, send_on)
            except ClientDisconnect:
                raise
            except Exception as error:  # its client is told what was wrong; what is our fault is logged
                if status:  # part of an answer is out: all that is left is to break it off
                    log_fault(Request(scope), error)
                else:
                    await error_response(Request(scope), error)(scope, receive, send_on)
        except ClientDisconnect:
            status = 499  # as nginx logs it: nobody is there to be answered, or takes the answer
        finally:
            self._report(scope, status, size, time.perf_counter() - started)

    def _report(self, scope: Scope, status: int, size: int, seconds: float) -> None:
        self._metrics.count(getattr(scope.get("route"), "path", "other"), status, size, seconds)
        query: bytes = scope["query_string"]
        known: Mapping[str, object] = scope["state"]
        client = scope.get("client")  # an address and a port
        facts = {
            "id": known["id"],
            "client": client[0] if client else None,
            "method": scope["method"],
            "target": (scope["path"] + ("?" + query.decode("latin-1") if query else ""))[:2000],
            "status": status,
            "bytes": size,
            "ms": round(seconds * 1000, 3),
        }
        for name in ("image", "run_id"):
            if value := known.get(name):
                facts[name] = value
        logs.report(facts)
