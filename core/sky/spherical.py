"""Arcs of circles on the sphere, and polygons of great circles."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imageserv.core.errors import UsageFault

from .footprint import Vectors, separation

ROUNDING = 1e-13
"""Radians. A place this near to a boundary lies on it: twenty micro-arcseconds would be a thousand times as far."""

_SAME = 1e-15
"""Radians. Vertices no farther apart are one: their difference is rounding."""

_OPPOSITE = 1e-8
"""Radians. Between vertices nearer than this to each other's antipode, every great circle is about as short."""

_BLOCK = 1 << 20
"""How many pairs of a place and an edge are reckoned at once."""

_PIVOTS = 101
"""How many directions are tried for one that is clear of all edges."""


def evenly_spread(count: int) -> Vectors:
    """Return unit vectors, shape (count, 3), all over the sphere: the golden-angle spiral."""
    number = np.arange(count)
    height = (2 * number + 1) / count - 1
    across, turn = np.sqrt(1 - height**2), 1.0 + number * np.pi * (3 - np.sqrt(5))
    return np.stack([across * np.cos(turn), across * np.sin(turn), height], axis=1)


@dataclass(frozen=True, slots=True)
class Arcs:
    """Arcs of circles, great and small: the points ``middle + cos(t) start + sin(t) ahead`` for t from 0 to `angle`.

    Attributes
    ----------
    middle : ndarray, shape (n, 3)
        Centre of each arc's circle, within the sphere: 0 for great circles.
    start : ndarray, shape (n, 3)
        From there to the arc's first point.
    ahead : ndarray, shape (n, 3)
        The same, a quarter of a turn on.
    angle : ndarray, shape (n,)
        How far the arc turns about the middle (rad), 0 to 2 pi.
    """

    middle: Vectors
    start: Vectors
    ahead: Vectors
    angle: NDArray[np.float64]

    @property
    def radius(self) -> NDArray[np.float64]:
        """Radius of each circle, shape (n,): what an arc's angle must be multiplied with to give its length (rad)."""
        size: NDArray[np.float64] = np.linalg.norm(self.start, axis=-1)
        return size

    def at(self, index: NDArray[np.intp], angle: NDArray[np.float64]) -> Vectors:
        """Return points, shape (k, 3), of the arcs with these indexes, at these angles from their starts."""
        turned: Vectors = (
            self.middle[index] + np.cos(angle)[:, None] * self.start[index] + np.sin(angle)[:, None] * self.ahead[index]
        )
        return turned

    def ends(self) -> Vectors:
        """Return the first and the last point of each arc, shape (2 n, 3)."""
        index = np.arange(len(self.angle))
        return np.concatenate([self.middle + self.start, self.at(index, self.angle)])

    def bounds(self) -> tuple[Vectors, Vectors]:
        """Return the lowest and highest x, y, z of all arcs, each of shape (3,).

        A coordinate is a cosine of the angle about the middle: its extremes
        are those of the circle where the arc reaches them, else those of its ends.
        """
        ends = self.ends()
        size = np.hypot(self.start, self.ahead)
        top = np.arctan2(self.ahead, self.start)
        high = np.where(_reaches(top, self.angle), self.middle + size, -1.0)
        low = np.where(_reaches(top + np.pi, self.angle), self.middle - size, 1.0)
        return np.concatenate([low, ends]).min(axis=0), np.concatenate([high, ends]).max(axis=0)

    def distance(self, point: Vectors) -> float:
        """Return the angle (rad) from a point, shape (3,), to the nearest point of all arcs."""
        nearest = np.arctan2(self.ahead @ point, self.start @ point) % (2 * np.pi)
        index = np.flatnonzero(nearest <= self.angle)
        places = np.concatenate([self.ends(), self.at(index, nearest[index])])
        return float(separation(places, point).min())

    def cross(self, outline: "Outline") -> bool:
        """Tell whether an arc and an edge of a polygon have a point in common, which is no vertex of the polygon.

        A great circle with the pole n has the points of an arc where n . p(t) = 0, that is
        ``hypot(n.start, n.ahead) cos(t - phase) = -n.middle``.
        """
        poles = outline.poles
        even, odd, level = (part @ poles.T for part in (self.start, self.ahead, self.middle))  # arcs by edges
        size = np.hypot(even, odd)
        arc, edge = np.nonzero((np.abs(level) <= size + ROUNDING) & (size > 0))
        if not arc.size:
            return False
        phase = np.arctan2(odd[arc, edge], even[arc, edge])
        swing = np.arccos(np.clip(-level[arc, edge] / size[arc, edge], -1.0, 1.0))
        arc, edge, turn = np.tile(arc, 2), np.tile(edge, 2), np.concatenate([phase - swing, phase + swing])
        hit = _reaches(turn, self.angle[arc])
        if not hit.any():
            return False
        return bool(outline.between(self.at(arc[hit], turn[hit]), edge[hit]).any())


def _reaches(turn: NDArray[np.float64], angle: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Tell whether angles, shape (n,) or (n, 3), lie on arcs of the extents `angle`, shape (n,)."""
    limits = angle if turn.ndim == 1 else angle[:, None]
    # A start that rounding put before 0 is almost a full turn on.
    around = turn % (2 * np.pi)
    reached: NDArray[np.bool_] = (around <= limits + ROUNDING) | (around >= 2 * np.pi - ROUNDING)
    return reached


class Outline:
    """What great circles between vertices enclose: the smaller of the two parts of the sphere.

    Where edges cross each other, places that they go round an even number of
    times are outside.

    Parameters
    ----------
    vertices : ndarray, shape (n, 3)
        Unit vectors, n >= 1, of either winding. Repeated and collinear ones do no harm.

    Attributes
    ----------
    vertices : ndarray, shape (m, 3)
        Without repeats.
    poles : ndarray, shape (m, 3)
        Unit vectors that each edge, from a vertex to the next, turns about; 0 if there is but one vertex.
    center, radius
        A cap that holds the polygon: shape (3,), and rad.

    Raises
    ------
    UsageFault
        Raised if two successive vertices are opposite to each other.
    """

    def __init__(self, vertices: Vectors) -> None:
        steps = separation(vertices, np.roll(vertices, 1, axis=0))
        if (steps > np.pi - _OPPOSITE).any():
            raise UsageFault("two successive vertices of a polygon are opposite to each other: give one in between")
        kept = vertices[steps > _SAME]
        self.vertices: Vectors = kept if len(kept) else vertices[:1]
        self._ends = np.roll(self.vertices, -1, axis=0)
        # With b - a in place of b, the product keeps its digits however close b is to a.
        poles = np.cross(self.vertices, self._ends - self.vertices)
        lengths = np.linalg.norm(poles, axis=1)[:, None]
        self.poles: Vectors = poles / np.where(lengths > 0, lengths, 1.0)
        mean = self.vertices.mean(axis=0)
        size = float(np.linalg.norm(mean))
        # Within a hemisphere every part that the edges enclose is the smaller one.
        within = size > 0 and bool((self.vertices @ mean > 0.01 * size).all())
        self.center: Vectors = mean / size if within else self.vertices[0]
        self.radius: float = float(separation(self.vertices, self.center).max()) if within else np.pi
        pivot = self._pivot(within)
        # The triangles of the pivot with the edges never hold its antipode: they add up to the part without it.
        self._reference: Vectors = -pivot
        self._reference_inside: bool = not within and abs(self._area(pivot)) > 2 * np.pi

    def _pivot(self, within: bool) -> Vectors:
        """Choose a direction far from every edge's great circle; a right angle from the centre if `within`."""
        if within:
            turn = 1.0 + np.arange(_PIVOTS)
            first = np.cross(self.center, np.eye(3)[np.argmin(np.abs(self.center))])
            first /= np.linalg.norm(first)
            second = np.cross(self.center, first)
            choices = np.cos(turn)[:, None] * first + np.sin(turn)[:, None] * second
        else:
            choices = evenly_spread(_PIVOTS)
        clear: Vectors = choices[np.argmax(np.abs(choices @ self.poles.T).min(axis=1))]
        return clear

    def _area(self, pivot: Vectors) -> float:
        """Return the sum of the signed solid angles of the triangles of a pivot and each edge (sr).

        Van Oosterom & Strackee 1983, IEEE Trans. Biomed. Eng. BME-30, 125.
        """
        a, b = self.vertices, self._ends
        volume = np.cross(a, b - a) @ pivot
        return float(np.sum(2 * np.arctan2(volume, 1 + a @ pivot + np.sum(a * b, axis=1) + b @ pivot)))

    def arcs(self) -> Arcs:
        """Return the edges."""
        angle = separation(self.vertices, self._ends)
        return Arcs(np.zeros_like(self.vertices), self.vertices, np.cross(self.poles, self.vertices), angle)

    def between(self, points: Vectors, edges: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Tell which points, shape (k, 3), on the great circles of these edges, lie on the edges themselves."""
        a, b, pole = self.vertices[edges], self._ends[edges], self.poles[edges]
        after = np.sum((points - a) * np.cross(pole, a), axis=1) >= -ROUNDING
        before = np.sum((points - b) * np.cross(pole, b), axis=1) <= ROUNDING
        here: NDArray[np.bool_] = after & before & (np.sum(points * (a + b), axis=1) > 0)
        return here

    def contains(self, points: Vectors) -> NDArray[np.bool_]:
        """Tell which unit vectors, shape (..., 3), lie in the polygon or, to rounding, on an edge."""
        flat = points.reshape(-1, 3)
        size = max(1, _BLOCK // len(self.vertices))
        blocks = [self._contains(flat[first : first + size]) for first in range(0, len(flat), size)]
        return np.concatenate([np.zeros(0, bool), *blocks]).reshape(points.shape[:-1])

    def _contains(self, points: Vectors) -> NDArray[np.bool_]:
        """Count the edges between each point and the reference; points of shape (k, 3).

        The way is the half great circle from the reference through the point.
        An edge whose ends are on different sides of it meets it, or meets its
        other half, as the edge turns one way or the other about the reference;
        and it does so before the point if it has the point and the reference on
        different sides. Everything is reckoned from differences to the centre, so that
        small polygons keep their digits.
        """
        inside: NDArray[np.bool_]
        if len(self.vertices) == 1:
            inside = separation(points, self.vertices[0]) <= ROUNDING
            return inside
        reference, center = self._reference, self.center
        offsets, corners = points - center, self.vertices - center
        # The triple product of reference, point and vertex, multiplied out.
        across = np.cross(reference, center)
        sides = np.cross(reference, offsets) @ corners.T + corners @ across - (offsets @ across)[:, None]
        left = sides >= 0
        left_next = np.roll(left, -1, axis=1)
        distance = offsets @ self.poles.T - np.sum(corners * self.poles, axis=1)
        ahead = self.poles @ reference > 0
        crossed = (left != left_next) & (left_next == ahead) & ((distance > 0) != ahead)
        inside = (np.count_nonzero(crossed, axis=1) % 2 == 1) != self._reference_inside
        # Places on an edge, whichever side rounding puts them.
        point, edge = np.nonzero(np.abs(distance) <= ROUNDING)
        inside[point[self.between(points[point], edge)]] = True
        return inside
