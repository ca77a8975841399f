"""Cutouts, pixel by pixel and header by header, against their parents as astropy reads them."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.nddata import Cutout2D
from astropy.wcs import WCS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imageserv.core.config import Limits
from imageserv.core.errors import FitsFault, LimitFault, NoOverlapFault, UnsupportedFault
from imageserv.core.fits.cards import make_card
from imageserv.core.fits.engine import Cutout, CutoutRequest, cut
from imageserv.core.fits.headers import PlaneHeader
from imageserv.core.fits.opened import OpenImage
from imageserv.core.fits.output import write
from imageserv.core.sky.stencil import Box

OpenFits = Callable[..., OpenImage]

# astropy's annotations tell little of what these give.
read_fits: Any = fits.open
pixels_of: Any = fits.getdata
wcs_of: Any = WCS
coordinates: Any = SkyCoord


def header(projection: str = "TAN", **cards: Any) -> fits.Header:
    """Give a header with a celestial WCS around (150.1, 2.2), turned by 30 degrees, 0.4 arcsec a pixel."""
    made = fits.Header()
    made["CTYPE1"], made["CTYPE2"] = f"RA---{projection}", f"DEC--{projection}"
    made["CRVAL1"], made["CRVAL2"] = 150.1, 2.2
    made["CRPIX1"], made["CRPIX2"] = 60.3, 41.7
    scale, turn = 0.4 / 3600, np.radians(30)
    made["CD1_1"], made["CD1_2"] = -scale * np.cos(turn), scale * np.sin(turn)
    made["CD2_1"], made["CD2_2"] = scale * np.sin(turn), scale * np.cos(turn)
    made["RADESYS"] = "ICRS"
    made.update({key.replace("__", "-"): value for key, value in cards.items()})
    return made


def pixels(*shape: int, dtype: str = "f4") -> np.ndarray[Any, Any]:
    """Give an array in which each pixel has a value of its own."""
    return np.arange(np.prod(shape), dtype=dtype).reshape(shape)


def answer(image: OpenImage, stencil: Box, detail: Any = "planes", drop: frozenset[str] = frozenset()) -> Any:
    """Cut, write, and read with astropy, which verifies the file."""
    cutout = cut(image, CutoutRequest(stencil, detail), drop=drop)
    content = bytes(write(cutout))
    assert len(content) % 2880 == 0
    hdus = read_fits(io.BytesIO(content), do_not_scale_image_data=True)
    hdus.verify("exception")
    return hdus


def at(path: Path, x: float, y: float, width: float, height: float, hdu: int = 0) -> Box:
    """Give the box in pixels around a pixel of a file, by the file's own WCS as astropy has it."""
    with read_fits(path) as hdus:
        sky = wcs_of(hdus[hdu].header, hdus).celestial.pixel_to_world(x, y).icrs
    return Box(sky.ra.deg, sky.dec.deg, width, height, "pixel")


def same_sky(parent: fits.Header, child: fits.Header, x0: int, y0: int, shape: tuple[int, int], key: str = " ") -> None:
    """Assert that each pixel of the child lies where the parent has it, to 1e-6 pixel of the parent."""
    ys, xs = np.mgrid[0 : shape[0] : 7j, 0 : shape[1] : 7j]
    old, new = wcs_of(parent, key=key), wcs_of(child, key=key)
    place = new.all_pix2world(xs.ravel(), ys.ravel(), 0)
    expected = old.all_pix2world(xs.ravel() + x0, ys.ravel() + y0, 0)
    good = np.isfinite(expected[0])
    assert good.any() and (np.isfinite(place[0]) == good).all()
    scale = np.abs(old.pixel_scale_matrix).max()
    assert np.abs(np.array(place)[:, good] - np.array(expected)[:, good]).max() < 1e-6 * scale


SIP = {
    "A_ORDER": 3, "A_2_0": -5.6e-5, "A_1_1": 4e-6, "A_0_3": 2e-8, "B_ORDER": 3, "B_0_2": 3e-5, "B_3_0": -1.7e-8,
}  # fmt: skip
TPV = {"PV1_0": 1e-5, "PV1_1": 1.001, "PV1_4": 2e-3, "PV2_0": -1e-5, "PV2_1": 0.999, "PV2_6": -3e-3}


@pytest.mark.parametrize(
    ("projection", "extra"),
    [("TAN", {}), ("TAN-SIP", SIP), ("TPV", TPV), ("CEA", {}), ("ZEA", {}), ("SIN", {"PV2_1": 0.01}), ("ARC", {})],
)
@pytest.mark.parametrize("dtype", ["u1", "i2", "i4", "i8", "f4", "f8"])
def test_pixels_and_wcs_of_the_cutout_are_the_parents(
    open_fits: OpenFits, tmp_path: Path, projection: str, extra: dict[str, Any], dtype: str
) -> None:
    path = tmp_path / "parent.fits"
    data = pixels(90, 120, dtype="f8").astype(dtype)
    fits.PrimaryHDU(data, header(projection, **extra)).writeto(path)
    child = answer(open_fits(path), at(path, 70.2, 33.9, 21, 14))[0]
    # c - n/2 = 59.7, 26.9 -> 60, 27
    assert child.header["BITPIX"] == fits.getheader(path)["BITPIX"]
    np.testing.assert_array_equal(child.data, data[27:41, 60:81])
    same_sky(fits.getheader(path), child.header, 60, 27, (14, 21))


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(x=st.floats(-30, 150), y=st.floats(-30, 120), width=st.integers(1, 200), height=st.integers(1, 200))
def test_boxes_are_those_of_cutout2d(
    open_fits: OpenFits, tmp_path: Path, x: float, y: float, width: int, height: int
) -> None:
    path = tmp_path / "parent.fits"
    if not path.exists():
        fits.PrimaryHDU(pixels(90, 120), header()).writeto(path)
    parent = pixels_of(path)
    stencil = at(path, x, y, width, height)
    wcs = wcs_of(fits.getheader(path))
    exact = wcs.world_to_pixel(coordinates(stencil.ra, stencil.dec, unit="deg"))
    if any(
        abs((value - size / 2) - round(value - size / 2)) < 1e-5
        for value, size in zip(exact, (width, height), strict=True)
    ):
        return  # the last bit of the WCS decides which pixel is first: either is right
    try:
        expected = Cutout2D(parent, exact, (height, width), mode="trim")
    except Exception as error:  # astropy's NoOverlapError
        assert "overlap" in str(error)
        with pytest.raises(NoOverlapFault):
            cut(open_fits(path), CutoutRequest(stencil, "planes"))
        return
    child = answer(open_fits(path), stencil)[0]
    np.testing.assert_array_equal(child.data, expected.data)


def test_sizes_on_the_sky_use_the_scale_of_each_axis(open_fits: OpenFits, tmp_path: Path) -> None:
    path = tmp_path / "parent.fits"
    made = header(CD1_1=-0.2 / 3600, CD1_2=0.0, CD2_1=0.0, CD2_2=0.5 / 3600)
    fits.PrimaryHDU(pixels(90, 120), made).writeto(path)
    place = at(path, 60, 40, 1, 1)
    child = answer(open_fits(path), Box(place.ra, place.dec, 8 / 3600, 10 / 3600, "deg"))[0]
    assert (child.header["NAXIS1"], child.header["NAXIS2"]) == (40, 20)


def test_the_smallest_box_is_one_pixel_that_contains_the_place(open_fits: OpenFits, tmp_path: Path) -> None:
    path = tmp_path / "parent.fits"
    fits.PrimaryHDU(pixels(90, 120), header()).writeto(path)
    for x, y in [(10.0, 20.0), (10.4, 20.4), (9.6, 19.6)]:
        child = answer(open_fits(path), at(path, x, y, 1e-9, 1e-9))[0]
        assert child.data.tolist() == [[20 * 120 + 10]]


def test_clipping_is_reported_and_the_wcs_stays_right(open_fits: OpenFits, tmp_path: Path) -> None:
    path = tmp_path / "parent.fits"
    fits.PrimaryHDU(pixels(90, 120), header()).writeto(path)
    cutout = cut(open_fits(path), CutoutRequest(at(path, 2, 88, 20, 10), "planes"))
    assert str(cutout.requested) == "[-7:12,84:93]"
    assert str(cutout.delivered) == "[1:12,84:90]"
    child = read_fits(io.BytesIO(bytes(write(cutout))))[0]
    assert child.data[0, 0] == 83 * 120
    same_sky(fits.getheader(path), child.header, 0, 83, (7, 12))


def test_a_box_larger_than_the_image_is_the_image(open_fits: OpenFits, tmp_path: Path) -> None:
    path = tmp_path / "parent.fits"
    fits.PrimaryHDU(pixels(90, 120), header()).writeto(path)
    place = at(path, 60, 40, 1, 1)
    child = answer(open_fits(path), Box(place.ra, place.dec, 1e3, 1e3, "deg"))[0]
    np.testing.assert_array_equal(child.data, pixels_of(path))


@pytest.mark.parametrize(("ra", "dec"), [(330.1, -2.2), (150.1, 32.2), (0.0, 90.0), (150.1, 2.5)])
def test_places_elsewhere_do_not_overlap(open_fits: OpenFits, tmp_path: Path, ra: float, dec: float) -> None:
    for number, extra in enumerate([{}, SIP]):
        path = tmp_path / f"parent{number}.fits"
        fits.PrimaryHDU(pixels(90, 120), header("TAN-SIP" if extra else "TAN", **extra)).writeto(path)
        with pytest.raises(NoOverlapFault):
            cut(open_fits(path), CutoutRequest(Box(ra, dec, 10, 10, "pixel"), "planes"))


def test_stored_integers_stay_as_they_are(open_fits: OpenFits, tmp_path: Path) -> None:
    path = tmp_path / "parent.fits"
    hdu = fits.PrimaryHDU(pixels(90, 120, dtype="i2"), header())
    hdu.header.update(BZERO=32767, BSCALE=1, BLANK=32767)
    hdu.writeto(path)
    child = answer(open_fits(path), at(path, 60, 40, 10, 10))[0]
    assert (child.header["BITPIX"], child.header["BZERO"], child.header["BLANK"]) == (16, 32767, 32767)
    with read_fits(path, do_not_scale_image_data=True) as parent:
        np.testing.assert_array_equal(child.data, parent[0].data[35:45, 55:65])


def test_what_counts_from_the_images_corner_moves_along(open_fits: OpenFits, tmp_path: Path) -> None:
    path = tmp_path / "parent.fits"
    made = header(
        LTV1=-884.0, LTV2=-577, LTM1_1=1.0, LTM2_2=1.0,
        CTYPE1A="LINEAR", CTYPE2A="LINEAR", CRVAL1A=884, CRVAL2A=577, CRPIX1A=1, CRPIX2A=1,
        CTYPE1B="LINEAR", CTYPE2B="LINEAR", CRVAL1B=5.0, CRVAL2B=6.0, CDELT1B=0.5, CDELT2B=2.0,
    )  # fmt: skip
    fits.PrimaryHDU(pixels(90, 120), made).writeto(path)
    child = answer(open_fits(path), at(path, 60, 40, 10, 10))[0].header
    x0, y0 = 55, 35
    assert (child["LTV1"], child["LTV2"]) == (-884 - x0, -577 - y0)
    assert (child["LTM1_1"], child["LTM2_2"]) == (1, 1)
    for key in "AB":  # B has no CRPIX: it is 0 by default, and must be written
        same_sky(fits.getheader(path), child, x0, y0, (10, 10), key)


def test_dss_plate_solutions_move_along(open_fits: OpenFits, tmp_path: Path) -> None:
    path = tmp_path / "plate.fits"
    hdu = fits.PrimaryHDU(pixels(90, 120))
    hdu.header.update(CNPIX1=1000, CNPIX2=2000.5)
    hdu.writeto(path)
    plane = PlaneHeader(open_fits(path).layout.hdus[0], frozenset())
    child = fits.Header.fromstring(plane.template.write(plane.cut([(55, 65), (35, 45)])[0]))
    assert (child["CNPIX1"], child["CNPIX2"]) == (1055, 2035.5)


def test_checksums_never_lie(open_fits: OpenFits, tmp_path: Path) -> None:
    path = tmp_path / "parent.fits"
    fits.PrimaryHDU(pixels(90, 120), header(DATAMIN=0.0, DATAMAX=10799.0)).writeto(path, checksum=True)
    child = answer(open_fits(path), at(path, 60, 40, 10, 10))[0].header
    assert not {"CHECKSUM", "DATASUM", "DATAMIN", "DATAMAX"} & set(child)


@pytest.fixture
def exposure(tmp_path: Path) -> Path:
    """Make an exposure of three planes and a table, as survey pipelines write them."""
    path = tmp_path / "exposure.fits"
    made = header("TAN-SIP", **SIP)
    mask = fits.ImageHDU(pixels(90, 120, dtype="i2"), made)
    mask.header.update(BZERO=32768, BSCALE=1)
    mask.header["HIERARCH MP_NO_DATA"] = 8
    table = fits.BinTableHDU.from_columns([fits.Column("id", "J", array=np.arange(12))], name="ARCHIVE")
    primary = fits.PrimaryHDU(header=fits.Header({"AR_HDU": 5, "OBJECT": "it"}))
    planes = [fits.ImageHDU(pixels(90, 120), made), mask, fits.ImageHDU(pixels(90, 120) / 2, made)]
    fits.HDUList([primary, *planes, table]).writeto(path)
    return path


def test_planes_are_cut_alike(open_fits: OpenFits, exposure: Path) -> None:
    hdus = answer(open_fits(exposure, 1, 2, 3), at(exposure, 60, 40, 10, 8, 1), drop=frozenset({"AR_HDU"}))
    assert len(hdus) == 4
    with read_fits(exposure, do_not_scale_image_data=True) as parent:
        for index in (1, 2, 3):
            np.testing.assert_array_equal(hdus[index].data, parent[index].data[36:44, 55:65])
            same_sky(parent[index].header, hdus[index].header, 55, 36, (8, 10))
    assert hdus[2].header["MP_NO_DATA"] == 8
    assert "AR_HDU" not in hdus[0].header and hdus[0].header["OBJECT"] == "it"


def test_detail_image_and_all(open_fits: OpenFits, exposure: Path) -> None:
    stencil = at(exposure, 60, 40, 10, 8, 1)
    assert len(answer(open_fits(exposure, 1, 2, 3), stencil, "image")) == 2
    hdus = answer(open_fits(exposure, 1, 2, 3), stencil, "all", drop=frozenset({"AR_HDU"}))
    assert hdus[0].header["AR_HDU"] == 5
    assert hdus[4].name == "ARCHIVE" and hdus[4].data["id"].tolist() == list(range(12))


def test_a_plane_that_follows_an_array_in_the_primary(open_fits: OpenFits, tmp_path: Path) -> None:
    path = tmp_path / "two.fits"
    first = fits.PrimaryHDU(pixels(30, 40, dtype="i2"), header(OBJECT="first", BZERO=32768, BSCALE=1))
    fits.HDUList([first, fits.ImageHDU(pixels(90, 120), header())]).writeto(path)
    hdus = answer(open_fits(path, 1), at(path, 60, 40, 10, 8, 1))
    assert hdus[0].header["NAXIS"] == 0 and hdus[0].header["OBJECT"] == "first"
    assert not {"CRPIX1", "BZERO", "CD1_1"} & set(hdus[0].header)
    assert hdus[1].data[0, 0] == 36 * 120 + 55


def test_cards_are_added_to_the_primary(open_fits: OpenFits, exposure: Path) -> None:
    cutout: Cutout = cut(open_fits(exposure, 1), CutoutRequest(at(exposure, 60, 40, 10, 8, 1), "planes"))
    hdus = read_fits(io.BytesIO(bytes(write(cutout, [make_card("CUTID", "ivo://x/" + "y" * 100)]))))
    assert hdus[0].header["CUTID"] == "ivo://x/" + "y" * 100
    assert hdus[0].header["EXTEND"] is True


def test_cubes_keep_their_other_axes(open_fits: OpenFits, tmp_path: Path) -> None:
    path = tmp_path / "cube.fits"
    made = header(CTYPE3="FREQ", CRVAL3=1.4e9, CDELT3=1e6, CRPIX3=1.0, CUNIT3="Hz", CD3_3=1e6)
    del made["CDELT3"]
    fits.PrimaryHDU(pixels(5, 90, 120), made).writeto(path)
    child = answer(open_fits(path), at(path, 60, 40, 10, 8))[0]
    np.testing.assert_array_equal(child.data, pixels_of(path)[:, 36:44, 55:65])
    assert child.header["CRPIX3"] == 1.0


def test_axes_in_the_other_order(open_fits: OpenFits, tmp_path: Path) -> None:
    path = tmp_path / "flip.fits"
    made = header()
    for one, other in [("CTYPE1", "CTYPE2"), ("CRVAL1", "CRVAL2"), ("CD1_1", "CD2_1"), ("CD1_2", "CD2_2")]:
        made[one], made[other] = made[other], made[one]
    fits.PrimaryHDU(pixels(90, 120), made).writeto(path)
    dec, ra = wcs_of(made).all_pix2world(70.2, 33.9, 0)
    child = answer(open_fits(path), Box(float(ra), float(dec), 21, 14, "pixel"))[0]
    np.testing.assert_array_equal(child.data, pixels_of(path)[27:41, 60:81])
    same_sky(made, child.header, 60, 27, (14, 21))


@pytest.mark.parametrize(
    ("lon", "lat", "extra"),
    [
        ("GLON", "GLAT", {}),
        ("ELON", "ELAT", {"RADESYS": "ICRS"}),
        ("RA--", "DEC-", {"RADESYS": "FK5", "EQUINOX": 2000.0}),
        ("RA--", "DEC-", {"RADESYS": "FK5", "EQUINOX": 1975.0}),
        ("RA--", "DEC-", {"RADESYS": "FK4", "EQUINOX": 1950.0}),
        ("RA--", "DEC-", {"RADECSYS": "FK5"}),
    ],
)
def test_positions_are_icrs_whatever_the_images_frame(
    open_fits: OpenFits, tmp_path: Path, lon: str, lat: str, extra: dict[str, Any]
) -> None:
    path = tmp_path / "frame.fits"
    made = header()
    del made["RADESYS"]
    made.update(extra)
    made["CTYPE1"], made["CTYPE2"] = f"{lon}-TAN", f"{lat}-TAN"
    fits.PrimaryHDU(pixels(90, 120), made).writeto(path)
    image = open_fits(path)
    stencil = at(path, 70.25, 33.75, 1, 1)  # astropy's SkyCoord converts here
    found = image.wcs.to_pixel(stencil.ra, stencil.dec)
    assert found is not None
    assert np.allclose(found, (70.25, 33.75), atol=1e-6)
    ra, dec = image.wcs.to_sky(np.array([70.25]), np.array([33.75]))
    assert (
        coordinates(ra, dec, unit="deg").separation(coordinates(stencil.ra, stencil.dec, unit="deg")).arcsec[0] < 1e-6
    )


def test_a_strange_third_axis_does_not_keep_the_celestial_ones_from_use(open_fits: OpenFits, tmp_path: Path) -> None:
    path = tmp_path / "cube.fits"
    made = header(CTYPE3="FELO-HEL", CRVAL3=0.0, CRPIX3=1.0, CD3_3=1.0)
    cube = fits.PrimaryHDU(pixels(3, 90, 120))
    cube.header.update(made)
    cube.writeto(path)
    sky = wcs_of(header()).pixel_to_world(70.2, 33.9)
    child = answer(open_fits(path), Box(sky.ra.deg, sky.dec.deg, 21, 14, "pixel"))[0]
    np.testing.assert_array_equal(child.data, pixels_of(path)[:, 27:41, 60:81])
    assert child.header["CTYPE3"] == "FELO-HEL"


@pytest.mark.parametrize("lookup", ["CPDIS1", "D2IMDIS1"])
def test_distortions_in_tables_are_refused_with_a_reason(open_fits: OpenFits, tmp_path: Path, lookup: str) -> None:
    path = tmp_path / "lookup.fits"
    fits.PrimaryHDU(pixels(90, 120), header(**{lookup: "LOOKUP"})).writeto(path)
    with pytest.raises(UnsupportedFault, match=lookup):
        cut(open_fits(path), CutoutRequest(Box(150.1, 2.2, 5, 5, "pixel"), "planes"))


def test_an_image_without_wcs_is_refused_with_a_reason(open_fits: OpenFits, tmp_path: Path) -> None:
    path = tmp_path / "bare.fits"
    fits.PrimaryHDU(pixels(90, 120)).writeto(path)
    with pytest.raises(UnsupportedFault, match="no celestial WCS"):
        cut(open_fits(path), CutoutRequest(Box(150.1, 2.2, 5, 5, "pixel"), "planes"))


def test_more_pixels_than_the_limit_are_refused(open_fits: OpenFits, exposure: Path) -> None:
    stencil = at(exposure, 60, 40, 10, 8, 1)
    assert answer(open_fits(exposure, 1, 2, 3, limits=Limits(max_pixels=240)), stencil)
    with pytest.raises(LimitFault, match="239"):
        cut(open_fits(exposure, 1, 2, 3, limits=Limits(max_pixels=239)), CutoutRequest(stencil, "planes"))


@pytest.mark.parametrize("tile", [(1, 120), (32, 32)])
@pytest.mark.parametrize(
    ("codec", "dtype"),
    [
        ("RICE_1", "i2"), ("RICE_1", "f4"), ("GZIP_1", "i4"), ("GZIP_2", "f8"), ("GZIP_2", "i2"),
        ("HCOMPRESS_1", "i4"), ("PLIO_1", "i2"), ("NOCOMPRESS", "f4"),
    ],
)  # fmt: skip
def test_tile_compressed_planes(
    open_fits: OpenFits, tmp_path: Path, codec: str, dtype: str, tile: tuple[int, int]
) -> None:
    if codec == "HCOMPRESS_1" and tile[0] == 1:
        tile = (30, 120)
    path = tmp_path / "packed.fits"
    data = (pixels(90, 120, dtype="f8") % 997).astype(dtype)
    compressed = fits.CompImageHDU(
        data, header(OBJECT="packed", CHECKSUM="x"), compression_type=codec, tile_shape=tile, quantize_level=16
    )
    fits.HDUList([fits.PrimaryHDU(), compressed]).writeto(path)
    child = answer(open_fits(path), at(path, 70.2, 33.9, 21, 14, 1))[1]
    with read_fits(path) as parent:
        expected = parent[1].data
        same_sky(parent[1].header, child.header, 60, 27, (14, 21))
    assert child.header["BITPIX"] == read_fits(path)[1].header["BITPIX"]
    np.testing.assert_array_equal(child.data, expected[27:41, 60:81])
    assert child.header["OBJECT"] == "packed"
    left = [card for card in child.header if card.startswith(("Z", "TTYPE", "TFORM", "TFIELDS"))]
    assert not left


def test_unsigned_integers_in_tiles_keep_their_bzero(open_fits: OpenFits, tmp_path: Path) -> None:
    path = tmp_path / "packed.fits"
    data = pixels(90, 120, dtype="u2") + np.uint16(40000)
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(data, header())]).writeto(path)
    child = answer(open_fits(path), at(path, 70.2, 33.9, 21, 14, 1))[1]
    assert child.header["BZERO"] == 32768
    np.testing.assert_array_equal(child.data.astype(int) + 32768, data[27:41, 60:81])


def test_tiles_beyond_the_limit_are_refused(open_fits: OpenFits, tmp_path: Path) -> None:
    path = tmp_path / "packed.fits"
    compressed = fits.CompImageHDU(pixels(90, 120, dtype="i2"), header(), tile_shape=(90, 120))
    fits.HDUList([fits.PrimaryHDU(), compressed]).writeto(path)
    with pytest.raises(LimitFault, match="10800"):
        answer(open_fits(path, limits=Limits(max_tile_pixels=10799)), at(path, 70, 33, 5, 5, 1))


def test_damaged_tiles_are_refused(open_fits: OpenFits, tmp_path: Path) -> None:
    path = tmp_path / "packed.fits"
    compressed = fits.CompImageHDU(pixels(90, 120, dtype="i4"), header(), compression_type="GZIP_1")
    fits.HDUList([fits.PrimaryHDU(), compressed]).writeto(path)
    stencil = at(path, 70, 33, 5, 5, 1)
    image = open_fits(path)
    hdu = image.layout.hdus[1]
    content = bytearray(path.read_bytes())
    heap = hdu.data_offset + hdu.data_size // 2
    content[heap : heap + 1000] = b"\x55" * 1000
    path.write_bytes(content)
    with pytest.raises(FitsFault, match="tiles"):
        answer(open_fits(path), Box(stencil.ra, stencil.dec, 500, 500, "pixel"))
