"""How a request names one image, and the image that it means."""

from typing import NamedTuple

from .dataset import DataId
from .record import ImageRecord


class ByPosition(NamedTuple):
    """The image closest to a place: ICRS degrees, and the band if the dataset has bands.

    Attributes
    ----------
    anywhere
        Whether it is the nearest one if no image contains the place.
    """

    ra: float
    dec: float
    band: str | None
    anywhere: bool = False


class ByDataId(NamedTuple):
    """The image of a data id, complete and checked."""

    data_id: DataId


class ByScienceId(NamedTuple):
    """The image of a science id."""

    science_id: int


Selector = ByPosition | ByDataId | ByScienceId
"""How a request names one image."""


class State(NamedTuple):
    """How stored files are.

    Attributes
    ----------
    fingerprint
        A text that changes when one of them does.
    modified
        When the last of them was, in seconds since 1970; None where that does not tell whether an answer is the same.
    """

    fingerprint: str
    modified: int | None


class Selection(NamedTuple):
    """The image that a request means.

    Attributes
    ----------
    candidates
        How many images contained the point; 1 for an image named by an id, 0 for one that is near it.
    others
        The other images that its cutout is made of; None if that depends on no other.
    """

    record: ImageRecord
    candidates: int
    publisher_did: str
    others: tuple[ImageRecord, ...] | None = None

    @property
    def state(self) -> State:
        """The state of its files.

        They do not tell all if the answer depends on which other images there are: that one of them came or went.
        """
        files = [file for record in (self.record, *(self.others or ())) for file in (record.file, *record.beside)]
        fingerprint = " ".join([self.publisher_did, *[f"{file.path} {file.size} {file.mtime_ns}" for file in files]])
        modified = None if self.others is not None else max([file.mtime_ns for file in files]) // 10**9
        return State(fingerprint, modified)
