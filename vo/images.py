"""HTTP out: images, with what makes repeated and partial requests cheap (RFC 9110 sections 8.8, 13 and 14)."""

import asyncio
import hashlib
import os
import re
import threading
from collections.abc import Mapping
from email.utils import formatdate, parsedate_to_datetime
from functools import lru_cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import BinaryIO, NamedTuple
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from imageserv.core.errors import UnavailableFault

from .threads import Threads

_CHUNK = 1 << 18  # bytes in memory for each client that reads a file, and that it must take within the edge's patience
_VERSION = version("imageserv")
_RANGE = re.compile(r"bytes=\s*(?:([0-9]{1,18})-([0-9]{1,18})?|-([0-9]{1,18}))\s*", re.IGNORECASE)


_UNPLAIN = re.compile(r"[^A-Za-z0-9.+_-]+")
_SAFE = "!#$&'()*+,/:;=?@[]~% "
_VISIBLE = re.compile(f"[A-Za-z0-9_.{re.escape(_SAFE)}-]*")

# Conditions in a POST, and ranges in all but a GET, are of no account (RFC 9110 sections 13.2.1 and 14.2).
_CONDITIONS = {
    "GET": (b"if-none-match", b"if-modified-since", b"range", b"if-range"),
    "HEAD": (b"if-none-match", b"if-modified-since"),
    "POST": (),
}

RawHeaders = list[tuple[bytes, bytes]]
"""As ASGI has them: names in lower case, and values."""

Conditions = Mapping[str, str]
"""Headers of a request that decide whether an answer is sent, and how much of it."""


class Validators(NamedTuple):
    """What tells whether an answer is still the same (RFC 9110 section 8.8).

    Attributes
    ----------
    etag
        From `entity_tag`.
    modified
        Last-Modified, from `http_date`; None if that does not tell when the answer was another.
    """

    etag: str
    modified: str | None


def conditions(request: Request) -> Conditions:
    """Return those of a request's headers that are conditions, or a range, and that its method can have.

    Lines of If-None-Match are one list (RFC 9110 section 5.3); of any other that comes twice the first counts.
    """
    wanted = _CONDITIONS[request.scope["method"]]
    found: dict[str, str] = {}
    for name, value in request.headers.raw:
        if name in wanted:
            known, text = name.decode(), value.decode("latin-1")
            if known in found and known == "if-none-match":
                found[known] += f", {text}"
            else:
                found.setdefault(known, text)
    return found


def entity_tag(*parts: object) -> str:
    """Make a strong ETag of what the answer depends on: the stored file, the parsed request, the program."""
    return f'"{hashlib.blake2b(repr((_VERSION, *parts)).encode(), digest_size=15).hexdigest()}"'


def plain_name(name: str) -> str:
    """Return a file's name without what a file system, a terminal or a header could take amiss: plain ASCII only."""
    return _UNPLAIN.sub("-", name)[-160:].lstrip(".-") or "image"


def image_headers(filename: str, validators: Validators) -> RawHeaders:
    """Write the headers that an image's answers share, 304 included; the file's name is made one by `plain_name`."""
    headers = [
        (b"content-disposition", f'attachment; filename="{plain_name(filename)}"'.encode()),
        (b"etag", validators.etag.encode()),
        (b"vary", b"Accept"),
    ]
    if validators.modified is not None:
        headers.append((b"last-modified", validators.modified.encode()))
    return headers


@lru_cache(maxsize=1024)
def http_date(seconds: int) -> str:
    """Write a moment, in seconds since 1970 (RFC 9110 section 5.6.7)."""
    return formatdate(seconds, usegmt=True)


def visible(value: str) -> bytes:
    """Write the value of a header, which is of visible ASCII: an identifier may come from a file's name."""
    return (value if _VISIBLE.fullmatch(value) else quote(value, safe=_SAFE)).encode()


def is_unchanged(asked: Conditions, validators: Validators) -> bool:
    """Say whether a GET or HEAD is answered with 304 (RFC 9110 sections 13.1.2, 13.1.3 and 13.2.2)."""
    if (tags := asked.get("if-none-match")) is not None:
        # Section 13.1.2: weak tags compare alike.
        return tags.strip() == "*" or validators.etag in (tag.strip().removeprefix("W/") for tag in tags.split(","))
    if validators.modified is not None and (since := asked.get("if-modified-since")) is not None:
        try:
            return parsedate_to_datetime(validators.modified) <= parsedate_to_datetime(since)
        except (ValueError, TypeError):  # no date, or one without a time zone
            return False
    return False


def unchanged_response(headers: RawHeaders) -> Response:
    """Answer 304: the client has what it asks for."""
    response = Response(None, 304)
    response.raw_headers += headers
    return response


class Budget:
    """How many bytes of finished cutouts may be in memory at once, until their clients have taken them.

    Parameters
    ----------
    most
        Of one worker.
    """

    def __init__(self, most: int) -> None:
        self._left = most
        self._lock = threading.Lock()

    def take(self, count: int) -> None:
        """Count bytes in.

        Raises
        ------
        UnavailableFault
            Raised if there is no room for them.
        """
        with self._lock:
            if count > self._left:
                raise UnavailableFault("the service is busy sending: too many large cutouts are under way")
            self._left -= count

    def give(self, count: int) -> None:
        """Count bytes out again."""
        with self._lock:
            self._left += count


class CutoutResponse(Response):
    """A cutout, counted against a budget until it is sent.

    Parameters
    ----------
    content
        The FITS file.
    headers
        Beside those of its length and type.
    media_type
        Of the file.
    budget
        What it is counted against.

    Raises
    ------
    UnavailableFault
        Raised if the budget is used up.
    """

    def __init__(self, content: memoryview, headers: RawHeaders, media_type: str, budget: Budget) -> None:
        budget.take(content.nbytes)
        self._budget, self._counted = budget, content.nbytes
        super().__init__(content, 200, media_type=media_type)
        self.raw_headers += headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send in pieces: each waits until the client has taken most of those before."""
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            body = memoryview(self.body) if scope["method"] != "HEAD" else memoryview(b"")
            for start in range(0, body.nbytes - _CHUNK, _CHUNK):
                await send({"type": "http.response.body", "body": body[start : start + _CHUNK], "more_body": True})
                await asyncio.sleep(0)  # a client that takes all at once would keep the others waiting
            rest = body[max(0, (body.nbytes - 1) // _CHUNK) * _CHUNK :]
            await send({"type": "http.response.body", "body": rest})
        finally:
            self._done()

    def _done(self) -> None:
        self._budget.give(self._counted)
        self._counted = 0

    def __del__(self) -> None:
        """Count out what is never sent."""
        if getattr(self, "_counted", 0):
            self._done()


class FileResponse(Response):
    """A stored file, or one range of it, read in constant memory.

    Several ranges at once are not served as such: the answer is then the
    whole file, as RFC 9110 section 14.2 allows.

    Parameters
    ----------
    path
        The file.
    size
        Its size in bytes, as the repository knows it.
    asked
        The request's, as `conditions` gives them.
    validators
        Of the file.
    headers
        Beside those of its length and type.
    media_type
        Of the file.
    threads
        Where it is read.

    Raises
    ------
    UnavailableFault
        Raised if the file is gone, or of another size.
    """

    def __init__(
        self,
        path: Path,
        size: int,
        asked: Conditions,
        validators: Validators,
        headers: RawHeaders,
        media_type: str,
        threads: Threads,
    ) -> None:
        span = _span(asked, validators, size)
        self._start, self._stop = span or (0, size)
        if span is None:
            described = {"Content-Length": str(size)}
        elif self._start < self._stop:
            described = {
                "Content-Length": str(self._stop - self._start),
                "Content-Range": f"bytes {self._start}-{self._stop - 1}/{size}",
            }
        else:
            self._start = self._stop
            described = {"Content-Length": "0", "Content-Range": f"bytes */{size}"}
        status = 200 if span is None else 206 if self._start < self._stop else 416
        super().__init__(None, status, {"Accept-Ranges": "bytes", **described}, media_type)
        self.raw_headers += headers
        self._threads = threads
        self._file = _open(path, size)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the headers and, unless the request is a HEAD, the bytes, as long as the client takes them."""
        client = Request(scope, receive)
        left = 0 if client.method == "HEAD" else self._stop - self._start
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            self._file.seek(self._start)
            while left and not await client.is_disconnected():
                chunk = await self._threads.step(partial(self._file.read, min(left, _CHUNK)))
                if not chunk:
                    raise UnavailableFault("the stored file became shorter while it was read")
                left -= len(chunk)
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            self._file.close()


def _open(path: Path, size: int) -> BinaryIO:
    try:
        file = path.open("rb", buffering=0)
    except OSError as error:
        raise UnavailableFault("the stored file cannot be read at present") from error
    if os.fstat(file.fileno()).st_size != size:
        file.close()
        raise UnavailableFault("the stored file is being changed")
    return file


def _span(asked: Conditions, validators: Validators, size: int) -> tuple[int, int] | None:
    """Return the first byte and the one after the last that a request asks for, None for the whole file."""
    match = _RANGE.fullmatch(asked.get("range", ""))
    if match is None or asked.get("if-range", validators.etag) not in validators:
        return None
    first, last, suffix = match.groups()
    if suffix is not None:
        return max(0, size - int(suffix)), size if int(suffix) else 0
    if last is not None and int(last) < int(first):
        return None  # malformed (section 14.1.1), and so ignored
    return min(int(first), size), size if last is None else min(int(last) + 1, size)
