"""Connections to the registry's file: one for each question that is under way."""

import sqlite3
import threading
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from imageserv.core.errors import UnavailableFault

from .schema import connect


class Connections:
    """Connections of one process, opened as they are needed: no question waits for another.

    A writable registry has one: what was written is read before it is
    committed, and one question waits for the other.

    Parameters
    ----------
    path
        The registry's file.
    writable
        Whether it is opened for ingest.

    Raises
    ------
    UnavailableFault
        Raised if the file is not there, or cannot be opened.
    ConfigurationFault
        Raised if the file is no registry, or one of another version.
    """

    def __init__(self, path: Path, *, writable: bool) -> None:
        self._path = path
        self._only = threading.Lock() if writable else None
        # The last one that was used comes first: it has pages of the file in its memory.
        self._idle = deque([connect(path, writable=writable)])
        self._opened = _identity(path)
        self._closed = False

    @contextmanager
    def one(self) -> Generator[sqlite3.Connection, None, None]:
        """Lend a connection for a block; raises what `take` does."""
        connection = self.take()
        try:
            yield connection
        finally:
            self.give(connection)

    def take(self) -> sqlite3.Connection:
        """Lend a connection, which is to be given back.

        Raises
        ------
        sqlite3.Error
            Raised if one is opened, and cannot be.
        UnavailableFault
            Raised if the registry is closed, or gone.
        """
        if self._only is not None:
            self._only.acquire()
        try:
            try:
                return self._idle.pop()
            except IndexError:
                return self._another()
        except BaseException:
            if self._only is not None:
                self._only.release()
            raise

    def give(self, connection: sqlite3.Connection) -> None:
        """Take back a connection that was lent."""
        try:
            self._idle.append(connection)
            if self._closed:
                self.close()
        finally:
            if self._only is not None:
                self._only.release()

    def _another(self) -> sqlite3.Connection:
        if self._closed:
            raise UnavailableFault("the registry is closed") from None
        self.check()
        connection = connect(self._path, writable=False)
        try:
            self.check()  # between two looks, what was opened is what is looked at
        except UnavailableFault:
            connection.close()
            raise
        return connection

    def check(self) -> None:
        """Look whether the file is still the one that was opened; raise `UnavailableFault` if not."""
        try:
            now = _identity(self._path)
        except OSError as error:
            raise UnavailableFault(f"the registry {self._path.name} is gone: {error.strerror}") from error
        if now != self._opened:
            raise UnavailableFault(f"the registry {self._path.name} is another one now: start the service again")

    def close(self) -> None:
        """Close all connections, those that are lent when they come back; what was not committed is undone."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino
