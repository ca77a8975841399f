"""DataLink: one row or two for each identifier, as it was sent, and a SODA service described with true values."""

import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import astropy.io.votable
import httpx
import numpy as np
import pytest
from astropy import constants
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.time import Time
from astropy.wcs import WCS
from lxml import etree

from imageserv.core.config import load
from imageserv.core.errors import AuthorizationFault, UnavailableFault
from imageserv.core.service import Service, open_service

LINKS = "/api/image/vo/links"
SDSS = "ivo://example.org/DC_W13_Stripe82"
G, R = f"{SDSS}?raw/5646/4/694/g", f"{SDSS}?raw/5646/4/694/r"
CUBES = "ivo://example.org/CUBES?image"

# astropy's annotations tell little of what these give.
read_votable: Any = astropy.io.votable.parse
read_fits: Any = fits.open
wcs_of: Any = WCS
coordinates: Any = SkyCoord
time_of: Any = Time
light: Any = constants


class Links:
    """A links document."""

    def __init__(self, response: httpx.Response) -> None:
        assert response.status_code == 200, response.text
        self.root = etree.fromstring(response.content)
        names = [field.get("name") for field in self.root.iterfind(".//{*}FIELD")]
        assert names[0] == "ID"  # clients match rows by the first column
        self.rows = [
            dict(zip(names, [cell.text or "" for cell in row], strict=True)) for row in self.root.iterfind(".//{*}TR")
        ]
        self.status = [info.get("value") for info in self.root.iterfind("{*}RESOURCE/{*}INFO[@name='QUERY_STATUS']")]
        services = {
            str(service.get("ID")): {
                param.get("name"): param for param in service.iterfind("{*}GROUP[@name='inputParams']/{*}PARAM")
            }
            for service in self.root.iterfind("{*}RESOURCE[@utype='adhoc:service']")
        }
        # Each service comes twice, the second time for jobs: no row names that, and it takes the same.
        half = len(services) // 2
        self.services = dict(list(services.items())[:half])
        for (one, inputs), (other, others) in zip(self.services.items(), list(services.items())[half:], strict=True):
            assert other == one.replace("sync", "async") and other not in {row["service_def"] for row in self.rows}
            assert list(map(etree.tostring, inputs.values())) == list(map(etree.tostring, others.values()))

    def ids(self) -> list[str]:
        return [row["ID"] for row in self.rows]

    def service(self) -> dict[str | None, Any]:
        (only,) = self.services.values()
        return only

    def values(self, name: str) -> list[tuple[str, str]]:
        return [(each.tag.rpartition("}")[2], each.get("value")) for each in self.service()[name].iterfind("*/*")]


def ask(client: httpx.Client, *identifiers: str) -> Links:
    return Links(client.post(LINKS, data={"ID": list(identifiers)}))


def test_an_image_has_its_file_and_a_service_that_cuts_it(client: httpx.Client) -> None:
    found = ask(client, G)
    assert found.rows == [
        {
            "ID": G,
            "access_url": "https://images.example.org/api/image/vo/files/DC_W13_Stripe82/raw/5646/4/694/g.fits",
            "service_def": "",
            "error_message": "",
            "description": found.rows[0]["description"],
            "semantics": "#this",
            "content_type": "application/fits",
            "content_length": found.rows[0]["content_length"],
        },
        {
            "ID": G,
            "access_url": "",
            "service_def": next(iter(found.services)),
            "error_message": "",
            "description": found.rows[1]["description"],
            "semantics": "#cutout",
            "content_type": "application/fits",
            "content_length": "",
        },
    ]
    assert all(row["description"] for row in found.rows)
    assert found.status == ["OK"]


def test_the_length_that_is_told_is_the_files(client: httpx.Client, service: Service) -> None:
    documents = client.get("/api/image/vo/sia", params={"RESPONSEFORMAT": "json"}).json()["data"]
    identifiers = [row["obs_publisher_did"] for row in documents]
    assert len(identifiers) == 15
    for row in ask(client, *identifiers).rows:
        if row["semantics"] == "#this":
            url = row["access_url"]
            assert url.startswith("https://images.example.org/") and "?" not in url and url.endswith(".fits")
            response = client.get(urlsplit(url).path)
            assert response.status_code == 200
            assert response.headers["content-type"] == row["content_type"]
            assert len(response.content) == int(response.headers["content-length"]) == int(row["content_length"])
            with read_fits(io.BytesIO(response.content)) as hdus:
                hdus.verify("exception")


SPELLINGS = [
    f"  {G}",
    f"{G} \t",
    G.upper(),
    G.lower().replace("ivo", "Ivo"),
    G.replace("/", "%2F"),
    G.replace("?", "%3f"),
    f"\n{G.swapcase()}\n",
]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_the_clients_spelling_is_echoed(client: httpx.Client, spelling: str) -> None:
    for found in (ask(client, spelling), Links(client.get(LINKS, params={"ID": spelling}))):
        assert found.ids() == [spelling, spelling]
        assert found.service()["ID"].get("value") == spelling.strip()
        assert found.rows[0]["access_url"].endswith("/raw/5646/4/694/g.fits")  # the URL is the same
    several = ask(client, R, spelling)
    assert several.ids() == [R, R, spelling, spelling]


UNKNOWN = [
    "x",
    "ivo://",
    f"{SDSS}?raw/5646/4/694/y",
    f"{SDSS}?raw",
    SDSS,
    "ivo://elsewhere.org/DC_W13_Stripe82?raw/5646/4/694/g",
    "ivo://example.org/NOWHERE?raw/5646/4/694/g",
    f'"{G}"',
    f"{G}#fragment",
    f"{G}/",
    f"{G},{R}",
    "<&>\"'",
    "é\U0001f52d",
    "../../etc/passwd",
    "x" * 5000,
]


@pytest.mark.parametrize("identifier", UNKNOWN)
def test_an_identifier_of_no_image_has_one_row_that_says_so(client: httpx.Client, identifier: str) -> None:
    found = ask(client, identifier)
    (row,) = found.rows
    assert (row["ID"], row["semantics"], row["access_url"], row["service_def"]) == (identifier, "#this", "", "")
    assert row["error_message"].startswith("NotFoundFault: there is no image ")
    assert len(row["error_message"]) < 500
    assert found.status == ["OK"]
    assert found.services == {}


def test_rows_of_an_identifier_are_together_in_the_order_sent_and_once(client: httpx.Client) -> None:
    found = ask(client, R, "x", G, R, "", " ", "y", "x", G.upper())
    assert found.ids() == [R, R, "x", G, G, "y", G.upper(), G.upper()]


def test_an_identifier_that_comes_twice_is_one(client: httpx.Client) -> None:
    assert ask(client, G, G).service()["ID"].get("value") == G


@pytest.mark.parametrize("query", ["", "?ID=", "?id=%20&ID=", "?RESPONSEFORMAT=votable", "?UNKNOWN=x"])
def test_without_an_identifier_the_table_is_empty(client: httpx.Client, query: str) -> None:
    found = Links(client.get(f"{LINKS}{query}"))
    assert (found.rows, found.status, found.services) == ([], ["OK"], {})
    assert found.root.find(".//{*}DATA/{*}TABLEDATA") is not None


def test_one_identifier_is_fixed_and_several_are_referred_to(client: httpx.Client) -> None:
    """As clients need it: pyvo takes one descriptor for all rows, and would cut the wrong image."""
    fixed = ask(client, G).service()["ID"]
    assert (fixed.get("value"), fixed.get("ref")) == (G, None)
    for identifiers in ((G, R), (G, "x"), ("x", G), (G, f"{SDSS}?calexp/5646/4/694/g")):
        found = ask(client, *identifiers)
        for service in found.services.values():
            assert (service["ID"].get("value"), service["ID"].get("ref")) == ("", "primaryID")
            assert [param for param in service.values() if param.find(".//{*}MIN") is not None] == []
        column = found.root.find(".//{*}FIELD[@ID='primaryID']")
        assert column is not None and column.get("name") == "ID"
        for row in found.rows:
            assert row["service_def"] in ("", *found.services)


def test_thousands_of_identifiers_in_one_request(client: httpx.Client, archive: Path, serve: Any) -> None:
    service = open_service(load(archive, {"IMAGESERV_LIMITS__MAX_REQUEST_BYTES": "1000000"}))
    server = serve(service).client
    identifiers = [G, *(f"{SDSS}?raw/5646/4/694/x{number}" for number in range(2500)), R]
    for where in ("data", "files"):
        body: Any = {"ID": identifiers} if where == "data" else [("ID", (None, each)) for each in identifiers]
        found = Links(server.post(LINKS, **{where: body}))
        assert found.ids() == [G, G, *identifiers[1:-1], R, R]
        assert found.status == ["OK"]
    service.close()


@pytest.mark.parametrize("count", [29, 30, 31, 50])
def test_beyond_the_limit_identifiers_are_left_and_the_client_told(
    cubes: tuple[Service, Path], serve: Callable[[Service], Any], count: int
) -> None:
    client = serve(cubes[0]).client
    identifiers = [f"{CUBES}/flat.fits", *(f"{CUBES}/{number}" for number in range(count - 1))]
    found = ask(client, *identifiers)
    assert found.ids() == [identifiers[0], *identifiers[:30]]
    assert found.status == (["OK"] if count <= 30 else ["OK", "OVERFLOW"])
    # What was left out can be asked for.
    assert ask(client, *identifiers[30:]).ids() == identifiers[30:]


# --- the values of one image


@pytest.fixture
def described(cubes: tuple[Service, Path], serve: Callable[[Service], Any]) -> Iterator[Callable[[str], Links]]:
    client = serve(cubes[0]).client
    yield lambda name: ask(client, f"{CUBES}/{name}")


def header(cubes: tuple[Service, Path], name: str) -> Any:
    return fits.getheader(cubes[1] / name)


def numbers(text: str) -> list[float]:
    return [float(part) for part in text.split()]


@pytest.mark.parametrize("name", ["flat.fits", "frequency.fits", "radio.fits", "pole.fits"])
def test_a_polygon_and_a_circle_cover_the_image_and_not_much_more(
    described: Callable[[str], Links], cubes: tuple[Service, Path], name: str
) -> None:
    found = described(name)
    ((_, polygon),) = found.values("POLYGON")
    ((_, circle),) = found.values("CIRCLE")
    wcs = wcs_of(header(cubes, name), fix=False).celestial
    width, height = wcs.pixel_shape
    outline = coordinates(wcs.calc_footprint(center=False), unit="deg")  # at the outer edges of the pixels
    corners = coordinates(np.reshape(numbers(polygon), (-1, 2)), unit="deg")
    nearest = outline[:, None].separation(corners[None, :]).arcsec.min(axis=1)
    assert nearest.max() < 0.1 and len(corners) >= 4
    lon, lat, radius = numbers(circle)
    assert 0 <= lon < 360
    reach = coordinates(lon, lat, unit="deg").separation(outline).deg.max()
    assert reach <= radius <= reach + 0.1 / 3600
    assert radius * 3600 == pytest.approx(np.hypot(width, height) / 2, rel=0.01)
    assert found.values("POS") == []


def test_an_image_whose_outline_is_no_polygon_has_a_circle(described: Callable[[str], Links]) -> None:
    found = described("whole-sky.fits")
    assert found.values("POLYGON") == []
    ((_, circle),) = found.values("CIRCLE")
    assert numbers(circle)[2] > 170


@pytest.mark.parametrize(("name", "length"), [("frequency.fits", 8), ("radio.fits", 3)])
def test_wavelengths_are_those_of_the_spectral_axis(
    described: Callable[[str], Links], cubes: tuple[Service, Path], name: str, length: int
) -> None:
    spectral = wcs_of(header(cubes, name), fix=False).spectral
    frequencies = spectral.all_pix2world([[-0.5], [length - 0.5]], 0)[:, 0]
    expected = sorted(light.c.value / frequencies)
    values = described(name).values("BAND")
    assert [kind for kind, _ in values] == ["MIN", "MAX"]
    assert [float(value) for _, value in values] == pytest.approx(expected, rel=1e-12)


def test_times_are_those_of_the_exposure(described: Callable[[str], Links], cubes: tuple[Service, Path]) -> None:
    start = time_of(header(cubes, "flat.fits")["DATE-OBS"], scale="utc")
    values = described("flat.fits").values("TIME")
    assert [kind for kind, _ in values] == ["MIN", "MAX"]
    expected = [start.mjd, (start + 54 * u.s).mjd]
    assert [float(value) for _, value in values] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("name", "states"), [("radio.fits", ["I", "Q", "U", "V"]), ("circular.fits", ["RR", "LL", "RL", "LR"])]
)
def test_states_of_polarization_are_those_of_the_axis(
    described: Callable[[str], Links], name: str, states: Sequence[str]
) -> None:
    assert described(name).values("POL") == [("OPTION", state) for state in states]


def test_the_wavelengths_of_a_filter_are_its_own(client: httpx.Client) -> None:
    assert ask(client, G).values("BAND") == [("MIN", "4.136e-07"), ("MAX", "5.515e-07")]


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("flat.fits", {"BAND", "POL"}),
        ("bare.fits", {"BAND", "TIME", "POL"}),
        ("velocity.fits", {"BAND", "TIME", "POL"}),
        ("frequency.fits", {"POL"}),
        ("no-wcs.fits", {"POS", "CIRCLE", "POLYGON", "BAND", "TIME", "POL"}),
    ],
)
def test_what_has_no_effect_on_an_image_is_not_offered(
    described: Callable[[str], Links], name: str, missing: set[str]
) -> None:
    offered = set(described(name).service())
    assert {"ID", "POS", "CIRCLE", "POLYGON", "PIXELS", "BAND", "TIME", "POL", "DETAIL"} - offered == missing


# --- what goes wrong


def test_an_image_that_is_refused_has_a_row_that_says_so(
    client: httpx.Client, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def authorise(dataset: str, headers: Any) -> None:
        asked.append(headers.get("x-token", ""))
        if dataset == "raw":
            raise AuthorizationFault("not <you>")

    monkeypatch.setattr(service.default, "authorise", authorise)
    calexp = f"{SDSS}?calexp/5646/4/694/g"
    response = client.post(LINKS, data={"ID": [G, calexp, R]}, headers={"X-Token": "t"})
    found = Links(response)
    assert found.ids() == [G, calexp, calexp, R]
    for row in (found.rows[0], found.rows[3]):
        assert row["error_message"] == "DefaultFault: not <you>"
        assert (row["access_url"], row["service_def"], row["content_length"]) == ("", "", "")
    assert set(asked) == {"t"}
    assert ask(client, G).services == {}


def test_a_repository_that_is_away_has_rows_that_say_so(
    client: httpx.Client, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def by_did(local: str) -> None:
        raise UnavailableFault("the disk is away")

    monkeypatch.setattr(service.default, "by_did", by_did)
    sky = "ivo://example.org/SKY?image/a"
    found = ask(client, G, sky)
    assert [row["error_message"].partition(":")[0] for row in found.rows] == ["TransientFault", "NotFoundFault"]


def test_a_fault_of_ours_is_an_error_document(
    client: httpx.Client, service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(service.default, "by_did", lambda: None)  # the wrong number of arguments: a TypeError
    response = client.get(LINKS, params={"ID": G})
    assert (response.status_code, response.headers["content-type"]) == (500, "application/x-votable+xml")
    (info,) = etree.fromstring(response.content).findall("{*}RESOURCE[@type='results']/{*}INFO")
    assert (info.get("value"), (info.text or "").partition(":")[0]) == ("ERROR", "FatalFault")
    assert response.headers["x-request-id"] in response.text
    assert "Traceback" not in response.text and "TypeError" not in response.text
    assert any(record.exc_info for record in caplog.records)


def test_as_many_identifiers_as_are_allowed_fit_into_one_request(
    archive: Path, serve: Callable[[Service], Any]
) -> None:
    """Though they are as long as they can be: the bound on other bodies, 20,000 bytes here, is for other bodies."""
    service = open_service(load(archive, {"IMAGESERV_LIMITS__MAX_IDS": "200"}))
    client = serve(service).client
    identifiers = [f"ivo://example.org/SKY?image/{number:03}-{'x' * 220}" for number in range(200)]
    response = client.post(LINKS, data={"ID": identifiers})
    assert response.status_code == 200
    assert response.text.count("NotFoundFault: ") == 200
    assert "OVERFLOW" not in response.text
    service.close()
