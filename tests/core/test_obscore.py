"""An image as a row of ObsCore's table: each value where it belongs, and outlines that hold by independent geometry."""

import io
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import astropy.io.votable
import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from imageserv.core.dali.votable import TableDocument, Value, fitting
from imageserv.core.dataset import Dataset, Key
from imageserv.core.obscore import (
    FIELDS,
    POL_STATES,
    Access,
    circle_text,
    coverage,
    dataproduct_type,
    number,
    polygon_text,
    region_text,
    row,
)
from imageserv.core.record import FileStamp, Footprint, ImageRecord, Observation, Plane
from imageserv.core.sky.footprint import degrees_to_vectors

read_votable: Any = astropy.io.votable.parse
coordinates: Any = SkyCoord

TEXT = st.none() | st.text(st.characters(), min_size=1)
NUMBER = st.none() | st.floats()
DATASET = Dataset("Some.", (Key("n", int, "Which."),), calib_level=3, o_ucd="phot.count")
ACCESS = Access("SKY", "ivo://example.org/SKY?d/1", "https://h/links?ID=ivo%3A%2F%2Fexample.org%2FSKY%3Fd%2F1")


def footprint(ra: float, dec: float, size: float, *, exact: bool = True) -> Footprint:
    """Make a square on the sky around a place, its corners anticlockwise as seen from the origin."""
    turns = np.radians([45.0, 135.0, 225.0, 315.0])
    center = coordinates(ra * u.deg, dec * u.deg)
    # Position angles grow from north to east: north up and east left, that is anticlockwise.
    corners = center.directional_offset_by(turns * u.rad, size * u.deg)
    return Footprint(degrees_to_vectors(corners.ra.deg, corners.dec.deg), degrees_to_vectors(ra, dec), exact)


RECORD = ImageRecord(
    dataset="d",
    identifier="d/1",
    science_id=1,
    data_id={"n": 1},
    band=None,
    file=FileStamp("a.fits", 999, 0),
    size=2881,
    planes=(Plane("image", 0),),
    shape=(60, 50),
    footprint=footprint(10.0, 20.0, 0.5),
    pixel_scale=0.396,
    channels=1,
    pol_states=(),
    observation=Observation(
        t_min=53000.0,
        t_max=53000.5,
        t_exptime=54.0,
        em_min=5e-7,
        em_max=7e-7,
        facility="a telescope",
        instrument="a camera",
        target="M 31",
        title="A galaxy",
        release="2015-01-01T00:00:00",
        s_resolution=1.2,
        t_resolution=0.1,
        em_res_power=5.0,
    ),
    coverage=coverage(footprint(10.0, 20.0, 0.5)),
)

OBSERVATIONS = st.builds(
    Observation,
    **dict.fromkeys(["facility", "instrument", "target", "title", "release"], TEXT),
    **dict.fromkeys(
        ["t_min", "t_max", "t_exptime", "em_min", "em_max", "s_resolution", "t_resolution", "em_res_power"], NUMBER
    ),
)
FOOTPRINTS = st.builds(
    footprint,
    st.floats(0, 359.99),
    st.floats(-90, 90),
    st.floats(1e-4, 40),
    exact=st.booleans(),
)
RECORDS = st.builds(
    ImageRecord,
    dataset=st.just("d"),
    identifier=st.just("d/1"),
    science_id=st.just(1),
    data_id=st.just({"n": 1}),
    band=st.none(),
    file=st.just(FileStamp("a.fits", 999, 0)),
    size=st.integers(0, 2**50),
    planes=st.just((Plane("image", 0),)),
    shape=st.tuples(st.integers(1, 2**31), st.integers(1, 2**31)),
    footprint=st.none(),
    coverage=st.none() | FOOTPRINTS.map(coverage),
    pixel_scale=NUMBER,
    channels=st.integers(1, 2**31),
    pol_states=st.sets(st.sampled_from(POL_STATES)).map(lambda some: tuple(s for s in POL_STATES if s in some)),
    observation=OBSERVATIONS,
)


def named(record: ImageRecord) -> dict[str, Value]:
    return dict(zip([field.name for field in FIELDS], row(record, DATASET, ACCESS), strict=True))


def test_each_value_is_where_it_belongs() -> None:
    found = named(RECORD)
    region = found.pop("s_region")
    assert isinstance(region, str) and region.startswith("POLYGON ICRS ")
    assert found == {
        "dataproduct_type": "image",
        "calib_level": 3,
        "obs_collection": "SKY",
        "obs_id": "d/1",
        "obs_publisher_did": "ivo://example.org/SKY?d/1",
        "access_url": ACCESS.url,
        "access_format": "application/x-votable+xml;content=datalink",
        "access_estsize": 3,  # kbyte, rounded up
        "target_name": "M 31",
        "s_ra": 10.0,
        "s_dec": 20.0,
        "s_fov": pytest.approx(1.0, abs=1e-9),
        "s_resolution": 1.2,
        "s_xel1": 60,
        "s_xel2": 50,
        "t_min": 53000.0,
        "t_max": 53000.5,
        "t_exptime": 54.0,
        "t_resolution": 0.1,
        "t_xel": 1,
        "em_min": 5e-7,
        "em_max": 7e-7,
        "em_res_power": 5.0,
        "em_xel": 1,
        "o_ucd": "phot.count",
        "pol_states": None,
        "pol_xel": 0,
        "facility_name": "a telescope",
        "instrument_name": "a camera",
        "obs_release_date": "2015-01-01T00:00:00",
        "obs_title": "A galaxy",
        "s_pixel_scale": 0.396,
    }


def test_what_is_not_known_is_null() -> None:
    bare = replace(RECORD, coverage=None, pixel_scale=None, observation=Observation())
    found = dict(zip([field.name for field in FIELDS], row(bare, Dataset("Some.", ()), ACCESS), strict=True))
    assert {name for name, value in found.items() if value is None} == {
        *["target_name", "s_ra", "s_dec", "s_fov", "s_region", "s_resolution", "s_pixel_scale", "t_min", "t_max"],
        *["t_exptime", "t_resolution", "em_min", "em_max", "em_res_power", "o_ucd", "pol_states", "facility_name"],
        *["instrument_name", "obs_release_date", "obs_title"],
    }


@pytest.mark.parametrize(
    ("channels", "states", "cube", "written"),
    [
        (1, (), False, None),
        (1, ("I",), False, "/I/"),
        (2, (), True, None),
        (1, ("I", "Q", "U", "V"), True, "/I/Q/U/V/"),  # ObsCore 1.1 section B.6.6
        (7, ("XX", "YY"), True, "/XX/YY/"),
        (1, (), True, None),  # along an axis of another kind
    ],
)
def test_cubes_and_polarization(channels: int, states: tuple[str, ...], cube: bool, written: str | None) -> None:
    record = replace(RECORD, channels=channels, pol_states=states, cube=cube)
    found = named(record)
    kind = "cube" if cube else "image"
    assert (found["dataproduct_type"], dataproduct_type(record)) == (kind, kind)
    assert (found["em_xel"], found["pol_states"], found["pol_xel"]) == (channels, written, len(states))


def test_states_of_polarization_are_in_the_standards_order() -> None:
    assert POL_STATES == tuple("I Q U V RR LL RL LR XX YY XY YX POLI POLA".split())


@given(RECORDS)
def test_any_record_is_a_row_that_every_reader_reads_back(record: ImageRecord) -> None:
    values = row(record, DATASET, ACCESS)
    document = TableDocument(fitting(FIELDS, [values]))
    content = (document.head.decode() + document.row(values)).encode() + document.tail()
    schema = Path(astropy.io.votable.__file__).parent / "data" / "VOTable.v1.4.xsd"
    etree.XMLSchema(etree.parse(str(schema))).assertValid(etree.fromstring(content))
    table = read_votable(io.BytesIO(content), verify="exception").get_first_table()
    (cells,) = etree.fromstring(content).iterfind(".//{*}TR")
    for field, cell, value in zip(FIELDS, cells, values, strict=True):
        read = table.array[field.name].filled(math.nan if field.datatype == "double" else None).tolist()[0]
        if isinstance(value, float):
            assert read == value or (math.isnan(read) and math.isnan(value))
        elif value is None:
            assert cell.text is None
        elif isinstance(value, int):
            assert read == value
        else:
            written = cell.text or ""
            assert len(written) == len(value)
            assert all(got in (put, "\ufffd") for got, put in zip(written, value, strict=True))


# --- outlines


def pairs(text: str) -> list[tuple[float, float]]:
    numbers = [float(part) for part in text.split()]
    return list(zip(numbers[::2], numbers[1::2], strict=True))


@given(st.floats(0, 359.99), st.floats(-90, 90), st.floats(1e-3, 40))
def test_polygons_are_anticlockwise_and_hold_the_corners(ra: float, dec: float, size: float) -> None:
    outline = footprint(ra, dec, size)
    corners = pairs(polygon_text(outline))
    assert all(0 <= lon <= 360 and -90 <= lat <= 90 for lon, lat in corners)
    vectors = degrees_to_vectors(*np.array(corners).T)
    np.testing.assert_allclose(vectors, outline.vertices, atol=1e-10)
    # Looked at from the origin, with north up and east left: then the cross products point inwards.
    turn = np.cross(vectors, np.roll(vectors, -1, axis=0)).sum(axis=0) @ outline.center
    assert turn < 0


@given(FOOTPRINTS)
def test_circles_cover_all_corners(outline: Footprint) -> None:
    lon, lat, radius = (float(part) for part in circle_text(outline).split())
    center = coordinates(lon * u.deg, lat * u.deg)
    vertices = outline.vertices
    corners = coordinates(
        np.degrees(np.arctan2(vertices[:, 1], vertices[:, 0])) * u.deg,
        np.degrees(np.arcsin(np.clip(vertices[:, 2], -1, 1))) * u.deg,
    )
    farthest = float(center.separation(corners).deg.max())
    assert farthest <= radius + 1e-7 and radius <= farthest + 1e-5
    assert radius <= 180


def test_a_region_is_a_polygon_or_the_circle_that_covers_what_is_none() -> None:
    outline = footprint(10.0, 20.0, 0.5)
    assert region_text(outline) == f"POLYGON ICRS {polygon_text(outline)}"
    vague = replace(outline, exact=False)
    assert region_text(vague) == f"CIRCLE ICRS {circle_text(vague)}"


@given(st.floats(-360, 360))
def test_degrees_are_written_to_a_billionth(value: float) -> None:
    text = number(value)
    assert abs(float(text) - value) <= 5.1e-10
    assert re.fullmatch(r"-?\d+\.\d{1,9}", text)
    assert not text.startswith("-0.0") or float(text) != 0
