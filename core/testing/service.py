"""A service around the plugin under test, as users start it: the command line, in a process of its own."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
from lxml import etree

from .archive import REPOSITORY, Archive

# The command line as it is installed, whether or not its script is on the PATH.
_COMMAND = (
    "from importlib.metadata import entry_points;"
    " (point,) = entry_points(group='console_scripts', name='imageserv'); point.load()()"
)
_PATIENCE = 60.0


def command(
    arguments: Sequence[str], *, cwd: Path | None = None, **variables: str
) -> "subprocess.CompletedProcess[str]":
    """Run ``imageserv`` with some arguments, and return what became of it."""
    return subprocess.run(
        [sys.executable, "-c", _COMMAND, *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=_environment(**variables),
        timeout=10 * _PATIENCE,
    )


def _environment(**variables: str) -> dict[str, str]:
    """Return an environment in which a process finds the plugins that this one finds, and no setting of a user's."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("IMAGESERV_")}
    return own | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)} | variables


class LiveService:
    """A service of an archive's files.

    Attributes
    ----------
    url
        Its base URL, without a slash at the end.
    client
        Speaks to it; URLs are below the base.
    """

    def __init__(self, archive: Archive) -> None:
        self.archive = archive

    def __enter__(self) -> Self:
        """Ingest, if that is not done yet, and start the service."""
        assert self.archive.summary.images, "there is nothing to serve: no image was taken"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        configuration = str(self.archive.configuration)
        self._log = self.archive.configuration.with_suffix(".log")
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _COMMAND, "serve", "--config", configuration, "--port", str(port)],
                stdout=log,
                stderr=subprocess.STDOUT,
                env=_environment(IMAGESERV_BASE_URL=self.url),
            )
        self.client = httpx.Client(base_url=self.url, timeout=_PATIENCE)
        deadline = time.monotonic() + _PATIENCE
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._end()
                raise AssertionError(f"the service does not start:\n{self._log.read_text()}")
            time.sleep(0.05)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the service."""
        self._end()

    def _answers(self) -> bool:
        try:
            return self.client.get("/healthz").status_code == 200
        except httpx.TransportError:
            return False

    def _end(self) -> None:
        self.client.close()
        self._process.terminate()
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def log(self) -> str:
        """What the service wrote so far."""
        return self._log.read_text()

    def v1(self, **parameters: object) -> httpx.Response:
        """Ask v1's image API."""
        return self.client.get(f"/api/image/v1/{REPOSITORY}", params=_texts(parameters))

    def vo(self, resource: str, **parameters: object) -> httpx.Response:
        """Ask a resource of the Virtual Observatory's protocols: ``sia``, ``links``, ``sync``."""
        return self.client.get(f"/api/image/vo/{resource}", params=_texts(parameters))


def _texts(parameters: dict[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in parameters.items()}


class Document:
    """A VOTable.

    Attributes
    ----------
    rows
        Of its first table: the cells as text, by the names of the fields.
    services
        For each service that it describes, by its XML ID, the PARAM elements of its inputs by name.
    """

    def __init__(self, response: httpx.Response) -> None:
        assert response.status_code == 200, f"{response.url} answers {response.status_code}: {response.text[:500]}"
        root = etree.fromstring(response.content)
        names = [str(field.get("name")) for field in root.iterfind(".//{*}TABLE/{*}FIELD")]
        self.rows = [
            dict(zip(names, [cell.text or "" for cell in row], strict=True))
            for row in root.iterfind(".//{*}TABLEDATA/{*}TR")
        ]
        self.services = {
            str(service.get("ID")): {
                str(param.get("name")): param for param in service.iterfind("{*}GROUP[@name='inputParams']/{*}PARAM")
            }
            for service in root.iterfind("{*}RESOURCE[@utype='adhoc:service']")
        }
