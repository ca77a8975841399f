"""A cutout that is planned, and not yet written: all is known of the answer but its pixels."""

from typing import NamedTuple

from .answer import Report
from .errors import WouldWait
from .fits.opened import OpenImage
from .fits.output import Cutout, write
from .selection import Selection


class PreparedCutout(NamedTuple):
    """What a repository is about to answer.

    Attributes
    ----------
    image
        That is cut.
    selection
        The images that it is made of, as their files are now.
    """

    image: OpenImage
    cutout: Cutout
    report: Report
    selection: Selection

    def write(self, *, wait: bool = True) -> memoryview:
        """Write the FITS file.

        Parameters
        ----------
        wait
            Whether that may take a while: to read it from the disk, to copy a lot.

        Raises
        ------
        WouldWait
            Raised if it would, and may not.
        UnavailableFault
            Raised if the pixels cannot be read.
        """
        data = self.cutout.read()
        if not (wait or self.image.at_hand(data)):
            raise WouldWait
        return write(self.cutout, self.report.cards(), data)
