"""One job, while a worker executes it."""

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from imageserv.core.batch import Done, Outcome

from .engine import Step
from .files import JobFiles
from .hand import Task
from .hands import Hand, HandLost, Stopped
from .model import Job, JobError, Progress
from .store import JobStore

_ATTEMPTS = 3  # of one step: after so many processes have died of it, it is the job and not the machine
_REPORT = 0.5  # seconds between words on how far it is

_log = logging.getLogger(__name__)

Insist = Callable[[Callable[[], Any]], Any]
"""Calls what writes to the database until it can."""


class Execution:
    """A job that has been taken up.

    Parameters
    ----------
    job
        As it was when this worker took it up.
    store, files
        Where its row, and its files are.
    hand
        Computes; it has started.
    insist
        How it writes.

    Attributes
    ----------
    id : str
        The job's.
    """

    def __init__(self, job: Job, store: JobStore, files: JobFiles, hand: Hand, insist: Insist) -> None:
        assert job.worker is not None
        self.id = job.id
        self._job = job
        self._worker = job.worker
        self._store = store
        self._insist = insist
        self._hand = hand
        self._task = Task(
            job.id,
            job.parameters,
            {table: files.upload(job.id, name) for table, name in job.uploads.items()},
            files.folder(job.id),
            job.refused,
        )
        self._since = time.monotonic()
        self._attempts = job.attempts
        self._reported = 0.0
        self._progress = Progress()
        self._begun: tuple[int, int, int, float] | None = None
        self._stop = False
        self._reason = "the service was interrupted"

    def stop(self) -> None:
        """Have it end soon: it is no longer this worker's, or no longer wanted."""
        self._stop = True

    @property
    def overdue(self) -> bool:
        """Whether it has executed longer than it may."""
        return self._spent > self._job.duration

    @property
    def _spent(self) -> float:
        return self._job.spent + time.monotonic() - self._since

    def run(self, step: Step) -> None:
        """Compute, and write how it ended; nothing is written if it was stopped."""
        how = self._compute(step)
        if how is not None:
            self._insist(lambda: self._store.end(self.id, self._worker, how, self._progress, self._spent))

    def _compute(self, step: Step) -> Outcome | JobError | None:
        plan: tuple[int, int, int, float] | JobError | None = self._ask("plan")
        if plan is None or isinstance(plan, JobError):
            return plan
        steps, total, expected_bytes, expected_seconds = plan
        self._progress = Progress(
            total=total, expected_bytes=expected_bytes, expected_seconds=round(expected_seconds, 3)
        )
        self._report(further=False)
        for number in range(steps):
            here = False

            def compute(number: int = number) -> tuple[str, Any]:
                nonlocal here
                here = True
                # What is kept is plain, and no exception: dbos would remember that, too, and raise it for ever.
                answer = self._ask("step", number)
                if isinstance(answer, Done):
                    return "done", (answer.results, answer.bytes, answer.failed)
                return ("stopped", ()) if answer is None else ("error", (answer.message, answer.transient))

            word, values = step(f"step {number}", compute)
            if word != "done":
                return JobError(*values) if word == "error" else None
            results, size, failed = values
            self._progress = replace(
                self._progress,
                done=self._progress.done + results,
                bytes=self._progress.bytes + size,
                failed=self._progress.failed + failed,
            )
            if not self._report(further=here):
                return None
        outcome: Outcome | JobError | None = self._ask("finish")
        return outcome

    def _ask(self, what: str, *arguments: Any) -> Any:
        """Ask the hand: an answer, a JobError, or None if the job was stopped. Asks again when it died of it."""
        while True:
            try:
                if self._begun is None:
                    answer = self._hand.ask(("begin", self._task), self._ended)
                    if isinstance(answer, JobError):
                        return answer
                    self._begun = answer
                if what == "plan":
                    return self._begun
                return self._hand.ask((what, *arguments), self._ended)
            except Stopped:
                return self._too_late() if self.overdue and not self._stop else None
            except HandLost as lost:
                _log.warning("a process ended while it computed: %s", lost, extra={"facts": {"job": self.id}})
                self._reason = str(lost)
                again = self._again()
                if not isinstance(again, Job):
                    return again

    def _again(self) -> Job | JobError | None:
        """Begin anew after a process has ended."""
        self._begun = None
        if self._stop:
            return None
        while True:
            try:
                self._hand.start()
                break
            except HandLost as lost:
                _log.error("no process can be started: %s", lost)
                time.sleep(1.0)
        job: Job | None = self._insist(lambda: self._store.begin(self.id, self._worker))
        if job is None:
            return None
        self._attempts = job.attempts
        return check_attempts(job, self._reason) or job

    def _ended(self) -> bool:
        return self._stop or self.overdue

    def _too_late(self) -> JobError:
        return JobError(
            f"UsageError: the job was stopped after the {self._job.duration} s that it may execute;"
            f" {self._progress.done} of {self._progress.total} results were done",
            False,
        )

    def _report(self, *, further: bool) -> bool:
        """Write how far it is, not too often; False if it is no longer this worker's."""
        now = time.monotonic()
        if now - self._reported < _REPORT and not (further and self._attempts > 1):
            return not self._stop
        self._reported = now
        if further:
            self._attempts = 1
        total, done = self._progress.total, self._progress.done
        expected = self._progress.expected_seconds or 0.0
        left = max(0.0, expected - self._spent) if not done else self._spent * (total - done) / done
        quote = time.time() + left
        mine = self._insist(
            lambda: self._store.report(
                self.id, self._worker, self._progress, spent=self._spent, quote=quote, further=further
            )
        )
        return bool(mine) and not self._stop


def check_attempts(job: Job, reason: str) -> JobError | None:
    """Say that a job has been tried often enough, if it has."""
    if job.attempts <= _ATTEMPTS:
        return None
    return JobError(
        f"Error: the job was given up: {_ATTEMPTS} times its process ended before the next step was done,"
        f" the last time: {reason}",
        False,
    )
