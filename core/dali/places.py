"""Places on the sky and sizes around them, as parameters of requests and columns of tables."""

from typing import Final

from imageserv.core.sky.stencil import Box

from .literals import choice, latitude, longitude, positive
from .parameters import Parameter

UNITS: Final = ("arcsec", "arcmin", "deg", "pixel")
"""The units of a size; the first is the default."""

UNIT_ALIASES: Final = {"px": "pixel", "pix": "pixel", "pixels": "pixel"}

_IN_A_DEGREE = {"arcsec": 3600, "arcmin": 60, "deg": 1}

RA = Parameter(
    "ra",
    longitude,
    "Right ascension (ICRS) of the place that the image shall show, and of a cutout's centre.",
    unit="deg",
    ucd="pos.eq.ra",
    datatype="double",
    arraysize="",
)
DEC = Parameter(
    "dec",
    latitude,
    "Declination (ICRS) of the place that the image shall show, and of a cutout's centre.",
    unit="deg",
    ucd="pos.eq.dec",
    datatype="double",
    arraysize="",
)
WIDTH = Parameter(
    "width",
    positive,
    "Extent of the cutout along the image's x axis, in `unit`.",
    ucd="phys.angSize",
    datatype="double",
    arraysize="",
    example="30",
)
HEIGHT = Parameter(
    "height",
    positive,
    "Extent of the cutout along the image's y axis, in `unit`.",
    ucd="phys.angSize",
    datatype="double",
    arraysize="",
    example="45",
)
UNIT = Parameter(
    "unit",
    choice(*UNITS, aliases=UNIT_ALIASES),
    f"Unit of width and height, {UNITS[0]} unless given. {', '.join(UNIT_ALIASES)} mean pixel.",
    options=UNITS,
)


def box(ra: float, dec: float, width: float, height: float, unit: str) -> Box:
    """Make the stencil of a cutout; `unit` is one of `UNITS`."""
    if unit == "pixel":
        return Box(ra, dec, width, height, "pixel")
    scale = _IN_A_DEGREE[unit]
    return Box(ra, dec, width / scale, height / scale, "deg")
