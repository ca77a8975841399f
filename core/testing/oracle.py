"""What a cutout must hold: told by astropy from the files, without the engine."""

import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from imageserv.core.answer import CutoutAnswer
from imageserv.core.record import ImageRecord, Plane
from imageserv.core.request import CutoutRequest
from imageserv.core.sky.stencil import Section

from .archive import Archive, given
from .pixels import Pixels, read_answer

_CHANGED = ("SIMPLE", "XTENSION", "NAXIS", "CRPIX", "LTV", "CNPIX", "CHECKSUM", "DATASUM", "DATAMIN", "DATAMAX")
_FRAME = ("EXTEND", "NEXTEND", "PCOUNT", "GCOUNT", "EXTNAME", "EXTVER", "INHERIT", "COMMENT", "HISTORY", "")
"""Beginnings of keywords that a cut changes, and keywords that depend on where in a file an image stands."""

Ranges = Sequence[tuple[int, int]]
"""Half-open ranges along the FITS axes, NAXIS1 first, counted from 0."""


def check_pixels(archive: Archive, image: ImageRecord, asked: Ranges) -> None:
    """Hold the pixels of a cutout against the file's, plane by plane."""
    for plane, cut in cut_planes(archive, image, asked):
        whole = archive.plane(image, plane)
        expected = whole.stored[slices(shared(whole, asked, archive, image))]
        where = f"{image.identifier}, {section_of(asked)}: {plane.name}"
        assert cut.stored.shape == expected.shape, f"{where} has the shape {cut.stored.shape}, not {expected.shape}"
        kinds = [one.stored.dtype.newbyteorder("=") for one in (cut, whole)]
        assert kinds[0] == kinds[1], f"{where} has pixels of type {kinds[0]}, the file {kinds[1]}"
        assert equal(cut.stored, expected), (
            f"{where} differs from the file in {np.count_nonzero(cut.stored != expected)} of {expected.size} pixels"
        )


def cut_planes(archive: Archive, image: ImageRecord, asked: Ranges) -> Iterator[tuple[Plane, Pixels]]:
    """Cut an image, and yield its planes."""
    found = read_answer(archive.cut(image, CutoutRequest(section_of(asked))).content)
    planes = given(image)
    assert len(found) == len(planes), f"{image.identifier}: {len(found)} images for {[plane.name for plane in planes]}"
    yield from zip(planes, found, strict=True)


def axes_of(archive: Archive, image: ImageRecord) -> tuple[int, ...]:
    """Return the lengths of the science plane's axes, NAXIS1 first."""
    return archive.plane(image, image.planes[0]).stored.shape[::-1]


def shared(whole: Pixels, asked: Ranges, archive: Archive, image: ImageRecord) -> list[tuple[int, int]]:
    """Return the pixels of a plane: cut along the axes that it shares with the science plane, and to what it has."""
    science = axes_of(archive, image)
    ranges: list[tuple[int, int]] = []
    for axis, length in enumerate(whole.stored.shape[::-1]):
        shared = axis < len(asked) and science[axis : axis + 1] == (length,)
        start, stop = asked[axis] if shared else (0, length)
        ranges.append((max(start, 0), min(stop, length)))
    return ranges


def slices(ranges: Ranges) -> tuple[Any, ...]:
    """Return the numpy index of ranges, of the last axes of an array."""
    return (..., *(slice(start, stop) for start, stop in reversed(ranges)))


def section_of(ranges: Ranges) -> Section:
    """Return ranges as a stencil."""
    return Section(tuple(ranges))


def middle(axes: Sequence[int]) -> list[tuple[int, int]]:
    """Return a part of the first two axes that is not in the middle of them."""
    return [(axes[0] // 5, axes[0] // 5 + max(axes[0] // 3, 1)), (axes[1] // 2, axes[1] // 2 + max(axes[1] // 4, 1))]


def sections(axes: Sequence[int]) -> Iterator[Ranges]:
    """Yield parts of an image that are not alike."""
    x, y = axes[0] // 2, axes[1] // 2
    yield middle(axes)
    yield [(x, x + 1), (y, y + 1)]
    yield [(0, axes[0]), (y, y + 1)]
    yield [(x, x + 1), (0, axes[1])]


def equal(one: NDArray[Any], other: NDArray[Any]) -> bool:
    """Tell whether two arrays have the same values; NaN is NaN."""
    return bool(np.array_equal(one, other, equal_nan=one.dtype.kind == other.dtype.kind == "f"))


def lasting_cards(header: fits.Header) -> list[str]:
    """Return the keywords that a cut leaves as they are."""
    return [key for key in header if key not in _FRAME and not key.startswith(_CHANGED)]


def wcs_of(archive: Archive, image: ImageRecord) -> Any:
    """Return astropy's WCS of the science plane."""
    wcs = archive.plane(image, image.planes[0]).wcs
    assert wcs is not None, f"{image.identifier} has no WCS that astropy can use"
    return wcs


def middle_pixel(image: ImageRecord) -> tuple[int, int]:
    """Return x and y of the pixel in the middle, counted from 0."""
    return image.shape[0] // 2, image.shape[1] // 2


def place_of(wcs: Any, x: float, y: float) -> tuple[float, float]:
    """Return right ascension and declination (ICRS, deg) of a pixel."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        place = wcs.celestial.pixel_to_world(x, y).icrs
    return float(place.ra.deg), float(place.dec.deg)


def center_of(archive: Archive, image: ImageRecord) -> tuple[float, float]:
    """Return right ascension and declination (ICRS, deg) of the pixel in the middle."""
    return place_of(wcs_of(archive, image), *middle_pixel(image))


def delivered_sky(answer: CutoutAnswer, archive: Archive, image: ImageRecord) -> tuple[tuple[int, int] | None, ...]:
    """Return what was delivered along x and y, the celestial axes in the file's order."""
    wcs = wcs_of(archive, image)
    x, y = sorted((wcs.wcs.lng, wcs.wcs.lat))
    return answer.report.delivered.ranges[x], answer.report.delivered.ranges[y]


def odd(length: int) -> int:
    """Return the largest odd number up to a length."""
    return max(length - 1 + length % 2, 1)


def replace_file(path: Path, hdu: int) -> None:
    """Put another file in place of one: in one HDU the rows are in the opposite order."""
    status = path.stat()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with fits.open(path, do_not_scale_image_data=True, memmap=False) as hdus:
            changed: Any = hdus[hdu]
            changed.data = np.ascontiguousarray(changed.data[..., ::-1, :])
            aside = path.with_name(f".new-{path.name}")
            hdus.writeto(aside, output_verify="ignore")
    os.utime(aside, ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000_000))
    aside.replace(path)
