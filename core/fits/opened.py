"""An image opened for cutting: its file mapped, its header templates and WCS made once, kept for the next request."""

from collections.abc import Mapping, Sequence, Set
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imageserv.core.config import Limits
from imageserv.core.errors import UnavailableFault, UnsupportedFault
from imageserv.core.record import ImageRecord
from imageserv.core.request import Detail
from imageserv.core.sky.polarization import PolarizationAxis, polarization_axis
from imageserv.core.sky.spectral import SpectralAxis, spectral_axis
from imageserv.core.sky.wcs import SkyWcs

from .cards import padded
from .files import MappedFile
from .headers import Ranges
from .layout import Hdu, Layout, stored_type
from .output import Data
from .plan import Plan, make_plan
from .tilecache import TileCache
from .tiles import TileReader
from .wcscards import wcs_cards

_FEW_BYTES = 1 << 20
"""Copied in a tenth of a millisecond or two."""


_OVERHEAD = 30_000
"""Bytes of an open image beside its headers, by measurement."""


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
    cache
        Where decoded tiles are kept, if they are.
    beside
        The other files that hold planes of it, by their paths below the root: each opened as an image of those planes.

    Attributes
    ----------
    compressed
        Whether planes are tile-compressed.
    tiles
        What reads those.
    memory
        About how many bytes it takes once it was cut: the headers of its planes, and the WCS. Those of its other files
        take their own.
    """

    def __init__(
        self,
        record: ImageRecord,
        layout: Layout,
        path: Path,
        limits: Limits,
        cache: TileCache | None = None,
        beside: "Mapping[str, OpenImage] | None" = None,
    ) -> None:
        self.record = record
        self.layout = layout
        self.limits = limits
        self.beside = beside or {}
        self._file = MappedFile(path)
        status = self._file.status
        if status.st_size != layout.size or (not layout.packed and status.st_mtime_ns != record.file.mtime_ns):
            raise UnavailableFault(f"{record.file.path} is being changed")
        own = any(layout.hdus[plane.hdu].kind == "compressed" for plane in record.planes if plane.file is None)
        self.compressed: bool = own or any(other.compressed for other in self.beside.values())
        self.tiles = TileReader(self._file, cache or TileCache(0), limits.max_tile_pixels)
        written = {0, *(plane.hdu for plane in record.planes if plane.file is None)}
        self.memory = _OVERHEAD + sum(padded(layout.hdus[index].length) for index in written)
        self._plans: dict[tuple[Detail, frozenset[str], bool], Plan] = {}
        self._arrays: dict[int, NDArray[Any]] = {}

    @property
    def science(self) -> Hdu:
        """The science plane."""
        return self.layout.hdus[self.record.planes[0].hdu]

    @cached_property
    def wcs(self) -> SkyWcs:
        """The celestial WCS of the science plane.

        Raises
        ------
        UnsupportedFault
            Raised if it has none.
        """
        try:
            wcs = SkyWcs(partial(wcs_cards, self.science), self.science.tangent_plane)
            if wcs.axes[1] >= len(self.science.shape):
                raise UnsupportedFault("its WCS has more axes than its pixels")
        except UnsupportedFault as fault:
            raise UnsupportedFault(f"this image cannot be cut by position: {fault.message}") from fault
        return wcs

    @cached_property
    def sky_axes(self) -> tuple[int, int]:
        """The FITS axes, counted from 0, that x and y run along: the celestial ones, the first two without a WCS."""
        try:
            return self.wcs.axes
        except UnsupportedFault:
            return 0, 1

    @cached_property
    def spectral(self) -> SpectralAxis | None:
        """The spectral axis of the science plane, if it has one that can be used."""
        try:
            return spectral_axis(wcs_cards(self.science).values)
        except UnsupportedFault:
            return None

    @cached_property
    def polarization(self) -> PolarizationAxis | None:
        """The polarization axis of the science plane, if it has one that can be used."""
        try:
            return polarization_axis(wcs_cards(self.science).values)
        except UnsupportedFault:
            return None

    def plan(self, detail: Detail, drop: Set[str], *, as_tiles: bool = False) -> Plan:
        """Return the plan of cutouts with that detail, without the keywords in `drop`: made once."""
        key = (detail, frozenset(drop), as_tiles)
        plan = self._plans.get(key)
        if plan is None:
            layouts = {path: other.layout for path, other in self.beside.items()}
            plan = make_plan(self.record, self.layout, detail, drop, layouts, as_tiles=as_tiles)
            self._plans[key] = plan
        return plan

    def holder(self, path: str | None) -> "OpenImage":
        """Return the file that holds a plane: this one, or one beside it."""
        return self if path is None else self.beside[path]

    def pixels(self, hdu: Hdu, ranges: Ranges) -> NDArray[Any]:
        """Return a section of a plane, big-endian as stored: a view of the mapped file unless it is compressed."""
        section = tuple([slice(start, stop) for start, stop in reversed(ranges)])
        if hdu.kind != "compressed":
            return self._array(hdu)[section]
        pixels = self.tiles.read(hdu, section)
        if pixels.shape != tuple([stop - start for start, stop in reversed(ranges)]):
            raise UnavailableFault("the image's file does not hold the pixels that the registry says: ingest it again")
        return pixels

    def _array(self, hdu: Hdu) -> NDArray[Any]:
        """Return a plane that is not compressed, as a view of the mapped file."""
        array = self._arrays.get(hdu.index)
        if array is None:
            shape = tuple(reversed(hdu.shape))
            array = np.ndarray(shape, stored_type(hdu.bitpix), buffer=self._file.buffer, offset=hdu.data_offset)
            self._arrays[hdu.index] = array
        return array

    def at_hand(self, data: Sequence[Data]) -> bool:
        """Tell whether a cutout's data, of planes that are not compressed, are written at once: few, all in memory."""
        few = [part for part in data if part.nbytes]
        if sum([part.nbytes for part in few]) > _FEW_BYTES:
            return False
        for part in few:
            if not (isinstance(part, np.ndarray) and self._file.in_memory(part)):
                return False
        return True

    def stored(self, hdu: Hdu) -> memoryview:
        """Return the data of an HDU as stored, with their padding."""
        return memoryview(self._file.buffer)[hdu.data_offset : min(hdu.end, self._file.size)]
