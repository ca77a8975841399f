"""Where results go: to files of their own, or to the end of one tar."""

import os
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol, Self

from .storage import check_room, settle, whole

Chunks = Iterable[bytes | memoryview]

FOLDER = "cutouts"
"""The folder that a tar makes."""

_BLOCK = 512
_MOST_OCTAL = 8**11  # the size that a plain header has no room for


class Package(Protocol):
    """Takes the results of one step.

    Attributes
    ----------
    end
        How long the package is.
    """

    end: int

    def __enter__(self) -> Self:
        """Begin."""
        ...

    def __exit__(self, *_: object) -> None:
        """Let go."""
        ...

    def put(self, name: str, size: int, chunks: Chunks) -> None:
        """Take a result of so many bytes; if its chunks raise, nothing is left of it."""
        ...

    def settle(self) -> None:
        """Make durable what was taken."""
        ...


class Files:
    """Each result is a file.

    Parameters
    ----------
    folder
        Where they go.
    aside
        Where they are written.
    """

    end = 0

    def __init__(self, folder: Path, aside: Path) -> None:
        self._folder = folder
        self._aside = aside

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let go."""

    def put(self, name: str, size: int, chunks: Chunks) -> None:
        """Write a file, whole or not at all."""
        check_room(self._folder, size)
        with whole(self._folder / name, self._aside) as file:
            file.writelines(chunks)

    def settle(self) -> None:
        """Make the files' names durable."""
        settle(self._folder)


class Tar:
    """Each result is a member of an uncompressed tar, which grows.

    A step writes from where the last one ended, over whatever an attempt that
    was not finished has left there. So steps can be repeated, and two processes that take each
    other for dead write the same bytes to the same places.

    Parameters
    ----------
    path
        The tar; made if it is not there.
    start
        Where its last whole step ended.
    time
        Of all members, seconds.
    """

    def __init__(self, path: Path, start: int, time: int) -> None:
        self._path = path
        self._time = time
        template = tarfile.TarInfo()
        template.mtime = time
        self._template = template.tobuf(tarfile.GNU_FORMAT)
        self.end = start

    def __enter__(self) -> Self:
        """Open the tar."""
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o644)
        self._file = os.fdopen(descriptor, "wb", buffering=1 << 20)
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self._file.close()

    def put(self, name: str, size: int, chunks: Chunks) -> None:
        """Append a member."""
        check_room(self._path.parent, size)
        if self._file.tell() != self.end:  # at the start, and behind one that failed
            self._file.seek(self.end)
        self._file.write(self._header(f"{FOLDER}/{name}", size))
        self._file.writelines(chunks)
        self._file.write(bytes(-size % _BLOCK))
        self.end += _BLOCK + size + -size % _BLOCK

    def _header(self, name: str, size: int) -> bytes:
        """Write the header of a member, as tarfile does, which for each of them takes as long as a cutout.

        Name, size, and the sum of all bytes, its own being blanks (IEEE 1003.1, pax: ustar).
        """
        if size >= _MOST_OCTAL:
            member = tarfile.TarInfo(name)
            member.size, member.mtime = size, self._time
            return member.tobuf(tarfile.GNU_FORMAT)
        header = bytearray(self._template)
        header[: len(name)] = name.encode("ascii")
        header[124:136] = b"%011o\0" % size
        header[148:156] = b" " * 8
        header[148:156] = b"%06o\0 " % sum(header)
        return bytes(header)

    def settle(self) -> None:
        """Put all members on the disk."""
        self._file.flush()
        os.fdatasync(self._file.fileno())

    def close(self) -> None:
        """Write the end of the archive (POSIX: two empty blocks), and cut off what is behind it."""
        self._file.seek(self.end)
        self._file.write(bytes(2 * _BLOCK))
        self.settle()
        os.ftruncate(self._file.fileno(), self.end + 2 * _BLOCK)
