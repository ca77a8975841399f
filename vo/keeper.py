"""A worker that a server keeps alive beside it."""

import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

_PAUSE = 1.0  # seconds before a worker that ended is started again
_PATIENCE = 5.0  # seconds for a worker to end when it is told to

_log = logging.getLogger(__name__)


class Keeper:
    """Keeps a worker alive: starts it, and again whenever it ends.

    Parameters
    ----------
    configuration
        The worker's.
    """

    def __init__(self, configuration: Path) -> None:
        self._command = [sys.executable, "-m", "imageserv.vo.cli", "work", "--config", str(configuration)]
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="worker", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End the worker, and wait until it has."""
        self._stopped.set()
        self._thread.join(2 * _PATIENCE)

    def _keep(self) -> None:
        while not self._stopped.is_set():
            # In a session of its own: an interrupt at the terminal is the server's, who passes it on.
            try:
                process = subprocess.Popen([*self._command, "--server", str(os.getpid())], start_new_session=True)
            except OSError as error:  # of too many processes, say: it may go better later
                _log.error("no worker can be started: %s", error)
                self._stopped.wait(_PAUSE)
                continue
            while process.poll() is None and not self._stopped.wait(0.1):
                pass
            if self._stopped.is_set():
                _end(process)
            else:
                _log.error("the worker ended with status %s", process.returncode)
                self._stopped.wait(_PAUSE)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
