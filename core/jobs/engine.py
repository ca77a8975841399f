"""dbos, as far as jobs need it: a queue that workers share, and steps that are done once.

What dbos does: it keeps the queue and the results of steps in its database, gives each job to one worker,
and lets only the last that was given a job write any more. What it does not do (3.4): notice that a worker is
gone, stop a step that runs, or count attempts across take-overs; `imageserv.core.jobs.worker` does.
"""

import logging
from collections.abc import Callable, Collection
from typing import Any

from dbos import DBOS, SetWorkflowID

from .sqlitefile import identity, make_sqlite, sqlite_path

_QUEUE = "jobs"
_POLL = (
    0.05  # seconds between looks into the queue: with the jobs that run at a time, it bounds how many start a second
)
_PAGE = 500

Step = Callable[[str, Callable[[], Any]], Any]
"""Does a step by its name, or returns what it gave if it was done before: plain values."""


class Engine:
    """The engine of this process: there can be one.

    Parameters
    ----------
    database
        URL of its own database: SQLite or PostgreSQL. In PostgreSQL it uses a schema of its own, ``dbos``.
    worker
        The name of this worker.
    running
        How many jobs run at a time.
    execute
        Executes a job, by its id, in a thread; it is called again, here or elsewhere, if this process ends before it
        returns.
    """

    def __init__(self, database: str, worker: str, running: int, execute: Callable[[str, Step], None]) -> None:
        self._path = sqlite_path(database)
        if self._path is not None:
            make_sqlite(self._path)
        self._identity = identity(self._path)
        DBOS(
            config={
                "name": "imageserv",
                "system_database_url": database,
                "executor_id": worker,
                "application_version": "1",  # by default a hash of the code: jobs would not survive an upgrade
                "log_level": "WARNING",
                "use_listen_notify": False,
            }
        )
        logger = logging.getLogger("dbos")
        logger.handlers.clear()  # its lines go where all others go
        logger.propagate = True

        @DBOS.workflow(name="job")
        def job(identifier: str) -> None:
            execute(identifier, lambda name, call: DBOS.run_step({"name": name}, call))

        self._job = job
        self._running = running

    def start(self) -> None:
        """Begin to take jobs."""
        DBOS.launch()
        DBOS.register_queue(
            _QUEUE, worker_concurrency=self._running, polling_interval_sec=_POLL, on_conflict="always_update"
        )

    def is_lost(self) -> bool:
        """Return whether its database was taken away or replaced: this process can do nothing with it any more."""
        return identity(self._path) != self._identity

    def submit(self, identifiers: Collection[str]) -> None:
        """Put jobs into the queue; those that are there already stay."""
        for identifier in identifiers:
            with SetWorkflowID(identifier):
                DBOS.enqueue_workflow(_QUEUE, self._job, identifier)

    def taken(self) -> dict[str, str]:
        """Return which jobs have been given to a worker and have not returned, with the worker's name."""
        return {status.workflow_id: status.executor_id or "" for status in self._list(["PENDING"])}

    def unfinished(self) -> set[str]:
        """Return the jobs that are queued or have been given to a worker."""
        return {status.workflow_id for status in self._list(["ENQUEUED", "PENDING"])}

    def resume(self, identifiers: Collection[str]) -> None:
        """Give jobs to whoever takes them next, though they were given to somebody before."""
        DBOS.resume_workflows(list(identifiers), queue_name=_QUEUE)

    def forget(self) -> None:
        """Drop what is known of jobs that have returned."""
        while done := DBOS.list_workflows(
            status=["SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"],
            limit=_PAGE,
            load_input=False,
            load_output=False,
        ):
            DBOS.delete_workflows([status.workflow_id for status in done])

    def _list(self, status: list[str]) -> list[Any]:
        return DBOS.list_workflows(status=status, load_input=False, load_output=False)
