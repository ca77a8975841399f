"""Decoded tiles, kept for the next cutout that needs them."""

import threading
from collections import OrderedDict
from collections.abc import Hashable

from .codecs import Tile


class TileCache:
    """The tiles decoded last, for all images of a process; safe for use from several threads.

    Parameters
    ----------
    max_bytes
        How much memory they may take: those longest unused go. 0 keeps none.
    """

    def __init__(self, max_bytes: int) -> None:
        self._left = max_bytes
        self._most = max_bytes // 4  # one tile shall not drive out all others
        self._lock = threading.Lock()
        self._tiles: OrderedDict[Hashable, Tile] = OrderedDict()

    def get(self, key: Hashable, pixels: int) -> Tile | None:
        """Return a tile if it is there with so many pixels, for it may have been decoded in part.

        Parameters
        ----------
        key
            Names the file, in the state that it is in, and the tile within: a changed file has other keys.
        """
        tile = self._tiles.get(key)
        if tile is None or tile.pixels < pixels:
            return None
        with self._lock:
            if key in self._tiles:
                self._tiles.move_to_end(key)
        return tile

    def put(self, key: Hashable, tile: Tile) -> None:
        """Keep a tile, whose numbers nobody changes any more."""
        if tile.data.nbytes > self._most:
            return
        with self._lock:
            replaced = self._tiles.pop(key, None)
            self._tiles[key] = tile
            self._left -= tile.data.nbytes - (replaced.data.nbytes if replaced else 0)
            while self._left < 0:
                self._left += self._tiles.popitem(last=False)[1].data.nbytes
