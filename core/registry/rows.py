"""An image record as a row of the table ``images``, and back."""

import json
import math
from collections.abc import Sequence
from dataclasses import fields
from functools import lru_cache
from typing import Any

import numpy as np

from imageserv.core.obscore import dataproduct_type
from imageserv.core.record import FileStamp, Footprint, ImageRecord, Observation, Plane
from imageserv.core.sky.footprint import cap, degrees_to_vectors, vectors_to_degrees

_TEXTS = ("facility", "instrument", "target", "title", "release")
_OBSERVATION = [field.name for field in fields(Observation)]

COLUMNS = {
    "dataset": "TEXT NOT NULL",
    "identifier": "TEXT NOT NULL COLLATE NOCASE",
    "science_id": "INTEGER NOT NULL",
    "data_id": "TEXT NOT NULL",
    "band": "TEXT",
    "size": "INTEGER NOT NULL",
    "planes": "TEXT NOT NULL",
    "width": "INTEGER NOT NULL",
    "height": "INTEGER NOT NULL",
    "channels": "INTEGER NOT NULL",
    "pol_states": "TEXT",
    "dataproduct_type": "TEXT NOT NULL",
    "ra": "REAL",
    "dec": "REAL",
    "s_fov": "REAL",
    "pixel_scale": "REAL",
    "exact": "INTEGER",
    "vertices": "BLOB",
} | {name: "TEXT" if name in _TEXTS else "REAL" for name in _OBSERVATION}
"""The columns of ``images`` that hold a record, and their SQL types.

Those named as in ObsCore 1.1 are what searches compare: `s_fov` is the
diameter (deg) of the cap around the footprint, `pol_states` is written as
``/I/Q/``.
"""

SELECTED = ", ".join(["i.id", *(f"i.{name}" for name in COLUMNS), "f.path", "f.size", "f.mtime_ns"])
"""What `footprints` and `record` read, of ``images i JOIN files f``."""

_PLACE = {name: place for place, name in enumerate(["id", *COLUMNS])}
_RA, _DEC, _EXACT, _VERTICES = (_PLACE[name] for name in ("ra", "dec", "exact", "vertices"))
S_FOV = _PLACE["s_fov"]
"""Where in a row the diameter of the footprint's cap is."""
_SEEN = _PLACE[_OBSERVATION[0]]


def values(image: ImageRecord) -> dict[str, Any]:
    """Return the value of each column of a record's row."""
    footprint = image.footprint
    ra = dec = fov = vertices = exact = None
    if footprint is not None:
        ra, dec = (float(value) for value in vectors_to_degrees(footprint.center))
        fov = round(2 * math.degrees(cap(footprint)[1]), 9)  # as it is published: a client may ask for that value
        exact = int(footprint.exact)
        vertices = np.ascontiguousarray(footprint.vertices, dtype="<f8").tobytes()
    return {
        "dataset": image.dataset,
        "identifier": image.identifier,
        "science_id": image.science_id,
        "data_id": json.dumps(dict(image.data_id)),
        "band": image.band,
        "size": image.size,
        "planes": json.dumps([[plane.name, plane.hdu] for plane in image.planes]),
        "width": image.shape[0],
        "height": image.shape[1],
        "channels": image.channels,
        "pol_states": f"/{'/'.join(image.pol_states)}/" if image.pol_states else None,
        "dataproduct_type": dataproduct_type(image),
        "ra": ra,
        "dec": dec,
        "s_fov": fov,
        "pixel_scale": image.pixel_scale,
        "exact": exact,
        "vertices": vertices,
    } | {name: getattr(image.observation, name) for name in _OBSERVATION}


def footprints(rows: Sequence[Sequence[Any]]) -> list[Footprint | None]:
    """Return the footprint of each row."""
    centers = degrees_to_vectors(*np.array([(row[_RA], row[_DEC]) for row in rows], dtype=float).reshape(-1, 2).T)
    return [
        None
        if row[_VERTICES] is None
        else Footprint(np.frombuffer(row[_VERTICES], dtype="<f8").reshape(-1, 3), center, bool(row[_EXACT]))
        for row, center in zip(rows, centers, strict=True)
    ]


def record(row: Sequence[Any], footprint: Footprint | None) -> ImageRecord:
    """Return the record of a row."""
    (
        _, dataset, identifier, science_id, data_id, band, size, planes, width, height, channels, pol_states,
        kind, _, _, _, scale, *_,
    ) = row  # fmt: skip
    return ImageRecord(
        dataset=dataset,
        identifier=identifier,
        science_id=science_id,
        data_id=json.loads(data_id),
        band=band,
        file=FileStamp(*row[-3:]),
        size=size,
        planes=_planes(planes),
        shape=(width, height),
        footprint=footprint,
        pixel_scale=scale,
        channels=channels,
        pol_states=_states(pol_states),
        observation=Observation(*row[_SEEN:-3]),
        cube=kind == "cube",
    )


def records(rows: Sequence[Sequence[Any]]) -> list[ImageRecord]:
    """Return the record of each row."""
    return [record(row, footprint) for row, footprint in zip(rows, footprints(rows), strict=True)]


# Few texts, in many rows.


@lru_cache(maxsize=256)
def _planes(text: str) -> tuple[Plane, ...]:
    return tuple(Plane(name, hdu) for name, hdu in json.loads(text))


@lru_cache(maxsize=256)
def _states(text: str | None) -> tuple[str, ...]:
    return tuple(text.strip("/").split("/")) if text else ()
