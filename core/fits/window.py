"""From a request to the pixels that it takes of one image: a range along every axis of the science plane."""

from collections.abc import Sequence
from typing import NamedTuple

from imageserv.core.errors import NoOverlapFault, UsageFault
from imageserv.core.request import CutoutRequest
from imageserv.core.sky.boxes import reach
from imageserv.core.sky.stencil import Box, Interval, Section, Shape

from .headers import Ranges
from .layout import Hdu
from .opened import OpenImage
from .tiles import TileReader

Span = tuple[int, int]


class Window(NamedTuple):
    """What a request takes of an image.

    Attributes
    ----------
    shape
        Of the science plane, NAXIS1 first.
    ranges
        Within the science plane, one per axis; none is empty.
    requested, delivered
        The pixels of the science plane that were asked for, and those of them that it has. `requested` is None if
        the image's projection cannot show the whole stencil.
    """

    shape: tuple[int, ...]
    ranges: Ranges
    requested: Section | None
    delivered: Section

    def of(self, plane: Hdu) -> Ranges:
        """Return the ranges for a plane of the image, which is cut alike along the axes that it shares.

        Planes share the celestial axes, and those others of which they have
        as many pixels; of an axis that is its own a plane is given whole.
        """
        if plane.shape == self.shape:
            return self.ranges
        return [
            self.ranges[axis] if self.shape[axis : axis + 1] == (length,) else (0, length)
            for axis, length in enumerate(plane.shape)
        ]

    def widened(self, planes: Sequence[tuple[TileReader, Hdu]]) -> "Window":
        """Return a window of whole tiles of all these planes, which may be of different sizes."""
        ranges = list(self.ranges)
        before: list[Span] = []
        while ranges != before:
            before = list(ranges)
            for tiles, plane in planes:
                mine = tiles.widened(plane, self._replace(ranges=ranges).of(plane))
                for axis, (length, span) in enumerate(zip(plane.shape, mine, strict=True)):
                    if self.shape[axis : axis + 1] == (length,):
                        ranges[axis] = span
        spans = self.delivered.ranges
        given = tuple([None if span is None else ranges[axis] for axis, span in enumerate(spans)])
        return self._replace(ranges=ranges, delivered=Section(given))


def window(image: OpenImage, request: CutoutRequest) -> Window:
    """Find what a request takes of an image.

    BAND and POL take pixels where the WCS of the science plane has such an
    axis; else, and TIME always, they take the image whole or not at all, by
    what the registry knows of it. What it does not know refuses nobody.

    Raises
    ------
    NoOverlapFault
        Raised if the image has no pixel that all constraints take.
    UsageFault
        Raised if a section has more ranges than the image has axes.
    UnsupportedFault
        Raised for a stencil on the sky if the image has no usable celestial WCS.
    """
    shape = image.science.shape
    asked: list[Span | None] = [None] * len(shape)  # of each axis; None where nothing was asked
    taken: list[Span] = [(0, length) for length in shape]
    whole = True  # can the projection show all that was asked for?
    match request.stencil:
        case None:
            asked = list(taken)
        case Section():
            _cut_section(request.stencil, asked, taken)
        case _:
            whole = _cut_sky(image, request.stencil, asked, taken)
    if request.time is not None:
        _check_time(image, request.time)
    if request.band is not None:
        _cut_band(image, request.band, asked, taken)
    if request.pol:
        _cut_pol(image, request.pol, asked, taken)

    least = image.sky_axes[1] + 1
    given = _section([None if wanted is None else span for wanted, span in zip(asked, taken, strict=True)], least)
    if not whole:
        return Window(shape, taken, None, given)
    return Window(shape, taken, given if asked == taken else _section(asked, least), given)


def _section(ranges: list[Span | None], least: int) -> Section:
    """Make a section without ranges that say nothing at its end, but of at least so many."""
    count = len(ranges)
    while count > least and ranges[count - 1] is None:
        count -= 1
    return Section(tuple(ranges[:count]))


def _cut_section(section: Section, asked: list[Span | None], taken: list[Span]) -> None:
    if any(span is not None for span in section.ranges[len(asked) :]):
        raise UsageFault(
            f"PIXELS={section} has {len(section.ranges)} ranges, but the image has {len(asked)} axes: NAXIS1 is the"
            " first",
            parameter="PIXELS",
        )
    for axis, span in enumerate(section.ranges[: len(asked)]):
        if span is not None:
            start, stop = max(span[0], 0), min(span[1], taken[axis][1])
            if start >= stop:
                raise NoOverlapFault(
                    f"the image has no pixel there: the section {section} is outside"
                    f" of its {' x '.join(str(stop) for _, stop in taken)} pixels"
                )
            asked[axis], taken[axis] = span, (start, stop)


def _cut_sky(image: OpenImage, stencil: Box | Shape, asked: list[Span | None], taken: list[Span]) -> bool:
    """Cut along the celestial axes; return whether the image's projection has the whole stencil."""
    x, y = image.wcs.axes
    found = reach(stencil, image.wcs, taken[x][1], taken[y][1])
    taken[x], taken[y] = found.delivered
    asked[x], asked[y] = found.requested or found.delivered
    return found.requested is not None


def _check_time(image: OpenImage, time: Interval) -> None:
    first, last = image.record.observation.t_min, image.record.observation.t_max
    if first is not None and last is not None and not _meet(time, (first, last)):
        raise NoOverlapFault(
            f"the image was taken from MJD {first!r} to {last!r}, not within {time[0]!r} to {time[1]!r} (TIME, UTC)"
        )


def _cut_band(image: OpenImage, band: Interval, asked: list[Span | None], taken: list[Span]) -> None:
    what = f"BAND {band[0]!r} to {band[1]!r} m"
    axis = image.spectral
    if axis is None:
        low, high = image.record.observation.em_min, image.record.observation.em_max
        if low is not None and high is not None and not _meet(band, (low, high)):
            raise NoOverlapFault(f"the image has wavelengths of {low!r} to {high!r} m, none in {what}")
        return
    length = image.science.shape[axis.axis] if axis.axis < len(taken) else 1
    channels = axis.channels(band, length)
    if channels is None:
        low, high = axis.limits(length)
        raise NoOverlapFault(f"the image has wavelengths of {low!r} to {high!r} m in {length} channels, none in {what}")
    _narrow(what, axis.axis, channels, asked, taken)


def _cut_pol(image: OpenImage, pol: tuple[str, ...], asked: list[Span | None], taken: list[Span]) -> None:
    axis = image.polarization
    if axis is None:
        return
    what = f"POL {' '.join(pol)}"
    length = image.science.shape[axis.axis] if axis.axis < len(taken) else 1
    span = axis.span(pol, length)
    if span is None:
        states = " ".join(filter(None, axis.states(length))) or "none that has a name"
        raise NoOverlapFault(f"the image has no polarization state of {what}: it has {states}")
    _narrow(what, axis.axis, span, asked, taken)


def _narrow(what: str, axis: int, span: Span, asked: list[Span | None], taken: list[Span]) -> None:
    """Cut along one axis further: to what is in a span, too."""
    if axis >= len(taken):  # an axis of one pixel that only the WCS has
        return
    start, stop = _intersection(taken[axis], span)
    if start >= stop:
        raise NoOverlapFault(
            f"{what} is in pixels {span[0] + 1} to {span[1]} of axis {axis + 1}, of which the section asked for has"
            " none"
        )
    taken[axis] = start, stop
    asked[axis] = _intersection(asked[axis] or span, span)


def _intersection(one: Span, other: Span) -> Span:
    return max(one[0], other[0]), min(one[1], other[1])


def _meet(one: Interval, other: Interval) -> bool:
    return one[0] <= other[1] and other[0] <= one[1]
