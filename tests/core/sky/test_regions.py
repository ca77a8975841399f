"""Shapes as sets of places, judged by plain longitude and latitude, by triangles, and by samples of everything."""

import tracemalloc

import numpy as np
import pytest
from astropy.coordinates import angular_separation
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from imageserv.core.errors import UsageFault
from imageserv.core.record import Footprint
from imageserv.core.sky.regions import bounds, contains, meets
from imageserv.core.sky.stencil import Circle, Polygon, Range, Shape

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

longitudes = st.sampled_from([0.0, 90.0, 359.999]) | st.floats(0, 360, exclude_max=True)
latitudes = st.sampled_from([0.0, 90.0, -90.0]) | st.floats(-90, 90)
places = st.tuples(longitudes, latitudes)
seeds = st.integers(0, 2**32)


def unit(ra: Array | float, dec: Array | float) -> Array:
    lon, lat = np.radians(ra), np.radians(dec)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)


def degrees(vectors: Array) -> tuple[Array, Array]:
    x, y, z = np.moveaxis(vectors, -1, 0)
    return np.degrees(np.arctan2(y, x)) % 360, np.degrees(np.arctan2(z, np.hypot(x, y)))


def apart(one: Array, other: Array) -> Array:
    """Radians."""
    (ra1, dec1), (ra2, dec2) = degrees(one), degrees(other)
    angle: Array = angular_separation(*(np.radians(part) for part in (ra1, dec1, ra2, dec2)))
    return angle


def offset(place: tuple[float, float], angles: Array, distances: Array) -> Array:
    """Unit vectors at position angles and distances (deg) from a place; exact at the poles too."""
    (ra, dec), angle, distance = np.radians(place), np.radians(angles), np.radians(distances)
    north = np.array([-np.sin(dec) * np.cos(ra), -np.sin(dec) * np.sin(ra), np.cos(dec)])
    east = np.array([-np.sin(ra), np.cos(ra), 0.0])
    way = np.cos(angle)[:, None] * north + np.sin(angle)[:, None] * east
    there: Array = np.cos(distance)[:, None] * unit(*place) + np.sin(distance)[:, None] * way
    return there


def scattered(seed: int, count: int, place: tuple[float, float], size: float) -> Array:
    """Places in all directions, half of them no farther (deg) from one of them than a size."""
    random = np.random.default_rng(seed)
    near = offset(place, random.uniform(0, 360, count), size * np.sqrt(random.uniform(0, 1, count)))
    anywhere = random.normal(size=(count, 3))
    return np.concatenate([near, anywhere / np.linalg.norm(anywhere, axis=1)[:, None]])


def as_polygon(vertices: Array) -> Polygon:
    return Polygon(tuple((float(ra), float(dec)) for ra, dec in zip(*degrees(vertices), strict=True)))


# --- circles


@given(places, st.sampled_from([0.01, 90.0, 179.0]) | st.floats(1e-6, 180), seeds)
@settings(deadline=None)
def test_a_circle_contains_what_is_no_farther_than_its_radius(
    place: tuple[float, float], radius: float, seed: int
) -> None:
    points = scattered(seed, 100, place, min(2 * radius, 180.0))
    ra, dec = degrees(points)
    angle = np.degrees(angular_separation(np.radians(place[0]), np.radians(place[1]), np.radians(ra), np.radians(dec)))
    clear = np.abs(angle - radius) > 1e-11
    assert np.array_equal(contains(Circle(*place, radius), points)[clear], (angle <= radius)[clear])
    assert contains(Circle(*place, radius), offset(place, np.arange(0.0, 360.0, 7.0), np.full(52, radius))).all()


def test_a_circle_of_no_radius_contains_its_own_place_alone() -> None:
    point = Circle(123.4, -56.7, 0.0)
    assert contains(point, unit(123.4, -56.7))
    assert contains(point, unit(123.4 - 360, -56.7))
    assert not contains(point, offset((123.4, -56.7), np.arange(0.0, 360, 30), np.full(12, np.degrees(1e-12)))).any()
    assert contains(Circle(0.0, 0.0, 180.0), np.concatenate([np.eye(3), -np.eye(3)])).all()


# --- ranges


def a_range(west: float, extent: float, limits: tuple[float, float]) -> Range:
    return Range(west, extent, min(limits), max(limits))


ranges = st.builds(
    a_range,
    longitudes,
    st.sampled_from([0.0, 180.0, 360.0]) | st.floats(0, 360),
    st.tuples(latitudes, latitudes),
)


@given(ranges, seeds)
@settings(deadline=None)
def test_a_range_contains_what_is_between_its_meridians_and_parallels(shape: Range, seed: int) -> None:
    random = np.random.default_rng(seed)
    east = random.uniform(0, 360, 300)  # from the western meridian
    dec = random.uniform(-90, 90, 300)
    expected = (east <= shape.extent) & (dec >= shape.south) & (dec <= shape.north)
    clear = np.minimum(np.abs(dec - shape.south), np.abs(dec - shape.north)) > 1e-9
    clear &= (np.abs(east - shape.extent) > 1e-9) & (east > 1e-9) & (east < 360 - 1e-9) & (np.abs(dec) < 89.99)
    points = unit(shape.west + east, dec)
    assert np.array_equal(contains(shape, points)[clear], expected[clear])
    part = np.linspace(0, 1, 9)
    parallels = [unit(shape.west + part * shape.extent, np.full(9, dec)) for dec in (shape.south, shape.north)]
    heights = shape.south + part * (shape.north - shape.south)
    meridians = [unit(np.full(9, ra), heights) for ra in (shape.west, shape.west + shape.extent)]
    assert contains(shape, np.concatenate(parallels + meridians)).all()


@pytest.mark.parametrize("pole", [90.0, -90.0])
def test_a_pole_has_every_right_ascension(pole: float) -> None:
    touching = Range(30.0, 5.0, min(pole, 0.0), max(pole, 0.0))
    assert contains(touching, np.stack([unit(ra, pole) for ra in (0.0, 123.0, 299.0)])).all()
    assert contains(Range(30.0, 0.0, pole, pole), unit(200.0, pole))
    assert not contains(touching, unit(123.0, pole * 0.999999))


# --- polygons


def triangles(center: Array, corners: Array, points: Array) -> Mask:
    """The oracle: a point is in one of the triangles that the centre makes with each edge, each three half-spaces."""
    inside = np.zeros(len(points), bool)
    for one, other in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        triangle = [center, one, other]
        sign = np.sign(np.linalg.det(np.array(triangle)))
        sides = [np.cross(triangle[i], triangle[(i + 1) % 3]) @ points.T * sign for i in range(3)]
        inside |= np.min(sides, axis=0) > 0
    return inside


@st.composite
def stars(draw: st.DrawFn, largest: float) -> tuple[tuple[float, float], Array]:
    """A centre, and corners around it at any distances: simple, convex or not, up to nearly all of the sky."""
    place = draw(places)
    count = draw(st.integers(3, 9))
    shifts = np.array([draw(st.floats(-0.2, 0.2)) for _ in range(count)])
    angles = np.linspace(0.0, 360.0, count, endpoint=False) + 360.0 / count * shifts
    size = draw(st.sampled_from([largest, largest / 2, 1.0, 1e-3]))
    radii = size * np.array([draw(st.floats(0.1, 1.0)) for _ in range(count)])
    return place, offset(place, angles, radii)


@given(stars(170.0), seeds)
@settings(deadline=None)
def test_a_polygon_contains_the_smaller_part_whatever_its_winding(
    star: tuple[tuple[float, float], Array], seed: int
) -> None:
    place, corners = star
    everywhere = np.random.default_rng(seed).normal(size=(4000, 3))
    share = np.mean(triangles(unit(*place), corners, everywhere))
    assume(abs(share - 0.5) > 0.03)
    reach = float(np.degrees(apart(corners, unit(*place)).max()))
    points = scattered(seed, 200, place, min(1.2 * reach, 180.0))
    expected = triangles(unit(*place), corners, points) == (share < 0.5)
    # An oracle of products knows nothing closer to an edge than rounding.
    margin = np.min([abs(np.cross(a, b) @ points.T) for a, b in zip(corners, np.roll(corners, -1, 0), strict=True)], 0)
    clear = margin > 1e-12
    assert np.array_equal(contains(as_polygon(corners), points)[clear], expected[clear])
    assert np.array_equal(contains(as_polygon(corners[::-1]), points)[clear], expected[clear])


@given(stars(80.0), st.integers(0, 8), seeds)
@settings(deadline=None)
def test_repeated_and_collinear_vertices_and_the_first_one_make_no_difference(
    star: tuple[tuple[float, float], Array], number: int, seed: int
) -> None:
    place, corners = star
    number %= len(corners)
    points = scattered(seed, 200, place, 90.0)
    between = corners[number] + corners[(number + 1) % len(corners)]
    more = np.insert(corners, number + 1, [corners[number], between / np.linalg.norm(between)], axis=0)
    expected = contains(as_polygon(corners), points)
    assert np.array_equal(contains(as_polygon(np.roll(more, number, axis=0)), points), expected)


@given(stars(170.0))
@settings(deadline=None)
def test_the_boundary_belongs_to_a_polygon(star: tuple[tuple[float, float], Array]) -> None:
    _, corners = star
    part = np.linspace(0, 1, 12)[:, None, None]
    edges = (1 - part) * corners + part * np.roll(corners, -1, axis=0)
    assert contains(as_polygon(corners), edges / np.linalg.norm(edges, axis=-1)[..., None]).all()


@pytest.mark.parametrize("place", [(10.0, 20.0), (0.0, 0.0), (77.0, 89.9999)])
@pytest.mark.parametrize("size", [1e-6, 1e-8])
def test_tiny_polygons_are_flat_polygons(place: tuple[float, float], size: float) -> None:
    # A quarter disc of some radians, in the plane; steps of a unit vector's last digit are 1e-8 of the smaller one.
    center = unit(*place)
    east = np.cross([0.0, 0.0, 1.0], center)
    east /= np.linalg.norm(east)
    north = np.cross(center, east)
    angles = np.linspace(0, np.pi / 2, 7)
    flat = size * np.concatenate([[[0.0, 0.0]], np.stack([np.cos(angles), np.sin(angles)], axis=1)])
    vertices = center + flat @ np.stack([east, north])
    # The same through degrees would lose digits: near a pole none, elsewhere some.
    polygon = as_polygon(vertices / np.linalg.norm(vertices, axis=1)[:, None])
    random = np.random.default_rng(7)
    x, y = random.uniform(-0.5 * size, 1.5 * size, (2, 2000))
    points = center + x[:, None] * east + y[:, None] * north
    points /= np.linalg.norm(points, axis=1)[:, None]
    inner, outer = size * np.cos(np.pi / 24), size  # the circles that the corners' chords lie between
    distance = np.hypot(x, y)
    clear = (np.minimum(np.abs(x), np.abs(y)) > 1e-5 * size) & ((distance < 0.999 * inner) | (distance > 1.001 * outer))
    assert np.array_equal(contains(polygon, points)[clear], ((x > 0) & (y > 0) & (distance < outer))[clear])
    assert clear.sum() > 1500


def test_a_polygon_without_an_inside_contains_its_line() -> None:
    flat = Polygon(((10.0, 0.0), (20.0, 0.0), (15.0, 0.0)))
    inside = contains(flat, unit(np.array([9.9, 10.0, 13.0, 20.0, 20.1, 195.0]), np.zeros(6)))
    assert inside.tolist() == [False, True, True, True, False, False]
    assert not contains(flat, unit(np.array([13.0, 13.0]), np.array([1e-9, -1e-9]))).any()
    point = Polygon(((10.0, 5.0),) * 4)
    assert contains(point, unit(np.array([10.0, 10.0]), np.array([5.0, 5.0 + 1e-9]))).tolist() == [True, False]


def test_a_bow_tie_has_both_its_wings() -> None:
    tie = Polygon(((0.0, 0.0), (2.0, 2.0), (2.0, 0.0), (0.0, 2.0)))
    points = unit(np.array([0.3, 1.7, 1.0, 1.0, 180.0]), np.array([1.0, 1.0, 0.3, 1.7, 0.0]))
    assert contains(tie, points).tolist() == [True, True, False, False, False]


def test_opposite_vertices_are_refused() -> None:
    shape = Polygon(((0.0, 10.0), (180.0, -10.0), (90.0, 80.0)))
    with pytest.raises(UsageFault, match="opposite"):
        bounds(shape)
    with pytest.raises(UsageFault, match="opposite"):
        contains(shape, np.eye(3))


def test_shapes_are_kept_and_nan_is_nowhere() -> None:
    points = np.stack([np.eye(3), np.full((3, 3), np.nan)])
    everything: list[Shape] = [
        Circle(0.0, 0.0, 180.0),
        Range(0.0, 360.0, -90.0, 90.0),
        Polygon(((350.0, -10.0), (100.0, -10.0), (100.0, 80.0), (0.0, 89.0))),
    ]
    for shape in everything:
        assert contains(shape, points).shape == (2, 3)
        assert contains(shape, points[0]).any()
        assert not contains(shape, points[1]).any()
        assert contains(shape, points[:, :0]).shape == (2, 0)


def test_many_places_and_many_vertices_take_little_memory() -> None:
    angles = np.arange(0.0, 360.0, 0.72)
    distances: Array = 20 + 5 * np.sin(np.radians(angles * 7))
    shape = as_polygon(offset((10.0, 20.0), angles, distances))
    points = scattered(3, 40_000, (10.0, 20.0), 40.0)
    tracemalloc.start()
    inside = contains(shape, points)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 0 < inside.sum() < len(points)
    assert peak < 150e6  # all pairs at once would be 320 MB for every one of the products


# --- boxes in x, y, z


def sampled(shape: Shape, seed: int) -> tuple[Array, Array]:
    """Places on the boundary of a shape, and places anywhere in it."""
    random = np.random.default_rng(seed)
    part = np.linspace(0, 1, 200)
    if isinstance(shape, Circle):
        center = (shape.ra, shape.dec)
        edge = offset(center, part * 360, np.full(200, shape.radius))
        inner = offset(center, random.uniform(0, 360, 200), shape.radius * np.sqrt(random.uniform(0, 1, 200)))
    elif isinstance(shape, Range):
        ra, dec = shape.west + part * shape.extent, shape.south + part * (shape.north - shape.south)
        level = [unit(ra, np.full(200, side)) for side in (shape.south, shape.north)]
        upright = [unit(np.full(200, side), dec) for side in (shape.west, shape.west + shape.extent)]
        edge = np.concatenate(level + (upright if shape.extent < 360 else []))
        inner = unit(
            shape.west + random.uniform(0, 1, 200) * shape.extent,
            shape.south + random.uniform(0, 1, 200) * (shape.north - shape.south),
        )
    else:
        corners = unit(*np.array(shape.vertices).T)
        line = part[:, None, None]
        edge = ((1 - line) * corners + line * np.roll(corners, -1, axis=0)).reshape(-1, 3)
        edge /= np.linalg.norm(edge, axis=1)[:, None]
        inner = random.normal(size=(2000, 3))
        inner /= np.linalg.norm(inner, axis=1)[:, None]
        inner = inner[contains(shape, inner)]
    return edge, inner


shapes = st.one_of(
    st.builds(Circle, longitudes, latitudes, st.sampled_from([0.0, 180.0]) | st.floats(0, 180)),
    ranges,
    stars(170.0).map(lambda star: as_polygon(star[1])),
)


@given(shapes, seeds)
@settings(deadline=None, max_examples=200)
def test_bounds_hold_a_shape_and_no_more(shape: Shape, seed: int) -> None:
    low, high = bounds(shape)
    edge, inner = sampled(shape, seed)
    points = np.concatenate([edge, inner])
    assert ((points >= low) & (points <= high)).all()
    # Every side of the box is reached by the boundary, or is where an axis goes through the shape.
    step = 2 * max(np.linalg.norm(np.diff(edge, axis=0), axis=1).max(), 1e-12)
    axes = np.concatenate([edge, np.eye(3)[contains(shape, np.eye(3))], -np.eye(3)[contains(shape, -np.eye(3))]])
    near = min(step, 1.0)
    assert (axes.min(axis=0) <= low + near).all()
    assert (axes.max(axis=0) >= high - near).all()


def test_bounds_of_small_shapes_are_small() -> None:
    for shape in (
        Circle(10.0, 50.0, 1e-4),
        Range(10.0, 1e-4, 50.0, 50.0001),
        Polygon(((10.0, 50.0), (10.0001, 50.0), (10.0, 50.0001))),
    ):
        low, high = bounds(shape)
        assert (high - low).max() < 4e-6
        assert (high > low).all()


# --- meeting footprints


def footprint(place: tuple[float, float], radii: Array, turn: float) -> Footprint:
    """Corners counter-clockwise as seen from the origin, east left: the way of position angles."""
    angles: Array = turn + np.arange(len(radii)) * 360.0 / len(radii)
    return Footprint(offset(place, angles, radii), unit(*place))


footprints = st.builds(
    footprint,
    places,
    st.lists(st.floats(0.2, 1), min_size=4, max_size=7).flatmap(
        lambda radii: st.sampled_from([70.0, 10.0, 0.1]).map(lambda size: size * np.array(radii))
    ),
    st.floats(0, 90),
)


@given(shapes, footprints, seeds)
@settings(deadline=None, max_examples=300)
def test_what_meets_a_footprint_has_a_place_in_it(shape: Shape, image: Footprint, seed: int) -> None:
    check_meeting(shape, image, seed)


@given(footprints, st.floats(0, 360), st.floats(0, 2), st.floats(-3, 0.5), st.integers(0, 2), seeds)
@settings(deadline=None, max_examples=300)
def test_what_meets_a_footprint_may_be_near_it(
    image: Footprint, angle: float, away: float, smaller: float, kind: int, seed: int
) -> None:
    size = float(np.degrees(apart(image.vertices, image.center).max()))
    ra, dec = (float(part) for part in degrees(image.center))
    there = offset((ra, dec), np.array([angle]), np.array([min(away * size, 180.0)]))
    (ra,), (dec,) = (part.tolist() for part in degrees(there))
    extent = min(size * 10**smaller, 80.0)
    if kind == 0:
        shape: Shape = Circle(ra, dec, extent)
    elif kind == 1:
        shape = Range(ra, extent, max(dec - extent, -90.0), dec)
    else:
        shape = as_polygon(offset((ra, dec), np.array([0.0, 100.0, 170.0, 300.0]), extent * np.array([1, 0.3, 1, 0.7])))
    check_meeting(shape, image, seed)


def check_meeting(shape: Shape, image: Footprint, seed: int) -> None:
    """Compare with samples; where they are neither in each other nor clearly apart, who knows."""
    edge, inner = sampled(shape, seed)
    part = np.linspace(0, 1, 100)[:, None, None]
    outline = (1 - part) * image.vertices + part * np.roll(image.vertices, -1, axis=0)
    outline = (outline / np.linalg.norm(outline, axis=-1)[..., None]).reshape(-1, 3)
    share = np.random.default_rng(seed).uniform(0, 1, (len(outline), 1))
    within = share * image.center + (1 - share) * outline
    within /= np.linalg.norm(within, axis=1)[:, None]
    together = bool(triangles(image.center, image.vertices, np.concatenate([edge, inner])).any())
    together = together or bool(contains(shape, np.concatenate([outline, within, image.center[None]])).any())
    if not together:
        # Apart, if the outlines are farther from each other than the samples of both.
        gap = np.sqrt(max(2 - 2 * (edge @ outline.T).max(), 0.0))
        widest = np.linalg.norm(outline[1:] - outline[:-1], axis=1)
        steps = np.linalg.norm(edge[1:] - edge[:-1], axis=1)
        assume(gap > 2 * (np.median(widest) + np.quantile(steps, 0.99)))
    assert meets(shape, image) == together


def test_crossing_without_a_corner_in_each_other() -> None:
    upright = Footprint(unit(np.array([359.0, 359.0, 1.0, 1.0]), np.array([10.0, -10.0, -10.0, 10.0])), unit(0.0, 0.0))
    cross: list[Shape] = [
        Range(350.0, 20.0, -1.0, 1.0),
        Polygon(((350.0, -1.0), (10.0, -1.0), (10.0, 1.0), (350.0, 1.0))),
        Circle(0.0, 0.0, 5.0),
        Circle(5.0, 0.0, 4.001),
        Range(0.0, 360.0, 2.0, 2.0),
        Range(0.0, 0.0, -80.0, 80.0),
    ]
    assert [meets(shape, upright) for shape in cross] == [True] * 6
    beside: list[Shape] = [
        Range(1.01, 357.9, -80.0, 80.0),
        Circle(5.0, 0.0, 3.999),
        Range(0.0, 360.0, 11.0, 90.0),
        Polygon(((1.01, -20.0), (1.01, 20.0), (180.0, 0.0))),
        Circle(180.0, 0.0, 169.9),
    ]
    assert [meets(shape, upright) for shape in beside] == [False] * 5


def test_touching_is_meeting_to_the_last_digits() -> None:
    image = Footprint(unit(np.array([10.0, 10.0, 12.0, 12.0]), np.array([5.0, 3.0, 3.0, 5.0])), unit(11.0, 4.0))
    assert meets(Range(12.0, 5.0, 0.0, 10.0), image)
    assert not meets(Range(12.0 + 1e-10, 5.0, 0.0, 10.0), image)
    assert meets(Circle(10.0, 2.0, 1.0), image)
    assert not meets(Circle(10.0, 2.0, 1.0 - 1e-10), image)
    assert meets(Circle(12.0, 5.0, 0.0), image)
    assert meets(Circle(12.0, 4.5, 0.0), image)
    assert not meets(Circle(12.0 + 1e-10, 4.5, 0.0), image)
    assert meets(Circle(11.3, 4.5, 0.0), image)
    assert meets(Polygon(((12.0, 5.0), (13.0, 5.0), (13.0, 6.0))), image)


def test_tiny_shapes_meet_tiny_footprints() -> None:
    def square(ra: float, dec: float) -> Array:
        aside = np.array([-1.0, -1.0, 1.0, 1.0]) * 5e-8 / np.cos(np.radians(dec))
        return unit(ra + aside, dec + np.array([1.0, -1.0, -1.0, 1.0]) * 5e-8)

    image = Footprint(square(200.0, 70.0), unit(200.0, 70.0))
    assert meets(as_polygon(square(200.0, 70.0 + 9.9e-8)), image)
    assert not meets(as_polygon(square(200.0, 70.0 + 1.01e-7)), image)
    assert meets(Circle(200.0, 70.0 + 1e-7, 5.1e-8), image)
    assert not meets(Circle(200.0, 70.0 + 1e-7, 4.9e-8), image)


def test_of_footprints_that_are_not_exact_the_cap_is_asked() -> None:
    rim = offset((40.0, 80.0), np.arange(0, 360, 30.0), np.full(12, 30.0))
    image = Footprint(rim, unit(40.0, 80.0), exact=False)
    near: list[Shape] = [
        Circle(220.0, 75.0, 4.0),
        Circle(220.0, 65.0, 5.01),
        Range(210.0, 20.0, 10.0, 70.0),
        Range(0.0, 360.0, -90.0, 50.1),
        Polygon(((200.0, 10.0), (240.0, 10.0), (220.0, 71.0))),
        Polygon(((20.0, 30.0), (60.0, 30.0), (180.0, 60.0))),
    ]
    assert [meets(shape, image) for shape in near] == [True] * 6
    far: list[Shape] = [
        Circle(220.0, 65.0, 4.99),
        Range(210.0, 20.0, 10.0, 69.7),
        Range(0.0, 360.0, -90.0, 49.9),
        Polygon(((200.0, 10.0), (240.0, 10.0), (220.0, 69.0))),
    ]
    assert [meets(shape, image) for shape in far] == [False] * 4
