"""Images as astropy reads them."""

import warnings
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS, FITSFixedWarning
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Pixels:
    """An image as astropy reads it.

    Attributes
    ----------
    stored, values : ndarray
        As the file has them, and with BSCALE, BZERO and BLANK applied; of numpy's axis order.
    header
        Of its HDU.
    """

    stored: NDArray[Any]
    values: NDArray[Any]
    header: fits.Header

    @property
    def wcs(self) -> Any:
        """The WCS, None if it has no celestial one."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FITSFixedWarning)
            wcs: Any = WCS(self.header)
        return wcs if wcs.has_celestial and wcs.pixel_n_dim == self.stored.ndim else None


def read_answer(content: bytes | memoryview) -> list[Pixels]:
    """Read the images of an answer; a file that breaks the standard, or its own checksums, is an AssertionError."""
    content = bytes(content)
    try:
        stored = _opened(BytesIO(content), scale=False, strict=True)
    except (fits.VerifyError, Warning, OSError, ValueError) as error:
        raise AssertionError(f"the answer is no valid FITS: {error}") from error
    values = _opened(BytesIO(content), scale=True)
    return [
        Pixels(one, two, header)
        for (one, header), (two, _) in zip(stored, values, strict=True)
        if one is not None and two is not None
    ]


def primary_header(content: bytes | memoryview) -> fits.Header:
    """Return the primary header of an answer."""
    return _opened(BytesIO(bytes(content)), scale=False, only=0)[0][1]


def read_plane(path: Path, hdu: int) -> Pixels:
    """Read an image of a file."""
    (stored, header), (values, _) = (_opened(path, scale=scale, only=hdu)[0] for scale in (False, True))
    assert stored is not None and values is not None, f"HDU {hdu} of {path} holds no image"
    return Pixels(stored, values, header)


def _opened(
    file: Path | BytesIO, *, scale: bool, only: int | None = None, strict: bool = False
) -> list[tuple[NDArray[Any] | None, fits.Header]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if strict:
            warnings.simplefilter("error", fits.verify.VerifyWarning)
            warnings.filterwarnings("error", "(Checksum|Datasum) verification failed")
        with fits.open(file, do_not_scale_image_data=not scale, memmap=False, checksum=strict) as hdus:
            if strict:
                hdus.verify("exception")
            chosen: Any = hdus if only is None else [hdus[only]]
            return [
                (np.array(hdu.data) if hdu.is_image and hdu.data is not None else None, hdu.header.copy())
                for hdu in chosen
            ]
