"""VOSI: availability that really looks, and capabilities; the same facts in XML and in JSON."""

import io
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree
from pyvo.io.vosi import parse_availability, parse_capabilities

from imageserv.core.config import load
from imageserv.core.errors import UnavailableFault
from imageserv.core.maintenance import Maintenance
from imageserv.core.service import Service, open_service
from imageserv.vo.ivoa.vosi import availability

VO = "/api/image/vo"
BASE = "https://images.example.org/api/image/vo"
JSON = {"Accept": "application/json"}


@pytest.fixture
def own(own_archive: Path, serve: Callable[[Service], Any]) -> Iterator[tuple[httpx.Client, Path, Service]]:
    """Give a client of a service that the test may harm, the folder of its configuration, and the service."""
    service = open_service(load(own_archive, {}))
    yield serve(service).client, own_archive.parent, service
    service.close()


def facts(content: bytes) -> dict[str, Any]:
    """Read an availability document."""
    found: dict[str, Any] = {"note": []}
    for element in etree.fromstring(content):
        name = etree.QName(element).localname
        if name == "note":
            found["note"].append(element.text)
        else:
            found[name] = {"true": True, "false": False}.get(element.text or "", element.text)
    return found


def look(client: httpx.Client) -> dict[str, Any]:
    """Return what availability says, which is the same in both forms."""
    xml, document = client.get(f"{VO}/availability"), client.get(f"{VO}/availability", headers=JSON)
    for response in (xml, document):
        assert response.status_code == 200  # VOSI 1.1 section 3.2: the document is there whatever it says
        assert response.headers["cache-control"] == "no-cache"
        assert response.headers["vary"] == "Accept"
    read: dict[str, Any] = document.json()
    assert facts(xml.content) == read
    assert parse_availability(io.BytesIO(xml.content)).available is read["available"]
    return read


def test_a_service_that_is_well_says_so(client: httpx.Client) -> None:
    found = look(client)
    assert found["available"] is True
    assert found["note"] == ["accepting queries for DC_W13_Stripe82, SKY"]
    assert set(found) == {"available", "note", "upSince"}
    up = datetime.fromisoformat(found["upSince"])
    assert timedelta() <= datetime.now(UTC) - up < timedelta(hours=1)


def test_a_repository_that_is_away_is_a_reason(own: tuple[httpx.Client, Path, Service]) -> None:
    client, folder, _ = own
    (folder / "stripe82").rename(folder / "away")
    found = look(client)
    assert found["available"] is False
    assert [note for note in found["note"] if "DC_W13_Stripe82" in note] == found["note"] != []
    (folder / "away").rename(folder / "stripe82")
    assert look(client)["available"] is True


def test_whatever_goes_wrong_is_a_reason(
    own: tuple[httpx.Client, Path, Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, _, service = own
    for error, note in ((UnavailableFault("the disk <away>"), "the disk <away>"), (KeyError("x"), "cannot be read")):

        def fail(error: Exception = error) -> None:
            raise error

        monkeypatch.setattr(service.default, "check", fail)
        found = look(client)
        assert found["available"] is False
        assert any(note in each for each in found["note"])


def moment(value: datetime) -> str:
    return value.strftime("%Y-%m-%dT%H:%M:%SZ")


def test_maintenance_is_announced_and_over(own: tuple[httpx.Client, Path, Service]) -> None:
    client, folder, _ = own
    announcement = folder / "maintenance.toml"
    now = datetime.now(UTC).replace(microsecond=0)
    hour = timedelta(hours=1)

    def announce(text: str) -> dict[str, Any]:
        announcement.write_text(text)
        return look(client)

    soon = announce(
        f"down_at = {(now + hour).isoformat()}\nback_at = {(now + 2 * hour).isoformat()}\nnote = 'new disks'"
    )
    assert (soon["available"], soon["downAt"], soon["backAt"]) == (True, moment(now + hour), moment(now + 2 * hour))
    assert "new disks" in soon["note"]
    on = announce(f"down_at = {(now - hour).isoformat()}\nnote = 'new <disks> & é'")
    assert (on["available"], on["note"]) == (False, ["new <disks> & é"])
    over = announce(f"down_at = {(now - 2 * hour).isoformat()}\nback_at = {(now - hour).isoformat()}\nnote = 'x'")
    assert (over["available"], "downAt" in over, "backAt" in over, "x" in over["note"]) == (True, False, False, False)
    assert announce("")["available"] is False
    assert announce("this is no TOML")["available"] is False
    # Who asks for an image while it is on is served as long as that is possible: the document is the announcement.
    announcement.unlink()
    assert look(client)["available"] is True


def test_maintenance_and_a_broken_repository_are_both_told(own: tuple[httpx.Client, Path, Service]) -> None:
    client, folder, _ = own
    (folder / "maintenance.toml").write_text("note = 'new disks'")
    (folder / "sky").rename(folder / "away")
    found = look(client)
    assert found["available"] is False
    assert "new disks" in found["note"] and any("SKY" in note for note in found["note"])


# --- capabilities

EXPECTED = [
    ("ivo://ivoa.net/std/VOSI#capabilities", "capabilities", "full", "ParamHTTP"),
    ("ivo://ivoa.net/std/VOSI#availability", "availability", "full", "ParamHTTP"),
    ("ivo://ivoa.net/std/SIA#query-2.0", "sia", "base", "ParamHTTP"),
    ("ivo://ivoa.net/std/DataLink#links-1.1", "links", "base", "ParamHTTP"),
    ("ivo://ivoa.net/std/SODA#sync-1.0", "sync", "base", "ParamHTTP"),
    ("ivo://ivoa.net/std/SODA#async-1.0", "async", "full", "ParamHTTP"),
    ("ivo://ivoa.net/std/DALI#examples", "examples", "full", "WebBrowser"),
]


@pytest.mark.parametrize("prefix", [VO, "/image/vo"])
def test_capabilities_as_pyvo_reads_them(client: httpx.Client, prefix: str) -> None:
    response = client.get(f"{prefix}/capabilities")
    assert (response.status_code, response.headers["content-type"].partition(";")[0]) == (200, "text/xml")
    read: Any = parse_capabilities(io.BytesIO(response.content), pedantic=True)
    found = [
        (
            str(each.standardid),
            each.interfaces[0].accessurls[0].content.removeprefix(f"{BASE}/"),
            each.interfaces[0].accessurls[0].use,
            type(each.interfaces[0]).__name__,
        )
        for each in read
    ]
    assert sorted(found) == sorted(EXPECTED)
    for each in read:
        assert len(each.interfaces) == 1
        assert list(each.interfaces[0].securitymethods) == []
        assert each.interfaces[0].role == "std"


def test_every_url_in_capabilities_is_true(client: httpx.Client) -> None:
    root = etree.fromstring(client.get(f"{VO}/capabilities").content)
    for url in root.iter("accessURL"):
        assert url.text is not None and url.text.startswith("https://images.example.org/") and "?" not in url.text
        expected = 400 if url.text.endswith("/sync") else 200
        assert client.get(url.text.removeprefix("https://images.example.org")).status_code == expected


def test_capabilities_tell_the_limits(client: httpx.Client) -> None:
    text = client.get(f"{VO}/capabilities").text
    for limit in (
        "10000 rows",
        "1000000 at the most",
        "20000 identifiers",
        "2900 pixels",
        "20000 bytes",
        "10000 results",
    ):
        assert limit in text


def test_capabilities_say_the_same_in_json(client: httpx.Client) -> None:
    response = client.get(f"{VO}/capabilities", headers=JSON)
    assert response.headers["content-type"] == "application/json"
    root = etree.fromstring(client.get(f"{VO}/capabilities").content)
    xsi_type = "{http://www.w3.org/2001/XMLSchema-instance}type"
    for entry, capability in zip(response.json()["capabilities"], root, strict=True):
        assert entry["standardID"] == capability.get("standardID")
        assert entry.get("description") == capability.findtext("description")
        (stated,) = entry["interfaces"]
        (interface,) = capability.iterfind("interface")
        url = interface.find("accessURL")
        assert url is not None
        assert stated.pop("accessURL") == {"url": url.text, "use": url.get("use")}
        assert stated.pop("resultType", None) == interface.findtext("resultType")
        assert stated == {str(name).replace(xsi_type, "type"): value for name, value in interface.items()}


@pytest.mark.parametrize("headers", [{}, JSON])
def test_capabilities_tell_when_they_changed(client: httpx.Client, headers: dict[str, str]) -> None:
    told = {
        client.request(method, f"{VO}/capabilities", headers=headers).headers["last-modified"]
        for method in ("GET", "HEAD")
    }
    (modified,) = told
    assert timedelta() <= datetime.now(UTC) - parsedate_to_datetime(modified) < timedelta(hours=1)


XML = [
    ({}, {}, "text/xml"),
    ({"Accept": "*/*"}, {}, "text/xml"),
    ({"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}, {}, "application/xml"),
    ({"Accept": "application/xml"}, {}, "application/xml"),
    ({"Accept": "image/png"}, {}, "text/xml"),
    (JSON, {"RESPONSEFORMAT": "xml"}, "text/xml"),
    (JSON, {"responseformat": "application/xml"}, "application/xml"),
    (JSON, {}, "application/json"),
    ({"Accept": "application/json, text/xml;q=0.5"}, {}, "application/json"),
    ({}, {"RESPONSEFORMAT": "json"}, "application/json"),
]


@pytest.mark.parametrize(("headers", "params", "media_type"), XML)
@pytest.mark.parametrize("name", ["availability", "capabilities"])
def test_xml_is_the_default_and_json_for_those_who_ask(
    client: httpx.Client, name: str, headers: dict[str, str], params: dict[str, str], media_type: str
) -> None:
    response = client.get(f"{VO}/{name}", headers=headers, params=params)
    assert (response.status_code, response.headers["content-type"].partition(";")[0]) == (200, media_type)


@pytest.mark.parametrize("name", ["availability", "capabilities"])
def test_other_formats_are_refused(client: httpx.Client, name: str) -> None:
    assert client.get(f"{VO}/{name}?RESPONSEFORMAT=gif").status_code == 400
    assert client.get(f"{VO}/{name}?RESPONSEFORMAT=xml&responseformat=xml").status_code == 400


def test_documents_bear_the_configured_address(archive: Path, serve: Callable[[Service], Any]) -> None:
    """Behind a proxy, whatever Host it sends, and wherever the API is."""
    service = open_service(load(archive, {"IMAGESERV_PATH": "/sky/images", "IMAGESERV_BASE_URL": "http://h:1/p"}))
    client = serve(service).client
    base = "http://h:1/p/sky/images/vo"
    headers = {"Host": "inside:8080", "X-Forwarded-Host": "wrong", "X-Forwarded-Proto": "gopher"}
    root = etree.fromstring(client.get("/sky/images/vo/capabilities", headers=headers).content)
    assert all((url.text or "").startswith(f"{base}/") for url in root.iter("accessURL"))
    rows = client.get("/sky/images/vo/sia?RESPONSEFORMAT=json", headers=headers).json()["data"]
    assert all(row["access_url"].startswith(f"{base}/links?ID=ivo%3A%2F%2F") for row in rows)
    links = client.get("/sky/images/vo/links", params={"ID": rows[0]["obs_publisher_did"]}, headers=headers).text
    assert f"{base}/files/" in links and f'value="{base}/sync"' in links
    for text in (links, client.get("/sky/images/vo/sia?MAXREC=0", headers=headers).text):
        assert "inside:8080" not in text and "wrong" not in text and "images.example.org" not in text
    service.close()


MOMENT = datetime(2026, 5, 1, 12, tzinfo=UTC)
MOMENTS = st.none() | st.integers(-9, 9).map(lambda hours: MOMENT + timedelta(hours=hours))


@given(
    st.dictionaries(st.sampled_from("AB"), st.none() | st.just("is away"), min_size=1), st.booleans(), MOMENTS, MOMENTS
)
def test_the_model_of_availability(
    faults: dict[str, str | None], announced: bool, down: datetime | None, back: datetime | None
) -> None:
    """The service began at ten, and it is noon."""
    maintenance = Maintenance(down, back, "new disks") if announced else None
    model = availability(faults, maintenance, MOMENT - timedelta(hours=2), MOMENT)
    over = back is not None and back <= MOMENT
    down_now = announced and not over and (down is None or down <= MOMENT)
    assert model.available == (not any(faults.values()) and not down_now)
    assert ("new disks" in model.notes) == (announced and not over)
    assert model.notes.count("is away") == list(faults.values()).count("is away")
    assert all(model.notes) and len(model.notes) >= 1
    assert (model.down_at, model.back_at) == ((down, back) if announced and not over else (None, None))
    assert model.up_since == MOMENT - timedelta(hours=2)
