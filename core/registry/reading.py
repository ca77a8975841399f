"""Reading the embedded registry, which has an R*Tree of boxes in unit-vector x, y, z.

In x, y and z there is no wrap at RA 0 and no case for the poles. A query by
position takes the boxes around a point, then tests the footprints themselves.

Searches give their images a page at a time, each page by a query of its own:
a client that reads slowly keeps nobody waiting, and no state of the registry
alive.
"""

import json
import math
import sqlite3
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imageserv.core.errors import UnavailableFault
from imageserv.core.record import FileStamp, ImageRecord
from imageserv.core.search import Search
from imageserv.core.sky.caps import Cap, angle

from . import FileRow
from .conditions import conditions
from .connections import Connections
from .nearest import Center, nearest
from .recent import Recent
from .rows import SELECTED, center, record
from .shapes import Box, Shapes

_PAGE = 250
"""How many images of an answer are in memory at once."""

_RECENT = 1024
"""How many images are kept in memory at least, if they were asked for: of each some 2 kB."""

_MOST_CANDIDATES = 200_000
"""Of a search by position: if more boxes meet its shapes, all images are looked through instead."""

FROM = "FROM images i JOIN files f ON f.id = i.file"

# CROSS JOIN: SQLite must begin with the R*Tree, though it knows of indexes on the images.
_BANDS = "FROM bands k CROSS JOIN boxes b ON b.band1 >= k.id AND b.band0 <= k.id"
_IMAGES = "CROSS JOIN images i ON i.id = b.id"
_HERE = "WHERE k.dataset = ? AND (? IS NULL OR k.band = ?) AND " + " AND ".join(
    f"b.{axis}1 >= ? AND b.{axis}0 <= ?" for axis in "xyz"
)
_CONTAINING = f"SELECT b.id {_BANDS} {_HERE}"
_BY_NUMBER = (
    f"SELECT i.id, {SELECTED} FROM json_each(?) p CROSS JOIN images i ON i.id = p.value JOIN files f ON f.id = i.file"
)
_CENTERS = f"""
SELECT i.science_id, i.id, i.vectors, max(b.x1 - b.x0, b.y1 - b.y0, b.z1 - b.z0) {_BANDS} {_IMAGES} {_HERE} LIMIT ?
"""
_CANDIDATES = f"SELECT b.id {_BANDS} {_HERE} LIMIT ?"


class SqliteReader:
    """See `imageserv.core.registry.Registry`.

    Parameters
    ----------
    connections
        To the registry's file.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._recent = Recent(_RECENT)

    def close(self) -> None:
        """Close the file; what was not committed is undone."""
        self._connections.close()

    def by_science_id(self, dataset: str, science_id: int) -> ImageRecord | None:
        """Return the image of a science id."""
        if not -(2**63) <= science_id < 2**63:
            return None
        rows = self._ask(f"SELECT {SELECTED} {FROM} WHERE i.dataset = ? AND i.science_id = ?", (dataset, science_id))
        return record(rows[0]) if rows else None

    def by_identifier(self, dataset: str, identifier: str) -> ImageRecord | None:
        """Return the image of an identifier, compared without case."""
        rows = self._ask(f"SELECT {SELECTED} {FROM} WHERE i.dataset = ? AND i.identifier = ?", (dataset, identifier))
        return record(rows[0]) if rows else None

    def containing(self, dataset: str, band: str | None, ra: float, dec: float) -> list[ImageRecord]:
        """Return the images that contain a point, the nearest centre first."""
        place = Cap(ra, dec)
        x, y, z = place.center
        before: list[int] = []
        while True:
            numbers = [number for (number,) in self._ask(_CONTAINING, (dataset, band, band, x, x, y, y, z, z))]
            images = self._records(numbers)
            # Fewer: ingest has just taken one out, and perhaps put in another. Look again; twice the same is damage.
            if len(images) == len(numbers) or numbers == before:
                break
            before = numbers
        found = [image for image in images if (outline := image.footprint) is not None and place.meets(outline)]
        if len(found) > 1:
            found.sort(key=lambda image: (_distance(image, place), image.science_id))
        return found

    def _records(self, numbers: Sequence[int]) -> list[ImageRecord]:
        """Return the images with these numbers, in this order, without those that ingest has taken out just now."""
        found = {number: image for number in numbers if (image := self._recent.get(number)) is not None}
        if len(found) < len(numbers):
            missing = [number for number in numbers if number not in found]
            for number, *row in self._ask(_BY_NUMBER, (json.dumps(missing),)):
                found[number] = image = record(row)
                self._recent.put(number, image)
        return [found[number] for number in numbers if number in found]

    def nearest(self, dataset: str, band: str | None, ra: float, dec: float) -> tuple[ImageRecord, float] | None:
        """Return the image with the nearest centre, and how far it is (deg)."""

        def look(box: Box, most: int) -> list[Center]:
            rows = self._ask(_CENTERS, (dataset, band, band, *box, most))
            return [Center(science_id, number, center(vectors), side) for science_id, number, vectors, side in rows]

        place = Cap(ra, dec)
        while (found := nearest(look, place)) is not None:
            rows = self._ask(f"SELECT {SELECTED} {FROM} WHERE i.id = ?", (found.number,))
            if rows:  # else ingest has just taken it out: look again
                return record(rows[0]), math.degrees(found.distance)
        return None

    def search(self, datasets: Sequence[str], search: Search) -> Iterator[ImageRecord]:
        """Yield the images that satisfy a search."""
        return chain.from_iterable(self.search_pages(datasets, search))

    def search_pages(self, datasets: Sequence[str], search: Search) -> Iterator[list[ImageRecord]]:
        """Yield the images that satisfy a search, a page at a time."""
        condition, parameters = conditions(search)
        shapes = Shapes(search.shapes) if search.shapes else None
        # CROSS JOIN: the page's ids are the way in, and give the order.
        question = (
            f"SELECT {SELECTED} FROM json_each(?) p CROSS JOIN images i ON i.id = p.value"
            f" JOIN files f ON f.id = i.file WHERE i.dataset = ? AND {condition} ORDER BY p.key"
        )

        def found(dataset: str, page: list[int]) -> list[ImageRecord]:
            if search.narrow and not parameters:  # nothing but the sky: a few, and likely to be asked for again
                images = self._records(page)
            else:
                images = [record(row) for row in self._ask(question, (json.dumps(page), dataset, *parameters))]
            if shapes is None:
                return images
            met = shapes.met([image.footprint for image in images])
            return [image for image, meets in zip(images, met, strict=True) if meets]

        return (
            found(dataset, page)
            for dataset in dict.fromkeys(datasets)
            for page in self._pages(dataset, self._candidates(dataset, search.identifiers, shapes))
        )

    def _candidates(self, dataset: str, identifiers: Sequence[str], shapes: Shapes | None) -> NDArray[np.int64] | None:
        """Return the ids, in order, of the images that a search may find; None for all, or too many."""
        if identifiers:
            return self._ids(
                "SELECT id FROM images"
                " WHERE dataset = ? AND identifier IN (SELECT value FROM json_each(?)) ORDER BY id",
                (dataset, json.dumps(identifiers)),
            )
        if shapes is None:
            return None
        found: list[NDArray[np.int64]] = []
        left = _MOST_CANDIDATES
        for box in shapes.boxes:
            found.append(self._ids(_CANDIDATES, (dataset, None, None, *box, left + 1)))
            left -= found[-1].size
            if left < 0:
                return None
        ids = np.sort(found[0]) if len(found) == 1 else np.unique(np.concatenate(found))
        return ids

    def _pages(self, dataset: str, candidates: NDArray[np.int64] | None) -> Iterator[list[int]]:
        """Yield the ids to look at, in order: those of the candidates, or for None all of a dataset."""
        if candidates is not None:
            for start in range(0, candidates.size, _PAGE):
                yield candidates[start : start + _PAGE].tolist()
            return
        last = -1
        while page := self._ids(
            "SELECT id FROM images WHERE dataset = ? AND id > ? ORDER BY id LIMIT ?", (dataset, last, _PAGE)
        ).tolist():
            yield page
            last = page[-1]

    def sample(self, dataset: str) -> ImageRecord | None:
        """Return one image, one with a footprint if there is any."""
        for condition in ("i.vectors IS NOT NULL", "1"):
            rows = self._ask(
                f"SELECT {SELECTED} {FROM} WHERE i.dataset = ? AND {condition} ORDER BY i.science_id LIMIT 1",
                (dataset,),
            )
            if rows:
                return record(rows[0])
        return None

    def layout(self, dataset: str, stamp: FileStamp) -> bytes | None:
        """Return the stored layout of a file, if it is in the state of the stamp."""
        rows = self._ask(
            "SELECT l.layout FROM files f JOIN layouts l ON l.file = f.id"
            " WHERE f.dataset = ? AND f.path = ? AND f.size = ? AND f.mtime_ns = ?",
            (dataset, stamp.path, stamp.size, stamp.mtime_ns),
        )
        return rows[0][0] if rows else None

    def pattern(self, dataset: str) -> bytes | None:
        """Return what a dataset's layouts are packed by; None if it has none yet."""
        rows = self._ask("SELECT pattern FROM patterns WHERE dataset = ?", (dataset,))
        return rows[0][0] if rows else None

    def count(self, dataset: str) -> int:
        """Return how many images a dataset has."""
        rows = self._ask("SELECT count(*) FROM images WHERE dataset = ?", (dataset,))
        return int(rows[0][0])

    def files(self, dataset: str) -> Iterator[FileRow]:
        """Yield all files of a dataset that were read, by path."""
        rows = self._ask(
            "SELECT path, size, mtime_ns, recipe, status, reason FROM files WHERE dataset = ? ORDER BY path",
            (dataset,),
        )
        for path, size, mtime_ns, recipe, status, reason in rows:
            yield FileRow(FileStamp(path, size, mtime_ns), recipe, status, reason)

    def images(self, dataset: str) -> Iterator[ImageRecord]:
        """Yield all images of a dataset, by science id; a thousand at a time are in memory."""
        last = -1
        while rows := self._ask(
            f"SELECT {SELECTED} {FROM} WHERE i.dataset = ? AND i.science_id > ? ORDER BY i.science_id LIMIT 1000",
            (dataset, last),
        ):
            page = [record(row) for row in rows]
            yield from page
            last = page[-1].science_id

    def some_files(self, most: int) -> list[FileStamp]:
        """Return a few files that were taken, from here and there."""
        taken = "SELECT f.path, f.size, f.mtime_ns FROM layouts l JOIN files f ON f.id = l.file"
        rows = self._ask(
            f"{taken} WHERE l.file >= abs(random()) % (SELECT max(file) FROM layouts) LIMIT ?", (most,)
        ) or self._ask(f"{taken} LIMIT ?", (most,))
        return [FileStamp(*row) for row in rows]

    def check(self) -> None:
        """Look whether the registry is still the one that was opened."""
        self._connections.check()
        self._ask("SELECT 1 FROM files LIMIT 1")

    def _ask(self, question: str, parameters: Sequence[Any] = ()) -> list[Any]:
        try:
            connection = self._connections.take()
            try:
                return connection.execute(question, parameters).fetchall()
            finally:
                self._connections.give(connection)
        except sqlite3.Error as error:
            raise UnavailableFault(f"the registry cannot be read: {error}") from error

    def _ids(self, question: str, parameters: Sequence[Any]) -> NDArray[np.int64]:
        """Return the first column of an answer, which may be long, as an array."""
        try:
            with self._connections.one() as connection:
                return np.fromiter((row[0] for row in connection.execute(question, parameters)), np.int64)
        except sqlite3.Error as error:
            raise UnavailableFault(f"the registry cannot be read: {error}") from error


def _distance(image: ImageRecord, place: Cap) -> float:
    return math.inf if image.footprint is None else angle(image.footprint.center.tolist(), place.center)
