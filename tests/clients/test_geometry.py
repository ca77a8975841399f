"""Cutouts of the sky against an oracle of their own: astropy's WCS, and each pixel's place tested one by one."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord, angular_separation, offset_by, position_angle
from astropy.wcs import WCS
from numpy.typing import NDArray

pytestmark = pytest.mark.filterwarnings("ignore::astropy.wcs.FITSFixedWarning")

# astropy's annotations tell little of what these give.
wcs_of: Any = WCS
coordinates: Any = SkyCoord
separation_of: Any = angular_separation
offset: Any = offset_by
bearing_of: Any = position_angle

Degrees = NDArray[np.float64]


def offset_from(lon: float, lat: float, bearing: Any, distance: Any) -> tuple[Any, Any]:
    """Give the places at some bearings and distances from a place; all is in radians."""
    found = offset(lon, lat, bearing, distance)
    return tuple(np.asarray(u.Quantity(each, u.rad).value) for each in found)  # type: ignore[return-value]


def vectors(ra: Degrees, dec: Degrees) -> Degrees:
    """Give unit vectors of places: shape (3, n)."""
    lon, lat = np.radians(np.ravel(ra)), np.radians(np.ravel(dec))
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])


def degrees(xyz: Degrees) -> tuple[Degrees, Degrees]:
    """Give the places of unit vectors."""
    x, y, z = xyz
    return np.degrees(np.arctan2(y, x)) % 360, np.degrees(np.arctan2(z, np.hypot(x, y)))


NEAR = 0.02
"""Pixels: a stencil that comes so near to a row of pixels may as well have touched it."""


@dataclass(frozen=True)
class Shape:
    """A part of the sky: CIRCLE, RANGE or POLYGON, and its numbers."""

    kind: str
    numbers: tuple[float, ...]

    @property
    def pos(self) -> str:
        return " ".join([self.kind, *map(repr, self.numbers)])

    def contains(self, ra: Degrees, dec: Degrees, slack: float = 0.0) -> NDArray[np.bool_]:
        """Tell which places are within, or outside by less than rounding does."""
        if self.kind == "CIRCLE":
            lon, lat, radius = np.radians(self.numbers)
            found = separation_of(lon, lat, np.radians(ra), np.radians(dec)) <= radius + np.radians(slack)
        elif self.kind == "RANGE":
            west, east, south, north = self.numbers
            extent = 360.0 if east - west >= 360 else (east - west) % 360
            found = ((ra - west) % 360 <= extent) & (south <= dec) & (dec <= north)
            if slack:  # a pole has every longitude
                found |= ((north == 90) & (dec > 90 - slack)) | ((south == -90) & (dec < slack - 90))
        else:
            found = self._encloses(ra, dec)
        return np.asarray(found, bool)

    def _encloses(self, ra: Degrees, dec: Degrees) -> NDArray[np.bool_]:
        """Sum how the bearing of the corners turns as one goes around, seen from each place: a whole turn, or none."""
        corners = np.radians(np.reshape(self.numbers, (-1, 2)))
        bearings = np.array(
            [bearing_of(np.radians(ra), np.radians(dec), lon, lat).to_value(u.rad) for lon, lat in corners]
        )
        turns = np.roll(bearings, -1, axis=0) - bearings
        turns = (turns + np.pi) % (2 * np.pi) - np.pi
        turned = np.abs(turns.sum(axis=0)) > np.pi
        # The antipodes of a place within see a whole turn, too; these polygons are smaller than half the sky.
        middle = vectors(*np.degrees(corners.T)).sum(axis=1)
        return np.asarray(turned & ((middle @ vectors(ra, dec)).reshape(np.shape(ra)) > 0))

    def sample(self, low: float, high: float) -> tuple[Degrees, Degrees]:
        """Give many places of the shape, most of them on its border; of a range near these declinations."""
        if self.kind == "CIRCLE":
            lon, lat, radius = np.radians(self.numbers)
            bearings = np.linspace(0, 2 * np.pi, 4001)
            border = offset_from(lon, lat, bearings, radius * (1 - 1e-9))
            inner = offset_from(lon, lat, bearings[::20], radius * 0.7)
            return np.degrees(np.r_[border[0], inner[0], lon]), np.degrees(np.r_[border[1], inner[1], lat])
        if self.kind == "RANGE":
            west, east, south, north = self.numbers
            extent = 360.0 if east - west >= 360 else (east - west) % 360
            lon = west + extent * np.linspace(0, 1, 4001)
            lat = np.linspace(min(max(south, low), north), max(min(north, high), south), 4001)
            few = slice(None, None, 1000)
            pieces = [np.broadcast_arrays(lon[few, None], lat), np.broadcast_arrays(lon, lat[few, None])]
            return np.concatenate([a.ravel() for a, _ in pieces]), np.concatenate([b.ravel() for _, b in pieces])
        corners = vectors(*np.reshape(self.numbers, (-1, 2)).T).T
        along = np.linspace(0, 1, 2 + 8000 // len(corners))[:, None]
        edges = [a + (b - a) * along for a, b in zip(corners, np.roll(corners, -1, 0), strict=True)]
        return degrees(np.concatenate(edges).T)


class Oracle:
    """What astropy says of the places of an image's pixels."""

    def __init__(self, header: Any, shape: Sequence[int]) -> None:
        wcs = wcs_of(header)
        self._wcs = wcs.celestial if wcs.naxis > 2 else wcs
        self.height, self.width = shape
        # What turns the image's frame into ICRS, by what astropy makes of the frame's three axes.
        frame = "galactic" if str(header["CTYPE1"]).startswith("GLON") else "icrs"
        axes = coordinates([0.0, 90.0, 0.0], [0.0, 0.0, 90.0], unit="deg", frame=frame)
        self._turn = axes.icrs.cartesian.xyz.value
        self.x, self.y = np.meshgrid(np.arange(self.width, dtype=float), np.arange(self.height, dtype=float))
        self.ra, self.dec = self.to_sky(self.x, self.y)
        middle = self.ra[self.height // 2, self.width // 2], self.dec[self.height // 2, self.width // 2]
        self._middle = np.radians(middle)
        self._reach = np.nanmax(separation_of(*self._middle, np.radians(self.ra), np.radians(self.dec))) * 1.2

    def to_sky(self, x: Degrees, y: Degrees) -> tuple[Degrees, Degrees]:
        """Give the places of pixel coordinates, NaN where the projection has none."""
        lon, lat = degrees(self._turn @ vectors(*self._wcs.all_pix2world(x, y, 0)))
        return lon.reshape(np.shape(x)), lat.reshape(np.shape(x))

    def to_pixels(self, ra: Degrees, dec: Degrees) -> tuple[Degrees, Degrees]:
        """Give the pixel coordinates of those places that the image shows."""
        near = separation_of(*self._middle, np.radians(ra), np.radians(dec)) <= self._reach
        ra, dec = ra[near], dec[near]
        lon, lat = degrees(self._turn.T @ vectors(ra, dec))
        x, y = self._wcs.all_world2pix(lon, lat, 0, quiet=True)
        again = self.to_sky(x, y)
        apart = separation_of(*(np.radians(each) for each in (*again, ra, dec)))
        inside = (-0.5 <= x) & (x < self.width - 0.5) & (-0.5 <= y) & (y < self.height - 0.5)
        shown = inside & (apart < np.radians(1e-7))
        return x[shown], y[shown]


@cache
def oracle(site: Any, name: str) -> Oracle:
    image = site.images[name]
    return Oracle(image.header, image.pixels.shape[-2:])


def check(site: Any, name: str, shape: Shape, **parameters: str) -> bool:
    """Ask for a cutout, and compare it with what it must be; return whether there is one."""
    sky = oracle(site, name)
    answer = site.sync(name, **(parameters or {"POS": shape.pos}))
    with np.errstate(invalid="ignore"):
        inside = shape.contains(sky.ra, sky.dec) & np.isfinite(sky.ra)
    x, y = sky.to_pixels(*shape.sample(np.nanmin(sky.dec) - 1, np.nanmax(sky.dec) + 1))
    if answer.status_code == 204:
        assert not inside.any(), f"{shape.pos} has {inside.sum()} pixels of {name}, and none was given"
        edge = np.minimum(np.minimum(x + 0.5, sky.width - 0.5 - x), np.minimum(y + 0.5, sky.height - 0.5 - y))
        assert not (edge > NEAR).any(), f"{shape.pos} touches {name}, and nothing was given"
        return False
    assert answer.status_code == 200, answer.text
    (left, right), (bottom, top), *_ = site.window(name, answer.content)
    within = np.zeros_like(inside)
    within[bottom:top, left:right] = True
    assert not (inside & ~within).any(), f"{shape.pos}: pixels of {name} are missing"
    beyond = (x < left - 0.5 - NEAR) | (x > right - 0.5 + NEAR) | (y < bottom - 0.5 - NEAR) | (y > top - 0.5 + NEAR)
    assert not beyond.any(), f"{shape.pos} touches pixels of {name} that are missing"
    # No row or column too many: each of the four outer ones is touched.
    touched = within & inside
    for axis, (values, border) in enumerate(((x, left), (x, right - 1), (y, bottom), (y, top - 1))):
        line = touched[:, border] if axis < 2 else touched[border]
        if not line.any():
            near = np.abs(values - border) <= 0.5 + NEAR
            assert near.any() or _finely(sky, shape, border, upright=axis < 2), f"{shape.pos} leaves {border} of {name}"
    return True


def _finely(sky: Oracle, shape: Shape, border: int, *, upright: bool) -> bool:
    """Tell whether a shape touches a row or column of pixels anywhere, not at their centres alone."""
    length = sky.height if upright else sky.width
    along, across = np.meshgrid(np.linspace(-0.5, length - 0.5, 20 * length + 1), border + np.linspace(-0.5, 0.5, 21))
    ra, dec = sky.to_sky(across, along) if upright else sky.to_sky(along, across)
    with np.errstate(invalid="ignore"):
        return bool((shape.contains(ra, dec, 1e-9) & np.isfinite(ra)).any())


def circle(ra: float, dec: float, radius: float) -> Shape:
    return Shape("CIRCLE", (ra, dec, radius))


def ring(ra: float, dec: float, radius: float, corners: int, *, wobble: float = 0.0, reverse: bool = False) -> Shape:
    """Make a polygon around a place, its corners now nearer and now farther."""
    bearings = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    reach = np.radians(radius) * (1 - wobble * (np.arange(corners) % 2))
    lon, lat = offset_from(np.radians(ra), np.radians(dec), bearings, reach)
    vertices = np.round(np.degrees(np.stack([lon % (2 * np.pi), lat], axis=1)), 9)
    return Shape("POLYGON", tuple(float(value) for value in (vertices[::-1] if reverse else vertices).ravel()))


CASES: dict[str, tuple[str, Shape]] = {
    "across RA 0": ("zero", circle(0.0, 10.0, 0.1)),
    "from the west of RA 0": ("zero", circle(359.8, 10.0, 0.25)),
    "a range across RA 0": ("zero", Shape("RANGE", (359.9, 0.1, 9.9, 10.1))),
    "a range that ends at 360": ("zero", Shape("RANGE", (359.9, 360.0, 9.9, 10.1))),
    "a range of a point": ("zero", Shape("RANGE", (0.013, 0.013, 10.017, 10.017))),
    "a range of all longitudes": ("zero", Shape("RANGE", (0.0, 360.0, 10.0, 10.05))),
    "a thin range": ("zero", Shape("RANGE", (0.1, 0.1, -90.0, 90.0))),
    "a triangle across RA 0": ("zero", Shape("POLYGON", (0.1, 9.9, 359.9, 9.9, 0.03, 10.15))),
    "the same wound the other way": ("zero", Shape("POLYGON", (0.03, 10.15, 359.9, 9.9, 0.1, 9.9))),
    "500 corners": ("zero", ring(0.0, 10.0, 0.12, 500)),
    "a star of 100 corners": ("zero", ring(0.02, 10.03, 0.2, 100, wobble=0.8)),
    "a star wound the other way": ("zero", ring(0.02, 10.03, 0.2, 100, wobble=0.8, reverse=True)),
    "a tiny circle": ("zero", circle(0.017, 10.013, 1e-6)),
    "a circle at the corner of four pixels": ("zero", circle(0.0, 10.0, 1e-4)),
    "a circle beyond the border": ("zero", circle(0.4, 10.0, 0.2)),
    "a circle that only grazes": ("zero", circle(0.4, 10.0, 0.0975)),
    "a circle larger than the image": ("zero", circle(0.0, 10.0, 5.0)),
    "half of the sky": ("zero", circle(90.0, 0.0, 90.0)),
    "all of the sky": ("zero", circle(180.0, -10.0, 180.0)),
    "almost all of the sky": ("zero", circle(180.0, -10.0, 179.95)),
    "all but what the image has": ("zero", circle(180.0, -10.0, 179.0)),
    "a polygon around the image": ("zero", ring(0.0, 10.0, 20.0, 3)),
    "the image's corner alone": ("zero", circle(0.33, 10.27, 0.045)),
    "the north pole": ("north", circle(0.0, 90.0, 0.3)),
    "beside the north pole": ("north", circle(77.0, 89.5, 0.2)),
    "a range around the north pole": ("north", Shape("RANGE", (0.0, 360.0, 89.3, 90.0))),
    "a wedge at the north pole": ("north", Shape("RANGE", (350.0, 40.0, 89.0, 90.0))),
    "a ring without the pole": ("north", Shape("RANGE", (0.0, 360.0, 89.0, 89.2))),
    "a point that is the pole": ("north", Shape("RANGE", (12.0, 13.0, 90.0, 90.0))),
    "a square around the pole": ("north", Shape("POLYGON", (0.0, 89.5, 90.0, 89.5, 180.0, 89.5, 270.0, 89.5))),
    "a square the other way": ("north", Shape("POLYGON", (270.0, 89.5, 180.0, 89.5, 90.0, 89.5, 0.0, 89.5))),
    "a triangle that ends at the pole": ("north", Shape("POLYGON", (10.0, 89.2, 50.0, 89.2, 0.0, 90.0))),
    "the south pole": ("south", circle(0.0, -90.0, 0.3)),
    "a wedge at the south pole": ("south", Shape("RANGE", (100.0, 130.0, -90.0, -89.2))),
    "a square around the south pole": ("south", ring(0.0, -90.0, 0.7, 4)),
    "a circle of a cap of half the sky": ("south", circle(0.0, -90.0, 90.0)),
    "a turned image": ("a name", circle(190.2, 60.1, 0.07)),
    "a range in a turned image": ("a name", Shape("RANGE", (189.8, 190.1, 59.9, 60.1))),
    "distorted": ("sip", circle(250.2, -30.15, 0.06)),
    "distorted, beyond the border": ("sip", circle(249.6, -29.75, 0.1)),
    "distorted, a polygon": ("sip", ring(250.1, -29.9, 0.12, 7, wobble=0.3)),
    "distorted, all": ("sip", circle(250.0, -30.0, 2.0)),
    "a whole-sky map, the middle": ("plate", circle(0.0, 0.0, 12.0)),
    "a whole-sky map, where it is cut": ("plate", circle(180.0, 20.0, 12.0)),
    "a whole-sky map, the pole": ("plate", circle(30.0, 90.0, 7.0)),
    "a whole-sky map, a pole and a half": ("plate", circle(30.0, 80.0, 15.0)),
    "a whole-sky map, a range": ("plate", Shape("RANGE", (170.0, 190.0, -20.0, 40.0))),
    "a whole-sky map, a polygon": ("plate", ring(100.0, -40.0, 25.0, 9)),
    "a whole-sky map, half of it": ("plate", circle(0.0, 0.0, 90.0)),
    "a whole-sky map, all": ("plate", circle(12.0, 34.0, 180.0)),
    "a galactic map, its centre": ("galaxy", circle(266.4, -28.94, 10.0)),
    "a galactic map, its border": ("galaxy", circle(86.4, 28.94, 10.0)),
    "a galactic map, its pole": ("galaxy", circle(192.86, 27.13, 6.0)),
    "a galactic map, a range of declinations": ("galaxy", Shape("RANGE", (0.0, 360.0, -10.0, 10.0))),
    "a galactic map, a triangle": ("galaxy", Shape("POLYGON", (230.0, -50.0, 290.0, -40.0, 260.0, 10.0))),
    "a galactic map, all": ("galaxy", circle(12.0, 34.0, 180.0)),
    "tile-compressed": ("tiles", ring(240.1, 60.05, 0.1, 5)),
}


@pytest.mark.parametrize("case", CASES)
def test_a_cutout_has_every_pixel_of_its_shape_and_no_row_too_many(site: Any, case: str) -> None:
    name, shape = CASES[case]
    assert check(site, name, shape) == (case != "all but what the image has")


def found(site: Any, name: str, shape: Shape) -> bool:
    """Tell whether a search for a place finds an image."""
    query = {"POS": shape.pos, "TARGET": name, "RESPONSEFORMAT": "csv"}
    answer = site.client.get(f"{site.url}/sia", params=query)
    assert answer.status_code == 200, answer.text
    return bool(answer.text.count("\n") > 1)


@pytest.mark.parametrize("case", CASES)
def test_a_search_finds_the_images_that_give_a_cutout(site: Any, case: str) -> None:
    name, shape = CASES[case]
    assert found(site, name, shape) == (case != "all but what the image has")


def shapes(random: np.random.Generator, ra: float, dec: float, size: float) -> Iterator[Shape]:
    """Make shapes of every kind around a place, tiny ones and huge ones."""

    def somewhere(reach: float) -> tuple[float, float]:
        bearing, distance = random.uniform(0, 2 * np.pi), np.radians(min(reach, 170.0)) * np.sqrt(random.uniform())
        lon, lat = offset_from(np.radians(ra), np.radians(dec), bearing, distance)
        return float(np.degrees(lon) % 360), float(np.degrees(lat))

    for scale in 10.0 ** random.uniform(-3, 1, 12):
        radius = float(min(size * scale, 80.0))
        yield circle(*somewhere(size), radius)
        corners, wobble = int(random.choice([3, 4, 5, 8, 33, 60])), float(random.choice([0.0, 0.4]))
        wobble = wobble if corners > 3 else 0.0
        yield ring(*somewhere(size), radius, corners, wobble=wobble, reverse=bool(random.integers(2)))
        lon, lat = somewhere(size)
        wide = float(min(radius / max(np.cos(np.radians(lat)), 1e-3), 179.0))
        west, east = (lon - wide) % 360, (lon + wide) % 360
        yield Shape("RANGE", (west, east, max(lat - radius, -90.0), min(lat + radius, 90.0)))


@pytest.mark.parametrize(
    ("name", "ra", "dec", "size"),
    [
        ("zero", 0.0, 10.0, 0.4),
        ("north", 0.0, 90.0, 2.0),
        ("south", 123.0, -89.7, 2.0),
        ("a name", 190.0, 60.0, 0.4),
        ("sip", 250.0, -30.0, 0.4),
        ("plate", 0.0, 0.0, 180.0),
        ("galaxy", 266.4, -28.9, 180.0),
    ],
)
def test_many_shapes_of_every_size(site: Any, name: str, ra: float, dec: float, size: float) -> None:
    outcomes: set[bool] = set()
    for shape in shapes(np.random.default_rng(len(name)), ra, dec, size):
        given = check(site, name, shape)
        outcomes.add(given)
        assert found(site, name, shape) == given, f"{shape.pos} of {name}"
    assert True in outcomes


@pytest.mark.parametrize("name", ["zero", "north", "south", "a name", "sip", "plate", "galaxy"])
def test_a_radius_of_zero_is_one_pixel(site: Any, name: str) -> None:
    sky = oracle(site, name)
    random = np.random.default_rng(7)
    for x, y in zip(random.uniform(0, sky.width - 1, 10), random.uniform(0, sky.height - 1, 10), strict=True):
        ra, dec = (float(value) for value in sky.to_sky(x, y))
        if np.isfinite(ra) and abs(dec) < 90:
            pixel = ((round(x), round(x) + 1), (round(y), round(y) + 1))
            assert site.window(name, site.sync(name, CIRCLE=f"{ra!r} {dec!r} 0").content) == pixel
            assert site.window(name, site.sync(name, POS=f"RANGE {ra!r} {ra!r} {dec!r} {dec!r}").content) == pixel


def test_a_polygon_is_one_thing_in_all_parameters(site: Any) -> None:
    shape = ring(0.0, 10.0, 0.12, 500)
    numbers = shape.pos.partition(" ")[2]
    assert check(site, "zero", shape, POLYGON=numbers)
    first = site.sync("zero", POLYGON=numbers)
    corners = numbers.split()
    backwards = [value for pair in zip(corners[-2::-2], corners[::-2], strict=True) for value in pair]
    posted = site.client.post(
        f"{site.url}/sync", data={"ID": site.dids["zero"], "POS": f"POLYGON {' '.join(backwards)}"}
    )
    assert site.window("zero", posted.content) == site.window("zero", first.content)


def test_images_of_many_axes_are_cut_along_the_two_of_the_sky(site: Any) -> None:
    for name, celestial, ra in (("cube", (0, 1), 300.0), ("stokes", (0, 1), 320.0), ("transposed", (1, 2), 310.0)):
        image = site.images[name]
        wcs = wcs_of(image.header).celestial
        shape = circle(ra + 0.03, 5.02, 0.04)
        spans = site.window(name, site.sync(name, POS=shape.pos).content)
        sizes = tuple(reversed(image.pixels.shape))
        width, height = (sizes[axis] for axis in celestial)
        x, y = np.meshgrid(np.arange(width), np.arange(height))
        inside = shape.contains(*wcs.all_pix2world(x, y, 0))
        columns, rows = np.flatnonzero(inside.any(axis=0)), np.flatnonzero(inside.any(axis=1))
        (left, right), (bottom, top) = (spans[axis] for axis in celestial)
        assert left <= columns[0] and columns[-1] < right and bottom <= rows[0] and rows[-1] < top
        assert right - left <= len(columns) + 2 and top - bottom <= len(rows) + 2
        assert all(spans[axis] == (0, sizes[axis]) for axis in range(len(sizes)) if axis not in celestial)
