"""A batch: its steps, and what they leave."""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from imageserv.core.service import Service

from .answering import Stopped
from .finding import Admits, Finder
from .journal import Entry, Journal
from .manifest import RowText, result_file, write_manifest
from .outcome import BatchLimits, Done, Outcome, ResultFile
from .package import Files, Package, Tar
from .parameters import band_columns, read_question
from .plan import Planner
from .storage import read_json, settle, whole, write_json
from .writing import StepWriter

_TAR = "cutouts.tar"
_NOTHING = Done(0, 0, 0)


class Batch:
    """What a job computes, in steps that can be repeated.

    Below its folder a batch writes ``results/`` and ``manifest/``, and in
    ``work/`` what it needs itself, which can be removed when the job has ended. A
    folder that belongs to other parameters, or another table, is begun anew.

    Parameters
    ----------
    service
        What has the images.
    pairs
        The job's parameters as sent, names and values, in order; ``UPLOAD`` among them.
    uploads
        The stored parts of ``UPLOAD``, by the table's name (not by that of the part). They stay as long as the job.
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

    def __init__(
        self,
        service: Service,
        pairs: Sequence[tuple[str, str]],
        uploads: Mapping[str, Path],
        folder: Path,
        limits: BatchLimits,
        admits: Admits,
    ) -> None:
        self._service = service
        self._limits = limits
        self._admits = admits
        self._folder = folder
        self._work = folder / "work"
        self._question = read_question(pairs, band_columns(service))
        self._plan = Planner(service, self._question, limits, folder).plan(uploads)
        self._targets = self._plan.work(self._question, self._work)
        self._journal = Journal(self._work)
        self.steps = self._targets.steps
        self.total = self._plan.targets * self._question.each
        self.estimate = self._plan.estimate

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
        UnavailableFault
            Raised if a registry cannot be read at present.
        OSError
            Raised if the folder cannot be written: no room, say.
        """
        kept = self._journal.read(step)
        if kept is not None:
            return kept.done
        before = self._journal.before(step)
        entry = Entry(total_bytes=before.total_bytes)
        finder = Finder(self._service, self._admits)
        try:
            with self._package(before.end) as package:
                writer = StepWriter(self._question, self.total, self._limits.max_bytes, package, entry, stopped)
                for finding in self._targets.step(step, finder):
                    if stopped():
                        return _NOTHING
                    for _ in () if finding is None else writer.write(*finding):
                        if stopped():
                            return _NOTHING
                if entry.results:
                    package.settle()
                entry.end = package.end
        except Stopped:
            return _NOTHING
        self._journal.write(step, entry, writer.rows)
        return entry.done

    def _package(self, end: int) -> Package:
        if self._question.package == "files":
            return Files(self._folder / "results", self._work)
        return Tar(self._work / _TAR, end, self._plan.started)

    def finish(self) -> Outcome:
        """Write the manifest, and the end of the tar, after all steps; may be repeated.

        Raises
        ------
        OSError
            Raised if the folder cannot be written, or a step was not done.
        """
        path = self._work / "outcome.json"
        kept = read_json(path)
        if kept is None:
            write_json(path, asdict(self._finished()))
            kept = read_json(path)
        return Outcome(*(tuple(ResultFile(**file) for file in kept[name]) for name in ("results", "manifest")))

    def _finished(self) -> Outcome:
        files: list[ResultFile] = []
        packed = self._question.package == "tar"

        def rows() -> Iterator[RowText]:
            for row in self._journal.rows(self.steps, self.total):
                if not packed:
                    files.append(result_file(row))
                yield row

        manifest = write_manifest(self._folder / "manifest", self._work, rows())
        if packed:
            files = [self._packed(manifest), *manifest]
            for file in manifest:
                _copy(self._folder / "manifest" / file.name, self._folder / "results" / file.name, self._work)
        settle(self._folder / "manifest", self._folder / "results")
        return Outcome(tuple(files), manifest)

    def _packed(self, manifest: Sequence[ResultFile]) -> ResultFile:
        """Put the manifest into the tar, and the tar into its place."""
        target = self._folder / "results" / _TAR
        if not target.exists():
            path = self._work / _TAR
            with Tar(path, self._journal.before(self.steps).end, self._plan.started) as tar:
                for file in manifest:
                    with open(self._folder / "manifest" / file.name, "rb") as source:
                        tar.put(file.name, file.size, iter(lambda: source.read(1 << 20), b""))
                tar.close()
            os.replace(path, target)
        return ResultFile(_TAR, "application/x-tar", target.stat().st_size)


def _copy(source: Path, target: Path, aside: Path) -> None:
    with open(source, "rb") as content, whole(target, aside) as file:
        shutil.copyfileobj(content, file)
