"""pyvo, unchanged: cutouts with every shape and interval that it can send, and what it shows when there is none."""

import io
from typing import Any

import httpx
import pytest
import pyvo
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.nddata import Cutout2D
from astropy.wcs import WCS
from pyvo.dal import DALServiceError

# These ship no types.
deg: Any = u.deg
read_fits: Any = fits.open
wcs_of: Any = WCS
place: Any = SkyCoord
service_at: Any = pyvo.dal.SIA2Service
soda: Any = pyvo.dal.adhoc.SodaQuery

C = 299792458.0

WHOLE = ((0, 60), (0, 50))
CENTRE = ((24, 36), (19, 31))  # what a circle of 0.05 degrees touches in the middle of 60 x 50 pixels of 0.01 degrees


@pytest.fixture(scope="module")
def service(base: str) -> Any:
    return service_at(base)


@pytest.fixture(scope="module")
def zero(service: Any) -> Any:
    return service.search(target_name="zero")[0]


@pytest.fixture(scope="module")
def cube(service: Any) -> Any:
    return service.search(target_name="cube")[0]


@pytest.fixture(scope="module")
def stokes(service: Any) -> Any:
    return service.search(target_name="stokes")[0]


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ({"circle": (0.0, 10.0, 0.05)}, CENTRE),
        ({"circle": (360.0, 10.0, 0.05)}, CENTRE),
        ({"circle": (0.0, 10.0, 0.05) * deg}, CENTRE),
        ({"circle": (0.0, 600.0, 3.0) * u.arcmin}, CENTRE),
        ({"circle": (0.0, 10.0, 3.0)}, WHOLE),
        ({"pos": "CIRCLE 0 10 0.05"}, CENTRE),
        ({"pos": "circle  -360 1e1  5e-2"}, CENTRE),
        ({"range": (0.001, 0.102, 10.001, 10.029)}, ((19, 30), (25, 28))),
        ({"range": (0.0, 360.0, 10.051, 90.0)}, ((0, 60), (30, 50))),
        ({"pos": "RANGE 359.9495 0.0505 9.951 10.049"}, ((25, 35), (20, 30))),
        ({"pos": "RANGE -Inf +Inf -Inf +Inf"}, WHOLE),
        ({"polygon": (0.001, 9.999, 359.95, 9.999, 0.001, 10.049)}, ((29, 35), (24, 30))),
        ({"polygon": (0.001, 10.049, 359.95, 9.999, 0.001, 9.999)}, ((29, 35), (24, 30))),
        ({"pos": "POLYGON 0.0495 9.951 359.9505 9.951 359.9505 10.049 0.0495 10.049"}, ((25, 35), (20, 30))),
        ({"PIXELS": "[1:7,50:50]"}, ((0, 7), (49, 50))),
        ({"PIXELS": "[*,3]"}, ((0, 60), (2, 3))),
        ({"PIXELS": "[55:99]"}, ((54, 60), (0, 50))),
        ({}, WHOLE),
    ],
)
def test_every_shape(site: Any, zero: Any, shape: dict[str, Any], expected: object) -> None:
    assert site.window("zero", zero.processed(**shape).read()) == expected


def test_a_cutout_has_its_place_on_the_sky(site: Any, service: Any) -> None:
    (row,) = service.search(target_name="tiles")
    with read_fits(io.BytesIO(row.processed(circle=(240.1, 60.1, 0.052)).read())) as hdus:
        pixels, wcs = hdus[1].data, wcs_of(hdus[1].header)
    whole = site.images["tiles"]
    oracle: Any = Cutout2D(whole.pixels, place(240.1, 60.1, unit="deg"), pixels.shape, wcs=wcs_of(whole.header))
    assert (pixels == oracle.data).all()
    corner = wcs.pixel_to_world(0, 0).separation(oracle.wcs.pixel_to_world(0, 0))
    assert corner.to_value(u.arcsec) < 1e-6


def test_polygons_of_nine_corners_as_pyvo_counts_them(site: Any, zero: Any) -> None:
    corners = [(0.04, 9.96), (0.0, 9.951), (359.96, 9.96), (359.951, 10.0), (359.96, 10.04), (0.0, 10.049)]
    corners += [(0.04, 10.04), (0.049, 10.01), (0.049, 10.0)]
    cut = zero.processed(polygon=tuple(number for corner in corners for number in corner)).read()
    assert site.window("zero", cut) == ((25, 35), (20, 30))


@pytest.mark.parametrize(
    ("channels", "expected"),
    [
        ((3, 6), (3, 6)),  # from the middle of one channel to the middle of another, counted from 0
        ((0, 0), (0, 0)),
        ((15, 99), (15, 15)),
        ((-99, 1), (0, 1)),
    ],
)
def test_a_band_cuts_the_channels_of_a_cube(
    site: Any, cube: Any, channels: tuple[int, int], expected: tuple[int, int]
) -> None:
    # The 16 channels are of 1 MHz from 1.4 GHz on.
    band = sorted(C / (1.4e9 + 1e6 * channel) for channel in channels)
    spans = site.window("cube", cube.processed(band=tuple(band)).read())
    assert spans == ((0, 24), (0, 20), (expected[0], expected[1] + 1))


def test_open_bands(site: Any, cube: Any) -> None:
    limit = C / (1.4e9 + 5e6)
    longer = cube.processed(band=(limit, float("inf"))).read()
    shorter = cube.processed(band=(float("-inf"), limit)).read()
    assert site.window("cube", longer)[2] == (0, 6)
    assert site.window("cube", shorter)[2] == (5, 16)
    assert site.window("cube", cube.processed(band=(float("-inf"), float("inf"))).read())[2] == (0, 16)


def test_a_band_and_a_shape_at_once(site: Any, service: Any, cube: Any) -> None:
    cut = cube.processed(circle=(300.0, 5.0, 0.0199), band=(C / 1.4051e9, C / 1.4049e9)).read()
    assert site.window("cube", cut) == ((10, 14), (8, 12), (5, 6))
    (other,) = service.search(target_name="transposed")  # frequency is its first axis, and falls
    cut = other.processed(circle=(310.0, 5.0, 0.0199), band=(C / 1.3951e9, C / 1.3949e9)).read()
    assert site.window("transposed", cut) == ((5, 6), (10, 14), (8, 12))


@pytest.mark.parametrize(
    ("pol", "expected"), [(["I"], (0, 1)), (["V", "U"], (2, 4)), (["I", "V"], (0, 4)), (["Q", "XX"], (1, 2))]
)
def test_states_of_polarization(site: Any, stokes: Any, pol: list[str], expected: tuple[int, int]) -> None:
    assert site.window("stokes", stokes.processed(pol=pol).read()) == ((0, 24), (0, 20), (0, 3), expected)


def test_everything_at_once_of_an_image_of_four_axes(site: Any, stokes: Any) -> None:
    cut = stokes.processed(circle=(320.0, 5.0, 0.0199), band=(C / 5.15e9, C / 5.06e9), pol=["Q"]).read()
    assert site.window("stokes", cut) == ((10, 14), (8, 12), (1, 2), (1, 2))
    with read_fits(io.BytesIO(cut)) as hdus:
        assert hdus[0].header["CRVAL3"] + (1 - hdus[0].header["CRPIX3"]) * 1e8 == pytest.approx(5.1e9)
        assert hdus[0].header["CRVAL4"] + (1 - hdus[0].header["CRPIX4"]) == pytest.approx(2.0)


def test_a_band_that_an_image_has_no_axis_for_gives_all_of_it_or_nothing(site: Any, service: Any) -> None:
    (row,) = service.search(target_name="calexp-r")  # a filter of 557 to 695 nm
    assert site.window("calexp-r", row.processed(band=(6e-7, 6.1e-7)).read()) == ((0, 40), (0, 30))
    assert row.processed(band=(float("-inf"), 5e-7)).read() == b""


def test_times(site: Any, zero: Any) -> None:
    assert site.window("zero", zero.processed(time=(55000.2505, 56000.0)).read()) == WHOLE
    assert site.window("zero", zero.processed(time=(55000.0, float("inf")), circle=(0.0, 10.0, 0.05)).read()) == CENTRE
    assert zero.processed(time=(55000.3, 56000.0)).read() == b""


@pytest.mark.parametrize(
    "nothing",
    [
        {"circle": (180.0, -10.0, 0.1)},
        {"circle": (0.0, 10.9, 0.1)},
        {"pos": "RANGE 10 20 -10 10"},
        {"pos": "POLYGON 10 10 11 10 11 11 10 11"},
        {"PIXELS": "[61:99,1:2]"},
        {"time": (40000.0, 40001.0)},
    ],
)
def test_nothing_there_is_an_empty_stream(zero: Any, nothing: dict[str, Any]) -> None:
    assert zero.processed(**nothing).read() == b""


def test_no_channel_and_no_state_is_an_empty_stream(cube: Any, stokes: Any) -> None:
    assert cube.processed(band=(5e-7, 6e-7)).read() == b""
    assert stokes.processed(pol=["XX", "RL"]).read() == b""


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"circle": (0.0, 95.0, 0.1)}, "^UsageError: .*CIRCLE"),
        ({"pos": "CIRCLE 1 2"}, "^UsageError: .*POS"),
        ({"pos": "BOX 1 2 3 4"}, "^UsageError: .*POS.*CIRCLE, RANGE or POLYGON"),
        ({"PIXELS": "[9:3,*]"}, "^UsageError: .*PIXELS"),
        ({"PIXELS": "[1:9:2,*]"}, "^UsageError: .*PIXELS"),
        ({"PIXELS": "[1][1:2,1:2]"}, "^UsageError: .*PIXELS"),
        ({"PIXELS": "[1:2,1:2,1:2]"}, "^UsageError: .*PIXELS"),
        ({"DETAIL": "some"}, "^UsageError: .*DETAIL"),
        ({"RESPONSEFORMAT": "image/png"}, "^UsageError: Format transformation not available.*application/fits"),
        ({"circle": (0.0, 10.0, 0.1), "pos": "CIRCLE 0 10 0.1"}, "^MultiValuedParamNotSupported: .*(POS|CIRCLE)"),
        ({"PIXELS": "[1:2,1:2]", "circle": (0.0, 10.0, 0.1)}, "^MultiValuedParamNotSupported: .*PIXELS"),
        ({"BAND": ["1 2", "3 4"]}, "^MultiValuedParamNotSupported: .*BAND"),
    ],
)
def test_the_reason_of_a_refusal_reaches_the_user(zero: Any, wrong: dict[str, Any], message: str) -> None:
    links = zero.getdatalink()
    query = soda.from_resource(links.get_first_proc(), next(links.iter_adhocservices()))
    if "circle" in wrong:
        query["CIRCLE"] = " ".join(str(number) for number in wrong["circle"])
    for name, value in wrong.items():
        if name != "circle":
            query[name.upper()] = value
    query.execute_stream()
    with pytest.raises(DALServiceError, match=message):
        query.raise_if_error()


def test_too_large_a_cutout_is_refused_with_the_limit(service: Any, site: Any) -> None:
    (big,) = service.search(target_name="big")
    with pytest.raises(DALServiceError, match=r"^UsageError: .*30000 pixels.*20000"):
        big.processed(circle=(250.0, 60.0, 1.0))
    assert site.window("big", big.processed(circle=(250.0, 60.0, 0.05)).read())


def test_an_unknown_image(site: Any) -> None:
    query = soda(f"{site.url}/sync", circle=(1.0, 2.0, 0.1), ID="ivo://archive.example/SKY?image/none.fits")
    query.execute_stream()
    with pytest.raises(DALServiceError, match=r"^UsageError: .*none\.fits"):
        query.raise_if_error()


def test_a_query_with_parameters_of_our_own(site: Any) -> None:
    query = soda(f"{site.url}/sync", ID=site.dids["calexp-r"])
    query["PIXELS"], query["DETAIL"] = "[3:9,5:7]", "image"
    with read_fits(io.BytesIO(query.execute_stream().read())) as hdus:
        assert len([hdu for hdu in hdus if hdu.data is not None]) == 1
    query["DETAIL"] = "all"
    with read_fits(io.BytesIO(query.execute_stream(post=True).read())) as hdus:
        assert [hdu.data.shape for hdu in hdus[1:4]] == [(3, 7)] * 3
        assert list(hdus[4].data["a"]) == [1, 2, 3]
    query["METADATA"] = "header"
    lines = query.execute_stream().read().decode().splitlines()
    assert lines[0].startswith("SIMPLE  =") and lines.count("END") == 5


def test_the_headers_without_the_pixels_are_those_of_the_cutout(site: Any) -> None:
    query = {"ID": site.dids["sip"], "CIRCLE": "250 -30 0.06"}
    content = site.client.get(f"{site.url}/sync", params=query).content
    answer = site.client.get(f"{site.url}/sync", params={**query, "METADATA": "header"})
    assert answer.headers["content-type"].startswith("text/plain")
    header = read_fits(io.BytesIO(content))[0].header
    assert fits.Header.fromstring(answer.text.removesuffix("END\n"), sep="\n") == header
    # The cutout's distortion is the image's: the same pixel is at the same place.
    (left, _), (bottom, _) = site.window("sip", content)
    parent, cut = wcs_of(site.images["sip"].header), wcs_of(header)
    for x, y in ((0, 0), (3, 7), (11, 2)):
        apart = cut.pixel_to_world(x, y).separation(parent.pixel_to_world(x + left, y + bottom))
        assert apart.to_value(u.arcsec) < 1e-6


def test_the_address_of_a_cutout_can_be_passed_on(site: Any) -> None:
    query = soda(f"{site.url}/sync", circle=(0.0, 10.0, 0.05), ID=site.dids["zero"])
    url = str(httpx.URL(query.queryurl, params=dict(query)))
    assert site.window("zero", site.client.get(url).content) == CENTRE
