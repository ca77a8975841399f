"""JSON requests: the nested body that v1 takes in a POST, judged by its published schema."""

import copy
import json
from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, relevance

from imageserv.core.dali.places import UNIT_ALIASES, UNITS, box
from imageserv.core.dataset import DataId, Dataset, Key
from imageserv.core.errors import UnsupportedFault, UsageFault
from imageserv.core.manager import DatasetPlugin
from imageserv.core.repository import Repository
from imageserv.core.request import CutoutRequest
from imageserv.core.selection import ByDataId, ByPosition, ByScienceId, Selector

from .parameters import accepted
from .query import ImageQuestion

_SCHEMA: dict[str, Any] = json.loads(files("imageserv.schema").joinpath("request-v1.json").read_text("utf-8"))
_VALIDATOR = Draft202012Validator(_SCHEMA)

_OF_A_CUTOUT = tuple(_SCHEMA["$defs"]["cutout"]["properties"])
"""Its members; over a sky map it has one more, which narrows the search as in nearest."""


def read_request(repository: Repository, document: Any) -> ImageQuestion:
    """Understand a JSON request.

    Parameters
    ----------
    repository
        The one that the URL names.
    document
        The body, as JSON values.

    Raises
    ------
    NotFoundFault
        Raised if the repository has no such dataset.
    UnsupportedFault
        Raised if the request asks for a cutout over a sky map, and the dataset has none.
    UsageFault
        Raised if the body does not follow the schema, or contradicts the URL or the dataset's keys.
    """
    error = max(_VALIDATOR.iter_errors(document), key=relevance, default=None)
    if error is not None:
        raise UsageFault(_explain(error), parameter=_path(error))
    image = document["image"]
    if image.get("db", repository.name) != repository.name:
        raise UsageFault(f"db is {image['db']!r} in the body and {repository.name!r} in the URL", parameter="db")
    dataset = repository.dataset(image["ds"].strip())
    whole = image.get("image_id")
    cutout = image.get("cutout", whole)
    image_id = cutout["image_id"] if whole is None else whole
    parameters: Mapping[str, object] = {}
    try:
        if "skymap_id" in image_id:
            parameters = _sky_map(dataset, image_id["skymap_id"])
            narrowed = {name: value for name, value in cutout.items() if name not in _OF_A_CUTOUT}
            image_id = {"nearest": {"center": cutout["center"], **narrowed}}
        selector = _selector(dataset, image_id, anywhere=bool(parameters))
    except UsageFault as fault:
        fault.details.setdefault("accepted", accepted(dataset.declaration))
        raise
    if "size" not in cutout:
        return ImageQuestion(dataset, selector)
    center, size = cutout["center"], cutout["size"]
    unit: str = size.get("unit", UNITS[0])
    unit = UNIT_ALIASES.get(unit, unit)
    # Adding 0.0 makes integers real, and -0.0 equal to 0.0: equal questions shall read equal.
    stencil = box(center["x"] + 0.0, center["y"] + 0.0, size["x"] + 0.0, size["y"] + 0.0, unit)
    detail = cutout.get("detail", "planes")
    return ImageQuestion(dataset, selector, CutoutRequest(stencil, detail, parameters=parameters))


def published_schema(url: str, datasets: Iterable[Dataset]) -> dict[str, Any]:
    """Return the schema of JSON requests, completed with the keys of the datasets that are loaded.

    Parameters
    ----------
    url
        Where it is published.
    datasets
        Of all repositories.

    Returns
    -------
    dict
        JSON Schema, draft 2020-12. What it refuses, `read_request` refuses.
    """
    schema = copy.deepcopy(_SCHEMA)
    schema["$id"] = url
    data_ids: list[dict[str, Any]] = []
    bands: dict[str, list[str]] = {}
    sky_maps: dict[str, None] = {}
    band_keys: set[str | None] = set()
    for dataset in datasets:
        data_ids += [variant for variant in _data_id_schemas(dataset) if variant not in data_ids]
        sky_maps |= dict.fromkeys(dataset.sky_maps)
        band_keys.add(dataset.band_key)
        if dataset.band_key is not None and (key := dataset.key(dataset.band_key)) is not None:
            names = bands.setdefault(key.name, [])
            names += [name for name in key.choices if name not in names]
    definitions = schema["$defs"]
    definitions["data_id"] = {"description": definitions["data_id"]["description"], "anyOf": data_ids}
    definitions["nearest"]["properties"] |= {name: {"enum": names} for name, names in bands.items()}
    definitions["nearest"]["additionalProperties"] = False
    definitions["cutout"]["properties"] |= {name: {"enum": names} for name, names in bands.items()}
    definitions["cutout"]["additionalProperties"] = False
    if sky_maps:
        definitions["skymap_id"]["enum"] = list(sky_maps)
    if len(band_keys) == 1:  # without its filter a place says enough only for a dataset that has none
        definitions["nearest"]["required"] += [name for name in band_keys if name is not None]
    return schema


def key_schema(key: Key) -> dict[str, Any]:
    """Return the JSON Schema of one key's value."""
    schema: dict[str, Any] = {"description": key.description, "type": "integer" if key.type is int else "string"}
    if key.minimum is not None:
        schema["minimum"] = key.minimum
    if key.maximum is not None:
        schema["maximum"] = key.maximum
    if key.choices:
        schema["enum"] = list(key.choices)
    if key.parts:
        schema["pattern"] = "^" + ",".join([r"\s*[+-]?[0-9]{1,19}\s*"] * len(key.parts)) + "$"
    return schema


def _data_id_schemas(dataset: Dataset) -> list[dict[str, Any]]:
    """Return the forms of a data id: with compound keys whole, and by their parts."""
    whole = dataset.keys
    split = tuple(part for key in whole for part in (key.parts or (key,)))
    return [
        {
            "type": "object",
            "required": [key.name for key in keys],
            "properties": {key.name: key_schema(key) for key in keys},
            "additionalProperties": False,
        }
        for keys in dict.fromkeys((whole, split))
    ]


def _sky_map(dataset: DatasetPlugin, name: str) -> Mapping[str, object]:
    """Return the parameters that make a cutout over a sky map of a dataset."""
    known = dataset.declaration.sky_maps
    if not known:
        raise UnsupportedFault(
            f"{dataset.name} has no sky map (skymap_id): name one image by nearest, data_id or science_id",
            parameter="skymap_id",
        )
    if name not in known:
        raise UsageFault(f"{dataset.name} has no sky map {name!r}; it has {', '.join(known)}", parameter="skymap_id")
    return known[name]


def _path(error: ValidationError) -> str | None:
    return ".".join(str(step) for step in error.absolute_path) or None


def _explain(error: ValidationError) -> str:
    reason = error.message
    if error.validator == "oneOf" and isinstance(error.schema, Mapping):
        # Which of the alternatives is meant nobody knows: the description says what they are.
        reason = str(error.schema["description"])
    text = reason if len(reason) <= 500 else f"{reason[:250]} ... {reason[-250:]}"
    return f"the JSON request does not follow its schema at {_path(error) or 'its top'}: {text}"


def _selector(dataset: DatasetPlugin, image_id: Mapping[str, Any], *, anywhere: bool) -> Selector:
    if "science_id" in image_id:
        return ByScienceId(int(image_id["science_id"]))
    if "data_id" in image_id:
        return ByDataId(_data_id(dataset.declaration, image_id["data_id"]))
    holder = "a cutout over a sky map" if anywhere else "nearest"
    nearest = dict(image_id["nearest"])
    center = nearest.pop("center")
    band_key = dataset.declaration.band_key
    band = nearest.pop(band_key, None) if band_key is not None else None
    if nearest:
        name = next(iter(nearest))
        raise UsageFault(f"{name} is no member of {holder} for the dataset {dataset.name}", parameter=name)
    if band_key is not None:
        if band is None:
            raise UsageFault(f"{holder} needs {band_key}", parameter=band_key)
        key = dataset.declaration.key(band_key)
        band = band if key is None else str(key.check(band))
    return ByPosition(center["x"] + 0.0, center["y"] + 0.0, band, anywhere)


def _data_id(declaration: Dataset, sent: Mapping[str, int | float | str]) -> DataId:
    # JSON Schema takes 694.0 for an integer.
    values = {name: value if isinstance(value, str) else int(value) for name, value in sent.items()}
    for key in declaration.keys:
        names = [part.name for part in key.parts]
        if names and key.name not in values and all(name in values for name in names):
            parts = [part.check(values.pop(part.name)) for part in key.parts]
            values[key.name] = ",".join(str(part) for part in parts)
    return declaration.check_data_id(values)
