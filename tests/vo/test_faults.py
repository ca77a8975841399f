"""The table from exceptions to answers, and the documents that clients get."""

import io
import logging
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from astropy.io.votable import parse

from imageserv.core import errors
from imageserv.core.errors import ImageServError
from imageserv.core.service import Service
from imageserv.vo.faults import fault_of

V1 = "/api/image/v1/DC_W13_Stripe82"
WRONG = f"{V1}?ds=raw&ra=1&dec=91&filter=r"

STATUS = {
    "ImageServError": 500,
    "UsageFault": 400,
    "MultiValuedParamNotSupported": 400,
    "UnsupportedFault": 400,
    "LimitFault": 413,
    "RefusedFault": 403,
    "NotFoundFault": 404,
    "NoOverlapFault": 404,
    "AuthenticationFault": 401,
    "AuthorizationFault": 403,
    "UnavailableFault": 503,
    "FitsFault": 500,
    "ConfigurationFault": 500,
    "PluginFault": 500,
}


def tree(kind: type[ImageServError]) -> list[type[ImageServError]]:
    return [
        kind,
        *(each for child in kind.__subclasses__() if child.__module__ == errors.__name__ for each in tree(child)),
    ]


def test_every_exception_has_a_status() -> None:
    found = {kind.__name__: fault_of(kind("x")).status for kind in tree(ImageServError)}
    assert found == STATUS
    assert fault_of(ZeroDivisionError()).status == 500


def test_a_plugins_own_exception_is_answered_as_its_base() -> None:
    class Strange(errors.NoOverlapFault):
        pass

    assert fault_of(Strange("x")) == fault_of(errors.NoOverlapFault("x"))


@pytest.mark.parametrize("kind", [kind for kind in tree(ImageServError)] + [ZeroDivisionError, OSError])
def test_each_is_answered(
    client: httpx.Client,
    service: Service,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    kind: Callable[[str], Exception],
) -> None:
    error = kind("the secret reason")

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(service.default, "select", fail)
    with caplog.at_level(logging.ERROR):
        response = client.get(f"{V1}?ds=raw&sid=1")
    fault = fault_of(error)
    document = response.json()
    assert (response.status_code, document["exception"]) == (fault.status, fault.name)
    assert "Traceback" not in response.text
    assert response.headers["access-control-allow-origin"] == "*"
    if fault.status == 500:
        assert "secret" not in response.text
        assert document["id"] == response.headers["x-request-id"]
        (record,) = [record for record in caplog.records if record.exc_info]
        assert vars(record)["facts"]["id"] == document["id"]
        assert record.exc_info is not None and record.exc_info[1] is error
    else:
        assert document["message"] == "the secret reason"
    assert ("retry-after" in response.headers) == (fault.status == 503)
    assert ("www-authenticate" in response.headers) == (fault.status == 401)


XML = [
    ({"Accept": "application/x-votable+xml"}, "", "application/x-votable+xml"),
    ({"Accept": "text/xml"}, "", "text/xml"),
    ({"Accept": "application/xml;q=0.9"}, "", "application/xml"),
    ({}, "&RESPONSEFORMAT=votable", "application/x-votable+xml"),
    ({}, "&responseformat=text/xml", "text/xml"),
    ({"Accept": "application/json"}, "&RESPONSEFORMAT=application/x-votable%2Bxml", "application/x-votable+xml"),
]


@pytest.mark.parametrize(("headers", "query", "media_type"), XML)
@pytest.mark.parametrize("url", [WRONG, f"{V1}?ds=nothing&sid=1", "/api/image/v1/NOWHERE?ds=raw", "/nothing?a=b"])
def test_errors_are_votables_when_xml_is_asked_for(
    client: httpx.Client, url: str, headers: dict[str, str], query: str, media_type: str
) -> None:
    if url == "/nothing?a=b" and query:
        return  # nobody reads the parameters of a path that does not exist
    response = client.get(url + query, headers=headers)
    assert response.status_code in (400, 404)
    assert response.headers["content-type"].partition(";")[0] == media_type
    assert response.content.startswith(b"<?xml ")
    (resource,) = parse(io.BytesIO(response.content)).resources
    (info,) = resource.infos
    assert (resource.type, info.name, info.value) == ("results", "QUERY_STATUS", "ERROR")
    word = "UsageFault: " if response.status_code == 400 else "NotFoundFault: "
    assert info.content.startswith(word)


def test_a_posted_format_counts_for_errors_too(client: httpx.Client) -> None:
    response = client.post(V1, data={"ds": "raw", "RESPONSEFORMAT": "votable"})
    assert (response.status_code, response.headers["content-type"]) == (400, "application/x-votable+xml")


@pytest.mark.parametrize(
    "accept", ["*/*", "application/json", "application/fits", "text/html,application/xml;q=0.9,*/*;q=0.8", "x", ""]
)
def test_errors_are_json_otherwise(client: httpx.Client, accept: str) -> None:
    for url in (WRONG, "/nothing"):
        response = client.get(url, headers={"Accept": accept})
        assert response.headers["content-type"] == "application/json"
        assert response.headers["vary"] == "Accept"
    image = client.get(f"{WRONG}&RESPONSEFORMAT=fits", headers={"Accept": accept})
    assert (image.status_code, image.headers["content-type"]) == (400, "application/json")


def test_a_faulty_answer_in_xml_has_the_id_too(
    client: httpx.Client, service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(service.default, "select", lambda: None)  # the wrong number of arguments: a TypeError
    response = client.get(f"{V1}?ds=raw&sid=1", headers={"Accept": "text/xml"})
    assert response.status_code == 500
    assert response.headers["x-request-id"] in response.text
    caplog.clear()


def test_every_request_has_a_line_in_the_log(
    client: httpx.Client, request_log: Callable[[httpx.Response], dict[str, Any]]
) -> None:
    image = client.get(f"{V1}?ds=raw&sid=5646240694&colour=r%0Ad")
    wrong = client.get(WRONG, headers={"X-Request-Id": "mine"})
    served = request_log(image)
    assert (served["method"], served["status"], served["bytes"]) == ("GET", 200, len(image.content))
    assert served["target"] == f"{V1}?ds=raw&sid=5646240694&colour=r%0Ad"
    assert served["image"] == image.headers["x-imageserv-parent"]
    assert served["ms"] >= 0
    refused = request_log(wrong)
    assert (refused["status"], "image" in refused) == (400, False)


def test_clients_are_authorised_before_anything_is_read(
    client: httpx.Client, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, Any]] = []

    def authorise(dataset: str, headers: Any, *, wait: bool) -> None:
        asked.append((dataset, headers))
        raise errors.AuthorizationFault("not you")

    monkeypatch.setattr(service.default, "authorise", authorise)
    monkeypatch.setattr(service.default, "select", None)
    queries = ["sid=5646240694", "sid=5646240694&get_dataid", "ra=1&dec=1&filter=r&width=1&height=1"]
    for query in queries:
        assert client.get(f"{V1}?ds=RAW&{query}", headers={"X-Token": "t"}).status_code == 403
    body = {"image": {"ds": "raw", "image_id": {"science_id": 5646240694}}}
    assert client.post(V1, json=body).status_code == 403
    assert [dataset for dataset, _ in asked] == ["raw"] * 4
    assert asked[0][1]["x-token"] == "t"
