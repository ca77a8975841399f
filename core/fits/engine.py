"""The cutout engine: bytes in, bytes out.

FITS is big-endian in and out, so a cutout is a copy of bytes: rows of a
mapped file into the answer, beside a header in which a handful of cards
change. Nothing is decoded but the tiles of compressed images that a box
touches, and nothing is ever resampled.
"""

import math
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imageserv.core.errors import LimitFault
from imageserv.core.request import CutoutRequest as CutoutRequest
from imageserv.core.request import Detail as Detail
from imageserv.core.sky.stencil import Section

from .cards import BLOCK, CARD, HeaderTemplate, card_keyword, make_card, printable
from .layout import Hdu
from .opened import OpenImage
from .window import Window, window


@dataclass(frozen=True, slots=True)
class OutputHdu:
    """One HDU of an answer.

    Attributes
    ----------
    template, changes, added
        The header: its cards, those that replace some of them (by place), those that follow.
    read
        Gives pixels as they will be written, big-endian, of numpy's axis
        order (a view of the mapped file where possible: it is copied once,
        into the answer); or bytes. Called when the answer is written: whoever wants the headers reads no pixel.
    """

    template: HeaderTemplate
    changes: Mapping[int, bytes]
    added: list[bytes]
    read: Callable[[], NDArray[Any] | memoryview]


@dataclass(frozen=True, slots=True)
class Cutout:
    """An answer in pieces.

    Attributes
    ----------
    hdus
        The first is the primary HDU.
    requested, delivered
        The pixels that were asked for of the parent's science plane, and those of them that it has: a range for each
        of its axes, none (``*``) along one of which nothing was asked; left out at the end, but for the celestial
        axes. `requested` is None if the image's projection cannot show the whole stencil.
    """

    hdus: tuple[OutputHdu, ...]
    requested: Section | None
    delivered: Section


def cut(image: OpenImage, request: CutoutRequest, *, drop: frozenset[str] = frozenset()) -> Cutout:
    """Cut the planes of an image that are HDUs of one file.

    Parameters
    ----------
    image
        The image, opened.
    request
        What to cut, and which HDUs to give: with detail ``all`` those that are no planes are copied as they are; else
        only tables that hold coordinates of the planes' axes.
    drop
        Keywords that point at such HDUs: left out of all headers unless detail is ``all``.

    Raises
    ------
    NoOverlapFault
        Raised if the image has no pixel that was asked for.
    LimitFault
        Raised if the cutout has more pixels than is allowed.
    UsageFault
        Raised if a section has more ranges than the image has axes.
    UnsupportedFault
        Raised if the image has no usable WCS.
    """
    record = image.record
    taken = window(image, request)
    everything = request.detail == "all"
    dropped = frozenset[str]() if everything else drop
    planes = {plane.hdu for plane in (record.planes[:1] if request.detail == "image" else record.planes)}
    if everything:
        copied = {hdu.index for hdu in image.layout.hdus} - planes
    else:
        copied = _coordinate_tables(image, planes, dropped)
    _check_limit(image, planes, taken)
    _check_copied(image, copied)

    hdus: list[OutputHdu] = []
    for hdu in image.layout.hdus:
        if hdu.index in planes:
            hdus.append(_cut_plane(image, hdu, taken, dropped))
        elif hdu.index in copied:
            # The report goes into the primary header, so a checksum of it would be wrong.
            template = HeaderTemplate(hdu.header).without({"CHECKSUM", "DATASUM"} if hdu.index == 0 else set())
            hdus.append(OutputHdu(template, {}, [], partial(image.stored, hdu)))
        elif hdu.index == 0:
            hdus.append(OutputHdu(image.primary(hdu, dropped), {}, [], lambda: memoryview(b"")))
    return Cutout(tuple(hdus), taken.requested, taken.delivered)


def _cut_plane(image: OpenImage, hdu: Hdu, taken: Window, drop: frozenset[str]) -> OutputHdu:
    header = image.header(hdu, drop)
    ranges = taken.of(hdu)
    changes, added = header.cut(ranges)
    return OutputHdu(header.template, changes, added, partial(image.pixels, hdu, ranges, header.dtype))


def _check_limit(image: OpenImage, planes: Iterable[int], taken: Window) -> None:
    pixels = sum(math.prod(stop - start for start, stop in taken.of(image.layout.hdus[index])) for index in planes)
    if pixels > image.limits.max_pixels:
        raise LimitFault(
            f"the cutout has {pixels} pixels in all its planes; at most {image.limits.max_pixels} are given at once",
            details={"limit": image.limits.max_pixels},
        )


def _check_copied(image: OpenImage, copied: Container[int]) -> None:
    size = sum(hdu.data_size for hdu in image.layout.hdus if hdu.index in copied)
    if size > image.limits.max_copied_bytes:
        raise LimitFault(
            f"the HDUs that are not cut have {size} bytes; at most {image.limits.max_copied_bytes} are copied:"
            " ask for the planes, or for the whole image",
            parameter="detail",
            details={"limit": image.limits.max_copied_bytes},
        )


def _coordinate_tables(image: OpenImage, planes: Iterable[int], drop: frozenset[str]) -> set[int]:
    """Return the tables that hold the coordinates of an axis of these planes (-TAB: FITS WCS Paper III section 6)."""
    names = frozenset[str]().union(*(image.header(image.layout.hdus[index], drop).tables for index in planes))
    if not names:
        return set()
    return {hdu.index for hdu in image.layout.hdus if hdu.kind == "table" and hdu.name in names}


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
    pieces = list(zip(_headers(cutout, cards), [hdu.read() for hdu in cutout.hdus], strict=True))
    answer = memoryview(bytearray(sum(len(header) + _padded(data.nbytes) for header, data in pieces)))
    at = 0
    for header, data in pieces:
        answer[at : at + len(header)] = header
        at += len(header)
        if isinstance(data, np.ndarray):
            # The one copy: from the mapped file straight into the answer.
            np.ndarray(data.shape, data.dtype, buffer=answer, offset=at)[...] = data
        else:
            answer[at : at + data.nbytes] = data
        at += _padded(data.nbytes)
    return answer


def write_headers(cutout: Cutout, cards: Iterable[bytes] = ()) -> str:
    """Write the headers that `write` gives the same cutout, as text; no pixel is read.

    Returns
    -------
    str
        A card a line, without the blanks at its end; END ends each header.
    """
    return header_text(_headers(cutout, cards))


def header_text(headers: Iterable[bytes]) -> str:
    """Write headers as text: a card a line, without the blanks at its end; END ends each header.

    Bytes that FITS does not allow in a header become blanks.
    """
    lines: list[bytes] = []
    for header in headers:
        header = printable(header).rstrip()  # what fills the last block
        lines += [header[at : at + CARD].rstrip() for at in range(0, len(header), CARD)]
    return b"\n".join([*lines, b""]).decode("ascii")


def _headers(cutout: Cutout, cards: Iterable[bytes]) -> list[bytes]:
    primary, *extensions = cutout.hdus
    return [
        _primary(primary, len(extensions), list(cards)),
        *(hdu.template.write(hdu.changes, hdu.added) for hdu in extensions),
    ]


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
