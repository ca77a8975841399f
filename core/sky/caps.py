"""A place on the sky and all around it: what is there, reckoned in plain numbers.

A question about one place concerns a handful of outlines of a handful of
corners: numpy takes longer to begin than that takes in all.
"""

import math
from collections.abc import Iterator, Sequence

from imageserv.core.record import Footprint

ROUNDING = 1e-13
"""Radians. A place this near to a boundary lies on it."""

Vector = Sequence[float]
"""Unit vector (ICRS): x towards RA 0 Dec 0, y towards RA 90 Dec 0, z towards the north pole."""


def angle(first: Vector, second: Vector) -> float:
    """Return the angle between unit vectors (rad), accurate from 0 to pi."""
    (a, b, c), (x, y, z) = first, second
    return 2.0 * math.atan2(math.hypot(a - x, b - y, c - z), math.hypot(a + x, b + y, c + z))


def vector_to_degrees(vector: Vector) -> tuple[float, float]:
    """Return ra (0 to 360) and dec, ICRS degrees, of a unit vector."""
    x, y, z = vector
    ra = math.degrees(math.atan2(y, x)) % 360.0
    # The remainder of a tiny negative angle rounds to 360 itself.
    return 0.0 if ra == 360.0 else ra, math.degrees(math.atan2(z, math.hypot(x, y)))


class Cap:
    """All places within an angle of one place, its boundary included.

    Parameters
    ----------
    ra, dec
        Its middle, ICRS degrees.
    radius
        Degrees; 0 is a point.

    Attributes
    ----------
    center
        Unit vector of its middle.
    radius
        Radians.
    """

    __slots__ = ("_east", "_half_chord", "_north", "_reach", "center", "radius")

    def __init__(self, ra: float, dec: float, radius: float = 0.0) -> None:
        lon, lat = math.radians(ra), math.radians(dec)
        around, up = math.cos(lat), math.sin(lat)
        along, across = math.cos(lon), math.sin(lon)
        self.center = (around * along, around * across, up)
        self.radius = math.radians(radius)
        self._east = (-across, along, 0.0)
        self._north = (-up * along, -up * across, around)
        reach = min(self.radius + ROUNDING, math.pi)
        self._half_chord = math.sin(reach / 2)
        self._reach = math.sin(reach) if reach < math.pi / 2 else 1.0

    def bounds(self) -> tuple[Vector, Vector]:
        """Return the lowest and highest x, y, z of a box that holds the cap."""
        polar = [math.acos(max(-1.0, min(1.0, part))) for part in self.center]
        low = [math.cos(min(each + self.radius, math.pi)) - 2 * ROUNDING for each in polar]
        high = [math.cos(max(each - self.radius, 0.0)) + 2 * ROUNDING for each in polar]
        return low, high

    def meets(self, footprint: Footprint) -> bool:
        """Tell whether a footprint has a place in the cap; if it is not exact, whether it may have one.

        Parameters
        ----------
        footprint
            A simple polygon, convex or not, of vertices less than 90 deg from
            its centre; one that is not exact is all within its farthest vertex.
        """
        center: Vector = footprint.center.tolist()
        corners: list[Vector] = footprint.vertices.tolist()
        if not footprint.exact:
            return angle(center, self.center) <= self.radius + max(angle(center, each) for each in corners) + ROUNDING
        return (
            self._is_in(center, corners)
            or angle(center, self.center) <= self.radius
            or any(self._touches(*edge) for edge in _edges(corners))
        )

    def _is_in(self, center: Vector, corners: Sequence[Vector]) -> bool:
        """Tell whether the cap's middle is in a polygon: half a great circle from it crosses an odd number of edges.

        It goes east, to the place opposite, which is out of every polygon that
        is nearer than 90 deg to the middle.
        """
        (x, y, z), (east_x, east_y, _), (north_x, north_y, north_z) = self.center, self._east, self._north
        if center[0] * x + center[1] * y + center[2] * z <= 0.0:
            return False
        inside = False
        a, b, c = corners[-1]
        height, ahead = a * north_x + b * north_y + c * north_z, a * east_x + b * east_y
        for a, b, c in corners:
            before, behind = height, ahead
            height, ahead = a * north_x + b * north_y + c * north_z, a * east_x + b * east_y
            if (before <= 0.0) != (height <= 0.0):
                # Where the edge meets the great circle, times a number of the sign of (height - before).
                crossing = behind * height - ahead * before
                if (crossing > 0.0) == (height > before):
                    inside = not inside
        return inside

    def _touches(self, first: Vector, second: Vector) -> bool:
        """Tell whether an arc of a great circle comes into the cap."""
        (x, y, z), (a, b, c), (d, e, f) = self.center, first, second
        u, v, w = x - a, y - b, z - c
        if math.hypot(u, v, w) <= 2.0 * self._half_chord:
            return True
        d, e, f = d - a, e - b, f - c
        pole_x, pole_y, pole_z = b * f - c * e, c * d - a * f, a * e - b * d
        size = math.hypot(pole_x, pole_y, pole_z)
        if abs(u * pole_x + v * pole_y + w * pole_z) > self._reach * size:
            return False  # the whole great circle is farther away
        # The foot of the perpendicular is on the arc if it is beyond the first end and before the second.
        after = (b * z - c * y) * pole_x + (c * x - a * z) * pole_y + (a * y - b * x) * pole_z
        a, b, c = second
        before = (b * z - c * y) * pole_x + (c * x - a * z) * pole_y + (a * y - b * x) * pole_z
        return before <= 0.0 <= after


def _edges(corners: Sequence[Vector]) -> Iterator[tuple[Vector, Vector]]:
    return zip(corners, (*corners[1:], corners[0]), strict=True)
