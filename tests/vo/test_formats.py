"""FITS with tile-compressed planes: by Accept or RESPONSEFORMAT, of v1 and of SODA; told in headers and documents."""

import io
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from astropy.io import fits

from imageserv.core.config import load
from imageserv.core.repository import Repository
from imageserv.core.service import open_service

from .conftest import sky, write

read_fits: Any = fits.open
V1, SYNC = "/api/image/v1/TILES", "/api/image/vo/sync"
TILED, FITS = "application/fits;compression=tile", "application/fits"
PIXELS = np.random.default_rng(2).normal(100, 5, (60, 90)).astype("f4")


@pytest.fixture(scope="module")
def configuration(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiles")
    (folder / "files").mkdir()
    plane = fits.CompImageHDU(PIXELS, sky(10.0, 20.0, 90, 60), tile_shape=(20, 30))
    fits.HDUList([fits.PrimaryHDU(), plane]).writeto(folder / "files" / "tiled.fits")
    write(folder / "files" / "plain.fits", (90, 60), sky(11.0, 20.0, 90, 60))
    path = folder / "imageserv.toml"
    path.write_text(
        'authority = "example.org"\n[repositories.TILES]\nroot = "files"\n'
        '[repositories.TILES.datasets.image]\nplugin = "image"\n'
    )
    config = load(path, {})
    repository = Repository(config.repositories["TILES"], config, writable=True)
    repository.ingest(None, lambda done, total, path: None)
    repository.close()
    return path


@pytest.fixture
def client(configuration: Path, serve: Callable[..., Any]) -> Iterator[httpx.Client]:
    service = open_service(load(configuration, {}))
    yield serve(service).client
    service.close()


def soda(client: httpx.Client, accept: str = "*/*", name: str = "tiled", **params: str) -> httpx.Response:
    params = {"ID": f"ivo://example.org/TILES?image/{name}.fits", "PIXELS": "[41:50,25:28]", **params}
    return client.get(SYNC, params=params, headers={"Accept": accept})


def v1(client: httpx.Client, accept: str = "*/*", name: str = "tiled", **params: str) -> httpx.Response:
    center = {"ra": "10" if name == "tiled" else "11", "dec": "20"}
    params = {"ds": "image", "file": f"{name}.fits", **center, "width": "8", "height": "4", "unit": "pixel", **params}
    return client.get(V1, params=params, headers={"Accept": accept})


def images(response: httpx.Response, **options: Any) -> list[Any]:
    with read_fits(io.BytesIO(response.content), **options) as hdus:
        return [(hdu.header.copy(), None if hdu.data is None else np.array(hdu.data)) for hdu in hdus]


@pytest.mark.parametrize(
    "form", ["fits.fz", "FITS.FZ", TILED, "application/fits; compression=tile", "image/fits;compression=tile"]
)
def test_responseformat_of_both(client: httpx.Client, form: str) -> None:
    expected = PIXELS[20:40, 30:60]
    for answer in (v1(client, RESPONSEFORMAT=form), soda(client, RESPONSEFORMAT=form)):
        assert answer.status_code == 200
        assert answer.headers["content-type"] == (f"image/fits;{TILED.partition(';')[2]}" if "image" in form else TILED)
        assert answer.headers["content-disposition"].endswith('.fits.fz"')
        assert answer.headers["x-imageserv-delivered"] == "[31:60,21:40]"
        assert answer.headers["x-imageserv-clipped"] == "false"
        assert answer.headers["x-imageserv-coverage"] == "1.0"
        assert images(answer, disable_image_compression=True)[1][0]["ZIMAGE"] is True
        primary, plane = images(answer)
        with read_fits(io.BytesIO(soda(client, PIXELS="[31:60,21:40]").content)) as plain:
            np.testing.assert_array_equal(plane[1], plain[1].data)
        assert np.abs(plane[1] - expected).max() < 2  # quantised
        assert (primary[0]["CUTBOX"], primary[0]["CUTCLIP"]) == ("[31:60,21:40]", False)
    assert primary[0]["CUTREQ"] == "[41:50,25:28]"


@pytest.mark.parametrize(
    ("accept", "tiled"),
    [
        (TILED, True),
        (f"{FITS};q=0.5, {TILED}", True),
        (f"{TILED}, {FITS}", True),
        ('application/fits; Compression="tile"', True),
        (f"{FITS}, {TILED};q=0.5", False),
        (FITS, False),
        ("image/fits", False),
        ("*/*", False),
        ("application/fits;compression=none", False),
        (f"text/html, {TILED}", False),
    ],
)
def test_accept_of_v1(client: httpx.Client, accept: str, tiled: bool) -> None:
    answer = v1(client, accept)
    assert (answer.headers["content-type"] == TILED) is tiled
    assert answer.headers["content-disposition"].endswith('.fits.fz"' if tiled else '.fits"')
    assert images(answer)[1][1].shape == ((20, 30) if tiled else (4, 8))
    again = client.get(str(answer.url), headers={"Accept": accept, "If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304


def test_the_formats_have_entity_tags_of_their_own(client: httpx.Client) -> None:
    tags = {v1(client, accept).headers["etag"] for accept in (FITS, TILED)}
    assert len(tags) == 2


def test_images_without_tiles_come_plain(client: httpx.Client) -> None:
    for answer in (v1(client, TILED, "plain"), soda(client, name="plain", RESPONSEFORMAT="fits.fz")):
        assert answer.headers["content-type"] == FITS
        assert answer.headers["content-disposition"].endswith('.fits"')
    assert answer.headers["x-imageserv-delivered"] == "[41:50,25:28]"


def test_stored_files_are_given_as_they_are(client: httpx.Client) -> None:
    answer = client.get(V1, params={"ds": "image", "file": "tiled.fits", "RESPONSEFORMAT": "fits.fz"})
    assert answer.headers["content-type"] == FITS
    assert 'filename="tiled.fits"' in answer.headers["content-disposition"]


def test_what_a_request_beyond_the_edge_has(client: httpx.Client) -> None:
    """Clipped is what was asked for; more than that is no clipping."""
    answer = soda(client, PIXELS="[85:94,25:28]", RESPONSEFORMAT="fits.fz")
    names = ("requested", "delivered", "clipped", "coverage")
    told = [answer.headers[f"x-imageserv-{name}"] for name in names]
    assert told == ["[85:94,25:28]", "[61:90,21:40]", "true", "0.6"]


def test_headers_alone(client: httpx.Client) -> None:
    text = soda(client, RESPONSEFORMAT="fits.fz", METADATA="header").text
    assert "ZIMAGE  =                    T" in text
    assert "ZNAXIS1 =                   30" in text


def test_documents_say_so(client: httpx.Client) -> None:
    for url in ("/docs/v1", "/docs/soda", "/api/image/v1/openapi.json", "/api/image/vo/openapi.json"):
        assert TILED in client.get(url).text
    links = client.get("/api/image/vo/links", params={"ID": "ivo://example.org/TILES?image/tiled.fits"}).text
    assert f'<OPTION value="{TILED}"/>' in links
    refused = soda(client, RESPONSEFORMAT="png")
    assert refused.status_code == 400
    assert "fits.fz" in refused.text


def test_the_command_line_has_it(configuration: Path, tmp_path: Path) -> None:
    query = "ds=image&file=tiled.fits&ra=10&dec=20&width=8&height=4&unit=pixel&RESPONSEFORMAT=fits.fz"
    command = [sys.executable, "-m", "imageserv.vo.cli", "cutout", "--config", str(configuration), f"TILES?{query}"]
    subprocess.run(command, check=True, cwd=tmp_path, capture_output=True)
    (found,) = tmp_path.glob("*.fits.fz")
    with read_fits(found) as hdus:
        assert hdus[1].data.shape == (20, 30)
