"""The celestial WCS of an image, against astropy's high-level coordinates."""

import warnings
from typing import Any

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from imageserv.core.errors import UnsupportedFault
from imageserv.core.sky.wcs import SkyWcs

Array = NDArray[np.float64]

SIP: dict[str, Any] = {"A_ORDER": 2, "A_2_0": -5.6e-5, "A_1_1": 4e-6, "B_ORDER": 2, "B_0_2": 3e-5, "B_1_1": -2e-6}
TPV: dict[str, Any] = {"PV1_0": 1e-5, "PV1_1": 1.001, "PV1_4": 2e-3, "PV2_0": -1e-5, "PV2_1": 0.999, "PV2_6": -3e-3}


def header(
    projection: str = "TAN",
    ra: float = 150.1,
    dec: float = 2.2,
    axes: tuple[str, str] = ("RA--", "DEC-"),
    turn: float = 30.0,
    **cards: Any,
) -> fits.Header:
    """Give the header of an image of 100 x 80 pixels, 4 by 5 arcsec each."""
    made = fits.Header({"SIMPLE": True, "BITPIX": -32, "NAXIS": 2, "NAXIS1": 100, "NAXIS2": 80})
    made["CTYPE1"], made["CTYPE2"] = (f"{axis}-{projection}" for axis in axes)
    made["CRVAL1"], made["CRVAL2"] = ra, dec
    made["CRPIX1"], made["CRPIX2"] = 50.5, 40.5
    cosine, sine = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    made["CD1_1"], made["CD1_2"] = -4 / 3600 * cosine, 5 / 3600 * sine
    made["CD2_1"], made["CD2_2"] = 4 / 3600 * sine, 5 / 3600 * cosine
    made.update(cards)
    return made


def sky(made: fits.Header, x: Array, y: Array) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        place: Any = WCS(made).pixel_to_world(x, y)
        return place.icrs


def check(made: fits.Header) -> None:
    """Assert that pixels go to the sky and back, and have the size, that astropy says."""
    wcs = SkyWcs(made)
    x, y = (grid.ravel() for grid in np.meshgrid(np.linspace(-0.5, 99.5, 6), np.linspace(-0.5, 79.5, 5)))
    expected = sky(made, x, y)
    ra, dec = wcs.to_sky(x, y)
    assert (0 <= ra).all() and (ra < 360).all()
    assert expected.separation(SkyCoord(ra, dec, unit="deg")).arcsec.max() < 1e-7
    for at, place in zip(zip(x, y, strict=True), expected, strict=True):
        assert wcs.to_pixel(place.ra.deg, place.dec.deg) == pytest.approx(at, abs=1e-6)
    left, right, lower, upper = (
        sky(made, np.array([30 + dx]), np.array([20 + dy])) for dx, dy in [(-0.5, 0), (0.5, 0), (0, -0.5), (0, 0.5)]
    )
    scales = wcs.scales(30, 20)
    assert scales is not None
    assert scales == pytest.approx((left.separation(right).deg[0], lower.separation(upper).deg[0]), rel=1e-7)


@pytest.mark.parametrize(
    ("projection", "extra"),
    [
        ("TAN", {}),
        ("TAN-SIP", SIP),
        ("TAN-SIP", SIP | {"A_ORDER": 2.0, "B_ORDER": 2.0}),  # as some write them
        ("TPV", TPV),
        ("SIN", {"PV2_1": 0.01}),
        ("ZEA", {}),
        ("STG", {}),
        ("ZPN", {"PV2_1": 1.0, "PV2_3": 5.0}),
        ("CEA", {"PV2_1": 1.0}),
        ("AIT", {}),
        ("CAR", {}),
        ("HPX", {}),
    ],
)
@pytest.mark.parametrize(("ra", "dec"), [(150.1, 2.2), (0.01, -30.0), (10.0, 89.99), (200.0, -90.0)])
def test_pixels_and_places_are_astropys(projection: str, extra: dict[str, Any], ra: float, dec: float) -> None:
    if projection in ("CEA", "AIT", "CAR", "HPX"):
        dec = min(max(dec, -60.0), 60.0)  # their pole is a fold, or a line
    check(header(projection, ra, dec, **extra))


@pytest.mark.parametrize(
    ("axes", "extra"),
    [
        (("GLON", "GLAT"), {}),
        (("ELON", "ELAT"), {"RADESYS": "ICRS"}),
        (("RA--", "DEC-"), {"RADESYS": "FK5", "EQUINOX": 2000.0}),
        (("RA--", "DEC-"), {"RADECSYS": "FK5", "EQUINOX": 1975.0}),
        (("RA--", "DEC-"), {"RADESYS": "FK4", "EQUINOX": 1950.0, "MJD-OBS": 40000.0}),
        (("RA--", "DEC-"), {"EQUINOX": 1950.0}),
        (("RA--", "DEC-"), {"RADESYS": "FK4-NO-E", "EQUINOX": 1950.0}),
    ],
)
def test_places_are_icrs_whatever_the_images_frame(axes: tuple[str, str], extra: dict[str, Any]) -> None:
    check(header(axes=axes, **extra))


def test_latitude_may_come_first() -> None:
    made = header(ra=2.2, dec=150.1, axes=("DEC-", "RA--"), turn=0.0)
    check(made)
    # y runs along right ascension here.
    low, high = SkyWcs(made).to_sky(np.array([20.0, 20.0]), np.array([10.0, 70.0]))[0]
    assert abs(high - low) == pytest.approx(60 * 5 / 3600, rel=1e-3)


@pytest.mark.parametrize("projection", ["SIN", "TAN"])
@pytest.mark.parametrize(("spectral", "celestial"), [(1, (2, 3)), (2, (1, 3)), (3, (1, 2))])
def test_the_celestial_axes_of_a_cube_are_found(spectral: int, celestial: tuple[int, int], projection: str) -> None:
    flat = header(projection, turn=0.0)
    cube = fits.Header({"SIMPLE": True, "BITPIX": -32, "NAXIS": 3, "NAXIS1": 9, "NAXIS2": 9, "NAXIS3": 9})
    cube.update({f"CTYPE{spectral}": "FREQ", f"CRVAL{spectral}": 1.4e9, f"CDELT{spectral}": 1e6})
    for old, new in zip((1, 2), celestial, strict=True):
        for keyword in ("CTYPE", "CRVAL", "CRPIX"):
            cube[f"{keyword}{new}"] = flat[f"{keyword}{old}"]
        cube[f"CDELT{new}"] = flat[f"CD{old}_{old}"]
    fresh = SkyWcs(cube)
    assert (fresh.tangent_plane is None) == (projection == "SIN")
    place = sky(flat, np.array([70.2]), np.array([33.9]))
    for wcs in (fresh, SkyWcs(cube, fresh.tangent_plane)):
        assert wcs.axes == tuple(axis - 1 for axis in celestial)
        assert wcs.to_pixel(place.ra.deg[0], place.dec.deg[0]) == pytest.approx((70.2, 33.9), abs=1e-6)


@given(
    st.floats(0, 360),
    st.floats(-90, 90),
    st.floats(0, 360),
    st.floats(-50, 150),
    st.floats(-50, 130),
    st.sampled_from(["TAN", "TAN-SIP", "ZEA"]),
)
@settings(max_examples=200, deadline=None)
def test_a_pixel_leads_to_a_place_that_leads_to_the_pixel(
    ra: float, dec: float, turn: float, x: float, y: float, projection: str
) -> None:
    wcs = SkyWcs(header(projection, ra, dec, turn=turn, **(SIP if projection == "TAN-SIP" else {})))
    (there,), (up,) = wcs.to_sky(np.array([x]), np.array([y]))
    assert wcs.to_pixel(float(there), float(up)) == pytest.approx((x, y), abs=1e-4)


@pytest.mark.parametrize(("projection", "extra"), [("TAN", {}), ("TAN-SIP", SIP), ("TPV", TPV), ("SIN", {})])
@pytest.mark.parametrize(("ra", "dec"), [(330.1, -2.2), (150.1, -89.0), (250.0, 0.0)])
def test_a_place_that_the_projection_lacks_has_no_pixel(
    projection: str, extra: dict[str, Any], ra: float, dec: float
) -> None:
    assert SkyWcs(header(projection, **extra)).to_pixel(ra, dec) is None


@pytest.mark.parametrize("bend", [-5e-3, 5e-3])
@pytest.mark.parametrize("offset", [-500.0, -200.0, -60.0, 60.0, 300.0])
def test_a_distortion_that_cannot_be_inverted_gives_no_pixel_of_another_place(bend: float, offset: float) -> None:
    # Where the polynomial folds, the search for a pixel can settle on one in the midst of the image.
    (ra,), (dec,) = SkyWcs(header()).to_sky(np.array([49.5 + offset]), np.array([39.5]))
    bent = header("TAN-SIP", A_ORDER=2, A_2_0=bend, B_ORDER=2)
    pixel = SkyWcs(bent).to_pixel(float(ra), float(dec))
    if pixel is not None:
        place = sky(bent, np.array([pixel[0]]), np.array([pixel[1]]))
        assert place.separation(SkyCoord(ra, dec, unit="deg")).arcsec[0] < 0.01


def test_a_pixel_off_the_sky_has_no_place() -> None:
    made = header("AIT", ra=0.0, dec=0.0, turn=0.0)
    made["CD1_1"], made["CD2_2"] = -3.6, 2.25  # all of the sky is an ellipse in the middle
    wcs = SkyWcs(made)
    ra, dec = wcs.to_sky(np.array([49.5, 0.0]), np.array([39.5, 0.0]))
    assert np.isfinite(ra).tolist() == np.isfinite(dec).tolist() == [True, False]
    assert wcs.scales(0.0, 0.0) is None
    assert wcs.scales(49.5, 39.5) is not None
    # The last whole pixel before the limb: half of its neighbour is off the sky, but not this one's middle.
    edge = max(x for x in range(100) if np.isfinite(wcs.to_sky(np.array([float(x)]), np.array([39.5]))[0][0]))
    (ra,), (dec,) = wcs.to_sky(np.array([float(edge)]), np.array([39.5]))
    assert wcs.to_pixel(float(ra), float(dec)) == pytest.approx((edge, 39.5), abs=1e-6)


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (fits.Header({"SIMPLE": True, "BITPIX": 8, "NAXIS": 2, "NAXIS1": 5, "NAXIS2": 5}), "no celestial WCS"),
        (header(CTYPE1="LINEAR", CTYPE2="LINEAR"), "no celestial WCS"),
        (header(CTYPE1="RA---TAN", CTYPE2="FREQ"), "cannot be used|no celestial WCS"),
        (header("ZPN"), "cannot be used"),
        (header("XXX"), "cannot be used|no celestial WCS"),
        (header(axes=("HPLN", "HPLT")), "cannot be used|no fixed relation"),
        (header(axes=("TLON", "TLAT")), "cannot be used|no fixed relation"),
        (header(RADESYS="GAPPT"), "cannot be used"),
        (header(CPDIS1="LOOKUP"), "CPDIS1 = LOOKUP"),
        (header(CQDIS2="POLYNOMIAL"), "CQDIS2"),
        (header(D2IMDIS1="Lookup"), "D2IMDIS1"),
        (header(WCSAXES=9210103), "WCSAXES = 9210103, not 0 to 99"),
        (header(NAXIS=999), "NAXIS = 999, not 0 to 99"),
        (header(WCSAXESB=100), "WCSAXESB = 100, not 0 to 99"),
        (header("TAN-SIP", A_ORDER=3), "cannot be used"),
        (header("TAN-SIP", A_ORDER=10**9, B_ORDER=10**9), "A_ORDER = 1000000000, not 0 to 99"),
    ],
)
def test_a_header_without_a_usable_wcs_is_refused_with_the_reason(made: fits.Header, reason: str) -> None:
    with pytest.raises(UnsupportedFault, match=reason):
        SkyWcs(made)


values = (
    st.floats(allow_nan=False, allow_infinity=False)
    | st.integers(-(10**12), 10**12)
    | st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ-. 0123456789", max_size=12)
)
keywords = st.sampled_from(
    [*header("TAN-SIP", **SIP), "PV2_1", "LONPOLE", "LATPOLE", "EQUINOX", "RADESYS", "WCSAXES", "AP_ORDER", "CTYPE99A"]
)


@given(st.dictionaries(keywords, values, min_size=1, max_size=4))
@settings(max_examples=300, deadline=None)
def test_any_header_is_read_or_refused(cards: dict[str, Any]) -> None:
    made = header("TAN-SIP", **SIP)
    made.update(cards)
    try:
        wcs = SkyWcs(made)
    except UnsupportedFault as fault:
        assert fault.message
    else:
        assert wcs.to_pixel(150.1, 2.2) is None or len(wcs.axes) == 2
