"""How parameters arrive: query strings, forms, multipart, JSON, and bodies that are none of these or too long."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from imageserv.core.config import load
from imageserv.core.errors import UsageFault
from imageserv.core.service import Service, open_service
from imageserv.vo.app import create_app
from imageserv.vo.requests import load_json

V1 = "/api/image/v1/DC_W13_Stripe82"
QUERY = {"ds": "raw", "sid": "5646240694"}
LIMIT = 20_000


def test_parameters_of_the_url_and_of_the_form_are_one_request(client: httpx.Client) -> None:
    both = client.post(V1, params={"ds": "raw"}, data={"sid": "5646240694"})
    assert (both.status_code, both.content) == (200, client.get(V1, params=QUERY).content)
    twice = client.post(V1, params={"ds": "raw"}, data=QUERY)
    assert twice.json()["exception"] == "MultiValuedParamNotSupported"


def test_a_get_has_no_body(client: httpx.Client) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    response = client.request("GET", V1, params=QUERY, content=b"sid=1", headers=form)
    assert response.status_code == 200


def test_multipart_may_have_very_many_fields(client: httpx.Client) -> None:
    fields: list[tuple[str, tuple[None, str]]] = [("x", (None, ""))] * 180
    assert client.post(V1, params=QUERY, files=fields).status_code == 200
    response = client.post(V1, params=QUERY, content="&".join(["x="] * 5000), headers={"Content-Type": FORM})
    assert response.status_code == 200


FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("kind", "body", "words"),
    [
        ("text/plain", b"ds=raw", "text/plain"),
        ("application/xml", b"<a/>", "application/json"),
        (None, b"ds=raw", "unknown"),
        ("multipart/form-data", b"--a\r\n", "boundary"),
        ("multipart/form-data; boundary=a", b"--b\r\nContent-Disposition: form-data\r\n", "multipart/form-data"),
        ("multipart/form-data; boundary=a", b"--a\r\nContent-Disposition: form-data\r\n\r\n1\r\n--a--\r\n", "name"),
    ],
)
def test_a_body_that_cannot_be_read_is_400(client: httpx.Client, kind: str | None, body: bytes, words: str) -> None:
    response = client.post(V1, content=body, headers={"Content-Type": kind} if kind else {})
    assert (response.status_code, response.json()["exception"]) == (400, "UsageFault"), response.text
    assert words in response.json()["message"]


@pytest.mark.parametrize("end", ["", "\r\n--a", "\r\n--a\r\n", "\r\n--a\r\nfoo", "\r\n--a-", "\r\n--a--x", "\n--a--"])
def test_multipart_that_does_not_end_is_400(client: httpx.Client, end: str) -> None:
    """Its last part would be lost, and a cutout without its last parameter is the whole image."""
    part = '--a\r\nContent-Disposition: form-data; name="{}"\r\n\r\n{}'
    body = part.format("ds", "raw") + "\r\n" + part.format("sid", "5646240694")
    kind = {"Content-Type": 'multipart/form-data; boundary="a"'}
    assert client.post(V1, content=body + "\r\n--a--\r\n", headers=kind).status_code == 200
    response = client.post(V1, content=body + end, headers=kind)
    assert (response.status_code, response.json()["exception"]) == (400, "UsageFault")


def test_files_are_not_taken(client: httpx.Client) -> None:
    response = client.post(V1, params=QUERY, files={"ds": ("name.txt", b"raw")})
    assert response.status_code == 400


def test_a_compressed_body_is_refused(client: httpx.Client) -> None:
    response = client.post(V1, data=QUERY, headers={"Content-Encoding": "gzip"})
    assert response.status_code == 400
    assert "Content-Encoding" in response.json()["message"]


@pytest.mark.parametrize("kind", [FORM, "application/json", "multipart/form-data; boundary=a", "text/plain"])
def test_a_body_that_is_too_long_is_413(client: httpx.Client, kind: str) -> None:
    def chunks() -> Iterator[bytes]:
        yield from [b"x" * 1000] * (LIMIT // 1000 + 1)

    declared = client.post(V1, content=b"x" * (LIMIT + 1), headers={"Content-Type": kind})
    chunked = client.post(V1, content=chunks(), headers={"Content-Type": kind})
    for response in (declared, chunked):
        assert (response.status_code, response.json()["exception"]) == (413, "LimitFault")
        assert str(LIMIT) in response.json()["message"]


def test_a_body_of_the_greatest_length_is_read(client: httpx.Client) -> None:
    body = b"ds=raw&sid=5646240694&x=".ljust(LIMIT, b"x")
    assert client.post(V1, content=body, headers={"Content-Type": FORM}).status_code == 200


def exchange(port: int, sent: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        received = b""
        while chunk := connection.recv(1 << 16):
            received += chunk
        return received


def test_a_length_beyond_the_limit_is_refused_before_the_body_arrives(live: Any) -> None:
    head = f"POST {V1} HTTP/1.1\r\nHost: h\r\nContent-Type: {FORM}\r\nContent-Length: 99999999999999999999\r\n"
    answer = exchange(live.port, head.encode() + b"Connection: close\r\n\r\n")
    assert answer.startswith((b"HTTP/1.1 413 ", b"HTTP/1.1 400 "))
    head = f"POST {V1} HTTP/1.1\r\nHost: h\r\nContent-Type: {FORM}\r\nContent-Length: 99999999\r\n"
    answer = exchange(live.port, head.encode() + b"Connection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_a_client_that_leaves_before_its_body_is_whole_harms_nobody(live: Any, client: httpx.Client) -> None:
    head = f"POST {V1} HTTP/1.1\r\nHost: h\r\nContent-Type: {FORM}\r\nContent-Length: 500\r\n\r\nds=raw"
    for _ in range(20):
        assert b" 500 " not in exchange(live.port, head.encode())
    assert client.get(V1, params=QUERY).status_code == 200


@pytest.mark.parametrize("document", ['{"a": [1, 2.5, "é", null, true]}', " {} "])
def test_json_that_is_json(document: str) -> None:
    import json

    assert load_json(document.encode()) == json.loads(document)


@pytest.mark.parametrize("document", ["", "[", "1", "[]", "null", '{"a": NaN}', '{"a": -Infinity}', '{"a": 1e400}'])
def test_json_that_is_none_of_ours(document: str) -> None:
    with pytest.raises(UsageFault, match="not usable JSON"):
        load_json(document.encode())


def test_more_parameters_than_can_be_read_at_once_are_refused(archive: Path, serve: Callable[[Service], Any]) -> None:
    """Reading millions would hold up everybody else."""
    service = open_service(load(archive, {"IMAGESERV_LIMITS__MAX_REQUEST_BYTES": "4000000"}))
    client = serve(service).client
    head = '--a\r\nContent-Disposition: form-data; name="x"\r\n\r\n\r\n'
    kinds = {FORM: "x=&", "multipart/form-data; boundary=a": head}
    for kind, part in kinds.items():
        for count, status in ((24_990, 200), (26_000, 413)):
            end = "x=" if kind == FORM else "--a--\r\n"
            response = client.post(V1, params=QUERY, content=part * count + end, headers={"Content-Type": kind})
            assert response.status_code == status, response.text[:300]
    service.close()


def test_the_application_works_within_another(service: Service) -> None:
    """Starlette then raises otherwise than it does alone."""
    within = Starlette(routes=[Mount("/", app=create_app(service))])

    async def answered() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(within), base_url="http://within") as client:
            kind = {"Content-Type": "multipart/form-data; boundary=a"}
            return await client.post(
                V1, content=b"--a\r\nContent-Disposition: form-data\r\n\r\n1\r\n--a--\r\n", headers=kind
            )

    response = asyncio.run(answered())
    assert (response.status_code, response.json()["exception"]) == (400, "UsageFault"), response.text


def test_a_websocket_is_closed_at_once(service: Service) -> None:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope: dict[str, Any] = {"type": "websocket", "path": V1 + "/x", "root_path": "", "headers": [], "subprotocols": []}
    asyncio.run(create_app(service)(scope | {"query_string": b"", "client": None}, receive, send))
    assert [message["type"] for message in sent] == ["websocket.close"]
