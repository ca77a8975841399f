"""Whether an answer is right: its pixels and its WCS, held against astropy's reading of the whole file."""

import io
import re
import warnings
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray

from .data import Frame, Place, read_fits
from .rounds import Wrong

_NEAR = 1e-5  # pixels between where two WCS see the same pixel


class Truth:
    """What a file holds, as astropy reads it; read when it is first needed.

    Parameters
    ----------
    tolerance
        By which pixels may differ, relative to the largest: 0 where they are copied; where floating-point numbers
        are made of integers, codecs round differently in the last bit.
    """

    def __init__(self, frame: Frame, tolerance: float = 0.0) -> None:
        self._frame = frame
        self._tolerance = tolerance

    @cached_property
    def _planes(self) -> list[NDArray[Any]]:
        return self._frame.planes()

    @cached_property
    def _wcs(self) -> Any:
        return self._frame.wcs()

    def fits(self, planes: int, *, slack: int = 0, shift: int = 0) -> Callable[[Any, Place], None]:
        """Return a check of FITS files.

        Parameters
        ----------
        planes
            How many the answer must have.
        slack
            How many pixels more than asked for it may have, along each axis.
        shift
            How many pixels beside those asked for it may be.
        """

        def check(answer: Any, place: Place) -> None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                with read_fits(io.BytesIO(bytes(answer))) as hdus:
                    images = [hdu for hdu in hdus if hdu.is_image and hdu.data is not None]
                    if len(images) != planes:
                        raise Wrong(f"{len(images)} planes, not {planes}")
                    corner = self._compare([hdu.data for hdu in images], place, slack, shift)
                    for hdu in images:
                        self._compare_wcs(WCS(hdu.header), corner, hdu.data.shape)

        return check

    def widened(self) -> Callable[[Any, Place], None]:
        """Return a check of FITS files of one plane, which say in CUTBOX which pixels they have."""

        def check(answer: Any, place: Place) -> None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                with read_fits(io.BytesIO(bytes(answer))) as hdus:
                    box = re.findall(r"(\d+):(\d+)", hdus[0].header["CUTBOX"])
                    columns, rows = (slice(int(first) - 1, int(last)) for first, last in box)
                    for have, want in zip((rows, columns), place.section, strict=True):
                        if have.start > want.start or have.stop < want.stop:
                            raise Wrong("it does not have all that was asked for")
                    if not self._equal([hdus[1].data], rows.start, columns.start):
                        raise Wrong("other pixels than astropy's")
                    self._compare_wcs(WCS(hdus[1].header), (columns.start, rows.start), hdus[1].data.shape)

        return check

    def pixels(self, planes: int) -> Callable[[Any, Place], None]:
        """Return a check of answers that are pixels alone: an array for each plane."""

        def check(answer: Any, place: Place) -> None:
            if len(answer) != planes:
                raise Wrong(f"{len(answer)} planes, not {planes}")
            self._compare(answer, place, 0, 0)

        return check

    def _compare(self, answer: Sequence[Any], place: Place, slack: int, shift: int) -> tuple[int, int]:
        """Return the first pixel of the answer, as x and y."""
        height, width = answer[0].shape
        if not all(place.size <= length <= place.size + slack for length in (width, height)):
            raise Wrong(f"{width} x {height} pixels")
        rows, columns = place.section
        # Who gives more than was asked for may do so on either side. The right place is looked at first.
        offsets = sorted(range(-slack - shift, shift + 1), key=abs)
        for bottom in (rows.start + offset for offset in offsets):
            for left in (columns.start + offset for offset in offsets):
                if self._equal(answer, bottom, left):
                    return left, bottom
        raise Wrong("other pixels than astropy's")

    def _equal(self, answer: Sequence[Any], bottom: int, left: int) -> bool:
        if min(bottom, left) < 0:
            return False
        for mine, plane in zip(answer, self._planes, strict=False):
            theirs = plane[bottom : bottom + mine.shape[0], left : left + mine.shape[1]]
            if self._tolerance:
                most = self._tolerance * float(np.abs(theirs).max(initial=0))
                if mine.shape != theirs.shape or not np.allclose(mine, theirs, rtol=0, atol=most):
                    return False
            elif not np.array_equal(mine, theirs):
                return False
        return True

    def _compare_wcs(self, wcs: Any, corner: tuple[int, int], shape: tuple[int, int]) -> None:
        """Hold a cutout's WCS against the parent's at four corners."""
        x, y = np.array([0, shape[1] - 1, 0, shape[1] - 1]), np.array([0, 0, shape[0] - 1, shape[0] - 1])
        ra, dec = self._wcs.all_pix2world(x + corner[0], y + corner[1], 0)
        seen_x, seen_y = wcs.all_world2pix(ra, dec, 0)
        off = float(np.hypot(seen_x - x, seen_y - y).max())
        if not off < _NEAR:
            raise Wrong(f"its WCS is {off:.2g} pixels off")
