"""Files of SQLite: how they are made, and that they may be taken away or replaced while they are open.

Whoever has such a file open then goes on with what nobody else will ever see.
"""

import contextlib
import fcntl
import os
import sqlite3
from pathlib import Path

from sqlalchemy.engine import make_url

PATIENCE = 20
"""Seconds that a writer waits for another one."""


def sqlite_path(database: str) -> Path | None:
    """Return the file of a database by its URL; None if it has none."""
    url = make_url(database)
    return Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None


def identity(path: Path | None) -> tuple[int, int] | None:
    """Return what tells a file from others that had, or will have, its name; None if there is none."""
    try:
        status = path.stat() if path is not None else None
    except FileNotFoundError:
        return None
    return (status.st_dev, status.st_ino) if status is not None else None


def make_sqlite(path: Path) -> None:
    """Make a file with a write-ahead log, and its folder, if they are not there.

    One process or thread at a time: SQLite has no patience with others while it changes the kind of a file's log.

    Raises
    ------
    OSError, sqlite3.Error
        Raised if it cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        with contextlib.closing(sqlite3.connect(path, timeout=PATIENCE)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")  # stays with the file
    finally:
        os.close(folder)
