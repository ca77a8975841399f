"""HTTP in: a request's parameters, wherever they stand, and its JSON body."""

import asyncio
import json
import math
import re
from collections.abc import Sequence
from typing import Any, NamedTuple
from urllib.parse import unquote_plus

from python_multipart.multipart import parse_options_header
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.types import Message

from imageserv.core.errors import LimitFault, UsageFault

_FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"
_JSON = "application/json"
_FIELDS = 25_000  # parameters: more than a batch of identifiers, and read in a third of a second
_PATIENCE = 30  # seconds for a whole body
_DEEPEST = 32  # levels of a JSON body: ours needs 6, and Python's own bound depends on its stack


class Received(NamedTuple):
    """What a request holds.

    Attributes
    ----------
    pairs
        Names and values, decoded: the query string's first, then the form's.
    responseformat
        Among them, RESPONSEFORMAT; the first, where it comes twice.
    document
        The JSON body, None if there is none.
    """

    pairs: tuple[tuple[str, str], ...]
    responseformat: str | None
    document: dict[str, Any] | None = None


async def receive(request: Request, max_bytes: int, *, json: bool = True) -> Received:
    """Read a request's query string and body.

    Sets ``responseformat`` of the request's state, for error documents too.

    Parameters
    ----------
    request
        A GET, HEAD or POST.
    max_bytes
        The most that the query string, and the body, may hold.
    json
        Whether the resource takes a JSON body, too.

    Raises
    ------
    LimitFault
        Raised if the query string or the body is longer, or has more parameters than are read at once.
    UsageFault
        Raised if the body is of another type than a form or JSON, or malformed.
    """
    most = max(_FIELDS, max_bytes // 300)
    pairs = query_pairs(request, max_bytes)
    if request.scope["method"] != "POST":
        return Received(pairs, request.scope["state"]["responseformat"])
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise UsageFault("the body is compressed (Content-Encoding): send it as it is")
    body = await _body(request, max_bytes)
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    document: dict[str, Any] | None = None
    if json and (media_type == _JSON or media_type.endswith("+json")):
        document = load_json(body)
    elif media_type == _FORM:
        pairs += _form(body, most)
    elif media_type == MULTIPART:
        pairs += await _multipart(request, body, most)
    elif body:
        taken = f"{_FORM}, {MULTIPART} or {_JSON}" if json else f"{_FORM} or {MULTIPART}"
        raise UsageFault(f"the body is of type {media_type or 'unknown'}: send {taken}")
    return Received(pairs, _note_format(request, pairs), document)


def query_pairs(request: Request, max_bytes: int) -> tuple[tuple[str, str], ...]:
    """Read a request's query string alone, as `receive` does."""
    query: bytes = request.scope["query_string"]
    if len(query) > max_bytes:
        raise LimitFault(f"the query string is longer than {max_bytes} bytes")
    pairs = _form(query, max(_FIELDS, max_bytes // 300))
    _note_format(request, pairs)
    return pairs


def load_json(body: bytes) -> dict[str, Any]:
    """Read a JSON object strictly (RFC 8259): UTF-8, no NaN, no name twice in an object, at most 32 levels deep.

    Raises
    ------
    UsageFault
        Raised if the body is anything else.
    """
    try:
        document = json.loads(
            body.decode(), object_pairs_hook=_object, parse_constant=_finite, parse_float=_finite, parse_int=_int64
        )
        _check_depth(document, _DEEPEST)
    except RecursionError:
        raise UsageFault(f"the body is not usable JSON: it is deeper than {_DEEPEST} levels") from None
    except ValueError as error:  # malformed, not UTF-8, or an integer of thousands of digits
        raise UsageFault(f"the body is not usable JSON: {error}") from error
    if not isinstance(document, dict):
        raise UsageFault("the body is not usable JSON: it is no object")
    return document


def response_format(pairs: Sequence[tuple[str, str]]) -> str | None:
    """Return the value of RESPONSEFORMAT; the first, where it comes twice."""
    named = [value for name, value in pairs if name.lower() == "responseformat" and value.strip()]
    return named[0] if named else None


def _note_format(request: Request, pairs: Sequence[tuple[str, str]]) -> str | None:
    request.scope["state"]["responseformat"] = wanted = response_format(pairs)
    return wanted


def _form(encoded: bytes, most: int) -> tuple[tuple[str, str], ...]:
    """Read name=value&... : + and %20 are blanks, what is not UTF-8 becomes U+FFFD, which no parser takes."""
    if encoded.count(b"&") >= most:
        raise LimitFault(f"the request has more than {most} parameters")
    text = encoded.decode("utf-8", "replace")
    pairs = [(name, value) for name, _, value in [part.partition("=") for part in text.split("&") if part]]
    if "%" in text or "+" in text:
        pairs = [(unquote_plus(name), unquote_plus(value)) for name, value in pairs]
    return tuple(pairs)


async def _body(request: Request, max_bytes: int) -> bytes:
    """Read the body; what the header says of its length spares reading, and is not believed."""
    refusal = LimitFault(f"the body is longer than {max_bytes} bytes")
    length = request.headers.get("content-length", "")
    if length.isdecimal() and (len(length) > 18 or int(length) > max_bytes):
        raise refusal
    body = bytearray()
    try:
        async with asyncio.timeout(_PATIENCE):
            async for chunk in request.stream():
                body += chunk
                if len(body) > max_bytes:
                    raise refusal
    except TimeoutError:
        raise UsageFault(f"the body did not arrive within {_PATIENCE} s") from None
    return bytes(body)


async def _multipart(request: Request, body: bytes, most: int) -> tuple[tuple[str, str], ...]:
    async def replay() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    _, options = parse_options_header(request.headers["content-type"])
    # The parser drops a part that does not end: a cutout without its last parameter would be the whole image.
    if not re.search(rb"(?:^|\r\n)--%s--[ \t]*(?:\r\n|$)" % re.escape(options.get(b"boundary", b"")), body):
        raise UsageFault("the body is not usable multipart/form-data: its closing boundary is missing")
    if body.count(b"\r\n--" + options.get(b"boundary", b"")) > most:
        raise LimitFault(f"the request has more than {most} parameters")
    size = len(body)  # bounded already, so its parts are
    # With an application in the scope, one around ours, Starlette raises what that answers.
    scope = {name: value for name, value in request.scope.items() if name != "app"}
    try:
        async with Request(scope, replay).form(max_files=0, max_fields=most, max_part_size=size) as form:
            return tuple((name, value) for name, value in form.multi_items() if isinstance(value, str))
    except MultiPartException as error:
        raise UsageFault(f"the body is not usable multipart/form-data: {error.message}") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for name, value in pairs:
        if name in document:
            raise ValueError(f"{name!r} comes twice in one object")
        document[name] = value
    return document


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:80]} is no finite number")
    return value


def _int64(text: str) -> int:
    if len(text) > 20 or not -(2**63) <= int(text) < 2**63:
        raise ValueError(f"{text[:80]} is beyond 64 bits")
    return int(text)


def _check_depth(value: Any, levels: int) -> None:
    if isinstance(value, str):
        value.encode()  # a lone surrogate is no character: a ValueError
    if levels < 0:
        raise RecursionError
    for child in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _check_depth(child, levels - 1)
