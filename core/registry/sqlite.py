"""The embedded registry: one SQLite file, written a batch of files at a time, each table in one go."""

import gc
import json
import sqlite3
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from imageserv.core.errors import UnavailableFault
from imageserv.core.record import FileStamp, ImageRecord
from imageserv.core.sky.footprint import bounds

from . import FileImages
from .connections import Connections
from .reading import FROM, SqliteReader
from .rows import INSERT, values
from .schema import BAND_SIDE

_ZONE = 0.02
"""Height of the zones in which boxes are put in, one after the other: neighbours go to the same pages."""

_INSERT_FILE = "INSERT INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?)"


def open_registry(path: Path, *, writable: bool) -> "SqliteRegistry":
    """Open a registry; a writable one is made if it is not there.

    Raises
    ------
    UnavailableFault
        Raised if it is not there, or cannot be opened.
    ConfigurationFault
        Raised if the file is no registry, or one of another version.
    """
    return SqliteRegistry(Connections(path, writable=writable))


class SqliteRegistry(SqliteReader):
    """See `imageserv.core.registry.WritableRegistry`."""

    def put_files(self, dataset: str, files: Sequence[FileImages]) -> list[tuple[ImageRecord, str]]:
        """Put files and their images in place of what is there for their paths."""
        with _uncollected(), self._change() as connection:
            known = _known(connection, dataset, [file.stamp.path for file in files])
            if not known:
                return _put(connection, dataset, files)
            rejected: list[tuple[ImageRecord, str]] = []
            for file in files:  # what one of them gives up is free for those after it, and not for those before it
                _remove(connection, dataset, file.stamp.path)
                rejected += _put(connection, dataset, [file])
            return rejected

    def put_pattern(self, dataset: str, pattern: bytes) -> None:
        """Put in what a dataset's layouts are packed by."""
        with self._change() as connection:
            connection.execute("INSERT INTO patterns VALUES (?, ?)", (dataset, pattern))

    def skip_file(self, dataset: str, stamp: FileStamp, recipe: str, reason: str) -> None:
        """Note a file that cannot be served."""
        with self._change() as connection:
            _remove(connection, dataset, stamp.path)
            number = _next_file(connection)
            row = (number, dataset, stamp.path, stamp.size, stamp.mtime_ns, recipe, "skipped", reason)
            connection.execute(_INSERT_FILE, row)

    def remove_file(self, dataset: str, path: str) -> None:
        """Forget a file and its images."""
        with self._change() as connection:
            _remove(connection, dataset, path)

    def commit(self) -> None:
        """Make durable what was written since the last commit."""
        with _writing(), self._connections.one() as connection:
            if connection.in_transaction:
                connection.execute("COMMIT")

    @contextmanager
    def _change(self) -> Generator[sqlite3.Connection, None, None]:
        """Make a change whole or not at all, within the transaction that `commit` ends."""
        with _writing(), self._connections.one() as connection:
            execute = connection.execute
            if not connection.in_transaction:
                execute("BEGIN IMMEDIATE")
            execute("SAVEPOINT change")
            try:
                yield connection
            except BaseException:
                execute("ROLLBACK TO change")
                raise
            finally:
                execute("RELEASE change")


@contextmanager
def _uncollected() -> Generator[None, None, None]:
    """Pause the garbage collector: of thousands of rows it would find none in a cycle, for a quarter of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextmanager
def _writing() -> Generator[None, None, None]:
    try:
        yield
    except sqlite3.Error as error:
        raise UnavailableFault(f"the registry cannot be written: {error}") from error


def _next_file(connection: sqlite3.Connection) -> int:
    """Return the next free id of a file."""
    return int(connection.execute("SELECT ifnull(max(id), 0) + 1 FROM files").fetchone()[0])


def _numbers(connection: sqlite3.Connection, count: int) -> int:
    """Return the first of so many numbers in a row that no image has had, nor will have but those put in now."""
    (last,) = connection.execute("SELECT images FROM numbers").fetchone()
    connection.execute("UPDATE numbers SET images = ?", (last + count,))
    return int(last) + 1


def _known(connection: sqlite3.Connection, dataset: str, paths: Sequence[str]) -> list[tuple[int]]:
    """Return the ids of those files that the registry knows."""
    question = "SELECT id FROM files WHERE dataset = ? AND path IN (SELECT value FROM json_each(?))"
    return connection.execute(question, (dataset, json.dumps(paths))).fetchall()


def _remove(connection: sqlite3.Connection, dataset: str, path: str) -> None:
    for number in _known(connection, dataset, [path]):
        connection.execute("DELETE FROM boxes WHERE id IN (SELECT id FROM images WHERE file = ?)", number)
        connection.execute("DELETE FROM images WHERE file = ?", number)
        connection.execute("DELETE FROM layouts WHERE file = ?", number)
        connection.execute("DELETE FROM files WHERE id = ?", number)


def _put(connection: sqlite3.Connection, dataset: str, files: Sequence[FileImages]) -> list[tuple[ImageRecord, str]]:
    """Put in files that the registry does not know."""
    first = _next_file(connection)
    numbered = list(enumerate(files, first))
    connection.executemany(
        _INSERT_FILE,
        (
            (number, dataset, file.stamp.path, file.stamp.size, file.stamp.mtime_ns, file.recipe, "taken", "")
            for number, file in numbered
        ),
    )
    start = _numbers(connection, sum(len(file.images) for file in files))
    images = list(enumerate(((number, image) for number, file in numbered for image in file.images), start))
    # A conflict: another file has the image, or this one has it twice.
    taken = connection.executemany(
        f"{INSERT} ON CONFLICT DO NOTHING", (values(number, file, image) for number, (file, image) in images)
    ).rowcount
    rejected: dict[int, list[tuple[ImageRecord, str]]] = {}
    if taken < len(images):
        numbers = {number for (number,) in connection.execute("SELECT id FROM images WHERE id >= ?", (start,))}
        for number, (file, image) in images:
            if number not in numbers:
                rejected.setdefault(file, []).append((image, _holder(connection, image)))
        images = [each for each in images if each[0] in numbers]
    connection.executemany(
        "UPDATE files SET status = 'duplicate', reason = ? WHERE id = ?",
        ((f"the same image as {refused[0][1]}", number) for number, refused in rejected.items()),
    )
    connection.executemany(
        "INSERT INTO layouts VALUES (?, ?)",
        ((number, file.layout) for number, file in numbered if len(rejected.get(number, ())) < len(file.images)),
    )
    _put_boxes(connection, dataset, [(number, image) for number, (_, image) in images])
    return [each for refused in rejected.values() for each in refused]


def _holder(connection: sqlite3.Connection, image: ImageRecord) -> str:
    """Return the path of the file that has an image of this science id, or of this identifier."""
    question = f"SELECT f.path {FROM} WHERE i.dataset = ? AND (i.science_id = ? OR i.identifier = ?)"
    return str(connection.execute(question, (image.dataset, image.science_id, image.identifier)).fetchone()[0])


def _put_boxes(connection: sqlite3.Connection, dataset: str, images: Sequence[tuple[int, ImageRecord]]) -> None:
    placed = [(number, image.band, image.footprint) for number, image in images if image.footprint is not None]
    if not placed:
        return
    numbers, bands, footprints = zip(*placed, strict=True)
    sides = {band: _band(connection, dataset, band) for band in dict.fromkeys(bands)}
    low, high = bounds(footprints)
    order = np.lexsort((np.arctan2(low[:, 1], low[:, 0]), np.floor(low[:, 2] / _ZONE)))
    boxes = np.stack([low, high], axis=-1).reshape(-1, 6).tolist()
    connection.executemany(
        "INSERT INTO boxes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            (numbers[place], *boxes[place], sides[bands[place]], sides[bands[place]] + BAND_SIDE)
            for place in order.tolist()
        ),
    )


def _band(connection: sqlite3.Connection, dataset: str, band: str | None) -> int:
    """Return the number of a dataset's band, a new one if it has none yet."""
    row = connection.execute("SELECT id FROM bands WHERE dataset = ? AND band IS ?", (dataset, band)).fetchone()
    if row is None:
        cursor = connection.execute("INSERT INTO bands (dataset, band) VALUES (?, ?)", (dataset, band))
        return int(cursor.lastrowid or 0)
    return int(row[0])
