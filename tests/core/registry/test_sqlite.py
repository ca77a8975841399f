"""The embedded registry: by position against brute force, its tables by looking into them with SQLite itself."""

import dataclasses
import math
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from imageserv.core.errors import ConfigurationFault, UnavailableFault
from imageserv.core.record import FileStamp, Footprint, ImageRecord, Observation, Plane
from imageserv.core.registry import FileImages, reading
from imageserv.core.registry.connections import Connections
from imageserv.core.registry.nearest import Center, Look, Near
from imageserv.core.registry.nearest import nearest as nearest_of
from imageserv.core.registry.reading import SqliteReader
from imageserv.core.registry.recent import Recent
from imageserv.core.registry.shapes import Box
from imageserv.core.registry.sqlite import SqliteRegistry, open_registry
from imageserv.core.search import Search
from imageserv.core.sky.caps import Cap
from imageserv.core.sky.stencil import Circle

Array = NDArray[np.float64]


def vector(ra: float, dec: float) -> Array:
    a, d = math.radians(ra), math.radians(dec)
    return np.array([math.cos(d) * math.cos(a), math.cos(d) * math.sin(a), math.sin(d)])


def rectangle(ra: float, dec: float, half_width: float, half_height: float, turn: float) -> Footprint:
    """Make a rectangle of great circles around a place; all in degrees."""
    a, d, t = math.radians(ra), math.radians(dec), math.radians(turn)
    center = vector(ra, dec)
    east = np.array([-math.sin(a), math.cos(a), 0.0])
    north = np.array([-math.sin(d) * math.cos(a), -math.sin(d) * math.sin(a), math.cos(d)])
    right, up = math.cos(t) * east + math.sin(t) * north, math.cos(t) * north - math.sin(t) * east
    w, h = math.tan(math.radians(half_width)), math.tan(math.radians(half_height))
    signs: list[tuple[int, int]] = [(1, 1), (-1, 1), (-1, -1), (1, -1)]
    corners = np.array([center + x * w * right + y * h * up for x, y in signs])
    return Footprint(corners / np.linalg.norm(corners, axis=1)[:, None], center)


class Sky:
    """Rectangles, and a point in or out of them by the planes of their sides."""

    def __init__(self, footprints: Sequence[Footprint]) -> None:
        corners = np.array([footprint.vertices for footprint in footprints])
        self.centers = np.array([footprint.center for footprint in footprints])
        planes = np.cross(np.roll(corners, -1, axis=1), corners)
        planes *= np.sign(np.einsum("nsi,ni->ns", planes, self.centers))[..., None]
        self.planes = planes / np.linalg.norm(planes, axis=-1)[..., None]

    def depths(self, point: Array) -> Array:
        """Give the angle (rad, negative outside) of a point inwards from the nearest side of each rectangle."""
        least: Array = (self.planes @ point).min(axis=-1)
        return least

    def distances(self, point: Array) -> Array:
        """Give the distance of a point from each centre (deg)."""
        across = np.linalg.norm(np.cross(self.centers, point), axis=-1)
        distances: Array = np.degrees(np.arctan2(across, self.centers @ point))
        return distances


def angle(first: Array, second: Array) -> float:
    return math.degrees(math.atan2(float(np.linalg.norm(np.cross(first, second))), float(first @ second)))


def image(science_id: int, footprint: Footprint | None, path: str = "a.fits", band: str | None = "r") -> ImageRecord:
    return ImageRecord(
        dataset="toy",
        identifier=f"toy/{science_id}",
        science_id=science_id,
        data_id={"number": science_id},
        band=band,
        file=FileStamp(path, 10, 20),
        size=5760,
        planes=(Plane("image", 0),),
        shape=(30, 20),
        footprint=footprint,
        pixel_scale=None if footprint is None else 0.4,
        channels=1,
        pol_states=(),
        observation=Observation(),
    )


def unwritable(science_id: int) -> ImageRecord:
    """Make a record of which SQLite cannot take a value: what comes before it is written already."""
    no_number: Any = object()
    return dataclasses.replace(image(science_id, None), observation=Observation(t_min=no_number))


def put(registry: SqliteRegistry, *images: ImageRecord) -> list[tuple[ImageRecord, str]]:
    return registry.put_files("toy", [FileImages(images[0].file, "recipe", images, b"layout")])


def ids(records: Sequence[ImageRecord]) -> list[int]:
    return [record.science_id for record in records]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "registry.sqlite"


@pytest.fixture
def registry(path: Path) -> Iterator[SqliteRegistry]:
    registry = open_registry(path, writable=True)
    yield registry
    registry.close()


def check_by_brute_force(registry: SqliteRegistry, sky: Sky, ra: float, dec: float) -> int:
    """Ask for a point, judge the answers, and return how many images contained it."""
    distances, depths = sky.distances(vector(ra, dec)), sky.depths(vector(ra, dec))
    found = ids(registry.containing("toy", "r", ra, dec))
    # Of a point on an edge, to rounding, either answer will do.
    assert set(np.flatnonzero(depths > 1e-12)) <= set(found) <= set(np.flatnonzero(depths > -1e-12))
    assert (np.diff(distances[found]) >= -1e-12).all()
    nearest = registry.nearest("toy", "r", ra, dec)
    assert nearest is not None
    assert nearest[1] == pytest.approx(distances.min(), abs=1e-12)
    assert distances[nearest[0].science_id] == pytest.approx(distances.min(), abs=1e-12)
    return len(found)


def test_thousands_of_images_are_found_as_brute_force_finds_them(registry: SqliteRegistry) -> None:
    random = np.random.default_rng(82)
    count = 4000
    ra, dec = random.uniform(0, 360, count), np.degrees(np.arcsin(random.uniform(-1, 1, count)))
    # A tenth each at the poles and across RA 0.
    dec[::10] = random.choice([-1, 1], dec[::10].size) * (90 - random.exponential(1.0, dec[::10].size))
    ra[1::10] = random.normal(0, 1, ra[1::10].size) % 360
    half = random.exponential([2.0, 1.0], (count, 2)) + 0.05
    turn = random.uniform(0, 360, count)
    footprints = [rectangle(ra[i], dec[i], min(half[i, 0], 40), min(half[i, 1], 40), turn[i]) for i in range(count)]
    for number, footprint in enumerate(footprints):
        put(registry, image(number, footprint, f"{number}.fits"))
    registry.commit()
    places = [(0.0, 90.0), (123.0, -90.0), (0.0, 0.0), (360.0, 12.0)]
    places += list(zip(random.uniform(0, 360, 100), random.uniform(-90, 90, 100), strict=True))
    places += list(zip(random.normal(0, 0.5, 50) % 360, random.uniform(-90, 90, 50), strict=True))
    places += [(random.uniform(0, 360), sign * (90 - random.exponential(1.0))) for sign in (-1, 1) for _ in range(25)]
    sky = Sky(footprints)
    answers = [check_by_brute_force(registry, sky, *place) for place in places]
    assert sum(found > 3 for found in answers) > 20
    assert sum(found == 0 for found in answers) > 20


edge_longitudes = st.sampled_from([0.0, 1e-12, 1e-6, 180.0, 270.0, 359.999999, 360.0 - 1e-12])
longitudes = st.floats(0, 360) | edge_longitudes
latitudes = st.floats(-90, 90) | st.sampled_from([-90.0, -90 + 1e-9, 0.0, 89.999999, 90.0])
sizes = st.floats(1e-4, 5) | st.floats(5, 50)
rectangles = st.builds(rectangle, longitudes, latitudes, sizes, sizes, st.floats(0, 360))


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    footprints=st.lists(rectangles, min_size=1, max_size=12),
    places=st.lists(st.tuples(longitudes, latitudes), min_size=1),
)
def test_any_images_are_found_as_brute_force_finds_them(
    registry: SqliteRegistry, footprints: list[Footprint], places: list[tuple[float, float]]
) -> None:
    for row in list(registry.files("toy")):
        registry.remove_file("toy", row.stamp.path)
    put(registry, *(image(number, footprint) for number, footprint in enumerate(footprints)))
    sky = Sky(footprints)
    for place in places:
        check_by_brute_force(registry, sky, *place)


@pytest.mark.parametrize("order", [(9, 3, 7), (3, 7, 9), (7, 9, 3)])
def test_of_equally_near_images_that_of_the_lower_science_id_comes_first(
    registry: SqliteRegistry, order: tuple[int, ...]
) -> None:
    for number in order:
        put(registry, image(number, rectangle(359.99, 1.0, 0.5, 0.4, 0), f"{number}.fits"))
    assert ids(registry.containing("toy", "r", 0.1, 1.1)) == [3, 7, 9]
    nearest = registry.nearest("toy", "r", 40.0, 1.0)
    assert nearest is not None and nearest[0].science_id == 3


def test_a_band_and_a_dataset_narrow_a_search(registry: SqliteRegistry) -> None:
    footprint = rectangle(10, 20, 0.5, 0.5, 0)
    put(registry, image(1, footprint, "1.fits", "r"))
    put(registry, image(2, footprint, "2.fits", "g"))
    put(registry, image(3, footprint, "3.fits", None))
    other = dataclasses.replace(image(4, footprint, "1.fits"), dataset="other")
    registry.put_files("other", [FileImages(other.file, "recipe", [other], b"layout")])
    assert ids(registry.containing("toy", "r", 10, 20)) == [1]
    assert ids(registry.containing("toy", None, 10, 20)) == [1, 2, 3]
    assert ids(registry.containing("other", "r", 10, 20)) == [4]
    assert registry.containing("toy", "z", 10, 20) == []
    assert registry.nearest("toy", "z", 10, 20) is None
    nearest = registry.nearest("toy", "g", 11, 20)
    assert nearest is not None and nearest[0].science_id == 2
    assert (registry.count("toy"), registry.count("other"), registry.count("none")) == (3, 1, 0)
    assert registry.by_science_id("toy", 4) is None and registry.by_science_id("other", 1) is None


def test_the_nearest_image_is_found_at_the_other_end_of_the_sky(registry: SqliteRegistry) -> None:
    put(registry, image(1, rectangle(10, 20, 0.5, 0.5, 0)))
    nearest = registry.nearest("toy", None, 190.0, -20.0)
    assert nearest is not None and nearest[1] == pytest.approx(180.0, abs=1e-6)


def test_the_nearest_of_many_is_found_in_few_looks(registry: SqliteRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Near and far, in a survey of stacked pointings; what other bands and datasets have costs nothing."""
    random = np.random.default_rng(7)
    ra, dec = random.uniform(100, 130, 3000), random.uniform(-20, 10, 3000)
    ra[1000:], dec[1000:] = ra[:1000].repeat(2), dec[:1000].repeat(2)
    footprints = [rectangle(*place, 0.3, 0.2, 0) for place in zip(ra, dec, strict=True)]
    records = [image(number, footprint, f"{number}.fits") for number, footprint in enumerate(footprints)]
    others = [dataclasses.replace(image(record.science_id + 5000, record.footprint), band="g") for record in records]
    files = [
        FileImages(dataclasses.replace(record.file, path=f"{record.science_id}.fits"), "recipe", [record], b"layout")
        for record in (*records, *others)
    ]
    assert registry.put_files("toy", files) == []
    centers = Sky(footprints)
    looks: list[int] = []

    def counted(look: Look, place: Cap) -> Near | None:
        def seen(box: Box, most: int) -> Sequence[Center]:
            found = look(box, most)
            looks.append(len(found))
            return found

        return nearest_of(seen, place)

    monkeypatch.setattr(reading, "nearest", counted)
    places = [(115.0, -5.0), (115.0, 11.0), (140.0, -5.0), (115.0, 80.0), (295.0, 5.0), (300.0, -60.0), (0.0, 90.0)]
    for place in places:
        looks.clear()
        nearest = registry.nearest("toy", "r", *place)
        distances = centers.distances(vector(*place))
        assert nearest is not None and nearest[1] == pytest.approx(distances.min(), abs=1e-12)
        assert nearest[0].science_id == np.flatnonzero(distances < distances.min() + 1e-12)[0]
        assert sum(looks) < 1500, place
    assert registry.nearest("toy", "z", 115.0, -5.0) is None


def test_an_image_without_a_place_is_found_by_its_id_alone(registry: SqliteRegistry) -> None:
    put(registry, image(1, None))
    record = registry.by_science_id("toy", 1)
    assert record is not None and record.footprint is None
    assert registry.nearest("toy", None, 0, 0) is None
    assert registry.containing("toy", None, 0, 0) == []


def test_a_footprint_that_is_only_a_cover_contains_its_cap(registry: SqliteRegistry) -> None:
    rim = rectangle(10, 20, 2.0, 2.0, 0)
    put(registry, image(1, dataclasses.replace(rim, exact=False)))
    radius = angle(rim.center, rim.vertices[0])
    assert ids(registry.containing("toy", None, 10, 20 + radius - 1e-6)) == [1]
    assert ids(registry.containing("toy", None, 10, 20 + radius + 1e-6)) == []


def test_a_record_comes_out_as_it_went_in(registry: SqliteRegistry) -> None:
    footprint = Footprint(rectangle(10, 20, 0.5, 0.4, 30).vertices[:3], vector(10.1, 20.1), False)
    record = dataclasses.replace(
        image(2**63 - 1, footprint),
        data_id={"run": 5646, "patch": "225,1"},
        planes=(Plane("image", 1), Plane("mask", 2)),
        file=FileStamp("deep/höher.fits", 2**40, 1_700_000_000_123_456_789),
        identifier="Deep/~5646/225,1",
        size=2**41,
        channels=64,
        pol_states=("I", "V"),
        observation=Observation(
            51075.1, 51075.2, 53.9, 5.5e-7, 7e-7, "Apache Point", "SDSS", "it's \N{STAR OF DAVID}",
            title="One, two", release="2015-01-01", s_resolution=1.25, t_resolution=53.9, em_res_power=4.5,
        ),
    )  # fmt: skip
    put(registry, record)
    stored = registry.by_science_id("toy", 2**63 - 1)
    assert stored is not None and stored.footprint is not None
    np.testing.assert_array_equal(stored.footprint.vertices, footprint.vertices)
    np.testing.assert_allclose(stored.footprint.center, footprint.center, atol=1e-15)
    assert stored.footprint.exact is False
    assert dataclasses.replace(stored, footprint=footprint) == record
    assert list(stored.data_id) == ["run", "patch"]
    assert registry.layout("toy", record.file) == b"layout"
    assert registry.layout("toy", dataclasses.replace(record.file, size=1)) is None
    assert registry.some_files(3) == [record.file]
    assert ids(list(registry.images("toy"))) == [2**63 - 1]


@pytest.mark.parametrize("number", [-1, 0, 2**63, -(2**63) - 1, 10**30])
def test_a_science_id_that_no_image_has(registry: SqliteRegistry, number: int) -> None:
    put(registry, image(1, None))
    assert registry.by_science_id("toy", number) is None


def test_all_images_come_in_the_order_of_their_ids(registry: SqliteRegistry) -> None:
    numbers = [int(number) for number in np.random.default_rng(1).permutation(2500)]
    put(registry, *(image(number, None) for number in numbers))
    assert ids(list(registry.images("toy"))) == list(range(2500))


operations = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "put", "skip", "remove", "commit"]),
        st.sampled_from("abc"),
        st.lists(st.integers(0, 5), min_size=1, max_size=4),
    ),
    max_size=25,
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(operations=operations)
def test_files_images_and_boxes_agree_after_any_changes(
    registry: SqliteRegistry, path: Path, operations: list[tuple[str, str, list[int]]]
) -> None:
    for row in list(registry.files("toy")):
        registry.remove_file("toy", row.stamp.path)
    holders: dict[int, str] = {}  # the model: which file has each image, and what became of each file
    files: dict[str, str] = {}
    for operation, name, numbers in operations:
        if operation == "commit":
            registry.commit()
            continue
        holders = {number: holder for number, holder in holders.items() if holder != name}
        if operation == "remove":
            registry.remove_file("toy", name)
            files.pop(name, None)
        elif operation == "skip":
            registry.skip_file("toy", FileStamp(name, 1, 2), "recipe", "reason")
            files[name] = "skipped"
        else:
            expected: list[tuple[int, str]] = []
            for number in numbers:
                if number in holders:
                    expected.append((number, holders[number]))
                holders.setdefault(number, name)
            footprints = [rectangle(10 * number, 0, 1, 1, 0) if number else None for number in numbers]
            rejected = put(registry, *map(image, numbers, footprints, [name] * len(numbers)))
            assert [(record.science_id, holder) for record, holder in rejected] == expected
            files[name] = "duplicate" if expected else "taken"
    registry.commit()
    assert {row.stamp.path: row.status for row in registry.files("toy")} == files
    for number in range(6):
        record = registry.by_science_id("toy", number)
        assert (record.file.path if record else None) == holders.get(number)
        assert ids(registry.containing("toy", None, 10 * number, 0)) == ([number] if number and record else [])
    with_images = set(holders.values())
    assert {row.stamp.path for row in registry.files("toy") if registry.layout("toy", row.stamp)} == with_images
    check_tables(path)


def check_tables(path: Path) -> None:
    """Assert that the tables of a registry agree with each other, whatever they hold."""
    connection = sqlite3.connect(path)
    try:
        for question in (
            "SELECT 1 WHERE (SELECT integrity_check FROM pragma_integrity_check) != 'ok'",
            "SELECT 1 WHERE (SELECT rtreecheck('boxes')) != 'ok'",
            "SELECT id FROM images WHERE file NOT IN (SELECT file FROM layouts)",
            "SELECT file FROM layouts WHERE file NOT IN (SELECT id FROM files)",
            "SELECT id FROM files WHERE (id IN (SELECT file FROM layouts)) != (id IN (SELECT file FROM images))",
            "SELECT id FROM files WHERE status = 'taken' AND id NOT IN (SELECT file FROM layouts)",
            "SELECT id FROM images WHERE (vectors IS NOT NULL) != (id IN (SELECT id FROM boxes))",
            "SELECT id FROM boxes WHERE id NOT IN (SELECT id FROM images)",
            "SELECT i.id FROM images i JOIN boxes b ON b.id = i.id LEFT JOIN bands k ON k.id = b.band0"
            " WHERE k.dataset IS NOT i.dataset OR k.band IS NOT i.band",
        ):
            assert connection.execute(question).fetchall() == [], question
    finally:
        connection.close()


def test_files_that_are_put_together_end_as_those_put_one_by_one(tmp_path: Path) -> None:
    random = np.random.default_rng(11)
    together, single = (open_registry(tmp_path / name, writable=True) for name in ("together", "single"))
    for _ in range(30):
        names = random.permutation(list("abcdefgh"))[: random.integers(1, 8)]
        files = [
            FileImages(
                FileStamp(name, 1, 2),
                "recipe",
                [
                    image(
                        number, rectangle(number, 0, 1, 1, 0) if number % 3 else None, name, "r" if number % 2 else None
                    )
                    for number in random.integers(0, 20, random.integers(1, 4)).tolist()
                ],
                name.encode(),
            )
            for name in names.tolist()
        ]
        rejected = [(record.science_id, holder) for record, holder in together.put_files("toy", files)]
        one_by_one = [each for file in files for each in single.put_files("toy", [file])]
        assert rejected == [(record.science_id, holder) for record, holder in one_by_one]
        assert list(together.files("toy")) == list(single.files("toy"))
        assert ids(list(together.images("toy"))) == ids(list(single.images("toy")))
        for number in range(20):
            records = [registry.by_science_id("toy", number) for registry in (together, single)]
            assert len({record and record.file.path for record in records}) == 1
            found = [ids(registry.containing("toy", None, number, 0.5)) for registry in (together, single)]
            assert found[0] == found[1]
    for registry in (together, single):
        registry.commit()
        registry.close()
    check_tables(tmp_path / "together")


def test_a_question_waits_for_no_other(registry: SqliteRegistry, path: Path) -> None:
    put(registry, image(1, rectangle(10, 20, 1, 1, 0)))
    registry.commit()
    connections = Connections(path, writable=False)
    reader = SqliteReader(connections)
    entered, leave = threading.Event(), threading.Event()

    def long_question() -> None:
        def wait() -> int:
            entered.set()
            return int(leave.wait(30))

        with connections.one() as connection:
            connection.create_function("wait", 0, wait)
            connection.execute("SELECT wait()").fetchall()

    thread = threading.Thread(target=long_question)
    thread.start()
    assert entered.wait(30)
    answers: list[list[int]] = []
    other = threading.Thread(target=lambda: answers.append(ids(reader.containing("toy", "r", 10, 20))))
    other.start()
    other.join(20)
    leave.set()
    thread.join()
    assert answers == [[1]]
    reader.close()


def test_a_registry_that_was_put_in_place_of_another_is_not_mixed_with_it(path: Path) -> None:
    first = open_registry(path, writable=True)
    put(first, image(1, None))
    first.commit()
    first.close()
    connections = Connections(path, writable=False)
    reader = SqliteReader(connections)
    path.rename(path.with_suffix(".old"))
    open_registry(path, writable=True).close()
    # A second connection would be one to the other registry.
    with connections.one(), pytest.raises(UnavailableFault, match="another one now"):
        reader.count("toy")
    assert reader.count("toy") == 1
    reader.close()
    with pytest.raises(UnavailableFault, match="closed"):
        reader.count("toy")


def test_others_see_what_was_committed_and_nothing_else(registry: SqliteRegistry, path: Path) -> None:
    reader = open_registry(path, writable=False)
    put(registry, image(1, None))
    assert (registry.count("toy"), reader.count("toy")) == (1, 0)
    registry.commit()
    assert reader.count("toy") == 1
    put(registry, image(2, None, "b.fits"))
    registry.close()
    assert reader.count("toy") == 1
    reader.close()


def test_what_a_reader_remembers_of_an_image_is_not_taken_for_another(registry: SqliteRegistry, path: Path) -> None:
    # Each of them is the last of its table when it is taken out, and the next comes in its place.
    place = rectangle(10, 20, 1, 1, 0)
    reader = open_registry(path, writable=False)
    for number in range(5):
        put(registry, image(number, place, f"{number}.fits"))
        registry.commit()
        for looks in (reader, registry):
            assert ids(looks.containing("toy", "r", 10, 20)) == [number]
            assert ids(list(looks.search(["toy"], Search(shapes=(Circle(10, 20, 0.1),))))) == [number]
        registry.remove_file("toy", f"{number}.fits")
        registry.commit()
        assert reader.containing("toy", "r", 10, 20) == []
    reader.close()


def test_a_box_without_an_image_is_passed_over(registry: SqliteRegistry, path: Path) -> None:
    place = rectangle(10, 20, 1, 1, 0)
    put(registry, image(1, place, "a.fits"), image(2, place, "a.fits"))
    registry.commit()
    with sqlite3.connect(path) as damaged:
        damaged.execute("DELETE FROM images WHERE science_id = 1")
    damaged.close()
    found: list[ImageRecord] = []
    looking = threading.Thread(target=lambda: found.extend(registry.containing("toy", "r", 10, 20)), daemon=True)
    looking.start()
    looking.join(30)  # and does not look for it for ever
    assert ids(found) == [2]


def test_what_is_undone_was_never_there(registry: SqliteRegistry) -> None:
    place = rectangle(10, 20, 1, 1, 0)
    for number in range(5):
        put(registry, image(number, place, f"{number}.fits"))
        assert ids(registry.containing("toy", "r", 10, 20)) == [number]
        with pytest.raises(UnavailableFault, match="cannot be written"):
            put(
                registry, image(number + 100, place, f"{number}.fits"), unwritable(3)
            )  # takes the other out, and is undone
        assert ids(registry.containing("toy", "r", 10, 20)) == [number]
        registry.remove_file("toy", f"{number}.fits")


@pytest.mark.parametrize("most", [1, 3])
def test_the_last_that_were_asked_for_are_kept_and_no_more_than_twice_as_many(most: int) -> None:
    recent, last = Recent(most), [image(number, None) for number in range(20)]
    for number, record in enumerate(last):
        recent.put(number, record)
        assert recent.get(number) is record
        assert recent.get(0) is last[0]  # asked for again and again
    kept = [number for number in reversed(range(20)) if recent.get(number) is not None]
    assert 19 in kept and len(kept) <= 2 * most
    assert recent.get(99) is None


def test_a_change_that_fails_leaves_what_was_there(registry: SqliteRegistry) -> None:
    put(registry, image(1, None))
    put(registry, image(2, None, "b.fits"))
    with pytest.raises(UnavailableFault, match="cannot be written"):
        put(registry, image(4, None), unwritable(3))
    registry.commit()
    assert ids(list(registry.images("toy"))) == [1, 2]


def test_readers_never_see_half_a_change(registry: SqliteRegistry, path: Path) -> None:
    # Each generation puts two images with the same name of the band into one file.
    def generation(number: int) -> None:
        place = rectangle(10, 20, 1, 1, number)
        pair = [image(key, place, band=f"generation {number}") for key in (1, 2)]
        put(registry, *pair)
        registry.commit()

    generation(0)
    reader = open_registry(path, writable=False)
    done = threading.Event()
    faults: list[object] = []
    seen: set[str | None] = set()

    def read() -> None:
        while not done.is_set():
            try:
                found = reader.containing("toy", None, 10, 20)
                bands = {record.band for record in found}
                seen.update(bands)
                if len(found) != 2 or len(bands) != 1:
                    faults.append(found)
            except Exception as error:
                faults.append(error)

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    for number in range(1, 150):
        generation(number)
    done.set()
    for thread in threads:
        thread.join()
    reader.close()
    assert not faults
    assert len(seen) > 1


def other_version(path: Path) -> None:
    open_registry(path, writable=True).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 999")
    connection.close()


def other_file(path: Path) -> None:
    path.write_text("all the images that there are\n" * 100)


def other_database(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE precious (x)")
    connection.commit()
    connection.close()


@pytest.mark.parametrize("writable", [False, True])
@pytest.mark.parametrize(
    ("make", "fault", "reason"),
    [
        (other_file, ConfigurationFault, "is no registry"),
        (other_database, ConfigurationFault, "no registry of ImageServ"),
        (other_version, ConfigurationFault, "version 999, this ImageServ reads version 7"),
        (Path.mkdir, UnavailableFault, "cannot be opened"),
    ],
)
def test_a_file_that_is_no_registry_is_refused_and_left_alone(
    path: Path, make: Callable[[Path], object], fault: type[Exception], reason: str, writable: bool
) -> None:
    make(path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(fault, match=reason):
        open_registry(path, writable=writable)
    assert (path.read_bytes() if path.is_file() else None) == before


def test_a_service_without_a_registry_is_told_to_ingest(path: Path) -> None:
    with pytest.raises(UnavailableFault, match="imageserv ingest"):
        open_registry(path, writable=False)
    assert not path.exists()


def test_a_damaged_registry_is_reported(path: Path) -> None:
    registry = open_registry(path, writable=True)
    put(registry, *(image(number, rectangle(number / 2, 0, 1, 1, 0)) for number in range(600)))
    registry.commit()
    registry.close()
    content = bytearray(path.read_bytes())
    first = int.from_bytes(content[16:18], "big")  # bytes of the first page, which is left
    content[first:] = b"\x5a" * (len(content) - first)
    path.write_bytes(content)
    registry = open_registry(path, writable=False)
    for ask in (
        lambda: registry.containing("toy", None, 10, 0),
        lambda: registry.nearest("toy", None, 10, 0),
        lambda: registry.by_science_id("toy", 1),
        lambda: registry.count("toy"),
        lambda: list(registry.files("toy")),
    ):
        with pytest.raises(UnavailableFault, match="cannot be read"):
            ask()
    registry.close()


def test_a_registry_can_only_be_read_where_it_was_opened_for_reading(registry: SqliteRegistry, path: Path) -> None:
    reader = open_registry(path, writable=False)
    with pytest.raises(UnavailableFault, match="cannot be written"):
        put(reader, image(1, None))
    reader.close()
