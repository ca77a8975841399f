"""The pixels that stencils take, judged by the sky positions of all pixels of an image, one by one."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord, angular_separation
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray

from imageserv.core.errors import NoOverlapFault
from imageserv.core.sky.boxes import PixelBox, Reach, reach
from imageserv.core.sky.stencil import Circle, Polygon, Range, Shape
from imageserv.core.sky.wcs import SkyWcs

Array = NDArray[np.float64]


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
        place = SkyCoord(ra, dec, unit="deg")
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            x, y = (np.atleast_1d(part) for part in self.wcs.world_to_pixel(place))
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


def in_circle(shape: Circle, ra: Array, dec: Array, margin: float) -> NDArray[np.bool_]:
    return distance(ra, dec, shape.ra, shape.dec) <= shape.radius + margin


def in_range(shape: Range, ra: Array, dec: Array, margin: float) -> NDArray[np.bool_]:
    """By longitude and latitude, with a margin that is an angle along the sky."""
    with np.errstate(divide="ignore", over="ignore"):
        aside = np.minimum(margin / np.cos(np.radians(dec)), 360.0) if margin > 0 else margin
    within = (ra - shape.west + aside) % 360 <= shape.extent + 2 * aside
    if shape.extent + 2 * np.max(aside) >= 360:
        within |= shape.extent + 2 * aside >= 360
    return within & (dec >= shape.south - margin) & (dec <= shape.north + margin)


def in_polygon(shape: Polygon, ra: Array, dec: Array, margin: float) -> NDArray[np.bool_]:
    """By the sum of the angles under which the edges are seen: a full turn inside, none outside.

    Seen from the antipode of a place inside there is a full turn as well; polygons of this oracle are within a
    hemisphere.
    """
    point = unit(ra, dec)
    corners = unit(*np.array(shape.vertices).T)
    middle = corners.mean(axis=0)
    total = np.zeros(ra.shape)
    nearest = np.full(ra.shape, np.inf)
    for a, b in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        pa, pb = np.cross(point, a), np.cross(point, b)
        total += np.arctan2(np.sum(point * np.cross(pa, pb), axis=-1), np.sum(pa * pb, axis=-1))
        nearest = np.minimum(nearest, to_edge(point, a, b))
    inside = (np.abs(total) > np.pi) & (point @ middle > 0)
    # A positive margin takes what is near an edge, a negative one leaves it out.
    return (inside | (nearest <= margin)) if margin >= 0 else (inside & (nearest >= -margin))


def to_edge(point: Array, a: Array, b: Array) -> Array:
    """Degrees from points to a great-circle arc, by cross-track and along-track distances."""
    ends = np.minimum(
        *(np.degrees(2 * np.arcsin(np.clip(np.linalg.norm(point - c, axis=-1) / 2, 0, 1))) for c in (a, b))
    )
    pole = np.cross(a, b - a)
    if np.linalg.norm(pole) < 1e-15:
        return ends
    pole /= np.linalg.norm(pole)
    across = np.abs(np.degrees(np.arcsin(np.clip(point @ pole, -1, 1))))
    beside = (np.cross(pole, a) @ point.T >= 0) & (np.cross(pole, b) @ point.T <= 0)
    return np.where(beside & (point @ (a + b) > 0), np.minimum(across, ends), ends)


def inside(shape: Shape, ra: Array, dec: Array, margin: float = 0.0) -> NDArray[np.bool_]:
    test: Callable[..., NDArray[np.bool_]] = {Circle: in_circle, Range: in_range, Polygon: in_polygon}[type(shape)]
    return test(shape, ra, dec, margin) & np.isfinite(ra)


def border(shape: Shape, count: int = 400) -> tuple[Array, Array]:
    """Places along the boundary, ICRS degrees."""
    if isinstance(shape, Circle):
        angles = np.linspace(0, 360, count, endpoint=False)
        place = SkyCoord(shape.ra, shape.dec, unit="deg").directional_offset_by(angles * u.deg, shape.radius * u.deg)
        return place.ra.deg, place.dec.deg
    part = np.linspace(0, 1, count)
    if isinstance(shape, Range):
        ra, dec = shape.west + part * shape.extent, shape.south + part * (shape.north - shape.south)
        sides = [(ra, np.full(count, shape.south)), (ra, np.full(count, shape.north))]
        if shape.extent < 360:
            sides += [(np.full(count, side), dec) for side in (shape.west, shape.west + shape.extent)]
        return np.concatenate([side[0] for side in sides]) % 360, np.concatenate([side[1] for side in sides])
    corners = unit(*np.array(shape.vertices).T)
    part = np.linspace(0, 1, max(3, count // len(corners)))[:, None]
    points = np.concatenate([(1 - part) * a + part * b for a, b in zip(corners, np.roll(corners, -1, 0), strict=True)])
    return np.degrees(np.arctan2(points[:, 1], points[:, 0])) % 360, np.degrees(
        np.arctan2(points[:, 2], np.hypot(points[:, 0], points[:, 1]))
    )


def covered(box: PixelBox, x: Array, y: Array, slack: float) -> NDArray[np.bool_]:
    (x_min, x_max), (y_min, y_max) = box
    return (
        (x >= x_min - 0.5 - slack)
        & (x <= x_max - 0.5 + slack)
        & (y >= y_min - 0.5 - slack)
        & (y <= y_max - 0.5 + slack)
    )


def check(picture: Picture, shape: Shape, slack: float = 2e-6) -> Reach | None:
    """Assert that the box holds all pixels whose centres are inside and all of the boundary, and is the smallest."""
    got = picture.reach(shape)
    tiny = 1e-7 * picture.mine.pixel_size
    y, x = (grid.astype(float) for grid in np.mgrid[: picture.height, : picture.width])
    ra, dec = picture.sky(x.ravel(), y.ravel())
    centres = inside(shape, ra, dec, -tiny).reshape(x.shape)
    edge_x, edge_y = picture.pixels(*border(shape))
    with np.errstate(invalid="ignore"):
        shown = (
            (edge_x > -0.5 + slack)
            & (edge_x < picture.width - 0.5 - slack)
            & (edge_y > -0.5 + slack)
            & (edge_y < picture.height - 0.5 - slack)
        )
    if got is None:
        assert not centres.any(), "no box, but pixels inside"
        assert not shown.any(), "no box, but a boundary"
        return None
    box = got.delivered
    (x_min, x_max), (y_min, y_max) = box
    assert 0 <= x_min < x_max <= picture.width
    assert 0 <= y_min < y_max <= picture.height
    assert covered(box, x[centres], y[centres], 0.0).all(), "a pixel is missing"
    assert covered(box, edge_x[shown], edge_y[shown], slack).all(), "the boundary sticks out"
    for axis, (low, high) in enumerate(box):
        for line in {low, high - 1}:
            assert touches(picture, shape, box, axis, line), f"line {line} of axis {axis} is not touched"
    if got.requested is not None:
        for (low, high), (least, most) in zip(got.requested, box, strict=True):
            assert low <= least and high >= most
        good = np.isfinite(edge_x)
        big = 1e-4 * max(high - low for low, high in got.requested)
        assert covered(got.requested, edge_x[good], edge_y[good], max(big, slack)).all()
    return got


def touches(picture: Picture, shape: Shape, box: PixelBox, axis: int, line: int) -> bool:
    """Tell whether some place within the box's column or row is inside: by samples, a tenth of a pixel apart."""
    low, high = box[1 - axis]
    fine = np.linspace(line - 0.5, line + 0.5, 11)
    along = np.linspace(low - 0.5, high - 0.5, 10 * (high - low) + 1)
    one, other = (part.ravel() for part in np.meshgrid(fine, along))
    x, y = (one, other) if axis == 0 else (other, one)
    ra, dec = picture.sky(x, y)
    # What is inside may be a sliver between samples.
    if inside(shape, ra, dec).any():
        return True
    steps = distance(ra[:-1], dec[:-1], ra[1:], dec[1:])
    steps = steps[np.isfinite(steps) & (steps < 10 * picture.mine.pixel_size)]
    return bool(inside(shape, ra, dec, 1.5 * np.max(steps, initial=0.0)).any())
