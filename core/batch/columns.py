"""From a table that a client sent to the rows of a catalogue: which columns are read, and what they may be."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from imageserv.core.dali.parameters import read_value
from imageserv.core.errors import LimitFault, UsageFault
from imageserv.core.service import Service

from .finding import choose_dataset
from .parameters import Question
from .rows import write_rows
from .tables import Column, Row, open_table

_UCDS = {"pos.eq.ra;meta.main": "ra", "pos.eq.dec;meta.main": "dec"}
_DEGREES = ("", "deg", "degree", "degrees")
_FRAMES = ("", "ICRS", "EQ_FK5", "FK5", "BARYCENTRIC")  # FK5 of J2000 is ICRS to a few hundredths of an arcsec


def read_catalogue(
    path: Path, folder: Path, service: Service, question: Question, most: int
) -> tuple[list[str], dict[str, str]]:
    """Read a table, and write its rows to a folder.

    Parameters
    ----------
    question
        The job's parameters.
    most
        How many rows the table may have.

    Returns
    -------
    names : list of str
        What each cell of a written row is.
    defaults : dict of str
        What the table's metadata say for all rows: the unit of width and height.

    Raises
    ------
    UsageFault
        Raised if the table cannot be read, or cannot say of any row what is wanted.
    LimitFault
        Raised if it has too many rows.
    """
    with open_table(path) as table:
        places = _places(table.columns, question.columns)
        _check_columns(table.columns, places, service, question.given)
        defaults = _units(table.columns, places, question)

        def rows() -> Iterator[Row]:
            for number, row in enumerate(table.rows(list(places.values()))):
                if number == most:
                    raise LimitFault(f"the table has more than {most} rows: send it in parts", parameter="UPLOAD")
                yield row

        if not write_rows(folder, rows()):
            raise UsageFault("the table has no rows", parameter="UPLOAD")
    return list(places), defaults


def _places(columns: Sequence[Column], known: Iterable[str]) -> dict[str, int]:
    """Find which columns are read: by name, compared without case, else by UCD."""
    found: dict[str, int] = {}
    for name in known:
        places = [place for place, column in enumerate(columns) if column.name.lower() == name]
        places = places or [
            place for place, column in enumerate(columns) if _UCDS.get(column.ucd.replace(" ", "").lower()) == name
        ]
        if len(places) > 1:
            spelt = " and ".join(columns[place].name for place in places[:5])
            raise UsageFault(f"the table's columns {spelt} are both {name}: rename one", parameter="UPLOAD")
        if places:
            found[name] = places[0]
    return found


def _check_columns(
    columns: Sequence[Column], places: Mapping[str, int], service: Service, given: Mapping[str, Any]
) -> None:
    """Refuse a table of whose rows none could be answered."""
    names = ", ".join(column.name for column in columns[:50])
    known = places.keys() | given.keys()
    if not places or not ("id" in known or {"ra", "dec"} <= known):
        raise UsageFault(
            "the table names no images: it needs the columns ra and dec (ICRS degrees), or id (publisher DIDs);"
            f" it has {names}",
            parameter="UPLOAD",
        )
    if "id" not in known and "ds" not in known and "collection" not in places:
        collection = given.get("collection")
        choose_dataset(service.default if collection is None else service.repository(collection), None)
    for name in ("ra", "dec", "radius"):
        if name in places:
            column = columns[places[name]]
            if column.unit.lower() not in _DEGREES:
                raise UsageFault(
                    f"the column {column.name} is in {column.unit}: {name} must be in deg", parameter="UPLOAD"
                )
            if column.system.upper() not in _FRAMES:
                raise UsageFault(
                    f"the column {column.name} is of {column.system}: {name} must be ICRS", parameter="UPLOAD"
                )


def _units(columns: Sequence[Column], places: Mapping[str, int], question: Question) -> dict[str, str]:
    """Return the unit in which the table declares its sizes, where no column or parameter says it."""
    units: set[str] = set()
    for name in ("width", "height"):
        unit = columns[places[name]].unit if name in places else ""
        if unit:
            units.add(read_value(question.columns["unit"], unit))
    if not units or "unit" in places:
        return {}
    if len(units | {question.given.get("unit", next(iter(units)))}) > 1:
        raise UsageFault(
            f"the columns width and height are in {' and '.join(sorted(units))}: give both in one unit, and no other"
            " as the parameter unit",
            parameter="unit",
        )
    return {"unit": units.pop()}
