"""The processes that compute, as a worker sees them."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any

_START = 120.0  # seconds in which a process must have started
_GRACE = 1.0  # seconds in which one that is told to stop must have
_LOOK = 0.05  # seconds between looks whether it is to stop


class HandLost(Exception):
    """The process ended instead of answering; the message says how.

    Attributes
    ----------
    killed
        Whether something else ended it: another one may well live.
    """

    def __init__(self, how: str, *, killed: bool = False) -> None:
        super().__init__(how)
        self.killed = killed


class Stopped(Exception):
    """The process was stopped before it answered."""


class Hand:
    """A process that computes, started when it is needed and again when it has ended.

    Parameters
    ----------
    command
        What to run; it gets two arguments more: see `imageserv.core.jobs.hand.serve`.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None
        self._line: Connection | None = None
        self._ready = False

    def launch(self) -> None:
        """Begin to start a process, if there is none."""
        if self._process is not None and self._process.poll() is None:
            return
        self.kill()
        self._ready = False
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [*self._command, str(theirs.fileno()), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
            )
        self._line = Connection(ours.detach())

    def start(self) -> None:
        """Have a process that waits for a request.

        Raises
        ------
        HandLost
            Raised if it cannot be had.
        """
        self.launch()
        line = self._line  # whoever kills it meanwhile takes that away
        if self._ready:
            return
        try:
            if line is not None and line.poll(_START):
                line.recv()
                self._ready = True
                return
        except (EOFError, OSError):
            pass
        raise self._end()

    def ask(self, request: tuple[Any, ...], stop: Callable[[], bool]) -> Any:
        """Send a request, and return the answer.

        Parameters
        ----------
        stop
            Asked while waiting. Once it is true the process is told to stop, given a second, and killed.

        Raises
        ------
        HandLost
            Raised if the process has ended.
        Stopped
            Raised if it was to stop.
        """
        line = self._line
        if line is None:
            raise HandLost("it was not started")
        try:
            line.send(request)
            while not line.poll(_LOOK):
                if stop():
                    line.send(("stop",))
                    line.poll(_GRACE)
                    raise Stopped
            return line.recv()
        except (EOFError, OSError):
            raise self._end() from None
        except Stopped:
            self.kill()
            raise

    def kill(self) -> None:
        """End the process, now."""
        if self._process is not None:
            self._process.kill()
            self._end()

    def _end(self) -> HandLost:
        """Let go of a process that has ended, or is to, and say how it did."""
        process, self._process = self._process, None
        if self._line is not None:
            self._line.close()
            self._line = None
        if process is None:
            return HandLost("it was killed", killed=True)
        deadline = time.monotonic() + _GRACE
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        if process.poll() is None:
            process.kill()  # if it hangs in the kernel even this must wait, but nobody waits for it
        status = process.poll()
        if status is not None and status < 0:
            return HandLost(f"ended by {_signal(-status)}", killed=True)
        return HandLost(f"ended with status {status}")


def _signal(number: int) -> str:
    try:
        return f"signal {number} ({signal.Signals(number).name})"
    except ValueError:
        return f"signal {number}"
