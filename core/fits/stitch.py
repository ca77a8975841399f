"""One cutout out of several images that share one grid of pixels: pixels are copied, never resampled.

Who gives which pixels is for the dataset to say; what is done here holds for any. What the headers of
the images say of their pixels must agree, or nothing is given; what else they say is kept where all say it.
"""

import re
from collections.abc import Callable, Mapping, Sequence, Set
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from imageserv.core.answer import MOST_SOURCES
from imageserv.core.errors import LimitFault, UnsupportedFault, UsageFault
from imageserv.core.record import Plane
from imageserv.core.request import CutoutRequest
from imageserv.core.sky.boxes import PixelBox
from imageserv.core.sky.stencil import Section

from .cards import CARD, HeaderTemplate, card_keyword, make_card
from .layout import Hdu, stored_type
from .opened import OpenImage
from .output import Cutout, OutputHdu, Source
from .plan import make_plan
from .tileheader import image_header
from .wcscards import sound_cards, wcs_header

SOURCE = "SOURCE"
"""EXTNAME of the plane that says which image gave each pixel: n for that of CUTSRCn, 0 for none."""

_SCALING = ("BSCALE", "BZERO", "BLANK", "BUNIT")
_NO_GRID = re.compile(r"(NAXIS\d*|CRPIX[12]|(DATE|MJD|OBSGEO)-.*|MJDREF[IF]?|TIMESYS|WCSNAME)$")
_ALTERNATE = re.compile(r"(\d|WCSAXES|LONPOLE|LATPOLE|EQUINOX|RADESYS|WCSNAME)[A-Z]$")
_STRUCTURE = re.compile(
    r"(SIMPLE|XTENSION|BITPIX|NAXIS\d*|PCOUNT|GCOUNT|EXTEND|NEXTEND|BSCALE|BZERO|BLANK|WCSAXES[A-Z]?"
    r"|LT[VM]\d+(_\d+)?|(CTYPE|CRVAL|CRPIX|CDELT|CUNIT|CROTA)\d+[A-Z]?|(PC|CD|PV|PS)\d+_\d+[A-Z]?)$"
)
"""What the parent's header says of its array and its grid goes for the cutout, whatever others say."""

_SAME = 1e-6
"""Pixels: how near to a whole number the offset of two grids must be."""

Offset = tuple[int, int]
"""Of an image's first pixel from the parent's, along x and y."""

Blank = Callable[[str, fits.Header], int | None]
"""Gives what is stored in an integer plane, by name and header, where there are no data; None for its BLANK."""


class Share(NamedTuple):
    """A part of a stitched cutout.

    Attributes
    ----------
    image
        That gives its pixels.
    offset
        Of that image.
    box
        The part: half-open ranges, in the parent's pixels counted from 0.
    """

    image: OpenImage
    offset: Offset
    box: PixelBox


def grid_offset(parent: OpenImage, other: OpenImage) -> Offset:
    """Return where the first pixel of another image is in an image's grid of pixels.

    Raises
    ------
    UnsupportedFault
        Raised if one of them is no plain image of two axes, or if they do not share one grid: their WCSs may differ in
        CRPIX alone, by whole pixels.
    """
    for image in (parent, other):
        if len(image.science.shape) != 2 or image.wcs.axes != (0, 1):
            raise UnsupportedFault(f"{image.record.identifier} cannot be stitched: it is no image of two axes")
    pair = f"{other.record.identifier} cannot be stitched to {parent.record.identifier}"
    one: Any = wcs_header(parent.science)
    two: Any = wcs_header(other.science)
    grids = [
        {key: header[key] for key in header if not (_NO_GRID.match(key) or _ALTERNATE.search(key))}
        for header in (one, two)
    ]
    if differing := sorted(key for key in {*grids[0], *grids[1]} if grids[0].get(key) != grids[1].get(key)):
        raise UnsupportedFault(f"{pair}: their WCSs differ in {', '.join(differing[:5])}, not in CRPIX alone")
    exact = [float(one.get(key, 0.0)) - float(two.get(key, 0.0)) for key in ("CRPIX1", "CRPIX2")]
    x, y = (round(offset) for offset in exact)
    if max(abs(x - exact[0]), abs(y - exact[1])) > _SAME:
        raise UnsupportedFault(f"{pair}: their grids are {exact[0]!r} and {exact[1]!r} pixels apart, no whole numbers")
    return x, y


def check_size(image: OpenImage, request: CutoutRequest, box: PixelBox) -> None:
    """Refuse a stitched cutout that is too large, before other images are looked for.

    Raises
    ------
    LimitFault
        Raised if it has more pixels than is allowed: in its planes, and in that which says where they are from.
    """
    (left, right), (low, high) = box
    planes = 1 if request.detail == "image" else len(image.record.planes) + 1
    pixels = planes * (right - left) * (high - low)
    if pixels > image.limits.max_pixels:
        raise LimitFault(
            f"the cutout has {pixels} pixels in all its planes; at most {image.limits.max_pixels} are given at once",
            details={"limit": image.limits.max_pixels},
        )


def stitch(
    parent: OpenImage,
    request: CutoutRequest,
    requested: Section | None,
    box: PixelBox,
    shares: Sequence[Share],
    *,
    blank: Blank,
    alike: re.Pattern[str],
    drop: Set[str] = frozenset(),
) -> Cutout:
    """Put a cutout together.

    It has the planes of the parent, and unless the science plane alone is wanted a further one, `SOURCE`. Pixels that
    no image gives are without data: NaN, or what `blank` says.

    Parameters
    ----------
    parent
        The image whose headers, and whose grid of pixels, the cutout has.
    requested
        What was asked for, in that grid, as `Cutout` has it.
    box
        What is given: half-open ranges along x and y, which may reach beyond the parent.
    shares
        Who gives what; they do not overlap.
    alike
        Keywords, beside those of FITS itself, that say what pixels mean: the images must agree in their values.
    drop
        As of `imageserv.core.fits.engine.cut`.

    Raises
    ------
    LimitFault
        Raised if there are too many pixels, or images.
    UsageFault
        Raised if more than planes is wanted: the tables of one image are not true of all.
    UnsupportedFault
        Raised if the images do not fit together, or have no value for what is without data.
    """
    check_size(parent, request, box)
    if request.detail == "all":
        raise UsageFault(
            "a cutout of several images has planes alone: the tables of one are not true of the others",
            parameter="detail",
        )
    images = list({share.image.record.science_id: share.image for share in shares}.values())
    if len(images) > MOST_SOURCES:
        raise LimitFault(f"the cutout is made of {len(images)} images; at most {MOST_SOURCES} are put together")
    planes = parent.record.planes[:1] if request.detail == "image" else parent.record.planes
    differing: set[str] = set()
    for image in images:
        if image is not parent:
            differing |= _differing(parent.layout.hdus[0], image.layout.hdus[0], image, alike)
            for plane in planes:
                differing |= _differing(_found(parent, plane)[1], _found(image, plane)[1], image, alike)
    numbers = {image.record.science_id: number for number, image in enumerate(images, 1)}
    sources = _sources(box, shares, numbers)
    whole = sum(source.pixels for source in sources) == (box[0][1] - box[0][0]) * (box[1][1] - box[1][0])
    layouts = {path: other.layout for path, other in parent.beside.items()}
    plan = make_plan(parent.record, parent.layout, request.detail, drop | differing, layouts)
    by_place = {(plane.file and plane.file.path, plane.hdu): plane for plane in planes}
    hdus: list[OutputHdu] = []
    science = b""
    for part in plan.parts:
        if part.plane is None:
            hdus.append(OutputHdu(part.template, (), (), lambda: memoryview(b"")))
            continue
        plane = by_place[part.path, part.hdu.index]
        changes, added = part.plane.cut(box)
        value = 0 if whole else _blank(plane.name, part.hdu, blank)
        hdus.append(OutputHdu(part.template, changes, added, partial(_pixels, plane, part.hdu, box, shares, value)))
        if plane is planes[0]:
            science = part.template.write(changes, added)
    if request.detail != "image":
        header = _source_header(science, box)
        hdus.append(OutputHdu(header, (), (), partial(_numbers, box, shares, numbers)))
    return Cutout(tuple(hdus), requested, Section(box), sources=sources)


def _found(image: OpenImage, plane: Plane) -> tuple[OpenImage, Hdu]:
    """Return the plane of an image that is called as another's, behind the file that holds it.

    Raises
    ------
    UnsupportedFault
        Raised if there is none.
    """
    for own in image.record.planes:
        if own.name == plane.name:
            holder = image.holder(None if own.file is None else own.file.path)
            hdu = holder.layout.hdus[own.hdu]
            if hdu.shape == image.science.shape:
                return holder, hdu
    raise UnsupportedFault(f"{image.record.identifier} cannot be stitched: it has no {plane.name} like its image")


def _differing(one: Hdu, other: Hdu, image: OpenImage, alike: re.Pattern[str]) -> set[str]:
    """Return the keywords of which two headers say different things; refuse those that say what pixels mean."""
    where = f"{image.record.identifier} cannot be stitched"
    if one.bitpix != other.bitpix:
        raise UnsupportedFault(f"{where}: it has pixels of BITPIX {other.bitpix}, not {one.bitpix}")
    values = [
        {key: header[key] for key in header if key in _SCALING or alike.fullmatch(key)}
        for header in (_parsed(one), _parsed(other))
    ]
    for key in sorted({*values[0], *values[1]}):
        if values[0].get(key) != values[1].get(key):
            raise UnsupportedFault(f"{where}: it has {key} = {values[1].get(key)!r}, not {values[0].get(key)!r}")
    said, others = _said(_header(one)), _said(_header(other))
    return {key for key, cards in said.items() if others.get(key) != cards and not _STRUCTURE.match(key)}


def _header(hdu: Hdu) -> bytes:
    return image_header(hdu) if hdu.kind == "compressed" else hdu.header


def _parsed(hdu: Hdu) -> fits.Header:
    return fits.Header.fromstring(image_header(hdu)) if hdu.kind == "compressed" else hdu.parsed()


def _said(header: bytes) -> dict[str, bytes]:
    """Return the cards of each keyword, with the CONTINUE cards that belong to them."""
    said: dict[str, bytes] = {}
    keyword = ""
    for card in HeaderTemplate(header).cards():
        found = card_keyword(card)
        keyword = keyword if found == "CONTINUE" else found
        said[keyword] = said.get(keyword, b"") + card
    return said


def _sources(box: PixelBox, shares: Sequence[Share], numbers: Mapping[int, int]) -> tuple[Source, ...]:
    (left, _), (low, _) = box
    sources: list[Source] = []
    for science_id in numbers:
        own = [share for share in shares if share.image.record.science_id == science_id]
        (x0, x1), (y0, y1) = _around(own)
        pixels = sum((right - first) * (high - bottom) for _, _, ((first, right), (bottom, high)) in own)
        section = Section(((x0 - left, x1 - left), (y0 - low, y1 - low)))
        sources.append(Source(own[0].image.record, section, pixels))
    return tuple(sources)


def _around(shares: Sequence[Share]) -> PixelBox:
    """Return the smallest box that has all shares."""
    xs, ys = zip(*(share.box for share in shares), strict=True)
    return (min(x[0] for x in xs), max(x[1] for x in xs)), (min(y[0] for y in ys), max(y[1] for y in ys))


def _blank(name: str, hdu: Hdu, blank: Blank) -> float | int:
    if hdu.bitpix < 0:
        return float("nan")
    header = _parsed(hdu)
    value: Any = blank(name, header)
    if value is None:
        value = header.get("BLANK")
    if isinstance(value, bool) or not isinstance(value, int):
        raise UnsupportedFault(
            f"a part of what was asked for has no image, and the {name} plane has no value for pixels without data"
        )
    return value


def _pixels(plane: Plane, like: Hdu, box: PixelBox, shares: Sequence[Share], blank: float | int) -> NDArray[Any]:
    """Return a plane of the cutout, as it is stored."""
    (left, right), (low, high) = box
    pixels = np.full((high - low, right - left), blank, stored_type(like.bitpix))
    for image in {share.image.record.science_id: share.image for share in shares}.values():
        own = [share for share in shares if share.image is image]
        (x0, x1), (y0, y1) = _around(own)  # read at once: tiles of compressed planes are decoded once
        dx, dy = own[0].offset
        holder, hdu = _found(image, plane)
        given = holder.pixels(hdu, [(x0 - dx, x1 - dx), (y0 - dy, y1 - dy)])
        for _, _, ((first, last), (bottom, top)) in own:
            part = given[bottom - y0 : top - y0, first - x0 : last - x0]
            pixels[bottom - low : top - low, first - left : last - left] = part
    return pixels


def _numbers(box: PixelBox, shares: Sequence[Share], numbers: Mapping[int, int]) -> NDArray[Any]:
    """Return which image gave each pixel."""
    (left, right), (low, high) = box
    pixels = np.zeros((high - low, right - left), np.uint8)
    for image, _, ((first, last), (bottom, top)) in shares:
        pixels[bottom - low : top - low, first - left : last - left] = numbers[image.record.science_id]
    return pixels


def _source_header(science: bytes, box: PixelBox) -> HeaderTemplate:
    """Return the header of the plane `SOURCE`: with the WCS that the science plane of the cutout has."""
    (left, right), (low, high) = box
    numbers = {"BITPIX": 8, "NAXIS": 2, "NAXIS1": right - left, "NAXIS2": high - low, "PCOUNT": 0, "GCOUNT": 1}
    cards = [make_card("XTENSION", "IMAGE"), *(make_card(key, value) for key, value in numbers.items())]
    cards += [make_card("EXTNAME", SOURCE), make_card("BUNIT", "", "n: the image of CUTSRCn; 0: none")]
    cards += [card for keyword, card in sound_cards(science).cards.items() if not keyword.startswith("NAXIS")]
    return HeaderTemplate(b"".join(card.ljust(CARD) for card in cards))
