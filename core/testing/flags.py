"""What the subclass of a contract says of its dataset."""

from collections.abc import Mapping, Sequence
from typing import ClassVar


class Flags:
    """What is to be tested, and what the dataset cannot do.

    Attributes
    ----------
    plugin
        The name of the plugin's entry point.
    options
        The dataset's table in the configuration, beside ``plugin``.
    refused
        Paths below the survey of files that are the dataset's, and that ingest must refuse, saying why.
    decodes
        False if science ids are no arithmetic: only the registry knows what they encode.
    has_positions
        False if the images have no celestial WCS: they are served by id alone.
    takes_any_fits
        True if every FITS image is one of the dataset's.
    gives_stored_pixels
        False if cutouts hold other pixels than the files do: scaled, or of several images unasked.
    """

    plugin: ClassVar[str]
    options: ClassVar[Mapping[str, object]] = {}
    refused: ClassVar[Sequence[str]] = ()
    decodes: ClassVar[bool] = True
    has_positions: ClassVar[bool] = True
    takes_any_fits: ClassVar[bool] = False
    gives_stored_pixels: ClassVar[bool] = True
