"""A file that a plugin is asked about at ingest."""

from functools import cached_property

from astropy.io import fits

from .config import Limits
from .errors import FitsFault
from .fits.files import FileStore
from .fits.layout import Hdu, Layout, read_layout
from .record import FileStamp


class CandidateFile:
    """A file that a plugin is asked about.

    Attributes
    ----------
    path
        Below the repository's root, with slashes.
    """

    def __init__(
        self,
        store: FileStore,
        path: str,
        limits: Limits,
        *,
        stamp: FileStamp | None = None,
        asked: "CandidateFile | None" = None,
    ) -> None:
        self.path = path
        self._store = store
        self._limits = limits
        self._asked = asked
        self._beside: dict[str, CandidateFile] = {}
        if stamp is not None:
            self.stamp = stamp

    @cached_property
    def stamp(self) -> FileStamp:
        """The file as it was before it was read; all zeros if it cannot be."""
        return stamp_of(self._store, self.path)

    @cached_property
    def layout(self) -> Layout:
        """The file's layout; reading it opens the file.

        Raises
        ------
        FitsFault
            Raised if the file is not FITS that can be served.
        """
        path = self.stamp.path  # taken first: if the file changes while it is read, the stamp is an old one
        try:
            return read_layout(self._store.resolve(path), self._limits)
        except OSError as error:
            raise FitsFault(f"{self._named()}cannot be read: {error.strerror or error}") from error
        except FitsFault as fault:
            raise FitsFault(f"{self._named()}{fault.message}") from fault

    @property
    def hdus(self) -> tuple[Hdu, ...]:
        """The HDUs of the file. Raises what `layout` raises."""
        return self.layout.hdus

    def header(self, index: int) -> fits.Header:
        """Return the header of an HDU, as astropy has it. Raises what `layout` raises."""
        return self.hdus[index].parsed()

    def beside(self, path: str) -> "CandidateFile":
        """Return another file by its path below the root: one that holds further planes of this file's images, say.

        That it was asked for is noted, whether it is there or not: when it comes, changes or goes, ingest reads this
        file again, and an image with planes in it (`imageserv.core.record.Plane.file`) is never cut by what it was.
        """
        asked = self._asked or self
        if path not in asked._beside:
            asked._beside[path] = CandidateFile(self._store, path, self._limits, asked=asked)
        return asked._beside[path]

    @property
    def consulted(self) -> tuple[FileStamp, ...]:
        """The other files that were asked for."""
        return tuple(file.stamp for file in self._beside.values())

    def _named(self) -> str:
        """Name the file in a message, unless whoever reads it knows which it is."""
        return f"{self.path}: " if self._asked is not None else ""


def stamp_of(store: FileStore, path: str) -> FileStamp:
    """Return the stamp of a file as it is now; one of zeros if it cannot be read."""
    try:
        return store.stamp(path)
    except (FitsFault, OSError):
        return FileStamp(path, 0, 0)
