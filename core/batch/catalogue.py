"""A catalogue: a cutout for each row of a table that the client sent."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imageserv.core.dali.literals import latitude, longitude
from imageserv.core.dali.parameters import read_value
from imageserv.core.dali.places import UNITS, box
from imageserv.core.errors import ImageServError, NotFoundFault, UnavailableFault, UsageFault
from imageserv.core.identifiers import split_did
from imageserv.core.sky.stencil import Circle, Stencil

from .finding import Finder, Found, home_number
from .parameters import SIZES, Question
from .rows import StoredRows
from .storage import write_array
from .tables import Row
from .targets import Finding, Target

_PER_LOCATING = 1000
"""How many rows are located in one step."""

_LOCATED = np.dtype([("row", "i8"), ("home", "i8"), ("candidates", "i4"), ("science_id", "i8")])


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a row says, with the job's parameters in place of what it does not."""

    values: Mapping[str, Any]

    @property
    def stencil(self) -> Stencil | None:
        """The part of the image; None for all of it.

        Raises
        ------
        UsageFault
            Raised if the row gives half of a size, two, or a size without a centre.
        """
        given = self.values
        sizes = [name for name in SIZES if name in given]
        if not sizes:
            return None
        missing = [name for name in ("ra", "dec") if name not in given]
        if sizes[0] != "radius":
            missing += [name for name in ("width", "height") if name not in given]
        elif len(sizes) > 1:
            raise UsageFault(f"radius and {sizes[1]} are two sizes: give radius, or width and height")
        if missing:
            raise UsageFault(f"a cutout needs ra, dec and radius, or width and height: {', '.join(missing)} missing")
        if sizes[0] == "radius":
            return Circle(given["ra"] % 360.0, given["dec"], given["radius"])
        return box(given["ra"], given["dec"], given["width"], given["height"], given.get("unit", UNITS[0]))

    def find(self, finder: Finder) -> Found:
        """Return the row's image; raises what the finder raises, and UsageFault if the row names none."""
        given = self.values
        if "id" in given:
            if split_did(given["id"]) is None:
                raise NotFoundFault(
                    f"{given['id'][:300]!r} is no publisher DID (ivo://...), by which id names an image: a column of"
                    " another meaning has to be called otherwise",
                    parameter="id",
                )
            return finder.by_did(given["id"])
        missing = [name for name in ("ra", "dec") if name not in given]
        if missing:
            raise UsageFault(f"nothing names an image: {' and '.join(missing)} missing, and there is no id")
        return finder.closest(given.get("collection"), given.get("ds"), given["ra"], given["dec"], given)


class Catalogue:
    """The rows of a table: first all are located, then cut, image by image.

    Parameters
    ----------
    folder
        What `read_catalogue` wrote to.
    names
        What each cell of a row is, as `read_catalogue` gave it.
    question
        The job's parameters: what rows can say, and what stands in for what they do not.
    defaults
        What the table's metadata say for all rows.
    per_step
        How many rows are cut in one step.
    """

    def __init__(
        self, folder: Path, names: Sequence[str], question: Question, defaults: Mapping[str, str], per_step: int
    ) -> None:
        self._folder = folder
        self._names = names
        self._columns = question.columns
        given = {**defaults, **question.given}
        self._defaults = {name: given[name] for name in self._columns if name in given}
        self._rows = StoredRows(folder)
        self._per_step = per_step
        self._locating = -(-len(self) // _PER_LOCATING)
        self.steps = self._locating + -(-len(self) // per_step)

    def __len__(self) -> int:
        """Return how many rows there are."""
        return len(self._rows)

    def wanted(self, number: int) -> Wanted:
        """Read a row.

        Raises
        ------
        UsageFault
            Raised if a cell cannot be read.
        """
        return self._wanted(self._rows[number])

    def _wanted(self, row: Row) -> Wanted:
        if isinstance(row, str):
            raise UsageFault(row)
        cells = {name: text for name, text in zip(self._names, row, strict=True) if text is not None}
        own = {name: read_value(self._columns[name], text) for name, text in cells.items()}
        values = self._defaults | own
        # A row's size of one kind leaves no room for the job's of the other.
        if "radius" in own:
            values = {name: value for name, value in values.items() if name in own or name not in ("width", "height")}
        elif "width" in own or "height" in own:
            values.pop("radius", None)
        return Wanted(values)

    def step(self, step: int, finder: Finder) -> Iterator[Finding | None]:
        """Yield the rows of one step: of those that locate, such as have no image; then the others, image by image."""
        if step < self._locating:
            return self._locate(step, finder)
        return self._cut(step - self._locating, finder)

    def _locate(self, step: int, finder: Finder) -> Iterator[Finding | None]:
        first = step * _PER_LOCATING
        located: list[tuple[int, int, int, int]] = []
        for number in range(first, min(first + _PER_LOCATING, len(self))):
            row = self._rows[number]
            try:
                wanted = self._wanted(row)
                _ = wanted.stencil
                found = wanted.find(finder)
            except UnavailableFault:
                raise
            except ImageServError as fault:
                yield self._broken(number, row), fault
                continue
            home = home_number(found.repository.name, found.record.dataset)
            located.append((number, home, found.selection.candidates, found.record.science_id))
            yield None
        write_array(self._folder / f"located-{step:06}.npy", np.array(located, dtype=_LOCATED))

    def _cut(self, step: int, finder: Finder) -> Iterator[Finding]:
        piece = self._order()[step * self._per_step : (step + 1) * self._per_step]
        last: tuple[Any, Found | ImageServError] | None = None
        for number, home, candidates, science_id in piece.tolist():
            key = (home, candidates, science_id)
            if last is None or last[0] != key:
                try:
                    last = key, finder.by_science_id(home, science_id, candidates)
                except UnavailableFault:
                    raise
                except ImageServError as fault:
                    last = key, fault
            yield self._target(number), last[1]

    def _order(self) -> NDArray[Any]:
        """Return all rows that have an image, image by image; mapped from disk."""
        target = self._folder / "order.npy"
        if not target.exists():
            pieces = [np.load(self._folder / f"located-{step:06}.npy") for step in range(self._locating)]
            located = np.concatenate([np.empty(0, _LOCATED), *pieces])
            keys = [located[name] for name in ("row", "candidates", "science_id", "home")]
            write_array(target, located[np.lexsort(keys)])
        order: NDArray[Any] = np.load(target, mmap_mode="r")
        return order

    def _target(self, number: int) -> Target:
        wanted = self.wanted(number)
        given = wanted.values
        return Target(
            number,
            given.get("id"),
            wanted.stencil,
            number + 1,
            given.get("ra"),
            given.get("dec"),
            given.get("name"),
        )

    def _broken(self, number: int, row: Row) -> Target:
        """Return what can be told of a row that cannot be answered."""
        cells = {} if isinstance(row, str) else dict(zip(self._names, row, strict=True))
        texts = {name: str(value) for name, value in self._defaults.items()}
        texts |= {name: text for name, text in cells.items() if text is not None}
        place: list[float | None] = []
        for name, read in (("ra", longitude), ("dec", latitude)):
            try:
                place.append(read(texts[name]))
            except (KeyError, ValueError):
                place.append(None)
        return Target(number, texts.get("id"), None, number + 1, place[0], place[1], texts.get("name"))
