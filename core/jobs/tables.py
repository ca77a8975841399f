"""The tables in which jobs are kept, in SQLite or PostgreSQL, and how these are opened."""

import sqlite3
import time

from sqlalchemy import (
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    event,
    insert,
    select,
    text,
)
from sqlalchemy.engine import Connection, Engine, make_url

from imageserv.core.errors import ConfigurationFault

from .sqlitefile import PATIENCE, make_sqlite, sqlite_path

metadata = MetaData()

jobs = Table(
    "imageserv_job",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("owner", Text),
    Column("run_id", Text),
    Column("phase", String(16), nullable=False),
    Column("created", Float(53), nullable=False),
    Column("queued", Float(53)),
    Column("started", Float(53)),
    Column("ended", Float(53)),
    Column("quote", Float(53)),
    Column("destruction", Float(53), nullable=False),
    Column("duration", Integer, nullable=False),
    Column("spent", Float(53), nullable=False),
    Column("parameters", Text, nullable=False),
    Column("uploads", Text, nullable=False),
    Column("refused", Text, nullable=False),
    Column("submitted", Boolean, nullable=False),  # whether the engine knows of it
    Column("attempts", Integer, nullable=False),
    Column("worker", Text),
    Column("progress", Text, nullable=False),
    Column("error", Text),
    Column("outcome", Text),
    Index("imageserv_job_phase", "phase", "queued"),
    Index("imageserv_job_owner", "owner", "created"),
    Index("imageserv_job_destruction", "destruction"),
)

workers = Table(
    "imageserv_worker",
    metadata,
    Column("name", Text, primary_key=True),
    Column("beat", Integer, nullable=False),  # counted up as long as it lives: no two machines need agree on the time
)

totals = Table(
    "imageserv_total",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", Float(53), nullable=False),
)

TOTALS = ("started", "wait_seconds", "run_seconds", "ended_COMPLETED", "ended_ERROR")
"""What is summed up over all jobs that there ever were."""

MADE = "made"
"""When the database was made, seconds since 1970: kept beside these."""


def open_tables(database: str) -> Engine:
    """Open the database, and make what is missing.

    Parameters
    ----------
    database
        URL, ``postgresql://...`` or ``sqlite:///...``; the folder of a SQLite file is made.

    Raises
    ------
    ConfigurationFault
        Raised if it is another URL.
    sqlalchemy.exc.SQLAlchemyError, sqlite3.Error, OSError
        Raised if it cannot be opened.
    """
    url = make_url(database)
    path = sqlite_path(database)
    if path is not None:
        make_sqlite(path)
        engine = create_engine(url, connect_args={"timeout": PATIENCE})
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    elif url.get_backend_name() == "postgresql":
        engine = create_engine(
            url.set(drivername="postgresql+psycopg"),
            connect_args={
                "connect_timeout": PATIENCE,
                "tcp_user_timeout": PATIENCE * 1000,  # a server that vanished is an error, and not silence
                "options": f"-c statement_timeout={PATIENCE * 1000}",
            },
            pool_pre_ping=True,  # a server that was started anew is noticed before a statement fails
        )
    else:
        raise ConfigurationFault("jobs.database must be a URL that begins with postgresql:// or sqlite:///")
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":  # where two that make one table at a time disturb each other
            connection.execute(text("SELECT pg_advisory_xact_lock(4243)"))
        metadata.create_all(connection)
        there = set(connection.execute(select(totals.c.name)).scalars())
        for name, value in (*((name, 0.0) for name in TOTALS), (MADE, time.time())):
            if name not in there:
                connection.execute(insert(totals).values(name=name, value=value))
    return engine


def _begin_sqlite(connection: Connection) -> None:
    # A reader that became a writer midway would be refused, whatever its patience.
    connection.exec_driver_sql("BEGIN" if connection.get_execution_options().get("reads") else "BEGIN IMMEDIATE")


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # SQLAlchemy begins transactions, and not Python's driver
    connection.execute("PRAGMA synchronous=FULL")  # what a client was told must survive the machine
