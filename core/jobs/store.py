"""Where jobs are kept: one row each, which is the truth about a job's phase.

::

    PENDING ──run──> QUEUED ──begin──> EXECUTING ──end──> COMPLETED, ERROR
       └───────────────┴───────abort───────┴───────────> ABORTED

Clients run and abort, workers begin and end. Each change is one statement that holds for the phase
it was meant for: a worker that was thought dead, and whose job another one
took up, changes nothing any more, and what a client aborted never completes.
"""

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, false, func, insert, select, true, update
from sqlalchemy.engine import Connection, Engine, Row
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError

from imageserv.core.batch import Outcome, ResultFile
from imageserv.core.errors import NotFoundFault, RefusedFault, UnavailableFault

from .model import UNFINISHED, Job, JobError, JobFilter, JobLine, Phase, Progress
from .sqlitefile import identity, sqlite_path
from .tables import MADE, TOTALS, jobs, open_tables, totals, workers


@dataclass(frozen=True, slots=True)
class JobQuotas:
    """How many unfinished jobs there may be.

    Attributes
    ----------
    all
        Altogether.
    owner
        Of one owner.
    anonymous
        Of all who have no name, together.
    """

    all: int
    owner: int
    anonymous: int


class JobStore:
    """The jobs of a service, in a database. All that it does may block.

    Parameters
    ----------
    database
        As of `open_tables`; opened when it is used first, and made if it is not there, or is no longer there.

    Raises
    ------
    UnavailableFault
        Raised by every method if the database cannot be reached.
    """

    def __init__(self, database: str) -> None:
        self._database = database
        self._path = sqlite_path(database)
        self._identity: tuple[int, int] | None = None
        self._lock = threading.Lock()
        self._opened: Engine | None = None

    def close(self) -> None:
        """Let go of the database."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._opened is not None:
            self._opened.dispose()
            self._opened = None

    # --- for clients

    def create(self, job: Job, quotas: JobQuotas) -> None:
        """Add a job.

        Raises
        ------
        RefusedFault
            Raised if its owner has too many.
        UnavailableFault
            Raised if there are too many.
        """
        with self._writing() as connection:
            self._check_quotas(connection, job.owner, quotas)
            connection.execute(insert(jobs).values(**_row(job), submitted=False))

    def _check_quotas(self, connection: Connection, owner: str | None, quotas: JobQuotas) -> None:
        unfinished = select(func.count()).select_from(jobs).where(jobs.c.phase.in_(UNFINISHED))
        count: int = connection.execute(unfinished).scalar_one()
        if count >= quotas.all:
            raise UnavailableFault(f"{count} jobs are unfinished, and more are not kept: come again later")
        own: int = connection.execute(unfinished.where(jobs.c.owner == owner)).scalar_one()  # IS NULL for nobody
        if own >= (quotas.anonymous if owner is None else quotas.owner):
            whose = "of anonymous clients" if owner is None else f"of {owner}"
            raise RefusedFault(f"{own} jobs {whose} are unfinished, and more are not allowed: wait, or delete one")

    def get(self, identifier: str) -> Job:
        """Return a job.

        Raises
        ------
        NotFoundFault
            Raised if there is none, or its time is over.
        """
        with self._reading() as connection:
            return self._get(connection, identifier)

    def _get(self, connection: Connection, identifier: str) -> Job:
        alive = jobs.c.destruction > time.time()
        row = connection.execute(select(jobs).where(jobs.c.id == identifier, alive)).one_or_none()
        if row is None:
            raise NotFoundFault(f"there is no job {identifier[:80]!r}; perhaps it was deleted, or its time was over")
        return _job(row)

    def find(self, wanted: JobFilter, owner: str | None, *, everyone: bool = False) -> list[JobLine]:
        """List the jobs of an owner, None for those without one, or of everyone: the newest first."""
        query = select(jobs.c.id, jobs.c.owner, jobs.c.run_id, jobs.c.phase, jobs.c.created)
        query = query.where(jobs.c.destruction > time.time())
        if not everyone:
            query = query.where(jobs.c.owner == owner)
        if wanted.phases:
            query = query.where(jobs.c.phase.in_(wanted.phases))
        if wanted.after is not None:
            query = query.where(jobs.c.created > wanted.after)
        query = query.order_by(jobs.c.created.desc(), jobs.c.id).limit(wanted.last)
        with self._reading() as connection:
            return [JobLine(*row) for row in connection.execute(query)]

    def phases(self, identifiers: Sequence[str]) -> dict[str, Phase]:
        """Return the phases of jobs; those that are gone are left out."""
        return self.known(identifiers)[1]

    def known(self, identifiers: Sequence[str]) -> tuple[float, dict[str, Phase]]:
        """Return since when the database knows of jobs, seconds since 1970, and what `phases` does: of one database.

        A job that is older than that may be known to another database, which was here before and may come back.
        """
        with self._reading() as connection:
            made = connection.execute(select(totals.c.value).where(totals.c.name == MADE)).scalar()
            rows = connection.execute(select(jobs.c.id, jobs.c.phase).where(jobs.c.id.in_(identifiers)))
            # It is noted when a database is opened: what was restored into one that is open may lack it.
            return time.time() if made is None else made, {identifier: phase for identifier, phase in rows}

    def change(self, identifier: str, change: Callable[[Job], Mapping[str, Any]], phases: Sequence[str]) -> Job:
        """Change a job, and return it as it was.

        Parameters
        ----------
        change
            From the job to the new values of its attributes; what it raises is raised.
        phases
            In which this is allowed.

        Raises
        ------
        NotFoundFault
            Raised if there is no such job.
        RefusedFault
            Raised if it is in another phase.
        """
        with self._writing() as connection:
            job = self._get(connection, identifier)
            if job.phase not in phases:
                raise RefusedFault(f"the job is {job.phase}: this can be done while it is {' or '.join(phases)}")
            values = {name: _written(name, value) for name, value in change(job).items()}
            # In PostgreSQL somebody else may have changed it since it was read.
            condition = and_(jobs.c.id == identifier, jobs.c.phase == job.phase)
            if values and connection.execute(update(jobs).where(condition).values(**values)).rowcount != 1:
                raise UnavailableFault("the job is being changed by somebody else: try again")
            return job

    def run(self, identifier: str, refused: Mapping[str, str]) -> None:
        """Queue a job that is PENDING; one that is on its way already stays as it is.

        Parameters
        ----------
        refused
            What its owner may not have, as in `Job.refused`.

        Raises
        ------
        NotFoundFault, RefusedFault
            Raised if there is no such job; if it has ended.
        """

        def change(job: Job) -> Mapping[str, Any]:
            return {"phase": "QUEUED", "queued": time.time(), "refused": refused} if job.phase == "PENDING" else {}

        self.change(identifier, change, UNFINISHED)

    def abort(self, identifier: str) -> None:
        """End a job as ABORTED, whatever it is doing; one that has ended stays as it is. Its worker will notice."""
        with self._writing() as connection:
            self._get(connection, identifier)
            condition = and_(jobs.c.id == identifier, jobs.c.phase.in_(UNFINISHED))
            connection.execute(update(jobs).where(condition).values(phase="ABORTED", ended=time.time(), worker=None))

    def delete(self, identifier: str) -> None:
        """Forget a job. Its files are not this one's."""
        with self._writing() as connection:
            connection.execute(delete(jobs).where(jobs.c.id == identifier))

    def expired(self) -> list[str]:
        """Return the jobs whose time is over."""
        with self._reading() as connection:
            rows = connection.execute(select(jobs.c.id).where(jobs.c.destruction <= time.time()).limit(1000))
            return list(rows.scalars())

    # --- for workers

    def unsubmitted(self, most: int) -> list[str]:
        """Return jobs that are queued here and not yet with the engine, the longest waiting first."""
        waiting = and_(jobs.c.phase == "QUEUED", jobs.c.submitted == false())
        with self._reading() as connection:
            rows = connection.execute(select(jobs.c.id).where(waiting).order_by(jobs.c.queued, jobs.c.id).limit(most))
            return list(rows.scalars())

    def submitted(self, identifiers: Sequence[str]) -> None:
        """Remember that the engine has these."""
        with self._writing() as connection:
            connection.execute(update(jobs).where(jobs.c.id.in_(identifiers)).values(submitted=True))

    def under_way(self) -> set[str]:
        """Return the jobs that the engine must have."""
        with self._reading() as connection:
            return set(connection.execute(select(jobs.c.id).where(_under_way(), jobs.c.submitted == true())).scalars())

    def resubmit(self, identifiers: Iterable[str]) -> None:
        """Have jobs submitted again that the engine has lost."""
        with self._writing() as connection:
            for identifier in identifiers:
                again = update(jobs).where(jobs.c.id == identifier, _under_way())
                connection.execute(again.values(phase="QUEUED", submitted=False, worker=None))

    def begin(self, identifier: str, worker: str) -> Job | None:
        """Take up a job, in the name of a worker, and count the attempt; None if there is nothing to do any more."""
        now = time.time()
        with self._writing() as connection:
            ready = and_(jobs.c.id == identifier, _under_way(), jobs.c.destruction > now)
            values = {"phase": "EXECUTING", "worker": worker, "attempts": jobs.c.attempts + 1}
            started = func.coalesce(jobs.c.started, now)
            if connection.execute(update(jobs).where(ready).values(started=started, **values)).rowcount != 1:
                return None
            job = self._get(connection, identifier)
            if job.started == now and job.queued is not None:
                _add(connection, {"started": 1, "wait_seconds": max(0.0, now - job.queued)})
            return job

    def report(
        self, identifier: str, worker: str, progress: Progress, *, spent: float, quote: float, further: bool
    ) -> bool:
        """Say how far a job is.

        Parameters
        ----------
        spent
            Seconds that it has executed.
        quote
            When it is likely to end.
        further
            Whether it got further in this attempt: only those that did not count.

        Returns
        -------
        bool
            Whether it is still this worker's.
        """
        values = {"progress": _written("progress", progress), "spent": spent, "quote": quote}
        if further:
            values["attempts"] = 1
        with self._writing() as connection:
            return connection.execute(update(jobs).where(_held(identifier, worker)).values(**values)).rowcount == 1

    def end(
        self, identifier: str, worker: str, how: Outcome | JobError, progress: Progress | None, spent: float
    ) -> bool:
        """End a job as COMPLETED, or as ERROR; False if it is not this worker's any more."""
        now = time.time()
        values: dict[str, Any] = {"ended": now, "spent": spent, "worker": None}
        if progress is not None:
            values["progress"] = _written("progress", progress)
        if isinstance(how, JobError):
            values |= {"phase": "ERROR", "error": _written("error", how)}
        else:
            values |= {"phase": "COMPLETED", "outcome": json.dumps([_files(how.results), _files(how.manifest)])}
        with self._writing() as connection:
            if connection.execute(update(jobs).where(_held(identifier, worker)).values(**values)).rowcount != 1:
                return False
            _add(connection, {f"ended_{values['phase']}": 1, "run_seconds": spent})
            return True

    def held(self, worker: str) -> set[str]:
        """Return the jobs that a worker executes, as far as the truth goes."""
        with self._reading() as connection:
            executing = and_(jobs.c.phase == "EXECUTING", jobs.c.worker == worker)
            return set(connection.execute(select(jobs.c.id).where(executing)).scalars())

    def beat(self, worker: str) -> None:
        """Say that a worker is alive."""
        with self._writing() as connection:
            again = update(workers).where(workers.c.name == worker).values(beat=workers.c.beat + 1)
            if connection.execute(again).rowcount != 1:
                connection.execute(insert(workers).values(name=worker, beat=1))

    def beats(self) -> dict[str, int]:
        """Return how often each worker has said so."""
        with self._reading() as connection:
            return {name: beat for name, beat in connection.execute(select(workers.c.name, workers.c.beat))}

    def dismiss(self, worker: str) -> None:
        """Forget a worker that has ended."""
        with self._writing() as connection:
            connection.execute(delete(workers).where(workers.c.name == worker))

    def leave(self, worker: str) -> None:
        """Forget a worker that ends in good order: its attempts do not count."""
        with self._writing() as connection:
            mine = and_(jobs.c.phase == "EXECUTING", jobs.c.worker == worker)
            connection.execute(update(jobs).where(mine).values(attempts=jobs.c.attempts - 1))
            connection.execute(delete(workers).where(workers.c.name == worker))

    # --- for operators

    def counts(self) -> tuple[dict[str, int], float | None]:
        """Return how many jobs are in each phase, and since when the oldest of the queue waits."""
        with self._reading() as connection:
            rows = connection.execute(select(jobs.c.phase, func.count()).group_by(jobs.c.phase))
            counts = {phase: count for phase, count in rows}
            oldest = connection.execute(select(func.min(jobs.c.queued)).where(jobs.c.phase == "QUEUED")).scalar_one()
            return counts, oldest

    def totals(self) -> dict[str, float]:
        """Return sums over all jobs that there ever were: started, wait_seconds, run_seconds, ended_<phase>."""
        with self._reading() as connection:
            sums = select(totals.c.name, totals.c.value).where(totals.c.name.in_(TOTALS))
            return {name: value for name, value in connection.execute(sums)}

    # --- the database

    @contextmanager
    def _writing(self) -> Generator[Connection]:
        with _telling():
            with self._engine().begin() as connection:
                yield connection

    @contextmanager
    def _reading(self) -> Generator[Connection]:
        with _telling():
            with self._engine().execution_options(reads=True).begin() as connection:
                yield connection

    def _engine(self) -> Engine:
        with self._lock:
            while self._opened is None or identity(self._path) != self._identity:
                self._close()
                self._identity = identity(self._path)  # first: a file that takes its place meanwhile is noticed
                self._opened = open_tables(self._database)
            return self._opened


@contextmanager
def _telling() -> Generator[None]:
    """Say that the database cannot be reached; how is no client's business."""
    try:
        yield
    except IntegrityError:
        raise
    except (DBAPIError, SQLAlchemyError, sqlite3.Error, OSError) as error:
        raise UnavailableFault("the database of jobs cannot be reached at present") from error


def _under_way() -> ColumnElement[bool]:
    return jobs.c.phase.in_(("QUEUED", "EXECUTING"))


def _held(identifier: str, worker: str) -> ColumnElement[bool]:
    return and_(jobs.c.id == identifier, jobs.c.phase == "EXECUTING", jobs.c.worker == worker)


def _add(connection: Connection, amounts: Mapping[str, float]) -> None:
    for name, amount in amounts.items():
        connection.execute(update(totals).where(totals.c.name == name).values(value=totals.c.value + amount))


def _files(files: Sequence[ResultFile]) -> list[tuple[str, str, int]]:
    return [(file.name, file.media_type, file.size) for file in files]


def _written(name: str, value: Any) -> Any:
    """Write an attribute of a job as its column has it."""
    if name in ("parameters", "uploads", "refused"):
        return json.dumps(value if name == "parameters" else dict(value))
    if name in ("progress", "error"):
        return None if value is None else json.dumps(asdict(value))
    return value


def _row(job: Job) -> dict[str, Any]:
    names = (column.name for column in jobs.columns if column.name not in ("submitted", "outcome"))
    return {name: _written(name, getattr(job, name)) for name in names}


def _job(row: Row[Any]) -> Job:
    values = dict(row._mapping)  # pyright: ignore[reportPrivateUsage]  # SQLAlchemy's documented accessor
    del values["submitted"]
    results, manifest = json.loads(values.pop("outcome") or "[[], []]")
    for name in ("parameters", "uploads", "refused", "progress", "error"):
        values[name] = json.loads(values[name] or "null")
    values["parameters"] = tuple((name, value) for name, value in values["parameters"])
    values["progress"] = Progress(**values["progress"])
    values["error"] = JobError(**values["error"]) if values["error"] else None
    return Job(
        **values,
        results=tuple(ResultFile(*file) for file in results),
        manifest=tuple(ResultFile(*file) for file in manifest),
    )
