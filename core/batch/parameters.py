"""The parameters of jobs, and the columns of catalogues: SODA's table, with what may be repeated here."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from imageserv.core.dali.literals import choice, real
from imageserv.core.dali.parameters import Parameter, Parsed, near_misses, parse_parameters
from imageserv.core.dali.places import DEC, HEIGHT, RA, UNIT, WIDTH
from imageserv.core.dali.soda import BAND, DETAIL, ID, METADATA, POL, RUNID, SODA_FORMAT, SODA_METADATA, SPATIAL, TIME
from imageserv.core.errors import UsageFault
from imageserv.core.service import Service
from imageserv.core.sky.stencil import Interval, Stencil

Pairs = Sequence[tuple[str, str]]
Package = Literal["files", "tar"]

_UPLOAD = re.compile(r"([A-Za-z][A-Za-z0-9_]*)\s*,\s*([A-Za-z][A-Za-z0-9+.-]*):(.+)", re.DOTALL)


def _upload(text: str) -> tuple[str, str]:
    """Read a table's name, and the name of the part that holds it."""
    match = _UPLOAD.fullmatch(text)
    if match is not None and match[2].lower() == "param":
        return match[1], match[3].strip()
    right = "must be the table's name and that of a part of this request, such as sources,param:table"
    if match is not None:
        right += f"; nothing is fetched from elsewhere ({match[2].lower()})"
    raise ValueError(right)


def _radius(text: str) -> float:
    value = real(text)
    if not 0 <= value <= 180:
        raise ValueError("must be a radius in degrees, 0 to 180")
    return value


PACKAGE = Parameter(
    "package",
    choice("files", "tar"),
    "Whether each result is a file (files), or all of them are in one tar, with the manifest (tar); a catalogue's are"
    " a tar unless files are asked for.",
    ucd="meta.code",
    options=("files", "tar"),
)
UPLOAD = Parameter(
    "UPLOAD",
    _upload,
    "A table with a cutout in each row (VOTable, CSV, FITS, Parquet): its name, and the request's part with it.",
    ucd="meta.id;meta.table",
    example="sources,param:table",
)
RADIUS = Parameter(
    "radius",
    _radius,
    "Radius of a circle around ra and dec.",
    unit="deg",
    ucd="phys.angSize",
    datatype="double",
    arraysize="",
    example="0.005",
)

_SINGLE = (POL, DETAIL, SODA_FORMAT, SODA_METADATA, RUNID, PACKAGE)
_BAND, _TIME = replace(BAND, multiple=True), replace(TIME, multiple=True)

_WITH_TABLE = (_BAND, _TIME, *_SINGLE, UPLOAD)
JOB = (*(replace(parameter, multiple=True) for parameter in (ID, *SPATIAL)), *_WITH_TABLE)
"""What a job takes, beside what its images' datasets add."""

COLUMNS = (
    Parameter("id", str, ID.description, ucd=ID.ucd),
    RA,
    DEC,
    Parameter("collection", str, "The repository.", ucd="meta.id"),
    Parameter("ds", str, "The dataset: which kind of image.", ucd="meta.id"),
    RADIUS,
    WIDTH,
    HEIGHT,
    UNIT,
    Parameter("name", str, "Goes into the name of the result.", ucd="meta.id;src"),
)
"""What a row of a catalogue can say, beside the values of band keys (`band_columns`).

A job's parameter of the same name stands in for a cell that is empty.
"""

SIZES = ("radius", "width", "height")


@dataclass(frozen=True, slots=True)
class Question:
    """What a job asks of each of its images.

    Attributes
    ----------
    pairs
        The job's parameters as sent: the images' datasets may know more of them.
    given
        The values of those that are declared, by name.
    unknown
        Names of those that are not.
    stencils
        In the order in which they were sent; None alone for all of the image. A catalogue has its own.
    bands, times
        None alone for all.
    table
        The name of the uploaded catalogue.
    columns
        What its rows can say, by name, which is in lower case.
    """

    pairs: Pairs
    given: Mapping[str, Any]
    unknown: tuple[str, ...]
    stencils: tuple[Stencil | None, ...]
    bands: tuple[Interval | None, ...]
    times: tuple[Interval | None, ...]
    table: str | None
    columns: Mapping[str, Parameter]

    @property
    def package(self) -> Package:
        """Whether the results are files of their own."""
        chosen: Package = self.given.get("package", "files" if self.table is None else "tar")
        return chosen

    @property
    def headers_only(self) -> bool:
        """Whether the cutouts' headers are asked for instead of the cutouts."""
        return bool(self.given.get("METADATA", METADATA[0]) != METADATA[0])

    @property
    def each(self) -> int:
        """How many results an image and a stencil have."""
        return len(self.bands) * len(self.times)


def band_columns(service: Service) -> tuple[Parameter, ...]:
    """Return a column for each key by which datasets tell images of one place apart."""
    keys = {
        plugin.declaration.band_key.lower()
        for repository in service.repositories.values()
        for plugin in repository.datasets.values()
        if plugin.declaration.band_key is not None
    }
    return tuple(Parameter(key, str, "Among which images the closest is sought.") for key in sorted(keys))


def read_question(pairs: Pairs, bands: Sequence[Parameter]) -> Question:
    """Read a job's parameters.

    Parameters
    ----------
    bands
        As `band_columns` gives them.

    Raises
    ------
    MultiValuedParamNotSupported
        Raised if a parameter that takes one value has several.
    UsageFault
        Raised if there is neither an ID nor a catalogue, or a value cannot be read.
    """
    table = parse_parameters((UPLOAD,), pairs).values.get("UPLOAD")
    columns = {} if table is None else {column.name: column for column in (*COLUMNS, *bands)}
    parsed = parse_parameters(JOB if table is None else (*_job_columns(columns.values()), *_WITH_TABLE), pairs)
    given = parsed.values
    stencils: tuple[Stencil, ...] = ()
    if table is None:
        if "ID" not in given:
            raise UsageFault(
                "ID is missing: it names an image by its publisher DID; or UPLOAD a table with a cutout in each row",
                parameter="ID",
            )
        stencils = _stencils(parsed)
    else:
        for parameter in SPATIAL:
            if any(name.lower() == parameter.name.lower() for name in parsed.unknown):
                raise UsageFault(
                    f"{parameter.name} and UPLOAD both say which part of the images: the table has columns for it, or"
                    " give the job radius, or width and height",
                    parameter=parameter.name,
                )
    return Question(
        pairs,
        given,
        parsed.unknown,
        stencils or (None,),
        tuple(given.get("BAND", (None,))),
        tuple(given.get("TIME", (None,))),
        None if table is None else table[0],
        columns,
    )


def _job_columns(columns: Iterable[Parameter]) -> list[Parameter]:
    """Leave out those that have the name of one of SODA's parameters."""
    taken = {parameter.name.lower() for parameter in _WITH_TABLE}
    return [column for column in columns if column.name not in taken]


def _stencils(parsed: Parsed) -> tuple[Stencil, ...]:
    """Return the values of all parameters that say where, in the order in which they were sent."""
    values = {parameter.name: iter(parsed.values.get(parameter.name, ())) for parameter in SPATIAL}
    return tuple(next(values[name]) for name in parsed.order if name in values)


def check_spelling(question: Question, known: Sequence[str], wanted: Sequence[str]) -> None:
    """Refuse a misspelt part of an image, where without one whole images would be given.

    Parameters
    ----------
    known
        Names of parameters that the images' datasets add.
    wanted
        What says which part of an image.

    Raises
    ------
    UsageFault
        Raised if an unknown parameter is nearly one of those.
    """
    spelt = {name.lower() for name in known}
    for wrong, right in near_misses([name for name in question.unknown if name.lower() not in spelt], wanted):
        raise UsageFault(
            f"{wrong} is no parameter, and without one whole images are given: did you mean {right}?", parameter=wrong
        )
