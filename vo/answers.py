"""From an image and what is wanted of it to HTTP's response: what v1 and SODA share."""

from starlette.responses import PlainTextResponse, Response

from imageserv.core.answer import TILES, Report
from imageserv.core.filenames import cutout_stem
from imageserv.core.repository import Repository
from imageserv.core.request import CutoutRequest
from imageserv.core.selection import Selection
from imageserv.core.sky.stencil import Section

from .images import (
    Budget,
    Conditions,
    CutoutResponse,
    FileResponse,
    RawHeaders,
    Validators,
    entity_tag,
    http_date,
    image_headers,
    is_unchanged,
    unchanged_response,
    visible,
)
from .threads import Threads


def cutout_name(selection: Selection, request: CutoutRequest, *, as_tiles: bool) -> str:
    """Return the name of a cutout's file: the same for the same question, another for another."""
    return f"{cutout_stem(selection.record, request)}.{TILES if as_tiles else 'fits'}"


def whole_response(
    repository: Repository, selection: Selection, asked: Conditions, media_type: str, threads: Threads
) -> Response:
    """Answer with the stored file or a part of it, or 304. Looks at the file; it is read while it is sent.

    Parameters
    ----------
    asked
        The request's, as `imageserv.vo.images.conditions` gives them.
    media_type
        That was chosen; the answer's is without parameters, for a file is given as it is.
    threads
        Where the file will be read.

    Raises
    ------
    UnavailableFault
        Raised if it cannot be read.
    """
    stored = repository.whole(selection)
    width, height = stored.shape
    pixels = Section(((0, width), (0, height)))
    tag = entity_tag(selection.publisher_did, stored.size, stored.mtime, media_type)
    validators = Validators(tag, http_date(int(stored.mtime)))
    report = Report(selection.publisher_did, pixels, pixels, selection.candidates)
    headers = image_headers(stored.name, validators) + _lines(report)
    if is_unchanged(asked, validators):
        return unchanged_response(headers)
    return FileResponse(stored.path, stored.size, asked, validators, headers, _plain(media_type), threads)


def cutout_response(
    repository: Repository,
    selection: Selection,
    request: CutoutRequest,
    asked: Conditions,
    media_type: str,
    budget: Budget,
    *,
    wait: bool,
) -> Response:
    """Answer with a cutout, or 304. Reads the file.

    Parameters
    ----------
    asked, media_type
        As of `whole_response`; a cutout with tile-compressed planes has the parameter that says so.
    budget
        What the cutout is counted against.
    wait
        As of `Repository.cutout`.

    Raises
    ------
    ImageServError, WouldWait
        Raised as `Repository.cutout` does.
    """
    prepared = repository.prepare(selection, request, wait=wait)
    current, as_tiles = prepared.selection, prepared.cutout.as_tiles
    fingerprint, modified = current.state
    tag = entity_tag(fingerprint, selection.candidates, request, media_type)
    validators = Validators(tag, None if modified is None else http_date(modified))
    headers = image_headers(cutout_name(selection, request, as_tiles=as_tiles), validators) + _lines(prepared.report)
    if is_unchanged(asked, validators):  # told before a pixel is read
        return unchanged_response(headers)
    content = prepared.write(wait=wait)
    return CutoutResponse(content, headers, media_type if as_tiles else _plain(media_type), budget)


def header_response(repository: Repository, selection: Selection, request: CutoutRequest | None) -> Response:
    """Answer with the headers that a cutout would have, or the image has, as text; raises as `cutout_response` does."""
    if request is None:
        return PlainTextResponse(repository.headers(selection))
    return PlainTextResponse(repository.cutout_headers(selection, request))


def _plain(media_type: str) -> str:
    return media_type.partition(";")[0]


def _lines(report: Report) -> RawHeaders:
    """Return the report, a header for each of its cards; what cannot be told has none."""
    requested, delivered, coverage = report.requested, str(report.delivered).encode(), report.coverage
    lines = [(b"x-imageserv-parent", visible(report.parent))]
    if requested is not None:
        box = delivered if requested is report.delivered else str(requested).encode()
        lines.append((b"x-imageserv-requested", box))
    lines += [
        (b"x-imageserv-delivered", delivered),
        (b"x-imageserv-clipped", b"true" if report.clipped else b"false"),
    ]
    if coverage is not None:
        lines.append((b"x-imageserv-coverage", str(coverage).encode()))
    lines.append((b"x-imageserv-candidates", b"%d" % report.candidates))
    return lines
