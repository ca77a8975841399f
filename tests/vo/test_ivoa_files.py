"""Whole images: what DataLink's ``#this`` leads to."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
from astropy.io import fits

from imageserv.core.config import load
from imageserv.core.errors import AuthenticationFault
from imageserv.core.service import Service, open_service

VO = "/api/image/vo"
G = f"{VO}/files/DC_W13_Stripe82/raw/5646/4/694/g.fits"

read_fits: Any = fits.open


def whole(archive: Path) -> bytes:
    return (archive.parent / "stripe82" / "runs" / "fpC-005646-g4-0694.fit").read_bytes()


@pytest.mark.parametrize("url", [G, G.removesuffix(".fits"), G.replace("/raw/", "/RAW/"), G.replace("/api", "")])
def test_the_file_as_it_is(client: httpx.Client, archive: Path, url: str) -> None:
    response = client.get(url)
    assert (response.status_code, response.content) == (200, whole(archive))
    assert response.headers["content-type"] == "application/fits"
    assert response.headers["content-disposition"] == 'attachment; filename="fpC-005646-g4-0694.fit"'
    assert response.headers["accept-ranges"] == "bytes"
    assert "content-encoding" not in response.headers
    head = client.head(url)
    assert (head.status_code, head.content) == (200, b"")
    for name in ("content-length", "etag", "last-modified", "content-type", "accept-ranges"):
        assert head.headers[name] == response.headers[name]


@pytest.mark.parametrize(
    ("asked", "status", "span"),
    [
        ("bytes=0-99", 206, slice(0, 100)),
        ("bytes=2880-", 206, slice(2880, None)),
        ("bytes=-10", 206, slice(-10, None)),
        ("bytes=5-5", 206, slice(5, 6)),
        ("bytes=0-999999999", 206, slice(None)),
        ("bytes=9-5", 200, slice(None)),  # malformed, and so ignored
        ("pixels=1-2", 200, slice(None)),
        ("bytes=0-1,5-6", 200, slice(None)),
        ("bytes=99999999-", 416, slice(0, 0)),
    ],
)
def test_ranges(client: httpx.Client, archive: Path, asked: str, status: int, span: slice) -> None:
    response = client.get(G, headers={"Range": asked})
    content = whole(archive)
    assert (response.status_code, response.content) == (status, content[span])
    if status == 206:
        first = span.indices(len(content))[0]
        assert response.headers["content-range"] == f"bytes {first}-{first + len(response.content) - 1}/{len(content)}"


def test_astropy_reads_parts_over_http(live: Any) -> None:
    """With Range requests, as of a file that is too large to fetch."""
    with read_fits(f"http://127.0.0.1:{live.port}{G}", use_fsspec=True) as remote:
        part = remote[0].section[10:12, 20:23]
    with read_fits(io.BytesIO(live.client.get(G).content)) as local:
        np.testing.assert_array_equal(part, local[0].data[10:12, 20:23])


def test_conditional_requests(client: httpx.Client) -> None:
    first = client.get(G)
    assert client.get(G, headers={"If-None-Match": first.headers["etag"]}).status_code == 304
    assert client.get(G, headers={"If-Modified-Since": first.headers["last-modified"]}).status_code == 304
    part = {"Range": "bytes=0-9", "If-Range": first.headers["etag"]}
    assert client.get(G, headers=part).status_code == 206
    assert client.get(G, headers={**part, "If-Range": '"other"'}).status_code == 200


def test_packed_files_and_odd_names(client: httpx.Client, archive: Path) -> None:
    rows = client.get(f"{VO}/sia", params={"RESPONSEFORMAT": "json"}).json()["data"]
    (odd,) = [row["obs_publisher_did"] for row in rows if "SKY" in row["obs_publisher_did"]]
    packed = "ivo://example.org/DC_W13_Stripe82?raw/7000/1/2/u"
    links = client.post(f"{VO}/links", data={"ID": [odd, packed], "RESPONSEFORMAT": "votable"}).text
    urls = [part.partition("<")[0] for part in links.split("<TD>") if "/vo/files/" in part]
    assert len(urls) == 2 and all(url.isascii() and " " not in url for url in urls)
    sky = (archive.parent / "sky" / "a folder" / "étoile 1.fits").read_bytes()
    assert client.get(urlsplit(urls[0]).path).content == sky
    response = client.get(urlsplit(urls[1]).path)
    with read_fits(io.BytesIO(response.content)) as hdus:
        assert hdus[0].data.shape == (50, 60)
    assert int(response.headers["content-length"]) == len(response.content)
    assert "content-encoding" not in response.headers


@pytest.mark.parametrize(
    "path",
    [
        "files/DC_W13_Stripe82/raw/5646/4/694/y.fits",
        "files/NOWHERE/raw/5646/4/694/g.fits",
        "files/DC_W13_Stripe82/runs/fpC-005646-g4-0694.fit",
        "files/DC_W13_Stripe82/..%2F..%2Fimageserv.toml",
        "files/DC_W13_Stripe82/../../imageserv.toml",
        "files/DC_W13_Stripe82/",
        "files/DC_W13_Stripe82",
        "files/",
        "files/DC_W13_Stripe82/%00",
        "files/DC_W13_Stripe82/raw",
    ],
)
def test_what_is_no_image_is_404(client: httpx.Client, archive: Path, path: str) -> None:
    response = client.get(f"{VO}/{path}")
    assert response.status_code == 404
    assert "Traceback" not in response.text and str(archive.parent) not in response.text


def test_an_image_that_is_refused_is_not_read(
    client: httpx.Client, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def authorise(dataset: str, headers: Any) -> None:
        raise AuthenticationFault("say who you are")

    monkeypatch.setattr(service.default, "authorise", authorise)
    monkeypatch.setattr(service.default, "whole", None)
    response = client.get(G)
    assert response.status_code == 401
    assert "www-authenticate" in response.headers


def test_a_file_that_is_gone_is_503(own_archive: Path, serve: Callable[[Service], Any]) -> None:
    service = open_service(load(own_archive, {}))
    client = serve(service).client
    (own_archive.parent / "stripe82" / "runs" / "fpC-005646-g4-0694.fit").unlink()
    for response in (client.get(G), client.get(f"{VO}/sync?ID=ivo://example.org/DC_W13_Stripe82?raw/5646/4/694/g")):
        assert response.status_code == 503
        assert "retry-after" in response.headers
    service.close()
