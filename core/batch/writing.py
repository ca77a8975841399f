"""The results of one step: made, named, written, and noted for the manifest."""

import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

from imageserv.core.answer import FITS
from imageserv.core.dali.parameters import parse_parameters
from imageserv.core.dali.soda import cutout_request
from imageserv.core.errors import ImageServError, LimitFault, UnavailableFault
from imageserv.core.request import CutoutRequest
from imageserv.core.sky.stencil import Interval

from .answering import Answer, answer, refusal
from .finding import Found
from .journal import Entry
from .manifest import RowText, is_ours, manifest_row, row_text
from .names import result_name
from .outcome import ResultFile
from .package import Package
from .parameters import Question
from .targets import Target

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Result:
    """One result: its number, what it was asked for, and what was found."""

    number: int
    target: Target
    interval: tuple[Interval | None, Interval | None]
    found: Found | None = None
    request: CutoutRequest | None = None


class StepWriter:
    """Writes the results of one step.

    Parameters
    ----------
    question
        What the job asks of each of its images.
    total
        How many results the job has.
    most_bytes
        That all of them may take.
    package
        Where they go.
    entry
        What the step has done: it is kept up to date.
    stopped
        Asked while files are read.

    Attributes
    ----------
    rows : list of RowText
        Of the manifest.
    """

    def __init__(
        self,
        question: Question,
        total: int,
        most_bytes: int,
        package: Package,
        entry: Entry,
        stopped: Callable[[], bool],
    ) -> None:
        self._question = question
        self._total = total
        self._most_bytes = most_bytes
        self._package = package
        self._entry = entry
        self._stopped = stopped
        self._own: dict[tuple[str, str], Mapping[str, Any]] = {}
        self._media_type: str = question.given.get("RESPONSEFORMAT", FITS["fits"][0])
        self.rows: list[RowText] = []

    def write(self, target: Target, found: Found | ImageServError) -> Iterator[None]:
        """Write all results of a target, one at a time.

        Raises
        ------
        LimitFault
            Raised if all results take more bytes than they may.
        UsageFault
            Raised if a parameter that the image's dataset adds cannot be read.
        OSError
            Raised if a result cannot be written.
        """
        first = target.number * self._question.each + 1
        for number, interval in enumerate(product(self._question.bands, self._question.times), first):
            if isinstance(found, ImageServError):
                self._refuse(_Result(number, target, interval), found)
            else:
                own = self._own_parameters(found)
                request = cutout_request(self._question.given, own, target.stencil, *interval)
                self._answer(_Result(number, target, interval, found, request), found)
            yield

    def _own_parameters(self, found: Found) -> Mapping[str, Any]:
        key = (found.repository.name, found.record.dataset)
        if key not in self._own:
            self._own[key] = parse_parameters(found.dataset.declaration.parameters, self._question.pairs).values
        return self._own[key]

    def _answer(self, result: _Result, found: Found) -> None:
        try:
            reply = answer(found, result.request, self._media_type, self._question.headers_only, self._stopped)
        except Exception as error:  # a stranger's plugin raises anything: other images are none the worse
            self._refuse(result, error)
            return
        try:
            self._put(result, reply)
        except UnavailableFault as fault:  # the file changed while it was read
            self._refuse(result, fault)

    def _refuse(self, result: _Result, fault: Exception) -> None:
        if is_ours(fault):
            image = result.found and result.found.selection.publisher_did
            _log.error("a result of a job failed: %s", image, exc_info=fault)
        self._entry.failed += 1
        self._put(result, refusal(fault), fault)

    def _put(self, result: _Result, reply: Answer, fault: Exception | None = None) -> None:
        entry = self._entry
        record = None if result.found is None else result.found.record
        if entry.total_bytes + reply.size > self._most_bytes:
            raise LimitFault(
                f"the results take more than {self._most_bytes} bytes: ask for fewer, or for smaller cutouts",
                details={"limit": self._most_bytes},
            )
        name = result_name(result.number, self._total, result.target, record, result.request, reply.ending)
        digest = hashlib.sha256()

        def chunks() -> Iterator[bytes | memoryview]:
            for chunk in reply.chunks:
                digest.update(chunk)
                yield chunk

        self._package.put(name, reply.size, chunks())
        entry.results += 1
        entry.bytes += reply.size
        entry.total_bytes += reply.size
        entry.numbers.append(result.number)
        row = manifest_row(
            result.number,
            result.target,
            result.interval,
            ResultFile(name, reply.media_type, reply.size),
            digest.hexdigest(),
            selection=None if result.found is None else result.found.selection,
            report=reply.report,
            fault=fault,
        )
        forms = row_text(row)
        self.rows.append(forms)
        entry.lengths.append((len(forms[0]), len(forms[1])))
