"""Cutouts of whole tiles, copied as they are compressed: nothing is decoded."""

from .cards import HeaderTemplate, number_card
from .headers import Ranges
from .output import Joined
from .quantization import RANDOMS
from .tiledimage import TiledImage


def whole_tiles(image: TiledImage, ranges: Ranges) -> list[tuple[int, int]]:
    """Widen ranges to whole tiles.

    What was subtracted from a tile's pixels (dither: FITS 4.0 section 10.2.1)
    depends on the tile's number. So of a dithered image tiles must keep their
    numbers, but for what is the same for all: those that lie in several lines
    are taken with all between them, which is with the whole lines.
    """
    shape, sides = image.shape[::-1], image.tile[::-1]
    tiles = [(start // side, -(-stop // side)) for (start, stop), side in zip(ranges, sides, strict=True)]
    widened = [(a * side, min(b * side, end)) for (a, b), side, end in zip(tiles, sides, shape, strict=True)]
    if image.dithered:
        slowest = max((axis for axis, (first, after) in enumerate(tiles) if after - first > 1), default=0)
        widened[:slowest] = [(0, length) for length in shape[:slowest]]
    return widened


class TileCopy:
    """The table of a cutout of whole tiles.

    Parameters
    ----------
    image
        The parent.
    ranges
        As `whole_tiles` gives them.

    Raises
    ------
    DamagedTile
        Raised if the table says what cannot be of its tiles.
    """

    def __init__(self, image: TiledImage, ranges: Ranges) -> None:
        self._image = image
        self._ranges = ranges
        numbers = image.numbers(tuple([slice(start, stop) for start, stop in reversed(ranges)]))
        self._first = numbers[0]
        self._rows, self._pieces = image.table.copied(numbers)

    def changes(self, template: HeaderTemplate) -> list[tuple[int, bytes]]:
        """Return the cards of the table's header that change, with their numbers, but for those of the image."""
        heap = sum(size for _, size in self._pieces)
        values: dict[str, int] = {"NAXIS2": len(self._rows), "PCOUNT": heap}
        for axis, ((start, stop), side) in enumerate(zip(self._ranges, reversed(self._image.tile), strict=True), 1):
            values[f"ZTILE{axis}"] = min(side, stop - start)
        if self._image.dithered:
            values["ZDITHER0"] = (self._first + self._image.seed - 1) % RANDOMS + 1
        places = ((keyword, template.place(keyword)) for keyword in values)
        return [(place, number_card(keyword, values[keyword])) for keyword, place in places if place is not None]

    def read(self) -> Joined:
        """Return the table and the bytes of its tiles."""
        return Joined(self._image.table.joined(self._rows, self._pieces))
