"""UWS 1.1: what requests about jobs ask."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from imageserv.core.config import JobsConfig
from imageserv.core.dali.documents import clean
from imageserv.core.dali.literals import choice, integer, real
from imageserv.core.dali.parameters import Parameter, parse_parameters
from imageserv.core.dali.soda import RUNID
from imageserv.core.errors import UsageFault
from imageserv.core.jobs.model import OTHER_PHASES, PHASES, Job, JobFilter, Pairs, Progress

from .parameters import RESPONSEFORMAT

FORMATS = {"xml": ("text/xml", "application/xml"), "json": ("application/json",)}
"""The formats of documents about jobs, by their short names; XML is the default (UWS 1.1 section 2.2.2)."""

MOST_WAIT = 50.0
"""Seconds after which a request that waits is answered in any case: proxies give up after 60."""

_DAY = 86400.0
_LONGEST = 2**31 - 1  # of an xs:int


def _moment(text: str) -> float:
    """Read a time (DALI 1.1 section 3.3.3): UTC, unless it has an offset; to seconds since 1970."""
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise ValueError("must be a time such as 2026-11-28T12:00:00Z") from None


def _seconds(text: str) -> int:
    value = integer(text)
    if value < 0:
        raise ValueError("must be a number of seconds; 0 is for as long as possible")
    return min(value, _LONGEST)


def _count(text: str) -> int:
    value = integer(text)
    if value < 1:
        raise ValueError("must be greater than 0")
    return value


def _wait(text: str) -> float:
    value = real(text)
    if value < 0 and value != -1:
        raise ValueError("must be a number of seconds, or -1 for as long as possible")
    return MOST_WAIT if value < 0 else min(value, MOST_WAIT)


PHASE = Parameter("PHASE", choice("RUN", "ABORT"), "RUN starts a job, ABORT stops it.", options=("RUN", "ABORT"))
START = Parameter("PHASE", choice("RUN"), "RUN starts the job at once.", options=("RUN",))
DESTRUCTION = Parameter("DESTRUCTION", _moment, "When the job is to be deleted, with its results.", xtype="timestamp")
DURATION = Parameter(
    "EXECUTIONDURATION", _seconds, "Seconds for which the job may execute.", datatype="int", arraysize="", unit="s"
)
ACTION = Parameter("ACTION", choice("DELETE"), "DELETE deletes the job.", options=("DELETE",))
WAIT = Parameter(
    "WAIT", _wait, "Seconds to wait for the phase to change; -1 is as long as possible.", datatype="double", unit="s"
)
WHILE = Parameter("PHASE", choice(*PHASES, *OTHER_PHASES), "Wait only while the job is in this phase.", options=PHASES)
IN_PHASE = Parameter(
    "PHASE", choice(*PHASES, *OTHER_PHASES), "Jobs in this phase; may be repeated.", multiple=True, options=PHASES
)
AFTER = Parameter("AFTER", _moment, "Jobs created later than this.", xtype="timestamp")
LAST = Parameter("LAST", _count, "So many jobs, the newest.", datatype="int", arraysize="")

CONTROLS = (START, RUNID, DESTRUCTION, DURATION)
"""What a request that creates a job may say of the job itself (UWS 1.1 section 2.2.3.1)."""

LIST = (IN_PHASE, AFTER, LAST, RESPONSEFORMAT)
"""What a list of jobs takes."""

LOOK = (WAIT, WHILE, RESPONSEFORMAT)
"""What a job takes."""


@dataclass(frozen=True, slots=True)
class Controls:
    """What a request says of a job itself; None for what it does not.

    Attributes
    ----------
    run
        Whether to start it.
    rest
        The other parameters, which are the job's.
    """

    run: bool
    run_id: str | None
    destruction: float | None
    duration: int | None
    rest: Pairs


def controls(pairs: Sequence[tuple[str, str]]) -> Controls:
    """Split a request into what it says of the job, and the job's parameters.

    Raises
    ------
    UsageFault
        Raised if it says the former wrongly.
    """
    given = parse_parameters(CONTROLS, pairs).values
    names = {parameter.name.lower() for parameter in CONTROLS}
    rest = tuple((name, value) for name, value in pairs if name.lower() not in names)
    return Controls(
        "PHASE" in given,
        None if (run_id := given.get("RUNID")) is None else clean(run_id),
        given.get("DESTRUCTION"),
        given.get("EXECUTIONDURATION"),
        rest,
    )


def new_job(identifier: str, owner: str | None, asked: Controls, uploads: Mapping[str, str], limits: JobsConfig) -> Job:
    """Return a job as it is created: PENDING."""
    now = time.time()
    return Job(
        id=identifier,
        owner=owner,
        run_id=asked.run_id,
        phase="PENDING",
        created=now,
        queued=None,
        started=None,
        ended=None,
        quote=None,
        destruction=destruction(now + limits.days * _DAY if asked.destruction is None else asked.destruction, limits),
        duration=duration(asked.duration or 0, limits),
        spent=0.0,
        parameters=asked.rest,
        uploads=uploads,
        refused={},
        attempts=0,
        worker=None,
        progress=Progress(),
        error=None,
        results=(),
        manifest=(),
    )


def destruction(asked: float, limits: JobsConfig) -> float:
    """Return when a job will be deleted: as asked, but not later than is allowed (UWS 1.1 section 2.1.5)."""
    return max(0.0, min(asked, time.time() + limits.max_days * _DAY))


def duration(asked: int, limits: JobsConfig) -> int:
    """Return how long a job may execute: as asked, but not longer than is allowed; 0 asks for that."""
    return min(asked or limits.max_seconds, limits.max_seconds)


def more(job: Job, asked: Controls, uploads: Mapping[str, str]) -> dict[str, Any]:
    """Return the attributes of a job that a POST to its parameters changes: those it names have its values alone.

    Of tables that are uploaded only those of the same names are replaced.
    """
    named = {name.lower() for name, _ in asked.rest} - {"upload"}
    kept = tuple((name, value) for name, value in job.parameters if name.lower() not in named)
    tables = {value.partition(",")[0].strip() for name, value in asked.rest if name.lower() == "upload"}
    kept = tuple(
        (name, value)
        for name, value in kept
        if name.lower() != "upload" or value.partition(",")[0].strip() not in tables
    )
    changed: dict[str, Any] = {"parameters": kept + asked.rest, "uploads": {**job.uploads, **uploads}}
    if asked.run_id is not None:
        changed["run_id"] = asked.run_id
    return changed


def job_filter(pairs: Sequence[tuple[str, str]]) -> JobFilter:
    """Read which jobs a list is to have.

    Raises
    ------
    UsageFault
        Raised if a value cannot be read.
    """
    given = parse_parameters(LIST, pairs).values
    return JobFilter(tuple(given.get("PHASE", ())), given.get("AFTER"), given.get("LAST"))


def value_of(parameter: Parameter, pairs: Sequence[tuple[str, str]]) -> Any:
    """Return the value of the one parameter that a request is about.

    Raises
    ------
    UsageFault
        Raised if it is missing, or cannot be read.
    """
    given = parse_parameters((parameter,), pairs).values
    if parameter.name not in given:
        raise UsageFault(f"{parameter.name} is missing. {parameter.description}", parameter=parameter.name)
    return given[parameter.name]
