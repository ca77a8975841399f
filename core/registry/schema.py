"""The tables of the embedded registry, and connections to them."""

import sqlite3
from pathlib import Path

from imageserv.core.errors import ConfigurationFault, UnavailableFault

from .rows import COLUMNS

_APPLICATION = 0x49534552  # "ISER": marks the file as ours
_VERSION = 7

_PAGE_BYTES = 8192
"""Of the file: three nodes of the R*Tree fill one, where one of the usual size would hold one."""

_READING_KIB, _WRITING_KIB = 4096, 131_072
"""Of the file's pages, in the memory of one connection: ingest goes from place to place as the images do."""

_LOG_PAGES = 8192
"""Of the write-ahead log, before they are moved to their places: a page that is written again and again moves once."""

# A box has a fourth side: the number of the image's dataset and band, so that the tree keeps them apart. Its length is
# next to nothing, not nothing, for the tree is built by volume.
BAND_SIDE = 0.001

# An image's number is given once (`numbers` has the last), and its row is never changed.
_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS files (
    id INTEGER PRIMARY KEY,
    dataset TEXT NOT NULL,
    path TEXT NOT NULL,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    recipe TEXT NOT NULL,
    status TEXT NOT NULL,
    reason TEXT NOT NULL,
    UNIQUE (dataset, path)
);
CREATE TABLE IF NOT EXISTS layouts (
    file INTEGER PRIMARY KEY REFERENCES files (id),
    layout BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS patterns (
    dataset TEXT PRIMARY KEY,
    pattern BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS images (
    id INTEGER PRIMARY KEY,
    file INTEGER NOT NULL REFERENCES files (id),
    {", ".join(f"{name} {type}" for name, type in COLUMNS.items())},
    UNIQUE (dataset, science_id),
    UNIQUE (dataset, identifier)
);
CREATE TABLE IF NOT EXISTS numbers (
    images INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS images_by_file ON images (file);
CREATE INDEX IF NOT EXISTS images_by_dataset ON images (dataset);
CREATE TABLE IF NOT EXISTS bands (
    id INTEGER PRIMARY KEY,
    dataset TEXT NOT NULL,
    band TEXT,
    UNIQUE (dataset, band)
);
CREATE VIRTUAL TABLE IF NOT EXISTS boxes USING rtree (id, x0, x1, y0, y1, z0, z1, band0, band1);
"""


def connect(path: Path, *, writable: bool) -> sqlite3.Connection:
    """Connect to a registry; a writable one is made if it is not there.

    Raises
    ------
    UnavailableFault
        Raised if it is not there, or cannot be opened.
    ConfigurationFault
        Raised if the file is no registry, or one of another version.
    """
    if not writable and not path.exists():
        raise UnavailableFault(f"there is no registry {path}: run imageserv ingest first")
    if writable:
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={'rwc' if writable else 'ro'}",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            timeout=30,
        )
    except sqlite3.Error as error:
        raise UnavailableFault(f"the registry {path} cannot be opened: {error}") from error
    try:
        connection.execute(f"PRAGMA cache_size = -{_WRITING_KIB if writable else _READING_KIB}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES}")
        if writable and not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
            connection.execute("PRAGMA journal_mode = WAL")  # readers go on while ingest writes
            connection.executescript(
                f"BEGIN IMMEDIATE; {_SCHEMA} INSERT INTO numbers SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM numbers);"
                f" PRAGMA application_id = {_APPLICATION}; PRAGMA user_version = {_VERSION}; COMMIT;"
            )
        marks = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")]
    except sqlite3.OperationalError as error:
        connection.close()
        raise UnavailableFault(f"the registry {path} cannot be opened: {error}") from error
    except sqlite3.DatabaseError as error:
        connection.close()
        raise ConfigurationFault(f"{path} is no registry: {error}") from error
    if marks[0] != _APPLICATION:
        connection.close()
        raise ConfigurationFault(f"{path} is an SQLite file, but no registry of ImageServ")
    if marks[1] != _VERSION:
        connection.close()
        raise ConfigurationFault(
            f"the registry {path} has version {marks[1]}, this ImageServ reads version {_VERSION}:"
            " remove it and run imageserv ingest"
        )
    return connection
