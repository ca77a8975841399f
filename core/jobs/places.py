"""Where a configuration has its jobs: database, engine, files."""

from imageserv.core.config import Config

from .files import JobFiles
from .store import JobStore


def store_of(config: Config) -> JobStore:
    """Return where jobs are kept."""
    return JobStore(config.jobs.database or f"sqlite:///{config.jobs.folder / 'jobs.sqlite'}")


def engine_database(config: Config) -> str:
    """Return the URL of the engine's database. In SQLite it is a file of its own: each has one writer at a time."""
    return config.jobs.database or f"sqlite:///{config.jobs.folder / 'engine.sqlite'}"


def files_of(config: Config) -> JobFiles:
    """Return where the files of jobs are."""
    return JobFiles(config.jobs.folder / "files")
