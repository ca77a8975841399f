"""The files of a repository: found below its root, checked for change, unpacked once if they are gzipped."""

import contextlib
import fcntl
import gzip
import hashlib
import mmap
import os
import stat
import threading
import time
import zlib
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imageserv.core.errors import FitsFault, UnavailableFault
from imageserv.core.record import FileStamp

_STALE_SECONDS = 3600
"""A half-unpacked file as old as this belongs to a process that died."""

_GRACE_SECONDS = 10.0
"""A file used so lately is not evicted: a request may be about to open it."""

_LOCKS = 64
"""How many files can be unpacked at once by one process."""

_STRETCH = 1 << 17
"""Bytes that Linux reads from a disk at once, where nothing else is configured."""

_MOST_LOOKS = 64
"""How many stretches are asked for at the most."""


class FileStore:
    """The files below one root.

    Parameters
    ----------
    root
        The repository's folder. What lies outside of it, by links too, is refused.
    cache
        Where gzipped files are kept unpacked.
    """

    def __init__(self, root: Path, cache: "UnpackedCache") -> None:
        self.root = root
        self._root = os.fspath(root)
        self._inside = os.path.join(root.resolve(), "")
        self._cache = cache

    def resolve(self, path: str) -> Path:
        """Return the real path of a file named below the root.

        Raises
        ------
        FitsFault
            Raised if it lies outside the root, or is no plain file.
        OSError
            Raised if it is not there.
        """
        return Path(self._found(path)[0])

    def stamp(self, path: str) -> FileStamp:
        """Return size and modification time of a file as it is now. Raises what `resolve` raises."""
        _, status = self._found(path)
        return FileStamp(path, status.st_size, status.st_mtime_ns)

    def _found(self, path: str) -> tuple[str, os.stat_result]:
        real = os.path.realpath(os.path.join(self._root, path), strict=True)
        if not f"{real}/".startswith(self._inside):
            raise FitsFault("a link out of the repository's root")
        status = os.stat(real)
        if not stat.S_ISREG(status.st_mode):
            raise FitsFault("not a plain file")
        return real, status

    def state(self, path: str) -> tuple[int, int, int, int]:
        """Return what a path leads to now: device, file number, size, modification time (ns).

        Where that is goes unchecked: what has the state that it had when it was `resolve`d is the same file.

        Raises
        ------
        OSError
            Raised if it is not there.
        """
        status = os.stat(f"{self._root}/{path}")
        return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns

    def plain(self, stamp: FileStamp, *, packed: bool) -> Path:
        """Return where the file's unpacked bytes are: the file itself, or a copy in the cache.

        Raises
        ------
        FitsFault
            Raised if it cannot be unpacked.
        OSError
            Raised if the file is gone, or there is no room to unpack it.
        """
        real = self.resolve(stamp.path)
        return self._cache.unpacked(real, stamp) if packed else real

    def is_packed(self, path: str) -> bool:
        """Tell whether a file is gzipped as a whole. Raises what `resolve` raises."""
        with open(self.resolve(path), "rb") as file:
            return file.read(2) == b"\x1f\x8b"


class UnpackedCache:
    """A bounded folder of unpacked files, shared by threads, processes and repositories.

    Parameters
    ----------
    folder
        Made when it is first needed.
    max_bytes
        When the files take more than this, those longest unused go, except those in use this very moment.
    max_file_bytes
        A file that unpacks to more is refused.
    """

    def __init__(self, folder: Path, max_bytes: int, max_file_bytes: int) -> None:
        self.folder = folder
        self.max_bytes = max_bytes
        self.max_file_bytes = max_file_bytes
        self._evicting = threading.Lock()
        self._unpacking = [threading.Lock() for _ in range(_LOCKS)]

    def unpacked(self, source: Path, stamp: FileStamp) -> Path:
        """Return a file with the unpacked bytes of `source`, made if it is not there yet.

        The name of the copy depends on the path, size and modification time of
        the source: a changed file never meets an old copy.
        """
        name = hashlib.sha256(f"{source}\n{stamp.size}\n{stamp.mtime_ns}".encode()).hexdigest()[:32]
        target = self.folder / f"{name}.fits"
        # One thread at a time unpacks a file. (Two processes may both do it: the last rename wins, both are whole.)
        with self._unpacking[int(name, 16) % _LOCKS]:
            try:
                os.utime(target)  # the time of last use, by which files are evicted
            except FileNotFoundError:
                self._unpack(source, stamp, target)
                self._evict()
        return target

    def _unpack(self, source: Path, stamp: FileStamp, target: Path) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        part = target.with_suffix(f".{os.getpid()}-{threading.get_ident()}.part")
        written = 0
        try:
            with gzip.open(source) as packed, open(part, "wb") as plain:
                while chunk := packed.read(1 << 20):
                    written += len(chunk)
                    if written > self.max_file_bytes:
                        raise FitsFault(f"unpacks to more than {self.max_file_bytes} bytes")
                    plain.write(chunk)
                plain.flush()
                os.fsync(plain.fileno())  # else a power failure may leave a copy that is whole in name alone
            status = source.stat()
            if (status.st_size, status.st_mtime_ns) != (stamp.size, stamp.mtime_ns):
                raise UnavailableFault(f"{stamp.path} is being changed")
            os.replace(part, target)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise FitsFault(f"damaged gzip file: {error}") from error
        finally:
            part.unlink(missing_ok=True)

    def _evict(self) -> None:
        with self._evicting:
            now = time.time()
            entries: list[tuple[float, int, str]] = []
            with os.scandir(self.folder) as scan:
                for entry in scan:
                    with contextlib.suppress(FileNotFoundError):  # another process evicts, too
                        status = entry.stat()
                        if entry.name.endswith(".part"):
                            if now - status.st_mtime > _STALE_SECONDS:
                                os.unlink(entry.path)
                        elif entry.name.endswith(".fits"):
                            entries.append((status.st_mtime, status.st_size, entry.path))
            total = sum(size for _, size, _ in entries)
            for used, size, path in sorted(entries):
                if total <= self.max_bytes or now - used < _GRACE_SECONDS:
                    break
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)
                total -= size


class MappedFile:
    """A file mapped into memory, read-only.

    Touching a page of a mapping whose file was cut short in the meantime kills
    the process (SIGBUS). So the file's state is asked for before every cutout
    (`imageserv.core.repository.Repository.open`); in what is left of that race
    the server's supervisor starts the worker anew.
    """

    __slots__ = ("_address", "_fd", "buffer", "path", "size", "status")

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.status = os.fstat(self._fd)
        self.size = self.status.st_size
        if not self.size:
            raise UnavailableFault("the image's file is empty")
        self.buffer = mmap.mmap(self._fd, self.size, access=mmap.ACCESS_READ)
        self._address = _address(np.frombuffer(self.buffer, np.uint8))

    def __del__(self) -> None:
        """Close the file."""
        if hasattr(self, "_fd"):
            os.close(self._fd)

    @property
    def identity(self) -> tuple[int, int, int, int]:
        """What no other file has, nor this one once it was changed: device, file number, size, time of change (ns)."""
        status = self.status
        return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns

    def in_memory(self, pixels: NDArray[Any]) -> bool:
        """Tell whether reading pixels waits for no disk: all are in memory, or none is of this file.

        What is read from a disk comes in stretches, so a byte in each tells of all. Asked of the system without
        reading (RWF_NOWAIT); where that is not to be had, the answer is no.
        """
        start = last = _address(pixels) - self._address
        if not 0 <= start < self.size:
            return True
        for length, step in zip(pixels.shape, pixels.strides, strict=True):
            last += (length - 1) * step
        step = max(_STRETCH, pixels.strides[0]) if pixels.ndim > 1 else _STRETCH
        if last - start > _MOST_LOOKS * step:
            return False
        byte = [bytearray(1)]
        try:
            for at in range(start, last, step):
                os.preadv(self._fd, byte, at, os.RWF_NOWAIT)
            os.preadv(self._fd, byte, last, os.RWF_NOWAIT)
        except OSError:  # BlockingIOError, or a file system that cannot tell
            return False
        return True


def _address(array: NDArray[Any]) -> int:
    return int(array.__array_interface__["data"][0])


@contextlib.contextmanager
def exclusive(path: Path) -> Generator[bool, None, None]:
    """Hold a lock file; yields False if another process holds it."""
    with open(path, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
