"""Every row of the API's table, verbatim, against the demo as a user starts it; astropy says what is right."""

import io
import json
from typing import Any

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.nddata import Cutout2D
from astropy.wcs import WCS

# astropy's annotations tell little of what these give.
read_fits: Any = fits.open
wcs_of: Any = WCS
coordinates: Any = SkyCoord


pytestmark = pytest.mark.filterwarnings("ignore::astropy.wcs.FITSFixedWarning")

DB = "DC_W13_Stripe82"
RAW = "runs/{0}/40/corr/{3}/fpC-{0:06d}-{1}{3}-{2:04d}.fit"
CALEXP = "calexps/sci-results/{0}/{3}/{1}/calexp/calexp-{0:06d}-{1}{3}-{2:04d}.fits"
COADD = "coadd/deepCoadd/{1}/{0}/{2}/coadd-{1}-{0}-{2}.fits"

R2708, G5646, R5646, Z3325 = (2708, "r", 103, 3), (5646, "g", 694, 4), (5646, "r", 694, 4), (3325, "z", 171, 1)

ROWS: dict[str, tuple[str, str]] = {
    "I_1": ("ds=raw&ra=359.195&dec=-0.1055&filter=r", RAW.format(*R2708)),
    "I_2": ("ds=raw&run=5646&camcol=4&field=694&filter=g", RAW.format(*G5646)),
    "I_3": ("ds=raw&sid=3325410171", RAW.format(*Z3325)),
    "I_4": ("ds=raw&ra=359.195&dec=-0.1055&filter=r&width=30.0&height=45.0&unit=arcsec", RAW.format(*R2708)),
    "I_5": ("ds=raw&ra=359.195&dec=-0.1055&filter=r&width=30&height=45&unit=pixel", RAW.format(*R2708)),
    "I_6": ("ds=calexp&ra=37.644598&dec=0.104625&filter=r", CALEXP.format(*R5646)),
    "I_7": ("ds=calexp&run=5646&camcol=4&field=694&filter=g", CALEXP.format(*G5646)),
    "I_8": ("ds=calexp&sid=3325410171", CALEXP.format(*Z3325)),
    "I_9": ("ds=calexp&ra=37.644598&dec=0.104625&filter=r&width=30.0&height=45.0&unit=arcsec", CALEXP.format(*R5646)),
    "I_10": ("ds=calexp&ra=37.644598&dec=0.104625&filter=r&width=100&height=100&unit=pixel", CALEXP.format(*R5646)),
    "I_11": (
        "ds=calexp&sid=5646240694&ra=37.6292&dec=0.104625&width=30.0&height=45.0&unit=arcsec",
        CALEXP.format(*R5646),
    ),
    "I_12": (
        "ds=calexp&sid=5646240694&ra=37.6292&dec=0.104625&width=100&height=100&unit=pixel",
        CALEXP.format(*R5646),
    ),
    "I_13": ("ds=deepcoadd&ra=19.37995&dec=-0.3146&filter=r", COADD.format(0, "r", "321,4")),
    "I_14": ("ds=deepcoadd&tract=0&patch=225,1&filter=i", COADD.format(0, "i", "225,1")),
    "I_15": ("ds=deepcoadd&sid=23986176", COADD.format(0, "u", "366,0")),
    "I_16": (
        "ds=deepcoadd&ra=19.36995&dec=-0.3147&filter=r&width=115&height=235&unit=arcsec",
        COADD.format(0, "r", "321,4"),
    ),
    "I_17": (
        "ds=deepcoadd&ra=19.36995&dec=-0.3147&filter=r&width=115&height=235&unit=pixel",
        COADD.format(0, "r", "321,4"),
    ),
    "I_18": ("ds=raw&sid=5646240694&ra=37.6292&dec=0.104625&width=30.0&height=45.0&unit=arcsec", RAW.format(*R5646)),
    "I_19": ("ds=raw&sid=5646240694&ra=37.6292&dec=0.104625&width=100&height=100&unit=pixel", RAW.format(*R5646)),
    "I_20": (
        "ds=deepcoadd&sid=23986176&ra=9.47103&dec=-1.181766&width=30.0&height=45.0&unit=arcsec",
        COADD.format(0, "u", "366,0"),
    ),
    "I_20 without unit": (
        "ds=deepcoadd&sid=23986176&ra=9.47103&dec=-1.181766&width=30.0&height=45.0",
        COADD.format(0, "u", "366,0"),
    ),
    "I_21": (
        "ds=deepcoadd&sid=23986176&ra=9.47103&dec=-1.181766&width=100&height=100&unit=pixel",
        COADD.format(0, "u", "366,0"),
    ),
    "I_22": (
        "ds=deepcoadd&tract=0&patch=225,1&filter=i&ra=40.49055&dec=-0.946593&width=100&height=100&unit=arcsec",
        COADD.format(0, "i", "225,1"),
    ),
    "I_14 in other letters": ("DS=deepCoadd&TRACT=0&Patch=225,1&filter=i", COADD.format(0, "i", "225,1")),
}


@pytest.mark.parametrize("prefix", ["/api/image/v1", "/image/v1"])
@pytest.mark.parametrize("row", ROWS)
def test_images(demo: Any, row: str, prefix: str) -> None:
    query, path = ROWS[row]
    response = demo.client.get(f"{prefix}/{DB}?{query}")
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/fits"
    stored = demo.folder / "demo" / DB / path
    values = dict(pair.split("=") for pair in query.lower().split("&"))
    if "width" not in values:
        assert response.content == stored.read_bytes()
        return
    check_cutout(response.content, stored, values)
    assert response.headers["x-imageserv-clipped"] == "false"
    assert response.headers["x-imageserv-coverage"] == "1.0"
    assert response.headers["x-imageserv-candidates"] == "1"


def check_cutout(content: bytes, stored: Any, values: dict[str, str]) -> None:
    """Hold a cutout against astropy's of each plane."""
    size = (float(values["height"]), float(values["width"]))
    place = coordinates(float(values["ra"]), float(values["dec"]), unit="deg")
    with (
        read_fits(stored, do_not_scale_image_data=True) as parent,
        read_fits(io.BytesIO(content), do_not_scale_image_data=True) as child,
    ):
        child.verify("exception")
        planes = [index for index, hdu in enumerate(parent) if hdu.is_image and hdu.header["NAXIS"]]
        assert [index for index, hdu in enumerate(child) if hdu.header["NAXIS"]] == planes
        for index in planes:
            wcs = wcs_of(parent[index].header)
            pixels = size
            if values.get("unit", "arcsec") == "arcsec":
                # The frames' pixels: their scales along x and y differ by less than a rounding of n would show.
                here = wcs.world_to_pixel(place)
                scales = [
                    wcs.pixel_to_world(here[0] - dx, here[1] - dy)
                    .separation(wcs.pixel_to_world(here[0] + dx, here[1] + dy))
                    .arcsec
                    for dx, dy in ((0, 0.5), (0.5, 0))
                ]
                pixels = (size[0] / scales[0], size[1] / scales[1])
            shape = tuple(max(1, round(length)) for length in pixels)
            expected = Cutout2D(parent[index].data, place, shape, wcs, mode="trim")
            np.testing.assert_array_equal(child[index].data, expected.data)
            assert child[index].data.dtype == parent[index].data.dtype
            for key in ("BZERO", "EXTTYPE", "MP_SAT"):
                assert child[index].header.get(key) == parent[index].header.get(key)
            cut = wcs_of(child[index].header)
            corners = np.array([[0, 0], [shape[1] - 1, 0], [0, shape[0] - 1], [shape[1] - 1, shape[0] - 1]], float)
            offset = expected.bbox_original[1][0], expected.bbox_original[0][0]
            assert np.abs(cut.all_pix2world(corners, 0) - wcs.all_pix2world(corners + offset, 0)).max() < 1e-6 * 1e-4


@pytest.mark.parametrize("flag", ["get_dataid=get", "get_dataid", "GET_DATAID="])
@pytest.mark.parametrize("name", ["ccdexpid", "sid"])
def test_data_id_of_a_science_id(demo: Any, flag: str, name: str) -> None:
    response = demo.client.get(f"/api/image/v1/{DB}?ds=raw&{flag}&{name}=5646240964")
    assert response.json() == {"run": 5646, "camcol": 4, "field": 964, "filter": "r"}
    coadd = demo.client.get(f"/api/image/v1/{DB}?ds=deepcoadd&{flag}&{name}=23986176")
    assert coadd.json() == {"tract": 0, "patch": "366,0", "filter": "u"}


def test_science_id_of_a_data_id(demo: Any) -> None:
    response = demo.client.get(f"/api/image/v1/{DB}?ds=raw&get_ccdexpid=get&camcol=4&field=694&filter=r&run=5646")
    assert response.text == "5646240694"
    coadd = demo.client.get(f"/api/image/v1/{DB}?ds=deepcoadd&get_ccdexpid&tract=0&patch=366,0&filter=u")
    assert coadd.text == "23986176"


def test_availability(demo: Any) -> None:
    document = demo.client.get("/api/image/v1/availability").json()
    assert document["Status"] == "imageREST_v1 is accepting queries."
    assert document["available"] == "true"


def test_capabilities(demo: Any) -> None:
    document = demo.client.get("/api/image/v1/capabilities").json()
    assert document["availability"] == {"url": "image/v1/availability"}
    assert document["query"] == {"url": "image/v1/DC_W13_Stripe82", "interface": ["DAX"]}
    assert document["capabilities"] == {"url": "image/v1/capabilities"}
    assert {entry["name"] for entry in document["repositories"]} == {DB, "ASTROPY_SAMPLES"}


def test_the_demo_prints_urls_that_work(demo: Any) -> None:
    printed = (demo.folder / "output.txt").read_text()
    urls = [word for word in printed.split() if word.startswith(f"{demo.url}/api/image/v1/")]
    urls = [url for url in urls if "?" in url or url.endswith(("availability", "capabilities"))]
    assert len(urls) >= 26
    for url in urls:
        assert demo.client.get(url).status_code == 200, url


def test_stars_are_where_the_catalogue_has_them(demo: Any) -> None:
    """Cut small stamps around bright stars of the demo's sky: their centroids are in the middle."""
    offsets: list[tuple[float, float]] = []
    stored = demo.folder / "demo" / DB / CALEXP.format(*R5646)
    with read_fits(stored) as parent:
        data, wcs = np.nan_to_num(parent[1].data.astype(float)), wcs_of(parent[1].header)
        bright = np.argwhere((data > np.percentile(data, 99.95)) & (data < np.percentile(data, 99.99)))
        peaks = [
            (y, x)
            for y, x in bright
            if 20 < y < data.shape[0] - 20
            and 20 < x < data.shape[1] - 20
            and data[y, x] == data[y - 7 : y + 8, x - 7 : x + 8].max()
        ]
    for y, x in peaks[:40]:
        window = data[y - 5 : y + 6, x - 5 : x + 6]
        cx, cy = centroid(window)
        sky = wcs.pixel_to_world(x - 5 + cx, y - 5 + cy)
        query = {"ds": "calexp", "sid": "5646240694", "ra": float(sky.ra.deg), "dec": float(sky.dec.deg)}
        size = {"width": "11", "height": "11", "unit": "pixel", "detail": "image"}
        content = demo.client.get(f"/api/image/v1/{DB}", params=query | size).content
        with read_fits(io.BytesIO(content)) as child:
            found = wcs_of(child[1].header).world_to_pixel(sky)
            mx, my = centroid(child[1].data.astype(float))
            offsets.append((mx - float(found[0]), my - float(found[1])))
    assert len(offsets) > 10
    assert np.abs(np.median(np.array(offsets), axis=0)).max() < 0.05


def centroid(window: Any) -> tuple[float, float]:
    weights = np.clip(window - np.median(window), 0, None)
    ys, xs = np.mgrid[: window.shape[0], : window.shape[1]]
    return float((weights * xs).sum() / weights.sum()), float((weights * ys).sum() / weights.sum())


def test_json_answers_are_json(demo: Any) -> None:
    response = demo.client.get(f"/api/image/v1/{DB}?ds=raw&get_dataid&sid=5646240964")
    assert response.headers["content-type"] == "application/json"
    assert list(json.loads(response.text)) == ["run", "camcol", "field", "filter"]
