"""Celestial frames, as astropy has them, and how ICRS is turned into them."""

from typing import Any

import numpy as np
from astropy import units as u
from astropy.coordinates import (
    FK4,
    FK5,
    ICRS,
    BarycentricMeanEcliptic,
    BarycentricTrueEcliptic,
    BaseCoordinateFrame,
    FK4NoETerms,
    Galactic,
    GeocentricTrueEcliptic,
    Supergalactic,
    UnitSphericalRepresentation,
)
from astropy.wcs.utils import wcs_to_celestial_frame
from numpy.typing import NDArray

from .footprint import degrees_to_vectors

Array = NDArray[np.float64]

_FIXED = (
    ICRS,
    FK5,
    FK4,
    FK4NoETerms,
    Galactic,
    Supergalactic,
    BarycentricMeanEcliptic,
    BarycentricTrueEcliptic,
    GeocentricTrueEcliptic,
)
"""Frames that have a fixed relation to ICRS."""

_SETTLED = ("RA--", "DEC-"), ("GLON", "GLAT")
"""Celestial axes whose frame RADESYS and EQUINOX settle."""

_frames: dict[object, "tuple[BaseCoordinateFrame, Array | None]"] = {}
"""Those met, with the matrix that turns ICRS unit vectors into theirs: a survey has one for all its images."""

_MOST_FRAMES = 256


def is_fixed(frame: object) -> bool:
    """Tell whether a frame has a fixed relation to ICRS: wcslib also knows those of the Earth and of the planets."""
    return isinstance(frame, _FIXED)


def frame_of(wcs: Any) -> tuple[BaseCoordinateFrame, Array | None]:
    """Return the frame of celestial axes, and the matrix that turns ICRS unit vectors into it, None if none does."""
    parameters = wcs.wcs
    types = str(parameters.ctype[parameters.lng])[:4], str(parameters.ctype[parameters.lat])[:4]
    if types not in _SETTLED:
        other: Any = wcs_to_celestial_frame(wcs)
        return other, _rotation_from_icrs(other)
    key = types, parameters.radesys, str(parameters.equinox)  # as text, for nan is not itself
    found = _frames.get(key)
    if found is None:
        if len(_frames) >= _MOST_FRAMES:
            _frames.clear()
        frame: Any = wcs_to_celestial_frame(wcs)
        found = _frames[key] = frame, _rotation_from_icrs(frame)
    return found


def _rotation_from_icrs(frame: BaseCoordinateFrame) -> Array | None:
    """Return the matrix that turns ICRS unit vectors into the frame's, or None if no matrix does (FK4 has E-terms)."""
    if not is_fixed(frame):
        return None
    lon = np.array([0.0, 90.0, 0.0, 45.0, 200.0])
    lat = np.array([0.0, 0.0, 90.0, 35.0, -70.0])
    turned = transform(ICRS(), lon, lat, frame)
    matrix: Array = turned[:3].T
    if np.abs(degrees_to_vectors(lon, lat) @ matrix.T - turned).max() > 1e-13:
        return None
    return matrix


def transform(source: BaseCoordinateFrame, lon: Array, lat: Array, target: BaseCoordinateFrame) -> Array:
    """Convert degrees in one frame to unit vectors in another; NaN stays NaN."""
    good = np.isfinite(lon) & np.isfinite(lat)
    vectors = np.full((len(lon), 3), np.nan)
    if good.any():
        place = source.realize_frame(UnitSphericalRepresentation(lon[good] * u.deg, lat[good] * u.deg))
        vectors[good] = place.transform_to(target).represent_as(UnitSphericalRepresentation).to_cartesian().xyz.value.T
    return vectors
