"""What a repository answers: a cutout with its report, or a stored file."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from .fits.cards import make_card
from .record import ImageRecord
from .sky.stencil import Section

if TYPE_CHECKING:
    from .fits.output import Source

REPORT = ("CUTID", "CUTREQ", "CUTBOX", "CUTCLIP", "CUTCOVER", "CUTCAND")
"""The keywords of a report: of an image that is a cutout itself they are left out, for they are not its cutout's."""

MOST_SOURCES = 99
"""Of how many images a cutout can be made: their cards are numbered."""

SOURCES = tuple(f"{word}{number}" for word in ("CUTSRC", "CUTSEC") for number in range(1, MOST_SOURCES + 1))
"""The keywords that name these, and the pixels that each gave; left out of images that are cutouts themselves, too."""

TILES = "fits.fz"
"""The short name of FITS with tile-compressed planes (FITS 4.0 section 10), and how names of such files end."""

FITS = {
    "fits": ("application/fits", "image/fits"),
    TILES: ("application/fits;compression=tile", "image/fits;compression=tile"),
}
"""The formats of an image, by short name: their media types."""

CUTOUT_TYPES = tuple(media_type for types in FITS.values() for media_type in types)
"""The media types that a cutout can have."""

_NEARLY_ALL = 0.999999
"""What is missing one pixel is not covered, however many there are."""


class Report(NamedTuple):
    """What was asked and what was delivered.

    Attributes
    ----------
    parent
        Publisher DID of the image that was cut.
    requested, delivered
        The pixels of the parent's science plane that were asked for, and those
        of them that it has, or more if whole tiles are given. `requested` is None if they cannot be told: the
        image's projection does not show all of the stencil.
    candidates
        Number of images that contain the position.
    sources
        Of a cutout of several images those that gave its pixels: publisher DID, and what it gave. `requested`
        and `delivered` count on in the parent's grid of pixels beyond its edges; what no image has is without data.
    """

    parent: str
    requested: Section | None
    delivered: Section
    candidates: int
    sources: tuple[tuple[str, "Source"], ...] = ()

    @property
    def clipped(self) -> bool:
        """Whether the image has, or all of several have, less than was asked for."""
        if self.sources:
            return self.coverage != 1.0
        return self.delivered != self.requested and self._covered != self.requested

    @property
    def coverage(self) -> float | None:
        """The fraction of the requested pixels that the image has, to six digits; None if they cannot be told."""
        if self.requested is None:
            return None
        if self.sources:
            covered = sum([source.pixels for _, source in self.sources]) / _pixels(self.requested)
            return float(f"{covered:.6g}") if covered == 1 else min(float(f"{covered:.6g}"), _NEARLY_ALL)
        if self.requested == self.delivered:
            return 1.0
        return float(f"{_pixels(self._covered) / _pixels(self.requested):.6g}")

    @property
    def _covered(self) -> Section:
        """The pixels that were asked for and are delivered."""
        if self.requested is None:
            return self.delivered
        both = zip(self.requested.ranges, self.delivered.ranges, strict=True)
        return Section(tuple([a and b and (max(a[0], b[0]), min(a[1], b[1])) for a, b in both]))

    def cards(self) -> list[bytes]:
        """Return the report as cards for the primary header; what cannot be told has none."""
        box = str(self.delivered)
        asked = box if self.requested is self.delivered else str(self.requested)
        facts: tuple[tuple[str | bool | float | None, str], ...] = (
            (self.parent, ""),
            (None if self.requested is None else asked, "requested pixels of the parent image"),
            (box, "pixels of the parent image in this cutout"),
            (self.clipped, "was the request clipped to the image?"),
            (self.coverage, "fraction of the request that is covered"),
            (self.candidates, "number of images that contain the position"),
        )
        cards = [
            make_card(keyword, value, comment)
            for keyword, (value, comment) in zip(REPORT, facts, strict=True)
            if value is not None
        ]
        for number, (identifier, source) in enumerate(self.sources, 1):
            cards.append(make_card(f"CUTSRC{number}", identifier))
            cards.append(make_card(f"CUTSEC{number}", str(source.section), "box of its pixels in this cutout"))
        return cards


def _pixels(section: Section) -> int:
    """Return the number of pixels, along the axes that a section has ranges for."""
    return math.prod(span[1] - span[0] for span in section.ranges if span is not None)


@dataclass(frozen=True, slots=True)
class CutoutAnswer:
    """A cutout as a FITS file, its report, and the record of its image as the file is now.

    Attributes
    ----------
    as_tiles
        Whether planes are tile-compressed.
    """

    content: memoryview
    report: Report
    record: ImageRecord
    as_tiles: bool


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A whole image as a file on disk: unpacked, whatever the repository holds.

    Attributes
    ----------
    name
        Its file name, without ``.gz``.
    mtime
        Of the file in the repository, seconds.
    shape
        Of the image as the file has it now, pixels along x and y.
    """

    path: Path
    size: int
    mtime: float
    name: str
    shape: tuple[int, int]
