"""The registry: which images exist, by id and by place on the sky, and which files they came from.

`Registry` is all that the rest of the core knows of it; `imageserv.core.registry.sqlite` keeps one in a file.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

from imageserv.core.record import FileStamp, ImageRecord

Status = Literal["taken", "skipped", "duplicate"]
"""What became of a file: its images (at least one) are in, or it could not be served, or others had all its ids."""


@dataclass(frozen=True, slots=True)
class FileRow:
    """What the registry knows of a file of one dataset.

    Attributes
    ----------
    stamp
        How the file looked when it was examined.
    recipe
        A fingerprint of how it was read: plugin, options, version.
    reason
        Why it was skipped; empty if it was not.
    warnings
        What was reported though it was taken.
    stale
        True if an image of it was rejected because another file had the same
        science id, and that one has gone: it should be examined again.
    """

    stamp: FileStamp
    recipe: str
    status: Status
    reason: str
    warnings: tuple[str, ...]
    stale: bool


class Registry(Protocol):
    """The images and files of one repository.

    Every method may raise `UnavailableFault`: the registry cannot be read, or
    is damaged. Methods may be called from many threads.

    A dataset is named as it is configured, and a file by its path below the
    root. A file may belong to several datasets. A science id belongs to one
    image of a dataset: the first that came.
    """

    def close(self) -> None:
        """Let go of the registry."""
        ...

    # Reading.

    def by_science_id(self, dataset: str, science_id: int) -> ImageRecord | None:
        """Return the image of a science id."""
        ...

    def containing(self, dataset: str, band: str | None, ra: float, dec: float) -> list[ImageRecord]:
        """Return the images whose footprint contains a place, ICRS degrees, that whose centre is nearest first.

        Of two centres at the same distance that of the lower science id comes
        first. A footprint that is not exact is only a cover: whether the
        image contains the place takes its WCS. A band of None stands for all.
        """
        ...

    def nearest(self, dataset: str, band: str | None, ra: float, dec: float) -> tuple[ImageRecord, float] | None:
        """Return the image whose centre is nearest to a place, ICRS degrees, and the distance in degrees.

        None if no image of that dataset and band has a footprint.
        """
        ...

    def layout(self, dataset: str, path: str) -> bytes | None:
        """Return the layout that was stored with a file."""
        ...

    def count(self, dataset: str) -> int:
        """Return the number of images."""
        ...

    def images(self, dataset: str) -> Iterator[ImageRecord]:
        """Yield all images by science id, a few at a time."""
        ...

    def file(self, dataset: str, path: str) -> FileRow | None:
        """Return what is known of a file."""
        ...

    def files(self, dataset: str) -> Iterator[FileRow]:
        """Yield all files by path, a few at a time."""
        ...

    def stale(self, dataset: str) -> list[str]:
        """Return the paths of the files that should be examined again, though they have not changed."""
        ...

    def any_file(self) -> FileStamp | None:
        """Return a file with images, to see whether files can be read; None if there is none."""
        ...

    # Writing, for ingest.

    def batch(self) -> AbstractContextManager[None]:
        """Group what is written within into one transaction: all of it is stored, or on an exception none.

        Each method that writes is one by itself otherwise. Batches nest.
        """
        ...

    def put_file(
        self,
        dataset: str,
        stamp: FileStamp,
        recipe: str,
        images: Sequence[ImageRecord],
        layout: bytes,
        warnings: Sequence[str] = (),
    ) -> list[tuple[ImageRecord, str]]:
        """Store a file and its images in place of whatever was known of the file.

        Returns
        -------
        list of (ImageRecord, str)
            The images that were rejected because their science id was taken, each with the path of the file that has
            it.
        """
        ...

    def skip_file(self, dataset: str, stamp: FileStamp, recipe: str, reason: str) -> None:
        """Remember why a file cannot be served, in place of whatever was known of it."""
        ...

    def begin_run(self, dataset: str) -> None:
        """Begin a walk over all files of a dataset: none has been seen yet."""
        ...

    def touch(self, dataset: str, path: str) -> None:
        """Note that a file is still there; `put_file` and `skip_file` do so too."""
        ...

    def vanished(self, dataset: str) -> list[str]:
        """End a walk: forget the files that were not seen since `begin_run`, with their images; return their paths."""
        ...
