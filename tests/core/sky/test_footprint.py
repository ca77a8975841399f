"""Footprints, judged by astropy's projections, by half-spaces of three vectors, and by hand."""

import os
import warnings
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import astropy.wcs.tests
import numpy as np
import pytest
from astropy.coordinates import SkyCoord, angular_separation
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from imageserv.core.record import Footprint
from imageserv.core.sky.caps import vector_to_degrees
from imageserv.core.sky.footprint import (
    bounds,
    cap,
    contains,
    degrees_to_vectors,
    footprint_of,
    separation,
    vectors_to_degrees,
)
from imageserv.core.sky.wcs import SkyWcs

Array = NDArray[np.float64]

longitudes = st.floats(0.0, 360.0, exclude_max=True)
latitudes = st.floats(-90.0, 90.0)


def outline(to_sky: Callable[[Array, Array], tuple[Array, Array]], width: int, height: int) -> Footprint:
    return footprint_of(lambda x, y: degrees_to_vectors(*to_sky(x, y)), width, height)


class Image:
    """An image of an astropy WCS, whose native frame stands for ICRS."""

    def __init__(self, header: Any, width: int, height: int) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # old headers have much to fix
            self.wcs = header if isinstance(header, WCS) else WCS(fits.Header(header))
        self.width, self.height = width, height

    def to_sky(self, x: Array, y: Array) -> tuple[Array, Array]:
        with np.errstate(all="ignore"):
            ra, dec = self.wcs.celestial.all_pix2world(x, y, 0)
        return (dec, ra) if self.wcs.celestial.wcs.lng == 1 else (ra, dec)

    def footprint(self) -> Footprint:
        return outline(self.to_sky, self.width, self.height)

    def samples(self, count: int, margin: float) -> tuple[Array, Array]:
        """Pixels in and around the image."""
        random = np.random.default_rng(1904)
        x = random.uniform(-0.5 - margin * self.width, self.width - 0.5 + margin * self.width, count)
        y = random.uniform(-0.5 - margin * self.height, self.height - 0.5 + margin * self.height, count)
        # Many more where it matters: along the edges, up to three pixels away.
        x[::4] = random.choice([-0.5, self.width - 0.5], x[::4].size) + random.uniform(-3, 3, x[::4].size)
        y[1::4] = random.choice([-0.5, self.height - 0.5], y[1::4].size) + random.uniform(-3, 3, y[1::4].size)
        return x, y

    def depth(self, x: Array, y: Array) -> Array:
        """How many pixels a place is inside of the nearest edge, negative outside."""
        inside: Array = np.minimum.reduce([x + 0.5, self.width - 0.5 - x, y + 0.5, self.height - 0.5 - y])
        return inside


def header(projection: str, **cards: float | str) -> dict[str, float | str]:
    start: dict[str, float | str] = {
        "CTYPE1": f"RA---{projection}",
        "CTYPE2": f"DEC--{projection}",
        "CRPIX1": 50.5,
        "CRPIX2": 40.5,
        "CRVAL1": 30.0,
        "CRVAL2": 20.0,
        "CDELT1": -0.01,
        "CDELT2": 0.01,
    }
    return start | cards


def check_against_pixels(image: Image, margin: float = 0.1) -> None:
    """Assert that a point is in the footprint if and only if it is in the image, to a tenth of a pixel."""
    footprint = image.footprint()
    assert footprint.exact
    x, y = image.samples(4000, margin)
    ra, dec = image.to_sky(x, y)
    depth = image.depth(x, y)
    judged = np.isfinite(ra) & np.isfinite(dec) & (np.abs(depth) > 0.101)
    assert judged.sum() > 2000
    vectors = degrees_to_vectors(ra[judged], dec[judged])
    assert np.array_equal(contains(footprint, vectors), depth[judged] > 0)
    check_shape(footprint)
    low, high = (sides[0] for sides in bounds([footprint]))
    within = vectors[depth[judged] > 0]
    assert ((within >= low) & (within <= high)).all()
    center, radius = cap(footprint)
    assert (separation(within, center) <= radius + 1e-9).all()


def check_shape(footprint: Footprint) -> None:
    """Assert unit vectors, and the winding that record.Footprint promises."""
    assert footprint.vertices.shape[1:] == (3,)
    assert np.linalg.norm(footprint.vertices, axis=1) == pytest.approx(1.0, abs=1e-14)
    assert np.linalg.norm(footprint.center) == pytest.approx(1.0, abs=1e-14)
    turn = np.cross(footprint.vertices, np.roll(footprint.vertices, -1, axis=0)).sum(axis=0)
    assert turn @ footprint.center < 0


def check_cover(image: Image) -> Footprint:
    """Assert that an inexact footprint covers every pixel that is on the sky."""
    footprint = image.footprint()
    assert not footprint.exact
    x, y = (edge.ravel() for edge in np.meshgrid(np.arange(-0.5, image.width), np.arange(-0.5, image.height)))
    ra, dec = image.to_sky(x, y)
    valid = np.isfinite(ra) & np.isfinite(dec)
    vectors = degrees_to_vectors(ra[valid], dec[valid])
    assert contains(footprint, vectors).all()
    low, high = (sides[0] for sides in bounds([footprint]))
    assert ((vectors >= low) & (vectors <= high)).all()
    return footprint


# --- vectors and angles


def test_vectors_of_well_known_places() -> None:
    vectors = degrees_to_vectors([0.0, 90.0, 180.0, 17.0, 45.0], [0.0, 0.0, 0.0, 90.0, -45.0])
    half = np.sqrt(0.5)
    assert vectors == pytest.approx(
        np.array([[1, 0, 0], [0, 1, 0], [-1, 0, 0], [0, 0, 1], [0.5, 0.5, -half]]), abs=1e-15
    )
    assert degrees_to_vectors(10.0, 20.0).shape == (3,)


@given(longitudes, latitudes)
def test_degrees_come_back(ra: float, dec: float) -> None:
    back_ra, back_dec = vectors_to_degrees(degrees_to_vectors(ra, dec))
    assert 0.0 <= back_ra < 360.0
    assert back_dec == pytest.approx(dec, abs=1e-13)
    off = abs(float(back_ra) - ra)
    assert min(off, 360.0 - off) * np.cos(np.radians(dec)) < 1e-12


def test_a_hair_below_ra_0_is_not_360() -> None:
    assert vectors_to_degrees(np.array([1.0, -1e-20, 0.0]))[0] == 0.0
    assert vector_to_degrees([1.0, -1e-20, 0.0])[0] == 0.0


@given(longitudes, latitudes)
def test_one_vector_leads_to_its_place_and_back(ra: float, dec: float) -> None:
    vector = degrees_to_vectors(ra, dec)
    back_ra, back_dec = vector_to_degrees(vector.tolist())
    assert 0.0 <= back_ra < 360.0
    assert degrees_to_vectors(back_ra, back_dec) == pytest.approx(vector, abs=1e-14)


@given(longitudes, latitudes, longitudes, latitudes)
def test_separation_is_that_of_astropy(ra1: float, dec1: float, ra2: float, dec2: float) -> None:
    angle = separation(degrees_to_vectors(ra1, dec1), degrees_to_vectors(ra2, dec2))
    assert angle == pytest.approx(float(angular_separation(*np.radians([ra1, dec1, ra2, dec2]))), abs=1e-15, rel=1e-13)


@pytest.mark.parametrize("small", [1e-3, 1e-8, 1e-13])
def test_separation_of_the_near_and_of_the_antipodal(small: float) -> None:
    here, there = np.array([1.0, 0.0, 0.0]), np.array([np.cos(small), np.sin(small), 0.0])
    assert separation(here, there) == pytest.approx(small, rel=1e-12)
    assert np.pi - separation(here, -there) == pytest.approx(small, rel=1e-2)
    assert separation(here, -here) == np.pi


# --- points in polygons


def star(center: Array, angles: Array, radii: Array) -> Footprint:
    """A polygon around a centre, with corners at position angles and distances (rad): convex or not, it is simple."""
    east = np.cross([0.0, 0.0, 1.0] if abs(center[2]) < 0.9 else [1.0, 0.0, 0.0], center)
    east /= np.linalg.norm(east)
    north = np.cross(center, east)
    ways = np.cos(angles)[:, None] * north + np.sin(angles)[:, None] * east
    return Footprint(np.cos(radii)[:, None] * center + np.sin(radii)[:, None] * ways, center)


def in_star(footprint: Footprint, points: Array) -> NDArray[np.bool_]:
    """The oracle: a point is in one of the triangles that the centre makes with each edge, each three half-spaces."""
    inside = np.zeros(len(points), bool)
    corners = footprint.vertices
    for one, other in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        triangle = [footprint.center, one, other]
        sign = np.sign(np.linalg.det(np.array(triangle)))
        sides = [np.cross(triangle[i], triangle[(i + 1) % 3]) @ points.T * sign for i in range(3)]
        inside |= np.min(sides, axis=0) > 0
    return inside


def regular_star(ra: float, dec: float, radii: list[float]) -> Footprint:
    angles = np.arange(len(radii)) * 2 * np.pi / len(radii)
    return star(degrees_to_vectors(ra, dec), angles, np.array(radii))


stars = st.builds(
    regular_star,
    longitudes,
    latitudes | st.sampled_from([-90.0, 90.0]),
    st.lists(st.floats(1e-3, 1.3), min_size=3, max_size=9) | st.lists(st.floats(1e-6, 1e-5), min_size=3, max_size=9),
)


@given(stars, st.integers(0, 2**32))
def test_a_polygon_of_any_form_contains_what_its_triangles_contain(footprint: Footprint, seed: int) -> None:
    random = np.random.default_rng(seed)
    _, radius = cap(footprint)
    near = star(footprint.center, random.uniform(0, 2 * np.pi, 300), random.uniform(0, 1.2 * radius, 300)).vertices
    points = np.vstack([near, -near[:20], random.normal(size=(20, 3))])
    points /= np.linalg.norm(points, axis=1)[:, None]
    assert np.array_equal(contains(footprint, points), in_star(footprint, points))
    # Which way round the corners are written makes no difference.
    reverse = Footprint(footprint.vertices[::-1], footprint.center)
    assert np.array_equal(contains(reverse, points), contains(footprint, points))


@given(stars, st.integers(0, 2**32))
def test_bounds_hold_all_that_a_polygon_contains(footprint: Footprint, seed: int) -> None:
    random = np.random.default_rng(seed)
    _, radius = cap(footprint)
    points = star(footprint.center, random.uniform(0, 2 * np.pi, 300), random.uniform(0, radius, 300)).vertices
    # Points of the edges themselves are where a box is tight.
    weights = random.uniform(size=(len(footprint.vertices), 20, 1))
    edges = weights * footprint.vertices[:, None] + (1 - weights) * np.roll(footprint.vertices, -1, axis=0)[:, None]
    edges /= np.linalg.norm(edges, axis=-1)[..., None]
    inside = np.vstack([points[contains(footprint, points)], edges.reshape(-1, 3), footprint.vertices])
    low, high = (sides[0] for sides in bounds([footprint]))
    assert ((inside >= low) & (inside <= high)).all()
    assert (low >= -1).all()
    assert (high <= 1).all()


def test_bounds_are_tight_where_footprints_are_small() -> None:
    footprint = Image(header("TAN", CDELT1=-0.0001, CDELT2=0.0001, CRVAL2=50.0), 2000, 1500).footprint()
    low, high = (sides[0] for sides in bounds([footprint]))
    assert (high - low) == pytest.approx(np.ptp(footprint.vertices, axis=0), rel=0.01)


def test_an_octant_has_its_corners_by_definition() -> None:
    octant = Footprint(np.eye(3), np.full(3, 3**-0.5))
    points = degrees_to_vectors(
        [45.0, 1.0, 89.0, 45.0, 91.0, 359.0, 45.0, 225.0], [35.0, 1.0, 1.0, 89.0, 1.0, 1.0, -1.0, -35.0]
    )
    assert contains(octant, points).tolist() == [True, True, True, True, False, False, False, False]
    assert contains(octant, points[0]).shape == ()
    assert contains(octant, points.reshape(2, 4, 3)).shape == (2, 4)


def test_a_bent_polygon_does_not_contain_its_notch() -> None:
    # An L of 2 x 2 degrees without its upper left quarter, across RA 0.
    corners = degrees_to_vectors([359.0, 1.0, 1.0, 0.0, 0.0, 359.0], [-1.0, -1.0, 1.0, 1.0, 0.0, 0.0])
    shape = Footprint(corners, degrees_to_vectors(0.0, 0.0))
    points = degrees_to_vectors([359.5, 0.5, 0.5, 359.5], [-0.5, -0.5, 0.5, 0.5])
    assert contains(shape, points).tolist() == [True, True, True, False]


# --- outlines of images


def test_a_tangential_image_has_its_four_corners() -> None:
    image = Image(header("TAN"), 100, 80)
    footprint = image.footprint()
    expected = degrees_to_vectors(*image.to_sky(np.array([-0.5, 99.5, 99.5, -0.5]), np.array([-0.5, -0.5, 79.5, 79.5])))
    assert len(footprint.vertices) == 4
    distances = separation(footprint.vertices[:, None], expected)
    assert sorted(distances.argmin(axis=0).tolist()) == [0, 1, 2, 3]
    assert distances.min(axis=0).max() < 1e-15
    assert separation(footprint.center, degrees_to_vectors(*image.to_sky(np.array([49.5]), np.array([39.5])))) < 1e-15


def test_corners_go_counter_clockwise_as_seen_from_the_origin() -> None:
    ra, dec = vectors_to_degrees(Image(header("TAN"), 100, 80).footprint().vertices)
    # North up, east left: from the corner in the north-west counter-clockwise to that in the north-east.
    start = int(np.argmax(dec - ra))
    order = [(bool(ra[i] > 30), bool(dec[i] > 20)) for i in (np.arange(4) + start) % 4]
    assert order == [(False, True), (True, True), (True, False), (False, False)]


@pytest.mark.parametrize("flip", [{}, {"CDELT1": 0.01}, {"CDELT1": 0.01, "CDELT2": -0.01}, {"CDELT2": -0.01}])
@pytest.mark.parametrize("place", [(30.0, 20.0), (0.0, 0.0), (359.999, -45.0), (10.0, 90.0), (200.0, -89.8)])
@pytest.mark.parametrize("projection", ["TAN", "SIN", "ZEA", "STG", "ARC", "CAR", "AIT", "MOL"])
def test_an_image_contains_its_pixels_and_no_others(
    projection: str, place: tuple[float, float], flip: dict[str, float]
) -> None:
    if projection in ("CAR", "AIT", "MOL"):  # CRVAL is not the place where the image lies in these
        place = (place[0], 0.0)
    cards = {"CRVAL1": place[0], "CRVAL2": place[1], "CRPIX1": 130.0, "CRPIX2": -300.0}
    check_against_pixels(Image(header(projection, **cards, **flip), 1000, 800))


@pytest.mark.parametrize("turn", [0.0, 30.0, 90.0, 200.0])
def test_a_turned_image_with_oblong_pixels(turn: float) -> None:
    c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    cards = {"PC1_1": c, "PC1_2": -s, "PC2_1": s, "PC2_2": c, "CDELT1": -0.02, "CDELT2": 0.0004, "CRVAL2": 75.0}
    check_against_pixels(Image(header("ZEA", **cards), 300, 3000))


def test_axes_in_the_other_order() -> None:
    swapped = header("CAR", CTYPE1="DEC--CAR", CTYPE2="RA---CAR", CRVAL1=0.0, CRVAL2=0.0, CRPIX1=-3000.0)
    check_against_pixels(Image(swapped, 400, 700))


def test_an_image_of_coefficients() -> None:
    sip: dict[str, float | str] = {
        "CTYPE1": "RA---TAN-SIP",
        "CTYPE2": "DEC--TAN-SIP",
        "A_ORDER": 3,
        "B_ORDER": 3,
        "A_2_0": -2e-5,
        "A_1_2": 3e-9,
        "B_0_2": 2e-5,
        "B_3_0": -4e-9,
    }
    image = Image(header("TAN") | sip | {"CRVAL1": 0.01, "CDELT1": -1e-4, "CDELT2": 1e-4}, 1000, 800)
    assert len(image.footprint().vertices) > 8
    check_against_pixels(image, margin=0.02)


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 500), (500, 1), (2, 3)])
def test_images_of_few_pixels(width: int, height: int) -> None:
    check_against_pixels(Image(header("ARC", CRVAL2=88.0), width, height), margin=1.0)


def test_pixels_of_a_microarcsecond() -> None:
    image = Image(header("TAN", CDELT1=-3e-10, CDELT2=3e-10), 100, 80)
    assert len(image.footprint().vertices) == 4
    check_against_pixels(image)


@pytest.mark.parametrize("pole", [1, -1])
def test_a_side_that_is_one_point_of_the_sky(pole: int) -> None:
    # A tile of a plate carree map from the pole 20 degrees down: its side along the pole is the pole itself.
    cards = {"CRVAL2": 0.0, "CRPIX1": 50.5, "CDELT1": -0.1, "CDELT2": pole * 0.1, "CRPIX2": -700.5 + 1.0}
    image = Image(header("CAR", **cards), 300, 200)
    dec = image.to_sky(np.array([0.0, 299.0]), np.array([199.5, 199.5]))[1]
    assert dec == pytest.approx(np.full(2, pole * 90.0))
    footprint = image.footprint()
    assert footprint.exact
    x, y = image.samples(4000, 0.0)
    inner = image.depth(x, y) > 0.2
    assert contains(footprint, degrees_to_vectors(*image.to_sky(x[inner], y[inner]))).all()
    gaps = separation(footprint.vertices, np.roll(footprint.vertices, 1, axis=0))
    assert gaps.min() > 1e-6  # the pole is one corner, not two
    elsewhere = degrees_to_vectors([150.0, 210.0, 30.0], [pole * 85.0, pole * 89.0, pole * 69.0])
    assert not contains(footprint, elsewhere).any()


def test_a_side_follows_its_edge_with_no_more_vertices_than_it_needs() -> None:
    counts = [
        len(Image(header("CAR", CRVAL2=0.0, CRPIX2=low), 1000, 20).footprint().vertices) for low in (10.5, -4500.5)
    ]
    assert counts[0] == 4  # along the equator, a great circle
    assert 8 < counts[1] < 64


# --- images that have no simple outline


@pytest.mark.parametrize("projection", ["AIT", "MOL", "HPX", "TSC", "SFL", "CAR", "CEA", "ZEA", "SIN", "XPH"])
def test_a_map_of_the_whole_sky_is_covered(projection: str) -> None:
    cards = {"CRVAL1": 120.0, "CRVAL2": 0.0, "CDELT1": -2.0, "CDELT2": 2.0, "CRPIX1": 100.5, "CRPIX2": 90.5}
    check_cover(Image(header(projection, **cards), 200, 180))


@pytest.mark.parametrize("corner", [(1.0, 1.0), (200.0, 90.0), (60.0, 170.0)])
def test_a_tile_at_the_limb_of_a_map_is_covered(corner: tuple[float, float]) -> None:
    cards = {"CRVAL2": 0.0, "CDELT1": -1.8, "CDELT2": 1.8, "CRPIX1": 100.5 - corner[0], "CRPIX2": 50.5 - corner[1]}
    image = Image(header("MOL", **cards), 40, 40)
    try:
        check_cover(image)
    except ValueError:
        x, y = np.meshgrid(np.arange(-0.5, 40, 0.5), np.arange(-0.5, 40, 0.5))
        assert not np.isfinite(image.to_sky(x.ravel(), y.ravel())[0]).any()


def test_a_hemisphere_and_more_is_covered() -> None:
    footprint = check_cover(Image(header("ARC", CDELT1=-1.0, CDELT2=1.0), 250, 250))
    assert cap(footprint)[1] > np.radians(120.0)


def test_a_cover_surrounds_its_cap() -> None:
    # An image of 20 x 16 degrees with a hole: the polygon's edges, not only its corners, are outside of the image.
    def to_sky(x: Array, y: Array) -> tuple[Array, Array]:
        ra, dec = Image(header("TAN", CDELT1=-0.2, CDELT2=0.2), 100, 80).to_sky(x, y)
        return np.where(np.hypot(x - 30, y - 30) < 20, np.nan, ra), dec

    footprint = outline(to_sky, 100, 80)
    assert not footprint.exact
    check_shape(footprint)
    polygon = Footprint(footprint.vertices, footprint.center, exact=True)
    corners = degrees_to_vectors(*to_sky(np.array([-0.5, 99.5, 99.5, -0.5]), np.array([-0.5, -0.5, 79.5, 79.5])))
    assert contains(polygon, corners).all()
    assert cap(footprint)[1] < 2 * separation(corners[0], footprint.center)


def test_a_map_that_is_torn_has_no_exact_outline() -> None:
    def to_sky(x: Array, y: Array) -> tuple[Array, Array]:
        return 10.0 - 0.01 * x + np.where(x > 50, 5.0, 0.0), 0.01 * y

    footprint = outline(to_sky, 100, 80)
    assert not footprint.exact
    assert contains(footprint, degrees_to_vectors([10.0, 14.0], [0.4, 0.4])).all()


def test_a_map_that_folds_over_has_no_exact_outline() -> None:
    def to_sky(x: Array, y: Array) -> tuple[Array, Array]:
        return 10.0 + 0.01 * np.abs(x - 40.0) * (1 + 0.001 * y), 0.01 * y

    assert not outline(to_sky, 100, 80).exact


def test_a_map_that_is_torn_within_a_smooth_outline_has_no_exact_outline() -> None:
    def to_sky(x: Array, y: Array) -> tuple[Array, Array]:
        return 10.0 - 0.01 * x + np.where(np.hypot(x - 20.0, y - 20.0) < 15.0, 5.0, 0.0), 0.01 * y

    footprint = outline(to_sky, 100, 80)
    assert not footprint.exact
    assert contains(footprint, degrees_to_vectors([14.8, 10.0], [0.2, 0.0])).all()


def test_a_map_whose_sides_cross_has_no_exact_outline() -> None:
    def to_sky(x: Array, y: Array) -> tuple[Array, Array]:
        return 10.0 + 1e-3 * (x - 49.5) * (y - 31.7), 0.01 * y

    assert not outline(to_sky, 100, 80).exact


def test_an_outline_reaches_80_degrees_at_the_most() -> None:
    square = {"CRPIX1": 100.5, "CRPIX2": 100.5}
    for radius in (70.0, 79.0):
        scale = radius / np.hypot(100.0, 100.0)
        # Pixels of about half a degree: 64 straight pieces follow a side of 200.
        assert Image(header("ARC", CDELT1=-scale, CDELT2=scale, **square), 200, 200).footprint().exact
    scale = 85.0 / np.hypot(100.0, 100.0)
    check_cover(Image(header("ARC", CDELT1=-scale, CDELT2=scale, **square), 200, 200))


def test_an_image_without_any_pixel_on_the_sky_is_refused() -> None:
    with pytest.raises(ValueError, match="no pixel of the image is on the sky"):
        outline(lambda x, y: (np.full_like(x, np.nan), y), 10, 10)
    with pytest.raises(ValueError, match="0 x 5"):
        outline(lambda x, y: (x, y), 0, 5)


# --- real headers


def maps() -> list[str]:
    folder = resources.files(astropy.wcs.tests).joinpath("data", "maps")
    return sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".hdr"))


@pytest.mark.parametrize("name", maps())
def test_every_projection_that_astropy_ships(name: str) -> None:
    text = resources.files(astropy.wcs.tests).joinpath("data", "maps", name).read_text(encoding="ascii")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image = Image(WCS(fits.Header.fromstring(text)), 192, 192)
    check_against_pixels(image)


def test_real_files() -> None:
    data = Path(os.environ.get("IMAGESERV_TEST_DATA", Path(__file__).parents[4] / "shared" / "data"))
    for path in sorted(data.glob("zoo/galsim/*.fits*")) + sorted(data.glob("stripe82/full/**/*.gz")):
        real = fits.getheader(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image(WCS(real), real["NAXIS1"], real["NAXIS2"])
        check_against_pixels(image, margin=0.02)


@pytest.mark.parametrize("kind", ["SIN", "ZEA", "ARC", "STG"])
def test_the_cap_of_an_image_that_ends_at_a_limb_is_not_much_larger_than_what_it_shows(kind: str) -> None:
    """A square around half the sky: on it to 90 degrees, at its corners beyond (or, in SIN, not at all)."""
    scale = {"SIN": 0.4, "ZEA": 0.56, "ARC": 0.62, "STG": 0.78}[kind]
    header = fits.Header({"NAXIS": 2, "NAXIS1": 300, "NAXIS2": 300, "CTYPE1": f"RA---{kind}", "CTYPE2": f"DEC--{kind}"})
    header.update({"CRVAL1": 65.0, "CRVAL2": 20.0, "CRPIX1": 150.5, "CRPIX2": 150.5, "CDELT1": -scale, "CDELT2": scale})
    footprint = footprint_of(SkyWcs(header).vectors, 300, 300)
    y, x = np.mgrid[:300, :300]
    wcs: Any = WCS(header)
    lon, lat = wcs.wcs_pix2world(x.ravel(), y.ravel(), 0)
    place = SkyCoord(65.0, 20.0, unit="deg")
    shown = np.isfinite(lon)
    farthest = float(np.max(place.separation(SkyCoord(lon[shown], lat[shown], unit="deg")).deg))
    center, radius = cap(footprint)
    assert separation(center, degrees_to_vectors(65.0, 20.0)) < np.radians(1.0)
    assert farthest < np.degrees(radius) < farthest + 12.0
