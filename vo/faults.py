"""The one table from what went wrong to what a client is told."""

import logging
from dataclasses import dataclass
from typing import Any, Literal

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from imageserv.core.dali.negotiation import negotiate
from imageserv.core.dali.tables import FORMATS as TABLE_FORMATS
from imageserv.core.dali.votable import error_document
from imageserv.core.dali.words import soda_word
from imageserv.core.errors import (
    AuthenticationFault,
    AuthorizationFault,
    FitsFault,
    ImageServError,
    LimitFault,
    MultiValuedParamNotSupported,
    NoOverlapFault,
    NotFoundFault,
    RefusedFault,
    UnavailableFault,
    UnsupportedFault,
    UsageFault,
)

_log = logging.getLogger(__name__)

FORMATS = {
    "json": ("application/json",),
    "votable": ("application/x-votable+xml", "application/xml"),
    "xml": ("text/xml",),
}
"""The formats of an error document, by their short names."""

Dialect = Literal["v1", "votable", "soda"]
"""How a resource tells of errors: JSON, or a VOTable for those who ask; a VOTable, or plain text for those
who asked for a table in another format (DALI 1.1 section 4.2); plain text with SODA's words."""


@dataclass(frozen=True, slots=True)
class Fault:
    """How one branch of the exception tree is answered.

    Attributes
    ----------
    status
        Of the HTTP response (RFC 9110 section 15).
    name
        The value of ``exception`` in a v1 error document.
    word
        What a VOTable's message starts with (DataLink 1.1 section 3.4, SIA 2.0 section 4.2).
    headers
        Further headers of the response.
    message
        Replaces the exception's own, which may hold what is no client's business.
    """

    status: int
    name: str
    word: str
    headers: tuple[tuple[str, str], ...] = ()
    message: str | None = None


_INTERNAL = Fault(500, "InternalFault", "FatalFault", message="the service failed; its log says why, under this id")

# From the leaves to the root: the first class that an exception is an instance of answers for it.
_TABLE: tuple[tuple[type[ImageServError], Fault], ...] = (
    (MultiValuedParamNotSupported, Fault(400, "MultiValuedParamNotSupported", "UsageFault")),
    (UnsupportedFault, Fault(400, "UnsupportedFault", "UsageFault")),
    (LimitFault, Fault(413, "LimitFault", "UsageFault")),
    (RefusedFault, Fault(403, "RefusedFault", "UsageFault")),
    (UsageFault, Fault(400, "UsageFault", "UsageFault")),
    (NoOverlapFault, Fault(404, "NoOverlapFault", "NotFoundFault")),
    (NotFoundFault, Fault(404, "NotFoundFault", "NotFoundFault")),
    # RFC 9110 section 11.6.1: a 401 names a scheme. Bearer, unlike Basic, makes no browser ask for a password.
    (
        AuthenticationFault,
        Fault(401, "AuthenticationFault", "DefaultFault", (("WWW-Authenticate", 'Bearer realm="ImageServ"'),)),
    ),
    (AuthorizationFault, Fault(403, "AuthorizationFault", "DefaultFault")),
    (UnavailableFault, Fault(503, "UnavailableFault", "TransientFault", (("Retry-After", "5"),))),
    (
        FitsFault,
        Fault(
            500,
            "FitsFault",
            "FatalFault",
            message="the stored file cannot be served; the log says why, under this id",
        ),
    ),
)


def fault_of(error: Exception) -> Fault:
    """Return the row of the table that answers for an exception."""
    return next((fault for kind, fault in _TABLE if isinstance(error, kind)), _INTERNAL)


def log_fault(request: Request, error: Exception) -> None:
    """Report a fault of ours, with its traceback and the id that the client gets."""
    _log.error("a request failed", exc_info=error, extra={"facts": {"id": request.state.id}})


def error_response(request: Request, error: Exception, *, status: int | None = None) -> Response:
    """Answer a request that failed; a fault of ours is logged.

    Parameters
    ----------
    request
        Its state has the ``id`` and, once they are known, the ``dialect`` of
        the resource (see `Dialect`) and the ``responseformat``.
    error
        The reason.
    status
        Another status than the table's, where HTTP has one of its own.
    """
    fault = fault_of(error)
    document: dict[str, Any] = {"exception": fault.name, "message": fault.message or str(error)}
    if isinstance(error, ImageServError) and fault.message is None:
        if error.parameter is not None:
            document["parameter"] = error.parameter
        document |= error.details
    if fault.status >= 500:
        document["id"] = request.state.id
    if fault.status == 500:
        log_fault(request, error)
    responseformat: str | None = getattr(request.state, "responseformat", None)
    dialect: Dialect = getattr(request.state, "dialect", "v1")
    name, media_type = _format(request.headers.get("accept"), responseformat, dialect)
    code, headers = status or fault.status, dict(fault.headers)
    if dialect == "v1":
        headers["Vary"] = "Accept"
    if name == "json":
        return JSONResponse(document, code, headers)
    word = soda_word(error) if dialect == "soda" else fault.word
    text = f"{word}: {document['message']}"
    if "id" in document:
        text = f"{text} {document['id']}"
    if name == "text":
        return PlainTextResponse(text + "\n", code, headers)
    return Response(error_document(text), code, headers, media_type)


def _format(accept: str | None, responseformat: str | None, dialect: Dialect) -> tuple[str, str]:
    """Choose the format of an error document."""
    if dialect == "soda":
        return "text", "text/plain"
    try:
        if dialect == "v1":
            return negotiate(accept, responseformat, FORMATS)
        name, media_type = negotiate(None, responseformat, TABLE_FORMATS)
        return ("votable", media_type) if name == "votable" else ("text", "text/plain")
    except UsageFault:  # it asks for FITS, say: no format of an error document
        return negotiate(accept, None, FORMATS if dialect == "v1" else TABLE_FORMATS)
