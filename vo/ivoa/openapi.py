"""The OpenAPI document of the VO resources, written from the declarations by which requests are read."""

from collections.abc import Iterable, Sequence
from typing import Any

from imageserv.core.answer import CUTOUT_TYPES, FITS
from imageserv.core.dali.parameters import Parameter
from imageserv.core.dali.soda import SODA
from imageserv.core.dali.tables import FORMATS as TABLES
from imageserv.core.obscore import DATALINK
from imageserv.core.service import Service
from imageserv.vo.schemas import query_parameter
from imageserv.vo.urls import Urls

from .openapi_jobs import job_paths
from .parameters import LINKS, RESPONSEFORMAT, SIA
from .vosi import FORMATS

_VOTABLE = TABLES["votable"]
_TEXT = ("text/plain",)
_STATUS = {
    "400": "The client can mend the request: the message says how.",
    "401": "The client has to say who it is.",
    "403": "The client may not have this image.",
    "404": "There is no such image.",
    "413": "More than a published limit.",
    "500": "A fault of the service, by an id that its log has too.",
    "503": "A repository cannot be read at present, or the service is busy.",
}


def openapi(urls: Urls, service: Service) -> dict[str, Any]:
    """Write the document (OpenAPI 3.1.1): every resource but the whole files, each of which has a URL of its own.

    Parameters
    ----------
    urls
        Where things are.
    service
        What is served: parameters that its datasets add are among those of ``/sync``.
    """
    own = {
        parameter.name: parameter
        for repository in service.repositories.values()
        for plugin in repository.datasets.values()
        for parameter in plugin.declaration.parameters
    }
    vosi = [media_type for types in FORMATS.values() for media_type in types]
    tables = [media_type for types in TABLES.values() for media_type in types]
    errors = ("400", "413", "500", "503")
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "ImageServ: Virtual Observatory",
            "version": "1",
            "description": "SIA 2.0, DataLink 1.1, SODA 1.0, UWS 1.1, VOSI 1.1 and DALI 1.1. Coordinates are ICRS"
            " degrees; names of parameters are compared without case.",
        },
        "servers": [{"url": urls.vo("").rstrip("/")}],
        "paths": {
            "/availability": _get(
                "Whether all repositories can be read.", (RESPONSEFORMAT,), vosi, _errors(("400", "500"))
            ),
            "/capabilities": _get("The interfaces of the service.", (RESPONSEFORMAT,), vosi, _errors(("400", "500"))),
            "/examples": _get("Requests worth trying.", (), ["application/xhtml+xml"], _errors(("500", "503"))),
            "/sia": _query("Images that a search finds.", SIA, tables, _errors(errors, (*_VOTABLE, *_TEXT))),
            "/links": _query("What can be done with images.", LINKS, [DATALINK, *_VOTABLE], _errors(errors, _VOTABLE)),
            "/sync": _query(
                "A cutout of an image, or the image.",
                (*SODA, *own.values()),
                CUTOUT_TYPES,
                {
                    "204": {"description": "The image has nothing of what was asked for."},
                    "206": {
                        "description": "A part of a whole image.",
                        "content": {media_type: {} for media_type in FITS["fits"]},
                    },
                    "304": {"description": "The client has this already."},
                    "416": {"description": "The image has no such part."},
                    **_errors(_STATUS, _TEXT),
                },
                required=("ID",),
                also=_TEXT,
            ),
            **job_paths(),
        },
    }


def _get(summary: str, parameters: Sequence[Parameter], types: Iterable[str], others: dict[str, Any]) -> dict[str, Any]:
    answers = {"200": {"description": summary, "content": {each: {} for each in types}}, **others}
    operation = {"summary": summary, "parameters": list(map(query_parameter, parameters)), "responses": answers}
    return {"get": operation, "head": operation}


def _query(
    summary: str,
    parameters: Sequence[Parameter],
    types: Iterable[str],
    others: dict[str, Any],
    *,
    required: Sequence[str] = (),
    also: Iterable[str] = (),
) -> dict[str, Any]:
    described = [query_parameter(parameter, required=parameter.name in required) for parameter in parameters]
    answers = {"200": {"description": summary, "content": {each: {} for each in (*types, *also)}}, **others}
    operation = {"summary": summary, "parameters": described, "responses": answers}
    form = {
        "type": "object",
        "required": list(required),
        "properties": {parameter["name"]: parameter["schema"] for parameter in described},
    }
    body = {
        "content": {
            media_type: {"schema": form} for media_type in ("application/x-www-form-urlencoded", "multipart/form-data")
        }
    }
    posted = {"summary": summary, "requestBody": body, "responses": answers}
    return {"get": operation, "head": operation, "post": posted}


def _errors(statuses: Iterable[str], types: Iterable[str] = ("application/json", *_VOTABLE)) -> dict[str, Any]:
    return {status: {"description": _STATUS[status], "content": {each: {} for each in types}} for status in statuses}
