"""Searches: their constraints as SQL, and those on the sky as geometry."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from imageserv.core.errors import LimitFault
from imageserv.core.record import Footprint
from imageserv.core.search import Search
from imageserv.core.sky import regions
from imageserv.core.sky.stencil import Shape

MOST_NUMBERS = 30_000
"""The most values of all constraints of a search together, an interval counting as two: SQLite takes no more."""

_MARGIN = 1e-6
"""Radians, by which the cap around an image is taken wider: a few times what `_clearance` may be wrong."""

_BLOCK = 1 << 20
"""How many pairs of a point and an arc are reckoned at once."""

_INTERVALS = {
    "bands": ("em_min", "em_max"),
    "times": ("t_min", "t_max"),
    "s_fov": ("s_fov", "s_fov"),
    "s_resolution": ("s_resolution", "s_resolution"),
    "em_res_power": ("em_res_power", "em_res_power"),
    "t_exptime": ("t_exptime", "t_exptime"),
    "t_resolution": ("t_resolution", "t_resolution"),
}
"""Constraints that intervals satisfy: the columns with the lower and the upper end of what an image has."""

_TEXTS = {
    "identifiers": "identifier",
    "dataproduct_types": "dataproduct_type",
    "targets": "target",
    "facilities": "facility",
    "instruments": "instrument",
}
"""Constraints that equal texts satisfy."""


def conditions(search: Search) -> tuple[str, list[float | str]]:
    """Return an SQL condition on a row ``i`` of images, and its parameters: all constraints but that on the sky.

    The parameters have no names, among which SQLite would look for each anew.

    A comparison with NULL is not true, so what is unknown satisfies nothing.

    Raises
    ------
    LimitFault
        Raised if the search has more values than `MOST_NUMBERS`.
    """
    clauses = ["1"]
    parameters: list[float | str] = []
    for name, (least, most) in _INTERVALS.items():
        if intervals := getattr(search, name):
            pairs = ", ".join(["(?, ?)"] * len(intervals))
            meets = f"i.{least} <= v.column2 AND i.{most} >= v.column1"
            clauses.append(f"EXISTS (SELECT 1 FROM (VALUES {pairs}) v WHERE {meets})")
            parameters += [bound for interval in intervals for bound in interval]
    if search.pol_states:
        states = ", ".join(["(?)"] * len(search.pol_states))
        clauses.append(f"EXISTS (SELECT 1 FROM (VALUES {states}) v WHERE instr(i.pol_states, v.column1))")
        parameters += [f"/{state}/" for state in search.pol_states]
    for name, column in _TEXTS.items():
        if texts := getattr(search, name):
            clauses.append(f"i.{column} IN ({', '.join('?' * len(texts))})")
            parameters += texts
    if len(parameters) > MOST_NUMBERS:
        raise LimitFault(f"the search has {len(parameters)} values, more than {MOST_NUMBERS}")
    return " AND ".join(clauses), parameters


def meeting(shapes: Sequence[Shape], footprints: Sequence[Footprint | None], fields: NDArray[np.float64]) -> list[bool]:
    """Tell which footprints meet one of the shapes; of those that are not exact, which may do so.

    Most are decided by their centre and a cap around it: an image whose middle is in a shape meets it; one whose middle
    is out of it, and farther from its border than the cap is wide, does not.

    Parameters
    ----------
    shapes
        At least one.
    footprints
        None meets nothing.
    fields
        Diameters of the caps (deg), shape (n,).
    """
    met = [False] * len(footprints)
    left = np.array([place for place, footprint in enumerate(footprints) if footprint is not None], dtype=int)
    if not left.size:
        return met
    nowhere = np.full(3, np.nan)
    centers = np.array([nowhere if footprint is None else footprint.center for footprint in footprints])
    radii = np.radians(np.minimum(fields / 2, 180.0)) + _MARGIN
    chords = 2 * np.sin(np.minimum(radii, np.pi) / 2)[:, None]  # nothing within the cap is farther off, along any axis
    for shape in shapes:
        low, high = regions.bounds(shape)
        near = left[((centers[left] + chords[left] >= low) & (centers[left] - chords[left] <= high)).all(axis=1)]
        inside = regions.contains(shape, centers[near])
        hits = near[inside].tolist()
        near = near[~inside]
        near = near[_clearance(shape, centers[near]) <= radii[near]]
        for place in near.tolist():
            footprint = footprints[place]
            if footprint is not None and regions.meets(shape, footprint):
                hits.append(place)
        for place in hits:
            met[place] = True
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
