"""Building the demo: every installed dataset's frames, the configuration that serves them, their registry."""

import json
import os
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from .config import Config, load
from .demo import Demo, DemoFile
from .errors import ConfigurationFault
from .manager import demos
from .repository import Repository

_MARK = "# Written by imageserv demo, anew at each start."
"""The first line of the demo's configuration."""

Progress = Callable[[int, int, str], None]
"""Called after each step: how many are done, how many there are, what it was."""


def build(folder: Path, base_url: str, progress: Progress) -> Config:
    """Build the demo's repositories, or complete those that are there.

    Parameters
    ----------
    folder
        Holds the files, the registries and the configuration, ``imageserv.toml``.
    base_url
        Where the demo will be served.

    Returns
    -------
    Config
        Ready to be served.

    Raises
    ------
    ConfigurationFault
        Raised if the folder has a configuration that is not the demo's.
    OSError
        Raised if the folder cannot be written.
    """
    parts = demos()
    folder.mkdir(parents=True, exist_ok=True)
    configuration = folder / "imageserv.toml"
    if configuration.exists() and not configuration.read_text("utf-8", "replace").startswith(_MARK):
        raise ConfigurationFault(f"{configuration} is not the demo's: choose another folder with --dir")
    files = [(folder / demo.repository / file.path, file) for _, demo in parts for file in demo.files]
    missing = [(path, file) for path, file in files if not path.exists()]
    if missing:
        with ProcessPoolExecutor(min(len(missing), os.cpu_count() or 1)) as pool:
            jobs = {pool.submit(_write, path, file): path for path, file in missing}
            for done, job in enumerate(as_completed(jobs), 1):
                job.result()
                progress(done, len(jobs), jobs[job].name)
    configuration.write_text(_configuration(parts, base_url), encoding="utf-8")
    config = load(configuration)
    for part in config.repositories.values():
        repository = Repository(part, config, writable=True)
        try:
            repository.ingest(None, lambda done, total, path: None)
        finally:
            repository.close()
    return config


def _write(path: Path, file: DemoFile) -> None:
    """Write one file aside and put it in place when it is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        file.write(part)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _configuration(parts: list[tuple[str, Demo]], base_url: str) -> str:
    """Write the configuration; the repository of the most datasets comes first, and is the default."""
    count = Counter(demo.repository for _, demo in parts)
    names = sorted(count, key=lambda name: (-count[name], name))
    lines = [_MARK, f"base_url = {_value(base_url)}", 'authority = "demo.imageserv"', ""]
    for name in names:
        lines += [f"[repositories.{name}]", f"root = {_value(name)}", f"default = {_value(name == names[0])}", ""]
        for plugin, demo in parts:
            if demo.repository == name:
                lines += [f"[repositories.{name}.datasets.{plugin}]", f"plugin = {_value(plugin)}"]
                lines += [f"{key} = {_value(value)}" for key, value in demo.options.items()] + [""]
    return "\n".join(lines)


def _value(value: object) -> str:
    """Write a string, number, boolean or list: what JSON and TOML write alike."""
    if isinstance(value, Mapping):
        raise TypeError("a demo's options are plain values")
    return json.dumps(value)
