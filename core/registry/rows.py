"""An image record as a row of the table ``images``, and back."""

import json
from collections.abc import Sequence
from dataclasses import astuple, fields
from functools import lru_cache
from operator import attrgetter
from struct import Struct
from typing import Any

import numpy as np

from imageserv.core.obscore import dataproduct_type
from imageserv.core.record import Coverage, FileStamp, Footprint, ImageRecord, Observation, Plane

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
    "pixel_scale": "REAL",
    "s_ra": "REAL",
    "s_dec": "REAL",
    "s_fov": "REAL",
    "s_region": "TEXT",
    "exact": "INTEGER",
    "vectors": "BLOB",
} | {name: "TEXT" if name in _TEXTS else "REAL" for name in _OBSERVATION}
"""The columns of ``images`` that hold a record, and their SQL types.

Those named as in ObsCore 1.1 are what searches compare, as they are
published; `pol_states` is written as ``/I/Q/``. `vectors` are those of the
footprint, its centre first, three little-endian float64 each.
"""

SELECTED = ", ".join([*(f"i.{name}" for name in COLUMNS), "f.path", "f.size", "f.mtime_ns"])
"""What `record` reads, of ``images i JOIN files f``."""

_INSERTED = ("id", "file", *COLUMNS)
INSERT = f"INSERT INTO images ({', '.join(_INSERTED)}) VALUES ({', '.join('?' * len(_INSERTED))})"
"""Puts `values` into the table."""


def values(number: int, file: int, image: ImageRecord) -> tuple[Any, ...]:
    """Return a record's row: its number, that of its file, and the value of each column."""
    footprint, coverage = image.footprint, image.coverage
    return (
        number,
        file,
        image.dataset,
        image.identifier,
        image.science_id,
        json.dumps(dict(image.data_id)),
        image.band,
        image.size,
        _planes_text(image.planes),
        *image.shape,
        image.channels,
        f"/{'/'.join(image.pol_states)}/" if image.pol_states else None,
        dataproduct_type(image),
        image.pixel_scale,
        *((None, None, None, None) if coverage is None else _parts(coverage)),
        *((None, None) if footprint is None else (footprint.exact, _blob(footprint))),
        *_observed(image.observation),
    )


def record(row: Sequence[Any]) -> ImageRecord:
    """Return the record of a row."""
    (
        dataset, identifier, science_id, data_id, band, size, planes, width, height, channels, pol_states, kind, scale,
        ra, dec, fov, region, exact, vectors, *observed, path, bytes_, mtime_ns,
    ) = row  # fmt: skip
    return ImageRecord(
        dataset,
        identifier,
        science_id,
        json.loads(data_id),
        band,
        FileStamp(path, bytes_, mtime_ns),
        size,
        _planes(planes),
        (width, height),
        None if vectors is None else _footprint(vectors, exact),
        scale,
        channels,
        _states(pol_states),
        Observation(*observed),
        kind == "cube",
        None if region is None else Coverage(ra, dec, fov, region),
    )


_parts = attrgetter(*(field.name for field in fields(Coverage)))
_observed = attrgetter(*_OBSERVATION)


def _blob(footprint: Footprint) -> bytes:
    return b"".join(part.astype("<f8", copy=False).tobytes() for part in (footprint.center, footprint.vertices))


def _footprint(blob: bytes, exact: int) -> Footprint:
    vectors = np.frombuffer(blob, dtype="<f8").reshape(-1, 3)
    return Footprint(vectors[1:], vectors[0], exact != 0)


def center(blob: bytes) -> tuple[float, ...]:
    """Return the centre of the footprint with these vectors."""
    return _CENTER.unpack_from(blob)


_CENTER = Struct("<3d")


# Few texts, in many rows.


@lru_cache(maxsize=256)
def _planes_text(planes: tuple[Plane, ...]) -> str:
    # Of one in another file that file's stamp, too.
    return json.dumps([[plane.name, plane.hdu, *(astuple(plane.file) if plane.file else ())] for plane in planes])


@lru_cache(maxsize=256)
def _planes(text: str) -> tuple[Plane, ...]:
    return tuple(Plane(name, hdu, FileStamp(*file) if file else None) for name, hdu, *file in json.loads(text))


@lru_cache(maxsize=256)
def _states(text: str | None) -> tuple[str, ...]:
    return tuple(text.strip("/").split("/")) if text else ()
