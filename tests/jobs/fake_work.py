"""``imageserv work``, with a hand that is fake."""

import sys
import threading
from contextlib import nullcontext
from pathlib import Path
from unittest.mock import patch

from imageserv.core.jobs.files import JobFiles
from imageserv.vo import hand

hand.COMMAND = (sys.executable, str(Path(__file__).with_name("fake_hand.py")))


def stick(self: JobFiles, *_: object) -> None:
    """Sweep for ever, as if the disk took that long."""
    Path(sys.argv[1]).with_name("sweeping").touch()
    threading.Event().wait()


if __name__ == "__main__":
    from imageserv.vo.work import work

    with patch.object(JobFiles, "sweep", stick) if sys.argv[2:] == ["stuck"] else nullcontext():
        work(Path(sys.argv[1]))
