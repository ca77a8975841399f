"""The plan of a job: made once from its parameters and its table, then read from its folder."""

import hashlib
import json
import shutil
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from imageserv.core.dali.soda import SPATIAL
from imageserv.core.errors import ImageServError, LimitFault, UsageFault
from imageserv.core.record import ImageRecord
from imageserv.core.request import DETAILS
from imageserv.core.service import Service
from imageserv.core.sky.stencil import Stencil

from .catalogue import Catalogue
from .columns import read_catalogue
from .estimate import cutting, guess, locating, opening
from .finding import choose_dataset
from .outcome import BatchLimits, Estimate
from .parameters import SIZES, Question, check_spelling
from .storage import read_json, write_json
from .targets import Combinations, Targets

_SAMPLE = 50
"""How many results an estimate looks at."""

_STEP = 0.5
"""Seconds that a step should take."""

_MOST_PER_STEP = 1000


@dataclass(frozen=True, slots=True)
class Plan:
    """What was found out before the first step.

    Attributes
    ----------
    question
        A digest of the parameters that it was made for.
    started
        When it was made, seconds: the time of all files in a tar.
    targets
        How many images and stencils there are.
    per_step
        How many of them a step cuts.
    bytes, seconds
        What all is expected to take.
    columns
        Of a catalogue: what each cell of a row is.
    defaults
        Of a catalogue: what its metadata say for all rows.
    """

    question: str
    started: int
    targets: int
    per_step: int
    bytes: int
    seconds: float
    columns: list[str] = field(default_factory=list[str])
    defaults: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def estimate(self) -> Estimate:
        """What all is expected to take."""
        return Estimate(self.bytes, self.seconds)

    def work(self, question: Question, folder: Path) -> Targets:
        """Return what the job cuts."""
        if question.table is None:
            return Combinations(tuple(question.given["ID"]), question.stencils, self.per_step)
        return Catalogue(folder, self.columns, question, self.defaults, self.per_step)


class Planner:
    """Makes the plan of a job, or reads the one that was made.

    Parameters
    ----------
    folder
        Of the job. What it has of other parameters is removed.
    """

    def __init__(self, service: Service, question: Question, limits: BatchLimits, folder: Path) -> None:
        self._service = service
        self._question = question
        self._limits = limits
        self._folder = folder
        self._work = folder / "work"

    def plan(self, uploads: Mapping[str, Path]) -> Plan:
        """Return the plan.

        Raises
        ------
        UsageFault
            Raised if the job cannot be done.
        LimitFault
            Raised if it is too large.
        """
        path = self._work / "plan.json"
        table = self._table(uploads)
        digest = self._digest(table)
        kept = read_json(path)
        if kept is not None and kept["question"] == digest:
            return Plan(**kept)
        for name in ("work", "results", "manifest"):
            shutil.rmtree(self._folder / name, ignore_errors=True)
            (self._folder / name).mkdir()
        plan = self._combinations(digest) if table is None else self._catalogue(digest, table)
        write_json(path, asdict(plan))
        return plan

    def _table(self, uploads: Mapping[str, Path]) -> Path | None:
        name = self._question.table
        if name is None:
            return None
        if name not in uploads:
            raise UsageFault(f"UPLOAD names the table {name}, but the request has no such part", parameter="UPLOAD")
        size = uploads[name].stat().st_size
        if size > self._limits.max_upload_bytes:
            raise LimitFault(
                f"the table has {size} bytes; at most {self._limits.max_upload_bytes} are read: send it in parts",
                parameter="UPLOAD",
                details={"limit": self._limits.max_upload_bytes},
            )
        return uploads[name]

    def _digest(self, table: Path | None) -> str:
        status = None if table is None else table.stat()
        facts = [list(self._question.pairs), status and [status.st_size, status.st_mtime_ns]]
        return hashlib.blake2b(json.dumps(facts).encode(), digest_size=16).hexdigest()

    def _combinations(self, digest: str) -> Plan:
        question = self._question
        identifiers = tuple(question.given["ID"])
        if question.stencils == (None,):
            check_spelling(question, self._own_names(), [parameter.name for parameter in SPATIAL])
        work = Combinations(identifiers, question.stencils, 1)
        self._check_count(len(work))
        sample: list[tuple[ImageRecord | None, Stencil | None]] = []
        for number in _spread(len(work)):
            target = work.target(number)
            try:
                _, record = self._service.find(target.identifier or "")
            except ImageServError:
                sample.append((None, None))
            else:
                sample.append((record, target.stencil))
        size = self._size(sample)
        images = sum(opening(record) for record, _ in sample) / len(sample) * len(identifiers)
        return self._plan(digest, len(work), size, images)

    def _catalogue(self, digest: str, table: Path) -> Plan:
        question = self._question
        columns, defaults = read_catalogue(table, self._work, self._service, question, self._limits.max_rows)
        if not {*columns, *question.given} & {*SIZES}:
            check_spelling(question, self._own_names(), SIZES)
        work = Catalogue(self._work, columns, question, defaults, 1)
        self._check_count(len(work))
        sample: list[tuple[ImageRecord | None, Stencil | None]] = []
        count = 0
        for number in _spread(len(work)):
            record: ImageRecord | None
            try:
                wanted = work.wanted(number)
                collection = wanted.values.get("collection")
                home = self._service.default if collection is None else self._service.repository(collection)
                if "id" in wanted.values:
                    _, record = self._service.find(wanted.values["id"])
                    count = len(work)
                else:
                    plugin = choose_dataset(home, wanted.values.get("ds"))
                    record = home.registry.sample(plugin.name)
                    count = max(count, home.registry.count(plugin.name))
                sample.append((record, wanted.stencil))
            except ImageServError:
                sample.append((None, None))
        size = self._size(sample)
        images = max(opening(record) for record, _ in sample) * min(len(work), count)
        plan = self._plan(digest, len(work), size, images + locating(len(work)))
        return replace(plan, columns=columns, defaults=defaults)

    def _plan(self, digest: str, targets: int, size: float, images: float) -> Plan:
        """Make a plan from how many bytes a result is likely to have, and how long all images take to be opened."""
        results = targets * self._question.each
        seconds = cutting(size) * results + images
        per_step = min(max(int(_STEP * targets / seconds), 1), _MOST_PER_STEP)
        return Plan(digest, int(time.time()), targets, per_step, int(size * results), round(seconds, 6))

    def _size(self, sample: Iterable[tuple[ImageRecord | None, Stencil | None]]) -> float:
        detail = self._question.given.get("DETAIL", DETAILS[0])
        sizes = [guess(record, stencil, detail) for record, stencil in sample]
        return sum(sizes) / len(sizes)

    def _check_count(self, targets: int) -> None:
        """Refuse a job of too many results."""
        tar = self._question.package == "tar"
        most = self._limits.max_rows if tar else self._limits.max_results
        results = targets * self._question.each
        if results > most:
            advice = "ask for fewer" if tar else "ask for fewer, or for all in one tar (package=tar)"
            raise LimitFault(
                f"the job has {results} results (images x stencils x BAND x TIME); at most {most} are given: {advice}",
                details={"limit": most},
            )

    def _own_names(self) -> list[str]:
        """Return the names of all parameters that datasets add."""
        return [
            parameter.name
            for repository in self._service.repositories.values()
            for plugin in repository.datasets.values()
            for parameter in plugin.declaration.parameters
        ]


def _spread(count: int) -> Iterable[int]:
    """Return a few numbers below a count, from here and there."""
    return range(0, count, -(-count // _SAMPLE))
