"""Where arcs on the sky run through the pixels of an image."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .footprint import separation
from .plane import Array, Extent, ImagePlane
from .spherical import Arcs

_BEND = 0.1
"""Pixels. How far the middle of a piece may be off its chord; pieces are parabolas, which follow 1000 times closer."""

_BEND_AFAR = 1e-3
"""The same for pieces beyond the image, as a part of the chord."""

_CHORDS = 16
"""Into how many chords a parabola is divided in the end."""

_TINY = 1e-3
"""Pixels. How closely the end of a projection is approached."""

_MOST_PIECES = 100_000
"""More are not followed: then the image has to be searched from its own pixels."""

_LONGEST, _WIDEST_TURN = np.radians(4.0), 2 * np.pi / 64
"""The first pieces are no longer than this, and turn no farther about the middle of their circle."""


@dataclass(frozen=True, slots=True)
class Trace:
    """Arcs as they run through the pixel plane.

    Attributes
    ----------
    pieces : ndarray, shape (n, 3, 2)
        x, y of the start, the middle and the end of each piece, which is a
        parabola through them; where a projection ends, of one point thrice.
    whole
        True if every arc is here from end to end, without a leap. If not, what is far from the image is left out.
    broken
        True if an arc came to an end within the image, or was too long to follow.
    """

    pieces: Array
    whole: bool
    broken: bool

    def extent(self) -> Extent:
        """Return the extent of all pieces."""
        middle, slope, bend = _parabolas(self.pieces)
        least, most = _least_and_most(self.pieces)
        turning = np.abs(slope) < 2 * np.abs(bend)
        tip = np.where(turning, middle - slope**2 / np.where(turning, 4 * bend, 1.0), middle)
        return Extent(np.concatenate([least, most, tip]))

    def extent_within(self, low: Array, high: Array) -> Extent:
        """Return the extent of what lies between a lowest and a highest x and y, each of shape (2,)."""
        least, most = _least_and_most(self.pieces)
        bulge = most - least  # a parabola may go beyond its three points, never as far
        near = ((least - bulge <= high) & (most + bulge >= low)).all(axis=1)
        start, end = _chords(self.pieces[near])
        step = end - start
        # Liang and Barsky 1984, ACM Trans. Graph. 3, 1: the parts of a chord within each pair of parallels.
        with np.errstate(divide="ignore", invalid="ignore"):
            one, other = (low - start) / step, (high - start) / step
        level = step == 0
        outside = level & ((start < low) | (start > high))
        enter = np.where(level, 0.0, np.minimum(one, other)).max(axis=1).clip(0.0)
        leave = np.where(level, 1.0, np.maximum(one, other)).min(axis=1).clip(max=1.0)
        kept = (enter <= leave) & ~outside.any(axis=1)
        start, step, enter, leave = start[kept], step[kept], enter[kept, None], leave[kept, None]
        return Extent(np.concatenate([start + enter * step, start + leave * step]).clip(low, high))


def _least_and_most(pieces: Array) -> tuple[Array, Array]:
    """Return the lowest and highest x and y of each piece, shape (n, 2)."""
    first, middle, last = pieces.swapaxes(0, 1)
    return np.minimum(np.minimum(first, middle), last), np.maximum(np.maximum(first, middle), last)


def _parabolas(pieces: Array) -> tuple[Array, Array, Array]:
    """Return m, a, b, each of shape (n, 2), of the parabolas ``m + a s + b s**2``, for s from -1/2 to 1/2."""
    first, middle, last = pieces.swapaxes(0, 1)
    return middle, last - first, 2 * ((first - middle) + (last - middle))


def _chords(pieces: Array) -> tuple[Array, Array]:
    """Divide parabolas into chords: their starts and ends, shape (k, 2)."""
    middle, slope, bend = _parabolas(pieces)
    s = np.linspace(-0.5, 0.5, _CHORDS + 1)[:, None, None]
    points = middle + s * slope + s**2 * bend
    return points[:-1].reshape(-1, 2), points[1:].reshape(-1, 2)


def trace(arcs: Arcs, plane: ImagePlane, sheet: int = 0) -> Trace:
    """Follow arcs through the pixel plane of an image.

    Arcs are divided until each piece is a parabola to a thousandth of a pixel.
    Where pixels leap, or there are none on one side, the place of that is
    narrowed down to `_TINY` pixels.

    Parameters
    ----------
    sheet
        As `ImagePlane.pixels` has it.
    """
    done = [np.zeros((0, 3, 2))]
    whole, broken, count = True, False, 0
    tiny = _TINY * np.radians(plane.wcs.pixel_size)
    radius = arcs.radius
    arc, turns = _first_pieces(arcs, radius)
    pixels, far = _places(arcs, plane, sheet, arc, turns)
    while True:
        count += len(arc)
        if count > _MOST_PIECES:
            whole, broken = False, True
            break
        shown = np.isfinite(pixels[..., 0])
        known = shown[:, 0] & shown[:, 1] & shown[:, 2]
        followed = known & _is_smooth(pixels, plane)
        done.append(pixels[followed])

        length = radius[arc] * (turns[:, 2] - turns[:, 0])
        ended = ~followed & (length <= tiny)
        ends = pixels[ended][shown[ended]]
        done.append(np.repeat(ends[:, None], 3, axis=1))
        broken = broken or bool(plane.holds(ends, -1.0).any())
        whole = whole and bool(known.all()) and not ended.any()

        # No place of a piece is nearer than this, by the two sides of a triangle that are longer than the third.
        near = (far[:, 0] + far[:, 2] - length) / 2 <= plane.radius
        hidden = ~(shown[:, 0] | shown[:, 1] | shown[:, 2]) & (length <= plane.radius / 64)
        more = ~followed & ~ended & ~hidden & (near | (known & whole))
        if not more.any():
            break
        arc, turns, pixels, far = _halve(arcs, plane, sheet, arc[more], turns[more], pixels[more], far[more])
    return Trace(np.concatenate(done), whole, broken)


def _first_pieces(arcs: Arcs, radius: Array) -> tuple[NDArray[np.intp], Array]:
    """Divide arcs: return the arc of each piece, shape (n,), and the angles of its start, middle and end, (n, 3)."""
    great = ~arcs.middle.any(axis=1)
    widest_turn = np.where(great | (radius == 0), np.inf, _WIDEST_TURN)
    turn = np.minimum(widest_turn, _LONGEST / np.maximum(radius, 1e-3))
    counts = np.maximum(np.ceil(arcs.angle / turn), 1).astype(np.intp)
    arc = np.repeat(np.arange(len(counts)), counts)
    number = np.arange(len(arc)) - np.repeat(np.cumsum(counts) - counts, counts)
    parts = (number[:, None] + np.array([0.0, 0.5, 1.0])) / counts[arc][:, None]
    return arc, parts * arcs.angle[arc][:, None]


def _places(arcs: Arcs, plane: ImagePlane, sheet: int, arc: NDArray[np.intp], turns: Array) -> tuple[Array, Array]:
    """Return pixels, shape (n, k, 2), and angles from the middle of the image, shape (n, k), at angles along arcs."""
    vectors = arcs.at(np.repeat(arc, turns.shape[1]), turns.ravel())
    return plane.pixels(vectors, sheet).reshape(*turns.shape, 2), separation(vectors, plane.center).reshape(turns.shape)


def _halve(
    arcs: Arcs, plane: ImagePlane, sheet: int, arc: NDArray[np.intp], turns: Array, pixels: Array, far: Array
) -> tuple[NDArray[np.intp], Array, Array, Array]:
    """Divide pieces at their middles, and look up the middles of the halves."""
    new_turns = (turns[:, :2] + turns[:, 1:]) / 2
    new_pixels, new_far = _places(arcs, plane, sheet, arc, new_turns)

    def halves(old: Array, new: Array) -> Array:
        one = [old[:, 0], new[:, 0], old[:, 1]]
        other = [old[:, 1], new[:, 1], old[:, 2]]
        return np.concatenate([np.stack(one, axis=1), np.stack(other, axis=1)])

    return np.tile(arc, 2), halves(turns, new_turns), halves(pixels, new_pixels), halves(far, new_far)


def _is_smooth(points: Array, plane: ImagePlane) -> NDArray[np.bool_]:
    """Tell which pieces, shape (n, 3, 2), are parabolas, closely within the image and roughly beyond."""
    first, middle, last = points.swapaxes(0, 1)
    bend = np.abs(middle - (first + last) / 2).max(axis=1)
    reach = 2 * bend[:, None] + 1
    least, most = _least_and_most(points)
    there = ((least - reach <= plane.high) & (most + reach >= plane.low)).all(axis=1)
    allowed = np.where(there, _BEND, np.maximum(_BEND, _BEND_AFAR * np.abs(last - first).max(axis=1)))
    smooth: NDArray[np.bool_] = bend <= allowed
    return smooth
