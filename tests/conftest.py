"""A small repository of generated files, and the service that serves it over a real socket."""

import gzip
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import httpx
import numpy as np
import pytest
import uvicorn
from astropy.io import fits
from hypothesis import settings

from imageserv.core.config import Config, load
from imageserv.core.repository import Repository
from imageserv.core.service import Service, open_service
from imageserv.vo.app import create_app

# No example is timed: machines are busy now and then.
settings.register_profile("untimed", settings(), deadline=None)
settings.load_profile("untimed")

SCALE = 1.1e-4  # degrees a pixel, as the frames of SDSS have it
SHAPE = (50, 60)  # rows, columns

# Right ascension and declination of the middle; run, filter, field, camcol.
RAWS = {
    (2708, "r", 103, 3): (359.19462, -0.10564),
    (5646, "g", 694, 4): (37.64516, 0.10322),
    (5646, "r", 694, 4): (37.64516, 0.10322),
    (5646, "r", 695, 4): (37.64516, 0.10322 + 20 * SCALE),
    (3325, "z", 171, 1): (9.46796, -1.15803),
}


def wcs_header(ra: float, dec: float, suffix: str = "") -> fits.Header:
    """Make a WCS whose rows run along right ascension, as those of SDSS do: x is declination."""
    header = fits.Header()
    header.update({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": ra, "CRVAL2": dec, "RADESYS": "ICRS"})
    header.update({"CRPIX1": (SHAPE[1] + 1) / 2, "CRPIX2": (SHAPE[0] + 1) / 2})
    header.update({"CD1_1": 0.0, "CD1_2": SCALE, "CD2_1": SCALE, "CD2_2": 0.0})
    return header


def pixels(seed: int) -> Any:
    """Make an image in which each value occurs once."""
    count = SHAPE[0] * SHAPE[1]
    return (np.random.default_rng(seed).permutation(count) + seed).reshape(SHAPE)


def write_raw(path: Path, header: fits.Header, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fits.PrimaryHDU(pixels(seed).astype(np.uint16), header).writeto(path)


def write_exposure(path: Path, header: fits.Header, seed: int) -> None:
    """Write three planes and a table."""
    path.parent.mkdir(parents=True, exist_ok=True)
    primary = fits.PrimaryHDU()
    primary.header["AR_HDU"] = 5
    hdus = fits.HDUList([primary])
    for offset, (kind, dtype) in enumerate([("IMAGE", "f4"), ("MASK", "u2"), ("VARIANCE", "f4")]):
        plane = fits.ImageHDU(pixels(seed + offset).astype(dtype), header)
        plane.header["EXTTYPE"] = kind
        hdus.append(plane)
    hdus.append(fits.BinTableHDU.from_columns([fits.Column("a", "J", array=[1, 2, 3])]))
    hdus.writeto(path)


def write_archive(root: Path) -> None:
    """Write the files of two repositories."""
    raws, coadds = root / "stripe82" / "runs", root / "stripe82" / "coadds"
    for seed, ((run, band, field, camcol), (ra, dec)) in enumerate(RAWS.items()):
        name = f"{run:06d}-{band}{camcol}-{field:04d}"
        write_raw(raws / f"fpC-{name}.fit", wcs_header(ra, dec), 100 * seed)
        write_exposure(root / "stripe82" / "calexps" / f"calexp-{name}.fits", wcs_header(ra, dec), 100 * seed)
    write_exposure(coadds / "coadd-r-0-321,4.fits", wcs_header(19.36995, -0.3146), 7000)
    write_exposure(coadds / "coadd-u-0-366,0.fits", wcs_header(9.47103, -1.181766), 8000)
    write_raw(raws / "fpC-007000-u1-0001.fit", fits.Header(), 9000)  # no WCS: served by its ids alone
    packed = raws / "fpC-007000-u1-0002.fit"
    write_raw(packed, wcs_header(100.0, 0.0), 9100)
    packed.with_name(f"{packed.name}.gz").write_bytes(gzip.compress(packed.read_bytes()))
    packed.unlink()
    write_raw(root / "sky" / "a folder" / "étoile 1.fits", wcs_header(0.001, 60.0), 9200)


CONFIGURATION = """
base_url = "https://images.example.org"
authority = "example.org"

[limits]
max_pixels = 2_900
max_request_bytes = 20_000

[repositories.DC_W13_Stripe82]
root = "stripe82"
default = true
[repositories.DC_W13_Stripe82.datasets.raw]
plugin = "raw"
[repositories.DC_W13_Stripe82.datasets.calexp]
plugin = "calexp"
[repositories.DC_W13_Stripe82.datasets.deepCoadd]
plugin = "deepcoadd"

[repositories.SKY]
root = "sky"
[repositories.SKY.datasets.image]
plugin = "image"
"""


def ingest_all(config: Config) -> None:
    for part in config.repositories.values():
        repository = Repository(part, config, writable=True)
        repository.ingest(None, lambda done, total, path: None)
        repository.close()


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the configuration of an ingested archive that no test changes."""
    folder = tmp_path_factory.mktemp("archive")
    write_archive(folder)
    configuration = folder / "imageserv.toml"
    configuration.write_text(CONFIGURATION)
    ingest_all(load(configuration, {}))
    return configuration


@pytest.fixture
def own_archive(tmp_path: Path) -> Path:
    """Give the configuration of an ingested archive that the test may change."""
    write_archive(tmp_path)
    configuration = tmp_path / "imageserv.toml"
    configuration.write_text(CONFIGURATION)
    ingest_all(load(configuration, {}))
    return configuration


@pytest.fixture(scope="session")
def service(archive: Path) -> Iterator[Service]:
    """Give the archive, opened."""
    opened = open_service(load(archive, {}))
    yield opened
    opened.close()


class LiveServer:
    """The application in a thread of this process, and a client that speaks to it over a socket."""

    def __init__(self, service: Service, lifespan: Literal["on", "off"] = "off") -> None:
        config = uvicorn.Config(
            create_app(service),
            port=0,
            log_config=None,
            access_log=False,
            lifespan=lifespan,  # if it is on, the service is closed with the server
            proxy_headers=False,
            server_header=False,
            ws="none",
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run)
        self._thread.start()
        deadline = time.monotonic() + 30
        while not self._server.started:
            assert time.monotonic() < deadline and self._thread.is_alive()
            time.sleep(0.01)
        self.port: int = self._server.servers[0].sockets[0].getsockname()[1]
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=30)

    def close(self) -> None:
        self.client.close()
        self._server.should_exit = True
        self._thread.join(30)
        assert not self._thread.is_alive()


@pytest.fixture(scope="session")
def live(service: Service) -> Iterator[LiveServer]:
    server = LiveServer(service)
    yield server
    server.close()


@pytest.fixture(scope="session")
def client(live: LiveServer) -> httpx.Client:
    """Give a client of the archive's service."""
    return live.client


@pytest.fixture
def serve() -> Iterator[Callable[..., LiveServer]]:
    """Serve other services, for as long as the test lasts."""
    servers: list[LiveServer] = []

    def start(service: Service, lifespan: Literal["on", "off"] = "off") -> LiveServer:
        servers.append(LiveServer(service, lifespan))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def request_log(caplog: pytest.LogCaptureFixture) -> Callable[[httpx.Response], dict[str, Any]]:
    """Give what the log says of the request that a response answers: it is written after the answer is out."""
    caplog.set_level(logging.INFO, logger="imageserv")

    def facts(response: httpx.Response) -> dict[str, Any]:
        deadline = time.monotonic() + 30
        while True:
            for record in caplog.records:
                line: dict[str, Any] = vars(record).get("facts", {})
                if line.get("id") == response.headers["x-request-id"] and "status" in line:
                    return line
            assert time.monotonic() < deadline
            time.sleep(0.01)

    return facts


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Give the folder of real images: IMAGESERV_TEST_DATA, or ../shared/data beside the checkout."""
    folder = Path(os.environ.get("IMAGESERV_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("no real images: set IMAGESERV_TEST_DATA to their folder")
    return folder
