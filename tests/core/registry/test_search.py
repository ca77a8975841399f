"""Searches of the registry: every constraint against plain Python, shapes against geometry of the test's own."""

import dataclasses
import itertools
import math
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from imageserv.core.errors import LimitFault
from imageserv.core.obscore import coverage
from imageserv.core.record import FileStamp, Footprint, ImageRecord, Observation, Plane
from imageserv.core.registry import FileImages, reading
from imageserv.core.registry.sqlite import SqliteRegistry, open_registry
from imageserv.core.search import Search
from imageserv.core.sky import regions
from imageserv.core.sky.stencil import Circle, Polygon, Range, Shape

Array = NDArray[np.float64]


def vectors(ra: Any, dec: Any) -> Array:
    a, d = np.radians(ra), np.radians(dec)
    return np.stack([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)], axis=-1)


def square(ra: float, dec: float, half: float = 0.5, turn: float = 0.0) -> Footprint:
    """Make a square of great circles around a place, its corners `half` times the root of 2 away; in degrees."""
    center, t, size = vectors(ra, dec), math.radians(turn), math.tan(math.radians(half))
    east = np.array([-math.sin(math.radians(ra)), math.cos(math.radians(ra)), 0.0])
    north = np.cross(center, east)
    right, up = math.cos(t) * east + math.sin(t) * north, math.cos(t) * north - math.sin(t) * east
    corners = np.array([center + size * (x * right + y * up) for x, y in ((1, 1), (-1, 1), (-1, -1), (1, -1))])
    return Footprint(corners / np.linalg.norm(corners, axis=1)[:, None], center)


def image(number: int, footprint: Footprint | None = None, dataset: str = "toy", **observed: Any) -> ImageRecord:
    return ImageRecord(
        dataset=dataset,
        identifier=f"{dataset}/Image/{number}",
        science_id=number,
        data_id={"number": number},
        band=None,
        file=FileStamp(f"{number}.fits", 10, 20),
        size=5760,
        planes=(Plane("image", 0),),
        shape=(30, 20),
        footprint=footprint,
        pixel_scale=None,
        channels=1,
        pol_states=(),
        coverage=None if footprint is None else coverage(footprint),
        observation=Observation(**observed),
    )


def put(registry: SqliteRegistry, *images: ImageRecord) -> None:
    for each in images:
        assert registry.put_files(each.dataset, [FileImages(each.file, "recipe", [each], b"layout")]) == []


def found(registry: SqliteRegistry, search: Search, *datasets: str) -> list[int]:
    return [record.science_id for record in registry.search(datasets or ("toy",), search)]


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[SqliteRegistry]:
    registry = open_registry(tmp_path / "registry.sqlite", writable=True)
    yield registry
    registry.close()


@pytest.fixture(params=["few", "many"])
def paged(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let pages be small, and look through all images where more than a few may be meant."""
    monkeypatch.setattr(reading, "_PAGE", 7)
    monkeypatch.setattr(reading, "_MOST_CANDIDATES", 10 if request.param == "few" else 100_000)


# --- on the sky


def distances(place: Array, footprint: Footprint) -> float:
    """Give the angle (rad) from a place to a convex footprint, 0 within."""
    corners = footprint.vertices
    ends = np.roll(corners, -1, axis=0)
    poles = np.cross(ends, corners)
    poles /= np.linalg.norm(poles, axis=1)[:, None]
    height = poles @ place
    if (height * np.sign(poles @ footprint.center) >= 0).all():
        return 0.0
    foot = place - height[:, None] * poles  # of the perpendicular to each side's great circle
    foot /= np.linalg.norm(foot, axis=1)[:, None]
    middle = (corners + ends) / np.linalg.norm(corners + ends, axis=1)[:, None]
    on_side = np.sum(foot * middle, axis=1) >= np.sum(corners * middle, axis=1)
    to_side = np.where(on_side, np.abs(np.arcsin(np.clip(height, -1, 1))), np.inf)
    chords = np.linalg.norm(corners - place, axis=1)
    return float(min(to_side.min(), 2 * np.arcsin(np.clip(chords / 2, 0, 1)).min()))


def scattered(count: int, seed: int) -> list[Footprint]:
    """Make squares all over the sky, a tenth each about RA 0 and the poles."""
    random = np.random.default_rng(seed)
    ra, dec = random.uniform(0, 360, count), np.degrees(np.arcsin(random.uniform(-1, 1, count)))
    ra[::10], dec[1::10] = random.normal(0, 1, count)[::10] % 360, random.choice([-1, 1], count)[1::10] * 89.5
    half, turn = np.minimum(random.exponential(2.0, count) + 0.05, 30), random.uniform(0, 90, count)
    return [square(*values) for values in zip(ra, dec, half, turn, strict=True)]


def test_circles_meet_what_geometry_says(registry: SqliteRegistry, paged: None) -> None:
    footprints = scattered(400, 1)
    put(registry, *(image(number, footprint) for number, footprint in enumerate(footprints)))
    random = np.random.default_rng(2)
    circles = [Circle(0, 90, 0.3), Circle(0, 0, 0), Circle(180, -20, 180), Circle(10, -90, 89), Circle(0, 0, 90)]
    for ra, sine, radius in zip(*random.uniform([[0], [-1], [-2]], [[360], [1], [2]], (3, 30)), strict=True):
        circles.append(Circle(float(ra), math.degrees(math.asin(sine)), 10.0**radius))
    counts = set()
    for circle in circles:
        away = np.array([distances(vectors(circle.ra, circle.dec), footprint) for footprint in footprints])
        rim = np.abs(away - math.radians(circle.radius)) < 1e-9
        numbers = found(registry, Search(shapes=(circle,)))
        assert numbers == sorted(set(numbers))
        expected = np.flatnonzero(away <= math.radians(circle.radius))
        assert set(numbers) - set(np.flatnonzero(rim)) == set(expected) - set(np.flatnonzero(rim))
        counts.add(len(numbers))
    assert 0 in counts and 400 in counts and len(counts) > 10


shapes: list[Shape] = [
    Range(350, 20, -5, 5),
    Range(0, 360, 80, 90),
    Range(0, 360, -1, 1),
    Range(90, 190, -60, 30),
    Range(10, 0, 10, 10),
    Range(0, 360, -90, 90),
    Polygon(((10, 10), (60, 12), (40, 50))),
    Polygon(((0, 85), (120, 80), (240, 84))),
    Polygon(((355, -5), (5, -5), (5, 5), (0, 0), (355, 5))),
]


@pytest.mark.parametrize("shape", shapes, ids=str)
def test_ranges_and_polygons_meet_all_that_have_a_place_in_them(
    shape: Shape, registry: SqliteRegistry, paged: None
) -> None:
    footprints = scattered(300, 3)
    put(registry, *(image(number, footprint) for number, footprint in enumerate(footprints)))
    numbers = set(found(registry, Search(shapes=(shape,))))
    weights = np.random.default_rng(4).dirichlet(np.full(4, 0.5), 400)
    for number, footprint in enumerate(footprints):
        places = weights @ footprint.vertices
        if regions.contains(shape, places / np.linalg.norm(places, axis=1)[:, None]).any():
            assert number in numbers
        elif number in numbers:
            assert regions.meets(shape, footprint)


def test_of_several_shapes_one_is_enough_and_no_image_comes_twice(registry: SqliteRegistry, paged: None) -> None:
    put(registry, *(image(number, square(number, 0.0)) for number in range(20)))
    near = (Circle(3, 0, 1), Circle(3.5, 0, 1), Circle(14, 0, 0.1), Circle(100, 0, 1), Range(18.6, 3, -1, 1))
    assert found(registry, Search(shapes=near)) == [2, 3, 4, 5, 14, 19]
    assert found(registry, Search(shapes=near, t_exptime=((0, 1),))) == []


def test_an_image_without_a_footprint_meets_no_shape(registry: SqliteRegistry, paged: None) -> None:
    put(registry, *(image(number, None if number % 2 else square(0, 0)) for number in range(30)))
    assert found(registry, Search(shapes=(Circle(0, 0, 180),))) == list(range(0, 30, 2))
    assert found(registry, Search()) == list(range(30))


def test_a_footprint_that_is_only_a_cover_may_meet_what_its_cap_meets(registry: SqliteRegistry) -> None:
    put(registry, image(1, dataclasses.replace(square(10, 20, 2.0), exact=False)))
    corner = math.degrees(math.acos(square(10, 20, 2.0).vertices[0] @ vectors(10, 20)))
    assert found(registry, Search(shapes=(Circle(10, 21 + corner, 1.001),))) == [1]
    assert found(registry, Search(shapes=(Circle(10, 21 + corner, 0.999),))) == []


# --- other constraints

numbers = st.sampled_from([None, 1.0, 2.0, 2.5, 3.0])
bounds = st.sampled_from([-math.inf, 0.5, 1.0, 2.0, 2.5, 3.0, 9.0, math.inf])
intervals = st.lists(st.tuples(bounds, bounds).map(lambda pair: (min(pair), max(pair))), max_size=2).map(tuple)
words = st.sampled_from([None, "M 31", "m 31", "it's"])
few_words = st.lists(st.sampled_from(["M 31", "m 31", "it's", "%", ""]), max_size=2).map(tuple)
states = ("I", "Q", "RR", "R")

observations = st.builds(
    Observation,
    **{name: numbers for name in ("t_min", "t_max", "t_exptime", "em_min", "em_max")},
    **{name: numbers for name in ("s_resolution", "t_resolution", "em_res_power")},
    **{name: words for name in ("facility", "instrument", "target")},
)
images = st.tuples(
    observations,
    st.lists(st.sampled_from(states), max_size=3, unique=True).map(tuple),
    st.sampled_from([1, 5]),
    st.sampled_from(["toy", "other", "third"]),
)
searches = st.builds(
    Search,
    **{name: intervals for name in ("bands", "times", "s_resolution", "em_res_power", "t_exptime", "t_resolution")},
    **{name: few_words for name in ("targets", "facilities", "instruments")},
    pol_states=st.lists(st.sampled_from(states), max_size=2).map(tuple),
    dataproduct_types=st.lists(st.sampled_from(["image", "cube", "Cube"]), max_size=2).map(tuple),
    identifiers=st.lists(st.sampled_from(["toy/image/1", "TOY/IMAGE/2", "other/Image/3", "x"]), max_size=2).map(tuple),
)


def satisfies(record: ImageRecord, search: Search) -> bool:
    """Judge as SIA 2.0 section 2.1 says, one constraint after the other."""
    seen = record.observation

    def within(low: float | None, high: float | None, wanted: Sequence[tuple[float, float]]) -> bool:
        return not wanted or any(
            low is not None and high is not None and low <= most and high >= least for least, most in wanted
        )

    def among(value: str | None, wanted: Sequence[str]) -> bool:
        return not wanted or value in wanted

    kind = "cube" if record.cube else "image"
    return all(
        [
            within(seen.em_min, seen.em_max, search.bands),
            within(seen.t_min, seen.t_max, search.times),
            within(seen.s_resolution, seen.s_resolution, search.s_resolution),
            within(seen.em_res_power, seen.em_res_power, search.em_res_power),
            within(seen.t_exptime, seen.t_exptime, search.t_exptime),
            within(seen.t_resolution, seen.t_resolution, search.t_resolution),
            among(seen.target, search.targets),
            among(seen.facility, search.facilities),
            among(seen.instrument, search.instruments),
            among(kind, search.dataproduct_types),
            among(record.identifier.lower(), [identifier.lower() for identifier in search.identifiers]),
            not search.pol_states or bool(set(search.pol_states) & set(record.pol_states)),
        ]
    )


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(made=st.lists(images, max_size=12), search=searches, datasets=st.permutations(["toy", "other", "none"]))
def test_constraints_are_judged_as_the_standard_says(
    registry: SqliteRegistry, made: Sequence[Any], search: Search, datasets: Sequence[str]
) -> None:
    for dataset in ("toy", "other", "third"):
        for row in list(registry.files(dataset)):
            registry.remove_file(dataset, row.stamp.path)
    records = [
        dataclasses.replace(
            image(number, None, dataset), observation=seen, pol_states=pol, channels=channels, cube=channels > 1
        )
        for number, (seen, pol, channels, dataset) in enumerate(made)
    ]
    put(registry, *records)
    expected = [
        record for dataset in datasets for record in records if record.dataset == dataset and satisfies(record, search)
    ]
    assert list(registry.search(datasets, search)) == expected


def test_a_value_that_was_published_is_found_by_itself(registry: SqliteRegistry) -> None:
    values = np.random.default_rng(5).uniform(1e-7, 1e5, 200).tolist()
    put(registry, *(image(number, square(10, 20, 0.1 + number / 300), t_exptime=v) for number, v in enumerate(values)))
    for number, value in enumerate(values):
        assert found(registry, Search(t_exptime=((value, value),))) == [number]
    corner = math.degrees(math.acos(square(10, 20, 0.1).vertices[0] @ vectors(10, 20)))
    assert found(registry, Search(s_fov=((2 * corner - 1e-6, 2 * corner + 1e-6),))) == [0]
    # Nine digits are what the table of answers has.
    diagonal = np.linalg.norm(np.subtract(*square(10, 20, 0.1).vertices[::2]))
    field = round(2 * math.degrees(math.asin(diagonal / 2)), 9)
    assert found(registry, Search(s_fov=((field, field),))) == [0]


def test_an_image_is_found_by_its_identifier_in_any_case(registry: SqliteRegistry) -> None:
    put(registry, image(1), image(2), image(1, dataset="other"))
    for identifier in ("toy/Image/1", "TOY/IMAGE/1", "toy/image/1"):
        record = registry.by_identifier("toy", identifier)
        assert record is not None and (record.dataset, record.science_id) == ("toy", 1)
        assert registry.by_identifier("other", identifier) is None
    assert registry.by_identifier("toy", "toy/image/3") is None
    assert found(registry, Search(identifiers=("TOY/IMAGE/2", "other/image/1")), "other", "toy") == [1, 2]


def test_two_images_of_one_identifier_are_not_both_taken(registry: SqliteRegistry) -> None:
    put(registry, image(1))
    twin = dataclasses.replace(image(2), identifier="TOY/image/1")
    assert registry.put_files("toy", [FileImages(twin.file, "recipe", [twin], b"layout")]) == [(twin, "1.fits")]
    both = [dataclasses.replace(image(number), identifier=name) for number, name in ((3, "toy/x"), (4, "toy/X"))]
    assert registry.put_files("toy", [FileImages(both[0].file, "recipe", both, b"layout")]) == [(both[1], "3.fits")]
    assert found(registry, Search()) == [1, 3]


def test_a_search_with_too_many_values_is_refused_at_once(registry: SqliteRegistry) -> None:
    put(registry, image(1, target="t7"), image(2, em_min=7.0, em_max=7.5))
    assert found(registry, Search(targets=tuple(f"t{number}" for number in range(30_000)))) == [1]
    assert found(registry, Search(bands=tuple((float(number), number + 0.1) for number in range(15_000)))) == [2]
    with pytest.raises(LimitFault, match="30001 values, more than 30000"):
        registry.search(["toy"], Search(targets=tuple(f"t{number}" for number in range(30_001))))


# --- while others write


def test_a_slow_reader_holds_nobody_up(registry: SqliteRegistry, tmp_path: Path, paged: None) -> None:
    put(registry, *(image(number, square(number, 0)) for number in range(40)))
    registry.commit()
    reader = open_registry(tmp_path / "registry.sqlite", writable=False)
    checkpoint = sqlite3.connect(tmp_path / "registry.sqlite")
    for search in (Search(), Search(shapes=(Circle(0, 0, 180),))):
        answer = reader.search(["toy"], search)
        assert [record.science_id for record in itertools.islice(answer, 7)] == list(range(7))
        assert reader.count("toy") == registry.count("toy")
        last = max(record.science_id for record in registry.images("toy"))
        registry.remove_file("toy", f"{last}.fits")
        registry.commit()
        # Nothing of the old state is kept: the write-ahead log can be emptied.
        assert checkpoint.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
        assert [record.science_id for record in answer] == list(range(7, last))
    checkpoint.close()
    reader.close()


# --- examples


@pytest.mark.parametrize(
    ("made", "expected"),
    [({5: True, 3: False, 4: True}, 4), ({5: False, 3: False}, 3), ({9: True}, 9), ({}, None)],
)
def test_a_sample_is_the_first_that_is_on_the_sky(
    made: Mapping[int, bool], expected: int | None, registry: SqliteRegistry
) -> None:
    put(registry, *(image(number, square(1, 2) if placed else None) for number, placed in made.items()))
    put(registry, image(1, square(1, 2), "other"))
    sample = registry.sample("toy")
    assert (sample and sample.science_id) == expected


def test_a_search_without_an_image_comes_to_a_stop_again_and_again(registry: SqliteRegistry) -> None:
    """Its reader can give up between two pages, and others ask the registry meanwhile."""
    put(registry, *(image(number, em_min=1e-6, em_max=2e-6) for number in range(600)))
    pages = registry.search_pages(["toy"], Search(bands=((3e-6, 4e-6),)))
    assert next(pages) == []
    assert registry.count("toy") == 600
    assert next(pages) == []
