"""What pages say of the formats of cutouts."""

from imageserv.core.answer import FITS, TILES
from imageserv.core.dali.documents import Element

from .html import tag


def tiles() -> Element:
    """Write a paragraph about tile-compressed cutouts."""
    return tag(
        "p",
        "A tile-compressed image is decoded, unless the client asks for ",
        tag("code", FITS[TILES][0]),
        " (Accept, or RESPONSEFORMAT, which also takes ",
        tag("code", TILES),
        "). Then the box is widened to whole tiles, and these are given as they are stored (FITS 4.0 section 10): the"
        " pixels are the same, and large boxes come several times faster and smaller. If the image is dithered and the"
        " box in several lines of tiles, it is widened to whole lines, for a tile's dither depends on its number. What"
        " was delivered is told as always. Planes that are not tile-compressed come plain, and so do images that have"
        " no other: the answer's Content-Type says which it is.",
    )
