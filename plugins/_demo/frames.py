"""Which frames the demo has: full-size Stripe 82 images, placed where the example requests look."""

from collections.abc import Mapping
from dataclasses import dataclass

Card = str | int | float

COLUMNS, ROWS = 2048, 1489
"""The size of a frame."""

PATCH_COLUMNS = 2060
TRACT_REFERENCE = (410_000, 11_442)
"""The reference pixel of the sky map's tract 0, x and y, counted from 1."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One CCD's image of one field.

    Attributes
    ----------
    read_out
        When row 0 was read, TAI.
    wcs
        Cards of the header.
    """

    run: int
    band: str
    camcol: int
    field: int
    read_out: str
    wcs: Mapping[str, Card]

    @property
    def name(self) -> str:
        """What the names of its files have in common."""
        return f"{self.run:06d}-{self.band}{self.camcol}-{self.field:04d}"


@dataclass(frozen=True, slots=True)
class Patch:
    """One patch of tract 0 of the sky map.

    Attributes
    ----------
    crpix
        Where the tract's reference point is, counted from the patch's first pixel, which is 1.
    rows
        Fewer where the tract ends.
    """

    x: int
    y: int
    band: str
    crpix: tuple[int, int]
    rows: int

    @property
    def origin(self) -> tuple[int, int]:
        """The patch's first pixel, as x and y in its tract, counted from 0."""
        return TRACT_REFERENCE[0] - self.crpix[0], TRACT_REFERENCE[1] - self.crpix[1]

    @property
    def wcs(self) -> Mapping[str, Card]:
        """Cards of the header."""
        return {
            **{"RADESYS": "ICRS", "CTYPE1": "RA---CEA", "CTYPE2": "DEC--CEA", "CUNIT1": "deg", "CUNIT2": "deg"},
            **{"CRPIX1": float(self.crpix[0]), "CRPIX2": float(self.crpix[1]), "CRVAL1": 45.0, "CRVAL2": 0.0},
            **{"CD1_1": -0.00011, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 0.00011},
        }


_FIELDS = (
    (2708, "r", 3, 103, "2001-10-21T04:03:50.21"),
    (5646, "g", 4, 694, "2005-09-27T09:10:21.70"),
    (5646, "r", 4, 694, "2005-09-27T09:05:35.01"),
    (3325, "z", 1, 171, "2002-09-05T08:14:25.64"),
)

# One column per field.
_RAW_WCS: Mapping[str, tuple[Card, ...]] = {
    "RADESYS": ("ICRS",) * 4,
    "CTYPE1": ("RA---TAN",) * 4,
    "CTYPE2": ("DEC--TAN",) * 4,
    "CUNIT1": ("deg",) * 4,
    "CUNIT2": ("deg",) * 4,
    "CRPIX1": (1024.5,) * 4,
    "CRPIX2": (744.5,) * 4,
    "CRVAL1": (359.19462468, 37.64516839, 37.64630641, 9.46796387),
    "CRVAL2": (-0.10564055, 0.10322987, 0.10344586, -1.15803224),
    "CD1_1": (-9.97557e-9, -2.473629e-8, 1.000487e-8, -2.2192e-8),
    "CD1_2": (1.099941612e-4, 1.099882422e-4, 1.100081608e-4, 1.099645941e-4),
    "CD2_1": (1.099986963e-4, 1.099611182e-4, 1.100173877e-4, 1.10004169e-4),
    "CD2_2": (5.9879e-9, -8.461022e-9, -2.419355e-10, -1.61903e-9),
}

# One column per field but the first.
_CALEXP_WCS: Mapping[str, tuple[Card, ...]] = {
    "RADESYS": ("ICRS",) * 3,
    "CTYPE1": ("RA---TAN-SIP",) * 3,
    "CTYPE2": ("DEC--TAN-SIP",) * 3,
    "CUNIT1": ("deg",) * 3,
    "CUNIT2": ("deg",) * 3,
    "CRPIX1": (1.0,) * 3,
    "CRPIX2": (1.0,) * 3,
    "CRVAL1": (37.563415112, 37.564506347, 9.386210156),
    "CRVAL2": (-0.009315377, -0.009167056, -1.270662366),
    "CD1_1": (-1.664808e-8, 3.594773e-9, -1.821743e-8),
    "CD1_2": (1.099884168e-4, 1.1000834e-4, 1.099599625e-4),
    "CD2_1": (1.099958264e-4, 1.100709669e-4, 1.101315899e-4),
    "CD2_2": (-8.46202e-9, -2.409564e-10, -1.617612e-9),
    "A_ORDER": (3,) * 3,
    "A_0_2": (-1.5415e-10, -1.516e-10, -2.124928e-8),
    "A_1_1": (4.4289e-12, 4.5233e-12, 1.2568e-11),
    "A_1_2": (1.842231e-12, 1.842762e-12, 1.840097e-12),
    "A_2_0": (-3.782562e-7, -5.632519e-7, -1.006652e-6),
    "A_3_0": (1.23694e-10, 1.793783e-10, 2.36534e-10),
    "B_ORDER": (3,) * 3,
    "B_0_2": (3.6593e-12, 3.6941e-12, -4.4394e-13),
    "B_0_3": (1.228347e-12, 1.228793e-12, 1.22741e-12),
    "B_1_1": (3.122762e-10, 3.071979e-10, 4.263527e-8),
    "B_2_0": (-6.300531e-8, 5.977298e-8, -3.577533e-8),
    "B_3_0": (1.484701e-11, -1.697568e-11, 9.612516e-12),
}

RAW = tuple(
    Frame(*field, {keyword: values[column] for keyword, values in _RAW_WCS.items()})
    for column, field in enumerate(_FIELDS)
)
CALEXP = tuple(
    Frame(*field, {keyword: values[column] for keyword, values in _CALEXP_WCS.items()})
    for column, field in enumerate(_FIELDS[1:])
)
PATCHES = (
    Patch(225, 1, "i", (-39_970, 9_565), 1967),
    Patch(321, 4, "r", (-231_970, 3_844), 1967),
    Patch(320, 4, "r", (-229_970, 3_844), 1967),
    Patch(366, 0, "u", (-321_970, 11_442), 1937),
)
