"""The parameters of v1, each declared once: requests are read, and documentation is written, from this table."""

from collections.abc import Callable, Mapping
from typing import Final

from imageserv.core.dali.literals import choice, integer
from imageserv.core.dali.parameters import Parameter
from imageserv.core.dali.places import DEC, HEIGHT, RA, UNIT, UNIT_ALIASES, UNITS, WIDTH
from imageserv.core.dataset import Dataset, Key
from imageserv.core.errors import PluginFault
from imageserv.core.request import DETAILS

OPTIONAL: Final = ("unit", "detail")
"""The parameters that a set of `accepted` can do without."""


def _science_id(text: str) -> int:
    value = integer(text)
    if value < 0:
        raise ValueError("must not be negative")
    return value


DS = Parameter("ds", str, "The dataset: which kind of image.")
RESPONSEFORMAT = Parameter(
    "RESPONSEFORMAT",
    str,
    "Short name or media type of the answer's format; it overrides Accept (DALI 1.1 section 3.4.3).",
)

_COMMON = (
    DS,
    RA,
    DEC,
    Parameter(
        "sid",
        _science_id,
        "The science id: one integer that names one image.",
        ucd="meta.id",
        datatype="long",
        arraysize="",
        aliases=("ccdexpid",),
    ),
    WIDTH,
    HEIGHT,
    UNIT,
    Parameter(
        "detail",
        choice(*DETAILS),
        "What a cutout has: all planes; the science plane alone (image); all planes and the file's tables (all).",
        options=DETAILS,
    ),
    Parameter(
        "get_dataid",
        choice("get"),
        "Answer the data id that belongs to `sid`, as JSON, instead of an image.",
        flag=True,
        options=("get",),
    ),
    Parameter(
        "get_ccdexpid",
        choice("get"),
        "Answer the science id that belongs to a data id, as JSON, instead of an image.",
        flag=True,
        options=("get",),
    ),
    RESPONSEFORMAT,
)

SCHEMAS: Final[Mapping[str, Mapping[str, object]]] = {
    "ra": {"type": "number", "minimum": 0, "maximum": 360},
    "dec": {"type": "number", "minimum": -90, "maximum": 90},
    "sid": {"type": "integer", "minimum": 0, "maximum": 2**63 - 1},
    "width": {"type": "number", "exclusiveMinimum": 0},
    "height": {"type": "number", "exclusiveMinimum": 0},
    "unit": {"enum": [*UNITS, *UNIT_ALIASES], "default": UNITS[0]},
    "detail": {"enum": [*DETAILS], "default": DETAILS[0]},
    "get_dataid": {"enum": ["get", ""]},
    "get_ccdexpid": {"enum": ["get", ""]},
    "RESPONSEFORMAT": {"type": "string"},
}
"""JSON Schema of the values of v1's own parameters, for documentation; `ds` depends on the repository."""


def declare(dataset: Dataset) -> tuple[Parameter, ...]:
    """Return the parameters that requests for a dataset take: v1's own, the keys of its data id, and what it adds.

    Raises
    ------
    PluginFault
        Raised if a key, or an added parameter, has the name of one of v1's own.
    """
    reserved = {name.lower() for parameter in _COMMON for name in (parameter.name, *parameter.aliases)}
    for key in dataset.keys:
        if key.name.lower() in reserved:
            raise PluginFault(f"{key.name} is a parameter of v1, so it cannot be a key of a data id")
    for parameter in dataset.parameters:
        for name in (parameter.name, *parameter.aliases):
            if name.lower() in reserved:
                raise PluginFault(f"{name} is a parameter of v1, so a dataset cannot add it")
    return (*_COMMON, *(_of_key(key) for key in dataset.keys), *dataset.parameters)


def accepted(dataset: Dataset) -> dict[str, list[list[str]]]:
    """Return the sets of parameters that requests for a dataset may have, by what they answer."""
    position = ["ra", "dec", *([dataset.band_key] if dataset.band_key else [])]
    keys = [key.name for key in dataset.keys]
    size = ["width", "height", *OPTIONAL, *(parameter.name for parameter in dataset.parameters)]
    centre = ["ra", "dec"]
    return {
        "image": [["ds", *position], ["ds", *keys], ["ds", "sid"]],
        "cutout": [["ds", *position, *size], ["ds", *keys, *centre, *size], ["ds", "sid", *centre, *size]],
        "data id": [["ds", "get_dataid", "sid"]],
        "science id": [["ds", "get_ccdexpid", *keys]],
    }


def _of_key(key: Key) -> Parameter:
    parse: Callable[[str], object] = key.parse
    if key.type is int:
        return Parameter(
            key.name, parse, key.description, ucd="meta.id", datatype="long", arraysize="", example=key.example
        )
    return Parameter(key.name, parse, key.description, ucd="meta.id", options=key.choices, example=key.example)
