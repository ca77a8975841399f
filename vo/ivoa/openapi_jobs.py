"""The OpenAPI document, as far as it is about jobs."""

from collections.abc import Iterable, Sequence
from typing import Any

from imageserv.core.batch.parameters import JOB
from imageserv.core.dali.parameters import Parameter
from imageserv.core.dali.soda import RUNID
from imageserv.vo.schemas import query_parameter

from . import uws
from .parameters import RESPONSEFORMAT

_TEXT = ("text/plain",)
_DOCUMENTS = tuple(media_type for types in uws.FORMATS.values() for media_type in types)
_STATUS = {
    "303": "Done: see the job, or the list if it was deleted.",
    "400": "The client can mend the request: the message says how.",
    "401": "The bearer token is not known.",
    "403": "The job belongs to somebody else, is in another phase, or its owner has too many.",
    "404": "There is no such job.",
    "413": "More than a published limit.",
    "500": "A fault of the service, by an id that its log has too.",
    "503": "The jobs cannot be reached at present, or there are too many.",
}
_ID = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}, "description": "Of the job."}


def job_paths() -> dict[str, Any]:
    """Write the paths of jobs and what belongs to them; results have URLs of their own."""
    job = (*JOB, *(parameter for parameter in uws.CONTROLS if parameter is not RUNID))
    return {
        "/async": {
            **_get("The client's jobs.", uws.LIST, _DOCUMENTS),
            "post": _post("Create a job.", job),
        },
        "/async/{id}": _of_job(
            _get("A job; with WAIT, once its phase has changed.", uws.LOOK, _DOCUMENTS),
            post=_post("Delete the job.", (uws.ACTION,)),
            delete={"summary": "Delete the job.", "responses": _answers()},
        ),
        "/async/{id}/phase": _of_job(
            _get("The phase.", (), _TEXT), post=_post("Start the job, or stop it.", (uws.PHASE,))
        ),
        "/async/{id}/executionduration": _of_job(
            _get("Seconds for which it may execute.", (), _TEXT), post=_post("Change them.", (uws.DURATION,))
        ),
        "/async/{id}/destruction": _of_job(
            _get("When it will be deleted.", (), _TEXT), post=_post("Change it.", (uws.DESTRUCTION,))
        ),
        "/async/{id}/parameters": _of_job(
            _get("Its parameters.", (RESPONSEFORMAT,), _DOCUMENTS), post=_post("Set parameters before it runs.", job)
        ),
        "/async/{id}/results": _of_job(_get("Its results.", (RESPONSEFORMAT,), _DOCUMENTS)),
        "/async/{id}/error": _of_job(_get("Why it ended in ERROR.", (), _TEXT)),
        "/async/{id}/quote": _of_job(_get("When it is likely to end.", (), _TEXT)),
        "/async/{id}/owner": _of_job(_get("Whose it is.", (), _TEXT)),
    }


def _of_job(operations: dict[str, Any], **others: Any) -> dict[str, Any]:
    return {"parameters": [_ID], **operations, **others}


def _get(summary: str, parameters: Sequence[Parameter], types: Iterable[str]) -> dict[str, Any]:
    answers = {"200": {"description": summary, "content": {each: {} for each in types}}, **_answers("303", "413")}
    operation = {"summary": summary, "parameters": [query_parameter(each) for each in parameters], "responses": answers}
    return {"get": operation, "head": operation}


def _post(summary: str, parameters: Sequence[Parameter]) -> dict[str, Any]:
    described = [query_parameter(parameter) for parameter in parameters]
    form = {"type": "object", "properties": {each["name"]: each["schema"] for each in described}}
    types = ("application/x-www-form-urlencoded", "multipart/form-data")
    body = {"content": {media_type: {"schema": form} for media_type in types}}
    return {"summary": summary, "requestBody": body, "responses": _answers()}


def _answers(*without: str) -> dict[str, Any]:
    content: dict[str, Any] = {"content": {each: {} for each in _TEXT}}
    return {
        status: {"description": text, **({} if status == "303" else content)}
        for status, text in _STATUS.items()
        if status not in without
    }
