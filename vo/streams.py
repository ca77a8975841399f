"""HTTP out: documents that are written while they are sent."""

from collections.abc import Iterator, Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from imageserv.core.dali.tables import BrokenTable

from .faults import log_fault
from .threads import Threads


def document_response(
    pieces: Iterator[bytes], headers: Mapping[str, str], media_type: str, threads: Threads
) -> Response:
    """Answer with a document: at once if it is one piece, else while it is being written.

    Parameters
    ----------
    pieces
        The document; the first two are made now, so that what fails at the beginning is an error of the request.
        A piece of no bytes gives the opportunity to look whether the client is still there.
    headers
        Of the response.
    media_type
        Of the document.
    threads
        Where the other pieces are made.
    """
    first = next(pieces)
    second = next(pieces, None) if first else b""
    if second is None:
        return Response(first, 200, headers, media_type)
    return _Streamed([piece for piece in (first, second) if piece], pieces, headers, media_type, threads)


class _Streamed(Response):
    def __init__(
        self,
        begun: list[bytes],
        pieces: Iterator[bytes],
        headers: Mapping[str, str],
        media_type: str,
        threads: Threads,
    ) -> None:
        super().__init__(None, 200, headers, media_type)
        del self.headers["content-length"]
        self._begun = begun
        self._pieces = pieces
        self._threads = threads

    def _next(self) -> bytes | None:
        return next(self._pieces, None)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send piece by piece: each waits until the client has taken most of those before.

        A document that tells of a fault is at its end; with any other the answer breaks off.
        """
        request = Request(scope, receive)
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        if request.method != "HEAD":
            for piece in self._begun:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            try:
                while not await request.is_disconnected():
                    more = await self._threads.step(self._next)
                    if more is None:
                        break
                    if more:
                        await send({"type": "http.response.body", "body": more, "more_body": True})
            except BrokenTable as error:
                log_fault(request, error)
        await send({"type": "http.response.body", "body": b""})
