"""The sky of the demo: made-up stars, the same for every frame that shows the place."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_SEED = 82
_CELL = 0.1
"""Degrees. The sky falls into cells, each with its own stars, so that no frame need know of another."""

_STARS_PER_CELL = 150.0
_BRIGHTEST, _FAINTEST = 13.0, 22.0

_COLOUR_TERMS: Mapping[str, float] = {"u": 1.8, "g": 0.6, "r": 0.0, "i": -0.25, "z": -0.4}
"""Magnitude less that in r, for a star of colour 1."""

# Where the example requests point there is a star, so that it stands in the middle of what they cut.
_LANDMARKS = (
    (359.195, -0.1055),
    (37.644598, 0.104625),
    (37.6292, 0.104625),
    (19.37995, -0.3146),
    (19.36995, -0.3147),
    (9.47103, -1.181766),
    (40.49055, -0.946593),
)
_LANDMARK_MAGNITUDE = 15.5


@dataclass(frozen=True, slots=True)
class Stars:
    """Stars of one part of the sky.

    Attributes
    ----------
    ra, dec : ndarray, shape (n,)
        ICRS degrees.
    magnitude : ndarray, shape (n,)
        In r.
    colour : ndarray, shape (n,)
        How red, 0 to 1.
    """

    ra: Array
    dec: Array
    magnitude: Array
    colour: Array

    def magnitudes(self, band: str) -> Array:
        """Return the magnitudes in one filter, u, g, r, i or z."""
        return self.magnitude + _COLOUR_TERMS[band] * self.colour


def stars(*, ra_min: float, ra_max: float, dec_min: float, dec_max: float) -> Stars:
    """Return the stars between two meridians and two parallels, in degrees, near the equator and away from RA 0."""
    cells = [
        _cell(column, row)
        for column in range(math.floor(ra_min / _CELL), math.floor(ra_max / _CELL) + 1)
        for row in range(math.floor(dec_min / _CELL), math.floor(dec_max / _CELL) + 1)
    ]
    landmarks = np.array([(*place, _LANDMARK_MAGNITUDE, 0.5) for place in _LANDMARKS])
    ra, dec, magnitude, colour = np.concatenate([*cells, landmarks]).T
    inside = (ra_min <= ra) & (ra <= ra_max) & (dec_min <= dec) & (dec <= dec_max)
    return Stars(ra[inside], dec[inside], magnitude[inside], colour[inside])


def _cell(column: int, row: int) -> Array:
    """Return ra, dec, magnitude and colour of each star of a cell."""
    random = np.random.default_rng((_SEED, column, row + 900))
    count = random.poisson(_STARS_PER_CELL)
    ra = (column + random.random(count)) * _CELL
    dec = (row + random.random(count)) * _CELL
    # The number of stars grows tenfold in three magnitudes or so.
    steep = 10 ** (0.3 * (_BRIGHTEST - _FAINTEST))
    magnitude = _FAINTEST + np.log10(steep + (1 - steep) * random.random(count)) / 0.3
    return np.stack([ra, dec, magnitude, random.random(count)], axis=1)
