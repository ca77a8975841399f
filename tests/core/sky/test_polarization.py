"""Polarization axes, against table 29 of FITS 4.0, written out."""

from typing import Any

import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

from imageserv.core.sky.polarization import PolarizationAxis, polarization_axis

CODES = "YX,XY,YY,XX,LR,RL,LL,RR,,I,Q,U,V".split(",")  # of -8 to 4


def header(crval: float, cdelt: float, crpix: float = 1.0, length: int = 4, **cards: Any) -> fits.Header:
    made = fits.Header({"NAXIS": 4, "NAXIS1": 9, "NAXIS2": 8, "NAXIS3": 7, "NAXIS4": length})
    made.update(
        CTYPE1="RA---SIN", CRVAL1=150.0, CRPIX1=15.0, CDELT1=-1e-3,
        CTYPE2="DEC--SIN", CRVAL2=2.0, CRPIX2=20.0, CDELT2=1e-3,
        CTYPE3="FREQ", CRVAL3=1e9, CRPIX3=1.0, CDELT3=1e6,
        CTYPE4="STOKES", CRVAL4=crval, CDELT4=cdelt, CRPIX4=crpix,
    )  # fmt: skip
    made.update(cards)
    return made


def axis_of(made: fits.Header) -> PolarizationAxis:
    axis = polarization_axis(dict(made))
    assert axis is not None
    return axis


@pytest.mark.parametrize(
    ("crval", "cdelt", "crpix", "states"),
    [
        (1.0, 1.0, 1.0, "I Q U V"),
        (-1.0, -1.0, 1.0, "RR LL RL LR"),
        (-5.0, -1.0, 1.0, "XX YY XY YX"),
        (4.0, -1.0, 1.0, "V U Q I"),
        (1.0, 3.0, 1.0, "I V  "),
        (2.0, 1.0, 2.0, "I Q U V"),
        (0.0, 1.0, 1.0, " I Q U"),
        (1.0, 0.5, 1.0, "I  Q "),
    ],
)
def test_states(crval: float, cdelt: float, crpix: float, states: str) -> None:
    axis = axis_of(header(crval, cdelt, crpix))
    assert axis.axis == 3
    assert axis.states(4) == tuple(states.split(" "))


@given(
    first=st.integers(-10, 6),
    step=st.sampled_from([-3, -2, -1, 1, 2, 3]),
    length=st.integers(1, 8),
    wanted=st.sets(st.sampled_from([*filter(None, CODES), "POLI", "POLA"])),
)
def test_the_span_is_the_smallest_that_has_all_wanted_states(
    first: int, step: int, length: int, wanted: set[str]
) -> None:
    axis = axis_of(header(float(first), float(step), length=length))
    states = [CODES[code + 8] if -8 <= code <= 4 else "" for code in range(first, first + step * length, step)]
    assert list(axis.states(length)) == states
    had = wanted & set(states)
    found = axis.span(tuple(wanted), length)
    if found is None:
        assert not had
        return
    start, stop = found
    assert 0 <= start < stop <= length
    assert had and had <= set(states[start:stop])
    assert not had <= set(states[start + 1 : stop]) and not had <= set(states[start : stop - 1])


def test_an_empty_state_is_no_name() -> None:
    assert axis_of(header(-1.0, 1.0)).span(("",), 4) is None


@pytest.mark.parametrize(
    "made",
    [
        header(1.0, 0.0),
        header(1.0, 1.0, CTYPE4="STOKESES"),
        header(1.0, 1.0, CTYPE4="LINEAR"),
        header(1.0, 1.0, PC4_3=0.5),
        header(1.0, 1.0, length=2**21),
        header(1e300, 1e300),
        fits.Header(),
    ],
)
def test_axes_that_cannot_be_used_are_none(made: fits.Header) -> None:
    assert polarization_axis(dict(made)) is None


def test_an_axis_of_one_pixel_that_only_the_wcs_has() -> None:
    made = header(2.0, 1.0)
    made.update(NAXIS=2)
    made.remove("NAXIS3")
    made.remove("NAXIS4")
    assert axis_of(made).axis == 3
    assert axis_of(made).states(1) == ("Q",)
