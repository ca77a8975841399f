"""A process that is a worker."""

import logging.config
import os
import signal
import threading
import time
from pathlib import Path

from imageserv.core.config import load
from imageserv.core.jobs.worker import Worker

from . import hand, logs


def work(configuration: Path, server: int | None = None) -> None:
    """Execute jobs until SIGINT or SIGTERM; this ends the process.

    Parameters
    ----------
    configuration
        The file.
    server
        Process id of the server that started this one: it ends with it, however that died.

    Raises
    ------
    ConfigurationFault
        Raised if it cannot work as configured.
    """
    logging.config.dictConfig(logs.CONFIG)
    if server is not None:
        _end_with(server)
    Worker(load(configuration), (*hand.COMMAND, str(configuration))).run()


def _end_with(server: int) -> None:
    def watch() -> None:
        while os.getppid() == server:
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="server", daemon=True).start()
