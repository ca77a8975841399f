"""Files of SQLite that are taken away or replaced while they are open.

Whoever has such a file open goes on with what nobody else will ever see.
"""

from pathlib import Path

from sqlalchemy.engine import make_url


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
