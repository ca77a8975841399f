"""Spectral axes, against the conversions of astropy.units, computed from other formulas and constants than ours."""

from typing import Any

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st

from imageserv.core.sky.spectral import SpectralAxis, spectral_axis

# astropy's annotations tell little of what these give.
unit: Any = u
wcs_of: Any = WCS

pytestmark = pytest.mark.filterwarnings("ignore::astropy.wcs.FITSFixedWarning")

HI = 1.420405751768e9  # Hz
NII = 658.527e-9  # m


def header(ctype: str, crval: float, cdelt: float, cunit: str = "", length: int = 20, **cards: Any) -> fits.Header:
    """Give the header of a cube with a celestial WCS, and the axis in question as its third."""
    made = fits.Header({"NAXIS": 3, "NAXIS1": 30, "NAXIS2": 40, "NAXIS3": length})
    made.update(
        CTYPE1="RA---SIN", CRVAL1=150.0, CRPIX1=15.0, CDELT1=-1e-3, CUNIT1="deg",
        CTYPE2="DEC--SIN", CRVAL2=2.0, CRPIX2=20.0, CDELT2=1e-3, CUNIT2="deg",
        CTYPE3=ctype, CRVAL3=crval, CRPIX3=4.0, CDELT3=cdelt,
    )  # fmt: skip
    if cunit:
        made["CUNIT3"] = cunit
    made.update({key.replace("__", "-"): value for key, value in cards.items()})
    return made


def axis_of(made: fits.Header) -> SpectralAxis:
    axis = spectral_axis(dict(made))
    assert axis is not None
    return axis


def edges_by_astropy(made: fits.Header, length: int) -> Any:
    """Give the vacuum wavelengths (m) of all channels' edges, from coordinates of the whole WCS."""
    wcs = wcs_of(made)
    places = np.zeros((length + 1, wcs.naxis))
    places[:, 2] = np.arange(length + 1) - 0.5
    coordinates = wcs.wcs_pix2world(places, 0)[:, 2]
    kind = wcs.wcs.ctype[2][:4]
    rest = wcs.wcs.restfrq * unit.Hz if wcs.wcs.restfrq else (wcs.wcs.restwav * unit.m)
    if kind in ("FREQ", "ENER", "WAVN", "WAVE"):
        values = coordinates * unit.Unit(wcs.wcs.cunit[2])
        return values.to_value(unit.m, unit.spectral())
    if kind == "ZOPT":
        return rest.to_value(unit.m, unit.spectral()) * (1 + coordinates)
    if kind == "BETA":
        coordinates = coordinates * 299792458.0
    convention = {
        "VRAD": unit.doppler_radio, "VOPT": unit.doppler_optical,
        "VELO": unit.doppler_relativistic, "BETA": unit.doppler_relativistic,
    }[kind]  # fmt: skip
    return (coordinates * unit.m / unit.s).to_value(unit.m, convention(rest))


CASES = [
    ("FREQ", 1.4e9, 1e6, "Hz", {}),
    ("FREQ", 1.4, -1e-3, "GHz", {}),
    ("FREQ", 1.4e9, 1e6, "", {}),
    ("FREQ-LSR", 1.4e9, 1e6, "Hz", {}),
    ("FREQ-LOG", 1.4e9, 1e6, "Hz", {}),
    ("FREQ-W2F", 1.4e9, 1e6, "Hz", {}),
    ("ENER", 2.0, 0.1, "keV", {}),
    ("ENER", 2e-16, 1e-18, "J", {}),
    ("WAVN", 2000.0, 1.5, "1/cm", {}),
    ("WAVE", 4500.0, 1.25, "Angstrom", {}),
    ("WAVE", 2.2, -0.001, "um", {}),
    ("WAVE-LOG", 500.0, 0.5, "nm", {}),
    ("WAVE-F2W", 500e-9, 1e-9, "m", {}),
    ("VRAD", 1500.0, 5.0, "km/s", {"RESTFRQ": HI}),
    ("VRAD", 1.5e6, -5e3, "m/s", {"RESTFREQ": HI}),
    ("VRAD", 1.5e6, 5e3, "m/s", {"RESTWAV": 0.2110611405}),
    ("VOPT", 9000.0, 50.0, "km/s", {"RESTWAV": NII}),
    ("VOPT-F2W", 9000.0, 50.0, "km/s", {"RESTFRQ": HI}),
    ("VELO", 9000.0, 50.0, "km/s", {"RESTWAV": NII}),
    ("VELO-F2V", 9e6, 5e4, "m/s", {"RESTFRQ": HI}),
    ("VELO-LSR", 9e6, 5e4, "m/s", {"RESTFREQ": HI, "VELREF": 257}),
    ("VELO-HEL", 9e6, 5e4, "m/s", {"RESTFREQ": HI, "VELREF": 2}),
    ("FELO-HEL", 9e6, 5e4, "m/s", {"RESTFREQ": HI, "VELREF": 2}),
    ("ZOPT", 3.0, 0.01, "", {"RESTWAV": 121.567e-9}),
    ("BETA", 0.3, 0.01, "", {"RESTWAV": NII}),
]


@pytest.mark.parametrize(("ctype", "crval", "cdelt", "cunit", "cards"), CASES)
def test_limits_are_the_outer_edges_of_all_channels(
    ctype: str, crval: float, cdelt: float, cunit: str, cards: dict[str, Any]
) -> None:
    made = header(ctype, crval, cdelt, cunit, **cards)
    axis = axis_of(made)
    assert axis.axis == 2
    for length in (1, 20):
        expected = edges_by_astropy(made, length)
        assert axis.limits(length) == pytest.approx((expected.min(), expected.max()), rel=1e-12)


@pytest.mark.parametrize(("ctype", "crval", "cdelt", "cunit", "cards"), CASES)
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_channels_are_those_that_share_more_than_a_point_with_the_band(
    ctype: str, crval: float, cdelt: float, cunit: str, cards: dict[str, Any], data: st.DataObject
) -> None:
    made = header(ctype, crval, cdelt, cunit, **cards)
    edges = edges_by_astropy(made, 20)
    low, high = edges.min(), edges.max()
    wavelength = st.floats(low - 0.2 * (high - low), high + 0.2 * (high - low))
    one = data.draw(wavelength | st.just(-np.inf) | st.just(np.inf))
    two = data.draw(wavelength | st.just(-np.inf) | st.just(np.inf) | st.just(one))
    band = min(one, two), max(one, two)
    if np.isfinite(band).any() and min(abs(bound - edge) for bound in band for edge in edges) < 1e-9 * (high - low):
        return  # rounding decides on which side of an edge it is
    expected = [
        channel
        for channel in range(20)
        if min(edges[channel : channel + 2]) < band[1] and max(edges[channel : channel + 2]) > band[0]
    ]
    found = axis_of(made).channels(band, 20)
    assert found == ((expected[0], expected[-1] + 1) if expected else None)
    if band[0] == band[1]:
        assert found is None or found[1] - found[0] == 1


def test_a_wavelength_on_an_edge_is_in_one_channel() -> None:
    axis = axis_of(header("WAVE", 4.0, 1.0, "m"))  # channels 0.5 to 1.5, 1.5 to 2.5, ... m
    assert axis.channels((2.5, 2.5), 20) == (1, 2)
    assert axis.channels((0.5, 0.5), 20) == (0, 1)
    assert axis.channels((20.5, 20.5), 20) == (19, 20)
    assert axis.channels((0.4, 0.4), 20) is None
    assert axis.channels((0.4, 0.5), 20) is None
    assert axis.channels((2.5, 3.5), 20) == (2, 3)
    assert axis.channels((2.4, 3.6), 20) == (1, 4)


def test_wavelengths_in_air_become_those_in_vacuum() -> None:
    """The lines of sodium in air and in vacuum, (Steck, Sodium D Line Data); formulas of refraction differ by 1e-8."""
    for air, vacuum in [(588.9950954e-9, 589.1583264e-9), (589.5924237e-9, 589.7558147e-9)]:
        low, high = axis_of(header("AWAV", air, 1e-15, "m", CRPIX3=1.0)).limits(1)
        assert (low + high) / 2 == pytest.approx(vacuum, rel=2e-8)


@pytest.mark.parametrize("ctype", ["FREQ", "WAVE", "WAVN", "ENER", "AWAV"])
def test_channels_without_a_wavelength_are_in_no_band(ctype: str) -> None:
    """Coordinates -2.5 to 17.5, in steps of 1: the first three channels reach to 0 or below."""
    axis = axis_of(header(ctype, 1.0, 1.0))
    low, high = axis.limits(20)
    assert 0 < low < high < np.inf
    assert axis.channels((low, high), 20) == (3, 20)
    assert axis.channels((0.0, high * 10), 20) == (3, 20)
    assert axis.channels((-np.inf, np.inf), 20) == (0, 20)
    assert axis.channels((high * 2, np.inf), 20) is None
    assert axis.channels((np.inf, np.inf), 20) is None


def test_frequency_channels_through_the_pole_of_a_wavelength_axis() -> None:
    """WAVE-F2W is linear in frequency: where that passes 0 the wavelength flips its sign."""
    made = header("WAVE-F2W", 1e-6, 1e-7, "m", length=30)
    low, high = axis_of(made).limits(30)
    wavelengths = edges_by_astropy(made, 30)
    assert (wavelengths < 0).any()
    good = wavelengths[: int(np.argmax(wavelengths < 0))]
    assert (low, high) == pytest.approx((good.min(), good.max()))
    assert axis_of(made).channels((low, high), 30) == (0, len(good) - 1)


@pytest.mark.parametrize(
    ("ctype", "cards"),
    [
        ("VRAD", {"RESTFRQ": HI, "CRVAL3": 3e8, "CDELT3": 1e6}),
        ("VELO", {"RESTFRQ": HI, "CRVAL3": -3e8, "CDELT3": -1e6}),
        ("BETA", {"RESTWAV": NII, "CRVAL3": 1.0, "CDELT3": 0.1}),
        ("VOPT", {"RESTWAV": NII, "CRVAL3": -3e8, "CDELT3": -1e6}),
    ],
)
def test_beyond_the_velocity_of_light_there_is_no_wavelength(ctype: str, cards: dict[str, Any]) -> None:
    axis = axis_of(header(ctype, 0.0, 0.0, **cards))
    low, high = axis.limits(20)
    assert 0 < low < high < np.inf
    assert axis.channels((low, high), 20) == (0, 3)


@pytest.mark.parametrize(
    "made",
    [
        header("VRAD", 1e6, 1e4, "m/s"),
        header("VOPT", 1e6, 1e4, "m/s", RESTWAV=0.0),
        header("VELO-LSR", 1e6, 1e4, "m/s"),
        header("FELO-HEL", 1e6, 1e4, "m/s"),
        header("ZOPT", 1.0, 0.1),
        header("BETA", 0.1, 0.01, RESTFRQ=-1.0),
        header("FREQ", 1e9, 0.0, "Hz"),
        header("FREQ", 1e9, 1e6, "km/s"),
        header("WAVE", 5e3, 1.0, "furlong"),
        header("WAVE-TAB", 5e3, 1.0, "nm", PS3_0="COORDS"),
        header("WAVE-XYZ", 5e3, 1.0, "nm"),
        header("WAVELENG", 5e3, 1.0, "nm"),
        header("STOKES", 1.0, 1.0),
        header("FREQ", -1e9, 1e6, "Hz"),
        header("FREQ", 1e9, 1e6, "Hz", PC3_1=0.1),
        header("FREQ", 1e9, 1e6, "Hz", CD1_1=-1e-3, CD2_2=1e-3),
        header("FREQ", 1e9, 1e6, "Hz", length=2**21),
        header("FREQ", 1e9, 1e6, "Hz", length=0),
        fits.Header({"NAXIS": 2, "NAXIS1": 3, "NAXIS2": 4}),
    ],
)
def test_axes_that_cannot_be_used_are_none(made: fits.Header) -> None:
    assert spectral_axis(dict(made)) is None


def test_the_place_of_the_axis() -> None:
    made = fits.Header({"NAXIS": 2, "NAXIS1": 50, "NAXIS2": 40})
    made.update(CTYPE1="WAVE", CRVAL1=500.0, CRPIX1=1.0, CD1_1=0.5, CD2_2=1.0, CUNIT1="nm", CTYPE2="LINEAR", CD2_1=7.0)
    axis = axis_of(made)
    assert axis.axis == 0
    assert axis.limits(50) == pytest.approx((499.75e-9, 524.75e-9))
    # The first is a velocity without a rest frequency; WCSAXES has one more axis than the array.
    made = header("VRAD", 1e6, 1e4, "m/s", CTYPE4="FREQ", CRVAL4=1e9, CDELT4=1e6, CRPIX4=1.0, WCSAXES=4)
    axis = axis_of(made)
    assert axis.axis == 3
    assert axis.limits(1) == pytest.approx((299792458 / 1.0005e9, 299792458 / 0.9995e9))


@given(
    ctype=st.sampled_from(["FREQ", "WAVE-LOG", "VRAD", "VOPT-F2W", "AWAV-GRI", "BETA", "WAVN-W2N", "ENER-TAB"]),
    crval=st.floats(allow_nan=False, allow_infinity=False),
    cdelt=st.floats(allow_nan=False, allow_infinity=False),
    crpix=st.floats(allow_nan=False, allow_infinity=False),
    rest=st.floats(allow_nan=False, allow_infinity=False),
    length=st.integers(1, 50),
)
def test_no_header_makes_it_fail(
    ctype: str, crval: float, cdelt: float, crpix: float, rest: float, length: int
) -> None:
    made = header(ctype, crval, cdelt, length=length, CRPIX3=crpix, RESTFRQ=rest)
    axis = spectral_axis(dict(made))
    if axis is not None:
        low, high = axis.limits(length)
        assert 0 < low <= high < np.inf
        if low < high:
            found = axis.channels((low, high), length)
            assert found is not None and 0 <= found[0] < found[1] <= length
