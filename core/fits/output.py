"""A cutout in pieces, and the FITS file that they make."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imageserv.core.record import ImageRecord
from imageserv.core.sky.stencil import Section

from .cards import BLOCK, CARD, HeaderTemplate, number_card, padded, printable


@dataclass(frozen=True, slots=True)
class Joined:
    """Bytes that are written one after the other."""

    parts: Sequence[NDArray[np.uint8]]

    @property
    def nbytes(self) -> int:
        """Of all."""
        return sum([part.nbytes for part in self.parts])


Data = NDArray[Any] | memoryview | Joined
"""Of an HDU: pixels as they will be written, big-endian, of numpy's axis order; or bytes."""


# Not frozen, these two: they are made for each request, and would take twice as long to make.
@dataclass(slots=True)
class OutputHdu:
    """One HDU of an answer.

    Attributes
    ----------
    template, changes, added
        The header: its cards, those that replace some of them (their numbers, and the cards), those that follow.
    read
        Gives its data: pixels as a view of the mapped file where possible, which is copied once, into the answer.
        Called when the answer is written: whoever wants the headers reads no pixel.
    """

    template: HeaderTemplate
    changes: Sequence[tuple[int, bytes]]
    added: Sequence[bytes]
    read: Callable[[], Data]


@dataclass(frozen=True, slots=True)
class Source:
    """An image that gave pixels to a cutout of several.

    Attributes
    ----------
    section
        The smallest box that has all of them, in pixels of the cutout.
    pixels
        How many it gave to each plane.
    """

    record: ImageRecord
    section: Section
    pixels: int


@dataclass(slots=True)
class Cutout:
    """An answer in pieces.

    Attributes
    ----------
    hdus
        The first is the primary HDU.
    requested, delivered
        The pixels that were asked for of the parent's science plane, and those of them that it has: a range for each
        of its axes, none (``*``) along one of which nothing was asked; left out at the end, but for the celestial
        axes. `requested` is None if the image's projection cannot show the whole stencil. Of a cutout of several
        images both count on in the parent's grid of pixels beyond its edges, from 0 downwards and from its length up.
    as_tiles
        Whether planes are tile-compressed.
    sources
        Of a cutout of several images those that gave its pixels; the others have no data. Else none.
    """

    hdus: tuple[OutputHdu, ...]
    requested: Section | None
    delivered: Section
    as_tiles: bool = False
    sources: tuple[Source, ...] = ()

    def read(self) -> list[Data]:
        """Return the data of each HDU."""
        return [hdu.read() for hdu in self.hdus]


_Header = tuple[HeaderTemplate, Sequence[tuple[int, bytes]], bytes]
"""A template, the cards that replace some of its own, and the cards that follow."""


def write(cutout: Cutout, cards: Iterable[bytes] = (), data: Sequence[Data] | None = None) -> memoryview:
    """Write a cutout as a FITS file.

    Parameters
    ----------
    cards
        Added to the primary header.
    data
        What the cutout read, if it did so already.

    Returns
    -------
    memoryview
        The file's bytes.
    """
    parts = cutout.read() if data is None else data
    headers = _headers(cutout, cards)
    size = sum([template.size(len(added)) for template, _, added in headers])
    size += sum([padded(part.nbytes) for part in parts])
    # Not cleared: every byte is written below, padding too.
    answer = np.empty(size, np.uint8).data
    at = 0
    for (template, changes, added), part in zip(headers, parts, strict=True):
        at = template.write_into(answer, at, changes, added)
        end = at + part.nbytes
        if isinstance(part, np.ndarray):
            # The one copy: from the mapped file straight into the answer.
            np.ndarray(part.shape, part.dtype, answer, at)[...] = part
        elif isinstance(part, Joined):
            np.concatenate(part.parts, out=np.ndarray(part.nbytes, np.uint8, answer, at))
        else:
            answer[at:end] = part
        at = end + -end % BLOCK
        answer[end:at] = bytes(at - end)
    return answer


def write_headers(cutout: Cutout, cards: Iterable[bytes] = ()) -> str:
    """Write the headers that `write` gives the same cutout, as text; no pixel is read.

    Returns
    -------
    str
        A card a line, without the blanks at its end; END ends each header.
    """
    return header_text(template.write(changes, (added,)) for template, changes, added in _headers(cutout, cards))


def header_text(headers: Iterable[bytes]) -> str:
    """Write headers as text: a card a line, without the blanks at its end; END ends each header.

    Bytes that FITS does not allow in a header become blanks.
    """
    lines: list[bytes] = []
    for header in headers:
        header = printable(header).rstrip()  # what fills the last block
        lines += [header[at : at + CARD].rstrip() for at in range(0, len(header), CARD)]
    return b"\n".join([*lines, b""]).decode("ascii")


def _headers(cutout: Cutout, cards: Iterable[bytes]) -> list[_Header]:
    primary, *extensions = cutout.hdus
    headers = [_primary(primary, len(extensions), cards)]
    headers += [(hdu.template, hdu.changes, b"".join(hdu.added)) for hdu in extensions]
    return headers


def _primary(hdu: OutputHdu, extensions: int, added: Iterable[bytes]) -> _Header:
    """Return the primary header: with the given cards, and EXTEND (FITS 4.0 section 4.4.2.1) and NEXTEND true."""
    template, changes, cards = hdu.template, list(hdu.changes), [*hdu.added, *added]
    if (place := template.place("NEXTEND")) is not None:
        changes.append((place, number_card("NEXTEND", extensions, "number of extensions")))
    if extensions:
        if (place := template.place("EXTEND")) is not None:
            changes.append((place, number_card("EXTEND", True)))
        else:
            cards.append(number_card("EXTEND", True))
    return template, changes, b"".join(cards)
