"""A registry in one SQLite file.

Every image has one box in an R*Tree, in unit-vector x, y and z: no wrap of
right ascension, no poles. The box is never smaller than the footprint, since
SQLite rounds the corners outwards to float32; the exact test comes after.

The file is in WAL mode, so that a service reads while ingest writes, and a
process that is killed leaves what it had committed.
"""

import json
import math
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from imageserv.core.errors import ConfigurationFault, UnavailableFault
from imageserv.core.record import FileStamp, Footprint, ImageRecord, Observation, Plane
from imageserv.core.sky.footprint import bounds, contains, degrees_to_vectors, vectors_to_degrees

from . import FileRow

application_id = 0x494D5356
"""SQLite's mark of whose file it is: "IMSV"."""

version = 1
"""Of the tables below; kept as the file's ``user_version``."""

_tables = """
CREATE TABLE file (
    id INTEGER PRIMARY KEY,
    dataset TEXT NOT NULL,
    path TEXT NOT NULL,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    recipe TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('taken', 'skipped', 'duplicate')),
    reason TEXT NOT NULL,
    warnings TEXT NOT NULL, -- JSON
    layout BLOB,
    UNIQUE (dataset, path)
);
CREATE TABLE image (
    id INTEGER PRIMARY KEY, -- that of its box, too
    file INTEGER NOT NULL REFERENCES file (id) ON DELETE CASCADE,
    dataset TEXT NOT NULL,
    science_id INTEGER NOT NULL,
    data_id TEXT NOT NULL, -- JSON
    band TEXT,
    planes TEXT NOT NULL, -- JSON: [[name, hdu], ...]
    width INTEGER NOT NULL,
    height INTEGER NOT NULL,
    pixel_scale REAL, -- arcsec
    ra REAL, -- of the centre, ICRS degrees
    dec REAL,
    exact INTEGER, -- is the footprint exact?
    footprint BLOB, -- unit vectors, little-endian float64: the centre, then the vertices
    t_min REAL, -- and on: ObsCore's columns
    t_max REAL,
    t_exptime REAL,
    em_min REAL,
    em_max REAL,
    facility TEXT,
    instrument TEXT,
    target TEXT,
    UNIQUE (dataset, science_id)
);
CREATE INDEX image_file ON image (file);
-- Images that were rejected because their science id was taken.
CREATE TABLE duplicate (
    file INTEGER NOT NULL REFERENCES file (id) ON DELETE CASCADE,
    science_id INTEGER NOT NULL,
    PRIMARY KEY (file, science_id)
) WITHOUT ROWID;
CREATE VIRTUAL TABLE box USING rtree (
    id, x_min, x_max, y_min, y_max, z_min, z_max,
    +dataset, +band, +science_id, +x, +y, +z -- the last three: the centre
);
CREATE TRIGGER image_gone AFTER DELETE ON image BEGIN
    DELETE FROM box WHERE id = old.id;
END;
"""

_observation_columns = "t_min, t_max, t_exptime, em_min, em_max, facility, instrument, target"

_image_columns = f"""image.dataset, science_id, data_id, band, path, size, mtime_ns, planes, width, height, footprint,
    exact, pixel_scale, {_observation_columns}"""

_select_image = f"SELECT {_image_columns} FROM image JOIN file ON file.id = image.file"

_is_stale = """EXISTS (
    SELECT 1 FROM duplicate WHERE duplicate.file = file.id AND NOT EXISTS (
        SELECT 1 FROM image WHERE image.dataset = file.dataset AND image.science_id = duplicate.science_id
    )
)"""

_select_file = f"SELECT path, size, mtime_ns, recipe, status, reason, warnings, {_is_stale} FROM file"

_page = 1000
"""How many rows are read at a time."""


def open_registry(path: Path, *, writable: bool) -> "SqliteRegistry":
    """Open a registry; if writable, make one where there is none.

    Raises
    ------
    UnavailableFault
        Raised if there is none, or the file cannot be opened, or is damaged.
    ConfigurationFault
        Raised if the file is no registry, or one of another version of ImageServ.
    """
    if writable:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UnavailableFault(f"the registry {path} cannot be made: {error.strerror}") from error
    elif not path.exists():
        raise UnavailableFault(f"there is no registry {path} yet: ingest makes it")
    mode = "rwc" if writable else "ro"
    with _faults(path):
        # Other processes may hold the file for the moment of a commit, and for the length of a batch if both write.
        db = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=30,
            isolation_level=None,
            check_same_thread=False,
        )
    try:
        with _faults(path):
            db.execute("PRAGMA cache_size = -65536")
            db.execute("PRAGMA foreign_keys = ON")
            if writable:
                _prepare(db, path)
            _check(db, path)
    except BaseException:
        db.close()
        raise
    return SqliteRegistry(db, path)


def _prepare(db: sqlite3.Connection, path: Path) -> None:
    """Make the tables in an empty file."""
    if _is_empty(db):
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("BEGIN IMMEDIATE")
        if _is_empty(db):  # no other process was faster
            for statement in _statements(_tables):
                db.execute(statement)
            db.execute(f"PRAGMA application_id = {application_id}")
            db.execute(f"PRAGMA user_version = {version}")
        db.execute("COMMIT")
    _check(db, path)
    # What a power failure takes from a WAL in this mode is the newest commits, never the order of things.
    db.execute("PRAGMA synchronous = NORMAL")
    db.execute("CREATE TEMP TABLE seen (file INTEGER PRIMARY KEY)")


def _is_empty(db: sqlite3.Connection) -> bool:
    (objects,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    return bool(objects == 0)


def _statements(script: str) -> Iterator[str]:
    """Split a script, whose triggers have semicolons of their own."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _check(db: sqlite3.Connection, path: Path) -> None:
    """Make sure that a file is a registry that this version can read."""
    (mark,) = db.execute("PRAGMA application_id").fetchone()
    (found,) = db.execute("PRAGMA user_version").fetchone()
    if mark == 0 and _is_empty(db):
        raise UnavailableFault(f"the registry {path} is empty: ingest fills it")
    if mark != application_id:
        raise ConfigurationFault(f"{path} is a database, but no registry of ImageServ")
    if found != version:
        raise ConfigurationFault(
            f"the registry {path} is of version {found}, this ImageServ reads version {version}:"
            " use the ImageServ that made it, or ingest into a new file"
        )


@contextmanager
def _faults(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into the tree's."""
    try:
        yield
    except sqlite3.Error as error:
        match error.sqlite_errorname.split("_")[1] if hasattr(error, "sqlite_errorname") else "":
            case "NOTADB":
                raise ConfigurationFault(f"{path} is no registry: it is not an SQLite file") from error
            case "CANTOPEN" | "PERM" | "READONLY":
                raise UnavailableFault(
                    f"the registry {path} cannot be opened ({error}); SQLite must be able to write beside it, too"
                ) from error
            case "BUSY":
                raise UnavailableFault(f"the registry {path} is held by another process") from error
            case "CORRUPT":
                raise UnavailableFault(
                    f"the registry {path} is damaged ({error}): remove it, and ingest anew"
                ) from error
            case _:
                raise UnavailableFault(f"the registry {path} cannot be used: {error}") from error


class SqliteRegistry:
    """The images and files of one repository, in an SQLite file.

    One connection serves all threads, one at a time: a query takes well below
    a millisecond. The methods are those of `imageserv.core.registry.Registry`.

    Parameters
    ----------
    db
        As `open_registry` opens it.
    path
        For messages.
    """

    def __init__(self, db: sqlite3.Connection, path: Path) -> None:
        self._db = db
        self._path = path
        self._lock = threading.RLock()
        self._walking: set[str] = set()

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._db.close()

    def by_science_id(self, dataset: str, science_id: int) -> ImageRecord | None:
        """Return the image of a science id."""
        if not -(2**63) <= science_id < 2**63:
            return None
        rows = self._rows(f"{_select_image} WHERE image.dataset = ? AND science_id = ?", dataset, science_id)
        return _record(rows[0]) if rows else None

    def containing(self, dataset: str, band: str | None, ra: float, dec: float) -> list[ImageRecord]:
        """Return the images whose footprint contains a place, ICRS degrees, that whose centre is nearest first."""
        place = degrees_to_vectors(ra, dec)
        x, y, z = place.tolist()
        rows = self._rows(
            f"""SELECT (box.x - :x) * (box.x - :x) + (box.y - :y) * (box.y - :y) + (box.z - :z) * (box.z - :z),
                {_image_columns.replace("band", "image.band").replace("science_id", "image.science_id")}
            FROM box JOIN image ON image.id = box.id JOIN file ON file.id = image.file
            WHERE x_min <= :x AND x_max >= :x AND y_min <= :y AND y_max >= :y AND z_min <= :z AND z_max >= :z
                AND box.dataset = :dataset AND (:band IS NULL OR box.band = :band)
            ORDER BY 1, image.science_id""",
            x=x,
            y=y,
            z=z,
            dataset=dataset,
            band=band,
        )
        records = (_record(row[1:]) for row in rows)
        return [record for record in records if record.footprint is not None and contains(record.footprint, place)]
