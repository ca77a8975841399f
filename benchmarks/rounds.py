"""Fair timing: contestants take turns within each round, so that a noisy machine is as noisy to all of them."""

import gc
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Effort:
    """How long to measure.

    Attributes
    ----------
    rounds
        In each of them every contestant has one turn.
    seconds
        Of one turn.
    """

    rounds: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Contestant:
    """One way to do the work.

    Attributes
    ----------
    name
        As tables show it.
    call
        Does the work once, for one of the tasks.
    check
        Raises `Wrong` if an answer is not right.
    before
        Called before each call, and not timed.
    calls
        In one turn, where it may not be chosen freely; else as many as fit into the turn.
    note
        What a reader should know.
    """

    name: str
    call: Callable[[Any], Any]
    check: Callable[[Any, Any], None] = lambda answer, task: None
    before: Callable[[], object] | None = None
    calls: int | None = None
    note: str = ""


class Wrong(Exception):
    """An answer is not what it should be."""


@dataclass(frozen=True, slots=True)
class Series:
    """What was measured of one contestant.

    Attributes
    ----------
    values
        One of each round, in the unit of its table: the median of a turn's calls.
    refused
        Why there are none.
    """

    name: str
    values: tuple[float, ...] = ()
    note: str = ""
    refused: str = ""

    @property
    def median(self) -> float:
        """Of the rounds."""
        return statistics.median(self.values)


@dataclass(slots=True)
class _Turns:
    contestant: Contestant
    calls: int = 0
    at: int = 0
    medians: list[float] = field(default_factory=list[float])


def measure(contestants: Sequence[Contestant], tasks: Sequence[Any], effort: Effort) -> list[Series]:
    """Time all contestants at the same tasks; whoever answers wrongly, or fails, is not timed.

    Returns
    -------
    list of Series
        Seconds, in the order of the contestants.
    """
    playing: dict[str, _Turns] = {}
    refused: dict[str, str] = {}
    for contestant in contestants:
        turns = _Turns(contestant)
        try:
            turns.calls = _try(turns, tasks, effort.seconds)
        except Exception as error:  # peers fail as they like
            refused[contestant.name] = f"{type(error).__name__}: {error}".splitlines()[0][:160]
        else:
            playing[contestant.name] = turns
    gc.collect()
    gc.freeze()
    try:
        for _ in range(effort.rounds):
            for turns in playing.values():
                gc.collect()  # nobody pays for the garbage of another
                turns.medians.append(_turn(turns, tasks))
    finally:
        gc.unfreeze()
    return [
        Series(each.name, tuple(playing[each.name].medians), each.note)
        if each.name in playing
        else Series(each.name, (), each.note, refused[each.name])
        for each in contestants
    ]


def _try(turns: _Turns, tasks: Sequence[Any], seconds: float) -> int:
    """Check the answers to a few tasks, warm up with all, and return how many calls make a turn."""
    contestant = turns.contestant
    if contestant.calls is not None:
        contestant.check(_prepared(turns, tasks[0]), tasks[0])
        return contestant.calls
    for task in tasks[:3]:
        contestant.check(_prepared(turns, task), task)
    spent = [_timed(turns, tasks[0])]
    for task in tasks:
        if sum(spent) > seconds:
            break
        spent.append(_timed(turns, task))
    return max(1, min(20_000, round(seconds / statistics.median(spent))))


def _turn(turns: _Turns, tasks: Sequence[Any]) -> float:
    return statistics.median(_timed(turns, tasks[(turns.at + call) % len(tasks)]) for call in _advance(turns))


def _advance(turns: _Turns) -> range:
    """Go on with the tasks where the last turn stopped."""
    turns.at += turns.calls
    return range(-turns.calls, 0)


def _prepared(turns: _Turns, task: Any) -> Any:
    if turns.contestant.before is not None:
        turns.contestant.before()
    return turns.contestant.call(task)


def _timed(turns: _Turns, task: Any) -> float:
    call, before = turns.contestant.call, turns.contestant.before
    if before is not None:
        before()
    started = time.perf_counter()
    answer = call(task)
    spent = time.perf_counter() - started
    del answer
    return spent
