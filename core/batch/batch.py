"""A batch: its steps, and what they leave."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from imageserv.core.repository import Repository
from imageserv.core.service import Service

from .outcome import BatchLimits, Done, Estimate, Outcome

Admits = Callable[[Repository, str], None]
"""Raises AuthenticationFault or AuthorizationFault if the job's owner may not have images of a dataset, by its name."""


class Batch:
    """What a job computes, in steps that can be repeated.

    Below its folder a batch writes ``results/`` and ``manifest/``, and what it
    needs itself: ``plan/`` (made once, with the first `Batch` of the folder; so it holds
    for the same parameters only) and ``done/``.

    Parameters
    ----------
    service
        What has the images.
    pairs
        The job's parameters as sent, names and values, in order; ``UPLOAD`` among them.
    uploads
        The stored parts of ``UPLOAD``, by the table's name (not by that of the part).
    folder
        Of the job; it exists.
    limits
        What the job may do.
    admits
        Asked of each dataset before an image of it is read. What it raises is the answer to the row.

    Attributes
    ----------
    steps : int
        How many steps there are; each takes about a second or less.
    total : int
        How many results there will be: the rows of the manifest.
    estimate : Estimate
        What all steps are expected to take.

    Raises
    ------
    UsageFault
        Raised if the parameters do not say one thing, or the table cannot be read: the job cannot be done.
    LimitFault
        Raised if it is more than the limits allow.
    OSError
        Raised if the folder cannot be written.
    """

    steps: int
    total: int
    estimate: Estimate

    def __init__(
        self,
        service: Service,
        pairs: Sequence[tuple[str, str]],
        uploads: Mapping[str, Path],
        folder: Path,
        limits: BatchLimits,
        admits: Admits,
    ) -> None:
        raise NotImplementedError

    def run(self, step: int, stopped: Callable[[], bool]) -> Done:
        """Do one step, or if it is done already, tell of it.

        Steps are run in order. A step is done when it returns and not when it raises; what it had
        begun is then redone by the next attempt, to the same files.

        Parameters
        ----------
        step
            Counted from 0.
        stopped
            Asked often. Once it is true, the step returns within a second,
            and is not done, unless it was at its end: what it returns does not matter.

        Raises
        ------
        LimitFault
            Raised if the results take more bytes than are allowed: the job cannot be done.
        UsageFault
            Raised if a parameter that an image's dataset adds cannot be read: the job cannot be done.
        OSError
            Raised if the folder cannot be written: no room, say.
        """
        raise NotImplementedError

    def finish(self) -> Outcome:
        """Write the manifest, and the end of the tar, after all steps; may be repeated.

        Raises
        ------
        OSError
            Raised if the folder cannot be written.
        """
        raise NotImplementedError
