"""The worker that a server keeps alive beside it."""

import logging
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from imageserv.vo.keeper import Keeper


def test_a_worker_that_cannot_be_started_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As when a machine has too many processes for a moment."""
    tries: list[list[str]] = []
    start = subprocess.Popen

    def fail_once(command: list[str], **options: Any) -> Any:
        tries.append(command)
        if len(tries) == 1:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return start([sys.executable, "-c", "import time; time.sleep(600)"], **options)

    monkeypatch.setattr(subprocess, "Popen", fail_once)
    keeper = Keeper(tmp_path / "imageserv.toml")
    with caplog.at_level(logging.ERROR):
        keeper.start()
        deadline = time.monotonic() + 60
        while len(tries) < 2:
            assert time.monotonic() < deadline, "it is not tried again"
            time.sleep(0.02)
        keeper.stop()
    assert "no worker can be started: [Errno 11] Resource temporarily unavailable" in caplog.text
