"""The server: worker processes under a supervisor, so that no worker's death is the service's."""

import gc
import logging
import os
import signal
import socket
import sys
import threading
import time
from functools import partial
from pathlib import Path

from starlette.routing import Router
from uvicorn import Config
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from imageserv.core.config import load
from imageserv.core.errors import ConfigurationFault, ImageServError
from imageserv.core.service import open_service

from . import logs
from .app import create_app
from .keeper import Keeper

_TURN = (
    0.0005  # seconds that a busy thread keeps the others waiting; Python's 5 ms are what a small answer takes tenfold
)
_PATIENCE = 30  # seconds that requests in flight are given when the service is told to stop
_MOST_CONNECTIONS = 1000  # of one worker; a client more gets 503
_SILENCE = 10  # seconds after which a worker that does not answer its supervisor is replaced; importing takes some


def listen(host: str, port: int) -> socket.socket:
    """Bind a socket; port 0 takes a free one.

    Raises
    ------
    ConfigurationFault
        Raised if the address is taken, or none of this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=2048)
    except socket.gaierror as error:
        raise ConfigurationFault(f"cannot listen on {host}: {error.strerror}") from error
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)  # its own strerror repeats the address
        raise ConfigurationFault(f"cannot listen on {host}, port {port}: {reason}") from error
    listener.set_inheritable(True)
    return listener


def address(listener: socket.socket) -> str:
    """Return the URL at which a socket of this machine is reached."""
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = socket.gethostname()
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(configuration: Path, listener: socket.socket, workers: int, *, work: bool) -> None:
    """Serve until SIGINT or SIGTERM, then finish what is in flight.

    Each worker is a process of its own, one too: a worker that dies, of a
    mapped file that somebody truncated, say, is started again.

    Parameters
    ----------
    configuration
        The file that each worker loads; it has been found right.
    listener
        From `listen`; the workers share it.
    workers
        How many.
    work
        Whether to keep a worker for jobs, too.
    """
    config = Config(
        partial(open_app, configuration, os.getpid()),
        factory=True,
        workers=workers,
        log_config=logs.CONFIG,
        access_log=False,  # the application has its own
        server_header=False,
        ws="none",
        proxy_headers=False,  # the application reads them itself
        limit_concurrency=_MOST_CONNECTIONS,
        timeout_graceful_shutdown=_PATIENCE,
        timeout_worker_healthcheck=_SILENCE,
    )
    keeper = Keeper(configuration) if work else None
    if keeper is not None:
        keeper.start()
    try:
        Multiprocess(config, [listener]).run()
    finally:
        if keeper is not None:
            keeper.stop()


def open_app(configuration: Path, supervisor: int) -> Router:
    """Make the application of one worker; one that cannot start ends the service instead of being tried for ever.

    Parameters
    ----------
    supervisor
        Its process id, from itself: it may be gone by now.
    """
    _end_with(supervisor)
    sys.setswitchinterval(_TURN)
    try:
        app = create_app(open_service(load(configuration)))
    except ImageServError as fault:
        logging.getLogger(__name__).error("%s", fault)
        sys.exit(STARTUP_FAILURE)
    # What is there now stays: the collector need not look at it again and again, which takes 50 ms each time.
    gc.collect()
    gc.freeze()
    return app


def _end_with(supervisor: int) -> None:
    """Stop this worker when its supervisor is gone, however that died: an orphan would keep the port."""

    def watch() -> None:
        while os.getppid() == supervisor:
            time.sleep(1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="supervisor", daemon=True).start()
