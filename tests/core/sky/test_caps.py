"""Caps against geometry of the test's own: where a circle and an outline have a place in common."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from imageserv.core.record import Footprint
from imageserv.core.sky.caps import Cap, angle

Array = NDArray[np.float64]

longitudes = st.floats(0, 360) | st.sampled_from([0.0, 1e-12, 180.0, 359.999999])
latitudes = st.floats(-90, 90) | st.sampled_from([-90.0, -90 + 1e-9, 0.0, 90.0])
radii = st.floats(0, 180) | st.floats(1e-6, 1) | st.sampled_from([0.0, 90.0, 180.0])


def vectors(ra: Any, dec: Any) -> Array:
    a, d = np.radians(ra), np.radians(dec)
    return np.stack([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)], axis=-1)


def star(ra: float, dec: float, sizes: list[float], turn: float, exact: bool = True) -> Footprint:
    """Make a polygon around a place, its corners as far away as given (deg), anticlockwise: seldom a convex one."""
    center = vectors(ra, dec)
    a, d = math.radians(ra), math.radians(dec)
    east = np.array([-math.sin(a), math.cos(a), 0.0])
    north = np.array([-math.sin(d) * math.cos(a), -math.sin(d) * math.sin(a), math.cos(d)])
    turns = math.radians(turn) + np.arange(len(sizes)) * 2 * np.pi / len(sizes)
    ways = np.cos(turns)[:, None] * north + np.sin(turns)[:, None] * east
    size = np.radians(sizes)[:, None]
    return Footprint(np.cos(size) * center + np.sin(size) * ways, center, exact)


stars = st.builds(
    star, longitudes, latitudes, st.lists(st.floats(0.01, 40), min_size=5, max_size=9), st.floats(0, 360), st.just(True)
)


def least_distance(place: Array, footprint: Footprint) -> float:
    """Give the angle (rad) from a place to a polygon, 0 within: from places along its edges, and the winding."""
    corners = footprint.vertices
    ways = np.roll(corners, -1, axis=0) - corners
    nearest, reach, chords = np.full(len(corners), 0.5), 0.5, np.empty((0, 0))
    for _ in range(4):  # each time closer around the nearest place of each edge
        steps = np.clip(nearest + np.linspace(-reach, reach, 201)[:, None], 0, 1)
        places = corners + steps[:, :, None] * ways
        places /= np.linalg.norm(places, axis=2)[:, :, None]
        chords = np.linalg.norm(places - place, axis=2)
        nearest, reach = steps[chords.argmin(axis=0), np.arange(len(corners))], reach / 50
    away = 2 * math.asin(min(1.0, chords.min() / 2))
    # Seen from the place, the corners turn once around it, or not at all; from the place opposite, likewise.
    if place @ footprint.center <= 0:
        return away
    sides = np.cross(corners, place)
    turns = np.arctan2(np.cross(sides, np.roll(sides, -1, axis=0)) @ place, np.sum(sides * np.roll(sides, -1, 0), 1))
    return 0.0 if abs(turns.sum()) > np.pi else away


@given(stars, longitudes, latitudes, radii)
def test_a_cap_meets_what_is_near_enough(footprint: Footprint, ra: float, dec: float, radius: float) -> None:
    away = least_distance(vectors(ra, dec), footprint)
    if abs(away - math.radians(radius)) > 1e-6:
        assert Cap(ra, dec, radius).meets(footprint) == (away <= math.radians(radius))


@given(stars, st.integers(0, 8), st.floats(0, 1), st.floats(1e-3, 30))
def test_a_cap_that_just_comes_to_an_edge(footprint: Footprint, edge: int, along: float, radius: float) -> None:
    corners = footprint.vertices
    first, second = corners[edge % len(corners)], corners[(edge + 1) % len(corners)]
    foot = first + along * (second - first)
    foot /= np.linalg.norm(foot)
    out = np.cross(first, second)  # the pole that is away from the middle
    out /= np.linalg.norm(out)
    size = math.radians(radius)
    place = math.cos(size) * foot + math.sin(size) * out
    ra, dec = math.degrees(math.atan2(place[1], place[0])), math.degrees(math.asin(max(-1, min(1, place[2]))))
    assert Cap(ra, dec, radius + 1e-5).meets(footprint)
    if least_distance(place, footprint) > size - 1e-6:  # no other edge is nearer
        assert not Cap(ra, dec, radius - 1e-4).meets(footprint)


def test_boundaries_belong_to_both() -> None:
    square = star(10, 0, [1, 1, 1, 1], 0)
    assert Cap(10, 1).meets(square)  # a corner
    assert Cap(12, 0, 1).meets(square)
    assert not Cap(12, 0, 1 - 1e-9).meets(square)
    assert Cap(190, 0, 180).meets(square)
    assert not Cap(190, 0, 178.9).meets(square)


def test_of_a_cover_its_cap_counts() -> None:
    cover = star(10, 0, [1, 2, 1], 0, exact=False)
    assert Cap(10, -3, 1.0001).meets(cover)
    assert not Cap(10, -3, 0.9999).meets(cover)


@given(longitudes, latitudes, radii, st.integers(0, 2**32 - 1))
def test_bounds_hold_the_cap_and_no_more(ra: float, dec: float, radius: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    center = vectors(ra, dec)
    ways = random.normal(size=(500, 3))
    ways -= (ways @ center)[:, None] * center
    ways /= np.linalg.norm(ways, axis=1)[:, None]
    size = math.radians(radius) * np.sqrt(random.uniform(0, 1, 500))[:, None]
    places = np.cos(size) * center + np.sin(size) * ways
    low, high = Cap(ra, dec, radius).bounds()
    assert (places >= np.array(low) - 1e-15).all() and (places <= np.array(high) + 1e-15).all()
    # The side in the direction of an axis is as far from the middle as the cap, or at the axis itself.
    polar = np.degrees(np.arccos(np.clip(center, -1, 1)))
    assert np.degrees(np.arccos(np.clip(high, -1, 1))) == pytest.approx(np.maximum(polar - radius, 0), abs=1e-4)


@given(longitudes, latitudes, longitudes, latitudes)
def test_angles_are_accurate_near_and_far(ra: float, dec: float, other_ra: float, other_dec: float) -> None:
    first, second = vectors(ra, dec), vectors(other_ra, other_dec)
    exact = math.atan2(float(np.linalg.norm(np.cross(first, second))), float(first @ second))
    assert angle(first.tolist(), second.tolist()) == pytest.approx(exact, abs=1e-15)
