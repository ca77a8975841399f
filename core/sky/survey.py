"""What a stencil takes of an image, found from the image's own pixels."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from .plane import NOISE, Array, Extent, ImagePlane
from .regions import contains
from .spherical import evenly_spread
from .stencil import Shape

_CELLS = 64
"""Into how many columns and rows an image is divided at first."""

_SEEDS = 1000
"""How many places all over the sky are looked up in an image."""

_EVERY = 16
"""Of connected places along a line half a pixel apart, one of so many is looked at."""

_MOST = 200_000
"""How many places are looked at along a line: along the longest, not every pixel."""


def seeds(shape: Shape) -> Array:
    """Return places in a shape, unit vectors of shape (n, 3), some 6 degrees from each other: none if it is small."""
    places = evenly_spread(_SEEDS)
    return places[contains(shape, places)]


def survey(shape: Shape, plane: ImagePlane, found: Extent) -> None:
    """Widen the extent of a stencil's boundary to that of all the stencil, in an image that ends or is torn somewhere.

    Beyond the box of the boundary, each connected part of the image on the
    sky is in the stencil or not. Places all over the image, and all over
    the sky, find those that are; between those inside and those that are not,
    the limb is narrowed down; last, the lines just beyond the box are looked
    through until nothing is there.
    """
    columns, rows = (int(min(size, _CELLS)) for size in plane.high - plane.low)
    # What touches the image's edge from outside is not in it.
    places = plane.grid(columns, rows).clip(plane.low + 2 * NOISE, plane.high - 2 * NOISE)
    inside = contains(shape, plane.sky(places))
    found.add(Extent(places[inside]))
    for ins, outs in _borders(places, inside):
        further = ((outs < found.low) | (outs > found.high)).any(axis=1)
        found.add(Extent(_limb(shape, plane, ins[further], outs[further])))
    pixels = plane.pixels(seeds(shape))
    found.add(Extent(pixels[plane.holds(pixels, -NOISE)]))
    more = found
    while more:
        beyond = np.concatenate(list(_lines_beyond(found.pixels(), plane)))
        sky = plane.sky(beyond)
        # With no boundary there, what is connected is alike: some of it will do, and what is next to a limb.
        shown = np.isfinite(sky[:, 0])
        connected = np.roll(shown, 1) & np.roll(shown, -1)
        chosen = np.flatnonzero(shown & ~(connected & (np.arange(len(sky)) % _EVERY > 0)))
        more = Extent(beyond[chosen][contains(shape, sky[chosen])])
        found.add(more)


def _borders(places: Array, inside: NDArray[np.bool_]) -> Iterator[tuple[Array, Array]]:
    """Give neighbours in a grid of which the first is inside and the other is not, shape (n, 2)."""
    for axis in (0, 1):
        here, there = np.moveaxis(inside, axis, 0)[:-1], np.moveaxis(inside, axis, 0)[1:]
        one, other = np.moveaxis(places, axis, 0)[:-1], np.moveaxis(places, axis, 0)[1:]
        yield one[here & ~there], other[here & ~there]
        yield other[there & ~here], one[there & ~here]


def _limb(shape: Shape, plane: ImagePlane, inside: Array, outside: Array) -> Array:
    """Return the last places inside, on the way to those outside, to a part in a billion of the way."""
    for _ in range(30):
        middle = (inside + outside) / 2
        within = contains(shape, plane.sky(middle))[:, None]
        inside, outside = np.where(within, middle, inside), np.where(within, outside, middle)
    return inside


def _lines_beyond(box: Array, plane: ImagePlane) -> Iterator[Array]:
    """Give places, shape (n, 2), half a pixel apart, along the sides of a box, a hair beyond it, within the image."""
    hair = 10 * NOISE
    low, high = box[:, 0] - 0.5 - hair, box[:, 1] - 0.5 + hair
    least, most = plane.low + 2 * NOISE, plane.high - 2 * NOISE
    for axis in (0, 1):
        start, end = max(low[1 - axis], least[1 - axis]), min(high[1 - axis], most[1 - axis])
        along = np.linspace(start, end, min(int(2 * (end - start)), _MOST) + 2)
        for edge in (low[axis], high[axis]):
            if least[axis] < edge < most[axis]:
                across = np.full_like(along, edge)
                yield np.stack([across, along] if axis == 0 else [along, across], axis=-1)
    yield np.zeros((0, 2))
