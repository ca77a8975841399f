"""From an image and a request to what goes into a result's file."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from imageserv.core.answer import TILES, Report, StoredFile
from imageserv.core.errors import UnavailableFault
from imageserv.core.request import CutoutRequest
from imageserv.core.sky.stencil import Section

from .finding import Found
from .manifest import error_text
from .package import Chunks

_CHUNK = 1 << 20


class Stopped(Exception):
    """The job was stopped while a file was being read."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes into a result's file.

    Attributes
    ----------
    size
        Bytes.
    chunks
        The bytes; reading them may raise UnavailableFault or `Stopped`.
    media_type, ending
        Of the file.
    report
        What was asked for and delivered, of pixels.
    """

    size: int
    chunks: Chunks
    media_type: str
    ending: str
    report: Report | None = None


def answer(
    found: Found, request: CutoutRequest | None, media_type: str, headers_only: bool, stopped: Callable[[], bool]
) -> Answer:
    """Cut an image, or give its file; raises what `Repository.cutout` and `Repository.whole` raise.

    Parameters
    ----------
    request
        None for the file itself.
    media_type
        That was chosen; the answer's is without parameters unless its planes are tile-compressed.
    headers_only
        Whether to answer with the headers alone, as text.
    stopped
        Asked while a file is read.
    """
    repository, selection = found.repository, found.selection
    plain = media_type.partition(";")[0]
    if headers_only:
        headers = repository.headers(selection) if request is None else repository.cutout_headers(selection, request)
        return text_answer(headers)
    if request is None:
        stored = repository.whole(selection)
        width, height = stored.shape
        pixels = Section(((0, width), (0, height)))
        report = Report(selection.publisher_did, pixels, pixels, selection.candidates)
        return Answer(stored.size, _read(stored, stopped), plain, ".fits", report)
    cutout = repository.cutout(selection, request)
    chosen, ending = (media_type, f".{TILES}") if cutout.as_tiles else (plain, ".fits")
    return Answer(cutout.content.nbytes, (cutout.content,), chosen, ending, cutout.report)


def refusal(fault: Exception) -> Answer:
    """Say why there is no cutout (SODA 1.0 section 4.2)."""
    return text_answer(f"{error_text(fault)}\n")


def text_answer(text: str) -> Answer:
    """Answer with a text."""
    content = text.encode()
    return Answer(len(content), (content,), "text/plain", ".txt")


def _read(stored: StoredFile, stopped: Callable[[], bool]) -> Iterator[bytes]:
    """Read a file whole, or say that it is not what it was."""
    try:
        with open(stored.path, "rb") as file:
            left = stored.size
            while chunk := file.read(min(_CHUNK, left)):
                left -= len(chunk)
                yield chunk
                if stopped():
                    raise Stopped
            if left or os.fstat(file.fileno()).st_size != stored.size:
                raise UnavailableFault("the image's file is being changed")
    except OSError as error:
        raise UnavailableFault(f"the image's file cannot be read: {error.strerror or error}") from error
