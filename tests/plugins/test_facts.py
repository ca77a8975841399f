import warnings
from datetime import datetime
from typing import Any

import pytest
from astropy.io import fits
from astropy.time import Time
from hypothesis import given
from hypothesis import strategies as st

from imageserv.plugins._facts import Facts


def facts(*cards: tuple[str, object], raw: str = "") -> Facts:
    header = fits.Header(cards)
    if raw:
        header.append(fits.Card.fromstring(raw.ljust(80)))
    return Facts(header)


def test_the_first_header_that_knows_counts() -> None:
    found = Facts(fits.Header([("EXPTIME", 30.0)]), fits.Header([("EXPTIME", 60.0), ("OBJECT", " M13 ")]))
    assert found.exposure() == 30.0
    assert found.text("OBJECT") == "M13"
    assert found.text("INSTRUME") is None
    assert found.warnings == []


def test_numbers_may_be_strings() -> None:
    assert facts(("EXPTIME", " 53.907456")).number("EXPTIME") == 53.907456


@pytest.mark.parametrize("value", ["n/a", "nan", "inf", "1,5", True])
def test_what_is_no_number_is_none_and_a_warning(value: object) -> None:
    found = facts(("EXPTIME", value))
    assert found.number("EXPTIME") is None
    (warning,) = found.warnings
    assert "EXPTIME" in warning


@pytest.mark.parametrize(
    ("cards", "beam", "warnings"),
    [
        ({"BMAJ": 0.24, "BMIN": 0.24}, 864.0, 0),
        ({"BMAJ": 0.02, "BMIN": 0.005}, 36.0, 0),
        ({"BMAJ": 0.02}, None, 0),
        ({"BMAJ": 0.0, "BMIN": 0.0}, None, 0),
        ({"BMAJ": -1.0, "BMIN": -1.0}, None, 1),
        ({"BMAJ": 0.02, "BMIN": 400.0}, None, 1),
        ({"BMAJ": "wide", "BMIN": 0.1}, None, 1),
        ({}, None, 0),
    ],
)
def test_beams(cards: dict[str, object], beam: float | None, warnings: int) -> None:
    found = facts(*cards.items())
    assert found.beam() == (None if beam is None else pytest.approx(beam))
    assert len(found.warnings) == warnings


@pytest.mark.parametrize(
    ("value", "release"),
    [("2015-02-28", "2015-02-28"), (" 2015-02-28 ", "2015-02-28"), ("DR7", None), ("20150228", None), (7, None)],
)
def test_releases_are_dates_or_something_else(value: object, release: str | None) -> None:
    found = facts(("RELEASE", value))
    assert found.release() == release
    assert found.warnings == []


def test_a_release_on_a_day_that_never_was_is_a_warning() -> None:
    found = facts(("RELEASE", "2015-02-30"))
    assert found.release() is None
    assert len(found.warnings) == 1


@pytest.mark.parametrize("card", ["EXPTIME =", "EXPTIME = ''"])
def test_a_keyword_without_a_value_is_none_without_a_warning(card: str) -> None:
    found = facts(raw=card)
    assert found.number("EXPTIME") is None
    assert found.text("EXPTIME") is None
    assert found.warnings == []


def test_a_card_that_cannot_be_read_is_a_warning() -> None:
    found = facts(raw="EXPTIME = 'no end")
    assert found.number("EXPTIME") is None
    assert len(found.warnings) == 1


def test_exposure_times_are_positive() -> None:
    assert facts(("EXPTIME", 0.0)).exposure() is None
    negative = facts(("EXPTIME", -1.0))
    assert negative.exposure() is None
    assert "negative" in negative.warnings[0]


def test_times_become_utc() -> None:
    found = facts()
    # 32 leap seconds in 2005 (IERS Bulletin C); MJD 53640 is 2005-09-27.
    expected = 53640 + (9 * 3600 + 5 * 60 + 35 - 32) / 86400
    assert found.date("2005-09-27T09:05:35", "tai", "X") == pytest.approx(expected, abs=1e-9)
    assert found.mjd(53640 + (9 * 3600 + 5 * 60 + 35) / 86400, "tai", "X") == pytest.approx(expected, abs=1e-9)
    assert found.date("2005-09-27T09:05:03Z", "utc", "X") == pytest.approx(expected, abs=1e-9)
    assert found.date("2005-09-27T09:06:07.184", "tt", "X") == pytest.approx(expected, abs=1e-9)
    assert found.warnings == []


@given(st.datetimes(datetime(1901, 1, 1), datetime(2099, 1, 1)), st.sampled_from(["utc", "tai", "tt", "tdb"]))
def test_dates_are_those_of_astropy(moment: datetime, scale: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of leap seconds to come
        time: Any = Time(moment.isoformat(), format="isot", scale=scale)
        days, utc = float(time.mjd), float(time.utc.mjd)
    found = facts()
    assert found.date(moment.isoformat(), scale, "X") == pytest.approx(utc, abs=1e-11)
    assert found.mjd(days, scale, "X") == pytest.approx(utc, abs=1e-10)
    assert found.warnings == []


@pytest.mark.parametrize(
    ("text", "iso"),
    [
        ("1955-04-14", "1955-04-14T00:00:00"),  # a plate, before there was UTC
        ("14/04/55", "1955-04-14T00:00:00"),
        ("14/04/1955", "1955-04-14T00:00:00"),
        ("14/04/55T12:00:00", "1955-04-14T12:00:00"),
        ("2038-04-14T06:00:00.25", "2038-04-14T06:00:00.25"),  # leap seconds to come
    ],
)
def test_forms_of_dates(text: str, iso: str) -> None:
    found = facts()
    expected: Any = Time(iso, scale="tai")  # any scale without leap seconds counts the days alike
    assert found.date(text, "utc", "X") == pytest.approx(expected.mjd, abs=1e-9)
    assert found.warnings == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2005-13-01",
        "2005-09-27T25:00:00",
        "2005-09-27T23:00:61",
        "2005-09-27T2300",
        "0000-00-00",
        "1066-10-14",
        "9999-12-31",
        "1/2/3/4",
    ],
)
def test_what_is_no_date_is_none_and_a_warning(text: str) -> None:
    found = facts()
    assert found.date(text, "utc", "DATE-OBS") is None
    (warning,) = found.warnings
    assert "DATE-OBS" in warning


@pytest.mark.parametrize("days", [0.0, -1e300, 1e300])
def test_absurd_times_are_none_and_a_warning(days: float) -> None:
    found = facts()
    assert found.mjd(days, "tai", "TAI") is None
    assert "TAI" in found.warnings[0]


def test_time_scales() -> None:
    assert facts().scale() == "utc"
    assert facts(("TIMESYS", "tai")).scale() == "tai"
    assert facts(("TIMESYS", "UTC approximate")).scale() == "utc"
    assert facts(("TIMESYS", "TT(TAI)")).scale() == "tt"
    unknown = facts(("TIMESYS", "LOCAL"))
    assert unknown.scale() is None
    assert "LOCAL" in unknown.warnings[0]


@pytest.mark.parametrize("text", ["2005-13-27", "2005-02-29", "2005-09-27T25:05:35", "2005-09-27T09:60:35"])
def test_what_no_calendar_or_clock_has_is_no_date(text: str) -> None:
    facts = Facts()
    assert facts.date(text, "utc", "DATE-OBS") is None
    assert facts.warnings == [f"DATE-OBS: {text!r} is no date such as 2005-09-27T09:05:35"]
