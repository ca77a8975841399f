"""Where a configuration has its jobs: database, engine, files."""

import os

from imageserv.core.config import Config
from imageserv.core.errors import ConfigurationFault

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


def check_folder(config: Config) -> None:
    """Look whether the folder of jobs is there, or can be made, and can be written to.

    Raises
    ------
    ConfigurationFault
        Raised if not.
    """
    folder = config.jobs.folder
    there = next(path for path in (folder, *folder.absolute().parents) if os.path.exists(path))
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise ConfigurationFault(f"jobs.folder {folder} cannot be written to: name another one")
