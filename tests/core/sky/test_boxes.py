"""The pixels that stencils take, judged by the sky positions of all pixels of an image, one by one."""

import warnings
from typing import Any

import numpy as np
import pytest
from astropy.coordinates import SkyCoord, angular_separation
from astropy.io import fits
from astropy.nddata import Cutout2D, NoOverlapError
from astropy.wcs import WCS
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from imageserv.core.errors import NoOverlapFault, UsageFault
from imageserv.core.sky.boxes import PixelBox, Reach, reach
from imageserv.core.sky.stencil import Box, Circle, Polygon, Range, Shape
from imageserv.core.sky.wcs import SkyWcs

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


class Picture:
    """An image as astropy's high-level coordinates see it."""

    def __init__(self, cards: dict[str, Any], width: int, height: int) -> None:
        self.header = fits.Header({"NAXIS": 2, "NAXIS1": width, "NAXIS2": height})
        self.header.update(cards)
        self.width, self.height = width, height
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.wcs = WCS(self.header)
            self.mine = SkyWcs(self.header)

    def sky(self, x: Array, y: Array) -> tuple[Array, Array]:
        """ICRS degrees, NaN off the sky."""
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            place: Any = self.wcs.pixel_to_world(x, y)
            good = np.isfinite(place.spherical.lon.deg) & np.isfinite(place.spherical.lat.deg)
            ra, dec = np.full(x.shape, np.nan), np.full(x.shape, np.nan)
            if good.any():
                icrs = place[good].icrs
                ra[good], dec[good] = icrs.ra.deg, icrs.dec.deg
        return ra, dec

    def pixels(self, ra: Array, dec: Array) -> tuple[Array, Array]:
        """Pixels of places, as far as they lead back to them."""
        place: Any = SkyCoord(ra, dec, unit="deg")
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            x, y = (np.asarray(part, float) for part in self.wcs.world_to_pixel(place))
        ra2, dec2 = self.sky(x, y)
        good = distance(ra, dec, ra2, dec2) < 1e-3 * self.mine.pixel_size
        return np.where(good, x, np.nan), np.where(good, y, np.nan)

    def reach(self, shape: Shape) -> Reach | None:
        try:
            return reach(shape, self.mine, self.width, self.height)
        except NoOverlapFault as fault:
            assert "no pixel" in fault.message
            return None


def distance(ra1: Array, dec1: Array, ra2: Any, dec2: Any) -> Array:
    """Degrees."""
    angle: Array = np.degrees(angular_separation(*(np.radians(part) for part in (ra1, dec1, ra2, dec2))))
    return angle


# --- who is inside: written for these tests, in other ways than the program's


def unit(ra: Any, dec: Any) -> Array:
    lon, lat = np.radians(ra), np.radians(dec)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)


def degrees(vectors: Array) -> tuple[Array, Array]:
    x, y, z = vectors.T
    return np.degrees(np.arctan2(y, x)) % 360, np.degrees(np.arctan2(z, np.hypot(x, y)))


def offset(place: tuple[float, float], angles: Array, distances: Array) -> tuple[Array, Array]:
    """Degrees of what is at position angles and distances (deg) from a place; exact at the poles too."""
    (ra, dec), angle, away = np.radians(place), np.radians(angles), np.radians(distances)
    north = np.array([-np.sin(dec) * np.cos(ra), -np.sin(dec) * np.sin(ra), np.cos(dec)])
    east = np.array([-np.sin(ra), np.cos(ra), 0.0])
    way = np.cos(angle)[:, None] * north + np.sin(angle)[:, None] * east
    return degrees(np.cos(away)[:, None] * unit(*place) + np.sin(away)[:, None] * way)


def in_range(shape: Range, ra: Array, dec: Array, margin: float) -> Mask:
    """By longitude and latitude, with a margin that is an angle along the sky."""
    with np.errstate(divide="ignore", over="ignore"):
        aside = np.minimum(margin / np.cos(np.radians(dec)), 360.0) if margin > 0 else np.full(ra.shape, margin)
    extent = shape.extent + 2 * aside
    within = ((ra - shape.west + aside) % 360 <= extent) | (extent >= 360)
    return np.asarray(within & (dec >= shape.south - margin) & (dec <= shape.north + margin))


def in_polygon(shape: Polygon, ra: Array, dec: Array, margin: float) -> Mask:
    """By the sum of the angles under which the edges are seen: a full turn inside, none outside.

    Seen from the antipode of a place inside there is a full turn as well; polygons of this oracle are within a
    hemisphere.
    """
    point = unit(ra, dec)
    corners = unit(*np.array(shape.vertices).T)
    total = np.zeros(ra.shape)
    nearest = np.full(ra.shape, np.inf)
    for a, b in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        pa, pb = np.cross(point, a), np.cross(point, b)
        total += np.arctan2(np.sum(point * np.cross(pa, pb), axis=-1), np.sum(pa * pb, axis=-1))
        nearest = np.minimum(nearest, to_edge(point, a, b))
    inside = (np.abs(total) > np.pi) & (point @ hemisphere(corners) > 0)
    # A positive margin takes what is near an edge, a negative one leaves it out.
    return np.asarray((inside | (nearest <= margin)) if margin >= 0 else (inside & (nearest >= -margin)))


def hemisphere(corners: Array) -> Array:
    """The middle of a hemisphere that has all corners: wherever one is left out, turn towards it (a perceptron)."""
    middle: Array = corners.mean(axis=0)
    for _ in range(10_000):
        worst = corners[np.argmin(corners @ middle)]
        if worst @ middle > 0:
            return middle
        middle = middle + worst
    raise AssertionError("the corners are in no hemisphere")


def to_edge(point: Array, a: Array, b: Array) -> Array:
    """Degrees from points to a great-circle arc, by cross-track and along-track distances."""
    chords = [np.linalg.norm(point - end, axis=-1) for end in (a, b)]
    ends: Array = np.degrees(2 * np.arcsin(np.clip(np.minimum(*chords) / 2, 0, 1)))
    pole = np.cross(a, b - a)
    if np.linalg.norm(pole) < 1e-15:
        return ends
    pole /= np.linalg.norm(pole)
    across = np.abs(np.degrees(np.arcsin(np.clip(point @ pole, -1, 1))))
    beside = (np.cross(pole, a) @ point.T >= 0) & (np.cross(pole, b) @ point.T <= 0) & (point @ (a + b) > 0)
    return np.asarray(np.where(beside, np.minimum(across, ends), ends))


def inside(shape: Shape, ra: Array, dec: Array, margin: float = 0.0) -> Mask:
    """Who is in a shape that is wider by a margin (deg)."""
    if isinstance(shape, Circle):
        within = np.asarray(distance(ra, dec, shape.ra, shape.dec) <= shape.radius + margin)
    elif isinstance(shape, Range):
        within = in_range(shape, ra, dec, margin)
    else:
        within = in_polygon(shape, ra, dec, margin)
    return within & np.isfinite(ra)


def border(shape: Shape, count: int = 400) -> tuple[Array, Array]:
    """Places along the boundary, ICRS degrees."""
    if isinstance(shape, Circle):
        angles = np.linspace(0, 360, count, endpoint=False)
        return offset((shape.ra, shape.dec), angles, np.full(count, shape.radius))
    part = np.linspace(0, 1, count)
    if isinstance(shape, Range):
        ra = shape.west + part * shape.extent
        dec = np.clip(shape.south + part * (shape.north - shape.south), -90, 90)  # rounding goes beyond
        sides = [(ra, np.full(count, shape.south)), (ra, np.full(count, shape.north))]
        if shape.extent < 360:
            sides += [(np.full(count, side), dec) for side in (shape.west, shape.west + shape.extent)]
        return np.concatenate([side[0] for side in sides]) % 360, np.concatenate([side[1] for side in sides])
    corners = unit(*np.array(shape.vertices).T)
    part = np.linspace(0, 1, max(3, count // len(corners)))[:, None]
    points = np.concatenate([(1 - part) * a + part * b for a, b in zip(corners, np.roll(corners, -1, 0), strict=True)])
    return degrees(points)


def covered(box: PixelBox, x: Array, y: Array, slack: float) -> Mask:
    (x_min, x_max), (y_min, y_max) = box
    across = (x >= x_min - 0.5 - slack) & (x <= x_max - 0.5 + slack)
    return np.asarray(across & (y >= y_min - 0.5 - slack) & (y <= y_max - 0.5 + slack))


def check(picture: Picture, shape: Shape, slack: float = 2e-6) -> Reach | None:
    """Assert that the box holds all pixels whose centres are inside and all of the boundary, and is the smallest."""
    got = picture.reach(shape)
    y, x = (grid.astype(float) for grid in np.mgrid[: picture.height, : picture.width])
    ra, dec = picture.sky(x.ravel(), y.ravel())
    centres = inside(shape, ra, dec, -1e-7 * picture.mine.pixel_size).reshape(x.shape)
    edge_x, edge_y = picture.pixels(*border(shape))
    shown = covered(((0, picture.width), (0, picture.height)), edge_x, edge_y, -slack)
    if got is None:
        assert not centres.any(), "no box, but pixels inside"
        assert not shown.any(), "no box, but a boundary"
        return None
    (x_min, x_max), (y_min, y_max) = box = got.delivered
    assert 0 <= x_min < x_max <= picture.width
    assert 0 <= y_min < y_max <= picture.height
    assert covered(box, x[centres], y[centres], 0.0).all(), "a pixel is missing"
    assert covered(box, edge_x[shown], edge_y[shown], slack).all(), "the boundary sticks out"
    for axis, (low, high) in enumerate(box):
        for line in {low, high - 1}:
            on_line = np.abs((edge_x, edge_y)[axis][shown] - line) <= 0.5 + slack
            assert on_line.any() or touches(picture, shape, box, axis, line), f"axis {axis}: {line} is not touched"
    if got.requested is not None:
        for (low, high), (least, most) in zip(got.requested, box, strict=True):
            assert low <= least and high >= most
        shown = np.isfinite(edge_x)
        about = 1e-4 * max(high - low for low, high in got.requested)
        assert covered(got.requested, edge_x[shown], edge_y[shown], max(about, slack)).all()
    return got


def touches(picture: Picture, shape: Shape, box: PixelBox, axis: int, line: int) -> bool:
    """Tell whether some place within the box's column or row is inside: by samples, a tenth of a pixel apart."""
    low, high = box[1 - axis]
    fine = np.linspace(line - 0.5, line + 0.5, 11)
    along = np.linspace(low - 0.5, high - 0.5, 10 * (high - low) + 1)
    one, other = (part.ravel() for part in np.meshgrid(fine, along))
    ra, dec = picture.sky(*((one, other) if axis == 0 else (other, one)))
    if inside(shape, ra, dec).any():
        return True
    # What is inside may be a sliver between samples.
    steps = distance(ra[:-1], dec[:-1], ra[1:], dec[1:])
    steps = steps[np.isfinite(steps) & (steps < 10 * picture.mine.pixel_size)]
    return bool(inside(shape, ra, dec, 1.5 * np.max(steps, initial=0.0)).any())


# --- any image, any stencil

SIP: dict[str, Any] = {"A_ORDER": 2, "A_2_0": -5.6e-5, "A_1_1": 4e-6, "B_ORDER": 2, "B_0_2": 3e-5, "B_1_1": -2e-6}
TPV: dict[str, Any] = {"PV1_0": 1e-5, "PV1_1": 1.001, "PV1_4": 2e-3, "PV2_0": -1e-5, "PV2_1": 0.999, "PV2_6": -3e-3}
AROUND_A_PLACE = ("TAN", "SIN", "ARC", "ZEA", "STG", "TPV", "TAN-SIP")
ALL_SKY = ("CAR", "CEA", "MER", "AIT", "MOL", "SFL", "PAR", "HPX", "QSC")
FRAMES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("RA--", "DEC-", {}),
    ("RA--", "DEC-", {"RADESYS": "FK5", "EQUINOX": 1975.0}),
    ("RA--", "DEC-", {"RADESYS": "FK4", "EQUINOX": 1950.0}),
    ("GLON", "GLAT", {}),
    ("ELON", "ELAT", {"RADESYS": "ICRS"}),
)


def cards(
    projection: str,
    scale: float,
    size: tuple[int, int],
    place: tuple[float, float] = (0.0, 0.0),
    turn: float = 0.0,
    oblong: float = 1.0,
    frame: tuple[str, str, dict[str, Any]] = FRAMES[0],
) -> dict[str, Any]:
    """A header of an image with the reference point in its middle; degrees."""
    cosine, sine = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    made: dict[str, Any] = {
        "CTYPE1": f"{frame[0]}-{projection}",
        "CTYPE2": f"{frame[1]}-{projection}",
        "CRVAL1": place[0],
        "CRVAL2": place[1],
        "CRPIX1": (size[0] + 1) / 2,
        "CRPIX2": (size[1] + 1) / 2,
        "CD1_1": -scale * cosine,
        "CD1_2": scale * oblong * sine,
        "CD2_1": scale * sine,
        "CD2_2": scale * oblong * cosine,
    }
    return made | frame[2] | {"TPV": TPV, "TAN-SIP": SIP}.get(projection, {})


def picture(projection: str, scale: float, size: tuple[int, int], **options: Any) -> Picture:
    return Picture(cards(projection, scale, size, **options), *size)


@st.composite
def pictures(draw: st.DrawFn) -> Picture:
    projection = draw(st.sampled_from(AROUND_A_PLACE + ALL_SKY))
    size = draw(st.integers(1, 60)), draw(st.integers(1, 60))
    distorted = projection in ("TPV", "TAN-SIP")
    whole_sky = not distorted and draw(st.integers(0, 3)) == 0
    scale = draw(st.sampled_from([2.0, 4.0, 7.0])) if whole_sky else 10 ** draw(st.floats(-6, -2 if distorted else 0))
    latitudes = st.sampled_from([0.0, 90.0, -90.0, 89.9]) | st.floats(-90, 90)
    place = (
        draw(st.sampled_from([0.0, 359.9999]) | st.floats(0, 360)),
        draw(latitudes if projection in AROUND_A_PLACE else st.sampled_from([0.0, 0.0, 40.0])),
    )
    made = cards(
        projection,
        scale * draw(st.sampled_from([1, -1])),
        size,
        place=place,
        turn=draw(st.sampled_from([0.0, 90.0]) | st.floats(0, 360)),
        oblong=draw(st.sampled_from([1.0, 0.5, -3.0])),
        frame=draw(st.sampled_from(FRAMES + 3 * FRAMES[:1])),
    )
    if draw(st.booleans()):
        made["CRPIX1"], made["CRPIX2"] = draw(st.floats(-50, 110)), draw(st.floats(-50, 110))
    return Picture(made, *size)


@st.composite
def scenes(draw: st.DrawFn) -> tuple[Picture, Shape]:
    """An image, and a stencil of any size that lies mostly near it."""
    made = draw(pictures())
    x, y = draw(st.floats(-0.1, 1.1)) * made.width, draw(st.floats(-0.1, 1.1)) * made.height
    if draw(st.integers(0, 4)) == 0:
        x, y = float(round(x)), float(round(y))
    (ra,), (dec,) = made.sky(np.array([x]), np.array([y]))
    if not np.isfinite(ra) or draw(st.integers(0, 9)) == 0:
        ra, dec = draw(st.floats(0, 359.99)), draw(st.floats(-90, 90))
    size = min(made.mine.pixel_size * 10 ** draw(st.floats(-3, 2.5)), 180.0)
    kind = draw(st.sampled_from(["circle", "range", "polygon"]))
    if kind == "circle":
        return made, Circle(float(ra), float(dec), draw(st.sampled_from([size, size, size, 0.0])))
    if kind == "range":
        extent = draw(st.sampled_from([min(size * 3, 360.0), min(size, 360.0), 360.0, 0.0]))
        south, north = (min(max(dec + sign * size * draw(st.floats(0, 1)), -90), 90) for sign in (-1, 1))
        south, north = draw(st.sampled_from([(south, north)] * 5 + [(-90.0, north), (south, 90.0), (south, south)]))
        west = (ra - extent * draw(st.floats(0, 1))) % 360
        return made, Range(float(west), float(extent), float(south), float(north))
    return made, polygon(
        (float(ra), float(dec)),
        np.sort(draw(st.lists(st.floats(0, 359), min_size=3, max_size=12, unique=True))),
        min(size, 80.0) * np.array(draw(st.lists(st.floats(0.2, 1), min_size=12, max_size=12))),
        reverse=draw(st.booleans()),
        repeat=draw(st.booleans()),
    )


def polygon(
    place: tuple[float, float], angles: Array, radii: Array, *, reverse: bool = False, repeat: bool = False
) -> Polygon:
    """Corners at position angles and distances (deg) from a place."""
    ra, dec = offset(place, angles, np.resize(radii, len(angles)))
    vertices = list(zip(ra.tolist(), dec.tolist(), strict=True))
    vertices += vertices[-1:] if repeat else []
    return Polygon(tuple(vertices[::-1] if reverse else vertices))


@given(scenes())
@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_the_box_is_the_smallest_that_holds_all_pixels_of_a_stencil(scene: tuple[Picture, Shape]) -> None:
    check(*scene)


# --- maps of all the sky


@pytest.mark.parametrize(
    "shape",
    [
        Circle(10.0, 10.0, 20.0),
        Circle(180.0, 0.0, 3.0),
        Circle(180.0, 5.0, 0.0),
        Circle(30.0, 90.0, 25.0),
        Circle(200.0, -75.0, 40.0),
        Circle(0.0, 0.0, 89.0),
        Circle(70.0, 20.0, 130.0),
        Circle(0.0, 0.0, 180.0),
        Range(170.0, 25.0, -20.0, 30.0),
        Range(350.0, 20.0, 60.0, 90.0),
        Range(0.0, 360.0, 40.0, 50.0),
        Range(0.0, 360.0, -90.0, 90.0),
        Range(85.0, 190.0, -90.0, 90.0),
        Range(100.0, 300.0, -90.0, -30.0),
        polygon((180.0, 10.0), np.arange(0, 360, 60.0), np.array([30.0, 15.0])),
        polygon((20.0, 88.0), np.arange(0, 360, 72.0), np.array([10.0, 60.0])),
        polygon((300.0, -40.0), np.arange(0, 360, 7.2), np.array([60.0, 61.0])),
    ],
    ids=lambda shape: repr(shape)[:40],
)
@pytest.mark.parametrize(
    ("projection", "scale", "size"),
    [
        ("AIT", 5.0, (70, 40)),
        ("MOL", 5.0, (70, 40)),
        ("CAR", 5.0, (72, 36)),
        ("SFL", 5.0, (72, 36)),
        ("HPX", 5.0, (72, 72)),
        ("SIN", 3.0, (50, 50)),
        ("ZEA", 4.0, (64, 64)),
        ("TSC", 5.0, (72, 60)),
    ],
)
def test_maps_of_all_the_sky(projection: str, scale: float, size: tuple[int, int], shape: Shape) -> None:
    check(picture(projection, scale, size), shape)
    # Seen from elsewhere: nothing is along the axes any more.
    check(picture(projection, scale, size, frame=FRAMES[3]), shape)


def test_all_the_sky_is_as_large_as_its_projection_says() -> None:
    # An ellipse with the half axes 2 and 1 times the root of 2 (FITS WCS paper II, section 5.3.3), in 4 degree pixels.
    got = picture("AIT", 4.0, (100, 60)).reach(Circle(0.0, 0.0, 180.0))
    half = np.degrees(np.sqrt(2.0)) / 4.0
    across = round(49.5 - 2 * half), round(49.5 + 2 * half) + 1
    upright = round(29.5 - half), round(29.5 + half) + 1
    assert got == Reach(None, (across, upright))


def test_a_small_sky_in_a_large_image_is_found() -> None:
    # All of the sky is about 4 by 8 pixels of 3000 x 2000, far from the middle.
    made = cards("AIT", 40.0, (3000, 2000), turn=90.0)
    made["CRPIX1"], made["CRPIX2"] = 2711.0, 33.0
    got = Picture(made, 3000, 2000).reach(Circle(0.0, 0.0, 180.0))
    half = np.degrees(np.sqrt(2.0)) / 40.0
    across = round(2710 - half), round(2710 + half) + 1
    upright = round(32 - 2 * half), round(32 + 2 * half) + 1
    assert got == Reach(None, (across, upright))


def test_a_cube_face_that_is_there_twice_is_taken_twice() -> None:
    # wcslib reads the fourth face of a cube on both sides of the others.
    both = picture("TSC", 5.0, (90, 60))
    y, x = (grid.ravel().astype(float) for grid in np.mgrid[:60, :90])
    ra, dec = both.sky(x, y)
    taken = distance(ra, dec, 180.0, 0.0) < 6.0
    assert np.ptp(x[taken]) > 60
    got = check(both, Circle(180.0, 0.0, 6.0))
    assert got is not None and got.requested is None
    left = int(np.flatnonzero(taken)[np.argmin(x[taken])])
    once = both.reach(Circle(float(ra[left]), float(dec[left]), 0.0))
    assert once is not None
    assert covered(once.delivered, x[left], y[left], 0.0)


# --- edges of pixels and of images


@pytest.mark.parametrize("offset", [0.0, 180.0])
def test_a_range_along_the_edges_of_pixels_takes_no_pixel_beyond(offset: float) -> None:
    # Pixels of 1 degree whose edges are whole degrees: x = 0 is from RA offset + 10 to offset + 9.
    plate = picture("CAR", 1.0, (20, 12), place=(offset, 0.0))
    assert plate.reach(Range((offset + 2) % 360, 3.0, -2.0, 4.0)) == Reach(((5, 8), (4, 10)), ((5, 8), (4, 10)))
    # Up to the image's edge, or from there on.
    assert plate.reach(Range((offset + 10) % 360, 5.0, -2.0, 4.0)) is None
    assert plate.reach(Range((offset - 10) % 360, 20.0, -6.0, 6.0)) == Reach(((0, 20), (0, 12)), ((0, 20), (0, 12)))
    assert plate.reach(Range((offset - 10) % 360, 20.0, 6.0, 8.0)) is None
    assert plate.reach(Range((offset - 13) % 360, 26.0, -8.0, 1.0)) == Reach(((-3, 23), (-2, 7)), ((0, 20), (0, 7)))


def test_a_range_along_the_edges_of_pixels_in_half_of_the_sky() -> None:
    # x = 0 is from RA 90 to 80, y = 0 from declination -90 to -80.
    plate = picture("CAR", 10.0, (18, 18))
    assert plate.reach(Range(90.0, 30.0, -20.0, 40.0)) is None
    assert plate.reach(Range(90.0, 180.0, -90.0, 80.0)) is None
    assert plate.reach(Range(80.0, 30.0, -20.0, 40.0)) == Reach(((-2, 1), (7, 13)), ((0, 1), (7, 13)))
    assert plate.reach(Range(0.0, 360.0, -20.0, 40.0)) == Reach(None, ((0, 18), (7, 13)))
    assert plate.reach(Range(240.0, 60.0, -20.0, 40.0)) == Reach(((15, 21), (7, 13)), ((15, 18), (7, 13)))


def test_stencils_of_no_size_take_the_pixel_they_lie_on() -> None:
    plate = picture("CAR", 1.0, (20, 12))
    assert plate.reach(Circle(0.5, 0.5, 0.0)) == Reach(((9, 10), (6, 7)), ((9, 10), (6, 7)))
    for ra, dec in [(0.0, 0.0), (10.0, 6.0), (350.0, -6.0), (10.0, -2.5), (3.0, 6.0)]:
        got = plate.reach(Circle(ra, dec, 0.0))
        x, y = plate.pixels(np.array([ra]), np.array([dec]))
        assert got is not None
        assert covered(got.delivered, x, y, 1e-5).all()
        assert [high - low for low, high in got.delivered] == [1, 1]
    assert plate.reach(Range(3.0, 0.0, -2.5, 2.5)) == Reach(((7, 8), (3, 9)), ((7, 8), (3, 9)))
    assert plate.reach(Range(2.5, 0.0, 1.5, 1.5)) == Reach(((7, 8), (7, 8)), ((7, 8), (7, 8)))
    flat = plate.reach(Polygon(((2.5, 0.0), (7.5, 0.0), (4.5, 0.0))))
    assert flat is not None
    assert flat.delivered[0] == (2, 8)
    assert plate.reach(Circle(10.001, 0.0, 0.0)) is None


def test_where_the_box_of_a_stencil_overlaps_the_stencil_may_not() -> None:
    plate = picture("TAN", 0.01, (100, 100))
    (ra,), (dec,) = plate.sky(np.array([-8.5]), np.array([-8.5]))
    assert check(plate, Circle(float(ra), float(dec), 0.0999)) is None
    with pytest.raises(NoOverlapFault, match=r"the box \[-17:2,-17:2\] in an image of 100 x 100 pixels"):
        reach(Circle(float(ra), float(dec), 0.0999), plate.mine, 100, 100)
    assert check(plate, Circle(float(ra), float(dec), 0.1145)) is not None


def test_only_the_part_within_the_image_counts() -> None:
    # A needle that cuts off a corner of the image.
    plate = picture("TAN", 0.001, (50, 40))
    ra, dec = plate.sky(np.array([-60.0, 60.0, 60.0]), np.array([-30.0, 80.0, 80.5]))
    got = check(plate, Polygon(tuple(zip(ra.tolist(), dec.tolist(), strict=True))))
    assert got is not None and got.requested is not None
    assert got.requested[0][1] > 60 > 20 > got.delivered[0][1]


def test_a_stencil_larger_than_the_image_is_the_image() -> None:
    for projection in AROUND_A_PLACE:
        plate = picture(projection, 0.001, (50, 40), place=(0.0, 89.99))
        for shape in (Circle(0.0, 90.0, 1.0), Range(0.0, 360.0, 0.0, 90.0), Circle(3.0, -50.0, 180.0)):
            got = plate.reach(shape)
            assert got is not None
            assert got.delivered == ((0, 50), (0, 40))


@pytest.mark.parametrize(
    ("projection", "shape", "shown"),
    [
        ("TAN", Circle(10.0, 20.0, 60.0), True),
        ("TAN", Circle(10.0, 20.0, 90.0), False),
        ("TAN", Circle(10.0, 20.0, 100.0), False),
        ("TAN", Circle(190.0, -20.0, 179.9), False),
        ("TAN", Range(0.0, 360.0, -90.0, 90.0), False),
        ("ARC", Circle(10.0, 20.0, 150.0), True),
        ("SIN", Circle(10.0, 20.0, 89.0), True),
        ("SIN", Circle(10.0, 60.0, 89.0), False),
    ],
)
def test_requested_is_told_only_if_the_projection_shows_all_of_it(projection: str, shape: Shape, shown: bool) -> None:
    got = check(picture(projection, 0.01, (50, 40), place=(10.0, 20.0)), shape)
    assert got is not None
    assert (got.requested is not None) == shown


@pytest.mark.parametrize("projection", ["TAN", "TAN-SIP", "TPV"])
def test_requested_reaches_as_far_as_the_stencil(projection: str) -> None:
    plate = picture(projection, 0.001, (50, 40), place=(359.99, -30.0), turn=33.0)
    shape = Circle(0.01, -30.02, 0.06)
    got = check(plate, shape)
    assert got is not None and got.requested is not None
    x, y = plate.pixels(*border(shape, 20_000))
    for (low, high), along in zip(got.requested, (x, y), strict=True):
        assert (low, high) == (np.floor(along.min() + 0.5), np.ceil(along.max() + 0.5))


def test_of_huge_maps_few_pixels_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    vectors = SkyWcs.vectors

    def counted(self: SkyWcs, x: Array, y: Array) -> Array:
        asked.append(len(x))
        return vectors(self, x, y)

    monkeypatch.setattr(SkyWcs, "vectors", counted)
    plate = picture("MOL", 360 / 8192, (8192, 8192))
    got = plate.reach(polygon((180.0, 10.0), np.arange(0, 360, 0.72), np.array([30.0, 25.0])))
    assert got is not None
    assert sum(asked) < 400_000  # of 67 million


@pytest.mark.parametrize("count", [3, 500])
def test_the_winding_makes_no_difference(count: int) -> None:
    plate = picture("ZEA", 0.01, (60, 50), place=(0.0, -89.8))
    angles, radii = np.linspace(0, 350, count), np.array([0.11, 0.2])
    one = check(plate, polygon((30.0, -89.9), angles, radii))
    assert one is not None
    assert plate.reach(polygon((30.0, -89.9), angles, radii, reverse=True)) == one


# --- boxes


@given(st.floats(-30, 80), st.floats(-30, 70), st.integers(1, 90), st.integers(1, 90))
@settings(deadline=None)
def test_a_box_of_pixels_is_that_of_astropys_cutout(x: float, y: float, width: int, height: int) -> None:
    plate = picture("TAN", 0.01, (50, 40), turn=20.0)
    (ra,), (dec,) = plate.sky(np.array([x]), np.array([y]))
    box = Box(float(ra), float(dec), width, height, "pixel")
    # Where the middle is between two pixels, a hair decides: the same for both, but not where a hair is all there is.
    assume(all(abs(edge - round(edge)) > 1e-8 for edge in (x - 1e-6 - width / 2, y - 1e-6 - height / 2)))
    try:
        cutout = Cutout2D(np.zeros((40, 50)), (x - 1e-6, y - 1e-6), (height, width), mode="trim")
    except NoOverlapError:
        with pytest.raises(NoOverlapFault):
            reach(box, plate.mine, 50, 40)
        return
    (y_min, y_max), (x_min, x_max) = cutout.bbox_original
    got = reach(box, plate.mine, 50, 40)
    assert got.delivered == ((x_min, x_max + 1), (y_min, y_max + 1))
    assert got.requested is not None
    assert [high - low for low, high in got.requested] == [width, height]


def test_a_box_in_degrees_has_the_scale_of_its_centre() -> None:
    plate = picture("TAN", 0.01, (50, 40), oblong=2.0)
    assert reach(Box(0.0, 0.0, 0.104, 0.2, "deg"), plate.mine, 50, 40).delivered == ((20, 30), (15, 25))


def test_a_box_that_no_image_can_have_is_refused() -> None:
    plate = picture("TAN", 0.01, (50, 40))
    with pytest.raises(UsageFault, match="at most 2147483648"):
        reach(Box(0.0, 0.0, 1.0, 3e9, "pixel"), plate.mine, 50, 40)
    with pytest.raises(NoOverlapFault, match="does not reach"):
        reach(Box(180.0, 0.0, 1.0, 1.0, "pixel"), plate.mine, 50, 40)
    with pytest.raises(NoOverlapFault, match="no pixel"):
        reach(Box(1.0, 0.0, 1.0, 1.0, "pixel"), plate.mine, 50, 40)


def test_opposite_vertices_are_refused() -> None:
    with pytest.raises(UsageFault, match="opposite"):
        reach(Polygon(((0.0, 0.0), (180.0, 0.0), (90.0, 80.0))), picture("TAN", 0.01, (50, 40)).mine, 50, 40)
