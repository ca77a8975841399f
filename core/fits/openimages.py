"""The images opened last: kept open, as many as files, memory and disk allow."""

import resource
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from .opened import OpenImage
from .tilecache import TileCache

_DESCRIPTORS = 2
"""Of a mapped file: Python's mmap keeps one of its own."""

_SPARE = 256
"""Descriptors that are left for all else."""

_LEAST = 8


class _Kept(NamedTuple):
    state: object
    image: OpenImage
    files: int
    memory: int
    packed: int


class OpenImages:
    """The images opened last, for all repositories of a process.

    Parameters
    ----------
    most
        How many, at most; fewer where the process may not open so many files.
    memory
        How many bytes they may take, by an estimate of each (`OpenImage.memory`).
    packed_bytes
        How much the unpacked copies of gzipped files among them may take:
        an open file takes room on the disk though its copy is evicted.
    tile_bytes
        How much memory decoded tiles may take.

    Attributes
    ----------
    tiles
        Where the images' decoded tiles are kept.
    """

    def __init__(
        self, *, most: int = 1024, memory: int = 1 << 28, packed_bytes: int = 1 << 32, tile_bytes: int = 0
    ) -> None:
        self.tiles = TileCache(tile_bytes)
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        files = most if soft == resource.RLIM_INFINITY else min(most, (soft - _SPARE) // _DESCRIPTORS)
        self._most = _Totals(max(_LEAST, files), memory, packed_bytes)
        self._now = _Totals(0, 0, 0)
        self._lock = threading.Lock()
        self._images: OrderedDict[object, _Kept] = OrderedDict()

    def get(self, key: object, state: object, make: Callable[[], OpenImage]) -> OpenImage:
        """Return the image kept under a key, or make, keep and return it; those longest unused go.

        Parameters
        ----------
        state
            Of the image's file: an image that was kept in another state is made anew.
        """
        if (kept := self.kept(key, state)) is not None:
            return kept
        image = make()
        files = (image, *image.beside.values())
        packed = sum(file.layout.size for file in files if file.layout.packed)
        with self._lock:
            self._drop(self._images.pop(key, None))
            self._images[key] = new = _Kept(state, image, len(files), sum(file.memory for file in files), packed)
            self._now = self._now.plus(new, 1)
            while len(self._images) > 1 and not self._now.within(self._most):
                self._drop(self._images.popitem(last=False)[1])
        return image

    def kept(self, key: object, state: object) -> OpenImage | None:
        """Return the image kept under a key, None if there is none in that state."""
        with self._lock:
            kept = self._images.get(key)
            if kept is None or kept.state != state:
                return None
            self._images.move_to_end(key)
            return kept.image

    def _drop(self, kept: _Kept | None) -> None:
        if kept is not None:
            self._now = self._now.plus(kept, -1)

    def clear(self) -> None:
        """Let go of all images."""
        with self._lock:
            self._images.clear()
            self._now = _Totals(0, 0, 0)


class _Totals(NamedTuple):
    files: int
    memory: int
    packed: int

    def plus(self, kept: _Kept, sign: int) -> "_Totals":
        return _Totals(
            self.files + sign * kept.files, self.memory + sign * kept.memory, self.packed + sign * kept.packed
        )

    def within(self, most: "_Totals") -> bool:
        return self.files <= most.files and self.memory <= most.memory and self.packed <= most.packed


def allow_files(images: int) -> None:
    """Let this process open the files of so many images, as far as its hard limit goes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _SPARE + _DESCRIPTORS * images
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))
