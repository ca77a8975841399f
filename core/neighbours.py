"""The other images of a dataset, for a cutout that is made of several."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from .dataset import DataId
from .errors import WouldWait
from .record import ImageRecord
from .search import Search
from .sky.stencil import Shape

if TYPE_CHECKING:
    from .fits.opened import OpenImage
    from .manager import DatasetPlugin
    from .repository import Repository


class Neighbours:
    """The images of a dataset, as its plugin finds and opens them while it cuts one of them.

    What is opened here counts as a source of the answer: its ETag depends on those files, too, and it has no
    Last-Modified. So open what the cutout needs before it is returned; pixels can be read when it is written.

    Parameters
    ----------
    repository, plugin
        Whose images these are.
    wait
        Whether they may be looked for now: that takes files and the registry.

    Attributes
    ----------
    asked
        Whether anything was asked: then the answer depends on which images there are.
    """

    def __init__(self, repository: "Repository", plugin: "DatasetPlugin", *, wait: bool = True) -> None:
        self._repository = repository
        self._plugin = plugin
        self._wait = wait
        self._opened: dict[int, ImageRecord] = {}
        self.asked = False

    @property
    def opened(self) -> tuple[ImageRecord, ...]:
        """The images that were opened, in that order, as their files are now."""
        return tuple(self._opened.values())

    def find(self, data_id: DataId) -> ImageRecord | None:
        """Return the image of a data id, None if there is none.

        Raises
        ------
        UsageFault
            Raised for a data id that no image can have.
        """
        self._ask()
        return self._repository.by_data_id(self._plugin, data_id)

    def meeting(self, shape: Shape) -> Iterator[ImageRecord]:
        """Return the images whose footprint meets a shape on the sky, of all bands, in the registry's order."""
        self._ask()
        return self._repository.search(Search(shapes=(shape,)), [self._plugin.name])

    def open(self, record: ImageRecord) -> "OpenImage":
        """Return an image opened for cutting. Its record is as the file is now, should it have changed since ingest.

        Raises
        ------
        UnavailableFault
            Raised if its file is gone, or no longer holds this image. Let it pass: the registry has the image, so to
            do without it would be untrue.
        """
        self._ask()
        image = self._repository.open(record)
        self._opened[record.science_id] = image.record
        return image

    def _ask(self) -> None:
        if not self._wait:
            raise WouldWait
        self.asked = True
