"""What hostile, slow and stubborn clients, and changing disks, do not bring down."""

import asyncio
import gc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.requests import ClientDisconnect

from imageserv.core.config import load
from imageserv.core.demo_build import build
from imageserv.core.errors import ConfigurationFault, NotFoundFault, UnavailableFault
from imageserv.core.service import open_service
from imageserv.vo.edge import Edge
from imageserv.vo.images import Budget, CutoutResponse
from imageserv.vo.metrics import Metrics

V1 = "/api/image/v1/DC_W13_Stripe82"
WHOLE = {"ds": "raw", "sid": "5646240694"}
CUTOUT = WHOLE | {"ra": "37.64516", "dec": "0.10322", "width": "20", "height": "20", "unit": "pixel"}


def test_a_lone_surrogate_in_json_is_the_clients_fault(client: httpx.Client) -> None:
    body = '{"image": {"ds": "raw", "image_id": {"data_id": {"run": 1, "camcol": 1, "field": 1, "filter": "\\ud800"}}}}'
    response = client.post(V1, content=body, headers={"Content-Type": "application/json"})
    assert response.status_code == 400
    assert response.json()["exception"] == "UsageFault"


def test_a_condition_makes_no_answer_of_none(client: httpx.Client) -> None:
    """RFC 9110 section 13.2.1: conditions count where the answer would be 2xx."""
    elsewhere = CUTOUT | {"ra": "10", "dec": "0"}
    future = {"If-Modified-Since": "Fri, 01 Jan 2100 00:00:00 GMT"}
    assert client.get(V1, params=elsewhere, headers=future).status_code == 404
    assert client.get(V1, params=elsewhere, headers={"If-None-Match": "*"}).status_code == 404
    assert client.get(V1, params=CUTOUT, headers=future).status_code == 304
    etag = client.get(V1, params=CUTOUT).headers["etag"]
    assert client.get(V1, params=CUTOUT, headers={"If-None-Match": f'"x", W/{etag}'}).status_code == 304


def test_a_format_that_is_asked_for_twice_is_refused(client: httpx.Client) -> None:
    response = client.get("/api/image/v1/availability?RESPONSEFORMAT=json&responseformat=xml")
    assert response.status_code == 400
    assert "MultiValuedParamNotSupported" in response.text


@pytest.mark.parametrize("size", ["5e9", "1e300"])
def test_a_box_wider_than_any_image_is_refused(client: httpx.Client, size: str) -> None:
    response = client.get(V1, params=CUTOUT | {"width": size})
    assert response.status_code == 400
    assert response.json()["parameter"] == "width"


def test_coverage_is_told_however_small(client: httpx.Client) -> None:
    response = client.get(V1, params=CUTOUT | {"width": "3e8"})
    assert response.status_code == 200
    assert float(response.headers["x-imageserv-coverage"]) == pytest.approx(60 / 3e8, rel=1e-5)


def test_a_file_that_no_longer_holds_the_image_is_not_served_as_it(
    own_archive: Path, serve: Callable[..., Any]
) -> None:
    service = open_service(load(own_archive, {}))
    live = serve(service)
    path = own_archive.parent / "stripe82" / "runs" / "fpC-005646-r4-0694.fit"
    assert live.client.get(V1, params=WHOLE).status_code == 200
    path.write_bytes(b"garbage")
    for query in (WHOLE, CUTOUT):
        response = live.client.get(V1, params=query)
        assert response.status_code == 503, response.text
        assert "changed" in response.json()["message"]
    service.close()


def test_one_missing_file_is_no_outage_but_a_missing_registry_is(own_archive: Path) -> None:
    service = open_service(load(own_archive, {}))
    repository = service.repository("DC_W13_Stripe82")
    for path in sorted((own_archive.parent / "stripe82" / "runs").iterdir())[:1]:
        path.unlink()
    for _ in range(20):
        repository.check()
    registry = own_archive.parent / "DC_W13_Stripe82.sqlite"
    copy = registry.read_bytes()
    registry.unlink()
    with pytest.raises(UnavailableFault, match="gone"):
        repository.check()
    registry.write_bytes(copy)
    with pytest.raises(UnavailableFault, match="another"):
        repository.check()
    service.close()


def test_cutouts_under_way_are_counted_until_they_are_sent() -> None:
    budget = Budget(5_000_000)
    content = memoryview(bytes(3_000_000))
    sent: list[bytes] = []

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            sent.append(bytes(message["body"]))
            with pytest.raises(UnavailableFault, match="busy"):
                CutoutResponse(content, [], "application/fits", budget)

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    response = CutoutResponse(content, [], "application/fits", budget)
    asyncio.run(response({"type": "http", "method": "GET"}, receive, send))
    assert b"".join(sent) == bytes(content) and len(sent) == 12
    dropped = CutoutResponse(content, [], "application/fits", budget)  # its client went away before
    del dropped, response
    gc.collect()
    another = CutoutResponse(content, [], "application/fits", budget)
    with pytest.raises(UnavailableFault, match="busy"):  # none was counted out twice
        CutoutResponse(content, [], "application/fits", budget)
    del another


def test_more_cutouts_than_memory_is_allowed_for_are_put_off(archive: Path, serve: Callable[..., Any]) -> None:
    config = load(archive, {})
    service = open_service(replace(config, limits=replace(config.limits, max_answer_bytes=2880)))
    response = serve(service).client.get(V1, params=CUTOUT)
    assert response.status_code == 503
    assert response.headers["retry-after"]
    service.close()


def test_repositories_that_share_a_registry_are_refused(tmp_path: Path) -> None:
    table = '[repositories.{0}]\nroot = "."\n{1}[repositories.{0}.datasets.image]\nplugin = "image"\n'
    path = tmp_path / "imageserv.toml"
    path.write_text(table.format("A", "") + table.format("B", 'registry = "./A.sqlite"\n'))
    with pytest.raises(ConfigurationFault, match=r"repositories\.B\.registry"):
        load(path, {})


def test_the_demo_overwrites_nobodys_configuration(tmp_path: Path) -> None:
    path = tmp_path / "imageserv.toml"
    path.write_text("# mine\n")
    with pytest.raises(ConfigurationFault, match="not the demo's"):
        build(tmp_path, "http://127.0.0.1:1", lambda done, total, name: None)
    assert path.read_text() == "# mine\n"
    assert list(tmp_path.iterdir()) == [path]


def _scope() -> dict[str, Any]:
    scope: dict[str, Any] = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": []}
    return scope | {"client": None, "scheme": "http", "server": ("h", 80), "root_path": "", "http_version": "1.1"}


@pytest.mark.parametrize("fault", [TimeoutError(110, "Connection timed out"), OSError(5, "Input/output error")])
def test_a_file_system_that_gives_up_is_a_fault_of_ours(fault: OSError) -> None:
    """ETIMEDOUT is a TimeoutError to Python; it must not pass for a client that went away."""
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise fault

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(Edge(app, Metrics())(_scope(), receive, send))
    assert sent[0]["status"] == 500
    assert b"id" in sent[1]["body"] and b"timed out" not in sent[1]["body"]


def test_a_client_that_takes_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imageserv.vo.edge._STALL", 0.05)
    told: list[BaseException] = []
    metrics = Metrics()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        try:
            await send({"type": "http.response.body", "body": b"x"})
        except BaseException as error:
            told.append(error)
            raise

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            await asyncio.sleep(60)

    asyncio.run(asyncio.wait_for(Edge(app, metrics)(_scope(), receive, send), 30))
    assert [type(error) for error in told] == [ClientDisconnect]
    assert 'status="499"' in metrics.text()


def test_a_client_that_does_not_take_its_refusal_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imageserv.vo.edge._STALL", 0.05)
    metrics = Metrics()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise NotFoundFault("there is no such image")

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        await asyncio.sleep(60)

    asyncio.run(asyncio.wait_for(Edge(app, metrics)(_scope(), receive, send), 30))
    assert 'status="499"' in metrics.text()


def test_a_request_that_is_cancelled_is_no_client_that_stalled() -> None:
    metrics = Metrics()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        await asyncio.sleep(60)

    async def cancelled() -> None:
        task = asyncio.create_task(Edge(app, metrics)(_scope(), receive, send))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
