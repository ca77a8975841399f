"""The OpenAPI document of v1, written from the declarations by which requests are read."""

from collections.abc import Iterable
from typing import Any

from imageserv.core.answer import CUTOUT_TYPES, FITS
from imageserv.core.dali.parameters import Parameter
from imageserv.core.repository import Repository
from imageserv.core.service import Service
from imageserv.vo.faults import FORMATS as ERROR_FORMATS
from imageserv.vo.schemas import value_schema
from imageserv.vo.urls import Urls

from .documents import FORMATS
from .nested import key_schema, published_schema
from .parameters import DS, SCHEMAS, declare

_STATUS = {
    "400": "The client can mend the request; `parameter` names what is wrong and `accepted` what would be right.",
    "401": "The client has to say who it is.",
    "403": "The client may not have this image.",
    "404": "No such repository, dataset or image, or a cutout without a pixel.",
    "413": "More than a published limit.",
    "500": "A fault of the service, by its `id` in the log.",
    "503": "The repository cannot be read at present, or the service is busy.",
}

_ERROR = {
    "type": "object",
    "required": ["exception", "message"],
    "properties": {
        "exception": {"type": "string"},
        "message": {"type": "string"},
        "parameter": {"type": "string"},
        "accepted": {
            "type": "object",
            "additionalProperties": {"type": "array", "items": {"type": "array", "items": {"type": "string"}}},
        },
        "id": {"type": "string"},
    },
}

_REPORT = {
    "Parent": ("string", "Identifier of the image that this is, or is cut from."),
    "Requested": ("string", "Requested pixels, as a FITS section."),
    "Delivered": ("string", "Delivered pixels, as a FITS section."),
    "Clipped": ("boolean", "Whether the image has less than was asked for."),
    "Coverage": ("number", "The fraction of the request that is covered."),
    "Candidates": ("integer", "How many images contained the position."),
}


def openapi(urls: Urls, service: Service) -> dict[str, Any]:
    """Write the document (OpenAPI 3.1.1).

    Parameters
    ----------
    urls
        Where things are.
    service
        What is served: its repositories become paths, its datasets parameters.

    Returns
    -------
    dict
        Every resource of v1, with every status and type of content that can occur.
    """
    repositories = service.repositories.values()
    datasets = [plugin.declaration for each in repositories for plugin in each.datasets.values()]
    request = published_schema(urls.v1("schema"), datasets)
    definitions = request.pop("$defs")
    components = {"Error": _ERROR, "Request": request, **definitions}
    for title in ("$schema", "$id"):
        request.pop(title)
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "ImageServ",
            "version": "1",
            "description": "Images and cutouts of images, by position or by id. Coordinates are ICRS degrees.",
        },
        "servers": [{"url": f"{urls.base}{urls.path}/v1"}],
        "paths": {
            "/availability": _document("availability", "Whether all repositories can be read."),
            "/capabilities": _document("capabilities", "The repositories, and what they take."),
            "/schema": _fixed("schema", "The JSON Schema of JSON requests.", "application/schema+json"),
            "/openapi.json": _fixed("openapi", "The OpenAPI document of this API.", "application/openapi+json"),
            **{f"/{repository.name}": _images(repository) for repository in repositories},
        },
        "components": {"schemas": _moved(components)},
    }


def _images(repository: Repository) -> dict[str, Any]:
    parameters = _parameters(repository)
    answers = {
        "200": {
            "description": "The stored file, a cutout, or an id.",
            "headers": _image_headers(),
            "content": {
                **{media_type: {} for media_type in CUTOUT_TYPES},
                "application/json": {"schema": {"type": ["integer", "object"]}},
            },
        },
        "206": {
            "description": "A part of a stored file.",
            "headers": {**_image_headers(), "Content-Range": _header("string", "Which part.")},
            "content": {media_type: {} for media_type in FITS["fits"]},
        },
        "304": {"description": "The client has this already."},
        "416": {"description": "The stored file has no such part."},
        **_errors(_STATUS),
    }
    form = {
        "type": "object",
        "required": ["ds"],
        "properties": {parameter["name"]: parameter["schema"] for parameter in parameters},
    }
    body = {
        "required": True,
        "content": {
            "application/x-www-form-urlencoded": {"schema": form},
            "multipart/form-data": {"schema": form},
            "application/json": {"schema": {"$ref": "#/components/schemas/Request"}},
        },
    }
    summary = f"An image of {repository.name}, a cutout, or an id."
    # Ranges are for GET alone, conditions for GET and HEAD (RFC 9110 sections 14.2 and 13.2.1).
    headed = {status: answer for status, answer in answers.items() if status not in ("206", "416")}
    posted = {status: answer for status, answer in headed.items() if status != "304"}
    operation = {"summary": summary, "parameters": parameters}
    return {
        "get": {"operationId": f"get_{repository.name}", **operation, "responses": answers},
        "head": {"operationId": f"head_{repository.name}", **operation, "responses": headed},
        "post": {
            "operationId": f"post_{repository.name}",
            "summary": summary,
            "requestBody": body,
            "responses": posted,
        },
    }


def _parameters(repository: Repository) -> list[dict[str, Any]]:
    """Return the parameters of all datasets of a repository: a key that several share takes what any of them takes."""
    names = list(repository.datasets)
    schemas: dict[str, list[dict[str, Any]]] = {}
    declared: dict[str, Parameter] = {}
    for plugin in repository.datasets.values():
        for parameter in declare(plugin.declaration):
            key = plugin.declaration.key(parameter.name)
            if parameter is DS:
                schema: dict[str, Any] = {"enum": names}
            else:
                own = SCHEMAS.get(parameter.name, value_schema(parameter))
                schema = dict(own) if key is None else key_schema(key)
                schema.pop("description", None)
            variants = schemas.setdefault(parameter.name, [])
            if schema not in variants:
                variants.append(schema)
            declared.setdefault(parameter.name, parameter)
    return [
        {
            "name": name,
            "in": "query",
            "required": name == "ds",
            "description": declared[name].description,
            "schema": variants[0] if len(variants) == 1 else {"anyOf": variants},
            **({"allowEmptyValue": True} if declared[name].flag else {}),
        }
        for name, variants in schemas.items()
    ]


def _document(name: str, summary: str) -> dict[str, Any]:
    answers = {
        "200": {
            "description": summary,
            "content": {media_type: {} for types in FORMATS.values() for media_type in types},
        },
        **_errors(("400", "413", "500")),
    }
    formats = [*FORMATS, *(media_type for types in FORMATS.values() for media_type in types)]
    parameter = {"name": "RESPONSEFORMAT", "in": "query", "schema": {"enum": formats}}
    return {
        method: {"operationId": f"{method}_{name}", "summary": summary, "parameters": [parameter], "responses": answers}
        for method in ("get", "head")
    }


def _fixed(name: str, summary: str, media_type: str) -> dict[str, Any]:
    answers = {
        "200": {"description": summary, "content": {media_type: {"schema": {"type": "object"}}}},
        **_errors(("500",)),
    }
    return {
        method: {"operationId": f"{method}_{name}", "summary": summary, "responses": answers}
        for method in ("get", "head")
    }


def _errors(statuses: Iterable[str]) -> dict[str, Any]:
    content = {
        media_type: {"schema": {"$ref": "#/components/schemas/Error"}} if name == "json" else {}
        for name, types in ERROR_FORMATS.items()
        for media_type in types
    }
    return {status: {"description": _STATUS[status], "content": content} for status in statuses}


def _image_headers() -> dict[str, Any]:
    report = {f"X-ImageServ-{name}": _header(kind, text) for name, (kind, text) in _REPORT.items()}
    return report | {
        "ETag": _header("string", "Of the stored file, the request as understood, and the program."),
        "Last-Modified": _header("string", "When the stored file was."),
        "Content-Disposition": _header("string", "A file name, the same for the same request."),
    }


def _header(kind: str, description: str) -> dict[str, Any]:
    return {"description": description, "schema": {"type": kind}}


def _moved(schemas: Any) -> Any:
    """Return schemas with their references pointing where OpenAPI has them."""
    if isinstance(schemas, dict):
        return {
            name: value.replace("#/$defs/", "#/components/schemas/") if name == "$ref" else _moved(value)
            for name, value in schemas.items()
        }
    return [_moved(value) for value in schemas] if isinstance(schemas, list) else schemas
