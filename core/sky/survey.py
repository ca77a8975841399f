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
    places, sky = plane.grid(columns, rows)
    inside = contains(shape, sky)
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
    """Return the last places inside, on the way to those outside, to some 1e-4 of a pixel."""
    for _ in range(20):
        middle = (inside + outside) / 2
        within = contains(shape, plane.sky(middle))[:, None]
        inside, outside = np.where(within, middle, inside), np.where(within, outside, middle)
    return inside


def _lines_beyond(box: Array, plane: ImagePlane) -> Iterator[Array]:
    """Give places, shape (n, 2), half a pixel apart, along the sides of a box, a hair beyond it, within the image."""
    hair = 10 * NOISE
    low = np.maximum(box[:, 0] - 0.5 - hair, plane.low)
    high = np.minimum(box[:, 1] - 0.5 + hair, plane.high)
    for axis in (0, 1):
        along = np.linspace(low[1 - axis], high[1 - axis], int(2 * (box[1 - axis, 1] - box[1 - axis, 0])) + 1)
        for edge, beyond in ((low[axis], low[axis] > plane.low[axis]), (high[axis], high[axis] < plane.high[axis])):
            if beyond:
                across = np.full_like(along, edge)
                yield np.stack([across, along] if axis == 0 else [along, across], axis=-1)
    yield np.zeros((0, 2))
