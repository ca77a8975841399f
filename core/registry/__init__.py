"""The registry: which images exist, by science id, by identifier, by place on the sky, and by what searches ask.

One small interface, so that a registry that several machines share can take
the place of the embedded one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from imageserv.core.record import FileStamp, ImageRecord
from imageserv.core.search import Search

Status = Literal["taken", "skipped", "duplicate"]


@dataclass(frozen=True, slots=True)
class FileRow:
    """What became of a file of a dataset.

    Attributes
    ----------
    stamp
        The file as it was when it was read.
    recipe
        A fingerprint of how it was read; behind it, as `imageserv.core.ingest` notes them, other files that were asked
        for then.
    status
        ``duplicate`` if another file has one of its images, and was there first.
    reason
        Why it was not taken.
    """

    stamp: FileStamp
    recipe: str
    status: Status
    reason: str


@dataclass(frozen=True, slots=True)
class FileImages:
    """A file to be put into the registry.

    Attributes
    ----------
    stamp
        The file as it was when it was read.
    recipe
        A fingerprint of how it was read.
    images
        What it holds.
    layout
        As `Registry.layout` gives it back: packed by the dataset's pattern.
    """

    stamp: FileStamp
    recipe: str
    images: Sequence[ImageRecord]
    layout: bytes


class Registry(Protocol):
    """What the service asks of a registry; every method may be called from any thread, and waits for no other.

    All raise `imageserv.core.errors.UnavailableFault` if the registry cannot be read.
    """

    def by_science_id(self, dataset: str, science_id: int) -> ImageRecord | None:
        """Return the image of a science id."""
        ...

    def by_identifier(self, dataset: str, identifier: str) -> ImageRecord | None:
        """Return the image of an identifier (`ImageRecord.identifier`), compared without case."""
        ...

    def containing(self, dataset: str, band: str | None, ra: float, dec: float) -> list[ImageRecord]:
        """Return the images whose footprint contains a point (ICRS degrees); of a band, or of all for None.

        The one whose centre is nearest comes first; of two equally near, that
        of the lower science id. A footprint that is not exact counts as
        containing what its cover contains.
        """
        ...

    def nearest(self, dataset: str, band: str | None, ra: float, dec: float) -> tuple[ImageRecord, float] | None:
        """Return the image whose centre is nearest to a point, however far, and the distance in degrees."""
        ...

    def search(self, datasets: Sequence[str], search: Search) -> Iterator[ImageRecord]:
        """Yield the images of some datasets that satisfy a search.

        They come dataset by dataset as given, and in each in the order in
        which they were ingested. A footprint that is not exact counts as
        meeting what its cover meets. What is ingested while the images are
        being read may be among them or not.

        Raises
        ------
        LimitFault
            Raised at once if the search has more values than the registry takes.
        """
        ...

    def search_pages(self, datasets: Sequence[str], search: Search) -> Iterator[list[ImageRecord]]:
        """Yield the same, some at a time; pages may be empty, so that whoever waits for an image can give up."""
        ...

    def sample(self, dataset: str) -> ImageRecord | None:
        """Return one image of a dataset, always the same one: of those with a footprint, else of all, the first."""
        ...

    def layout(self, dataset: str, stamp: FileStamp) -> bytes | None:
        """Return the stored layout of a file; None if the registry knows the file in another state than the stamp's."""
        ...

    def pattern(self, dataset: str) -> bytes | None:
        """Return what a dataset's layouts are packed by; None if it has none yet. It never changes."""
        ...

    def count(self, dataset: str) -> int:
        """Return how many images a dataset has."""
        ...

    def files(self, dataset: str) -> Iterator[FileRow]:
        """Yield all files of a dataset that were read, by path."""
        ...

    def images(self, dataset: str) -> Iterator[ImageRecord]:
        """Yield all images of a dataset, by science id."""
        ...

    def some_files(self, most: int) -> list[FileStamp]:
        """Return a few files that were taken, from here and there."""
        ...

    def check(self) -> None:
        """Look whether the registry is still the one that was opened."""
        ...

    def close(self) -> None:
        """Let go of the registry."""
        ...


class WritableRegistry(Registry, Protocol):
    """What ingest asks for besides. What is written between two commits becomes visible together, or not at all.

    All raise `imageserv.core.errors.UnavailableFault` if the registry cannot be written.
    """

    def put_files(self, dataset: str, files: Sequence[FileImages]) -> list[tuple[ImageRecord, str]]:
        """Put files and their images in place of what is there for their paths, which differ, in this order.

        Returns
        -------
        list of (ImageRecord, str)
            The images that were not taken, since another file, whose path is given, has their science id, or
            (of two files whose names have one hash) their identifier.
        """
        ...

    def put_pattern(self, dataset: str, pattern: bytes) -> None:
        """Put in what a dataset's layouts are packed by."""
        ...

    def skip_file(self, dataset: str, stamp: FileStamp, recipe: str, reason: str) -> None:
        """Note a file that cannot be served, in place of what is there for its path."""
        ...

    def remove_file(self, dataset: str, path: str) -> None:
        """Forget a file and its images."""
        ...

    def commit(self) -> None:
        """Make durable what was written since the last commit."""
        ...
