"""An archive of awkward images behind a real socket, whose documents bear its own address; and the schemas."""

import gzip
import shutil
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any

import astropy.io.votable
import httpx
import numpy as np
import pytest
import uvicorn
from astropy.io import fits
from lxml import etree

from imageserv.core import manager
from imageserv.core.candidate import CandidateFile
from imageserv.core.config import Config, load
from imageserv.core.dali.literals import choice, positive
from imageserv.core.dali.parameters import Parameter
from imageserv.core.dataset import Band, DataId, Dataset, Key
from imageserv.core.fits.engine import Cutout, CutoutRequest, cut
from imageserv.core.fits.opened import OpenImage
from imageserv.core.hookspecs import hookimpl
from imageserv.core.record import Found, Observation, Plane
from imageserv.core.repository import Repository
from imageserv.core.service import Service, open_service
from imageserv.vo.app import create_app

BASE = "/api/image/vo"
ARCSEC = 1 / 3600


class Tuned:
    """A dataset with parameters of its own, and with awkward words in all that it says of itself."""

    def __init__(self, name: str, options: Mapping[str, object]) -> None:
        pass

    @hookimpl
    def imageserv_dataset(self) -> Dataset:
        return Dataset(
            description='Shots, "tuned" & <trimmed>.',
            keys=(Key("shot", int, "Which.", minimum=0), Key("glass", str, "Filter.", choices=("B", "R"))),
            band_key="glass",
            bands=(Band("B", 4e-7, 5e-7), Band("R", 6e-7, 7e-7)),
            calib_level=1,
            facility="Hill & Dale <Observatory>",
            instrument='The "Box"',
            o_ucd="phot.count",
            parameters=(
                Parameter(
                    "SEEING",
                    positive,
                    "Seeing to smooth to, > 0 & in arcsec.",
                    unit="arcsec",
                    ucd="instr.obsty.seeing",
                    datatype="double",
                    arraysize="",
                ),
                Parameter(
                    "STRETCH", choice("linear", "a<b"), "How to scale.", ucd="meta.code", options=("linear", "a<b")
                ),
            ),
        )

    @hookimpl
    def imageserv_science_id(self, data_id: DataId) -> int:
        return 2 * int(data_id["shot"]) + (data_id["glass"] == "R")

    @hookimpl
    def imageserv_recognise(self, file: CandidateFile) -> Sequence[Found] | None:
        name = PurePosixPath(file.path).name
        if not name.startswith("shot-"):
            return None
        _, shot, glass = name.removesuffix(".fits").split("-")
        observation = Observation(
            t_min=53000.0,
            t_max=53000.5,
            t_exptime=30.0,
            target='"M 31" & <friends>',
            title=f"Shot {shot}: a < b & c, 'quoted'",
            release="2015-01-01T00:00:00",
            s_resolution=1.2,
            em_res_power=5.0,
        )
        return [Found({"shot": int(shot), "glass": glass}, (Plane("image", 0),), observation)]

    @hookimpl
    def imageserv_cutout(self, image: OpenImage, request: CutoutRequest) -> Cutout:
        return cut(image, request)


def sky(ra: float, dec: float, shape: tuple[int, int] = (40, 30), scale: float = ARCSEC, kind: str = "TAN") -> Any:
    """Make the header of an image in some projection, of `shape` pixels along x and y."""
    header = fits.Header()
    header.update({"CTYPE1": f"RA---{kind}", "CTYPE2": f"DEC--{kind}", "CRVAL1": ra, "CRVAL2": dec, "RADESYS": "ICRS"})
    header.update({"CRPIX1": (shape[0] + 1) / 2, "CRPIX2": (shape[1] + 1) / 2, "CDELT1": -scale, "CDELT2": scale})
    return header


def write(path: Path, shape: tuple[int, ...], header: Any = None, **cards: Any) -> None:
    """Write an image of `shape` pixels, NAXIS1 first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    hdu = fits.PrimaryHDU(np.arange(np.prod(shape), dtype="f4").reshape(shape[::-1]), header)
    hdu.header.update(cards)
    hdu.writeto(path)


def write_archive(root: Path) -> None:
    images, shots = root / "sky", root / "hill"
    write(images / "plain.fits", (40, 30), sky(10.0, 20.0), OBJECT="M 31 & <co>", **{"DATE-OBS": "2005-09-27T09:05:35"})
    write(images / "a folder" / 'étoile <1> & "2".fits', (40, 30), sky(0.001, 60.0), EXPTIME=54.0, TELESCOP="A & B")
    write(images / "no-wcs.fits", (12, 9))
    pole = images / "pole.fits"
    write(pole, (50, 50), sky(120.0, 90.0))
    pole.with_name("pole.fits.gz").write_bytes(gzip.compress(pole.read_bytes(), mtime=0))
    pole.unlink()
    write(images / "whole-sky.fits", (90, 45), sky(0.0, 0.0, (90, 45), 4.0, "AIT"))
    frequencies = {"CTYPE3": "FREQ", "CRVAL3": 1.4e9, "CRPIX3": 1.0, "CDELT3": 1e6, "CUNIT3": "Hz"}
    write(images / "cube.fits", (20, 16, 8), sky(200.0, -30.0, (20, 16)), **frequencies)
    stokes = {"CTYPE4": "STOKES", "CRVAL4": 1.0, "CRPIX4": 1.0, "CDELT4": 1.0}
    write(images / "radio.fits", (20, 16, 3, 4), sky(200.1, -30.0, (20, 16)), **frequencies, **stokes)
    for shot, glass in ((1, "B"), (1, "R"), (2, "R")):
        write(shots / f"shot-{shot}-{glass}.fits", (40, 30), sky(359.999, 0.0 + 0.001 * shot))


CONFIGURATION = """
authority = "example.org"
extensions = []
[limits]
max_ids = 40
default_records = 100
[repositories.SKY]
root = "sky"
[repositories.SKY.datasets.image]
plugin = "image"
[repositories."Hill.2"]
root = "hill"
[repositories."Hill.2".datasets.tuned]
plugin = "tuned"
[repositories."Hill.2".datasets.image]
plugin = "image"
"""


@dataclass(frozen=True)
class Archive:
    """A service that is being served.

    Attributes
    ----------
    url
        Of its IVOA base.
    client
        One whose base URL that is.
    ids
        Publisher DIDs of all its images.
    """

    url: str
    client: httpx.Client
    service: Service
    ids: list[str]
    maintenance: Path

    def document(self, name: str, *pairs: tuple[str, str], status: int = 200) -> bytes:
        """Ask a resource, by POST as batches are, and give its answer."""
        response = self.client.post(name, data=_lists(pairs)) if pairs else self.client.get(name)
        assert response.status_code == status, response.text
        return response.content


def _lists(pairs: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    lists: dict[str, list[str]] = {}
    for name, value in pairs:
        lists.setdefault(name, []).append(value)
    return lists


def ingest(config: Config) -> None:
    for part in config.repositories.values():
        repository = Repository(part, config, writable=True)
        repository.ingest(None, lambda done, total, path: None)
        repository.close()


@pytest.fixture(scope="session")
def tuned() -> Iterator[None]:
    """Install the plugin ``tuned``, beside what ImageServ ships."""
    module = ModuleType("tuned_plugin")
    module.__dict__["plugin"] = Tuned
    point = EntryPoint("tuned", "tuned_plugin:plugin", "imageserv.dataset")

    def listed(*, group: str, name: str | None = None) -> list[EntryPoint]:
        ours = [each for each in entry_points(group=group) if each.dist and each.dist.name == "imageserv"]
        return [each for each in [*ours, point] if each.group == group and name in (None, each.name)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, module.__name__, module)
        patch.setattr(manager, "entry_points", listed)
        yield


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory, tuned: None) -> Iterator[Archive]:
    """Serve an archive of a few awkward images: what its documents say of where things are is true."""
    folder = tmp_path_factory.mktemp("validators")
    write_archive(folder)
    configuration = folder / "imageserv.toml"
    configuration.write_text(CONFIGURATION)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        config = load(configuration, {"IMAGESERV_BASE_URL": address})
        ingest(config)
        service = open_service(config)
        server = uvicorn.Server(uvicorn.Config(create_app(service), log_config=None, lifespan="off", ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        deadline = time.monotonic() + 30
        while not server.started:
            assert time.monotonic() < deadline and thread.is_alive()
            time.sleep(0.01)
        url = f"{address}{BASE}"
        with httpx.Client(base_url=f"{url}/", timeout=30) as client:
            rows = client.get("sia", params={"RESPONSEFORMAT": "json"}).json()["data"]
            ids = [str(row["obs_publisher_did"]) for row in rows]
            yield Archive(url, client, service, ids, folder / "maintenance.toml")
        server.should_exit = True
        thread.join(30)
        service.close()


# --- schemas

JAR = Path("/usr/share/java/starlink-ttools.jar")  # Debian's starlink-ttools-java: the only offline home of the schemas
INSIDE = "uk/ac/starlink/ttools/taplint/"
IVOA = "http://www.ivoa.net/xml/"
FILES = {
    f"{IVOA}VOSICapabilities/v1.0": "VOSICapabilities-v1.0.xsd",
    f"{IVOA}VOSIAvailability/v1.0": "VOSIAvailability-v1.0.xsd",
    f"{IVOA}VODataService/v1.1": "VODataService-v1.2.xsd",
    f"{IVOA}VOResource/v1.0": "VOResource-v1.1.xsd",
    "http://www.w3.org/2001/xml.xsd": "xmlnamespace.xsd",
    f"{IVOA}Xlink/xlink.xsd": "xlink.xsd",
}


class SchemasInJar(etree.Resolver):
    def resolve(self, system_url: str, public_id: str, context: Any = None) -> Any:
        name = FILES.get(system_url, system_url.rsplit("/", 1)[-1])
        with zipfile.ZipFile(JAR) as jar:
            return self.resolve_string(jar.read(INSIDE + name), context, base_url=system_url)


@pytest.fixture(scope="session")
def vosi_schema() -> etree.XMLSchema:
    """Give the schema of VOSI's documents."""
    if not JAR.exists():
        pytest.skip("the VOSI schemas come with Debian's starlink-ttools-java, which is not installed")
    parser = etree.XMLParser(no_network=True)
    parser.resolvers.add(SchemasInJar())
    imports = "".join(
        f'<xs:import namespace="{IVOA}{name}" schemaLocation="{IVOA}{name}"/>'
        for name in ("VOSICapabilities/v1.0", "VOSIAvailability/v1.0", "VODataService/v1.1")
    )
    return etree.XMLSchema(
        etree.fromstring(f'<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema">{imports}</xs:schema>', parser)
    )


@pytest.fixture(scope="session")
def votable_schema() -> etree.XMLSchema:
    """Give the schema of VOTable 1.4."""
    return etree.XMLSchema(etree.parse(str(Path(astropy.io.votable.__file__).parent / "data" / "VOTable.v1.4.xsd")))


@pytest.fixture(scope="session")
def stilts() -> Callable[..., str]:
    """Run a task of STILTS, and give what it says."""
    program = shutil.which("stilts")
    if program is None:
        pytest.skip("STILTS (Debian's package stilts) is not installed")

    def run(*arguments: str) -> str:
        done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=120)
        return done.stdout + done.stderr

    return run
