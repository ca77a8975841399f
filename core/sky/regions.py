"""Shapes as sets of places: which they contain, how far they extend, what they meet."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from imageserv.core.record import Footprint

from . import footprint as footprints
from .footprint import Vectors, degrees_to_vectors, separation, tangent_frame
from .spherical import ROUNDING, Arcs, Outline
from .stencil import Circle, Polygon, Range, Shape


@dataclass(frozen=True, slots=True)
class Region:
    """What is reckoned once of a shape.

    Attributes
    ----------
    boundary
        Arcs that hold every place of the shape's border. (Those of a range that is all round are its two parallels.)
    center, radius
        A cap that holds the shape: shape (3,), and rad.
    outline
        Of a polygon.
    """

    boundary: Arcs
    center: Vectors
    radius: float
    outline: Outline | None = None


@lru_cache(maxsize=256)
def region(shape: Shape) -> Region:
    """Return the boundary and the covering cap of a shape.

    Raises
    ------
    UsageFault
        Raised if successive vertices of a polygon are opposite to each other.
    """
    match shape:
        case Circle():
            return _circle(shape)
        case Range():
            return _range(shape)
        case Polygon():
            longitudes, latitudes = np.array(shape.vertices).T
            outline = Outline(degrees_to_vectors(longitudes, latitudes))
            return Region(outline.arcs(), outline.center, outline.radius, outline)


def contains(shape: Shape, vectors: Vectors) -> NDArray[np.bool_]:
    """Tell which places lie in a shape, its boundary included.

    Parameters
    ----------
    vectors
        Unit vectors (ICRS), shape (..., 3).

    Returns
    -------
    ndarray of bool, shape (...)
        False for NaN.

    Raises
    ------
    UsageFault
        Raised if successive vertices of a polygon are opposite to each other.
    """
    part = region(shape)
    inside: NDArray[np.bool_]
    if isinstance(shape, Circle):
        inside = separation(vectors, part.center) <= part.radius + ROUNDING
    elif isinstance(shape, Range):
        inside = _in_range(shape, vectors)
    else:
        assert part.outline is not None
        inside = part.outline.contains(vectors) & np.isfinite(vectors).all(axis=-1)
    return inside


def bounds(shape: Shape) -> tuple[Vectors, Vectors]:
    """Return the lowest and highest x, y, z, each of shape (3,), of a box that holds a shape.

    A coordinate has its extremes on the boundary, or where its axis pierces the sphere within the shape.

    Raises
    ------
    UsageFault
        Raised if successive vertices of a polygon are opposite to each other.
    """
    low, high = region(shape).boundary.bounds()
    low = np.where(contains(shape, -np.eye(3)), -1.0, low)
    high = np.where(contains(shape, np.eye(3)), 1.0, high)
    return np.clip(low - 2 * ROUNDING, -1.0, 1.0), np.clip(high + 2 * ROUNDING, -1.0, 1.0)


def meets(shape: Shape, footprint: Footprint) -> bool:
    """Tell whether a shape and a footprint have a place in common.

    If the footprint is not exact, its cap stands in, so that True means no more than "perhaps".

    Raises
    ------
    UsageFault
        Raised if successive vertices of a polygon are opposite to each other.
    """
    part = region(shape)
    center, radius = footprints.cap(footprint)
    if float(separation(center, part.center)) > part.radius + radius + ROUNDING:
        return False
    if not footprint.exact:
        return bool(contains(shape, center)) or part.boundary.distance(center) <= radius + ROUNDING
    if contains(shape, footprint.vertices).any():
        return True
    ends = part.boundary.ends()
    if footprints.contains(footprint, ends).any():
        return True
    # Now to the last digit: one within the other, or edges that cross.
    outline = Outline(footprint.vertices)
    return bool(outline.contains(ends).any()) or part.boundary.cross(outline)


def _circle(shape: Circle) -> Region:
    center, radius = degrees_to_vectors(shape.ra, shape.dec), float(np.radians(shape.radius))
    east, north, _ = np.sin(radius) * tangent_frame(center)
    middle = np.cos(radius) * center
    return Region(Arcs(middle[None], north[None], east[None], np.array([2 * np.pi])), center, radius)


def _range(shape: Range) -> Region:
    west, extent = np.radians(shape.west), np.radians(shape.extent)
    south, north = np.radians(shape.south), np.radians(shape.north)
    up = np.array([0.0, 0.0, 1.0])
    middle, start, ahead, angle = [], [], [], []
    for latitude in (south, north):
        middle.append(np.sin(latitude) * up)
        start.append(np.cos(latitude) * np.array([np.cos(west), np.sin(west), 0.0]))
        ahead.append(np.cos(latitude) * np.array([-np.sin(west), np.cos(west), 0.0]))
        angle.append(extent)
    for longitude in (west, west + extent) if shape.extent < 360 else ():
        out = np.array([np.cos(longitude), np.sin(longitude), 0.0])
        middle.append(np.zeros(3))
        start.append(np.cos(south) * out + np.sin(south) * up)
        ahead.append(np.cos(south) * up - np.sin(south) * out)
        angle.append(north - south)
    boundary = Arcs(np.array(middle), np.array(start), np.array(ahead), np.array(angle))
    if shape.extent <= 180:
        # Up to a right angle of longitude to either side, the corners are what is farthest from the middle.
        center = degrees_to_vectors(shape.west + shape.extent / 2, (shape.south + shape.north) / 2)
        return Region(boundary, center, float(separation(boundary.ends(), center).max()))
    pole = 1.0 if shape.south + shape.north >= 0 else -1.0
    return Region(boundary, pole * up, float(np.pi / 2 - pole * (south if pole > 0 else north)))


def _in_range(shape: Range, vectors: Vectors) -> NDArray[np.bool_]:
    x, y, z = np.moveaxis(vectors, -1, 0)
    latitude = np.arctan2(z, np.hypot(x, y))
    upright = (latitude >= np.radians(shape.south) - ROUNDING) & (latitude <= np.radians(shape.north) + ROUNDING)
    within: NDArray[np.bool_] = np.full(upright.shape, shape.extent >= 360)
    west, extent = np.radians(shape.west), np.radians(shape.extent)
    within |= (np.arctan2(y, x) - west) % (2 * np.pi) <= extent
    for meridian in (west, west + extent):
        ahead = x * np.cos(meridian) + y * np.sin(meridian)
        aside = y * np.cos(meridian) - x * np.sin(meridian)
        within |= (np.abs(aside) <= ROUNDING) & (ahead >= -ROUNDING)
    inside: NDArray[np.bool_] = upright & within
    return inside
