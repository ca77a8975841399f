"""An archive of awkward images, served under the very address by which its documents call it."""

import csv
import gzip
import io
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import uvicorn
from astropy.io import fits
from numpy.typing import NDArray

from imageserv.core.config import Config, load
from imageserv.core.repository import Repository
from imageserv.core.service import open_service
from imageserv.vo.app import create_app

# astropy's annotations tell little of what these give.
read_fits: Any = fits.open

MANY = 2600
"""Images of the repository of that name. One of 26 has a WCS, which is what costs time at ingest."""

CONFIGURATION = """
base_url = "http://127.0.0.1:{port}"
authority = "archive.example"

[jobs]
list_anonymous = true

[limits]
max_pixels = 20_000
default_records = 2_000
max_records = 2_550

[repositories.STRIPE]
root = "stripe"
default = true
[repositories.STRIPE.datasets.raw]
plugin = "raw"
[repositories.STRIPE.datasets.calexp]
plugin = "calexp"
[repositories.STRIPE.datasets.deepCoadd]
plugin = "deepcoadd"

[repositories.SKY]
root = "sky"
[repositories.SKY.datasets.image]
plugin = "image"

[repositories.MANY]
root = "many"
[repositories.MANY.datasets.image]
plugin = "image"
calib_level = 1
"""


@dataclass(frozen=True)
class Image:
    """What was written into an archive: the science plane, whose values are found in no other image of it."""

    name: str
    path: Path
    header: Any
    pixels: NDArray[Any]


@dataclass(eq=False)
class Site:
    """A running service, and what is in its archive."""

    config: Config
    configuration: Path
    client: httpx.Client
    images: dict[str, Image]
    dids: dict[str, str]

    @property
    def url(self) -> str:
        """The base of the Virtual Observatory's resources."""
        return f"{self.config.base_url}/api/image/vo"

    def sync(self, name: str, **parameters: Any) -> httpx.Response:
        """Ask SODA for a cutout of an image."""
        return self.client.get(f"{self.url}/sync", params={"ID": self.dids[name], **parameters})

    def window(self, name: str, content: bytes, hdu: int | None = None) -> tuple[tuple[int, int], ...]:
        """Find a cutout in its parent by the values of its pixels: a half-open range for each FITS axis."""
        with read_fits(io.BytesIO(content)) as hdus:
            if hdu is None:
                hdu = next(index for index, each in enumerate(hdus) if each.data is not None)
            return self.place(name, np.array(hdus[hdu].data))

    def place(self, name: str, pixels: NDArray[Any]) -> tuple[tuple[int, int], ...]:
        """Find an array in an image, as `window` does, and assert that it is a part of that image."""
        parent = self.images[name].pixels
        corner = np.argwhere(parent == pixels.flat[0])
        assert len(corner) == 1, f"its first pixel is not one of {name}"
        spans = [(int(at), int(at) + size) for at, size in zip(corner[0], pixels.shape, strict=True)]
        np.testing.assert_array_equal(pixels, parent[tuple(slice(*span) for span in spans)])
        return tuple(reversed(spans))


def celestial(ra: float, dec: float, scale: float, size: tuple[int, int], *, turn: float = 0.0, **cards: Any) -> Any:
    """Make the header of an image around a place: north up, east left, then turned (deg)."""
    cos, sin = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    header = fits.Header()
    header.update({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": ra, "CRVAL2": dec, "RADESYS": "ICRS"})
    header.update({"CUNIT1": "deg", "CUNIT2": "deg", "CRPIX1": (size[0] + 1) / 2, "CRPIX2": (size[1] + 1) / 2})
    header.update({"CD1_1": -scale * cos, "CD1_2": scale * sin, "CD2_1": scale * sin, "CD2_2": scale * cos})
    header.update(cards)
    return header


class Writer:
    """Writes images, no two pixels of which have one value.

    Parameters
    ----------
    root
        Where the repositories' folders are.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.images: dict[str, Image] = {}
        self._next = 1

    def pixels(self, *shape: int) -> NDArray[Any]:
        """Make values that float32 holds exactly."""
        count = int(np.prod(shape))
        first, self._next = self._next, self._next + count
        return np.arange(first, first + count, dtype=np.int32).reshape(shape)

    def write(self, name: str, path: str, header: Any, shape: tuple[int, ...], pack: str = "") -> None:
        """Write a file of one image, gzipped or tile-compressed if asked."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        pixels = self.pixels(*shape)
        header["OBJECT"] = name
        if pack == "tiles":
            hdu = fits.CompImageHDU(pixels, header, compression_type="RICE_1", tile_shape=(8, 16))
            fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(target)
        else:
            stream = io.BytesIO()
            fits.PrimaryHDU(pixels, header).writeto(stream)
            target.write_bytes(gzip.compress(stream.getvalue()) if pack == "gzip" else stream.getvalue())
        self.images[name] = Image(name, target, header, pixels)

    def write_exposure(self, name: str, path: str, header: Any, shape: tuple[int, int]) -> None:
        """Write a file of image, mask and variance, and a table."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        pixels = self.pixels(*shape)
        hdus = fits.HDUList([fits.PrimaryHDU(header=fits.Header({"OBJECT": name, "EXPTIME": 54.0}))])
        for kind, plane in (("IMAGE", pixels.astype("f4")), ("MASK", self.pixels(*shape)), ("VARIANCE", pixels / 2)):
            image: Any = fits.ImageHDU(plane, header)
            image.header["EXTTYPE"] = kind
            hdus.append(image)
        hdus.append(fits.BinTableHDU.from_columns([fits.Column("a", "J", array=[1, 2, 3])]))
        hdus.writeto(target)
        self.images[name] = Image(name, target, header, pixels)

    def write_many(self, path: str, count: int) -> None:
        """Write a file of tiny images, extension by extension."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        primary = io.BytesIO()
        fits.PrimaryHDU().writeto(primary)
        placed = celestial(111.11111, -11.11111, 1e-3, (4, 4))
        placed["OBJECT"] = "many-0000"
        templates = [
            fits.ImageHDU(np.zeros((4, 4), "i4"), header).header.tostring()
            for header in (placed, fits.Header({"OBJECT": "many-0000"}))
        ]
        with target.open("wb") as file:
            file.write(primary.getvalue())
            for number in range(count):
                name, pixels = f"many-{number:04d}", self.pixels(4, 4)
                text = templates[number % 26 > 0].replace("many-0000", name)
                text = text.replace("111.11111", f"{100 + number % 100 / 10:9.5f}")
                text = text.replace("-11.11111", f"{-20 + number // 100 / 10:9.5f}")
                file.write(text.encode() + pixels.astype(">i4").tobytes().ljust(2880, b"\0"))
                self.images[name] = Image(name, target, None, pixels)


def write_stripe(archive: Writer) -> None:
    """Write images of the three datasets that are known by the names of their files."""
    west = celestial(359.999, -0.1, 1e-3, (40, 30), turn=90, EXPTIME=53.9, TAI=4.6e9, C_OBS=113065)
    archive.write("raw-r", "stripe/runs/fpC-002708-r3-0103.fit", west, (30, 40))
    archive.write("raw-g", "stripe/runs/fpC-002708-g3-0103.fit.gz", west.copy(), (30, 40), "gzip")
    east = celestial(37.6, 0.1, 1e-3, (40, 30), turn=90, EXPTIME=53.9)
    archive.write("raw-z", "stripe/runs/fpC-005646-z4-0694.fit.fz", east, (30, 40), "tiles")
    archive.write_exposure("calexp-r", "stripe/calexps/calexp-005646-r4-0694.fits", east.copy(), (30, 40))
    archive.write_exposure("calexp-g", "stripe/calexps/calexp-005646-g4-0694.fits", east.copy(), (30, 40))
    patch = celestial(19.37, -0.31, 1e-3, (120, 100))
    archive.write_exposure("coadd-r", "stripe/coadds/coadd-r-0-321,4.fits", patch, (100, 120))


def write_sky(archive: Writer) -> None:
    """Write one image of each kind that has troubled a cutout service."""
    night: dict[str, Any] = {"MJD-OBS": 55000.25, "EXPTIME": 86.4, "TELESCOP": "Zwo", "INSTRUME": "Cam, 2"}
    archive.write("zero", "sky/zero.fits", celestial(0.0, 10.0, 0.01, (60, 50), **night), (50, 60))
    archive.write("north", "sky/poles/north.fits", celestial(0.0, 90.0, 0.05, (60, 50)), (50, 60))
    south = celestial(123.0, -89.7, 0.05, (60, 50), turn=33, CTYPE1="RA---ZEA", CTYPE2="DEC--ZEA")
    archive.write("south", "sky/poles/south.fits", south, (50, 60))
    corner = celestial(-170.0, 60.0, 0.01, (60, 50), turn=-50)  # a longitude below 0, as some programs write it
    archive.write("a name", "sky/a folder/a name +%26.fits", corner, (50, 60))
    archive.write("etoile", "sky/ciel/étoile ★.fits", celestial(200.0, 60.0, 0.01, (30, 20)), (20, 30))
    archive.write("Twin", "sky/case/Twin.fits", celestial(210.0, 60.0, 0.01, (30, 20)), (20, 30))
    archive.write("twin", "sky/case/twin.fits", celestial(220.0, 60.0, 0.01, (30, 20)), (20, 30))
    archive.write("packed", "sky/packed.fits.gz", celestial(230.0, 60.0, 0.01, (30, 20)), (20, 30), "gzip")
    archive.write("tiles", "sky/tiles.fits.fz", celestial(240.0, 60.0, 0.01, (60, 50)), (50, 60), "tiles")
    archive.write("unplaced", "sky/unplaced.fits", fits.Header(), (20, 30))
    archive.write("sip", "sky/sip.fits", sip_header(), (50, 60))
    archive.write("cube", "sky/radio/cube.fits", cube_header(), (16, 20, 24))
    archive.write("transposed", "sky/radio/transposed.fits", transposed_header(), (20, 24, 16))
    archive.write("stokes", "sky/radio/stokes.fits", stokes_header(), (4, 3, 20, 24))
    plate = all_sky_header("RA---CAR", "DEC--CAR", CRVAL1=0.0, CRVAL2=0.0, RADESYS="ICRS")
    archive.write("plate", "sky/all/plate.fits", plate, (36, 72))
    archive.write("galaxy", "sky/all/galaxy.fits", all_sky_header("GLON-AIT", "GLAT-AIT"), (40, 80))
    archive.write("big", "sky/big.fits", celestial(250.0, 60.0, 0.001, (200, 150)), (150, 200))


def sip_header() -> Any:
    """Make a header whose distortion shifts the corners by some pixels."""
    header = celestial(250.0, -30.0, 0.01, (60, 50), CTYPE1="RA---TAN-SIP", CTYPE2="DEC--TAN-SIP")
    header.update({"A_ORDER": 2, "B_ORDER": 2, "A_2_0": 2e-3, "A_1_1": -1e-3, "B_0_2": 3e-3, "B_1_1": 1e-3})
    return header


def cube_header() -> Any:
    """Make a header of a cube: 16 channels of 1 MHz from 1.4 GHz on, frequencies that grow."""
    header = celestial(300.0, 5.0, 0.01, (24, 20), CTYPE3="FREQ", CUNIT3="Hz", CRPIX3=1.0, CRVAL3=1.4e9, CD3_3=1e6)
    header.update({"RESTFRQ": 1.420405751786e9, "SPECSYS": "LSRK"})
    return header


def transposed_header() -> Any:
    """Make a header of a cube whose first axis is the spectral one."""
    header = fits.Header({"CTYPE1": "FREQ", "CTYPE2": "RA---TAN", "CTYPE3": "DEC--TAN", "RADESYS": "ICRS"})
    header.update({"CRPIX1": 1.0, "CRVAL1": 1.4e9, "CDELT1": -1e6, "CUNIT1": "Hz", "CUNIT2": "deg", "CUNIT3": "deg"})
    header.update({"CRPIX2": 12.5, "CRVAL2": 310.0, "CDELT2": -0.01, "CRPIX3": 10.5, "CRVAL3": 5.0, "CDELT3": 0.01})
    return header


def stokes_header() -> Any:
    """Make a header of four states of polarization in three channels."""
    header = fits.Header({"CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN", "CTYPE3": "FREQ", "CTYPE4": "STOKES"})
    header.update({"CRPIX1": 12.5, "CRPIX2": 10.5, "CRPIX3": 1.0, "CRPIX4": 1.0, "RADESYS": "FK5", "EQUINOX": 2000.0})
    header.update({"CRVAL1": 320.0, "CRVAL2": 5.0, "CRVAL3": 5e9, "CRVAL4": 1.0, "TELESCOP": "VLA"})
    header.update({"CDELT1": -0.01, "CDELT2": 0.01, "CDELT3": 1e8, "CDELT4": 1.0})
    header.update({"CUNIT1": "deg", "CUNIT2": "deg", "CUNIT3": "Hz"})
    return header


def all_sky_header(ctype1: str, ctype2: str, **cards: Any) -> Any:
    """Make a header of a map of the whole sky, 5 degrees a pixel."""
    wide = 80 if ctype1.endswith("AIT") else 72
    header = fits.Header({"CTYPE1": ctype1, "CTYPE2": ctype2, "CUNIT1": "deg", "CUNIT2": "deg"})
    header.update({"CRVAL1": 0.0, "CRVAL2": 0.0, "CDELT1": -5.0, "CDELT2": 5.0})
    header.update({"CRPIX1": (wide + 1) / 2, "CRPIX2": wide / 4 + 0.5})
    header.update(cards)
    return header


class Server:
    """The application of a service in a thread, at a socket that was bound before the service knew its address."""

    def __init__(self, config: Config, listener: socket.socket) -> None:
        self._service = open_service(config)
        application = create_app(self._service)
        self._server = uvicorn.Server(
            uvicorn.Config(
                application, log_config=None, access_log=False, lifespan="on", server_header=False, ws="none"
            )
        )
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listener]})
        self._thread.start()
        deadline = time.monotonic() + 30
        while not self._server.started:
            assert time.monotonic() < deadline and self._thread.is_alive()
            time.sleep(0.01)

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join(30)
        assert not self._thread.is_alive()


def listen() -> tuple[socket.socket, int]:
    """Bind a socket to a free port."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    port: int = listener.getsockname()[1]
    return listener, port


def dids_of(client: httpx.Client, url: str) -> dict[str, str]:
    """Ask a service for the identifier of each of its images, by what was observed."""
    found: dict[str, str] = {}
    for collection in ("STRIPE", "SKY", "MANY"):
        asked = {"COLLECTION": collection, "RESPONSEFORMAT": "csv", "MAXREC": "9999"}
        answer = client.get(f"{url}/sia", params=asked)
        for row in csv.DictReader(io.StringIO(answer.text)):
            found[row["target_name"]] = row["obs_publisher_did"]
    return found


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Give the archive, served."""
    folder = tmp_path_factory.mktemp("clients")
    archive = Writer(folder)
    write_stripe(archive)
    write_sky(archive)
    archive.write_many("many/many.fits", MANY)
    listener, port = listen()
    configuration = folder / "imageserv.toml"
    configuration.write_text(CONFIGURATION.format(port=port))
    config = load(configuration, {})
    for part in config.repositories.values():
        repository = Repository(part, config, writable=True)
        for summary in repository.ingest(None, lambda done, total, path: None):
            assert summary.skipped == []
        repository.close()
    server = Server(config, listener)
    with httpx.Client(timeout=30) as client:
        made = Site(config, configuration, client, archive.images, {})
        made.dids = dids_of(client, made.url)
        yield made
    server.close()
    listener.close()


@pytest.fixture(scope="session")
def base(site: Site) -> str:
    """Give the base URL of the service's resources."""
    return site.url


@pytest.fixture
def serve_again(site: Site) -> Iterator[Callable[..., Site]]:
    """Serve the archive once more, with other limits, for as long as the test lasts."""
    opened: list[tuple[Server, socket.socket]] = []

    def start(**limits: int) -> Site:
        listener, port = listen()
        config = replace(site.config, base_url=f"http://127.0.0.1:{port}", limits=replace(site.config.limits, **limits))
        opened.append((Server(config, listener), listener))
        return replace(site, config=config)

    yield start
    for server, listener in opened:
        server.close()
        listener.close()


Run = Callable[..., str]


@pytest.fixture(scope="session")
def stilts(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run STILTS, and give what it writes."""
    program = shutil.which("stilts")
    if program is None:
        pytest.skip("no stilts on this machine (Debian's package of that name)")
    home = tmp_path_factory.mktemp("stilts")

    def run(*arguments: str) -> str:
        environment = {**os.environ, "JAVA_OPTS": f"-Duser.home={home} -XX:TieredStopAtLevel=1 -Xshare:auto"}
        done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=120, env=environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="session")
def curl() -> Run:
    """Run curl, and give what it writes."""
    program = shutil.which("curl")
    if program is None:
        pytest.skip("no curl on this machine")

    def run(*arguments: str, **options: Any) -> str:
        command = [program, "--silent", "--show-error", "--noproxy", "*", *arguments]
        done: subprocess.CompletedProcess[str] = subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=60, **options
        )
        return done.stdout

    return run


@pytest.fixture(scope="session")
def command_line(site: Site) -> Callable[..., bytes]:
    """Run ImageServ's own command on the archive, and give what it writes."""

    def run(*arguments: str) -> bytes:
        command = [sys.executable, "-m", "imageserv.vo.cli", *arguments]
        environment = {**os.environ, "IMAGESERV_CONFIG": str(site.configuration)}
        return subprocess.run(command, capture_output=True, check=True, timeout=60, env=environment).stdout

    return run


@pytest.fixture(scope="session")
def worker(site: Site) -> Iterator[None]:
    """Have somebody do the jobs."""
    process = subprocess.Popen([sys.executable, "-m", "imageserv.vo.cli", "work", "--config", str(site.configuration)])
    yield
    process.terminate()
    assert process.wait(60) == 0
