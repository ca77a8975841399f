"""Availability, capabilities and pages, read as clients read them."""

import io
import os
import threading
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import pytest
from pyvo.io.vosi import parse_availability, parse_capabilities

from imageserv.core.config import load
from imageserv.core.errors import UnavailableFault
from imageserv.core.service import Service, open_service
from imageserv.vo import health

V1 = "/api/image/v1"
BASE = "https://images.example.org/api/image/v1"


@pytest.mark.parametrize("prefix", ["/api/image/v1", "/image/v1"])
def test_availability(client: httpx.Client, prefix: str) -> None:
    response = client.get(f"{prefix}/availability")
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    assert response.json() == {
        "Status": "imageREST_v1 is accepting queries.",
        "available": "true",
        "versions": ["v1"],
        "repositories": [
            {"name": "DC_W13_Stripe82", "url": f"{BASE}/DC_W13_Stripe82", "available": "true"},
            {"name": "SKY", "url": f"{BASE}/SKY", "available": "true"},
        ],
    }


def test_capabilities(client: httpx.Client) -> None:
    document = client.get(f"{V1}/capabilities").json()
    limits = document.pop("limits")
    assert (limits["max_pixels"], limits["max_request_bytes"]) == (2_900, 20_000)  # as configured
    assert limits["max_hdus"] == 10_000  # by default
    repositories = document.pop("repositories")
    assert document == {
        "availability": {"url": "image/v1/availability"},
        "query": {"url": "image/v1/DC_W13_Stripe82", "interface": ["DAX"]},
        "capabilities": {"url": "image/v1/capabilities"},
    }
    for entry in document.values():
        assert client.get(f"/{entry['url']}").status_code in (200, 400)
    assert [(entry["name"], entry["url"]) for entry in repositories] == [
        ("DC_W13_Stripe82", f"{BASE}/DC_W13_Stripe82"),
        ("SKY", f"{BASE}/SKY"),
    ]
    raw = repositories[0]["datasets"][0]
    assert [key["name"] for key in raw["keys"]] == ["run", "camcol", "field", "filter"]
    assert [band["name"] for band in raw["filters"]] == ["u", "g", "r", "i", "z"]


XML = [
    ({"Accept": "text/xml"}, {}, "text/xml"),
    ({"Accept": "application/xml"}, {}, "application/xml"),
    ({}, {"RESPONSEFORMAT": "xml"}, "text/xml"),
    ({}, {"responseformat": "application/xml"}, "application/xml"),
    ({"Accept": "application/json"}, {"ResponseFormat": "text/xml"}, "text/xml"),
]


@pytest.mark.parametrize(("headers", "params", "media_type"), XML)
def test_both_are_xml_when_asked(
    client: httpx.Client, headers: dict[str, str], params: dict[str, str], media_type: str
) -> None:
    availability = client.get(f"{V1}/availability", headers=headers, params=params)
    capabilities = client.get(f"{V1}/capabilities", headers=headers, params=params)
    for response in (availability, capabilities):
        assert (response.status_code, response.headers["content-type"].partition(";")[0]) == (200, media_type)
    parsed = parse_availability(io.BytesIO(availability.content))
    assert parsed.available is True
    assert parsed.upsince is not None
    entries = parse_capabilities(io.BytesIO(capabilities.content))
    assert [entry.standardid for entry in entries] == [
        "ivo://ivoa.net/std/VOSI#capabilities",
        "ivo://ivoa.net/std/VOSI#availability",
        None,
        None,
    ]
    urls = [entry.interfaces[0].accessurls[0].content for entry in entries]
    assert urls == [f"{BASE}/{name}" for name in ("capabilities", "availability", "DC_W13_Stripe82", "SKY")]
    assert "last-modified" in client.head(f"{V1}/capabilities", headers=headers, params=params).headers


BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


@pytest.mark.parametrize("accept", ["*/*", "application/json", BROWSER, "image/png"])
def test_both_are_json_otherwise(client: httpx.Client, accept: str) -> None:
    for name in ("availability", "capabilities"):
        response = client.get(f"{V1}/{name}", headers={"Accept": accept})
        assert response.headers["content-type"] == "application/json"
        assert response.headers["vary"] == "Accept"


def test_an_unknown_format_is_an_error(client: httpx.Client) -> None:
    response = client.get(f"{V1}/availability", params={"RESPONSEFORMAT": "gif"})
    assert (response.status_code, response.json()["parameter"]) == (400, "RESPONSEFORMAT")


@pytest.fixture
def own_service(own_archive: Path) -> Iterator[Service]:
    service = open_service(load(own_archive, {}))
    yield service
    service.close()


def test_availability_looks(own_archive: Path, own_service: Service, serve: Callable[[Service], Any]) -> None:
    client = serve(own_service).client
    root = own_archive.parent / "stripe82"
    root.rename(root.with_name("away"))
    response = client.get(f"{V1}/availability")
    document = response.json()
    assert (response.status_code, document["available"]) == (200, "false")
    assert "DC_W13_Stripe82" in document["Status"]
    assert [entry["available"] for entry in document["repositories"]] == ["false", "true"]
    xml = client.get(f"{V1}/availability", headers={"Accept": "text/xml"})
    assert (xml.status_code, parse_availability(io.BytesIO(xml.content)).available) == (200, False)
    root.with_name("away").rename(root)
    assert client.get(f"{V1}/availability").json()["available"] == "true"


def test_availability_does_not_wait_for_ever(
    own_service: Service, serve: Callable[[Service], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file system that hangs is a reason, and hinders nobody who asks for something else."""
    awake = threading.Event()
    monkeypatch.setattr(health, "_PATIENCE", 0.2)
    monkeypatch.setattr(own_service.default, "check", lambda: awake.wait(60) and None)
    client = serve(own_service).client
    document = client.get(f"{V1}/availability").json()
    assert document["available"] == "false"
    assert "has not answered" in document["Status"]
    assert client.get(f"{V1}/DC_W13_Stripe82?ds=raw&sid=5646240694").status_code == 200
    awake.set()


@pytest.mark.parametrize(
    ("error", "words"), [(UnavailableFault("the disk is away"), "the disk is away"), (KeyError("x"), "cannot be read")]
)
def test_availability_answers_whatever_goes_wrong(
    own_service: Service,
    serve: Callable[[Service], Any],
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    words: str,
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(own_service.default, "check", fail)
    document = serve(own_service).client.get(f"{V1}/availability").json()
    assert document["available"] == "false"
    assert words in document["Status"]


class Page(HTMLParser):
    """What a page links to and loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "href" and tag == "a":
                self.links.append(value or "")
            elif name in ("href", "src", "srcset", "data") or tag in ("script", "link", "iframe"):
                self.loads.append(f"{tag} {value}")

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_front_page_links_to_requests_that_are_understood(client: httpx.Client) -> None:
    response = client.get("/")
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    page = Page(response.text)
    assert page.loads == []
    requests = [link for link in page.links if "?" in link]
    assert len([link for link in requests if "&sid=" in link]) == 4  # of each dataset one image, that is there
    assert len(requests) > 12
    for link in page.links:
        assert link.startswith("https://images.example.org/")
        assert client.get(link.removeprefix("https://images.example.org")).status_code == 200, link


def test_the_front_page_is_there_while_a_registry_is_not(
    own_service: Service, serve: Callable[[Service], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(dataset: str) -> None:
        raise UnavailableFault(f"the registry of {dataset} cannot be read")

    monkeypatch.setattr(own_service.default.registry, "sample", fail)
    response = serve(own_service).client.get("/")
    assert response.status_code == 200
    assert "Two ways to ask" in response.text
    assert "ds=image" in response.text and "ds=raw" not in response.text  # of the other repository


def test_the_manual_names_every_parameter(client: httpx.Client, service: Service) -> None:
    page = Page(client.get("/docs/v1").text)
    assert page.loads == []
    for repository in service.repositories.values():
        for plugin in repository.datasets.values():
            assert f"{repository.name}, ds={plugin.name}" in page.text
            for key in plugin.declaration.keys:
                assert key.description in page.text
    for word in ("width", "get_ccdexpid", "arcmin", "413", "patch_x,patch_y", "1 to 6", "body at most 20000 bytes"):
        assert word in page.text
    assert "ds, sid, ra, dec, width, height, unit (optional), detail (optional)" in page.text
    assert "overrides Accept (DALI 1.1 section 3.4.3)" in page.text


def test_pages_hold_no_markup_of_a_plugin(
    own_service: Service, serve: Callable[[Service], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_service.default, "name", '<script>alert("x")</script>\x00')
    client = serve(own_service).client
    for path in ("/", "/docs/v1"):
        text = client.get(path).text
        assert "<script" not in text
        assert "&lt;script&gt;" in text


def test_operators_are_told_what_was_served(client: httpx.Client) -> None:
    assert client.get("/healthz").json()["status"] == "ok"
    for _ in range(4):  # a request is counted after its answer is out: the last may come too late
        client.get(f"{V1}/DC_W13_Stripe82?ds=raw&sid=5646240694")
        client.get("/no/such/path")
    text = client.get("/metrics").text
    lines = text.replace(f'worker="{os.getpid()}",', "").splitlines()
    assert text.count('worker="') == len([line for line in lines if not line.startswith(("#", "imageserv_jobs"))])
    assert [line for line in lines if line.startswith("# HELP") and "each worker counts its own" in line]
    counts = {line.split(" ")[0]: float(line.split(" ")[1]) for line in lines if not line.startswith("#")}
    route = 'route="/api/image/v1/{db_id}"'
    assert counts[f'imageserv_requests_total{{{route},status="200"}}'] >= 3
    assert counts['imageserv_requests_total{route="other",status="404"}'] >= 3
    assert counts[f"imageserv_response_bytes_total{{{route}}}"] >= 3 * 2880
    assert counts[f"imageserv_request_seconds_total{{{route}}}"] > 0


def test_the_api_can_be_elsewhere(archive: Path, serve: Callable[[Service], Any]) -> None:
    config = load(archive, {"IMAGESERV_PATH": "/sky/images", "IMAGESERV_BASE_URL": "http://h:1/p"})
    service = open_service(config)
    client = serve(service).client
    document = client.get("/sky/images/v1/capabilities").json()
    assert document["query"]["url"] == "sky/images/v1/DC_W13_Stripe82"
    assert document["repositories"][0]["url"] == "http://h:1/p/sky/images/v1/DC_W13_Stripe82"
    assert client.get("/api/image/v1/capabilities").status_code == 404
    service.close()
