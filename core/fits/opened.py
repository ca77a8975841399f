"""An image opened for cutting: its file mapped, its header templates and WCS made once, kept for the next request."""

import resource
import threading
from collections import OrderedDict
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imageserv.core.config import Limits
from imageserv.core.errors import UnavailableFault, UnsupportedFault
from imageserv.core.record import ImageRecord
from imageserv.core.sky.wcs import SkyWcs

from .files import MappedFile
from .headers import PlaneHeader, Ranges
from .layout import Hdu, Layout
from .tiles import TileReader


class OpenImage:
    """One image of the registry, ready to be cut.

    Parameters
    ----------
    record, layout
        What the registry knows of it.
    path
        Its file, unpacked.
    limits
        Those that a cutout must keep.
    """

    def __init__(self, record: ImageRecord, layout: Layout, path: Path, limits: Limits) -> None:
        self.record = record
        self.layout = layout
        self.limits = limits
        self._file = MappedFile(path)
        if self._file.size != layout.size:
            raise UnavailableFault(f"{record.file.path} has {self._file.size} bytes, not {layout.size}: it has changed")
        self._headers: dict[tuple[int, frozenset[str]], PlaneHeader] = {}

    @cached_property
    def wcs(self) -> SkyWcs:
        """The celestial WCS of the science plane.

        Raises
        ------
        UnsupportedFault
            Raised if it has none.
        """
        try:
            return SkyWcs(self.layout.hdus[self.record.planes[0].hdu].parsed())
        except UnsupportedFault as fault:
            raise UnsupportedFault(f"this image cannot be cut by position: {fault.message}") from fault

    @cached_property
    def _tiles(self) -> TileReader:
        return TileReader(self._file.path, self.limits.max_tile_pixels)

    def header(self, hdu: Hdu, drop: frozenset[str]) -> PlaneHeader:
        """Return the header of a plane as a template, without the keywords in `drop`."""
        key = (hdu.index, drop)
        header = self._headers.get(key)
        if header is None:
            header = self._headers[key] = PlaneHeader(hdu, drop)
        return header

    def pixels(self, hdu: Hdu, ranges: Ranges, dtype: np.dtype[Any]) -> NDArray[Any]:
        """Return a section of a plane, big-endian as stored: a view of the mapped file unless it is compressed."""
        section = tuple(slice(start, stop) for start, stop in reversed(ranges))
        self._file.check()
        if hdu.kind == "compressed":
            return self._tiles.read(hdu, section)
        shape = tuple(reversed(hdu.shape))
        plane: NDArray[Any] = np.ndarray(shape, dtype, buffer=self._file.buffer, offset=hdu.data_offset)
        return plane[section]

    def stored(self, hdu: Hdu) -> memoryview:
        """Return the data of an HDU as stored, with their padding."""
        self._file.check()
        return memoryview(self._file.buffer)[hdu.data_offset : min(hdu.end, self._file.size)]


class OpenImages:
    """The images opened last, at most so many that the process keeps file descriptors for other uses."""

    def __init__(self, most: int = 1024) -> None:
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        # A mapped image holds two descriptors (Python's mmap keeps one of its own), a compressed one a third.
        self._most = max(8, min(most, (soft - 256) // 4)) if soft != resource.RLIM_INFINITY else most
        self._lock = threading.Lock()
        self._images: OrderedDict[object, OpenImage] = OrderedDict()

    def get(self, key: object, make: Callable[[], OpenImage]) -> OpenImage:
        """Return the image kept under a key, or make, keep and return it; those longest unused go."""
        with self._lock:
            image = self._images.get(key)
            if image is not None:
                self._images.move_to_end(key)
                return image
        image = make()
        with self._lock:
            self._images[key] = image
            self._images.move_to_end(key)
            while len(self._images) > self._most:
                self._images.popitem(last=False)
        return image

    def clear(self) -> None:
        """Let go of all images."""
        with self._lock:
            self._images.clear()
