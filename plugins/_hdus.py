"""The image HDUs of a file."""

from imageserv.core.candidate import CandidateFile
from imageserv.core.errors import FitsFault
from imageserv.core.fits.layout import Hdu


def image_hdus(file: CandidateFile) -> list[Hdu]:
    """Return the HDUs that are images: at least two axes, and pixels along each.

    Raises
    ------
    FitsFault
        Raised if there is none.
    """
    images = [hdu for hdu in file.hdus if hdu.kind in ("image", "compressed") and len(hdu.shape) > 1 and all(hdu.shape)]
    if not images:
        raise FitsFault("holds no image")
    return images
