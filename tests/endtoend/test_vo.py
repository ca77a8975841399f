"""The Virtual Observatory's protocols of the demo, as a user starts it, by clients that know nothing of it."""

import io
from typing import Any

import numpy as np
import pytest
import pyvo
from astropy.io import fits
from astropy.wcs import WCS

read_fits: Any = fits.open
wcs_of: Any = WCS

pytestmark = pytest.mark.filterwarnings("ignore::astropy.wcs.FITSFixedWarning")

PLACE = (37.64516, 0.10322)


@pytest.fixture(scope="module")
def images(demo: Any) -> Any:
    return pyvo.dal.SIA2Service(f"{demo.url}/api/image/vo").search(pos=(*PLACE, 0.001))


def test_the_images_around_a_place(images: Any) -> None:
    found = {(row["obs_collection"], row["obs_id"], int(row["calib_level"])) for row in images}
    frames = {(f"{kind}/5646/4/694/{band}", level) for kind, level in (("raw", 1), ("calexp", 2)) for band in "gr"}
    assert found == {("DC_W13_Stripe82", name, level) for name, level in frames}


def test_each_image_is_cut_around_the_place(demo: Any, images: Any) -> None:
    """From its own file: the pixels are those of the whole image around the same coordinates."""
    for row in images:
        (link,) = [link for link in row.getdatalink() if link.semantics == "#this"]
        with read_fits(io.BytesIO(demo.client.get(link.access_url).content)) as whole:
            parent = next(hdu for hdu in whole if hdu.data is not None)
            x, y = wcs_of(parent.header).all_world2pix(*PLACE, 0)
            value = parent.data[round(float(y)), round(float(x))]
            scale = row["s_pixel_scale"] / 3600
        with read_fits(io.BytesIO(row.processed(circle=(*PLACE, 5 * scale)).read())) as cutout:
            child = next(hdu for hdu in cutout if hdu.data is not None)
            assert all(10 <= length <= 12 for length in child.data.shape)
            x, y = wcs_of(child.header).all_world2pix(*PLACE, 0)
            assert child.data[round(float(y)), round(float(x))] == value
            assert np.ptp(child.data) > 0


def test_the_service_says_that_it_is_well(demo: Any) -> None:
    vo = f"{demo.url}/api/image/vo"
    state = demo.client.get(f"{vo}/availability", headers={"Accept": "application/json"}).json()
    assert state["available"] is True and "accepting queries" in state["note"][-1]
    listed = demo.client.get(f"{vo}/capabilities", headers={"Accept": "application/json"}).json()["capabilities"]
    for capability in listed:
        url = capability["interfaces"][0]["accessURL"]["url"]
        assert url.startswith(f"{vo}/")
        # {sync} alone cannot do without a parameter.
        assert demo.client.get(url, params={"MAXREC": "1"}).status_code == (400 if url.endswith("/sync") else 200)
