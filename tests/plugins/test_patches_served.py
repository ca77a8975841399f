"""Stitched cutouts as clients of v1 and SODA have them."""

import io
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from imageserv.core.service import Service

from . import tract
from .tract import ALL, mosaic, path_of, serve_tract, write_tract

V1 = "/api/image/v1/SKY"
BOX = ((130, 170), (110, 170))
MISSING = tuple(patch for patch in ALL if patch != (1, 1))


@pytest.fixture
def served(tmp_path: Path, serve: Callable[[Service], Any]) -> Iterator[tuple[httpx.Client, Path]]:
    write_tract(tmp_path / "files")
    service = serve_tract(tmp_path, max_pixels=100_000)
    yield serve(service).client, tmp_path / "files"
    service.close()


def middle(box: tract.Box) -> tuple[float, float]:
    """Return the place of the middle pixel of a box of the tract."""
    header: Any = tract.patch_hdus((0, 0))[1].header
    (left, right), (low, high) = box
    ra, dec = WCS(header).all_pix2world((left + right) / 2, (low + high) / 2, 0)
    return float(ra), float(dec)


def image_of(response: httpx.Response) -> Any:
    assert response.status_code == 200, response.text
    with fits.open(io.BytesIO(response.content), memmap=False) as hdus:
        found: Any = hdus
        return found[1].data


def v1(box: tract.Box, **more: Any) -> dict[str, Any]:
    ra, dec = middle(box)
    size = {"width": box[0][1] - box[0][0], "height": box[1][1] - box[1][0], "unit": "pixel"}
    return {"ds": "deepcoadd", "filter": "r", "ra": ra, "dec": dec, **size, "stitch": "true", **more}


def body(box: tract.Box, **members: Any) -> dict[str, Any]:
    ra, dec = middle(box)
    size = {"x": box[0][1] - box[0][0], "y": box[1][1] - box[1][0], "unit": "pixel"}
    image_id = {"skymap_id": "deepCoadd_skyMap"}
    return {
        "image": {
            "ds": "deepcoadd",
            "cutout": {"image_id": image_id, "filter": "r", "center": {"x": ra, "y": dec}, "size": size, **members},
        }
    }


def test_every_way_to_ask_gives_the_same_pixels(served: tuple[httpx.Client, Path]) -> None:
    client, root = served
    expected = mosaic(root, ALL, BOX)[0]["image"]
    by_place = client.get(V1, params=v1(BOX))
    assert np.array_equal(image_of(by_place), expected)
    by_id = client.get(V1, params=v1(BOX, tract=0, patch="2,2"))
    assert np.array_equal(image_of(by_id), expected)
    over_sky_map = client.post(V1, json=body(BOX))
    assert over_sky_map.content == by_place.content
    (x0, _), (y0, _) = tract.outer((2, 2))
    pixels = f"[{BOX[0][0] - x0 + 1}:{BOX[0][1] - x0},{BOX[1][0] - y0 + 1}:{BOX[1][1] - y0}]"
    soda = client.get(
        "/api/image/vo/sync",
        params={"ID": "ivo://example.org/SKY?deepcoadd/0/2,2/r", "PIXELS": pixels, "STITCH": "true"},
    )
    assert np.array_equal(image_of(soda), expected)
    assert soda.content == by_id.content
    assert soda.headers["x-imageserv-delivered"] == soda.headers["x-imageserv-requested"] == pixels
    text = client.get(
        "/api/image/vo/sync",
        params={
            "ID": "ivo://example.org/SKY?deepcoadd/0/2,2/r",
            "PIXELS": pixels,
            "stitch": "true",
            "METADATA": "header",
        },
    ).text
    assert "CUTSRC4" in text and text.count("XTENSION= 'IMAGE") == 4


def test_the_sky_map_needs_no_patch_at_its_place(served: tuple[httpx.Client, Path], tmp_path: Path) -> None:
    client, root = served
    path_of(root, (1, 1)).unlink()
    serve_tract(tmp_path).close()  # reads the files anew
    box = ((150, 300), (185, 205))
    response = client.post(V1, json=body(box))
    assert np.array_equal(image_of(response), mosaic(root, MISSING, box)[0]["image"], equal_nan=True)
    assert response.headers["x-imageserv-clipped"] == "true"
    assert response.headers["x-imageserv-candidates"] == "0"
    assert 0 < float(response.headers["x-imageserv-coverage"]) < 1
    assert client.get(V1, params=v1(box)).content == response.content
    assert client.get(V1, params=v1(box, stitch="false")).status_code == 404
    inside = ((210, 220), (190, 200))
    for nothing in (client.post(V1, json=body(inside)), client.get(V1, params=v1(inside))):
        assert (nothing.status_code, nothing.json()["exception"]) == (404, "NoOverlapFault")


def test_the_etag_is_of_all_patches(served: tuple[httpx.Client, Path], tmp_path: Path) -> None:
    client, root = served
    answer = client.get(V1, params=v1(BOX))
    assert "last-modified" not in answer.headers
    etag = {"If-None-Match": answer.headers["etag"]}
    assert client.get(V1, params=v1(BOX), headers=etag).status_code == 304
    later = {"If-Modified-Since": "Fri, 01 Jan 2100 00:00:00 GMT"}
    assert client.get(V1, params=v1(BOX), headers=later).status_code == 200
    os.utime(path_of(root, (1, 1)), ns=(10**18, 10**18))
    touched = client.get(V1, params=v1(BOX), headers=etag)
    assert touched.status_code == 200 and touched.headers["etag"] != answer.headers["etag"]
    kept = tmp_path / "kept.fits"
    shutil.move(path_of(root, (1, 0)), kept)
    gone = client.get(V1, params=v1(BOX), headers=etag)
    assert gone.status_code == 503 and "1,0" in gone.json()["message"]
    serve_tract(tmp_path).close()
    without = client.get(V1, params=v1(BOX), headers={"If-None-Match": touched.headers["etag"]})
    assert without.status_code == 200
    patches = tuple(patch for patch in ALL if patch != (1, 0))
    assert np.array_equal(image_of(without), mosaic(root, patches, BOX)[0]["image"], equal_nan=True)


def test_wrong_requests_are_told_what_is_right(served: tuple[httpx.Client, Path]) -> None:
    client, _ = served
    for document, parameter, words in (
        (body(BOX, image_id={"skymap_id": "goodSeeing_skyMap"}), "skymap_id", "it has deepCoadd_skyMap"),
        (body(BOX, filter="y"), "filter", "u, g, r, i, z"),
        (body(BOX, colour="r"), "colour", "over a sky map"),
        (body(BOX, image_id={"science_id": 3}), "image.cutout", "filter"),
    ):
        response = client.post(V1, json=document)
        assert (response.status_code, response.json()["parameter"]) == (400, parameter), response.text
        assert words in response.json()["message"]
    without = body(BOX)
    del without["image"]["cutout"]["filter"]
    assert client.post(V1, json=without).json()["parameter"] == "filter"
    assert client.get(V1, params=v1(BOX, stitch="perhaps")).json()["parameter"] == "stitch"
    assert client.get(V1, params=v1(BOX, detail="all")).json()["parameter"] == "detail"
    large = client.get(V1, params=v1(((0, 300), (0, 300))))
    assert (large.status_code, large.json()["exception"]) == (413, "LimitFault")
