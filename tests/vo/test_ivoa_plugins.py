"""What plugins add to the protocols: parameters of their own, each declared once, and a say in who gets what."""

import io
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any

import httpx
import numpy as np
import pytest
from astropy.io import fits
from lxml import etree

from imageserv.core import manager
from imageserv.core.candidate import CandidateFile
from imageserv.core.config import load
from imageserv.core.dali.literals import choice, positive
from imageserv.core.dali.parameters import Parameter
from imageserv.core.dataset import DataId, Dataset, Key
from imageserv.core.errors import AuthenticationFault, AuthorizationFault, PluginFault
from imageserv.core.fits.cards import make_card
from imageserv.core.fits.engine import Cutout, CutoutRequest, cut
from imageserv.core.fits.opened import OpenImage
from imageserv.core.hookspecs import hookimpl
from imageserv.core.record import Found, Plane
from imageserv.core.repository import Repository
from imageserv.core.service import Service, open_service
from imageserv.vo.app import create_app

VO = "/api/image/vo"
read_fits: Any = fits.open
Install = Callable[..., None]
Open = Callable[[], Service]

SEEING = Parameter(
    "SEEING",
    positive,
    "Seeing to smooth to.",
    unit="arcsec",
    ucd="instr.obsty.seeing",
    datatype="double",
    arraysize="",
    aliases=("FWHM",),
)
STRETCH = Parameter("Stretch", choice("linear", "log"), "Scale.", ucd="meta.code", options=("linear", "log"))
LAYER = Parameter("LAYER", str, "Layers.", multiple=True)


class Tinted:
    """Images named by a number, whose cutouts say how they were asked for."""

    parameters: tuple[Parameter, ...] = (SEEING, STRETCH, LAYER)

    def __init__(self, name: str, options: Mapping[str, object]) -> None:
        pass

    @hookimpl
    def imageserv_dataset(self) -> Dataset:
        return Dataset("Tinted.", (Key("number", int, "Which.", minimum=0),), parameters=self.parameters)

    @hookimpl
    def imageserv_science_id(self, data_id: DataId) -> int:
        return int(data_id["number"])

    @hookimpl
    def imageserv_recognise(self, file: CandidateFile) -> Sequence[Found] | None:
        return [Found({"number": int(PurePosixPath(file.path).stem)}, (Plane("image", 0),))]

    @hookimpl
    def imageserv_cutout(self, image: OpenImage, request: CutoutRequest) -> Cutout:
        cutout = cut(image, request)
        first, *others = cutout.hdus
        card = make_card("ASKED", repr(dict(request.parameters))[:60], "")
        return replace(cutout, hdus=(replace(first, added=[*first.added, card]), *others))


class Guard:
    """Refuses one dataset to everybody, and another to those without a token."""

    @hookimpl
    def imageserv_authorise(self, repository: str, dataset: str, headers: Mapping[str, str]) -> None:
        if dataset == "secret":
            raise AuthorizationFault("it is secret")
        if dataset == "members" and headers.get("x-token") != "t":
            raise AuthenticationFault("members only: send X-Token")


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    points: list[EntryPoint] = []

    def listed(*, group: str, name: str | None = None) -> list[EntryPoint]:
        found = [*(each for each in entry_points(group=group)), *points]
        return [each for each in found if each.group == group and name in (None, each.name)]

    def put(name: str, plugin: object, group: str = "imageserv.dataset") -> None:
        module = ModuleType(f"{name}_plugin")
        module.__dict__["plugin"] = plugin
        monkeypatch.setitem(sys.modules, module.__name__, module)
        points.append(EntryPoint(name, f"{module.__name__}:plugin", group))

    monkeypatch.setattr(manager, "entry_points", listed)
    put("tinted", Tinted)
    put("guard", Guard, "imageserv.extension")
    return put


CONFIGURATION = """
authority = "example.org"
{more}
[repositories.SKY]
root = "files"
"""


@pytest.fixture
def opener(tmp_path: Path, install: Install) -> Iterator[Callable[..., Service]]:
    """Open a service of one image in some datasets, which the plugin ``tinted`` serves if it is not said otherwise."""
    opened: list[Service] = []
    header = fits.Header()
    header.update({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 10.0, "CRVAL2": 20.0, "RADESYS": "ICRS"})
    header.update({"CRPIX1": 10.5, "CRPIX2": 10.5, "CDELT1": -1e-3, "CDELT2": 1e-3})
    (tmp_path / "files").mkdir()
    fits.PrimaryHDU(np.arange(400, dtype="i4").reshape(20, 20), header).writeto(tmp_path / "files" / "7.fits")

    def open_it(*datasets: str, plugin: str = "tinted", more: str = "") -> Service:
        tables = "".join(f'[repositories.SKY.datasets.{name}]\nplugin = "{plugin}"\n' for name in datasets)
        path = tmp_path / "imageserv.toml"
        path.write_text(CONFIGURATION.format(more=more) + tables)
        config = load(path, {})
        repository = Repository(config.repositories["SKY"], config, writable=True)
        repository.ingest(None, lambda done, total, path: None)
        repository.close()
        opened.append(open_service(config))
        return opened[-1]

    yield open_it
    for service in opened:
        service.close()


DID = "ivo://example.org/SKY?tinted/7"


def asked(client: httpx.Client, query: str) -> str:
    """Return what the plugin was told."""
    response = client.get(f"{VO}/sync?ID={DID}&PIXELS=[1:3,1:3]&{query}")
    assert response.status_code == 200, response.text
    return str(fits.Header.fromstring(response.content[:2880].decode())["ASKED"])


def test_a_parameter_of_a_plugin_reaches_it_as_its_declaration_reads_it(
    opener: Callable[..., Service], serve: Callable[[Service], Any]
) -> None:
    client = serve(opener("tinted")).client
    assert asked(client, "") == "{}"
    assert asked(client, "seeing=1.50") == "{'SEEING': 1.5}"
    assert asked(client, "Fwhm=+2&STRETCH=LOG") == "{'SEEING': 2.0, 'Stretch': 'log'}"
    assert asked(client, "LAYER=b&layer=a&OTHER=x&SEEING=") == "{'LAYER': ['b', 'a']}"


def test_it_alone_makes_a_cutout_of_a_request(
    opener: Callable[..., Service], serve: Callable[[Service], Any], tmp_path: Path
) -> None:
    client = serve(opener("tinted")).client
    whole = client.get(f"{VO}/sync?ID={DID}")
    assert whole.content == (tmp_path / "files" / "7.fits").read_bytes()
    smoothed = client.get(f"{VO}/sync?ID={DID}&SEEING=2")
    assert fits.Header.fromstring(smoothed.content[:2880].decode())["ASKED"] == "{'SEEING': 2.0}"
    others = [client.get(f"{VO}/sync?ID={DID}&{query}") for query in ("SEEING=3", "SEEING=2&LAYER=a", "fwhm=2.0")]
    tags = [response.headers["etag"] for response in (smoothed, *others)]
    assert tags[0] == tags[3] and len(set(tags)) == 3
    names = [response.headers["content-disposition"] for response in (smoothed, *others)]
    assert names[0] == names[3] and len(set(names)) == 3


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SEEING=0", "UsageError: SEEING='0': SEEING must be greater than 0"),
        ("seeing=wide", "UsageError: SEEING='wide': SEEING must be a finite decimal number"),
        ("Fwhm=-1", "UsageError: SEEING='-1': SEEING must be greater than 0"),
        ("STRETCH=sqrt", "UsageError: Stretch='sqrt': Stretch must be one of linear, log"),
        ("SEEING=1&FWHM=1", "MultiValuedParamNotSupported: SEEING or FWHM takes one value, but the request gives 2"),
        ("STRETCH=log&stretch=log", "MultiValuedParamNotSupported: Stretch takes one value"),
    ],
)
def test_errors_name_it_and_say_what_is_right(
    opener: Callable[..., Service], serve: Callable[[Service], Any], query: str, message: str
) -> None:
    client = serve(opener("tinted")).client
    response = client.get(f"{VO}/sync?ID={DID}&{query}")
    assert response.status_code == 400
    assert response.text.startswith(message)


def test_it_is_described_where_it_applies_and_nowhere_else(
    opener: Callable[..., Service], serve: Callable[[Service], Any]
) -> None:
    client = serve(opener("tinted")).client
    for identifiers in ([DID], [DID, "x"]):
        root = etree.fromstring(client.post(f"{VO}/links", data={"ID": identifiers}).content)
        params = {param.get("name"): param for param in root.iterfind(".//{*}GROUP/{*}PARAM")}
        found = params["SEEING"]
        assert {str(name): value for name, value in found.items()} == {
            "name": "SEEING",
            "datatype": "double",
            "unit": "arcsec",
            "ucd": "instr.obsty.seeing",
            "value": "",
        }
        assert found.findtext("{*}DESCRIPTION") == "Seeing to smooth to."
        assert [each.get("value") for each in params["Stretch"].iterfind(".//{*}OPTION")] == ["linear", "log"]
    self_description = client.get(f"{VO}/sia?MAXREC=0").text
    assert "SEEING" not in self_description


@pytest.mark.parametrize("name", ["POS", "circle", "Detail", "id", "RUNID", "pixels"])
def test_it_may_not_take_the_name_of_one_of_sodas(install: Install, opener: Callable[..., Service], name: str) -> None:
    own = (Parameter(name, str, "Mine."),)
    for taken in (own, (Parameter("MINE", str, "Mine.", aliases=(name,)),)):
        install("greedy", type("Greedy", (Tinted,), {"parameters": taken}))
        with pytest.raises(PluginFault, match=rf"(?i)\b{re.escape(name)}\b"):
            create_app(opener("greedy", plugin="greedy"))


# --- who gets what


def test_what_is_refused_is_refused_by_every_resource_in_its_own_way(
    opener: Callable[..., Service], serve: Callable[[Service], Any]
) -> None:
    client = serve(opener("open", "members", "secret", more='extensions = ["guard"]')).client
    member = {"X-Token": "t"}

    def did(dataset: str) -> str:
        return f"ivo://example.org/SKY?{dataset}/7"

    def seen(**headers: str) -> set[str]:
        rows = client.get(f"{VO}/sia?RESPONSEFORMAT=json", headers=headers).json()["data"]
        return {row["obs_publisher_did"].rpartition("?")[2].partition("/")[0] for row in rows}

    assert seen() == {"open"}
    assert seen(**member) == {"open", "members"}
    one = client.get(f"{VO}/sia", params={"ID": did("secret"), "RESPONSEFORMAT": "json"}, headers=member).json()
    assert one["data"] == []

    expected = {
        ("open", False): 200,
        ("open", True): 200,
        ("members", False): 401,
        ("members", True): 200,
        ("secret", False): 403,
        ("secret", True): 403,
    }
    words = {401: "AuthenticationError: members only", 403: "AuthorizationError: it is secret"}
    for (dataset, known), status in expected.items():
        headers = member if known else {}
        for query in (
            "",
            "&PIXELS=[1:3,1:3]",
            "&CIRCLE=10+20+0.001",
            "&CIRCLE=0+0+1",
            "&PIXELS=[1:3,1:3]&METADATA=header",
        ):
            response = client.get(f"{VO}/sync?ID={did(dataset)}{query}", headers=headers)
            no_overlap = status == 200 and "CIRCLE=0" in query
            assert response.status_code == (204 if no_overlap else status), (dataset, known, query)
            assert status == 200 or response.text.startswith(words[status])
        assert client.get(f"{VO}/files/SKY/{dataset}/7.fits", headers=headers).status_code == status
        links = client.post(f"{VO}/links", data={"ID": [did(dataset)]}, headers=headers).text
        assert ("DefaultFault: " in links) == (status != 200)
        assert ("/vo/files/" in links) == (status == 200)
        assert ("#cutout" in links) == (status == 200)
    # The page of examples names nothing that its reader may not have.
    for headers, names in (({}, {"open"}), (member, {"open", "members"})):
        page = client.get(f"{VO}/examples", headers=headers).text
        assert {name for name in ("open", "members", "secret") if did(name) in page} == names


def test_the_start_page_has_no_recipe_for_what_its_reader_may_not_have(
    opener: Callable[..., Service], serve: Callable[[Service], Any]
) -> None:
    client = serve(opener("secret", "members", more='extensions = ["guard"]')).client
    page = client.get("/").text
    assert "ivo://" not in page and "ds=members&" not in page and "sid=" not in page
    assert "ivo://example.org/SKY?members/7" in client.get("/", headers={"X-Token": "t"}).text


def test_a_wrapper_of_an_extension_is_around_cutouts_too(
    install: Install, opener: Callable[..., Service], serve: Callable[[Service], Any]
) -> None:
    class Stamp:
        @hookimpl(wrapper=True)
        def imageserv_cutout(self, image: OpenImage, request: CutoutRequest) -> Any:
            cutout: Cutout = yield
            first, *others = cutout.hdus
            return replace(cutout, hdus=(replace(first, added=[*first.added, make_card("STAMP", "seen", "")]), *others))

    install("stamp", Stamp, "imageserv.extension")
    client = serve(opener("tinted", more='extensions = ["stamp"]')).client
    for more in ("", "&METADATA=header"):
        response = client.get(f"{VO}/sync?ID={DID}&PIXELS=[1:3,1:3]{more}")
        assert b"STAMP   = 'seen" in response.content
    with read_fits(io.BytesIO(client.get(f"{VO}/sync?ID={DID}&SEEING=1").content)) as hdus:
        assert hdus[0].header["STAMP"] == "seen"
