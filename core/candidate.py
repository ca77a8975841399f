"""A file that a plugin is asked about at ingest."""

from functools import cached_property

from astropy.io import fits

from .config import Limits
from .errors import FitsFault
from .fits.files import FileStore
from .fits.layout import Hdu, Layout, read_layout


class CandidateFile:
    """A file that a plugin is asked about.

    Attributes
    ----------
    path
        Below the repository's root, with slashes.
    """

    def __init__(self, store: FileStore, path: str, limits: Limits) -> None:
        self.path = path
        self._store = store
        self._limits = limits

    @cached_property
    def layout(self) -> Layout:
        """The file's layout; reading it opens the file.

        Raises
        ------
        FitsFault
            Raised if the file is not FITS that can be served.
        """
        try:
            return read_layout(self._store.resolve(self.path), self._limits)
        except OSError as error:
            raise FitsFault(f"cannot be read: {error.strerror or error}") from error

    @property
    def hdus(self) -> tuple[Hdu, ...]:
        """The HDUs of the file. Raises what `layout` raises."""
        return self.layout.hdus

    def header(self, index: int) -> fits.Header:
        """Return the header of an HDU, as astropy has it. Raises what `layout` raises."""
        return self.hdus[index].parsed()
