"""HTTP in: what a job is sent, parts of multipart bodies going to files while they arrive (DALI 1.1 section 3.4.5)."""

import asyncio
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from imageserv.core.batch.storage import check_room
from imageserv.core.errors import LimitFault, UnavailableFault, UsageFault

from .requests import MULTIPART, query_pairs, receive
from .threads import Threads

Pairs = tuple[tuple[str, str], ...]

_PIECE = 1 << 20  # bytes that are parsed, and written, at a time
_STALL = 30  # seconds without a byte
_PATIENCE = 900  # seconds for a whole body
_PARTS = 10_000
_TABLE = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class JobRequest:
    """What a job is sent.

    Attributes
    ----------
    pairs
        Names and values: the query string's first, then the form's.
    uploads
        Names of files in the folder, by the name of the table that ``UPLOAD`` gives to each.
    """

    pairs: Pairs
    uploads: Mapping[str, str]


async def receive_job(
    request: Request, folder: Path, threads: Threads, *, max_bytes: int, max_upload_bytes: int
) -> JobRequest:
    """Read a POST that creates a job, or gives it parameters.

    Parameters
    ----------
    folder
        For files that are uploaded; made for the first of them.
    threads
        Where these are written.
    max_bytes
        The most that the query string, a form's body, and the values of a multipart body may hold.
    max_upload_bytes
        The most that the files of a multipart body may hold.

    Raises
    ------
    LimitFault
        Raised if there is more.
    UsageFault
        Raised if the body is malformed, or of another type.
    UnavailableFault
        Raised if the files cannot be written.
    """
    media_type, options = parse_options_header(request.headers.get("content-type", ""))
    if media_type.lower() != MULTIPART.encode():
        return JobRequest((await receive(request, max_bytes, json=False)).pairs, {})
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise UsageFault("the body is compressed (Content-Encoding): send it as it is")
    pairs = query_pairs(request, max_bytes)
    parts = _Parts(folder, options.get(b"boundary", b""), max_bytes, max_upload_bytes)
    try:
        async with asyncio.timeout(_PATIENCE):
            await _feed(request, parts, threads)
        return await threads.step(lambda: parts.request(pairs))
    except TimeoutError:
        raise UsageFault(f"the body did not arrive in time: {_STALL} s without a byte are too long") from None
    except (FormParserError, UnicodeDecodeError) as error:
        raise UsageFault(f"the body is not usable multipart/form-data: {error}") from error
    except OSError as error:
        raise UnavailableFault(f"the upload cannot be stored at present: {error.strerror}") from error
    finally:
        parts.close()


async def _feed(request: Request, parts: "_Parts", threads: Threads) -> None:
    chunks = request.stream()
    piece = bytearray()
    while True:
        async with asyncio.timeout(_STALL):
            chunk = await anext(chunks, None)
        if chunk is not None:
            piece += chunk
        if len(piece) >= _PIECE or chunk is None:
            data, piece = bytes(piece), bytearray()
            await threads.step(lambda: parts.write(data))  # noqa: B023  # awaited here
        if chunk is None:
            return


class _Parts:
    """The parts of a multipart body: those with a file name become files, others values."""

    def __init__(self, folder: Path, boundary: bytes, max_bytes: int, max_upload_bytes: int) -> None:
        if not boundary:
            raise UsageFault("the body is not usable multipart/form-data: Content-Type names no boundary")
        self._folder = folder
        self._values_left, self._files_left = max_bytes, max_upload_bytes
        self._limits = max_bytes, max_upload_bytes
        self._count = 0
        self._headers: dict[bytes, bytes] = {}
        self._field, self._value = bytearray(), bytearray()
        self._name = ""
        self._text: bytearray | None = None
        self._file: BinaryIO | None = None
        self._values: list[tuple[str, bytes]] = []
        self._files: dict[str, str] = {}
        self._whole = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": lambda data, start, end: self._field.extend(data[start:end]),
                "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
                "on_header_end": self._header,
                "on_headers_finished": self._open,
                "on_part_data": self._data,
                "on_part_end": self._end,
                "on_end": self._finish,
            },
        )

    def write(self, data: bytes) -> None:
        """Take the next bytes of the body."""
        if data:
            self._parser.write(data)

    def close(self) -> None:
        """Let go of the file that is being written."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def request(self, pairs: Pairs) -> JobRequest:
        """Return what the body said, with `pairs` before it; files that no UPLOAD names are removed."""
        if not self._whole:
            raise UsageFault("the body is not usable multipart/form-data: its closing boundary is missing")
        tables = dict(_tables([*pairs, *((name, _text(value)) for name, value in self._values)]))
        uploaded = set(tables.values())
        for name, value in self._values:
            if name in uploaded and name not in self._files:  # a part without a file name serves as well
                stored = self._new_file(name)
                with stored:
                    stored.write(value)
        uploads = {table: self._files.pop(part) for table, part in tables.items() if part in self._files}
        for stray in self._files.values():
            (self._folder / stray).unlink()
        pairs += tuple((name, _text(value)) for name, value in self._values if name not in uploaded)
        return JobRequest(pairs, uploads)

    def _begin(self) -> None:
        self._count += 1
        if self._count > _PARTS:
            raise LimitFault(f"the request has more than {_PARTS} parts")
        self._headers.clear()

    def _header(self) -> None:
        self._headers[bytes(self._field).lower()] = bytes(self._value)
        self._field.clear()
        self._value.clear()

    def _open(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        if b"name" not in options:
            raise UsageFault("the body is not usable multipart/form-data: a part has no name")
        self._name = options[b"name"].decode()
        if b"filename" not in options:
            self._text = bytearray()
            return
        if self._name in self._files:
            raise UsageFault(f"the part {self._name[:80]!r} comes twice", parameter="UPLOAD")
        self._file = self._new_file(self._name)

    def _new_file(self, part: str) -> BinaryIO:
        self._folder.mkdir(parents=True, exist_ok=True)
        check_room(self._folder, 0)
        name = secrets.token_hex(8)  # none that a client chose
        file = (self._folder / name).open("xb")
        self._files[part] = name
        return file

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._file is not None:
            self._files_left -= end - start
            if self._files_left < 0:
                raise LimitFault(f"the files are longer than {self._limits[1]} bytes", parameter="UPLOAD")
            check_room(self._folder, end - start)
            self._file.write(memoryview(data)[start:end])
        elif self._text is not None:
            self._values_left -= end - start
            if self._values_left < 0:
                raise LimitFault(f"the values are longer than {self._limits[0]} bytes")
            self._text += data[start:end]

    def _end(self) -> None:
        if self._text is not None:
            self._values.append((self._name, bytes(self._text)))
            self._text = None
        self.close()

    def _finish(self) -> None:
        self._whole = True


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def _tables(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the tables that UPLOAD has in this body, each with its part; of what else it says the job will complain.

    Several stand in one value where TAP's clients put them, after semicolons.
    """
    given = [item.partition(",") for name, value in pairs if name.lower() == "upload" for item in value.split(";")]
    return [
        (table.strip(), uri.strip()[len("param:") :])
        for table, _, uri in given
        if _TABLE.fullmatch(table.strip()) and uri.strip().lower().startswith("param:")
    ]
