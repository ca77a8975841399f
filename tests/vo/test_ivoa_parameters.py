"""DALI's rules for parameters, the same for every resource (DALI 1.1 sections 3.1 to 3.4)."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

VO = "/api/image/vo"
DID = "ivo://example.org/DC_W13_Stripe82?raw/5646/4/694/g"

SEARCH = {"POS": "CIRCLE 37.64516 0.10322 0.01", "MAXREC": "5"}
CUTOUT = {"ID": DID, "CIRCLE": "37.64516 0.10322 0.001"}
LINKS = {"ID": DID}
REQUESTS = {"sia": SEARCH, "links": LINKS, "sync": CUTOUT}


@pytest.mark.parametrize("resource", REQUESTS)
def test_neither_the_case_of_names_nor_their_order_nor_the_method_matters(client: httpx.Client, resource: str) -> None:
    params = REQUESTS[resource]
    url = f"{VO}/{resource}"
    expected = client.get(url, params=params)
    assert expected.status_code == 200 and expected.content
    answers = [
        client.get(url, params={name.lower(): value for name, value in params.items()}),
        client.get(url, params=dict(reversed([(name.title(), value) for name, value in params.items()]))),
        client.get(f"/image/vo/{resource}", params=params),
        client.post(url, data=params),
        client.post(url, params=params),
        client.post(url, files={name: (None, value) for name, value in params.items()}),
        client.get(url, params={**params, "UNKNOWN": "1", "VERSION": "2.0", "REQUEST": "query"}),
        client.get(url, params={**params, "RUNID": "mine", "RESPONSEFORMAT": "", "POL": ""}),
        client.get(url + "?" + str(httpx.QueryParams(params)).replace("+", "%20")),
    ]
    for answer in answers:
        assert answer.status_code == 200
        assert answer.content == expected.content
        assert answer.headers["content-type"] == expected.headers["content-type"]


@pytest.mark.parametrize("resource", REQUESTS)
def test_head_has_the_headers_of_get(client: httpx.Client, resource: str) -> None:
    got, head = (client.request(method, f"{VO}/{resource}", params=REQUESTS[resource]) for method in ("GET", "HEAD"))
    assert (head.status_code, head.content) == (200, b"")
    own = {"x-request-id", "date"}
    assert {*head.headers.items()} - {(name, head.headers.get(name)) for name in own} == {*got.headers.items()} - {
        (name, got.headers.get(name)) for name in own
    }


@pytest.mark.parametrize("resource", ["capabilities", "availability", "examples"])
def test_head_of_documents(client: httpx.Client, resource: str) -> None:
    got, head = (client.request(method, f"{VO}/{resource}") for method in ("GET", "HEAD"))
    assert (head.status_code, head.content) == (200, b"")
    assert int(head.headers["content-length"]) == len(got.content)
    assert head.headers["content-type"] == got.headers["content-type"]


SINGLE = [
    *[("sia", name) for name in ("RESPONSEFORMAT", "MAXREC", "RUNID")],
    *[("links", name) for name in ("RESPONSEFORMAT", "RUNID")],
]
VALUES = {"RESPONSEFORMAT": "votable", "MAXREC": "1", "RUNID": "x"}


@pytest.mark.parametrize(("resource", "name"), SINGLE)
def test_a_single_value_may_not_be_repeated(client: httpx.Client, resource: str, name: str) -> None:
    value = VALUES[name]
    for query in (f"{name}={value}&{name}={value}", f"{name}={value}&{name.lower()}={value}"):
        response = client.get(f"{VO}/{resource}?{query}")
        assert response.status_code == 400
        assert f"UsageFault: {name} takes one value, but the request gives 2" in response.text


@pytest.mark.parametrize("resource", REQUESTS)
def test_a_run_id_is_logged_and_of_at_most_64_characters(
    client: httpx.Client, resource: str, request_log: Callable[[httpx.Response], dict[str, Any]]
) -> None:
    longest = "é" * 64
    response = client.get(f"{VO}/{resource}", params={**REQUESTS[resource], "RunID": longest})
    assert response.status_code == 200
    assert request_log(response)["run_id"] == longest
    posted = client.post(f"{VO}/{resource}", data={**REQUESTS[resource], "runid": "mine"})
    assert request_log(posted)["run_id"] == "mine"
    refused = client.get(f"{VO}/{resource}", params={**REQUESTS[resource], "RUNID": "x" * 65})
    assert refused.status_code == 400
    assert "RUNID must be of at most 64 characters" in refused.text
    assert "run_id" not in request_log(refused)
    plain = client.get(f"{VO}/{resource}", params=REQUESTS[resource])
    assert "run_id" not in request_log(plain)


FORMATS = [
    ("votable", "application/x-votable+xml"),
    ("VOTable", "application/x-votable+xml"),
    ("application/x-votable+xml", "application/x-votable+xml"),
    ("application/x-votable+xml;serialization=tabledata", "application/x-votable+xml"),
    ("text/xml", "text/xml"),
    ("application/xml", "application/xml"),
    ("csv", "text/csv"),
    ("text/csv", "text/csv"),
    ("text/csv; header=present", "text/csv"),
    ("tsv", "text/tab-separated-values"),
    ("text/tab-separated-values", "text/tab-separated-values"),
    ("json", "application/json"),
    ("application/json", "application/json"),
]


@pytest.mark.parametrize(("name", "media_type"), FORMATS)
def test_a_search_is_answered_in_the_format_that_is_asked_for(client: httpx.Client, name: str, media_type: str) -> None:
    response = client.get(f"{VO}/sia", params={**SEARCH, "RESPONSEFORMAT": name})
    assert (response.status_code, response.headers["content-type"].partition(";")[0]) == (200, media_type)
    begins = {"text/csv": b"dataproduct_type,", "text/tab-separated-values": b"dataproduct_type\t"}
    begins["application/json"] = b'{"data"'
    assert response.content.startswith(begins.get(media_type, b"<?xml"))
    unescaped = client.get(f"{VO}/sia?RESPONSEFORMAT={name}")  # a + that arrives as a blank
    assert unescaped.headers["content-type"].partition(";")[0] == media_type


@pytest.mark.parametrize("resource", ["sia", "links"])
@pytest.mark.parametrize("name", ["gif", "application/fits", "text/html", "votable2", "*/*", "x" * 1000])
def test_another_format_is_refused_and_the_right_ones_are_named(client: httpx.Client, resource: str, name: str) -> None:
    response = client.get(f"{VO}/{resource}", params={**REQUESTS[resource], "RESPONSEFORMAT": name})
    assert response.status_code == 400
    assert "UsageFault: RESPONSEFORMAT=" in response.text
    assert "is not offered: votable (application/x-votable+xml" in response.text
    assert len(response.text) < 900


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("", "application/x-votable+xml;content=datalink"),
        ("votable", "application/x-votable+xml;content=datalink"),
        ("application/x-votable+xml", "application/x-votable+xml;content=datalink"),
        ("application/x-votable+xml;content=datalink", "application/x-votable+xml;content=datalink"),
        ("text/xml", "text/xml; charset=utf-8"),
        ("application/xml", "application/xml"),
    ],
)
def test_links_are_of_the_datalink_type_unless_another_is_named(
    client: httpx.Client, name: str, media_type: str
) -> None:
    response = client.get(f"{VO}/links", params={**LINKS, "RESPONSEFORMAT": name})
    assert (response.status_code, response.headers["content-type"]) == (200, media_type)


def test_what_a_browser_accepts_is_no_wish_for_another_format(client: httpx.Client) -> None:
    browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    for accept in (browser, "application/json", "text/csv", "*/*", ""):
        for resource in ("sia", "links"):
            response = client.get(f"{VO}/{resource}", params=REQUESTS[resource], headers={"Accept": accept})
            assert response.headers["content-type"].startswith("application/x-votable+xml")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("", "application/x-votable+xml"),
        ("votable", "application/x-votable+xml"),
        ("text/xml", "text/xml"),
        ("csv", "text/plain"),
        ("tsv", "text/plain"),
        ("json", "text/plain"),
        ("gif", "application/x-votable+xml"),
    ],
)
def test_an_error_is_a_votable_or_plain_text_for_those_who_asked_for_neither(
    client: httpx.Client, name: str, kind: str
) -> None:
    for method in ("GET", "POST"):
        where: dict[str, Any] = {"params" if method == "GET" else "data": {"POS": "here", "RESPONSEFORMAT": name}}
        response = client.request(method, f"{VO}/sia", **where)
        assert (response.status_code, response.headers["content-type"].partition(";")[0]) == (400, kind)
        if kind == "text/plain":
            assert response.text.startswith("UsageFault: ")
        else:
            assert '<INFO name="QUERY_STATUS" value="ERROR">UsageFault: ' in response.text


def test_json_bodies_are_refused(client: httpx.Client) -> None:
    for resource in REQUESTS:
        response = client.post(f"{VO}/{resource}", json={"ID": DID})
        assert response.status_code == 400
        assert "application/json: send application/x-www-form-urlencoded or multipart/form-data" in response.text


@pytest.mark.parametrize("resource", [*REQUESTS, "capabilities", "availability", "examples"])
def test_other_methods_are_refused(client: httpx.Client, resource: str) -> None:
    for method in ("PUT", "DELETE", "PATCH"):
        response = client.request(method, f"{VO}/{resource}")
        assert response.status_code == 405
        assert "GET" in response.headers["allow"]
        if resource == "sync":
            assert response.text.startswith(f"UsageError: {method} is no method")
        else:
            assert f"UsageFault: {method} is no method" in response.text and "<INFO" in response.text
    if resource not in REQUESTS:
        assert client.post(f"{VO}/{resource}").status_code == 405


@pytest.mark.parametrize(
    "path",
    ["/sia/capabilities", "//capabilities", "/", "", "/sia/", "/tables", "/sync/x", "/capabilities/", "/nothing"],
)
def test_what_is_not_there_is_404_and_no_redirect(client: httpx.Client, path: str) -> None:
    assert client.get(f"{VO}{path}").status_code == 404


def test_browsers_may_read_answers_and_errors_from_any_page(client: httpx.Client) -> None:
    for resource in [*REQUESTS, "capabilities", "availability", "examples"]:
        for params in (REQUESTS.get(resource, {}), {"RESPONSEFORMAT": "gif"}):
            response = client.get(f"{VO}/{resource}", params=params, headers={"Origin": "https://aladin.example"})
            assert response.headers["access-control-allow-origin"] == "*"
        assert client.options(f"{VO}/{resource}").status_code == 204
