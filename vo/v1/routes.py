"""The resources of v1, as HTTP has them."""

from dataclasses import replace
from email.utils import format_datetime

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from imageserv.core.answer import FITS
from imageserv.core.dali.negotiation import negotiate
from imageserv.core.dali.parameters import parse_parameters
from imageserv.core.dali.vosi import availability_xml, capabilities_xml
from imageserv.core.errors import UsageFault, WouldWait
from imageserv.core.repository import Repository
from imageserv.core.service import Service
from imageserv.vo.health import Health
from imageserv.vo.images import Budget, conditions
from imageserv.vo.requests import Received, receive
from imageserv.vo.threads import Threads
from imageserv.vo.urls import Urls

from . import documents
from .answers import answer_id, answer_image
from .nested import published_schema, read_request
from .openapi import openapi
from .parameters import RESPONSEFORMAT
from .query import IdQuestion, Question, read_question

_JSON = {"json": ("application/json",)}


class V1:
    """Version 1 of the API: one method for each resource.

    Parameters
    ----------
    service
        What it serves.
    threads
        Where it may block.
    health
        What knows whether it can answer.
    budget
        What cutouts are counted against.
    urls
        What its documents say of where things are.
    """

    def __init__(self, service: Service, threads: Threads, health: Health, budget: Budget, urls: Urls) -> None:
        self._service = service
        self._threads = threads
        self._budget = budget
        self._urls = urls
        self._health = health
        datasets = [plugin.declaration for each in service.repositories.values() for plugin in each.datasets.values()]
        self._schema = published_schema(urls.v1("schema"), datasets)
        self._openapi = openapi(urls, service)
        self._capabilities = documents.capabilities_json(urls, service)
        self._capabilities_xml = capabilities_xml(documents.capabilities_model(urls, service))

    async def availability(self, request: Request) -> Response:
        """VO_1: whether all repositories can be read; really looks."""
        name, media_type = await self._format(request)
        faults = await self._health.faults()
        headers = {"Vary": "Accept", "Cache-Control": "no-cache"}
        if name == "json":
            return JSONResponse(documents.availability_json(self._urls, faults), headers=headers)
        model = replace(documents.availability_model(self._urls, faults), up_since=self._health.started)
        return Response(availability_xml(model), headers=headers, media_type=media_type)

    async def capabilities(self, request: Request) -> Response:
        """VO_2: the image repositories, and what they take."""
        name, media_type = await self._format(request)
        # VOSI 1.1 section 2.2: when the metadata last changed.
        headers = {"Vary": "Accept", "Last-Modified": format_datetime(self._health.started, usegmt=True)}
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
        _, media_type = negotiate(request.headers.get("accept"), received.responseformat, wanted)
        asked = conditions(request)

        def answer(wait: bool) -> Response:
            repository.authorise(question.dataset.name, request.headers, wait=wait)
            if isinstance(question, IdQuestion):
                return JSONResponse(answer_id(repository, question))
            if question.request is None and not wait:  # a whole file
                raise WouldWait
            selection = repository.select(question.dataset, question.selector, wait=wait)
            request.scope["state"]["image"] = selection.publisher_did
            return answer_image(
                repository, question, selection, asked, media_type, self._threads, self._budget, wait=wait
            )

        return await self._threads.answer(request, question.dataset, answer)

    async def _format(self, request: Request) -> tuple[str, str]:
        """Choose between JSON and XML."""
        received = await receive(request, self._service.config.limits.max_request_bytes)
        parse_parameters((RESPONSEFORMAT,), received.pairs)  # refuses two of them
        return negotiate(request.headers.get("accept"), received.responseformat, documents.FORMATS)


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
