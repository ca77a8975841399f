"""From a question to an answer: HTTP's responses, and the parts that the command line shares."""

from collections.abc import Mapping
from dataclasses import replace

from starlette.datastructures import Headers
from starlette.responses import Response

from imageserv.core.answer import Report
from imageserv.core.repository import Repository
from imageserv.core.selection import Selection
from imageserv.core.sky.stencil import Box, PixelBox
from imageserv.vo.images import Budget, CutoutResponse, FileResponse, entity_tag, image_headers, names, not_modified
from imageserv.vo.threads import Threads

from .parameters import DETAILS
from .query import Detail, IdQuestion, ImageQuestion


def answer_id(repository: Repository, question: IdQuestion) -> dict[str, int | str] | int:
    """Answer U_1 and U_2, as a JSON value.

    Raises
    ------
    UsageFault
        Raised if the science id encodes no data id.
    NotFoundFault
        Raised if only the registry could tell, and does not know it.
    """
    if question.want == "science id":
        return question.science_id
    return dict(repository.decode(question.dataset, question.science_id))


def cutout_name(selection: Selection, stencil: Box, detail: Detail) -> str:
    """Return the name of a cutout's file: the same for the same question, another for another detail."""
    record = selection.record
    image = "-".join([record.dataset, *(str(value) for value in record.data_id.values())])
    factor, unit = (3600, "arcsec") if stencil.unit == "deg" else (1, stencil.unit)
    size = f"{stencil.width * factor:.8g}x{stencil.height * factor:.8g}{unit}"
    suffix = "" if detail == DETAILS[0] else f"_{detail}"
    return f"{image}_{stencil.ra:.8g}{stencil.dec:+.8g}_{size}{suffix}.fits"


def answer_image(
    repository: Repository,
    question: ImageQuestion,
    selection: Selection,
    asked: Headers,
    media_type: str,
    threads: Threads,
    budget: Budget,
) -> Response:
    """Answer a request for an image: with a cutout, the stored file or a part of it, or 304. Reads files.

    Parameters
    ----------
    selection
        The image that the question means.
    asked
        The request's headers.
    media_type
        Of the answer.
    threads
        Where a stored file will be read.
    budget
        Which cutouts are counted against.

    Raises
    ------
    ImageServError
        Raised as `Repository.whole` and `Repository.cutout` do.
    """
    if question.stencil is None:
        return _whole(repository, selection, asked, media_type, threads)
    return _cutout(repository, question, question.stencil, selection, asked, media_type, budget)


def _whole(repository: Repository, selection: Selection, asked: Headers, media_type: str, threads: Threads) -> Response:
    stored = repository.whole(selection)
    width, height = stored.shape
    box = PixelBox(0, width, 0, height)
    report = Report(selection.publisher_did, box, box, selection.candidates)
    headers = image_headers(
        _lines(report),
        filename=stored.name,
        etag=entity_tag(selection.publisher_did, stored.size, stored.mtime, media_type),
        modified=stored.mtime,
    )
    if not_modified(asked, headers):
        return Response(None, 304, headers)
    return FileResponse(stored.path, stored.size, asked, headers, media_type, threads)


def _cutout(
    repository: Repository,
    question: ImageQuestion,
    stencil: Box,
    selection: Selection,
    asked: Headers,
    media_type: str,
    budget: Budget,
) -> Response:
    # The record as the file is now, should it have changed since it was ingested.
    current = replace(selection, record=repository.open(selection.record).record)
    etag = entity_tag(current.fingerprint, selection.candidates, stencil, question.detail, media_type)
    modified = current.record.file.mtime_ns / 1e9
    name = cutout_name(selection, stencil, question.detail)
    headers = image_headers({}, filename=name, etag=etag, modified=modified)
    if names(asked, etag):  # only an answer ever had this tag, so there is one: no need to cut again
        return Response(None, 304, headers)
    answer = repository.cutout(selection, stencil, question.detail)
    headers = image_headers(_lines(answer.report), filename=name, etag=etag, modified=modified)
    if not_modified(asked, headers):
        return Response(None, 304, headers)
    return CutoutResponse(answer.content, headers, media_type, budget)


def _lines(report: Report) -> Mapping[str, str]:
    """Return the report of section 6, a header for each of its cards."""
    return {
        "Parent": report.parent,
        "Requested": report.requested.section(),
        "Delivered": report.delivered.section(),
        "Clipped": str(report.clipped).lower(),
        "Coverage": str(report.coverage),
        "Candidates": str(report.candidates),
    }
