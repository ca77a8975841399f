"""The constraints of a search on the sky: which boxes to look into, and which footprints meet a shape."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from imageserv.core.record import Footprint
from imageserv.core.sky import regions
from imageserv.core.sky.caps import Cap
from imageserv.core.sky.footprint import cap_radii
from imageserv.core.sky.stencil import Circle, Shape

_MARGIN = 1e-6
"""Radians, by which the cap around an image is taken wider: a few times what `_clearance` may be wrong."""

_BLOCK = 1 << 20
"""How many pairs of a point and an arc are reckoned at once."""

Box = tuple[float, ...]
"""x0, x1, y0, y1, z0, z1."""


class Shapes:
    """Some shapes, of which an image must meet one.

    Parameters
    ----------
    shapes
        At least one.

    Raises
    ------
    UsageFault
        Raised if successive vertices of a polygon are opposite to each other.
    """

    def __init__(self, shapes: Sequence[Shape]) -> None:
        self._caps = [Cap(shape.ra, shape.dec, shape.radius) for shape in shapes if isinstance(shape, Circle)]
        self._others = [shape for shape in shapes if not isinstance(shape, Circle)]
        bounds = [each.bounds() for each in self._caps]
        bounds += [(low.tolist(), high.tolist()) for low, high in map(regions.bounds, self._others)]
        self.boxes: list[Box] = [(x0, x1, y0, y1, z0, z1) for (x0, y0, z0), (x1, y1, z1) in bounds]

    def met(self, footprints: Sequence[Footprint | None]) -> list[bool]:
        """Tell which footprints meet one of the shapes; of those that are not exact, which may do so.

        None meets nothing.
        """
        met = [footprint is not None and any(each.meets(footprint) for each in self._caps) for footprint in footprints]
        left = [place for place, meets in enumerate(met) if not meets and footprints[place] is not None]
        if self._others and left:
            for place in _meeting(self._others, [footprint for place in left if (footprint := footprints[place])]):
                met[left[place]] = True
        return met


def _meeting(shapes: Sequence[Shape], footprints: Sequence[Footprint]) -> list[int]:
    """Return the places of the footprints, at least one, that meet one of the shapes.

    Most are decided by their centre and a cap around it: an image whose middle is in a shape meets it; one whose middle
    is out of it, and farther from its border than the cap is wide, does not.
    """
    met: list[int] = []
    left = np.arange(len(footprints))
    centers = np.array([footprint.center for footprint in footprints])
    radii = cap_radii(footprints) + _MARGIN
    chords = 2 * np.sin(np.minimum(radii, np.pi) / 2)[:, None]  # nothing within the cap is farther off, along any axis
    for shape in shapes:
        low, high = regions.bounds(shape)
        near = left[((centers[left] + chords[left] >= low) & (centers[left] - chords[left] <= high)).all(axis=1)]
        inside = regions.contains(shape, centers[near])
        hits = near[inside].tolist()
        near = near[~inside]
        near = near[_clearance(shape, centers[near]) <= radii[near]]
        hits += [place for place in near.tolist() if regions.meets(shape, footprints[place])]
        met += hits
        left = np.setdiff1d(left, hits, assume_unique=True)
    return met


def _clearance(shape: Shape, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the angles (rad), to 1e-7, from points of shape (n, 3) to the nearest place of a shape's border.

    Along an arc, the cosine of the distance from a point is ``level + even cos(t) + odd sin(t)``: it is greatest
    where t is the angle of (even, odd), or where the arc does not go so far, at one of its ends.
    """
    arcs = regions.region(shape).boundary
    angles = np.empty(len(points))
    step = max(1, _BLOCK // len(arcs.angle))
    for start in range(0, len(points), step):
        block = slice(start, start + step)
        even, odd, level = (points[block] @ part.T for part in (arcs.start, arcs.ahead, arcs.middle))
        ends = np.maximum(even, np.cos(arcs.angle) * even + np.sin(arcs.angle) * odd)
        along = np.where(np.arctan2(odd, even) % (2 * np.pi) <= arcs.angle, np.hypot(even, odd), ends)
        angles[block] = np.arccos(np.clip((level + along).max(axis=1), -1.0, 1.0))
    return angles
