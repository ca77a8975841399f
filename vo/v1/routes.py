"""The resources of v1, as HTTP has them."""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import format_datetime

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from imageserv.core.dali.negotiation import negotiate
from imageserv.core.dali.parameters import parse_parameters
from imageserv.core.dali.vosi import availability_xml, capabilities_xml
from imageserv.core.errors import ImageServError, UsageFault
from imageserv.core.repository import Repository
from imageserv.core.service import Service
from imageserv.vo.images import FITS, Budget
from imageserv.vo.requests import Received, receive
from imageserv.vo.threads import Threads

from . import documents
from .answers import answer_id, answer_image
from .documents import Urls
from .nested import published_schema, read_request
from .openapi import openapi
from .parameters import RESPONSEFORMAT
from .query import IdQuestion, Question, read_question

_PATIENCE = 10.0  # seconds that availability waits for a file system

_log = logging.getLogger(__name__)
# What is of no account: conditions in a POST, ranges in all but a GET (RFC 9110 sections 13.2.1 and 14.2).
_IDLE = {
    "GET": (),
    "HEAD": ("range", "if-range"),
    "POST": ("range", "if-range", "if-none-match", "if-modified-since"),
}
_JSON = {"json": ("application/json",)}


class V1:
    """Version 1 of the API: one method for each resource.

    Parameters
    ----------
    service
        What it serves.
    threads
        Where it may block.
    urls
        What its documents say of where things are.
    """

    def __init__(self, service: Service, threads: Threads, urls: Urls) -> None:
        self._service = service
        self._threads = threads
        self._budget = Budget(service.config.limits.max_answer_bytes)
        self.urls = urls
        self._started = datetime.now(UTC)
        # A thread of its own: a file system that hangs must not look like a busy service, nor make it one.
        self._doctor = ThreadPoolExecutor(1, thread_name_prefix="availability")
        datasets = [plugin.declaration for each in service.repositories.values() for plugin in each.datasets.values()]
        self._schema = published_schema(urls.v1("schema"), datasets)
        self._openapi = openapi(urls, service)
        self._capabilities = documents.capabilities_json(urls, service)
        self._capabilities_xml = capabilities_xml(documents.capabilities_model(urls, service))

    def close(self) -> None:
        """Let go of the thread."""
        self._doctor.shutdown(wait=False, cancel_futures=True)

    async def availability(self, request: Request) -> Response:
        """VO_1: whether all repositories can be read; really looks."""
        name, media_type = await self._format(request)
        repositories = self._service.repositories
        faults = dict(zip(repositories, await asyncio.gather(*map(self._fault, repositories.values())), strict=True))
        headers = {"Vary": "Accept", "Cache-Control": "no-cache"}
        if name == "json":
            return JSONResponse(documents.availability_json(self.urls, faults), headers=headers)
        model = replace(documents.availability_model(self.urls, faults), up_since=self._started)
        return Response(availability_xml(model), headers=headers, media_type=media_type)

    async def capabilities(self, request: Request) -> Response:
        """VO_2: the image repositories, and what they take."""
        name, media_type = await self._format(request)
        # VOSI 1.1 section 2.2: when the metadata last changed.
        headers = {"Vary": "Accept", "Last-Modified": format_datetime(self._started, usegmt=True)}
        if name == "json":
            return JSONResponse(self._capabilities, headers=headers)
        return Response(self._capabilities_xml, headers=headers, media_type=media_type)

    async def schema(self, _request: Request) -> Response:
        """Answer the JSON Schema of JSON requests, completed with the loaded datasets' keys."""
        return JSONResponse(self._schema, media_type="application/schema+json")

    async def openapi(self, _request: Request) -> Response:
        """Answer the OpenAPI document of this version."""
        return JSONResponse(self._openapi, media_type="application/openapi+json")

    async def images(self, request: Request) -> Response:
        """Answer I_1 to I_22, U_1 and U_2: an image, a cutout, or an id."""
        received = await receive(request, self._service.config.limits.max_request_bytes)
        repository = self._service.repository(request.path_params["db_id"])
        question = _question(repository, received)
        wanted = _JSON if isinstance(question, IdQuestion) else FITS
        _, media_type = negotiate(request.headers.get("accept"), request.state.responseformat, wanted)
        asked = Headers({name: value for name, value in request.headers.items() if name not in _IDLE[request.method]})

        def answer() -> Response:
            repository.authorise(question.dataset.name, request.headers)
            if isinstance(question, IdQuestion):
                return JSONResponse(answer_id(repository, question))
            selection = repository.select(question.dataset, question.selector)
            request.state.image = selection.publisher_did
            return answer_image(repository, question, selection, asked, media_type, self._threads, self._budget)

        return await self._threads.run(request, answer)

    async def _format(self, request: Request) -> tuple[str, str]:
        """Choose between JSON and XML."""
        received = await receive(request, self._service.config.limits.max_request_bytes)
        parse_parameters((RESPONSEFORMAT,), received.pairs)  # refuses two of them
        return negotiate(request.headers.get("accept"), request.state.responseformat, documents.FORMATS)

    async def _fault(self, repository: Repository) -> str | None:
        """Look whether a repository can be read, and say why not."""
        look = asyncio.get_running_loop().run_in_executor(self._doctor, repository.check)
        try:
            await asyncio.wait_for(look, _PATIENCE)
        except TimeoutError:
            return f"{repository.name} has not answered for {_PATIENCE:g} s"
        except ImageServError as fault:
            return fault.message
        except Exception:  # whatever a file system or a database comes up with: availability answers
            _log.exception("%s cannot be checked", repository.name)
            return f"{repository.name} cannot be read"
        return None


def _question(repository: Repository, received: Received) -> Question:
    if received.document is None:
        return read_question(repository, received.pairs)
    for name, _ in received.pairs:
        if name.lower() != "responseformat":
            raise UsageFault(
                f"{name} stands in the URL and the request in the JSON body: put all of it into one of both",
                parameter=name,
            )
    return read_request(repository, received.document)
