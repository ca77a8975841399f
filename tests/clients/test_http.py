"""curl, browsers and viewers: what they send, and what they look at in an answer."""

import io
import re
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import numpy as np
import pytest
from astropy.io import fits
from lxml import etree

# The annotations of astropy and lxml tell little of what these give.
read_fits: Any = fits.open
parse_xml: Any = etree.fromstring

Run = Callable[..., str]

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
VOTABLE = {"v": "http://www.ivoa.net/xml/VOTable/v1.3"}
CENTRE = ((24, 36), (19, 31))  # of `zero`: what a circle of 0.05 degrees touches


def saved(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


def infos(answer: httpx.Response) -> list[tuple[str, str, str]]:
    root = parse_xml(answer.content)
    elements = root.xpath("//v:INFO", namespaces=VOTABLE)
    return [(str(each.get("name")), str(each.get("value")), each.text or "") for each in elements]


# curl


def test_curl_saves_a_cutout_by_the_name_that_the_service_gives(site: Any, curl: Run, tmp_path: Path) -> None:
    curl("-OJ", f"{site.url}/sync?ID={site.dids['etoile']}&POS=CIRCLE+200+60+0.02", cwd=tmp_path)
    path = saved(tmp_path)
    assert re.fullmatch(r"[A-Za-z0-9.+_-]+\.fits", path.name)
    assert site.window("etoile", path.read_bytes())


def test_curl_saves_a_file_by_the_name_that_the_service_gives(site: Any, curl: Run, tmp_path: Path) -> None:
    curl("-OJ", f"{site.url}/files/SKY/{site.dids['packed'].partition('?')[2]}.fits", cwd=tmp_path)
    assert saved(tmp_path).name == "packed.fits"  # unpacked, and so without .gz
    assert site.window("packed", saved(tmp_path).read_bytes()) == ((0, 30), (0, 20))


def test_curl_resumes_a_download(site: Any, curl: Run, tmp_path: Path) -> None:
    stored = site.images["big"].path.read_bytes()
    part = tmp_path / "part.fits"
    part.write_bytes(stored[:50_000])
    curl("-C", "-", "-o", str(part), f"{site.url}/files/SKY/image/big.fits.fits")
    assert part.read_bytes() == stored


@pytest.mark.parametrize(
    "options",
    [
        ["--get", "--data-urlencode", "POS=CIRCLE 0 10 0.05"],
        ["--data-urlencode", "POS=CIRCLE 0 10 0.05"],
        ["--data", "POS=CIRCLE+0+10+0.05"],
        ["--form", "POS=CIRCLE 0 10 0.05"],
        ["--form-string", "POS=CIRCLE 0 10 0.05", "--form", "RUNID=mine"],
        ["--http1.0", "--data", "POS=CIRCLE 0 10 0.05"],
        ["--data", "POS=CIRCLE 0 10 0.05", "-H", "Transfer-Encoding: chunked"],
        ["--data", "POS=CIRCLE 0 10 0.05", "-H", "Expect: 100-continue"],
    ],
)
def test_curl_asks_in_every_way(site: Any, curl: Run, tmp_path: Path, options: list[str]) -> None:
    target = tmp_path / "cut.fits"
    how = "--form-string" if "--form" in options else "--data-urlencode"
    curl("-f", "-o", str(target), *options, how, f"ID={site.dids['zero']}", f"{site.url}/sync")
    assert site.window("zero", target.read_bytes()) == CENTRE


def test_curl_posts_to_an_address_with_a_query(site: Any, curl: Run, tmp_path: Path) -> None:
    target = tmp_path / "cut.fits"
    address = f"{site.url}/sync?ID={site.dids['zero']}&CIRCLE=0+10+0.05"  # the identifier's own ? is not escaped
    curl("-f", "-X", "POST", "-o", str(target), address)
    assert site.window("zero", target.read_bytes()) == CENTRE
    curl("-f", "--data", "CIRCLE=0+10+0.05", "-o", str(target), address.partition("&")[0])
    assert site.window("zero", target.read_bytes()) == CENTRE


def test_curl_head(site: Any, curl: Run) -> None:
    cut = f"{site.url}/sync?ID={site.dids['zero']}&CIRCLE=0+10+0.05"
    for address in (cut, f"{site.url}/files/SKY/image/zero.fits.fits", f"{site.url}/capabilities"):
        answer = httpx.get(address)
        lines = curl("--head", address).splitlines()
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
        assert lines[0].split()[1] == "200"
        assert int(headers["content-length"]) == len(answer.content)
        for name in ("content-type", "content-disposition", "etag", "last-modified"):
            assert headers.get(name) == answer.headers.get(name)


def test_head_of_a_table_has_the_headers_of_the_table(site: Any) -> None:
    for query in ("sia", "sia?MAXREC=0", "sia?RESPONSEFORMAT=csv", f"links?ID={site.dids['zero']}", "sync"):
        answers = [site.client.request(method, f"{site.url}/{query}") for method in ("GET", "HEAD")]
        named = [{name: each.headers.get(name) for name in ("content-type", "content-disposition")} for each in answers]
        assert named[0] == named[1] and answers[0].status_code == answers[1].status_code
        assert answers[0].content and not answers[1].content


def test_curl_is_told_of_failures(site: Any, curl: Run) -> None:
    write = ["-w", "\\n%{http_code} %{content_type}"]
    text = curl(*write, f"{site.url}/sync?ID={site.dids['zero']}&CIRCLE=0+10")
    assert text.startswith("UsageError: ") and text.splitlines()[-1] == "400 text/plain; charset=utf-8"
    text = curl(*write, f"{site.url}/sync?ID={site.dids['zero']}&CIRCLE=180+10+0.1")
    assert text.splitlines() == ["", "204 "]
    with pytest.raises(subprocess.CalledProcessError):
        curl("-f", f"{site.url}/sync")


# Parameters


@pytest.mark.parametrize(
    "query",
    [
        "id={0}&circle=0+10+0.05",
        "Id={0}&cIrClE=0+10+0.05",
        "ID={0}&POS=&CIRCLE=0+10+0.05&POLYGON=&PIXELS=&BAND=&TIME=&POL=&DETAIL=&RUNID=",
        "ID=&ID={0}&CIRCLE=0+10+0.05",
        "POS=CIRCLE+0+10+0.05&TIME=&BAND=&POL=&ID={0}",  # Aladin Desktop's template
        "&&ID={0}&&&CIRCLE=0+10+0.05&",
        "RUNID=" + "x" * 64 + "&ID={0}&CIRCLE=0+10+0.05",
        "VERSION=1.0&REQUEST=doCutout&unheard=of&ID={0}&CIRCLE=0+10+0.05",
        "ID={0}&CIRCLE=%20%200%09+10%20%20%200.05%20",
        "ID=%20{0}%20&CIRCLE=0+10+0.05",
        "ID={0}&CIRCLE=0+10+0.05&RESPONSEFORMAT=application%2Ffits",
        "ID={0}&CIRCLE=0+10+0.05&RESPONSEFORMAT=FITS",
        "ID={0}&CIRCLE=0+10+0.05&METADATA=none",
        "ID={0}&CIRCLE=0+10+0.05&BAND=-inf+Infinity&TIME=-INF+%2BInF",
    ],
)
def test_one_question_in_many_spellings(site: Any, query: str) -> None:
    for did in (quote(site.dids["zero"], safe=""), site.dids["zero"]):
        answer = site.client.get(f"{site.url}/sync?{query.format(did)}")
        assert answer.status_code == 200, answer.text
        assert site.window("zero", answer.content) == CENTRE


@pytest.mark.parametrize(
    ("query", "status", "text"),
    [
        ("", 400, "UsageError: ID"),
        ("ID=", 400, "UsageError: ID"),
        ("POS=CIRCLE+0+10+0.05", 400, "UsageError: ID"),
        ("ID={0}&ID={0}", 400, "MultiValuedParamNotSupported: ID"),
        ("ID={0}&id={1}", 400, "MultiValuedParamNotSupported: ID"),
        ("ID={0}&CIRCLE=0+10+1&CIRCLE=0+10+1", 400, "MultiValuedParamNotSupported: CIRCLE"),
        ("ID={0}&POS=CIRCLE+0+10+1&POS=CIRCLE+0+10+2", 400, "MultiValuedParamNotSupported: POS"),
        ("ID={0}&BAND=1+2&band=1+3", 400, "MultiValuedParamNotSupported: BAND"),
        ("ID={0}&TIME=1+2&TIME=1+3", 400, "MultiValuedParamNotSupported: TIME"),
        ("ID={0}&RUNID=1&RUNID=1", 400, "MultiValuedParamNotSupported: RUNID"),
        ("ID={0}&RESPONSEFORMAT=fits&RESPONSEFORMAT=fits", 400, "MultiValuedParamNotSupported: RESPONSEFORMAT"),
        ("ID={0}&CIRCLE=0+10+1&POLYGON=1+2+3+4+5+6", 400, "MultiValuedParamNotSupported: "),
        ("ID={0}&PIXELS=[1:2]&POS=CIRCLE+0+10+1", 400, "MultiValuedParamNotSupported: "),
        ("ID={0}&CIRCLE=0+10", 400, "UsageError: CIRCLE"),
        ("ID={0}&CIRCLE=0+10+-1", 400, "UsageError: CIRCLE"),
        ("ID={0}&CIRCLE=0+10+181", 400, "UsageError: CIRCLE"),
        ("ID={0}&CIRCLE=0+10+NaN", 400, "UsageError: CIRCLE"),
        ("ID={0}&CIRCLE=0+10+inf", 400, "UsageError: CIRCLE"),
        ("ID={0}&CIRCLE=0,10,1", 400, "UsageError: CIRCLE"),
        ("ID={0}&POLYGON=1+2+3+4", 400, "UsageError: POLYGON"),
        ("ID={0}&POLYGON=1+2+3+4+5+6+7", 400, "UsageError: POLYGON"),
        ("ID={0}&POLYGON=1+2+3+94+5+6", 400, "UsageError: POLYGON"),
        ("ID={0}&POS=RANGE+1+2+3", 400, "UsageError: POS"),
        ("ID={0}&POS=RANGE+1+2+4+3", 400, "UsageError: POS"),
        ("ID={0}&POS=RANGE+1e308+-1e308+0+1", 400, "UsageError: POS"),
        ("ID={0}&BAND=550", 400, "UsageError: BAND"),
        ("ID={0}&BAND=2+1", 400, "UsageError: BAND"),
        ("ID={0}&TIME=NaN+1", 400, "UsageError: TIME"),
        ("ID={0}&POL=Z", 400, "UsageError: POL"),
        ("ID={0}&PIXELS=1:2", 400, "UsageError: PIXELS"),
        ("ID={0}&PIXELS=[1:2", 400, "UsageError: PIXELS"),
        ("ID={0}&METADATA=all", 400, "UsageError: METADATA"),
        ("ID={0}x", 404, "UsageError: "),
        ("ID=zero.fits", 404, "UsageError: "),
        ("ID=%00%ff%fe", 404, "UsageError: "),
        ("ID=ivo%3A%2F%2Farchive.example%2FSKY%3F..%2F..%2Fetc%2Fpasswd", 404, "UsageError: "),
        ("ID={2}&CIRCLE=0+10+1", 400, "UsageError: "),  # an image without a place on the sky
        ("ID={3}&PIXELS=[1:150,1:134]", 413, "UsageError: "),  # 20,100 pixels; the limit is 20,000
    ],
)
def test_refusals_in_the_words_of_soda(site: Any, query: str, status: int, text: str) -> None:
    dids = [quote(site.dids[name], safe="") for name in ("zero", "cube", "unplaced", "big")]
    for answer in (
        site.client.get(f"{site.url}/sync?{query.format(*dids)}"),
        site.client.get(f"{site.url}/sync?{query.format(*dids)}", headers={"Accept": BROWSER}),
        site.client.post(f"{site.url}/sync?{query.format(*dids)}"),
    ):
        assert (answer.status_code, answer.headers["content-type"]) == (status, "text/plain; charset=utf-8")
        assert answer.text.startswith(text)
        assert answer.headers["access-control-allow-origin"] == "*"


def test_an_identifier_in_any_case_and_encoded_once_or_twice(site: Any) -> None:
    did = site.dids["Twin"]
    for spelling in (did, did.upper(), did.lower(), quote(did, safe=""), quote(did.upper(), safe="")):
        answer = site.client.get(f"{site.url}/sync", params={"ID": spelling, "PIXELS": "[1:1,1:1]"})
        assert site.window("Twin", answer.content) == ((0, 1), (0, 1))
    other = site.client.get(f"{site.url}/sync", params={"ID": site.dids["twin"].upper(), "PIXELS": "[1:1,1:1]"})
    assert site.window("twin", other.content) == ((0, 1), (0, 1))


# Viewers


def test_browsers_get_what_is_asked_for(site: Any) -> None:
    headers = {"Accept": BROWSER}
    answer = site.client.get(f"{site.url}/sync?ID={site.dids['zero']}&PIXELS=[1:1,1:1]", headers=headers)
    assert answer.headers["content-type"] == "application/fits"
    answer = site.client.get(f"{site.url}/sia?TARGET=zero", headers=headers)
    assert answer.headers["content-type"] == "application/x-votable+xml"
    answer = site.client.get(f"{site.url}/sia?TARGET=zero&RESPONSEFORMAT=text/xml", headers=headers)
    assert answer.headers["content-type"].partition(";")[0] == "text/xml"
    answer = site.client.get(f"{site.url}/links?ID={site.dids['zero']}", headers=headers)
    assert answer.headers["content-type"] == "application/x-votable+xml;content=datalink"
    answer = site.client.get(f"{site.url}/links?ID={site.dids['zero']}&RESPONSEFORMAT=text/xml")
    assert answer.headers["content-type"].partition(";")[0] == "text/xml"
    for name in ("capabilities", "availability"):
        answer = site.client.get(f"{site.url}/{name}", headers=headers)
        assert answer.headers["content-type"].partition(";")[0] in ("text/xml", "application/xml")


def test_pages_of_other_origins_may_ask(site: Any) -> None:
    for name in ("sia", "links", "sync", "capabilities", "availability", "files/SKY/image/zero.fits.fits"):
        address = f"{site.url}/{name}"
        asked = {"Origin": "https://aladin.example", "Access-Control-Request-Method": "GET"}
        allowed = site.client.options(address, headers=asked)
        assert allowed.status_code in (200, 204)
        assert allowed.headers["access-control-allow-origin"] == "*"
        assert "GET" in allowed.headers["access-control-allow-methods"]
        answer = site.client.get(address, headers={"Origin": "https://aladin.example"})
        assert answer.headers["access-control-allow-origin"] == "*"


def test_firefly_asks_for_the_metadata_alone(site: Any) -> None:
    root = parse_xml(site.client.get(f"{site.url}/sia?MAXREC=0").content)
    first, *_ = root.xpath("//v:RESOURCE[@utype='adhoc:this' or @utype='adhoc:service']", namespaces=VOTABLE)
    assert first.get("utype") == "adhoc:this"
    params = {each.get("name"): each for each in first.xpath("v:GROUP/v:PARAM", namespaces=VOTABLE)}
    for name, ucd in {
        "POS": "pos.outline;obs",
        "BAND": "em.wl",
        "CALIB": "meta.code;obs.calib",
        "DPTYPE": "meta.id",
        "COLLECTION": "meta.id",
        "FACILITY": "meta.id;instr.tel",
        "INSTRUMENT": "meta.id;instr",
    }.items():
        assert params[name].get("ucd") == ucd and params[name].get("value") == ""
    options = [str(each.get("value")) for each in root.xpath("//v:OPTION", namespaces=VOTABLE)]
    assert {"STRIPE", "SKY", "MANY"} <= set(options) and not any("," in each for each in options)
    assert root.xpath("//v:TABLEDATA", namespaces=VOTABLE) and not root.xpath("//v:TR", namespaces=VOTABLE)


def test_aladin_lite_finds_the_service_of_a_row(site: Any) -> None:
    root = parse_xml(site.client.get(f"{site.url}/links", params={"ID": site.dids["zero"]}).content)
    names = [str(each.get("name")) for each in root.xpath("//v:FIELD", namespaces=VOTABLE)]
    rows = [
        dict(zip(names, [cell.text or "" for cell in row], strict=True))
        for row in root.xpath("//v:TR", namespaces=VOTABLE)
    ]
    (cutout,) = [row for row in rows if row["semantics"] == "#cutout"]
    (this,) = [row for row in rows if row["semantics"] == "#this"]
    assert cutout["content_type"] == this["content_type"] == "application/fits"
    (service,) = root.xpath(f"//v:RESOURCE[@ID='{cutout['service_def']}']", namespaces=VOTABLE)
    values = {
        each.get("name"): each.get("value") for each in service.xpath("v:PARAM|v:GROUP/v:PARAM", namespaces=VOTABLE)
    }
    assert values["ID"] == site.dids["zero"] and "RANGE" not in values
    form = {"ID": values["ID"], "CIRCLE": "0 10 0.05"}
    answer = site.client.get(f"{values['accessURL']}?{urlencode(form)}")
    assert site.window("zero", answer.content) == CENTRE
    # No FIELD but that of the identifiers has an XML ID: Aladin Desktop would call it by that.
    assert root.xpath("//v:FIELD/@ID", namespaces=VOTABLE) == ["primaryID"]


@pytest.mark.parametrize(
    "path",
    [
        "", "/", "/sia/capabilities", "//capabilities", "/sync/capabilities", "/links/", "/sia/", "/async/", "/async/x",
        "/tables",
        "/Capabilities", "/capabilities/", "/files", "/files/SKY", "/files/SKY/", "/files/SKY/image/none.fits",
        "/files/SKY/..%2f..%2fimageserv.toml", "/files/NONE/image/zero.fits.fits", "/files/SKY/zero.fits",
    ],
)  # fmt: skip
def test_what_is_not_there_is_plainly_not_there(site: Any, path: str) -> None:
    answer = site.client.get(site.url + path)
    assert answer.status_code == 404
    assert "location" not in answer.headers


def test_the_addresses_of_files_are_forgiving_of_nothing_but_case(site: Any) -> None:
    address = f"{site.url}/files/SKY/{site.dids['twin'].partition('?')[2]}.fits"
    assert site.window("twin", site.client.get(address).content) == ((0, 30), (0, 20))
    for method in ("POST", "PUT", "DELETE"):
        assert site.client.request(method, address).status_code == 405


def test_nothing_is_compressed_unasked(site: Any) -> None:
    for name in (f"sync?ID={site.dids['zero']}&PIXELS=[1:9]", "sia", "files/SKY/image/packed.fits.gz.fits"):
        answer = site.client.get(f"{site.url}/{name}", headers={"Accept-Encoding": "identity"})
        assert "content-encoding" not in answer.headers
    # The file itself is never: a range of it would be one of the compressed bytes.
    address = f"{site.url}/files/SKY/image/packed.fits.gz.fits"
    assert "content-encoding" not in site.client.get(address, headers={"Accept-Encoding": "gzip"}).headers


def test_errors_of_searches_and_links_say_what_was_wrong(site: Any) -> None:
    answer = site.client.get(f"{site.url}/sia?POS=CIRCLE+1+2&BAND=1")
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/x-votable+xml")
    ((name, value, text),) = [each for each in infos(answer) if each[0] == "QUERY_STATUS"]
    assert (value, text[:12]) == ("ERROR", "UsageFault: ") and "POS" in text
    answer = site.client.get(f"{site.url}/sia?POS=CIRCLE+1+2&RESPONSEFORMAT=csv")
    assert answer.status_code == 400 and answer.text.startswith("UsageFault: ")
    assert answer.headers["content-type"].startswith("text/plain")
    answer = site.client.post(f"{site.url}/links", json={"ID": site.dids["zero"]})
    assert (answer.status_code, infos(answer)[0][1]) == (400, "ERROR")
    assert name == "QUERY_STATUS"


def test_repeated_and_empty_parameters_of_a_search(site: Any) -> None:
    for query in (
        "COLLECTION=SKY&TARGET=zero&POS=&BAND=&TIME=&MAXREC=&RESPONSEFORMAT=",
        "collection=SKY&Target=zero&TARGET=zero",
        "COLLECTION=SKY&COLLECTION=SKY&TARGET=&TARGET=zero",
        "POS=CIRCLE+0+10+0.1&POS=circle+0+10+0.1&TARGET=zero&FACILITY=Zwo&FACILITY=",
        "POS=RANGE+0+360+-90+%2BInf&POS=POLYGON+1+1+2+1+2+2&TARGET=zero",
        "TIME=55000.2505&TARGET=zero&EXPTIME=86.4&FOV=0.7+0.8&CALIB=2&DPTYPE=image&TIME=1+2",
    ):
        answer = site.client.get(f"{site.url}/sia?{query}&RESPONSEFORMAT=csv")
        assert answer.text.count("\n") == 2, answer.text


def test_thousands_of_fields_in_a_form(site: Any) -> None:
    ids = [f"ivo://archive.example/MANY?image/none-{number}" for number in range(3000)]
    for form in ({"data": {"ID": ids}}, {"files": [("ID", (None, each)) for each in ids]}):
        answer = site.client.post(f"{site.url}/links", **form)
        assert answer.status_code == 200
        assert answer.text.count("NotFoundFault") == 3000


def test_conditions_and_ranges_of_a_file(site: Any) -> None:
    address = f"{site.url}/files/SKY/image/zero.fits.fits"
    stored = site.images["zero"].path.read_bytes()
    whole = site.client.get(address)
    assert (whole.content, whole.headers["accept-ranges"]) == (stored, "bytes")
    part = site.client.get(address, headers={"Range": "bytes=2880-2887"})
    assert (part.status_code, part.content) == (206, stored[2880:2888])
    assert part.headers["content-range"] == f"bytes 2880-2887/{len(stored)}"
    assert site.client.get(address, headers={"Range": f"bytes={len(stored)}-"}).status_code == 416
    assert site.client.get(address, headers={"If-None-Match": whole.headers["etag"]}).status_code == 304
    later = {"Range": "bytes=0-9", "If-Range": '"another"'}
    assert site.client.get(address, headers=later).content == stored


def test_many_clients_at_once_get_each_its_own_image(site: Any) -> None:
    names = ["zero", "tiles", "packed", "Twin", "twin", "calexp-r", "raw-g", "cube", "many-0777", "coadd-r"]

    def ask(number: int) -> None:
        name, corner = names[number % len(names)], 1 + number % 3
        answer = site.sync(name, PIXELS=f"[{corner}:4,2:{corner + 1}]")
        assert site.window(name, answer.content)[:2] == ((corner - 1, 4), (1, corner + 1))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(160)))


def test_a_client_that_leaves_in_the_middle_harms_nobody(site: Any) -> None:
    for _ in range(5):
        with httpx.stream("GET", f"{site.url}/sia?COLLECTION=MANY&MAXREC=2500") as answer:
            next(answer.iter_raw())
    assert site.client.get(f"{site.url}/sia?TARGET=zero&RESPONSEFORMAT=csv").text.count("\n") == 2


def test_a_table_as_json(site: Any) -> None:
    answer = site.client.get(f"{site.url}/sia?TARGET=zero&TARGET=unplaced&RESPONSEFORMAT=json&MAXREC=2")
    assert answer.headers["content-type"] == "application/json"
    document = answer.json()
    rows = {row["target_name"]: row for row in document["data"]}
    assert set(rows) == {"zero", "unplaced"} and document["query_status"] == "OK"
    assert rows["zero"]["obs_publisher_did"] == site.dids["zero"] and rows["zero"]["s_ra"] == 0.0
    assert rows["unplaced"]["s_ra"] is None and rows["unplaced"]["s_xel1"] == 30


# The same question, the same bytes


def ways(site: Any, resource: str, query: dict[str, Any]) -> list[bytes]:
    """Ask one question in every way that HTTP has."""
    address = f"{site.url}/{resource}"
    parts = [
        (name, (None, value)) for name, each in query.items() for value in (each if isinstance(each, list) else [each])
    ]
    backwards = dict(reversed(query.items()))
    answers = [
        site.client.get(address, params=query),
        site.client.get(address, params=backwards),
        site.client.post(address, data=query),
        site.client.post(address, params=query),
        site.client.post(address, files=parts),
        site.client.get(address.replace("/api", ""), params=query),
        site.client.get(
            address, params={name.lower(): value for name, value in query.items()}, headers={"Accept": BROWSER}
        ),
    ]
    assert {answer.status_code for answer in answers} == {200}
    return [answer.content for answer in answers]


def test_cutouts_depend_on_nothing_but_the_question(site: Any) -> None:
    found: set[bytes] = set()
    for shape in (
        {"CIRCLE": "300 5 0.05"}, {"POS": "CIRCLE 300 5 0.05"}, {"POS": "Circle 300.0 5e0 .05"},
        {"CIRCLE": "+660  5.000 0.0500"}, {"CIRCLE": "-60 5 5e-2"},
    ):  # fmt: skip
        for band in ("0.2132 0.2137", "2.132e-1  .2137", "0.21320 +0.2137"):
            query = {"ID": site.dids["cube"], **shape, "BAND": band, "RUNID": band}
            found.update(ways(site, "sync", query))
    assert len(found) == 1


def test_order_of_states_and_corners_that_say_the_same(site: Any) -> None:
    base = {"ID": site.dids["stokes"], "DETAIL": "planes"}
    one = ways(site, "sync", {**base, "POL": ["V", "U"]})
    other = ways(site, "sync", {"ID": site.dids["stokes"].upper(), "POL": ["U", "V", "u"]})
    assert len({*one, *other}) == 1
    closed = ways(site, "sync", {**base, "POLYGON": "320 4.95 320.05 5 320 5.05 320 4.95"})
    open_ = ways(site, "sync", {**base, "POS": "POLYGON 320 4.95 320.05 5 320 5.05"})
    assert len({*closed, *open_}) == 1


def test_tables_depend_on_nothing_but_the_question(site: Any) -> None:
    search = {"POS": "CIRCLE 0 10 0.1", "COLLECTION": ["SKY", "STRIPE"]}
    assert len(set(ways(site, "sia", search))) == 1
    assert len(set(ways(site, "sia", {"MAXREC": "0"}))) == 1
    links = {"ID": [site.dids["zero"], site.dids["calexp-r"], "nothing"]}
    assert len(set(ways(site, "links", links))) == 1
    assert len(set(ways(site, "links", {"ID": site.dids["zero"]}))) == 1


def test_a_batch_says_of_each_image_what_a_single_request_says(site: Any) -> None:
    wanted = [site.dids[name] for name in ("zero", "calexp-r", "packed", "unplaced", "many-0003")]

    def rows(identifiers: list[str]) -> list[list[str]]:
        root = parse_xml(site.client.post(f"{site.url}/links", data={"ID": identifiers}).content)
        # The name of the service is the document's own.
        return [
            [cell.text or "" for index, cell in enumerate(row) if index != 2]
            for row in root.xpath("//v:TR", namespaces=VOTABLE)
        ]

    assert rows(wanted) == [row for each in wanted for row in rows([each])]


def pixels_of(content: bytes) -> list[bytes]:
    """Give the bytes of each HDU's data, as they stand in a file."""
    with read_fits(io.BytesIO(content)) as hdus:
        places = [hdu.fileinfo() for hdu in hdus]
        return [content[place["datLoc"] : place["datLoc"] + place["datSpan"]] for place in places]


def cards_of(content: bytes) -> list[list[str]]:
    """Give the cards of each header but those that report what was asked."""
    with read_fits(io.BytesIO(content)) as hdus:
        return [[str(card) for card in hdu.header.cards if not card.keyword.startswith("CUT")] for hdu in hdus]


@pytest.mark.parametrize(
    ("ds", "name", "position", "key"),
    [
        ("calexp", "calexp-r", (37.6, 0.1), "run=5646&camcol=4&field=694&filter=r"),
        ("raw", "raw-g", (359.999, -0.1), "run=2708&camcol=3&field=103&filter=g"),
        ("deepCoadd", "coadd-r", (19.37, -0.31), "tract=0&patch=321,4&filter=r"),
    ],
)
def test_one_cutout_by_every_way_into_the_service(
    site: Any,
    command_line: Callable[..., bytes],
    ds: str,
    name: str,
    position: tuple[float, float],
    key: str,
) -> None:
    box = f"ds={ds}&{key}&ra={position[0]}&dec={position[1]}&width=13&height=8&unit=pixel&detail=all"
    v1 = site.client.get(f"{site.config.base_url}/api/image/v1/STRIPE?{box}")
    section = v1.headers["x-imageserv-delivered"]
    soda = site.sync(name, PIXELS=section, DETAIL="all")
    told = command_line("cutout", f"STRIPE?{box}", "-o", "-")
    assert np.prod([stop - start for start, stop in site.window(name, v1.content)]) == 13 * 8
    assert pixels_of(v1.content) == pixels_of(soda.content) == pixels_of(told)
    assert v1.content == told
    assert cards_of(v1.content) == cards_of(soda.content)
