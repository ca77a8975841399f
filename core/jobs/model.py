"""A job: what its row says (UWS 1.1 section 2.1)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from imageserv.core.batch import ResultFile

Phase = Literal["PENDING", "QUEUED", "EXECUTING", "COMPLETED", "ERROR", "ABORTED"]

PHASES: tuple[Phase, ...] = ("PENDING", "QUEUED", "EXECUTING", "COMPLETED", "ERROR", "ABORTED")
"""The phases that jobs here are in. UWS has more: a list of jobs in one of those is empty."""

UNFINISHED: tuple[Phase, ...] = ("PENDING", "QUEUED", "EXECUTING")
"""The phases that change by themselves or by a client."""

OTHER_PHASES = ("UNKNOWN", "HELD", "SUSPENDED", "ARCHIVED")
"""What UWS has beside them."""

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class JobError:
    """Why a job ended in ERROR.

    Attributes
    ----------
    message
        Begins with one of SODA's words (SODA 1.0 section 4.2).
    transient
        Whether the same job may do better another time.
    """

    message: str
    transient: bool


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is.

    Attributes
    ----------
    total, done, failed
        Results that there will be; that there are; of these, those that only say why there is no cutout.
    bytes
        Of the results that there are.
    expected_bytes, expected_seconds
        Of the whole job, as estimated at its start; None before.
    """

    total: int = 0
    done: int = 0
    failed: int = 0
    bytes: int = 0
    expected_bytes: int | None = None
    expected_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job. Times are seconds since 1970 (UTC).

    Attributes
    ----------
    id
        Cannot be guessed: whoever knows that of an anonymous job may do with it what they like.
    owner
        None for a job that nobody in particular created.
    run_id
        The client's own name for it.
    created, queued, started, ended
        When it was created, told to run, taken up first, and at its end; None as long as it was not.
    quote
        When it is likely to end; None if nothing is known.
    destruction
        When it will be deleted with all its files.
    duration
        Seconds for which it may execute.
    spent
        Seconds for which it did.
    parameters
        Names and values, as sent.
    uploads
        Names of files in its folder of uploads, by the table's name.
    refused
        Why its owner may not have images of a dataset, by ``<repository>/<dataset>``.
    attempts
        How often it was taken up since it last got a step further.
    worker
        Who executes it.
    """

    id: str
    owner: str | None
    run_id: str | None
    phase: Phase
    created: float
    queued: float | None
    started: float | None
    ended: float | None
    quote: float | None
    destruction: float
    duration: int
    spent: float
    parameters: Pairs
    uploads: Mapping[str, str]
    refused: Mapping[str, str]
    attempts: int
    worker: str | None
    progress: Progress
    error: JobError | None
    results: tuple[ResultFile, ...]
    manifest: tuple[ResultFile, ...]


@dataclass(frozen=True, slots=True)
class JobLine:
    """A job, as a list of jobs has it."""

    id: str
    owner: str | None
    run_id: str | None
    phase: Phase
    created: float


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs a list has: those that satisfy all that is given (UWS 1.1 section 2.2.2.1).

    Attributes
    ----------
    phases
        Any of them; empty for all.
    after
        Created later than this, seconds since 1970.
    last
        So many of them, the newest.
    """

    phases: tuple[str, ...] = ()
    after: float | None = None
    last: int | None = None
