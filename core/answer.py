"""What a repository answers: a cutout with its report, or a stored file."""

from dataclasses import dataclass
from pathlib import Path

from .fits.cards import make_card
from .sky.stencil import PixelBox


@dataclass(frozen=True, slots=True)
class Report:
    """What was asked and what was delivered.

    Attributes
    ----------
    parent
        Publisher DID of the image that was cut.
    requested, delivered
        Boxes in the parent's pixels.
    """

    parent: str
    requested: PixelBox
    delivered: PixelBox
    candidates: int

    @property
    def clipped(self) -> bool:
        """Whether the image has less than was asked for."""
        return self.delivered != self.requested

    @property
    def coverage(self) -> float:
        """The fraction of the requested pixels that the image has, to six digits."""
        return float(f"{self.delivered.area / self.requested.area:.6g}")

    def cards(self) -> list[bytes]:
        """Return the report as cards for the primary header."""
        return [
            make_card("CUTID", self.parent),
            make_card("CUTREQ", self.requested.section(), "requested pixels of the parent image"),
            make_card("CUTBOX", self.delivered.section(), "pixels of the parent image in this cutout"),
            make_card("CUTCLIP", self.clipped, "was the request clipped to the image?"),
            make_card("CUTCOVER", self.coverage, "fraction of the request that is covered"),
            make_card("CUTCAND", self.candidates, "number of images that contain the position"),
        ]


@dataclass(frozen=True, slots=True)
class CutoutAnswer:
    """A cutout as a FITS file, and its report."""

    content: memoryview
    report: Report


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
