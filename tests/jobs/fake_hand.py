"""A hand whose batch does what its parameters say: DO=<word>[:<number>], one step each, one result each."""

import logging.config
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from imageserv.core.batch import BatchLimits, Done, Estimate, Outcome, ResultFile
from imageserv.core.errors import LimitFault, UsageFault
from imageserv.core.jobs import hand
from imageserv.vo import logs


class FakeBatch:
    def __init__(
        self,
        service: Any,
        pairs: Sequence[tuple[str, str]],
        uploads: Mapping[str, Path],
        folder: Path,
        limits: BatchLimits,
        admits: Callable[..., None],
    ) -> None:
        self.do = [value for name, value in pairs if name.upper() == "DO"]
        if not self.do:
            raise UsageFault("DO is missing")
        for table, path in uploads.items():
            self.do += [f"write:{table}:{line}" for line in path.read_text().splitlines()]
        self.service = service
        self.admits = admits
        self.folder = folder
        self.steps = self.total = len(self.do)
        self.estimate = Estimate(8 * self.steps, 0.01 * self.steps)

    def run(self, step: int, stopped: Callable[[], bool]) -> Done:
        word, _, number = self.do[step].partition(":")
        tries = self.folder / f"tries-{step}"
        with tries.open("a") as file:
            file.write("x")
        match word:
            case "sleep":
                until = time.monotonic() + float(number)
                while time.monotonic() < until and not stopped():
                    time.sleep(0.01)
            case "hang":  # does not look whether it is to stop
                time.sleep(float(number))
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "once" if tries.stat().st_size == 1:
                os.kill(os.getpid(), signal.SIGSEGV)
            case "usage":
                raise UsageFault(number)
            case "limit":
                raise LimitFault(number)
            case "full":
                raise OSError(28, "No space left on device")
            case "bug":
                raise KeyError(number)
            case "read":
                repository, dataset = number.split("/")
                self.admits(self.service.repository(repository), dataset)
            case _:
                pass
        target = self.folder / "results" / f"{step}.txt"
        target.parent.mkdir(exist_ok=True)
        aside = target.with_name(f".{target.name}.{os.getpid()}")
        aside.write_text(self.do[step])
        aside.replace(target)
        return Done(1, len(self.do[step]), int(word == "failed"))

    def finish(self) -> Outcome:
        manifest = self.folder / "manifest" / "manifest.json"
        manifest.parent.mkdir(exist_ok=True)
        manifest.write_text("[]")
        files = [ResultFile(f"{step}.txt", "text/plain", len(text)) for step, text in enumerate(self.do)]
        return Outcome(tuple(files), (ResultFile("manifest.json", "application/json", 2),))


if __name__ == "__main__":
    logging.config.dictConfig(logs.CONFIG)
    hand.serve(sys.argv[1:], FakeBatch)  # type: ignore[arg-type]
