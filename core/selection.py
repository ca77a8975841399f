"""How a request names one image, and the image that it means."""

from dataclasses import dataclass

from .dataset import DataId
from .record import FileStamp, ImageRecord


@dataclass(frozen=True, slots=True)
class ByPosition:
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


@dataclass(frozen=True, slots=True)
class ByDataId:
    """The image of a data id, complete and checked."""

    data_id: DataId


@dataclass(frozen=True, slots=True)
class ByScienceId:
    """The image of a science id."""

    science_id: int


Selector = ByPosition | ByDataId | ByScienceId
"""How a request names one image."""


@dataclass(frozen=True, slots=True)
class Selection:
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
    def fingerprint(self) -> str:
        """A text that changes when a stored file does."""
        files = [f"{file.path} {file.size} {file.mtime_ns}" for file in self._files]
        return " ".join([self.publisher_did, *files])

    @property
    def modified(self) -> float | None:
        """When the last of the stored files was, in seconds since 1970.

        None if the answer depends on which other images there are: when one of them came or went no file tells.
        """
        return None if self.others is not None else max([file.mtime_ns for file in self._files]) / 1e9

    @property
    def _files(self) -> list[FileStamp]:
        return [file for record in (self.record, *(self.others or ())) for file in (record.file, *record.beside)]
