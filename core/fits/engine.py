"""The cutout engine: bytes in, bytes out.

FITS is big-endian in and out, so a cutout is a copy of bytes: rows of a
mapped file into the answer, beside a header in which a handful of cards
change. Nothing is decoded but the tiles of compressed images that a box
touches, and nothing is ever resampled.
"""

from collections.abc import Container, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from imageserv.core.errors import LimitFault, NoOverlapFault, UnsupportedFault
from imageserv.core.sky.boxes import pixel_box
from imageserv.core.sky.stencil import PixelBox, Stencil

from .cards import HeaderTemplate, card_keyword, make_card
from .headers import empty_primary
from .layout import BLOCK, Hdu
from .opened import OpenImage

Detail = Literal["image", "planes", "all"]
"""The science plane alone; all planes; all planes and every other HDU."""


@dataclass(frozen=True, slots=True)
class CutoutRequest:
    """What to cut out of an image, and how much of it to give."""

    stencil: Stencil
    detail: Detail


@dataclass(frozen=True, slots=True)
class OutputHdu:
    """One HDU of an answer.

    Attributes
    ----------
    template, changes, added
        The header: its cards, those that replace some of them (by place), those that follow.
    data
        Pixels as they will be written, big-endian, of numpy's axis order (a
        view of the mapped file where possible: it is copied once, into the
        answer); or bytes.
    """

    template: HeaderTemplate
    changes: dict[int, bytes]
    added: list[bytes]
    data: NDArray[Any] | memoryview


@dataclass(frozen=True, slots=True)
class Cutout:
    """An answer in pieces.

    Attributes
    ----------
    hdus
        The first is the primary HDU.
    requested, delivered
        The box that the stencil makes in the parent image, and what of it the parent has.
    """

    hdus: tuple[OutputHdu, ...]
    requested: PixelBox
    delivered: PixelBox


def cut(image: OpenImage, request: CutoutRequest, *, drop: frozenset[str] = frozenset()) -> Cutout:
    """Cut the planes of an image that are HDUs of one file.

    Parameters
    ----------
    image
        The image, opened.
    request
        The stencil, and which HDUs to give: with detail ``all`` those that are no planes are copied as they are.
    drop
        Keywords that point at such HDUs: left out of all headers unless detail is ``all``.

    Raises
    ------
    NoOverlapFault
        Raised if no pixel of the image is in the stencil.
    LimitFault
        Raised if the cutout has more pixels than is allowed.
    UnsupportedFault
        Raised if the image has no usable WCS.
    """
    record = image.record
    requested = pixel_box(request.stencil, image.wcs)
    delivered = requested.clip(width=record.shape[0], height=record.shape[1])
    if not delivered.area:
        raise NoOverlapFault(
            f"the image has no pixel there: the request makes the box {requested.section()} in"
            f" an image of {record.shape[0]} x {record.shape[1]}"
        )
    everything = request.detail == "all"
    dropped = frozenset[str]() if everything else drop
    planes = {plane.hdu for plane in (record.planes[:1] if request.detail == "image" else record.planes)}
    _check_limit(image, planes, delivered)
    if everything:
        _check_copied(image, planes)
    else:
        _check_tables(image, planes)

    hdus: list[OutputHdu] = []
    for hdu in image.layout.hdus:
        if hdu.index in planes:
            hdus.append(_cut_plane(image, hdu, delivered, dropped))
        elif everything:
            # The report goes into the primary header, so a checksum of it would be wrong.
            template = HeaderTemplate(hdu.header).without({"CHECKSUM", "DATASUM"} if hdu.index == 0 else set())
            hdus.append(OutputHdu(template, {}, [], image.stored(hdu)))
        elif hdu.index == 0:
            hdus.append(OutputHdu(empty_primary(hdu, dropped), {}, [], memoryview(b"")))
    return Cutout(tuple(hdus), requested, delivered)


def _ranges(image: OpenImage, hdu: Hdu, box: PixelBox) -> list[tuple[int, int]]:
    ranges = [(0, length) for length in hdu.shape]
    x_axis, y_axis = image.wcs.axes
    ranges[x_axis] = (box.x_min, box.x_max)
    ranges[y_axis] = (box.y_min, box.y_max)
    return ranges


def _cut_plane(image: OpenImage, hdu: Hdu, box: PixelBox, drop: frozenset[str]) -> OutputHdu:
    header = image.header(hdu, drop)
    ranges = _ranges(image, hdu, box)
    changes, added = header.cut(ranges)
    return OutputHdu(header.template, changes, added, image.pixels(hdu, ranges, header.dtype))


def _check_limit(image: OpenImage, planes: Iterable[int], box: PixelBox) -> None:
    pixels = 0
    for index in planes:
        count = 1
        for start, stop in _ranges(image, image.layout.hdus[index], box):
            count *= stop - start
        pixels += count
    if pixels > image.limits.max_pixels:
        raise LimitFault(
            f"the cutout has {pixels} pixels in all its planes; at most {image.limits.max_pixels} are given at once",
            details={"limit": image.limits.max_pixels},
        )


def _check_copied(image: OpenImage, planes: Container[int]) -> None:
    size = sum(hdu.data_size for hdu in image.layout.hdus if hdu.index not in planes)
    if size > image.limits.max_copied_bytes:
        raise LimitFault(
            f"the HDUs that are not cut have {size} bytes; at most {image.limits.max_copied_bytes} are copied:"
            " ask for the planes, or for the whole image",
            parameter="detail",
            details={"limit": image.limits.max_copied_bytes},
        )


def _check_tables(image: OpenImage, planes: Iterable[int]) -> None:
    """Refuse to leave out a table that holds the coordinates of an axis (FITS 4.0 section 8.3: -TAB)."""
    for index in planes:
        header = HeaderTemplate(image.layout.hdus[index].header)
        if any(
            keyword.startswith("CTYPE") and str(header.value(keyword)).endswith("-TAB") for keyword in header.places
        ):
            raise UnsupportedFault("the image's WCS is partly in a table: ask for detail=all", parameter="detail")


def write(cutout: Cutout, cards: Iterable[bytes] = ()) -> memoryview:
    """Write a cutout as a FITS file.

    Parameters
    ----------
    cards
        Added to the primary header.

    Returns
    -------
    memoryview
        The file's bytes.
    """
    extensions = len(cutout.hdus) - 1
    headers: list[bytes] = []
    for index, hdu in enumerate(cutout.hdus):
        if index == 0:
            headers.append(_primary(hdu, extensions, list(cards)))
        else:
            headers.append(hdu.template.write(hdu.changes, hdu.added))
    total = sum(len(header) for header in headers) + sum(_padded(hdu.data.nbytes) for hdu in cutout.hdus)
    answer = memoryview(bytearray(total))
    at = 0
    for header, hdu in zip(headers, cutout.hdus, strict=True):
        answer[at : at + len(header)] = header
        at += len(header)
        data, size = hdu.data, hdu.data.nbytes
        if isinstance(data, np.ndarray):
            # The one copy: from the mapped file straight into the answer.
            np.ndarray(data.shape, data.dtype, buffer=answer, offset=at)[...] = data
        else:
            answer[at : at + size] = data
        at += _padded(size)
    return answer


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _primary(hdu: OutputHdu, extensions: int, cards: list[bytes]) -> bytes:
    """Write the primary header: with the given cards in place of any of their names, and EXTEND and NEXTEND true.

    EXTEND is FITS 4.0's (section 4.4.2.1); a cutout of a cutout has a report already, which is not this one's.
    """
    template, changes = hdu.template, dict(hdu.changes)
    keywords = {card_keyword(card) for card in cards}
    if any(keyword in template for keyword in keywords):
        written = HeaderTemplate(template.write(changes, hdu.added)).without(keywords)
        template, changes = written, {}
    else:
        cards = [*hdu.added, *cards]
    if "NEXTEND" in template:
        changes[template.places["NEXTEND"][0]] = make_card("NEXTEND", extensions, "number of extensions")
    if extensions and "EXTEND" in template:
        changes[template.places["EXTEND"][0]] = make_card("EXTEND", True)
    elif extensions:
        cards.append(make_card("EXTEND", True))
    return template.write(changes, cards)
