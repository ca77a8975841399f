"""The web application: which path is answered by what."""

import contextlib
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from importlib.metadata import version

from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocketClose
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from imageserv.core.errors import NotFoundFault, UsageFault
from imageserv.core.jobs.places import files_of, store_of
from imageserv.core.service import Service

from .edge import Edge
from .faults import Dialect, error_response
from .health import Health
from .images import Budget
from .ivoa.jobs import Jobs
from .ivoa.routes import Ivoa
from .metrics import Metrics, job_metrics
from .owners import Peer
from .pages.front import front
from .pages.manual import manual
from .threads import Threads
from .urls import Urls
from .v1.routes import V1

Endpoint = Callable[[Request], Awaitable[Response]]

_READ = ("GET", "HEAD")


def create_app(service: Service) -> Router:
    """Make the application that serves all repositories of a service; it closes the service when it ends.

    Parameters
    ----------
    service
        As `imageserv.core.service.open_service` gives it.

    Raises
    ------
    PluginFault
        Raised if a dataset's key has the name of a parameter of v1.
    """
    config = service.config
    threads = Threads(running=config.limits.threads, waiting=config.limits.max_waiting)
    # Threads of their own: a database that is slow to answer holds up no cutout.
    job_threads = Threads(running=config.limits.threads, waiting=config.limits.max_waiting)
    metrics = Metrics()
    urls = Urls(config.base_url, config.path)
    doctor = Health(service)
    budget = Budget(config.limits.max_answer_bytes)
    v1 = V1(service, threads, doctor, budget, urls)
    ivoa = Ivoa(service, threads, doctor, budget, urls)
    store = store_of(config)
    jobs = Jobs(service, store, files_of(config), job_threads, urls)
    alive = {"status": "ok", "version": version("imageserv")}

    async def front_page(request: Request) -> Response:
        # Written anew each time: it shows an image that is there now.
        text = await threads.run(request, lambda: front(urls, service, request.headers))
        return Response(text, media_type="text/html")

    def fixed(text: str) -> Endpoint:
        async def endpoint(_request: Request) -> Response:
            return Response(text, media_type="text/html")

        return endpoint

    async def health(_request: Request) -> Response:
        return JSONResponse(alive)

    async def counters(_request: Request) -> Response:
        queue = await job_threads.step(lambda: job_metrics(store))
        return PlainTextResponse(metrics.text() + queue, media_type="text/plain; version=0.0.4")

    @contextlib.asynccontextmanager
    async def lifespan(_app: object) -> AsyncGenerator[None]:
        yield
        doctor.close()
        threads.close()
        job_threads.close()
        store.close()
        service.close()

    routes: list[Route] = []  # looked through from the front: what is asked most comes first
    for prefix in urls.prefixes:
        routes += [
            _route(f"{prefix}/v1/availability", v1.availability),
            _route(f"{prefix}/v1/capabilities", v1.capabilities),
            _route(f"{prefix}/v1/schema", v1.schema),
            _route(f"{prefix}/v1/openapi.json", v1.openapi),
            _route(f"{prefix}/v1/{{db_id}}", v1.images, "POST"),
            _route(f"{prefix}/vo/sync", ivoa.sync, "POST", dialect="soda"),
            _route(f"{prefix}/vo/sia", ivoa.sia, "POST", dialect="votable"),
            _route(f"{prefix}/vo/availability", ivoa.availability, dialect="votable"),
            _route(f"{prefix}/vo/capabilities", ivoa.capabilities, dialect="votable"),
            _route(f"{prefix}/vo/openapi.json", ivoa.openapi),
            _route(f"{prefix}/vo/examples", ivoa.examples, dialect="votable"),
            _route(f"{prefix}/vo/links", ivoa.links, "POST", dialect="votable"),
            *_job_routes(f"{prefix}/vo/async", jobs),
            _route(f"{prefix}/vo/files/{{db_id}}/{{identifier:path}}", ivoa.file),
        ]
    routes += [
        _route("/", front_page),
        *(_route(path, fixed(text)) for path, text in manual(urls, service).items()),
        _route("/healthz", health),
        _route("/metrics", counters),
    ]
    # A router alone: the layers of Starlette's own application answer for what goes wrong, which the edge does.
    return Router(
        routes,
        redirect_slashes=False,  # clients that probe for siblings of a path would take a redirect for an answer
        default=_no_such_path,
        lifespan=lifespan,
        middleware=[
            Middleware(Peer),
            # As uvicorn does: X-Forwarded-For counts from these addresses, separated by commas.
            Middleware(ProxyHeadersMiddleware, trusted_hosts=os.environ.get("FORWARDED_ALLOW_IPS", "127.0.0.1")),
            Middleware(Edge, metrics=metrics),
        ],
    )


def _job_routes(path: str, jobs: Jobs) -> list[Route]:
    changed = {
        "phase": jobs.phase,
        "executionduration": jobs.duration,
        "destruction": jobs.destruction,
        "parameters": jobs.parameters,
    }
    read = {
        "quote": jobs.quote,
        "owner": jobs.owner,
        "error": jobs.error,
        "results": jobs.results,
        "results/{name}": jobs.result,
        "manifest/{name}": jobs.manifest,
        "parameters/{name}": jobs.upload,
    }
    return [
        _route(path, jobs.jobs, "POST", dialect="soda"),
        _route(f"{path}/{{id}}", jobs.job, "POST", "DELETE", dialect="soda"),
        *(_route(f"{path}/{{id}}/{name}", endpoint, "POST", dialect="soda") for name, endpoint in changed.items()),
        *(_route(f"{path}/{{id}}/{name}", endpoint, dialect="soda") for name, endpoint in read.items()),
    ]


def _route(path: str, endpoint: Endpoint, *methods: str, dialect: Dialect = "v1") -> Route:
    """Make a route for GET, HEAD, further methods, and the OPTIONS that browsers ask before a request."""
    return Route(path, _Resource(endpoint, (*_READ, *methods), dialect))


class _Resource:
    """What is at a path, whatever the method: the router would look on, and take "capabilities" for a db id."""

    def __init__(self, endpoint: Endpoint, methods: Sequence[str], dialect: Dialect) -> None:
        self._endpoint = endpoint
        self._methods = methods
        self._dialect = dialect
        self._allowed = ", ".join((*methods, "OPTIONS"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request, method = Request(scope, receive), scope["method"]
        scope["state"]["dialect"] = self._dialect
        if method in self._methods:
            response = await self._endpoint(request)
        elif method == "OPTIONS":
            response = self._preflight()
        else:
            fault = UsageFault(f"{method} is no method of this resource; it takes {self._allowed}")
            response = error_response(request, fault, status=405)
            response.headers["Allow"] = self._allowed
        await response(scope, receive, send)

    def _preflight(self) -> Response:
        headers = {
            "Allow": self._allowed,
            "Access-Control-Allow-Methods": self._allowed,
            "Access-Control-Allow-Headers": "*, Authorization",  # the wildcard does not cover credentials
            "Access-Control-Max-Age": "86400",
        }
        return Response(None, 204, headers)


async def _no_such_path(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await WebSocketClose()(scope, receive, send)
    else:
        raise NotFoundFault(f"there is nothing at {Request(scope).url.path}")
