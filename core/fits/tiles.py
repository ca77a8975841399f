"""The tile-compressed images of a file (FITS 4.0 section 10): sections of them decoded, or their tiles as they are."""

import math
from typing import Any

from numpy.typing import NDArray

from imageserv.core.errors import FitsFault, LimitFault

from .codecs import DamagedTile
from .files import MappedFile
from .headers import Ranges
from .layout import Hdu
from .tilecache import TileCache
from .tilecopy import TileCopy, whole_tiles
from .tiledimage import TiledImage


class TileReader:
    """The tile-compressed images of one file; safe for use from several threads.

    Parameters
    ----------
    file
        The file, unpacked.
    cache
        Where decoded tiles are kept.
    max_tile_pixels
        A tile of more pixels is refused: decoding it would need that much memory whatever the section.
    """

    def __init__(self, file: MappedFile, cache: TileCache, max_tile_pixels: int) -> None:
        self._file = file
        self._cache = cache
        self._max_tile_pixels = max_tile_pixels
        self._images: dict[int, TiledImage] = {}

    def read(self, hdu: Hdu, section: tuple[slice, ...]) -> NDArray[Any]:
        """Return the stored (unscaled) pixels of a section.

        Parameters
        ----------
        section
            One slice per axis in numpy's order (the last is NAXIS1).

        Returns
        -------
        ndarray
            Of the section's shape and the image's BITPIX, big-endian.

        Raises
        ------
        LimitFault
            Raised if the tiles are larger than allowed, or too many.
        UnsupportedFault
            Raised if the tiles are of a kind that is not read.
        FitsFault
            Raised if the tiles cannot be decoded.
        """
        image = self._image(hdu)
        pixels = math.prod(image.tile)
        if pixels > self._max_tile_pixels:
            raise LimitFault(f"its tiles have {pixels} pixels; at most {self._max_tile_pixels} are decoded")
        try:
            return image.read(section)
        except DamagedTile as error:
            raise FitsFault(f"HDU {hdu.index}: its tiles cannot be decoded: {error}") from error

    def widened(self, hdu: Hdu, ranges: Ranges) -> Ranges:
        """Return the whole tiles that can be copied with some pixels; raises what `read` raises."""
        return whole_tiles(self._image(hdu), ranges)

    def copy(self, hdu: Hdu, ranges: Ranges) -> TileCopy:
        """Return the tiles of ranges that are widened, as they are; raises what `read` raises."""
        try:
            return TileCopy(self._image(hdu), ranges)
        except DamagedTile as error:
            raise FitsFault(f"HDU {hdu.index}: its tiles cannot be copied: one {error}") from error

    def _image(self, hdu: Hdu) -> TiledImage:
        image = self._images.get(hdu.index)
        if image is None:
            image = self._images[hdu.index] = TiledImage(hdu, self._file, self._cache)
        return image
