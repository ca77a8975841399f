"""Footprints: the outline of an image on the sky, and whether a point is inside.

Everything is reckoned with unit vectors, which know neither a wrap of right
ascension nor poles. A great circle is a straight line in the plane tangent to
the sphere at the footprint's centre (gnomonic projection), so that plane is
where outlines are drawn and points are tested.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from imageserv.core.record import Footprint

from .caps import angle

Vectors = NDArray[np.float64]
"""Unit vectors (ICRS), shape (..., 3): x towards RA 0 Dec 0, y towards RA 90 Dec 0, z towards the north pole."""

Plane = NDArray[np.complex128]
"""Places in the plane tangent to the sphere at a footprint's centre: east, and i times north (rad)."""

ToSky = Callable[[NDArray[np.float64], NDArray[np.float64]], Vectors]
"""From pixels x, y, counted from 0, to unit vectors, shape (n, 3); NaN where a pixel is not on the sky."""

tolerance = 0.1
"""How far an outline may stray from the image's true edge (pixels)."""

most_pieces = 64
"""Into how many great-circle arcs a side is divided at most."""

widest = np.radians(80.0)
"""The greatest distance of a corner from the centre that a polygon may have; beyond, a cap covers the image."""


def degrees_to_vectors(ra: ArrayLike, dec: ArrayLike) -> Vectors:
    """Return unit vectors, shape (..., 3), of ICRS degrees, shape (...)."""
    lon, lat = np.radians(ra), np.radians(dec)
    around = np.cos(lat)
    x = around * np.cos(lon)
    # Filled in, which is far quicker than np.stack for the few places of a request.
    vectors = np.empty((*x.shape, 3))
    vectors[..., 0], vectors[..., 1], vectors[..., 2] = x, around * np.sin(lon), np.sin(lat)
    return vectors


def vectors_to_degrees(vectors: Vectors) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return ra (0 to 360) and dec, ICRS degrees of shape (...), of vectors of shape (..., 3)."""
    x, y, z = vectors[..., 0], vectors[..., 1], vectors[..., 2]
    ra = np.degrees(np.arctan2(y, x)) % 360.0
    # The remainder of a tiny negative angle rounds to 360 itself.
    return np.where(ra == 360.0, 0.0, ra), np.degrees(np.arctan2(z, np.hypot(x, y)))


def separation(first: Vectors, second: Vectors) -> NDArray[np.float64]:
    """Return the angle between unit vectors (rad), accurate from 0 to pi.

    The arc cosine loses half the digits of small angles and of those near pi;
    twice the arc tangent of half the chord over half the chord to the
    antipode loses none.
    """
    apart, together = first - second, first + second
    chord, remainder = np.sqrt((apart * apart).sum(axis=-1)), np.sqrt((together * together).sum(axis=-1))
    angle: NDArray[np.float64] = 2.0 * np.arctan2(chord, remainder)
    return angle


def cap(footprint: Footprint) -> tuple[Vectors, float]:
    """Return the centre, shape (3,), and radius (rad) of a cap that covers the footprint."""
    center = footprint.center.tolist()
    return footprint.center, max(angle(center, corner) for corner in footprint.vertices.tolist())


def cap_radii(footprints: Sequence[Footprint]) -> NDArray[np.float64]:
    """Return the radii (rad), shape (n,), of caps around their centres that cover footprints, of one at least."""
    centers, corners, starts = _stacked(footprints)
    away = separation(corners, np.repeat(centers, np.diff(starts, append=len(corners)), axis=0))
    radii: NDArray[np.float64] = np.maximum.reduceat(away, starts)
    return radii


def bounds(footprints: Sequence[Footprint]) -> tuple[Vectors, Vectors]:
    """Return the lowest and highest x, y, z, each of shape (n, 3), of boxes that hold the footprints.

    A point of a polygon is a sum of its vertices with weights that add up to
    1, stretched to length 1. That sum has at least the length cos(r) when
    every vertex is within r < 90 deg of the centre, so no coordinate goes
    beyond those of the vertices by more than the factor 1 / cos(r).
    """
    centers, corners, starts = _stacked(footprints)
    radius = cap_radii(footprints)[:, None]
    polar = separation(np.eye(3), centers[:, None])
    low, high = np.cos(np.minimum(polar + radius, np.pi)), np.cos(np.maximum(polar - radius, 0.0))
    exact = np.array([footprint.exact for footprint in footprints])[:, None]
    least = np.minimum(np.minimum.reduceat(corners, starts), centers)
    most = np.maximum(np.maximum.reduceat(corners, starts), centers)
    stretch = 1.0 / np.cos(np.where(exact, radius, 0.0))
    low = np.where(exact, np.maximum(low, np.where(least < 0, least * stretch, least)), low)
    high = np.where(exact, np.minimum(high, np.where(most > 0, most * stretch, most)), high)
    rounding = 1e-14
    return np.clip(low - rounding, -1.0, 1.0), np.clip(high + rounding, -1.0, 1.0)


def _stacked(footprints: Sequence[Footprint]) -> tuple[Vectors, Vectors, NDArray[np.int_]]:
    """Return centres (n, 3), all vertices (k, 3) one footprint after the other, and where those of each start (n,)."""
    counts = np.array([len(footprint.vertices) for footprint in footprints])
    centers = np.array([footprint.center for footprint in footprints])
    return centers, np.concatenate([footprint.vertices for footprint in footprints]), np.cumsum(counts) - counts


def contains(footprint: Footprint, vectors: Vectors) -> NDArray[np.bool_]:
    """Tell which points lie in a footprint.

    Parameters
    ----------
    footprint
        A simple polygon, convex or not, of vertices less than 90 deg from its
        centre; if it is not exact, its cap is tested, so that True means no
        more than "perhaps".
    vectors
        Unit vectors, shape (..., 3).

    Returns
    -------
    ndarray of bool, shape (...)
        Of a point on an edge, to rounding, either answer may be given.
    """
    inside: NDArray[np.bool_]
    if footprint.exact:
        frame = tangent_frame(footprint.center)
        # What lies behind the tangent plane's horizon has no place in it: the centre stands in.
        ahead = vectors @ frame[2] > 1e-6
        points = _gnomonic(frame, np.where(ahead[..., None], vectors, footprint.center))
        inside = ahead & _inside(_gnomonic(frame, footprint.vertices), points)
    else:
        center, radius = cap(footprint)
        inside = separation(vectors, center) <= radius
    return inside


def footprint_of(to_sky: ToSky, width: int, height: int) -> Footprint:
    """Outline an image on the sky, along the outer edges of its pixels.

    Where the four sides are great circles, as in a plain tangential image,
    the outline has four vertices; where they bend, a side gains vertices until
    the outline follows the true edge within `tolerance`. If it cannot, or part
    of the image is off the sky, or the image is very wide, the footprint is a
    cap around the valid pixels, and not exact.

    Parameters
    ----------
    to_sky
        From pixels to the sky; called with one-dimensional arrays.
    width, height
        Number of pixels along x and y.

    Raises
    ------
    ValueError
        Raised if the image has no pixels, or none of them is on the sky.
    """
    if width < 1 or height < 1:
        raise ValueError(f"an image of {width} x {height} pixels has no outline")
    return _polygon(to_sky, width, height) or _covering_cap(to_sky, width, height)


def _sky(to_sky: ToSky, x: NDArray[np.float64], y: NDArray[np.float64]) -> Vectors:
    """Return unit vectors, shape (..., 3), of pixels; NaN off the sky."""
    return to_sky(x.ravel(), y.ravel()).reshape(*x.shape, 3)


def tangent_frame(center: Vectors) -> Vectors:
    """Return the unit vectors east, north, and `center` itself, as rows of shape (3, 3)."""
    x, y, z = center.tolist()
    around = math.hypot(x, y)
    east = [-y / around, x / around, 0.0] if around > 0 else [0.0, 1.0, 0.0]
    # Their cross product, written out: numpy's takes longer than all that is made of it.
    north = [-z * east[1], z * east[0], x * east[1] - y * east[0]]
    return np.array([east, north, center])


def _gnomonic(frame: Vectors, vectors: Vectors) -> Plane:
    """Project unit vectors, less than 90 deg from the frame's centre, to its tangent plane."""
    return _plane(*frame @ vectors.reshape(-1, 3).T).reshape(vectors.shape[:-1])


def _plane(east: NDArray[np.float64], north: NDArray[np.float64], depth: NDArray[np.float64]) -> Plane:
    """Project vectors, their components along the axes of a tangent frame, to the plane."""
    plane = np.empty(east.shape, np.complex128)
    plane.real, plane.imag = east / depth, north / depth
    return plane


def _cross(first: Plane, second: Plane) -> NDArray[np.float64]:
    """Return the cross product of plane vectors."""
    product: NDArray[np.float64] = (first.conj() * second).imag
    return product


def _shifted(corners: Plane) -> Plane:
    """Return the corner that follows each: `np.roll` takes longer than what is done with them."""
    return np.concatenate([corners[1:], corners[:1]])


def _inside(corners: Plane, points: Plane) -> NDArray[np.bool_]:
    """Tell which points lie in a plane polygon: a ray from them crosses an odd number of edges."""
    points = points[..., None]
    ends = _shifted(corners)
    upwards = corners.imag < ends.imag
    straddles = (corners.imag <= points.imag) != (ends.imag <= points.imag)
    left = _cross(ends - corners, points - corners) > 0
    odd: NDArray[np.bool_] = np.count_nonzero(straddles & (left == upwards), axis=-1) % 2 == 1
    return odd


def _sampled() -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    """Return where images are sampled: around the edge, one pixel inwards from `_PIXELS` of these, and on a grid.

    Returns
    -------
    shares, offsets : ndarray, shape (2, n)
        x and y of a place are its shares of the image's width and height, and these pixels more.
    count : int
        How many places, the last ones, are the grid, whose middle is that of the image.
    """
    corners = np.array([[0.0, 1.0, 1.0, 0.0], [0.0, 0.0, 1.0, 1.0]])[..., None]
    along = np.linspace(0.0, 1.0, _SAMPLES)
    edges = (corners + along * (np.roll(corners, -1, axis=1) - corners)).reshape(2, -1)
    inward = np.array([[0.0, -1.0, 0.0, 1.0], [1.0, 0.0, -1.0, 0.0]]).repeat(_SAMPLES, axis=1)
    # A few places well inside reveal a map that is torn or folded within a smooth outline.
    inner = np.stack(np.meshgrid(np.arange(1, 8) / 8, np.arange(1, 8) / 8)).reshape(2, -1)
    shares = np.concatenate([edges, edges[:, _PIXELS], inner], axis=1)
    offsets = np.full_like(shares, -0.5)
    offsets[:, edges.shape[1] : -inner.shape[1]] += inward[:, _PIXELS]
    return shares, offsets, inner.shape[1]


# Twice as many samples as pieces: the shortest piece still has one between its ends.
_SAMPLES = 2 * most_pieces + 1
_SIDES = np.arange(4 * _SAMPLES).reshape(4, _SAMPLES)

_PIXELS = _SIDES[:, 2::4].ravel()
"""The samples of the edges at which a pixel's size is measured, and not at their ends, one of which may be a pole.

Where it changes so fast that it is another two samples on, at the limb of a projection, an outline may be refused that
could just be drawn.
"""

_NEAREST = np.arange(len(_PIXELS)).reshape(4, -1)[:, np.minimum(np.arange(_SAMPLES), _SAMPLES - 2) // 4].ravel()
"""For each sample of the edges the place of the nearest among these."""

_SHARES, _OFFSETS, _GRID = _sampled()

_NARROWEST = np.cos(widest)

_TINY = 1e-300


def _polygon(to_sky: ToSky, width: int, height: int) -> Footprint | None:
    """Return the exact outline, or None where there is none."""
    sky = _sky(to_sky, *(_SHARES * [[width], [height]] + _OFFSETS))
    center = sky[-1 - _GRID // 2]
    frame = tangent_frame(center)
    east, north, depth = frame @ sky.T
    if not (depth >= _NARROWEST).all():  # nor if any is NaN
        return None
    plane = _plane(east, north, depth)
    edge, within, inner = plane[: _SIDES.size], plane[_SIDES.size : -_GRID], plane[-_GRID:]
    corners = _breaks(edge, (within - edge[_PIXELS])[_NEAREST])
    if corners is None:
        return None
    outline = _without_repeats(edge[corners], corners)
    if len(outline) < 3 or not _is_simple(edge[outline]) or not _inside(edge[outline], inner).all():
        return None
    # East is left in the sky: what turns clockwise in the (east, north) plane is seen turning the other way.
    if np.sum(_cross(edge[outline], _shifted(edge[outline]))) > 0:
        outline = outline[::-1]
    return Footprint(sky[outline], center)


def _breaks(edge: Plane, inward: Plane) -> NDArray[np.int_] | None:
    """Return where to break an outline, so that straight pieces follow it; None if none do.

    Each side is one piece at first; a piece that strays is halved.

    Parameters
    ----------
    edge
        Samples of the four sides, one side after the other.
    inward
        From each of them to the place one pixel further in.

    Returns
    -------
    ndarray of int
        The sample at which each piece begins.
    """
    starts = _SIDES[:, 0]
    found: list[NDArray[np.int_]] = []
    length = _SAMPLES - 1
    while starts.size:
        if length < 2:
            return None
        between = starts[:, None] + np.arange(1, length)
        offsets, pixel = edge[between] - edge[starts, None], inward[between]
        chords = (edge[starts + length] - edge[starts])[:, None]
        # Where a piece has no length, the nearest of its places is its beginning.
        along = (offsets * chords.conjugate()).real / np.maximum(np.abs(chords) ** 2, _TINY)
        offsets -= np.minimum(np.maximum(along, 0.0), 1.0) * chords
        astray = np.abs(offsets)
        # A pixel's step inwards counts as far as it leads the way that the piece strays; rounding has no direction.
        close = astray * astray <= tolerance * np.abs((offsets * pixel.conjugate()).real)
        close |= astray <= 1e-3 * tolerance * np.abs(pixel)
        follows = close.all(axis=1)
        found.append(starts[follows])
        length //= 2
        starts = np.concatenate([starts[~follows], starts[~follows] + length])
    return np.sort(np.concatenate(found))


def _without_repeats(points: Plane, indexes: NDArray[np.int_]) -> NDArray[np.int_]:
    """Drop corners that coincide with the one before: a side of the image may be one point of the sky, a pole."""
    steps = np.abs(points - np.concatenate([points[-1:], points[:-1]]))
    different: NDArray[np.int_] = indexes[steps > 1e-9 * steps.max()]
    return different


def _is_simple(corners: Plane) -> bool:
    """Tell whether no two edges of a plane polygon cross."""
    a, b = corners[:, None], _shifted(corners)[:, None]
    c, d = a.T, b.T
    parts = (_cross(b - a, c - a) * _cross(b - a, d - a) < 0) & (_cross(d - c, a - c) * _cross(d - c, b - c) < 0)
    return not parts.any()


def _limb(to_sky: ToSky, places: NDArray[np.float64], valid: NDArray[np.bool_]) -> Vectors:
    """Return where a projection ends, shape (k, 3): the last places on the sky between samples that are and are not."""
    ends: list[tuple[NDArray[np.float64], NDArray[np.float64]]] = []
    for grid, shown in ((places, valid), (places.swapaxes(0, 1), valid.T)):
        torn = shown[1:] != shown[:-1]
        here, there, first = grid[:-1][torn], grid[1:][torn], shown[:-1][torn][:, None]
        ends.append((np.where(first, here, there), np.where(first, there, here)))
    inside, outside = (np.concatenate(side) for side in zip(*ends, strict=True))
    for _ in range(20):
        middle = (inside + outside) / 2
        shown = np.isfinite(_sky(to_sky, middle[:, 0], middle[:, 1])[:, :1])
        inside, outside = np.where(shown, middle, inside), np.where(shown, outside, middle)
    return _sky(to_sky, inside[:, 0], inside[:, 1])


def _covering_cap(to_sky: ToSky, width: int, height: int) -> Footprint:
    """Surround the valid pixels of an image."""
    fineness = 128
    x = np.linspace(-0.5, width - 0.5, min(2 * width, fineness) + 1)
    y = np.linspace(-0.5, height - 0.5, min(2 * height, fineness) + 1)
    sky = _sky(to_sky, *np.meshgrid(x, y))
    valid = np.isfinite(sky[..., 0])
    if not valid.any():
        raise ValueError("no pixel of the image is on the sky")
    off_middle = np.hypot(*np.meshgrid(x - (width - 1) / 2, y - (height - 1) / 2))
    center = sky[np.unravel_index(np.argmin(np.where(valid, off_middle, np.inf)), valid.shape)]
    steps = np.concatenate([separation(sky[1:], sky[:-1]).ravel(), separation(sky[:, 1:], sky[:, :-1]).ravel()])
    # Twice a long step, but not the longest, which lead across a seam or to the limb of a projection: what is
    # between two samples is nearer than that, and the sides of the polygon clear it.
    margin = 2 * np.nanpercentile(steps, 90) if np.isfinite(steps).any() else np.pi
    places = np.stack(np.meshgrid(x, y), axis=-1)
    reached = np.concatenate([sky[valid], _limb(to_sky, places, valid)])
    radius = min(float(separation(reached, center).max() + margin), np.pi)
    corners = 32
    east, north, _ = tangent_frame(center)
    angle = np.arange(corners)[:, None] * (2 * np.pi / corners)
    # From north by east: counter-clockwise, as position angles go.
    rim = np.cos(radius) * center + np.sin(radius) * (np.cos(angle) * north + np.sin(angle) * east)
    return Footprint(rim, center, exact=False)
