"""What headers say of an observation, read forgivingly: a broken value is None and a warning, never an error."""

import math
import re
from typing import Protocol

from astropy.io import fits
from erfa import ufunc

_SCALES = {"UTC": "utc", "UT": "utc", "GMT": "utc", "TAI": "tai", "IAT": "tai", "TT": "tt", "TDT": "tt", "TDB": "tdb"}
"""FITS 4.0 table 30: values of TIMESYS, and astropy's names for those with a fixed relation to UTC."""

_DATE = re.compile(
    r"(\d{4})-(\d\d?)-(\d\d?)(?:T(\d\d?):(\d\d?)(?::((?:[0-5]?\d|60)(?:\.\d*)?))?)?", re.ASCII
)  # a minute may have a leap second

_JD_OF_MJD = 2400000.5

_EARLIEST, _LATEST = 15020.0, 88069.0
"""MJD of 1900-01-01 and 2100-01-01: no image of the sky that a service holds is from outside."""

SECOND = 1 / 86400
"""In days."""


class Keywords(Protocol):
    """What has the values of keywords: an HDU, or a header as astropy has it."""

    def get(self, keyword: str, /) -> object:
        """Return a value, or None; raises `astropy.io.fits.VerifyError` and `ValueError`."""
        ...


class Facts:
    """Reads values out of headers.

    Parameters
    ----------
    headers
        The first header that has a keyword counts.

    Attributes
    ----------
    warnings : list of str
        What was there and could not be read.
    """

    def __init__(self, *headers: Keywords) -> None:
        self._headers = headers
        self.warnings: list[str] = []

    def text(self, keyword: str) -> str | None:
        """Return a value as text without blanks around it; None if there is none."""
        value = self._value(keyword)
        return None if value is None else str(value).strip() or None

    def number(self, keyword: str) -> float | None:
        """Return a finite number; a number written as a string is one."""
        value = self._value(keyword)
        if value is None or value == "":
            return None
        try:
            number = math.nan if isinstance(value, bool) else float(str(value))
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            self.warnings.append(f"{keyword} = {value!r} is not a finite number")
            return None
        return number

    def exposure(self, keyword: str = "EXPTIME") -> float | None:
        """Return an exposure time (s). 0 is what programs write who do not know it."""
        seconds = self.number(keyword)
        if seconds is not None and seconds < 0:
            self.warnings.append(f"{keyword} = {seconds:g} is negative")
            return None
        return seconds or None

    def beam(self) -> float | None:
        """Return the angular resolution (arcsec) of a radio image: from BMAJ and BMIN (deg).

        Of an interferometer's beam ObsCore wants a typical value (ObsCore 1.1 section 4.13): this is the geometric
        mean. 0 is what programs write who do not know it.
        """
        major, minor = self.number("BMAJ"), self.number("BMIN")
        if not major or not minor:
            return None
        if not (0 < major < 180 and 0 < minor < 180):
            self.warnings.append(f"BMAJ = {major:g} and BMIN = {minor:g} are no axes of a beam (deg)")
            return None
        return 3600 * math.sqrt(major * minor)

    def release(self) -> str | None:
        """Return when the image becomes public: RELEASE, which the Gemini Observatory writes as ``yyyy-mm-dd``."""
        text = self.text("RELEASE")
        if text is None or not re.fullmatch(r"\d{4}-\d\d-\d\d", text):  # other programs write versions here
            return None
        return None if self.date(text, "utc", "RELEASE") is None else text

    def mjd(self, days: float, scale: str, origin: str) -> float | None:
        """Convert an MJD of another time scale, found at the keyword `origin`, to MJD UTC (d)."""
        if not self._is_plausible(days, origin):
            return None
        if scale == "utc":
            return days
        return _utc(_JD_OF_MJD, days, scale)

    def date(self, text: str, scale: str, origin: str) -> float | None:
        """Convert a date, found at the keyword `origin`, to MJD UTC (d).

        The forms are those of FITS 4.0 section 4.4.2.1: ``yyyy-mm-dd[Thh:mm:ss[.s...]]``, and the old ``dd/mm/yy``.
        """
        day, _, clock = text.removesuffix("Z").partition("T")
        if day.count("/") == 2:
            day = "-".join(reversed(day.split("/")))
            day = f"19{day}" if len(day) == 8 else day
        try:
            days = _days(f"{day}T{clock}" if clock else day, scale)
        except ValueError:
            self.warnings.append(f"{origin}: {text!r} is no date such as 2005-09-27T09:05:35")
            return None
        return days if self._is_plausible(days, origin) else None

    def _is_plausible(self, days: float, origin: str) -> bool:
        plausible = _EARLIEST <= days <= _LATEST
        if not plausible:
            self.warnings.append(f"{origin} gives MJD {days:g}, which is no time of an observation")
        return plausible

    def scale(self) -> str | None:
        """Return astropy's name of the time scale that TIMESYS names; UTC if it names none.

        Its first word counts: ``TT(TAI)`` is TT, and ``UTC approximate`` is UTC.
        """
        name = self.text("TIMESYS") or "UTC"
        scale = _SCALES.get(re.split(r"[ (]", name)[0].upper())
        if scale is None:
            self.warnings.append(f"TIMESYS = {name!r} is not one of {', '.join(_SCALES)}")
        return scale

    def _value(self, keyword: str) -> object:
        for header in self._headers:
            try:
                value = header.get(keyword)
            except (fits.VerifyError, ValueError):
                self.warnings.append(f"{keyword} cannot be read")
                continue
            if value is not None and not isinstance(value, fits.card.Undefined):
                return value
        return None


# astropy's Time does the same by the same functions, and takes ten times as long to come to them. They are called
# without erfa's own wrappers, which warn of what can be ignored here, a second at most: that there was no UTC before
# 1960, and that leap seconds to come are not known. A negative status is an error.


def _days(text: str, scale: str) -> float:
    """Convert a date of some time scale to MJD UTC (d); raises ValueError if it is none."""
    match = _DATE.fullmatch(text)
    if match is None:
        raise ValueError(text)
    year, month, day, hour, minute, second = match.groups()
    clock = int(hour or 0), int(minute or 0), float(second or 0)
    first, rest, status = ufunc.dtf2d(scale.upper().encode(), int(year), int(month), int(day), *clock)
    if status < 0:
        raise ValueError(text)
    return _utc(first, rest, scale)


def _utc(first: float, second: float, scale: str) -> float:
    """Convert a Julian date in two parts, of some time scale, to MJD UTC (d)."""
    if scale == "tdb":
        # To a few microseconds, where on Earth the clock is makes no difference.
        first, second, _ = ufunc.tdbtt(first, second, ufunc.dtdb(first, second, second % 1.0, 0.0, 0.0, 0.0))
    if scale in ("tt", "tdb"):
        first, second, _ = ufunc.tttai(first, second)
    if scale != "utc":
        first, second, _ = ufunc.taiutc(first, second)
    return float(first - _JD_OF_MJD + second)
