"""TAN and TAN-SIP in plain numbers, against astropy's conversions of arrays."""

import math
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from astropy.wcs.utils import proj_plane_pixel_scales
from hypothesis import example, given
from hypothesis import strategies as st

from imageserv.core.fits.cards import Cards
from imageserv.core.sky.gnomonic import Gnomonic, gnomonic
from imageserv.core.sky.wcs import SkyWcs

SIP: dict[str, Any] = {
    **{"A_ORDER": 4, "A_2_0": -5.6e-6, "A_1_1": 4e-7, "A_0_4": 2e-13, "A_1_0": 1e-4},
    **{"B_ORDER": 3, "B_0_2": 3e-6, "B_1_1": -2e-7, "B_3_0": 1e-10},
}


def made(ctype: str = "TAN", ra: float = 150.0, dec: float = 2.0, turn: float = 0.3, **cards: Any) -> fits.Header:
    header = fits.Header({"NAXIS": 2, "NAXIS1": 2048, "NAXIS2": 1489})
    header["CTYPE1"], header["CTYPE2"] = f"RA---{ctype}", f"DEC--{ctype}"
    header["CRVAL1"], header["CRVAL2"], header["CRPIX1"], header["CRPIX2"] = ra, dec, 1000.5, 700.25
    header["CD1_1"], header["CD1_2"] = -1.1e-4 * np.cos(turn), 1.1e-4 * np.sin(turn)
    header["CD2_1"], header["CD2_2"] = 1.1e-4 * np.sin(turn), 1.1e-4 * np.cos(turn)
    header.update(cards)
    return header


def read(header: fits.Header) -> Gnomonic | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wcs: Any = WCS(header)
        wcs.wcs.set()
    return gnomonic(dict(header), wcs, wcs.pixel_scale_matrix, np.eye(3), (0, 1))


@given(
    ra=st.floats(0, 360),
    dec=st.floats(-90, 89.99),  # at the north pole LONPOLE is 0 by default
    turn=st.floats(0, 6.3),
    distorted=st.booleans(),
    x=st.floats(-500, 2500),
    y=st.floats(-500, 2000),
)
def test_a_pixel_and_its_place_are_astropys(
    ra: float, dec: float, turn: float, distorted: bool, x: float, y: float
) -> None:
    header = made("TAN-SIP", ra, dec, turn, **SIP) if distorted else made("TAN", ra, dec, turn)
    plane = read(header)
    assert plane is not None
    astropys: Any = WCS(header)
    lon, lat = map(float, astropys.all_pix2world(x, y, 0))
    expected = [np.cos(np.radians(lat)) * np.cos(np.radians(lon)), np.cos(np.radians(lat)) * np.sin(np.radians(lon))]
    assert plane.vector(x, y) == pytest.approx([*expected, np.sin(np.radians(lat))], abs=1e-13)
    assert plane.pixel(lon, lat) == pytest.approx((x, y), abs=1e-6)


@example(strong=1e-4, weak=1e-9, straight=False, turn=0.3, x=2200.0, y=1700.0)
@example(strong=-1e-4, weak=1e-9, straight=False, turn=0.3, x=-200.0, y=-200.0)
@given(
    strong=st.floats(-1.5e-4, 1.5e-4),
    weak=st.floats(-1e-8, 1e-8),
    straight=st.booleans(),
    turn=st.floats(0, 6.3),
    x=st.floats(-200, 2200),
    y=st.floats(-200, 1700),
)
def test_the_pixel_of_a_strong_distortion_is_found_although_it_is_weak_across(
    strong: float, weak: float, straight: bool, turn: float, x: float, y: float
) -> None:
    """Steps shrink by another factor in each direction, or, where x depends on y alone, at every second one."""
    terms: dict[str, Any] = {"A_2_0" if straight else "A_0_2": strong, "B_0_2": weak, "B_2_0": weak}
    plane = read(made("TAN-SIP", turn=turn, A_ORDER=2, B_ORDER=2, **terms))
    assert plane is not None
    along, across, up = plane.vector(x, y)
    ra, dec = math.degrees(math.atan2(across, along)), math.degrees(math.asin(up))
    assert plane.pixel(ra, dec) == pytest.approx((x, y), abs=1e-6)


@given(ra=st.floats(0, 360), dec=st.floats(-90, 89.99), turn=st.floats(0, 6.3), distorted=st.booleans())
def test_a_plane_is_read_as_it_was_written(ra: float, dec: float, turn: float, distorted: bool) -> None:
    plane = read(made("TAN-SIP", ra, dec, turn, **SIP) if distorted else made("TAN", ra, dec, turn))
    assert plane is not None
    plane = replace(plane, axes=(2, 1))
    assert Gnomonic.from_bytes(plane.to_bytes()) == plane


def test_the_size_of_a_pixel_is_astropys() -> None:
    header = made(CD1_1=-2e-4, CD1_2=5e-5, CD2_1=1e-5, CD2_2=1e-4)
    plane = read(header)
    assert plane is not None
    assert plane.pixel_size == pytest.approx(max(proj_plane_pixel_scales(WCS(header))), rel=1e-12)


def test_a_wcs_with_a_known_plane_reads_its_header_only_for_what_the_plane_cannot_tell() -> None:
    header = made("TAN-SIP", **SIP)
    fresh = SkyWcs(header)
    asked: list[bool] = []

    def cards() -> Cards:
        asked.append(True)
        return Cards.of(header.tostring(endcard=False, padding=False).encode())

    known = SkyWcs(cards, fresh.tangent_plane)
    assert (known.axes, known.pixel_size, known.turn) == (fresh.axes, fresh.pixel_size, fresh.turn)
    assert known.to_pixel(150.01, 2.02) == fresh.to_pixel(150.01, 2.02)
    assert known.scales(3.0, 5.0) == fresh.scales(3.0, 5.0)
    assert not asked
    assert known.to_pixel(330.0, -2.0) is None  # not in the plane: wcslib is asked
    places = np.array([[-300.0, 40.0, 2500.0], [7.0, 80.0, -20.0]])
    np.testing.assert_array_equal(known.vectors(*places), fresh.vectors(*places))
    assert asked == [True]


def test_the_other_half_of_the_sky_has_no_pixel() -> None:
    plane = read(made())
    assert plane is not None
    assert plane.pixel(330.0, -2.0) is None
    assert plane.pixel(240.1, 0.0) is None


def test_a_distortion_that_leads_nowhere_has_no_pixel() -> None:
    plane = read(made("TAN-SIP", A_ORDER=2, A_2_0=5e-3, B_ORDER=2, B_0_2=5e-3))
    assert plane is not None
    lon, lat = 151.5, 3.5
    assert plane.pixel(lon, lat) is None


@pytest.mark.parametrize(
    ("ctype", "cards"),
    [
        ("SIN", {}),
        ("STG", {}),
        ("TPV", {"PV1_1": 1.0, "PV2_1": 1.0, "PV1_4": 1e-9}),
        ("TAN", {"PV1_1": 1.0, "PV2_1": 1.0, "PV1_4": 1e-9}),  # as SCAMP wrote TPV
        ("TAN", {"LONPOLE": 170.0}),
    ],
)
def test_others_are_left_to_wcslib(ctype: str, cards: dict[str, Any]) -> None:
    assert read(made(ctype, **cards)) is None
