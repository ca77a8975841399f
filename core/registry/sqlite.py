"""The embedded registry: one SQLite file, with an R*Tree of boxes in unit-vector x, y, z.

In x, y and z there is no wrap at RA 0 and no case for the poles. A query by
position takes the boxes around a point, then tests the footprints themselves.
"""

import json
import math
import sqlite3
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from imageserv.core.errors import ConfigurationFault, UnavailableFault
from imageserv.core.record import FileStamp, Footprint, ImageRecord, Observation, Plane
from imageserv.core.sky.footprint import bounds, contains, degrees_to_vectors, separation, vectors_to_degrees

from . import FileRow

_APPLICATION = 0x49534552  # "ISER": marks the file as ours
_VERSION = 1

_OBSERVATION = [field.name for field in fields(Observation)]
_OBSERVATION_TYPES = {"facility": "TEXT", "instrument": "TEXT", "target": "TEXT"}

_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS files (
    id INTEGER PRIMARY KEY,
    dataset TEXT NOT NULL,
    path TEXT NOT NULL,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    recipe TEXT NOT NULL,
    status TEXT NOT NULL,
    reason TEXT NOT NULL,
    layout BLOB,
    UNIQUE (dataset, path)
);
CREATE TABLE IF NOT EXISTS images (
    id INTEGER PRIMARY KEY,
    file INTEGER NOT NULL REFERENCES files (id),
    dataset TEXT NOT NULL,
    science_id INTEGER NOT NULL,
    data_id TEXT NOT NULL,
    band TEXT,
    planes TEXT NOT NULL,
    width INTEGER NOT NULL,
    height INTEGER NOT NULL,
    ra REAL,
    dec REAL,
    pixel_scale REAL,
    exact INTEGER,
    vertices BLOB,
    {", ".join(f"{name} {_OBSERVATION_TYPES.get(name, 'REAL')}" for name in _OBSERVATION)},
    UNIQUE (dataset, science_id)
);
CREATE INDEX IF NOT EXISTS images_by_file ON images (file);
CREATE VIRTUAL TABLE IF NOT EXISTS boxes USING rtree (id, x0, x1, y0, y1, z0, z1);
"""

_COLUMNS = (
    "i.science_id, i.data_id, i.band, i.planes, i.width, i.height, i.ra, i.dec, i.pixel_scale, i.exact, i.vertices,"
    " f.path, f.size, f.mtime_ns, i.dataset, " + ", ".join(f"i.{name}" for name in _OBSERVATION)
)
_FROM = "FROM images i JOIN files f ON f.id = i.file"
_IN_BAND = "i.dataset = :dataset AND (:band IS NULL OR i.band = :band)"


def open_registry(path: Path, *, writable: bool) -> "SqliteRegistry":
    """Open a registry; a writable one is made if it is not there.

    Raises
    ------
    UnavailableFault
        Raised if it is not there, or cannot be opened.
    ConfigurationFault
        Raised if the file is no registry, or one of another version.
    """
    if not writable and not path.exists():
        raise UnavailableFault(f"there is no registry {path}: run imageserv ingest first")
    if writable:
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={'rwc' if writable else 'ro'}",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            timeout=30,
        )
    except sqlite3.Error as error:
        raise UnavailableFault(f"the registry {path} cannot be opened: {error}") from error
    try:
        if writable and not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            connection.execute("PRAGMA journal_mode = WAL")  # readers go on while ingest writes
            connection.executescript(
                f"BEGIN IMMEDIATE; {_SCHEMA}"
                f" PRAGMA application_id = {_APPLICATION}; PRAGMA user_version = {_VERSION}; COMMIT;"
            )
        marks = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")]
    except sqlite3.OperationalError as error:
        connection.close()
        raise UnavailableFault(f"the registry {path} cannot be opened: {error}") from error
    except sqlite3.DatabaseError as error:
        connection.close()
        raise ConfigurationFault(f"{path} is no registry: {error}") from error
    if marks[0] != _APPLICATION:
        connection.close()
        raise ConfigurationFault(f"{path} is an SQLite file, but no registry of ImageServ")
    if marks[1] != _VERSION:
        connection.close()
        raise ConfigurationFault(
            f"the registry {path} has version {marks[1]}, this ImageServ reads version {_VERSION}:"
            " remove it and run imageserv ingest"
        )
    return SqliteRegistry(connection, path)


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


class SqliteRegistry:
    """See `imageserv.core.registry.WritableRegistry`; opened by `open_registry`."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path
        self._opened = _identity(path)
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close the file; what was not committed is undone."""
        with self._lock:
            self._connection.close()

    # --- reading

    def by_science_id(self, dataset: str, science_id: int) -> ImageRecord | None:
        """Return the image of a science id."""
        if not -(2**63) <= science_id < 2**63:
            return None
        rows = self._ask(
            f"SELECT {_COLUMNS} {_FROM} WHERE i.dataset = :dataset AND i.science_id = :science_id",
            {"dataset": dataset, "science_id": science_id},
        )
        return _record(rows[0]) if rows else None

    def containing(self, dataset: str, band: str | None, ra: float, dec: float) -> list[ImageRecord]:
        """Return the images that contain a point, the nearest centre first."""
        point = degrees_to_vectors(ra, dec)
        found: list[tuple[float, int, ImageRecord]] = []
        for record in map(_record, self._in_box(_COLUMNS, dataset, band, point, 0.0)):
            footprint = record.footprint
            if footprint is not None and bool(contains(footprint, point)):
                found.append((float(separation(footprint.center, point)), record.science_id, record))
        return [record for _, _, record in sorted(found, key=lambda entry: entry[:2])]

    def nearest(self, dataset: str, band: str | None, ra: float, dec: float) -> tuple[ImageRecord, float] | None:
        """Return the image with the nearest centre, and how far it is (deg)."""
        point = degrees_to_vectors(ra, dec)
        radius = 0.1
        while radius < 360.0:
            # A centre within the radius is in this box, for a chord is shorter than its arc.
            half = 2.0 if radius >= 180.0 else 2.0 * math.sin(math.radians(radius) / 2.0)
            centers = self._in_box("i.id, i.science_id, i.ra, i.dec", dataset, band, point, half)
            if centers:
                ids, science_ids, lon, lat = zip(*centers, strict=True)
                distances = np.degrees(separation(degrees_to_vectors(lon, lat), point))
                nearest = min(np.flatnonzero(distances == distances.min()), key=lambda place: science_ids[place])
                distance = float(distances[nearest])
                if distance <= radius:
                    rows = self._ask(f"SELECT {_COLUMNS} {_FROM} WHERE i.id = :id", {"id": ids[nearest]})
                    if rows:  # else ingest has just taken it out: look again
                        return _record(rows[0]), distance
                radius = distance * (1.0 + 1e-9)
            else:
                radius *= 3.0
        return None

    def _in_box(self, columns: str, dataset: str, band: str | None, point: Any, half: float) -> list[Any]:
        """Return columns of the images whose box meets the box of that half width around a point."""
        low, high = (point - half).tolist(), (point + half).tolist()
        # CROSS JOIN: SQLite must begin with the R*Tree, though it knows of indexes on the images.
        return self._ask(
            f"SELECT {columns} FROM boxes b CROSS JOIN images i ON i.id = b.id JOIN files f ON f.id = i.file"
            " WHERE b.x0 <= :x1 AND b.x1 >= :x0 AND b.y0 <= :y1 AND b.y1 >= :y0 AND b.z0 <= :z1 AND b.z1 >= :z0"
            f" AND {_IN_BAND}",
            {"dataset": dataset, "band": band}
            | {f"{axis}0": value for axis, value in zip("xyz", low, strict=True)}
            | {f"{axis}1": value for axis, value in zip("xyz", high, strict=True)},
        )

    def layout(self, dataset: str, stamp: FileStamp) -> bytes | None:
        """Return the stored layout of a file, if it is in the state of the stamp."""
        rows = self._ask(
            "SELECT layout FROM files WHERE dataset = :dataset AND path = :path AND size = :size AND mtime_ns = :mtime",
            {"dataset": dataset, "path": stamp.path, "size": stamp.size, "mtime": stamp.mtime_ns},
        )
        return rows[0][0] if rows else None

    def count(self, dataset: str) -> int:
        """Return how many images a dataset has."""
        rows = self._ask("SELECT count(*) FROM images WHERE dataset = :dataset", {"dataset": dataset})
        return int(rows[0][0])

    def files(self, dataset: str) -> Iterator[FileRow]:
        """Yield all files of a dataset that were read, by path."""
        rows = self._ask(
            "SELECT path, size, mtime_ns, recipe, status, reason FROM files WHERE dataset = :dataset ORDER BY path",
            {"dataset": dataset},
        )
        for path, size, mtime_ns, recipe, status, reason in rows:
            yield FileRow(FileStamp(path, size, mtime_ns), recipe, status, reason)

    def images(self, dataset: str) -> Iterator[ImageRecord]:
        """Yield all images of a dataset, by science id; a thousand at a time are in memory."""
        last = -1
        while rows := self._ask(
            f"SELECT {_COLUMNS} {_FROM} WHERE i.dataset = :dataset AND i.science_id > :last"
            " ORDER BY i.science_id LIMIT 1000",
            {"dataset": dataset, "last": last},
        ):
            yield from map(_record, rows)
            last = rows[-1][0]

    def some_files(self, most: int) -> list[FileStamp]:
        """Return a few files that were taken, from here and there."""
        rows = self._ask(
            "SELECT path, size, mtime_ns FROM files WHERE layout IS NOT NULL AND id >= abs(random()) %"
            " (SELECT max(id) FROM files) LIMIT :most",
            {"most": most},
        ) or self._ask("SELECT path, size, mtime_ns FROM files WHERE layout IS NOT NULL LIMIT :most", {"most": most})
        return [FileStamp(*row) for row in rows]

    def check(self) -> None:
        """Look whether the registry is still the one that was opened."""
        try:
            now = _identity(self._path)
        except OSError as error:
            raise UnavailableFault(f"the registry {self._path} is gone: {error.strerror}") from error
        if now != self._opened:
            raise UnavailableFault(f"the registry {self._path} is another one now: start the service again")
        self._ask("SELECT 1 FROM files LIMIT 1", {})

    def _ask(self, question: str, parameters: dict[str, Any]) -> list[Any]:
        try:
            with self._lock:
                return self._connection.execute(question, parameters).fetchall()
        except sqlite3.Error as error:
            raise UnavailableFault(f"the registry cannot be read: {error}") from error

    # --- writing

    def put_file(
        self, dataset: str, stamp: FileStamp, recipe: str, images: Sequence[ImageRecord], layout: bytes
    ) -> list[tuple[ImageRecord, str]]:
        """Put a file and its images in place of what is there for its path."""
        with self._change():
            self._remove(dataset, stamp.path)
            rejected: list[tuple[ImageRecord, str]] = []
            taken: list[ImageRecord] = []
            numbers: set[int] = set()
            for image in images:
                holder = self._holder(dataset, image.science_id)
                if image.science_id in numbers:
                    holder = stamp.path
                if holder is None:
                    taken.append(image)
                    numbers.add(image.science_id)
                else:
                    rejected.append((image, holder))
            status = "duplicate" if rejected else "taken"
            reason = f"the same image as {rejected[0][1]}" if rejected else ""
            file = self._insert_file(dataset, stamp, recipe, status, reason, layout if taken else None)
            for image in taken:
                self._insert_image(file, image)
        return rejected

    def skip_file(self, dataset: str, stamp: FileStamp, recipe: str, reason: str) -> None:
        """Note a file that cannot be served."""
        with self._change():
            self._remove(dataset, stamp.path)
            self._insert_file(dataset, stamp, recipe, "skipped", reason, None)

    def remove_file(self, dataset: str, path: str) -> None:
        """Forget a file and its images."""
        with self._change():
            self._remove(dataset, path)

    def commit(self) -> None:
        """Make durable what was written since the last commit."""
        with self._lock, _writing():
            if self._connection.in_transaction:
                self._connection.execute("COMMIT")

    @contextmanager
    def _change(self) -> Generator[None, None, None]:
        """Make a change whole or not at all, within the transaction that `commit` ends."""
        execute = self._connection.execute
        with self._lock, _writing():
            if not self._connection.in_transaction:
                execute("BEGIN IMMEDIATE")
            execute("SAVEPOINT change")
            try:
                yield
            except BaseException:
                execute("ROLLBACK TO change")
                raise
            finally:
                execute("RELEASE change")

    def _holder(self, dataset: str, science_id: int) -> str | None:
        row = self._connection.execute(
            f"SELECT f.path {_FROM} WHERE i.dataset = ? AND i.science_id = ?", (dataset, science_id)
        ).fetchone()
        return None if row is None else row[0]

    def _remove(self, dataset: str, path: str) -> None:
        execute = self._connection.execute
        row = execute("SELECT id FROM files WHERE dataset = ? AND path = ?", (dataset, path)).fetchone()
        if row is not None:
            execute("DELETE FROM boxes WHERE id IN (SELECT id FROM images WHERE file = ?)", row)
            execute("DELETE FROM images WHERE file = ?", row)
            execute("DELETE FROM files WHERE id = ?", row)

    def _insert_file(
        self, dataset: str, stamp: FileStamp, recipe: str, status: str, reason: str, layout: bytes | None
    ) -> int:
        cursor = self._connection.execute(
            "INSERT INTO files (dataset, path, size, mtime_ns, recipe, status, reason, layout)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (dataset, stamp.path, stamp.size, stamp.mtime_ns, recipe, status, reason, layout),
        )
        return int(cursor.lastrowid or 0)

    def _insert_image(self, file: int, image: ImageRecord) -> None:
        footprint = image.footprint
        ra = dec = None
        if footprint is not None:
            ra, dec = (float(value) for value in vectors_to_degrees(footprint.center))
        values: list[Any] = [
            file,
            image.dataset,
            image.science_id,
            json.dumps(dict(image.data_id)),
            image.band,
            json.dumps([[plane.name, plane.hdu] for plane in image.planes]),
            *image.shape,
            ra,
            dec,
            image.pixel_scale,
            None if footprint is None else int(footprint.exact),
            None if footprint is None else np.ascontiguousarray(footprint.vertices, dtype="<f8").tobytes(),
            *(getattr(image.observation, name) for name in _OBSERVATION),
        ]
        cursor = self._connection.execute(
            "INSERT INTO images (file, dataset, science_id, data_id, band, planes, width, height, ra, dec, pixel_scale,"
            f" exact, vertices, {', '.join(_OBSERVATION)}) VALUES ({', '.join('?' * len(values))})",
            values,
        )
        if footprint is not None:
            low, high = bounds(footprint)
            box = [value for pair in zip(low.tolist(), high.tolist(), strict=True) for value in pair]
            self._connection.execute("INSERT INTO boxes VALUES (?, ?, ?, ?, ?, ?, ?)", [cursor.lastrowid, *box])


@contextmanager
def _writing() -> Generator[None, None, None]:
    try:
        yield
    except sqlite3.Error as error:
        raise UnavailableFault(f"the registry cannot be written: {error}") from error


def _record(row: Sequence[Any]) -> ImageRecord:
    science_id, data_id, band, planes, width, height, ra, dec, scale, exact, vertices, path, size, mtime_ns, dataset = (
        row[:15]
    )
    footprint = None
    if vertices is not None:
        corners = np.frombuffer(vertices, dtype="<f8").reshape(-1, 3)
        footprint = Footprint(corners, degrees_to_vectors(ra, dec), bool(exact))
    return ImageRecord(
        dataset=dataset,
        science_id=science_id,
        data_id=json.loads(data_id),
        band=band,
        file=FileStamp(path, size, mtime_ns),
        planes=tuple(Plane(name, hdu) for name, hdu in json.loads(planes)),
        shape=(width, height),
        footprint=footprint,
        pixel_scale=scale,
        observation=Observation(*row[15:]),
    )
