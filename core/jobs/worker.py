"""A worker: takes jobs, and looks after those of workers that are gone."""

import logging
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

from imageserv.core.config import Config
from imageserv.core.errors import ConfigurationFault, UnavailableFault

from .engine import Engine, Step
from .execution import Execution, check_attempts
from .files import JobFiles
from .hands import Hand, HandLost
from .machine import is_gone, process_name
from .places import engine_database, files_of, store_of

_LOOK = 0.25  # seconds between looks for new jobs, and for those that were aborted
_BEAT = 2.0  # seconds between signs of life
_SILENCE = 10.0  # seconds without one after which a worker is gone; without work after which a job is begun again
_STARTS = 5  # how often a process that is killed while it starts is replaced before the worker gives up
_SWEEP = 15.0  # seconds between searches for what is over

_log = logging.getLogger(__name__)


class Worker:
    """Executes jobs in processes of their own, a few at a time, until this process ends.

    It may be killed at any moment: a job's row, its files and the engine's database say all that another one must know.

    Parameters
    ----------
    config
        The configuration.
    command
        Starts a process that computes: see `imageserv.core.jobs.hands.Hand`.
    """

    def __init__(self, config: Config, command: Sequence[str]) -> None:
        self.name = process_name()
        self._store = store_of(config)
        self._files: JobFiles = files_of(config)
        self._hands: queue.SimpleQueue[Hand] = queue.SimpleQueue()
        self._all = [Hand(command) for _ in range(config.jobs.running)]
        self._engine = Engine(engine_database(config), self.name, config.jobs.running, self._execute)
        self._executions: dict[str, Execution] = {}
        self._at_work: set[str] = set()
        self._dropped: dict[str, float] = {}
        self._seen: dict[str, tuple[int, float]] = {}
        self._missing: set[str] = set()
        self._failing: set[Callable[[], None]] = set()
        self._closing = threading.Event()

    def run(self) -> None:
        """Work until SIGTERM or SIGINT, or until the engine's database is taken away; this ends the process.

        Raises
        ------
        ConfigurationFault
            Raised if no process that computes can be started.
        """
        signal.signal(signal.SIGTERM, self._interrupted)
        signal.signal(signal.SIGINT, self._interrupted)
        for hand in self._all:
            hand.launch()
        for hand in self._all:
            self._start(hand)
            self._hands.put(hand)
        self._insist(lambda: self._store.beat(self.name))
        self._engine.start()
        # Files are removed as fast as their disk is: signs of life, and stopping jobs, do not wait for it.
        threading.Thread(target=self._sweep_again, name="sweep", daemon=True).start()
        turns = ((_LOOK, self._look), (_BEAT, self._beat))
        due = [0.0 for _ in turns]
        while not self._closing.wait(_LOOK):
            for number, (period, turn) in enumerate(turns):
                if time.monotonic() >= due[number]:
                    due[number] = time.monotonic() + period
                    self._try(turn)
        _wait_for_the_end()

    def _start(self, hand: Hand) -> None:
        """Have a hand's first process: one that ends by itself cannot work, one that was killed is replaced."""
        for left in reversed(range(_STARTS)):
            try:
                hand.start()
                return
            except HandLost as lost:
                if self._closing.is_set():
                    _wait_for_the_end()
                if not lost.killed or not left:
                    raise ConfigurationFault(f"a process that computes cannot be started: it {lost}") from lost

    def _interrupted(self, _signal: int, _frame: FrameType | None) -> None:
        self._end(0)

    def _end(self, status: int) -> None:
        # Whatever threads are waiting for is found again: an orderly end only spares others the time to notice.
        self._closing.set()
        threading.Thread(target=self._leave, args=(status,), daemon=True).start()
        threading.Timer(2.0, lambda: os._exit(status)).start()

    def _leave(self, status: int) -> None:
        for hand in self._all:
            hand.kill()
        try:
            self._store.leave(self.name)
        except UnavailableFault:
            pass
        os._exit(status)

    # --- what it does from time to time

    def _look(self) -> None:
        new = self._store.unsubmitted(100)
        if new:
            self._engine.submit(new)
            self._store.submitted(new)
        executions = dict(self._executions)
        if executions:
            held = self._store.held(self.name)
            for identifier, execution in executions.items():
                if identifier not in held:
                    execution.stop()

    def _beat(self) -> None:
        if self._engine.is_lost():
            _log.error(
                "the engine's database was taken away: this worker ends, and one that is started makes a new one"
            )
            self._end(1)
            return
        self._store.beat(self.name)
        taken = self._engine.taken()  # first: a worker says that it is alive before it takes a job
        living = self._living()
        orphans = [identifier for identifier, worker in taken.items() if worker not in living]
        if orphans:
            _log.warning("taking over the jobs of a worker that is gone", extra={"facts": {"jobs": orphans}})
            self._engine.resume(orphans)
        dropped = self._find_dropped({identifier for identifier, worker in taken.items() if worker == self.name})
        if dropped:
            _log.warning("taking up again what the engine let go", extra={"facts": {"jobs": dropped}})
            self._engine.resume(dropped)

    def _find_dropped(self, mine: set[str]) -> list[str]:
        """Return jobs that the engine has given to this worker, and at which no thread of it works.

        When it cannot write to its database it lets a job go, and cannot note that either.
        """
        now = time.monotonic()
        self._dropped = {identifier: self._dropped.get(identifier, now) for identifier in mine - self._at_work}
        found = [identifier for identifier, since in self._dropped.items() if now - since > _SILENCE]
        for identifier in found:
            del self._dropped[identifier]
        return found

    def _living(self) -> set[str]:
        now = time.monotonic()
        living = {self.name}
        for name, beat in self._store.beats().items():
            if self._seen.get(name, (-1, 0.0))[0] != beat:
                self._seen[name] = beat, now
            if name != self.name and (is_gone(name) or now - self._seen[name][1] > _SILENCE):
                self._store.dismiss(name)
                self._seen.pop(name)
            else:
                living.add(name)
        return living

    def _sweep_again(self) -> None:
        while not self._closing.is_set():
            self._try(self._sweep)
            self._closing.wait(_SWEEP)

    def _sweep(self) -> None:
        expired = self._store.expired()
        for identifier in expired:
            self._files.discard(identifier)
        try:
            for identifier in expired:
                self._store.delete(identifier)
        finally:  # while a disk is full no row can be removed from a database on it: files have to go first
            self._files.sweep(self._store.known)
        self._engine.forget()
        # What should be with the engine and is not, twice in a row, was lost with its database.
        missing = self._store.under_way() - self._engine.unfinished()
        if lost := missing & self._missing:
            self._store.resubmit(lost)
        self._missing = missing - lost

    def _try(self, turn: Callable[[], None]) -> None:
        """Do what will be done again: the database may be away for a while, and the engine's, too."""
        try:
            turn()
        except Exception as error:  # whatever the engine raises: this process is of use as long as it lives
            if turn not in self._failing:
                _log.error("the worker cannot do its work at present", exc_info=error)
            self._failing.add(turn)
        else:
            self._failing.discard(turn)

    # --- jobs

    def _execute(self, identifier: str, step: Step) -> None:
        """Execute a job, in a thread of the engine."""
        self._at_work.add(identifier)
        hand = self._hands.get()
        try:
            self._ready(hand)
            job = self._insist(lambda: self._store.begin(identifier, self.name))
            if job is None:
                return
            spent = check_attempts(job, "the worker was killed, too, or could not write to its database")
            if spent is not None:
                self._insist(lambda: self._store.end(identifier, self.name, spent, None, job.spent))
                return
            execution = Execution(job, self._store, self._files, hand, self._insist)
            self._executions[identifier] = execution
            execution.run(step)
        finally:
            self._executions.pop(identifier, None)
            self._hands.put(hand)
            self._at_work.discard(identifier)

    def _ready(self, hand: Hand) -> None:
        while True:
            try:
                hand.start()
                return
            except HandLost as lost:
                _log.error("no process can be started: %s", lost)
                time.sleep(1.0)

    def _insist(self, call: Callable[[], Any]) -> Any:
        """Call until the database answers; never return once this process is to end."""
        while True:
            if self._closing.is_set():
                _wait_for_the_end()
            try:
                return call()
            except UnavailableFault as fault:
                _log.warning("%s", fault.message)
                time.sleep(1.0)


def _wait_for_the_end() -> None:
    """Never return: the process is being ended.

    If the interpreter ended by itself it would refuse the engine its threads, which takes that for errors of jobs.
    """
    threading.Event().wait()
