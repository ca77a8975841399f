"""The spectral axis of an image: channels to vacuum wavelengths and back.

Axis types, conversions and units as in FITS WCS Paper III (Greisen et al.
2006, A&A 446, 747; FITS 4.0 section 8.4). What a channel's coordinate is
comes from wcslib, with all algorithm codes, and with the conventions of AIPS
(``VELO-LSR``, ``FELO-HEL``) that it translates; in whatever rest frame the
image has it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .axis import axes_of_type, length_of, one_axis
from .stencil import Interval

Array = NDArray[np.float64]

_C = 299792458.0
"""Speed of light, m/s."""

_H = 6.62607015e-34
"""Planck's constant, J s."""


_AIR = 185e-9
"""m. Air lets nothing through below, and its refraction has no formula."""


def _air_to_vacuum(air: Array) -> Array:
    """Multiply by the refractive index of standard air, at 15 C (Edlen 1953, as in Morton 1991, ApJS 77, 119).

    So does wcslib. Paper III's equation 65 is for air at 0 C, whose index is
    1.5e-5 greater than that of the air in which wavelengths are measured and tabulated.
    """
    square = (1e-6 / np.where(air >= _AIR, air, np.nan)) ** 2  # of the wavenumber, per square micrometre
    return air * (1 + 6.4328e-5 + 2.94981e-2 / (146 - square) + 2.5540e-4 / (41 - square))


_WAVELENGTHS: dict[str, Callable[[Array, float], Array]] = {
    "FREQ": lambda frequency, _: _C / frequency,
    "ENER": lambda energy, _: _H * _C / energy,
    "WAVN": lambda number, _: 1 / number,
    "VRAD": lambda velocity, rest: rest / (1 - velocity / _C),
    "WAVE": lambda wavelength, _: wavelength,
    "VOPT": lambda velocity, rest: rest * (1 + velocity / _C),
    "ZOPT": lambda redshift, rest: rest * (1 + redshift),
    "AWAV": lambda wavelength, _: _air_to_vacuum(wavelength),
    "VELO": lambda velocity, rest: rest * np.sqrt((_C + velocity) / (_C - velocity)),
    "BETA": lambda beta, rest: rest * np.sqrt((1 + beta) / (1 - beta)),
}
"""Vacuum wavelength (m) of each type's coordinate (SI) and of the rest wavelength (m): Paper III tables 1 and 3."""

_NEED_REST = {"VRAD", "VOPT", "ZOPT", "VELO", "BETA"}
_TYPES = (*_WAVELENGTHS, "FELO")


@dataclass(frozen=True, slots=True)
class SpectralAxis:
    """The spectral axis of an image.

    A channel reaches from half a pixel before its centre to half a pixel
    after. One that has an edge without a wavelength (a frequency or
    wavelength of 0 or below, a velocity beyond that of light) is in no band but the unbounded one.

    Attributes
    ----------
    axis
        The FITS axis, counted from 0; it may lie beyond those of the array, and has then one channel.
    """

    axis: int
    _wcs: Any
    _type: str
    _rest: float

    def limits(self, length: int) -> Interval:
        """Return the least and the greatest vacuum wavelength (m) of so many channels, both finite.

        Raises
        ------
        ValueError
            Raised if none of them has a wavelength, which cannot be for as many as the header says.
        """
        low, high = self._channels(length)
        if np.isnan(low).all():
            raise ValueError(f"none of {length} channels has a wavelength")
        return float(np.nanmin(low)), float(np.nanmax(high))

    def channels(self, band: Interval, length: int) -> tuple[int, int] | None:
        """Return the channels of so many that a band takes.

        Parameters
        ----------
        band
            Vacuum wavelengths (m); either may be infinite. Two equal ones take the one channel that
            contains them, of two that share them the first.

        Returns
        -------
        (int, int) or None
            A half-open span, counted from 0, of the channels that share more
            than a point with the band and all between them; None if there are none.
        """
        if band[0] <= 0 and band[1] == np.inf:
            return 0, length
        low, high = self._channels(length)
        if band[0] == band[1]:
            taken = np.flatnonzero((low <= band[0]) & (band[0] <= high))[:1]
        else:
            taken = np.flatnonzero(np.maximum(low, band[0]) < np.minimum(high, band[1]))
        return (int(taken[0]), int(taken[-1]) + 1) if taken.size else None

    def _channels(self, length: int) -> tuple[Array, Array]:
        """Return the wavelengths between which each channel lies, NaN for one that has none."""
        edges = np.arange(length + 1) - 0.5
        with np.errstate(all="ignore"):
            (coordinates,) = self._wcs.wcs_pix2world(edges, 0)
            wavelengths = _WAVELENGTHS[self._type](coordinates, self._rest)
        wavelengths = np.where((wavelengths > 0) & np.isfinite(wavelengths), wavelengths, np.nan)
        first, second = wavelengths[:-1], wavelengths[1:]
        return np.minimum(first, second), np.maximum(first, second)  # NaN if either is


def spectral_axes(header: Mapping[str, Any]) -> list[int]:
    """Return the FITS axes, counted from 0, that are spectral by their CTYPE, whether or not they can be used."""
    return axes_of_type(header, *_TYPES)


def spectral_axis(header: Mapping[str, Any]) -> SpectralAxis | None:
    """Find the first spectral axis of an image's primary WCS that can be used.

    Parameters
    ----------
    header
        Values of the cards that `imageserv.core.fits.wcscards.wcs_cards` gives.

    Returns
    -------
    SpectralAxis or None
        None if there is no such axis, if it has no channel of a known
        wavelength, or if it is a velocity or redshift without a rest frequency or wavelength.
    """
    for axis in spectral_axes(header):
        wcs = one_axis(header, axis)
        if wcs is None or wcs.wcs.spec != 0:
            continue
        kind = wcs.wcs.ctype[0][:4]
        rest = _rest_wavelength(kind, float(wcs.wcs.restfrq), float(wcs.wcs.restwav))
        if kind not in _WAVELENGTHS or (kind in _NEED_REST and rest is None):
            continue
        found = SpectralAxis(axis, wcs, kind, rest or np.nan)
        try:
            found.limits(length_of(header, axis))
        except Exception:  # no channel has a wavelength, or wcslib cannot say which
            continue
        return found
    return None


def _rest_wavelength(kind: str, frequency: float, wavelength: float) -> float | None:
    """Return the rest wavelength (m): RESTWAV where optical conventions have both, RESTFRQ elsewhere."""
    if frequency > 0 and not (kind in ("VOPT", "ZOPT") and wavelength > 0):
        return _C / frequency
    return wavelength if wavelength > 0 else None
