"""A process that computes, for a worker: what a job's data do to it is no harm to others.

The worker and it speak over a socket. It ends with its worker.
"""

import errno
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from imageserv.core.batch import Batch, BatchLimits
from imageserv.core.config import Config, load
from imageserv.core.dali.words import soda_word
from imageserv.core.errors import AuthorizationFault, ImageServError, UnavailableFault
from imageserv.core.repository import Repository
from imageserv.core.service import Service, open_service

from .model import JobError, Pairs

_log = logging.getLogger(__name__)

_FULL = {errno.ENOSPC, errno.EDQUOT}


@dataclass(frozen=True, slots=True)
class Task:
    """What a hand needs to know of a job: see `imageserv.core.jobs.model.Job`."""

    id: str
    parameters: Pairs
    uploads: Mapping[str, Path]
    folder: Path
    refused: Mapping[str, str]


class _Hand:
    """Answers a worker's requests, one at a time: ``begin`` with a task, ``step`` with its number, ``finish``."""

    def __init__(self, worker: Connection, config: Config, make: Callable[..., Batch]) -> None:
        self._worker = worker
        self._config = config
        self._make = make
        self._service: Service | None = None
        self._batch: Batch | None = None
        self._id = ""

    def open(self) -> Service:
        """Open the repositories, once."""
        if self._service is None:
            self._service = open_service(self._config)
        return self._service

    def serve(self) -> None:
        """Answer until the worker hangs up."""
        while True:
            try:
                request: tuple[Any, ...] = self._worker.recv()
            except (EOFError, OSError):
                return
            try:
                answer = self._answer(*request)
            except Exception as error:  # whatever a job's data lead to is the end of that job
                answer = self._error(error)
            self._worker.send(answer)

    def _answer(self, what: str, *arguments: Any) -> Any:
        if what == "begin":
            return self._begin(*arguments)
        assert self._batch is not None
        if what == "finish":
            return self._batch.finish()
        (step,) = arguments
        return self._batch.run(step, self._stopped)

    def _begin(self, task: Task) -> tuple[int, int, int, float]:
        self._id = task.id
        self._batch = None  # makes room for the next
        service = self.open()
        task.folder.mkdir(parents=True, exist_ok=True)

        def admits(repository: Repository, dataset: str) -> None:
            reason = task.refused.get(f"{repository.name}/{dataset}")
            if reason is not None:
                raise AuthorizationFault(reason)

        limits = self._config.jobs
        batch = self._make(
            service,
            task.parameters,
            task.uploads,
            task.folder,
            BatchLimits(limits.max_results, limits.max_rows, limits.max_bytes, limits.max_upload_bytes),
            admits,
        )
        self._batch = batch
        return batch.steps, batch.total, batch.estimate.bytes, batch.estimate.seconds

    def _stopped(self) -> bool:
        return self._worker.poll()  # only a word to stop, or its own end, comes from a worker that waits

    def _error(self, error: Exception) -> JobError:
        if isinstance(error, ImageServError):
            return JobError(f"{soda_word(error)}: {error.message}", isinstance(error, UnavailableFault))
        if isinstance(error, OSError) and error.errno in _FULL:
            return JobError(f"ServiceUnavailable: the results cannot be stored: {os.strerror(error.errno)}", True)
        _log.error("a job failed", exc_info=error, extra={"facts": {"job": self._id}})
        return JobError(f"Error: the service failed; its log says why, under the job's id {self._id}", True)


def serve(arguments: list[str], make: Callable[..., Batch] = Batch) -> None:
    """Be a hand.

    Parameters
    ----------
    arguments
        The configuration's file; the number of an open file, the socket to the worker; the worker's process id.
    make
        What makes a batch of the arguments of `Batch`.

    Raises
    ------
    ImageServError
        Raised if nothing can be served as configured.
    """
    configuration, descriptor, pid = arguments
    _end_with(int(pid))
    worker = Connection(int(descriptor))
    hand = _Hand(worker, load(configuration), make)
    try:
        hand.open()
    except UnavailableFault:
        pass  # each job will try, and say so
    worker.send("ready")
    hand.serve()
    os._exit(0)  # nothing of this process is worth an orderly end


def _end_with(worker: int) -> None:
    """End when the worker is gone, however it died: another one may take up the job any moment."""

    def watch() -> None:
        while os.getppid() == worker:
            time.sleep(0.1)
        os._exit(1)

    threading.Thread(target=watch, name="worker", daemon=True).start()
