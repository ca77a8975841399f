"""Services with jobs of their own, workers as processes, and a PostgreSQL server that the tests start."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from imageserv.core.config import Config, load
from imageserv.core.service import Service, open_service

ASYNC = "/api/image/vo/async"
ENDED = ("COMPLETED", "ERROR", "ABORTED")
HERE = Path(__file__).parent


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Wait; generously, for nothing is measured here."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.02)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def write_config(folder: Path, archive: Path, jobs: str = "", rest: str = "") -> Path:
    """Write a configuration of the archive's repositories, with jobs of its own."""
    root = archive.parent
    path = folder / "imageserv.toml"
    text = archive.read_text()
    for name, registry in (("stripe82", "DC_W13_Stripe82"), ("sky", "SKY")):
        text = text.replace(f'root = "{name}"', f'root = "{root / name}"\nregistry = "{root / registry}.sqlite"')
    path.write_text(f"{text}\n[jobs]\n{jobs}\n{rest}\n")
    return path


@dataclass
class Site:
    """A service with jobs, and what can be done with it."""

    path: Path
    config: Config
    client: httpx.Client
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list[subprocess.Popen[bytes]])

    @property
    def files(self) -> Path:
        return self.config.jobs.folder / "files"

    def work(self, *how: str) -> subprocess.Popen[bytes]:
        """Start a worker: see `fake_work.py`."""
        log = open(self.path.parent / "worker.log", "ab")
        process = subprocess.Popen([sys.executable, str(HERE / "fake_work.py"), str(self.path), *how], stderr=log)
        log.close()
        self.workers.append(process)
        return process

    def create(self, *do: str, **control: str) -> str:
        """Create a job, and return the path of its URL."""
        response = self.client.post(ASYNC, data={"DO": list(do), **control})
        assert response.status_code == 303, response.text
        return self.path_of(response)

    def path_of(self, response: httpx.Response) -> str:
        assert response.status_code == 303, response.text
        return response.headers["location"].removeprefix("https://images.example.org")

    def run(self, *do: str, **control: str) -> str:
        return self.create(*do, PHASE="RUN", **control)

    def job(self, url: str) -> dict[str, Any]:
        response = self.client.get(url, headers={"Accept": "application/json"})
        assert response.status_code == 200, response.text
        document: dict[str, Any] = response.json()
        return document

    def phase(self, url: str) -> str:
        return self.client.get(f"{url}/phase").text

    def end(self, url: str, seconds: float = 60) -> dict[str, Any]:
        """Wait for the end of a job, and return it."""
        wait_until(lambda: self.phase(url) in ENDED, seconds)
        return self.job(url)

    def check(self, url: str, do: list[str]) -> None:
        """See that a job ends with one result for each word, of its content, each counted once."""
        job = self.end(url, 120)
        assert job["phase"] == "COMPLETED", job
        assert [each["id"] for each in job["results"]] == [f"{step}.txt" for step in range(len(do))]
        for result, word in zip(job["results"], do, strict=True):
            answer = self.client.get(result["href"].removeprefix("https://images.example.org"))
            assert (answer.status_code, answer.text) == (200, word)
            assert (result["size"], result["mime-type"]) == (len(word), "text/plain")
        info = job["jobInfo"]
        assert (info["total"], info["done"], info["bytes"]) == (len(do), len(do), sum(map(len, do)))

    def log(self) -> str:
        return (self.path.parent / "worker.log").read_text()


@pytest.fixture
def until() -> Callable[..., None]:
    """Give what waits for a condition."""
    return wait_until


@pytest.fixture
def site(tmp_path: Path, archive: Path, serve: Callable[..., Any]) -> Iterator[Callable[..., Site]]:
    """Make sites; they and their workers end with the test."""
    made: list[Site] = []

    def make(jobs: str = "", rest: str = "") -> Site:
        folder = tmp_path / str(len(made))
        folder.mkdir()
        path = write_config(folder, archive, jobs, rest)
        config = load(path, {})
        service = open_service(config)
        made.append(Site(path, config, serve(service, "on").client))
        return made[-1]

    yield make
    for each in made:
        for worker in each.workers:
            worker.kill()
            worker.wait()


@pytest.fixture
def plain(site: Callable[..., Site]) -> Site:
    """Give a site as it is by default."""
    return site()


@pytest.fixture(scope="session")
def working(archive: Path, service: Service, client: httpx.Client) -> Iterator[Site]:
    """Give the archive's own service, with a worker that no test kills."""
    it = Site(archive, service.config, client)
    it.work()
    yield it
    it.workers[0].terminate()
    assert it.workers[0].wait(60) == 0


# --- PostgreSQL


def _binaries() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    program = str(found[-1]) if found else shutil.which("initdb")
    return None if program is None else Path(program).parent


class Postgres:
    """A server of our own: a folder, a port."""

    def __init__(self, binaries: Path, folder: Path) -> None:
        self._binaries, self._folder = binaries, folder
        self.port = free_port()
        # It refuses to run as root.
        self._as: Any = {}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(folder, nobody.pw_uid, nobody.pw_gid)
            self._as = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        data = folder / "data"
        subprocess.run(
            [
                str(binaries / "initdb"),
                "-D",
                str(data),
                "-U",
                "imageserv",
                "--auth=trust",
                "--encoding=UTF8",
                "--no-sync",
            ],
            check=True,
            capture_output=True,
            cwd=folder,
            **self._as,
        )
        self._process: subprocess.Popen[Any] | None = None
        self._count = 0

    def start(self) -> None:
        log = open(self._folder / "log", "ab")
        self._process = subprocess.Popen(
            [
                *(str(self._binaries / "postgres"), "-D", str(self._folder / "data")),
                *("-p", str(self.port), "-k", str(self._folder)),
                *("-c", "listen_addresses=127.0.0.1", "-c", "max_connections=200"),
            ],
            stdout=log,
            stderr=log,
            cwd=self._folder,
            **self._as,
        )
        log.close()
        wait_until(self._ready)

    def _ready(self) -> bool:
        ready = [str(self._binaries / "pg_isready"), "-h", "127.0.0.1", "-p", str(self.port), "-q"]
        return subprocess.run(ready).returncode == 0

    def stop(self) -> None:
        """Stop at once, as if the machine had: connections break."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(30)
            self._process = None

    def database(self) -> str:
        """Make a database, and return its URL."""
        self._count += 1
        name = f"jobs{self._count}"
        create = [str(self._binaries / "createdb"), "-h", "127.0.0.1", "-p", str(self.port), "-U", "imageserv", name]
        subprocess.run(create, check=True, capture_output=True)
        return f"postgresql://imageserv@127.0.0.1:{self.port}/{name}"


@pytest.fixture(scope="session")
def postgres_binaries() -> Path:
    binaries = _binaries()
    if binaries is None:
        pytest.skip("PostgreSQL (Debian's package postgresql) is not installed")
    return binaries


@pytest.fixture(scope="session")
def postgres(postgres_binaries: Path) -> Iterator[Postgres]:
    """Give a server that no test stops."""
    yield from _server(postgres_binaries)


@pytest.fixture
def own_postgres(postgres_binaries: Path) -> Iterator[Postgres]:
    """Give a server that the test may stop."""
    yield from _server(postgres_binaries)


def _server(binaries: Path) -> Iterator[Postgres]:
    with tempfile.TemporaryDirectory(prefix="imageserv-postgres-") as name:
        server = Postgres(binaries, Path(name))
        server.start()
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Give an empty database, of either kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'database' / 'jobs.sqlite'}"
    server: Postgres = request.getfixturevalue("postgres")
    return server.database()
