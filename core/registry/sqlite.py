"""The embedded registry: one SQLite file, with an R*Tree of boxes in unit-vector x, y, z.

In x, y and z there is no wrap at RA 0 and no case for the poles. A query by
position takes the boxes around a point, then tests the footprints themselves.

Searches give their images a page at a time, each page by a query of its own:
a client that reads slowly keeps nobody waiting, and no state of the registry
alive.
"""

import json
import math
import sqlite3
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imageserv.core.errors import ConfigurationFault, UnavailableFault
from imageserv.core.record import FileStamp, ImageRecord
from imageserv.core.search import Search
from imageserv.core.sky import regions
from imageserv.core.sky.footprint import bounds, contains, degrees_to_vectors, separation
from imageserv.core.sky.stencil import Shape

from . import FileRow
from .conditions import conditions, meeting
from .rows import COLUMNS, S_FOV, SELECTED, footprints, record, records, values

_APPLICATION = 0x49534552  # "ISER": marks the file as ours
_VERSION = 2

_PAGE = 250
"""How many images of an answer are in memory at once."""

_MOST_CANDIDATES = 200_000
"""Of a search by position: if more boxes meet its shapes, all images are looked through instead."""

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
    {", ".join(f"{name} {type}" for name, type in COLUMNS.items())},
    UNIQUE (dataset, science_id),
    UNIQUE (dataset, identifier)
);
CREATE INDEX IF NOT EXISTS images_by_file ON images (file);
CREATE INDEX IF NOT EXISTS images_by_dataset ON images (dataset);
CREATE VIRTUAL TABLE IF NOT EXISTS boxes USING rtree (id, x0, x1, y0, y1, z0, z1);
"""

_FROM = "FROM images i JOIN files f ON f.id = i.file"
_IN_BOX = " AND ".join(f"b.{axis}0 <= :{axis}1 AND b.{axis}1 >= :{axis}0" for axis in "xyz")
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
            f"SELECT {SELECTED} {_FROM} WHERE i.dataset = :dataset AND i.science_id = :science_id",
            {"dataset": dataset, "science_id": science_id},
        )
        return records(rows)[0] if rows else None

    def by_identifier(self, dataset: str, identifier: str) -> ImageRecord | None:
        """Return the image of an identifier, compared without case."""
        rows = self._ask(
            f"SELECT {SELECTED} {_FROM} WHERE i.dataset = :dataset AND i.identifier = :identifier",
            {"dataset": dataset, "identifier": identifier},
        )
        return records(rows)[0] if rows else None

    def containing(self, dataset: str, band: str | None, ra: float, dec: float) -> list[ImageRecord]:
        """Return the images that contain a point, the nearest centre first."""
        point = degrees_to_vectors(ra, dec)
        found: list[tuple[float, int, ImageRecord]] = []
        for image in records(self._in_box(SELECTED, dataset, band, point, 0.0)):
            footprint = image.footprint
            if footprint is not None and bool(contains(footprint, point)):
                found.append((float(separation(footprint.center, point)), image.science_id, image))
        return [image for _, _, image in sorted(found, key=lambda entry: entry[:2])]

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
                    rows = self._ask(f"SELECT {SELECTED} {_FROM} WHERE i.id = :id", {"id": ids[nearest]})
                    if rows:  # else ingest has just taken it out: look again
                        return records(rows)[0], distance
                radius = distance * (1.0 + 1e-9)
            else:
                radius *= 3.0
        return None

    def _in_box(self, columns: str, dataset: str, band: str | None, point: Any, half: float) -> list[Any]:
        """Return columns of the images whose box meets the box of that half width around a point."""
        # CROSS JOIN: SQLite must begin with the R*Tree, though it knows of indexes on the images.
        return self._ask(
            f"SELECT {columns} FROM boxes b CROSS JOIN images i ON i.id = b.id JOIN files f ON f.id = i.file"
            f" WHERE {_IN_BOX} AND {_IN_BAND}",
            {"dataset": dataset, "band": band} | _box(point - half, point + half),
        )

    def search(self, datasets: Sequence[str], search: Search) -> Iterator[ImageRecord]:
        """Yield the images that satisfy a search."""
        return chain.from_iterable(self.search_pages(datasets, search))

    def search_pages(self, datasets: Sequence[str], search: Search) -> Iterator[list[ImageRecord]]:
        """Yield the images that satisfy a search, a page at a time."""
        datasets = list(dict.fromkeys(datasets))
        condition, parameters = conditions(search)
        candidates: NDArray[np.int64] | None = None
        if search.identifiers:
            candidates = self._named(datasets, search.identifiers)
        elif search.shapes:
            candidates = self._near([_box(*regions.bounds(shape)) for shape in search.shapes])
        # CROSS JOIN: the page's ids are the way in, and give the order.
        question = (
            f"SELECT {SELECTED} FROM json_each(?) p CROSS JOIN images i ON i.id = p.value"
            f" JOIN files f ON f.id = i.file WHERE i.dataset = ? AND {condition} ORDER BY p.key"
        )
        return self._found(question, parameters, datasets, candidates, search.shapes)

    def _found(
        self,
        question: str,
        parameters: list[float | str],
        datasets: Sequence[str],
        candidates: NDArray[np.int64] | None,
        shapes: Sequence[Shape],
    ) -> Iterator[list[ImageRecord]]:
        for dataset in datasets:
            for page in self._pages(dataset, candidates):
                rows = self._ask(question, [json.dumps(page), dataset, *parameters])
                outlines = footprints(rows)
                fields = np.array([row[S_FOV] for row in rows], dtype=float)
                met = meeting(shapes, outlines, fields) if shapes else [True] * len(rows)
                yield [record(row, outline) for row, outline, meets in zip(rows, outlines, met, strict=True) if meets]

    def _named(self, datasets: Sequence[str], identifiers: Sequence[str]) -> NDArray[np.int64]:
        """Return the ids, in order, of the images with these identifiers."""
        found = [
            self._ids(
                "SELECT id FROM images WHERE dataset = :dataset"
                " AND identifier IN (SELECT value FROM json_each(:identifiers))",
                {"dataset": dataset, "identifiers": json.dumps(identifiers)},
            )
            for dataset in datasets
        ]
        return np.unique(np.concatenate([np.empty(0, np.int64), *found]))

    def _near(self, boxes: Sequence[dict[str, float]]) -> NDArray[np.int64] | None:
        """Return the ids, in order, of the images whose boxes meet one of these boxes; None if there are too many."""
        found: list[NDArray[np.int64]] = []
        left = _MOST_CANDIDATES
        for box in boxes:
            found.append(self._ids(f"SELECT b.id FROM boxes b WHERE {_IN_BOX} LIMIT :most", box | {"most": left + 1}))
            left -= found[-1].size
            if left < 0:
                return None
        return np.unique(np.concatenate(found))

    def _pages(self, dataset: str, candidates: NDArray[np.int64] | None) -> Iterator[list[int]]:
        """Yield the ids to look at, in order: those of the candidates, or for None all of a dataset."""
        if candidates is not None:
            for start in range(0, candidates.size, _PAGE):
                yield candidates[start : start + _PAGE].tolist()
            return
        last = -1
        while page := self._ids(
            "SELECT id FROM images WHERE dataset = :dataset AND id > :last ORDER BY id LIMIT :most",
            {"dataset": dataset, "last": last, "most": _PAGE},
        ).tolist():
            yield page
            last = page[-1]

    def sample(self, dataset: str) -> ImageRecord | None:
        """Return one image, one with a footprint if there is any."""
        for condition in ("i.ra IS NOT NULL", "1"):
            rows = self._ask(
                f"SELECT {SELECTED} {_FROM} WHERE i.dataset = :dataset AND {condition} ORDER BY i.science_id LIMIT 1",
                {"dataset": dataset},
            )
            if rows:
                return records(rows)[0]
        return None

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
            f"SELECT {SELECTED} {_FROM} WHERE i.dataset = :dataset AND i.science_id > :last"
            " ORDER BY i.science_id LIMIT 1000",
            {"dataset": dataset, "last": last},
        ):
            page = records(rows)
            yield from page
            last = page[-1].science_id

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
            raise UnavailableFault(f"the registry {self._path.name} is gone: {error.strerror}") from error
        if now != self._opened:
            raise UnavailableFault(f"the registry {self._path.name} is another one now: start the service again")
        self._ask("SELECT 1 FROM files LIMIT 1", {})

    def _ask(self, question: str, parameters: dict[str, Any] | list[Any]) -> list[Any]:
        with self._reading() as execute:
            return execute(question, parameters).fetchall()

    def _ids(self, question: str, parameters: dict[str, Any]) -> NDArray[np.int64]:
        """Return the first column of an answer, which may be long, as an array."""
        with self._reading() as execute:
            return np.fromiter((row[0] for row in execute(question, parameters)), np.int64)

    @contextmanager
    def _reading(self) -> Generator[Callable[..., sqlite3.Cursor], None, None]:
        try:
            with self._lock:
                yield self._connection.execute
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
            names: set[int | str] = set()
            for image in images:
                own: set[int | str] = {image.science_id, image.identifier.lower()}
                holder = self._holder(dataset, image) if names.isdisjoint(own) else stamp.path
                if holder is None:
                    taken.append(image)
                    names |= own
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

    def _holder(self, dataset: str, image: ImageRecord) -> str | None:
        """Return the path of the file that has an image of this science id, or of this identifier."""
        row = self._connection.execute(
            f"SELECT f.path {_FROM} WHERE i.dataset = ? AND (i.science_id = ? OR i.identifier = ?)",
            (dataset, image.science_id, image.identifier),
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
        row = {"file": file} | values(image)
        cursor = self._connection.execute(
            f"INSERT INTO images ({', '.join(row)}) VALUES ({', '.join(f':{name}' for name in row)})", row
        )
        if image.footprint is not None:
            self._connection.execute(
                "INSERT INTO boxes VALUES (:id, :x0, :x1, :y0, :y1, :z0, :z1)",
                {"id": cursor.lastrowid} | _box(*bounds(image.footprint)),
            )


@contextmanager
def _writing() -> Generator[None, None, None]:
    try:
        yield
    except sqlite3.Error as error:
        raise UnavailableFault(f"the registry cannot be written: {error}") from error


def _box(low: NDArray[np.float64], high: NDArray[np.float64]) -> dict[str, float]:
    """Return the parameters x0, x1, y0 ... of a box."""
    lower = {f"{axis}0": value for axis, value in zip("xyz", low.tolist(), strict=True)}
    return lower | {f"{axis}1": value for axis, value in zip("xyz", high.tolist(), strict=True)}
