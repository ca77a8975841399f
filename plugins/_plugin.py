"""A plugin for files that hold one image each, whose data id their names spell."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from imageserv.core.candidate import CandidateFile
from imageserv.core.dataset import DataId, Dataset
from imageserv.core.fits.engine import Cutout, CutoutRequest, cut
from imageserv.core.fits.opened import OpenImage
from imageserv.core.hookspecs import hookimpl
from imageserv.core.neighbours import Neighbours
from imageserv.core.patterns import match_any
from imageserv.core.record import Found

from ._options import check_options, file_patterns


@dataclass(frozen=True, slots=True)
class ScienceIds:
    """How a dataset encodes data ids as science ids, and decodes them.

    Both functions raise `UsageFault` for what no image can have.
    """

    encode: Callable[[DataId], int]
    decode: Callable[[int], DataId]


class FileNamePlugin(ABC):
    """All hooks of such a dataset but ``imageserv_demo``. A subclass sets the attributes, and reads a file.

    Parameters
    ----------
    name
        The dataset's configured name.
    options
        ``files``: templates of the files' paths; by default those of the class.

    Attributes
    ----------
    dataset
        What the dataset is.
    title
        What one of its images is called: the first words of their titles.
    files
        Templates of the files' paths, which mention every key of the dataset.
    science_ids
        How its data ids are encoded.
    drop
        Header keywords that mean nothing once the tables of a file are left out.
    """

    dataset: ClassVar[Dataset]
    title: ClassVar[str]
    files: ClassVar[Sequence[str]]
    science_ids: ClassVar[ScienceIds]
    drop: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, name: str, options: Mapping[str, object]) -> None:
        check_options(options, ("files",))
        self._files = file_patterns(options, self.files, self.dataset.keys)

    @abstractmethod
    def read(self, file: CandidateFile, data_id: DataId) -> Found:
        """Read the image of a file; `data_id` is what the file's name spells.

        Raises
        ------
        FitsFault
            Raised if there is no image.
        """

    @hookimpl
    def imageserv_dataset(self) -> Dataset:
        """Say what the dataset is."""
        return self.dataset

    @hookimpl
    def imageserv_science_id(self, data_id: DataId) -> int:
        """Encode a data id."""
        return self.science_ids.encode(data_id)

    @hookimpl
    def imageserv_data_id(self, science_id: int) -> DataId:
        """Decode a science id."""
        return self.science_ids.decode(science_id)

    @hookimpl
    def imageserv_recognise(self, file: CandidateFile) -> Sequence[Found] | None:
        """Take the image of a file that is named as the templates say."""
        data_id = match_any(self._files, file.path)
        if data_id is None:
            return None
        found = self.read(file, data_id)
        words = ", ".join(f"{key.name} {data_id[key.name]}" for key in self.dataset.keys)
        return [replace(found, observation=replace(found.observation, title=f"{self.title}: {words}"))]

    @hookimpl
    def imageserv_cutout(self, image: OpenImage, request: CutoutRequest, neighbours: Neighbours) -> Cutout:
        """Cut all planes of one image; a subclass may take others, too."""
        return cut(image, request, drop=self.drop)
