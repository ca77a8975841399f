"""The resources of the Virtual Observatory's protocols, as HTTP has them."""

from datetime import UTC, datetime
from email.utils import format_datetime

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from imageserv.core.answer import FITS
from imageserv.core.dali.negotiation import negotiate
from imageserv.core.dali.parameters import Parameters, parse_parameters
from imageserv.core.dali.soda import RUNID, soda_parameters
from imageserv.core.dali.vosi import availability_json, availability_xml, capabilities_json, capabilities_xml
from imageserv.core.errors import NoOverlapFault, NotFoundFault, WouldWait
from imageserv.core.maintenance import announced
from imageserv.core.obscore import DATALINK
from imageserv.core.selection import Selection
from imageserv.core.service import Service
from imageserv.vo.answers import cutout_response, header_response, whole_response
from imageserv.vo.health import Health
from imageserv.vo.images import Budget, conditions
from imageserv.vo.requests import receive
from imageserv.vo.streams import document_response
from imageserv.vo.threads import Threads
from imageserv.vo.urls import Urls

from . import examples, links, sia, soda, vosi
from .openapi import openapi
from .parameters import LINKS, RESPONSEFORMAT

_RUNID = Parameters((RUNID,))
_IDENTIFIER = 400  # bytes of a form that one identifier takes at the most: it has less than 256 characters
_LINKS_FORMATS = {"votable": (DATALINK, "application/x-votable+xml", "text/xml", "application/xml")}


class Ivoa:
    """One method for each resource below ``/vo``.

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

    Raises
    ------
    PluginFault
        Raised if a dataset adds a parameter of the name of one of SODA's.
    """

    def __init__(self, service: Service, threads: Threads, health: Health, budget: Budget, urls: Urls) -> None:
        self._service = service
        self._threads = threads
        self._health = health
        self._budget = budget
        self._urls = urls
        self._capabilities = vosi.capabilities(urls, service)
        self._openapi = openapi(urls, service)
        for repository in service.repositories.values():
            for plugin in repository.datasets.values():
                soda_parameters(plugin.declaration)

    async def availability(self, request: Request) -> Response:
        """Say whether all repositories can be read, and what maintenance is announced; really looks."""
        name, media_type = await self._format(request)
        faults = await self._health.faults()
        now = datetime.now(UTC)
        announcement = announced(self._service.config.maintenance)
        model = vosi.availability(faults, announcement, self._health.started, now)
        headers = {"Vary": "Accept", "Cache-Control": "no-cache"}
        if name == "json":
            return JSONResponse(availability_json(model), headers=headers)
        return Response(availability_xml(model), headers=headers, media_type=media_type)

    async def capabilities(self, request: Request) -> Response:
        """Say which interfaces there are."""
        name, media_type = await self._format(request)
        # VOSI 1.1 section 2.2: when the metadata last changed.
        headers = {"Vary": "Accept", "Last-Modified": format_datetime(self._health.started, usegmt=True)}
        if name == "json":
            return JSONResponse(capabilities_json(self._capabilities), headers=headers)
        return Response(capabilities_xml(self._capabilities), headers=headers, media_type=media_type)

    async def openapi(self, _request: Request) -> Response:
        """Answer the OpenAPI document of these resources."""
        return JSONResponse(self._openapi, media_type="application/openapi+json")

    async def examples(self, request: Request) -> Response:
        """Show requests worth trying, with images of this service."""

        def answer() -> Response:
            found = examples.service_examples(self._service, request.headers)
            return Response(examples.examples_document(found), media_type="application/xhtml+xml")

        return await self._threads.run(request, answer)

    async def sia(self, request: Request) -> Response:
        """Search for images (SIA 2.0)."""
        pairs = await self._pairs(request)
        question = sia.read_question(pairs, self._service.config.limits)

        def answer(wait: bool) -> Response:
            if not (wait or question.search.narrow):
                raise WouldWait
            pieces = sia.answer(self._service, self._urls, question, request.headers)
            headers = {"Content-Disposition": f'inline; filename="images.{question.extension}"'}
            return document_response(pieces, headers, question.media_type, self._threads)

        return await self._threads.answer(request, "sia", answer)

    async def links(self, request: Request) -> Response:
        """Say what can be done with some images (DataLink 1.1)."""
        limits = self._service.config.limits
        # As many identifiers as are allowed must fit in, percent-encoded.
        pairs = await self._pairs(request, max(limits.max_request_bytes, limits.max_ids * _IDENTIFIER))
        given = parse_parameters(LINKS, pairs).values
        _, media_type = negotiate(None, given.get("RESPONSEFORMAT"), _LINKS_FORMATS)
        most = limits.max_ids

        def answer() -> Response:
            pieces = links.links(self._service, self._urls, given.get("ID", ()), request.headers, most)
            return document_response(pieces, {}, media_type, self._threads)

        return await self._threads.run(request, answer)

    async def sync(self, request: Request) -> Response:
        """Cut an image (SODA 1.0)."""
        question = soda.read_question(await self._pairs(request))
        asked = conditions(request)

        def answer(wait: bool) -> Response:
            repository, selection = soda.find_image(self._service, question)
            repository.authorise(selection.record.dataset, request.headers, wait=wait)
            request.scope["state"]["image"] = selection.publisher_did
            wanted = soda.cutout_request(repository, selection, question)
            if not wait and (question.headers_only or wanted is None):
                raise WouldWait
            try:
                if question.headers_only:
                    return header_response(repository, selection, wanted)
                if wanted is None:
                    return whole_response(repository, selection, asked, question.media_type, self._threads)
                return cutout_response(
                    repository, selection, wanted, asked, question.media_type, self._budget, wait=wait
                )
            except NoOverlapFault:
                return Response(None, 204)  # SODA 1.0 section 4.1

        return await self._threads.answer(request, "sync", answer)

    async def file(self, request: Request) -> Response:
        """Give a whole image: what DataLink's ``#this`` leads to."""
        await receive(request, self._service.config.limits.max_request_bytes)
        asked = conditions(request)
        repository = self._service.repository(request.path_params["db_id"])
        identifier: str = request.path_params["identifier"].removesuffix(".fits")

        def answer() -> Response:
            record = repository.by_did(identifier)
            if record is None:
                raise NotFoundFault(f"{repository.name} has no image {identifier[:300]!r}")
            repository.authorise(record.dataset, request.headers)
            selection = Selection(record, 1, repository.publisher_did(record))
            request.scope["state"]["image"] = selection.publisher_did
            return whole_response(repository, selection, asked, FITS["fits"][0], self._threads)

        return await self._threads.run(request, answer)

    async def _pairs(self, request: Request, max_bytes: int | None = None) -> tuple[tuple[str, str], ...]:
        """Read a request's parameters."""
        most = max_bytes or self._service.config.limits.max_request_bytes
        received = await receive(request, most, json=False)
        run_id = parse_parameters(_RUNID, received.pairs).values.get("RUNID")
        if run_id is not None:
            request.scope["state"]["run_id"] = run_id
        return received.pairs

    async def _format(self, request: Request) -> tuple[str, str]:
        """Choose between XML and JSON."""
        received = await receive(request, self._service.config.limits.max_request_bytes)
        parse_parameters((RESPONSEFORMAT,), received.pairs)  # refuses two of them
        return negotiate(request.headers.get("accept"), received.responseformat, vosi.FORMATS)
