"""The polarization axis of an image: pixels to states and back."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .axis import axes_of_type, length_of, one_axis

_STATES = {
    1: "I", 2: "Q", 3: "U", 4: "V",
    -1: "RR", -2: "LL", -3: "RL", -4: "LR",
    -5: "XX", -6: "YY", -7: "XY", -8: "YX",
}  # fmt: skip
"""FITS 4.0 table 29: the coordinates of a STOKES axis, in ObsCore's words."""

_NEAR = 0.01
"""How far a coordinate may be from its whole number."""


@dataclass(frozen=True, slots=True)
class PolarizationAxis:
    """The polarization axis of an image.

    Attributes
    ----------
    axis
        The FITS axis, counted from 0; it may lie beyond those of the array, and has then one pixel.
    first, step
        The coordinate of its first pixel, and how much each further one adds.
    """

    axis: int
    first: float
    step: float

    def states(self, length: int) -> tuple[str, ...]:
        """Return the states of so many pixels, in the order of the pixels; an empty text for one that has no name."""
        codes = self.first + self.step * np.arange(length)
        whole = np.round(codes)
        return tuple(
            _STATES.get(int(code), "") if near else ""
            for code, near in zip(whole, np.abs(codes - whole) < _NEAR, strict=True)
        )

    def span(self, wanted: Collection[str], length: int) -> tuple[int, int] | None:
        """Return the smallest span of so many pixels that has every wanted state that they have.

        Returns
        -------
        (int, int) or None
            Half-open, counted from 0; None if they have none of them.
        """
        taken = [pixel for pixel, state in enumerate(self.states(length)) if state and state in wanted]
        return (taken[0], taken[-1] + 1) if taken else None


def polarization_axis(header: Mapping[str, Any]) -> PolarizationAxis | None:
    """Find the polarization axis of an image's primary WCS; None if there is none that can be used.

    Parameters
    ----------
    header
        Values of the cards that `imageserv.core.fits.wcscards.wcs_cards` gives.
    """
    for axis in axes_of_type(header, "STOK"):
        wcs = one_axis(header, axis)
        if wcs is None or wcs.wcs.ctype[0].strip() != "STOKES":
            continue
        first, last = (float(value) for value in wcs.wcs_pix2world([0.0, 1.0], 0)[0])
        if np.isfinite([first, last]).all() and abs(first) + abs(last - first) * length_of(header, axis) < 2**53:
            return PolarizationAxis(axis, first, last - first)
    return None
