"""One axis of an image's WCS, on its own: what spectral and polarization axes have in common."""

import re
import warnings
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from astropy.io import fits
from astropy.wcs import WCS

_MOST_PIXELS = 2**20
"""Along such an axis: far more than any spectrometer's. What is longer is no axis that is worth its memory."""

_CTYPE = re.compile(r"CTYPE([1-9]\d*)$")
_MATRIX = re.compile(r"(PC|CD)([1-9]\d*)_([1-9]\d*)$")
_PARAMETER = re.compile(r"(P[SV])([1-9]\d*)(_\d+)$")
_LINEAR = ("CTYPE", "CUNIT", "CRVAL", "CRPIX", "CDELT")
_SPECTRAL = ("RESTFRQ", "RESTFREQ", "RESTWAV", "VELREF")


def axes_of_type(header: Mapping[str, Any], *types: str) -> list[int]:
    """Return the FITS axes, counted from 0, whose CTYPE starts with one of these four characters."""
    return [axis for axis, keyword in ctypes_of(tuple(header)) if str(header[keyword])[:4] in types]


@lru_cache(maxsize=64)  # many images of a survey have the same keywords
def ctypes_of(keywords: Sequence[str]) -> Sequence[tuple[int, str]]:
    """Return which of a header's keywords are CTYPEs of the primary WCS: axes from 0 on, in order, and these."""
    return sorted((int(match[1]) - 1, keyword) for keyword in keywords if (match := _CTYPE.match(keyword)))


def length_of(header: Mapping[str, Any], axis: int) -> int:
    """Return the number of pixels along an axis: 1 for one that only the WCS has (FITS 4.0 section 8.2, WCSAXES)."""
    return int(header.get(f"NAXIS{axis + 1}", 1))


def one_axis(header: Mapping[str, Any], axis: int) -> Any:
    """Return the WCS of one axis of the primary WCS, as astropy has it.

    Returns
    -------
    astropy.wcs.WCS or None
        None if the axis cannot be used: its coordinate depends on pixels of
        other axes too, it has too many pixels, or wcslib refuses it.
    """
    number = str(axis + 1)
    alone = fits.Header({"NAXIS": 1})
    for name in _LINEAR:
        if name + number in header:
            alone[f"{name}1"] = header[name + number]
    for name in _SPECTRAL:
        if name in header:
            alone[name] = header[name]
    matrices: set[str] = set()
    for key in header:
        if match := _MATRIX.match(key):
            matrices.add(match[1])
            if match[2] == number == match[3]:
                alone[f"{match[1]}1_1"] = header[key]
            elif match[2] == number and header[key]:
                return None
        elif (match := _PARAMETER.match(key)) and match[2] == number:
            alone[f"{match[1]}1{match[3]}"] = header[key]
    if "CD" in matrices and "CD1_1" not in alone:
        return None  # it is 0 by default, and CDELT does not count beside a CD matrix (FITS 4.0 section 8.2)
    if not 1 <= length_of(header, axis) <= _MOST_PIXELS:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wcs: Any = WCS(alone)
            wcs.wcs_pix2world([[0.0]], 0)  # makes wcslib check its parameters
    except Exception:  # wcslib and astropy raise nearly everything for a bad header, MemoryError included
        return None
    return wcs
