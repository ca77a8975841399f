"""The pixels of the demo: starlight through a frame's own WCS, noise that agrees with the variance, and a mask."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray

from .frames import Card
from .sky import stars

MASK_BITS = ("BAD", "SAT", "INTRP", "CR", "EDGE", "DETECTED", "DETECTED_NEGATIVE", "SUSPECT", "NO_DATA")
"""The mask planes, from bit 0."""

_EDGE = 6
"""Pixels along the border whose neighbours are not all there."""

_NO_DATA = np.s_[-40:, :60]
"""Rows, columns: a corner that was not observed."""

_PSF_SIGMA = 1.4
"""Pixels."""

_DETECTION = 5.0
"""Standard deviations of the sky."""


@dataclass(frozen=True, slots=True)
class Camera:
    """How light becomes counts.

    Attributes
    ----------
    zero_point
        Magnitude of a star that gives one count.
    sky_variance
        Per pixel, counts squared.
    gain
        Electrons per count.
    saturation
        Counts above the sky.
    """

    zero_point: float
    sky_variance: float
    gain: float
    saturation: float


@dataclass(frozen=True, slots=True)
class Exposure:
    """Planes of one exposure, each of shape (rows, columns).

    Attributes
    ----------
    image, variance : ndarray, float32
        Counts above the sky, and counts squared.
    mask : ndarray, uint16
    """

    image: NDArray[np.float32]
    mask: NDArray[np.uint16]
    variance: NDArray[np.float32]


def expose(
    wcs: Mapping[str, Card], *, shape: tuple[int, int], band: str, camera: Camera, seed: Sequence[int]
) -> Exposure:
    """Look at the sky.

    Parameters
    ----------
    shape
        Rows, columns.
    seed
        Of the noise: exposures with the same seed, shape and camera have the same.
    """
    light = _starlight(wcs, shape, band, camera.zero_point)
    saturated = light > camera.saturation
    np.minimum(light, np.float32(camera.saturation), out=light)
    variance = light / np.float32(camera.gain) + np.float32(camera.sky_variance)
    noise = np.random.default_rng(tuple(seed)).standard_normal(shape, dtype=np.float32)
    noise *= np.sqrt(variance)
    detected = light > _DETECTION * math.sqrt(camera.sky_variance)
    return Exposure(light + noise, _mask(saturated, detected), variance)


def hide_unobserved(exposure: Exposure) -> None:
    """Make the pixels that the mask calls NO_DATA not a number."""
    exposure.image[_NO_DATA] = np.nan
    exposure.variance[_NO_DATA] = np.nan


def _starlight(wcs: Mapping[str, Card], shape: tuple[int, int], band: str, zero_point: float) -> NDArray[np.float32]:
    rows, columns = shape
    light = np.zeros(shape, np.float32)
    radius = math.ceil(6 * _PSF_SIGMA)
    sky = WCS(fits.Header(wcs))
    ra, dec = np.asarray(sky.calc_footprint(axes=(columns, rows))).T
    margin = 0.002  # degrees: stars beyond the border shine into the frame
    seen = stars(ra_min=min(ra) - margin, ra_max=max(ra) + margin, dec_min=min(dec) - margin, dec_max=max(dec) + margin)
    flux = 10 ** (0.4 * (zero_point - seen.magnitudes(band)))
    for x, y, counts in zip(*sky.all_world2pix(seen.ra, seen.dec, 0), flux, strict=True):
        left, bottom = round(x) - radius, round(y) - radius
        xs = np.arange(max(left, 0), min(left + 2 * radius + 1, columns))
        ys = np.arange(max(bottom, 0), min(bottom + 2 * radius + 1, rows))
        if xs.size and ys.size:
            star = np.outer(_profile(ys - y), _profile(xs - x)) * counts
            light[ys[0] : ys[-1] + 1, xs[0] : xs[-1] + 1] += star.astype(np.float32)
    return light


def _profile(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a Gaussian of unit area."""
    return np.exp(-0.5 * (distance / _PSF_SIGMA) ** 2) / (math.sqrt(2 * math.pi) * _PSF_SIGMA)


def _mask(saturated: NDArray[np.bool_], detected: NDArray[np.bool_]) -> NDArray[np.uint16]:
    bit = {name: np.uint16(1 << place) for place, name in enumerate(MASK_BITS)}
    mask = detected * bit["DETECTED"] | saturated * (bit["SAT"] | bit["INTRP"])
    for border in (np.s_[:_EDGE], np.s_[-_EDGE:], np.s_[:, :_EDGE], np.s_[:, -_EDGE:]):
        mask[border] |= bit["EDGE"]
    mask[_NO_DATA] = bit["NO_DATA"]
    return mask
