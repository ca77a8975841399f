"""What our service is compared with: handlers of the same server with the same settings.

``python -m benchmarks.handlers FOLDER WORKERS`` serves what `write_answer`
put into the folder:

``/bare/NAME``
    these bytes and headers, by ASGI alone: the server's own limit;
``/route/NAME``
    the same, by a route of Starlette: what a web application can reach at most;
``/file/NAME``
    a file of which the answer names the path, by Starlette's `FileResponse`;
``/least/NAME``
    a cutout of that file by `Least`, with the headers of the answer ``cutout``;
``/astropy/NAME``
    a cutout of that file by astropy, in a thread.
"""

import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send
from uvicorn import Config
from uvicorn.supervisors import Multiprocess

from .contestants import Job
from .data import Frame, Place
from .least import Least

_DROPPED = {"date", "content-length", "x-request-id", "connection"}
"""What the server writes itself, or differs from answer to answer."""


def write_answer(folder: Path, name: str, headers: list[tuple[str, str]], body: bytes) -> None:
    """Keep an answer of our service, to be given again."""
    kept = [(key.lower(), value) for key, value in headers if key.lower() not in _DROPPED]
    (folder / f"{name}.json").write_text(json.dumps(kept), encoding="utf-8")
    (folder / f"{name}.body").write_bytes(body)


def write_frame(folder: Path, name: str, frame: Frame, registry: Path) -> None:
    """Keep where a file is, and the registry that knows it, to be served whole or cut."""
    text = json.dumps({"path": str(frame.path), "hdus": frame.hdus, "registry": str(registry)})
    (folder / f"{name}.frame").write_text(text, encoding="utf-8")


class Handlers:
    """The application."""

    def __init__(self, folder: Path) -> None:
        self._bodies = {path.stem: path.read_bytes() for path in folder.glob("*.body")}
        self._headers = {
            path.stem: dict(json.loads(path.read_text(encoding="utf-8"))) for path in folder.glob("*.json")
        }
        self._raw = {
            f"/bare/{name}": (
                [
                    *((key.encode("latin-1"), value.encode("latin-1")) for key, value in self._headers[name].items()),
                    (b"content-length", str(len(body)).encode()),
                ],
                body,
            )
            for name, body in self._bodies.items()
        }
        self._frames: dict[str, Frame] = {}
        self._registries: dict[str, Path] = {}
        for path in folder.glob("*.frame"):
            facts = json.loads(path.read_text(encoding="utf-8"))
            self._frames[path.stem] = Frame(Path(facts["path"]), tuple(facts["hdus"]), "", "", {})
            self._registries[path.stem] = Path(facts["registry"])
        self._least: dict[str, Least] = {}
        self._cutters = {
            (name, planes): Job(frame, planes).section().call
            for name, frame in self._frames.items()
            for planes in (1, len(frame.hdus))
        }
        self._app = Starlette(
            routes=[
                Route("/healthz", self._health),
                Route("/route/{name}", self._constant),
                Route("/file/{name}", self._file),
                Route("/least/{name}", self._by_least),
                Route("/astropy/{name}", self._astropy),
            ]
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        raw = self._raw.get(scope.get("path", ""))
        if raw is None:
            await self._app(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": raw[0]})
        await send({"type": "http.response.body", "body": raw[1]})

    async def _health(self, _: Request) -> Response:
        return Response("ok")

    async def _constant(self, request: Request) -> Response:
        name: str = request.path_params["name"]
        return Response(self._bodies[name], headers=self._headers[name])

    async def _file(self, request: Request) -> Response:
        return FileResponse(self._frames[request.path_params["name"]].path, media_type="application/fits")

    async def _by_least(self, request: Request) -> Response:
        name: str = request.path_params["name"]
        if name not in self._least:  # it reads the whole file
            self._least[name] = Least(self._frames[name], self._registries[name])
        return Response(self._least[name].answer(request.scope["query_string"]), headers=self._headers["cutout"])

    def _astropy(self, request: Request) -> Response:
        query = request.query_params
        place = Place(float(query["ra"]), float(query["dec"]), 0.0, 0.0, int(query["width"]))
        cut = self._cutters[request.path_params["name"], int(query["planes"])]
        return Response(cut(place), media_type="application/fits")


def main() -> None:
    """Serve."""
    folder, workers = Path(sys.argv[1]), int(sys.argv[2])
    make: Any = partial(Handlers, folder)
    # The settings of imageserv.vo.server, but for the log: these handlers have none.
    config = Config(
        make,
        factory=True,
        port=0,
        workers=workers,
        log_config=None,
        access_log=False,
        server_header=False,
        ws="none",
        limit_concurrency=1000,
        timeout_graceful_shutdown=30,
        timeout_worker_healthcheck=10,
    )
    listener = config.bind_socket()
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    Multiprocess(config, [listener]).run()


if __name__ == "__main__":
    main()
