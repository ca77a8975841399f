"""The nearest centre: places are looked into from near to far, and in halves where there are many images.

A question to the R*Tree has an answer of bounded length, so that the nearest
image is found as soon half the sky away as next door, among any number.
"""

import heapq
import math
from collections.abc import Callable, Iterator, Sequence
from itertools import count, product
from typing import NamedTuple

from imageserv.core.sky.caps import Cap, Vector, angle

from .shapes import Box

_FIRST = 0.002
"""Half the width of the first box to be looked into, in units of the sphere's radius: a tenth of a degree."""

_FEW = 24
"""So many images are compared at once; a box that has more of them is divided."""

_SLACK = 1e-7
"""Radians, by which the least angle to a box may be wrong: a chord of nearly 2 has half the digits of its angle."""


class Center(NamedTuple):
    """An image as it is looked at: the numbers by which it is told apart, its centre, and the box of its footprint."""

    science_id: int
    number: int
    vector: Vector
    extent: float


class Near(NamedTuple):
    """How far an image is (rad); of equally near ones the lower science id comes first."""

    distance: float
    science_id: int
    number: int


Look = Callable[[Box, int], Sequence[Center]]
"""Returns some of the images whose boxes meet a box: at most so many, or all for -1."""


def nearest(look: Look, place: Cap) -> Near | None:
    """Return the image whose centre is nearest to the middle of a cap, however far."""
    half, best = _FIRST, None
    while True:
        # A centre that is as near as this is in the box, for a chord is shorter than its arc.
        around = tuple(side for middle in place.center for side in (middle - half, middle + half))
        best = _nearest_in(look, place, around, best)
        if best is not None and best.distance <= half:
            return best
        if half >= 2.0:
            return best
        half = 4 * half if best is None else best.distance * (1 + 1e-9)


def _nearest_in(look: Look, place: Cap, box: Box, best: Near | None) -> Near | None:
    """Return the nearest of the images whose boxes meet a box, or what was better already."""
    order = count()
    boxes = [(0.0, next(order), box)]
    while boxes:
        away, _, box = heapq.heappop(boxes)
        if best is not None and away > best.distance + _SLACK:
            break
        found = look(box, _FEW + 1)
        if len(found) > _FEW:
            if box[1] - box[0] > 2 * min(center.extent for center in found):
                for part in _parts(box):
                    heapq.heappush(boxes, (_least_angle(part, place.center), next(order), part))
            else:  # images as large as the box are in all its parts
                found = look(box, -1)
        for center in found:
            near = Near(angle(center.vector, place.center), center.science_id, center.number)
            best = near if best is None else min(best, near)
    return best


def _parts(box: Box) -> Iterator[Box]:
    """Yield the eighths of a box that the sphere goes through: no centre is elsewhere."""
    halves: list[list[tuple[float, float]]] = []
    for low, high in zip(box[::2], box[1::2], strict=True):
        middle = (low + high) / 2
        halves.append([(low, middle), (middle, high)])
    for x, y, z in product(*halves):
        nearest = math.hypot(*(max(low, -high, 0.0) for low, high in (x, y, z)))
        farthest = math.hypot(*(max(-low, high) for low, high in (x, y, z)))
        if nearest <= 1.0 + _SLACK and farthest >= 1.0 - _SLACK:
            yield (*x, *y, *z)


def _least_angle(box: Box, point: Vector) -> float:
    """Return an angle (rad) than which no unit vector in a box is nearer to another one.

    By the least chord to that one, which tells little of what is far, or by the longest to the one opposite.
    """
    sides = list(zip(box[::2], box[1::2], point, strict=True))
    near = math.hypot(*(max(low - value, 0.0, value - high) for low, high, value in sides))
    far = math.hypot(*(max(abs(low + value), abs(high + value)) for low, high, value in sides))
    return max(2 * math.asin(min(near / 2, 1.0)), math.pi - 2 * math.asin(min(far / 2, 1.0)))
