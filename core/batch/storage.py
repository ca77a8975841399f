"""Files that are there as a whole or not at all: written aside, made durable, then renamed."""

import contextlib
import errno
import json
import os
from collections.abc import Generator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

RESERVE = 1 << 25
"""Bytes of a disk that results leave free: a database beside them needs room to note that there is no more."""


def check_room(folder: Path, size: int) -> None:
    """Look whether the disk of a folder has room for so many bytes, and the reserve.

    Raises
    ------
    OSError
        Raised if it has not, as by the system if it were full (ENOSPC).
    """
    disk = os.statvfs(folder)
    if disk.f_bavail * disk.f_frsize < size + RESERVE:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))


@contextlib.contextmanager
def whole(target: Path, aside: Path) -> Generator[BinaryIO, None, None]:
    """Write a file that takes its place when all of it is on the disk; nothing is left of it if writing fails.

    Parameters
    ----------
    target
        The file; its folder exists.
    aside
        A folder on the same disk, where it is written.
    """
    # A name of its own: a process that counts as dead may still write its file.
    part = aside / f"{target.name}.{os.urandom(6).hex()}.part"
    try:
        with open(part, "wb", buffering=1 << 18) as file:
            yield file
            file.flush()
            os.fdatasync(file.fileno())
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)


def settle(*folders: Path) -> None:
    """Make the names in folders durable."""
    for folder in folders:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_json(target: Path, value: object) -> None:
    """Write a JSON file whole."""
    with whole(target, target.parent) as file:
        file.write(json.dumps(value).encode())


def read_json(source: Path) -> Any:
    """Return what a JSON file holds; None if there is none."""
    try:
        return json.loads(source.read_bytes())
    except FileNotFoundError:
        return None


def write_array(target: Path, array: NDArray[Any]) -> None:
    """Write an array whole, as ``.npy``."""
    with whole(target, target.parent) as file:
        np.save(file, array)
