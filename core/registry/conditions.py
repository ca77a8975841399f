"""The constraints of a search, except those on the sky, as SQL."""

from imageserv.core.errors import LimitFault
from imageserv.core.search import Search

MOST_NUMBERS = 30_000
"""The most values of all constraints of a search together, an interval counting as two: SQLite takes no more."""

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
