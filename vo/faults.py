"""The one table from what went wrong to what a client is told."""

import logging
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from imageserv.core.dali.negotiation import negotiate
from imageserv.core.dali.votable import error_document
from imageserv.core.errors import (
    AuthenticationFault,
    AuthorizationFault,
    FitsFault,
    ImageServError,
    LimitFault,
    MultiValuedParamNotSupported,
    NoOverlapFault,
    NotFoundFault,
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
            500, "FitsFault", "FatalFault", message="the stored file cannot be served; the log says why, under this id"
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
        Its state has the ``id`` and, once the parameters are read, the
        ``responseformat``, which may ask for a VOTable as ``Accept`` may.
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
    headers = {"Vary": "Accept", **dict(fault.headers)}
    responseformat: str | None = getattr(request.state, "responseformat", None)
    try:
        name, media_type = negotiate(request.headers.get("accept"), responseformat, FORMATS)
    except UsageFault:  # it asks for FITS, say: no format of an error document
        name, media_type = negotiate(request.headers.get("accept"), None, FORMATS)
    if name == "json":
        return JSONResponse(document, status or fault.status, headers)
    text = f"{fault.word}: {document['message']}"
    if "id" in document:
        text = f"{text} {document['id']}"
    return Response(error_document(text), status or fault.status, headers, media_type)
