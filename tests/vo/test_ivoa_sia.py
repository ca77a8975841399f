"""SIA2 by its own rules, against a reading of the whole table by brute force."""

import csv
import io
import json
import logging
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from itertools import cycle, islice
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any
from urllib.parse import urlencode

import httpx
import numpy as np
import pytest
from astropy.io import fits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from imageserv.core import manager
from imageserv.core.candidate import CandidateFile
from imageserv.core.config import load
from imageserv.core.dataset import DataId, Dataset, Key
from imageserv.core.fits.engine import Cutout, CutoutRequest, cut
from imageserv.core.fits.opened import OpenImage
from imageserv.core.hookspecs import hookimpl
from imageserv.core.record import Found, ImageRecord, Observation, Plane
from imageserv.core.repository import Repository
from imageserv.core.service import Service, open_service

SIA = "/api/image/vo/sia"
Serve = Callable[[Service], Any]
Row = dict[str, Any]

random = np.random.default_rng(20261122)
COUNT = 150


def some(values: Sequence[Any]) -> Any:
    """Take one of a few values, or nothing, which is more interesting than it sounds."""
    return None if random.random() < 0.2 else values[int(random.integers(len(values)))]


def seen() -> Observation:
    start, wave = some([53000.0, 53000.25, 53010.0]), some([1e-7, 4e-7, 5e-7])
    return Observation(
        t_min=start,
        t_max=None if start is None else start + 0.5,
        t_exptime=some([0.0, 30.0, 54.0, 1e4]),
        em_min=wave,
        em_max=None if wave is None else wave + 1e-7,
        facility=some(["Hill", "hill", "Dale, Inc."]),
        instrument=some(["Box", "Bag & <Sack>"]),
        target=some(["M 31", "m 31", "M31"]),
        title=some(["one", "two, three"]),
        release=some(["2015-01-01T00:00:00"]),
        s_resolution=some([0.5, 1.0, 2.0]),
        t_resolution=some([0.5, 1.0, 2.0]),
        em_res_power=some([5.0, 100.0]),
    )


SEEN = [seen() for _ in range(COUNT)]


class Catalogue:
    """Images of which all is known from `SEEN`."""

    def __init__(self, name: str, options: Mapping[str, object]) -> None:
        self._level = options["level"]

    @hookimpl
    def imageserv_dataset(self) -> Dataset:
        assert isinstance(self._level, int)
        return Dataset("Numbered.", (Key("number", int, "Which.", minimum=0),), calib_level=self._level)

    @hookimpl
    def imageserv_science_id(self, data_id: DataId) -> int:
        return int(data_id["number"])

    @hookimpl
    def imageserv_recognise(self, file: CandidateFile) -> Sequence[Found] | None:
        number = int(PurePosixPath(file.path).stem)
        if number % 2 != self._level:
            return None
        return [Found({"number": number}, (Plane("image", 0),), SEEN[number])]

    @hookimpl
    def imageserv_cutout(self, image: OpenImage, request: CutoutRequest) -> Cutout:
        return cut(image, request)


def write(path: Path, number: int) -> None:
    header = fits.Header()
    if number % 5:
        header.update({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 10.0 * number % 360, "CRVAL2": 20.0})
        header.update(
            {"CRPIX1": 2.0, "CRPIX2": 2.0, "CDELT1": -0.1 * (1 + number % 3), "CDELT2": 0.1, "RADESYS": "ICRS"}
        )
    shape: tuple[int, ...] = (3, 3)
    if number % 5 and number % 4 == 1:
        header.update({"CTYPE3": "STOKES", "CRVAL3": 1.0, "CRPIX3": 1.0, "CDELT3": 1.0})
        shape = (1 + number % 3, 3, 3)
    fits.PrimaryHDU(np.zeros(shape, "u1"), header).writeto(path)


CONFIGURATION = """
authority = "Example.org"
[limits]
default_records = 1000
max_records = 120
[repositories.ODD]
root = "files"
[repositories.ODD.datasets.odd]
plugin = "catalogue"
level = 1
[repositories.Both]
root = "files"
[repositories.Both.datasets.even]
plugin = "catalogue"
level = 0
[repositories.Both.datasets.odd]
plugin = "catalogue"
level = 1
"""


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Install the plugin, and give the configuration of 225 images: the odd ones are in two repositories."""
    folder = tmp_path_factory.mktemp("sia")
    (folder / "files").mkdir()
    for number in range(COUNT):
        write(folder / "files" / f"{number}.fits", number)
    path = folder / "imageserv.toml"
    path.write_text(CONFIGURATION)
    module = ModuleType("catalogue_plugin")
    module.__dict__["plugin"] = Catalogue
    point = EntryPoint("catalogue", "catalogue_plugin:plugin", "imageserv.dataset")

    def listed(*, group: str, name: str | None = None) -> list[EntryPoint]:
        return [
            each for each in [*entry_points(group=group), point] if each.group == group and name in (None, each.name)
        ]

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, module.__name__, module)
        patch.setattr(manager, "entry_points", listed)
        config = load(path, {})
        for part in config.repositories.values():
            repository = Repository(part, config, writable=True)
            repository.ingest(None, lambda done, total, path: None)
            repository.close()
        yield path


@pytest.fixture
def ask(catalogue: Path, serve: Serve) -> Iterator[Callable[..., list[Row]]]:
    """Ask a service without a limit of rows, in JSON."""
    service = open_service(load(catalogue, {"IMAGESERV_LIMITS__MAX_RECORDS": "1000"}))
    client: httpx.Client = serve(service).client

    def asker(*pairs: tuple[str, str]) -> list[Row]:
        response = client.get(f"{SIA}?{urlencode([('RESPONSEFORMAT', 'json'), *pairs])}")
        assert response.status_code == 200, response.text
        document = response.json()
        assert document["query_status"] == "OK"
        rows: list[Row] = document["data"]
        return rows

    yield asker
    service.close()


def interval(text: str) -> tuple[float, float]:
    parts = [float(part) for part in text.split()]
    return parts[0], parts[-1]


SPANS = {"BAND": ("em_min", "em_max"), "TIME": ("t_min", "t_max")} | {
    name: (column, column)
    for name, column in [
        ("FOV", "s_fov"),
        ("SPATRES", "s_resolution"),
        ("SPECRP", "em_res_power"),
        ("EXPTIME", "t_exptime"),
        ("TIMERES", "t_resolution"),
    ]
}
EQUAL = {
    "COLLECTION": "obs_collection",
    "FACILITY": "facility_name",
    "INSTRUMENT": "instrument_name",
    "TARGET": "target_name",
    "DPTYPE": "dataproduct_type",
}


def satisfies(row: Row, name: str, text: str) -> bool:
    """Judge one row by SIA 2.0 section 2.1 alone; what is null satisfies nothing."""
    if name in SPANS:
        low, high = (row[column] for column in SPANS[name])
        asked = interval(text)
        return low is not None and high is not None and bool(low <= asked[1] and high >= asked[0])
    if name in EQUAL:
        return bool(row[EQUAL[name]] == text)
    if name == "POL":
        return row["pol_states"] is not None and f"/{text}/" in row["pol_states"]
    if name == "CALIB":
        return bool(row["calib_level"] == int(text))
    if name == "ID":
        return bool(row["obs_publisher_did"].lower() == text.lower())
    assert name == "FORMAT"
    return bool(row["access_format"] == text)


BOUNDS = [
    "-Inf",
    "0",
    "1e-7",
    "4.5e-7",
    "6e-7",
    "0.5",
    "1",
    "2",
    "5",
    "30",
    "54",
    "53000.1",
    "53000.5",
    "53010",
    "+Inf",
]
NUMBERS = [bound for bound in BOUNDS if "Inf" not in bound]


@st.composite
def intervals(draw: st.DrawFn) -> str:
    low, high = sorted(draw(st.tuples(*[st.sampled_from(range(len(BOUNDS)))] * 2)))
    if low == high:
        return draw(st.sampled_from(NUMBERS))
    return f"{BOUNDS[low]} {BOUNDS[high]}"


CONSTRAINTS = st.one_of(
    st.tuples(st.sampled_from(sorted(SPANS)), intervals()),
    st.tuples(st.just("COLLECTION"), st.sampled_from(["ODD", "Both", "odd", "none"])),
    st.tuples(st.just("FACILITY"), st.sampled_from(["Hill", "hill", "Dale, Inc.", "HILL"])),
    st.tuples(st.just("INSTRUMENT"), st.sampled_from(["Box", "Bag & <Sack>", "Bag"])),
    st.tuples(st.just("TARGET"), st.sampled_from(["M 31", "m 31", "M31", "M"])),
    st.tuples(st.just("DPTYPE"), st.sampled_from(["image", "cube"])),
    st.tuples(st.just("POL"), st.sampled_from(["I", "Q", "U", "V", "XX"])),
    st.tuples(st.just("CALIB"), st.sampled_from(["0", "1", "2"])),
    st.tuples(st.just("FORMAT"), st.sampled_from(["application/x-votable+xml;content=datalink", "application/fits"])),
    st.tuples(
        st.just("ID"),
        st.sampled_from(
            ["ivo://example.org/ODD?odd/7", "IVO://EXAMPLE.ORG/BOTH?EVEN/8", "ivo://example.org/ODD?odd/8", "nonsense"]
        ),
    ),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(pairs=st.lists(CONSTRAINTS, max_size=5))
def test_values_are_alternatives_and_parameters_all_hold(
    ask: Callable[..., list[Row]], pairs: list[tuple[str, str]]
) -> None:
    everything = ask()
    assert len(everything) == COUNT + COUNT // 2
    wanted: dict[str, list[str]] = {}
    for name, value in pairs:
        wanted.setdefault(name, []).append(value)
    expected = [
        row
        for row in everything
        if all(any(satisfies(row, name, value) for value in values) for name, values in wanted.items())
    ]
    assert ask(*pairs) == expected


def test_the_table_is_as_interesting_as_it_is_meant_to_be(ask: Callable[..., list[Row]]) -> None:
    everything = ask()
    for name in (*EQUAL.values(), "em_min", "t_max", "s_fov", "s_resolution", "pol_states", "em_res_power"):
        found = {row[name] for row in everything}
        assert len(found) > 1, name
    assert len({row["obs_publisher_did"].lower() for row in everything}) == len(everything)
    for row in everything:
        assert (row["s_ra"] is None) == (row["s_region"] is None) == (row["s_fov"] is None)


def test_equal_bounds_and_open_ones(ask: Callable[..., list[Row]]) -> None:
    assert ask(("TIME", "53000.5 53000.5")) == ask(("TIME", "53000.5"))
    assert {row["t_max"] for row in ask(("TIME", "53000.5"))} >= {53000.5}  # bounds are included
    assert ask(("BAND", "-inf inf")) == [row for row in ask() if row["em_min"] is not None]
    assert ask(("BAND", "4.5e-7 +InF")) == ask(("BAND", "4.5e-7 1"))


@pytest.mark.parametrize(
    ("name", "value", "right"),
    [
        ("BAND", "NaN", "one number, or two in order"),
        ("BAND", "1 NaN", "one number, or two in order"),
        ("TIME", "2 1", "one number, or two in order"),
        ("FOV", "wide", "one number, or two in order"),
        ("EXPTIME", "1 2 3", "one number, or two in order"),
        ("SPATRES", "1/2", "one number, or two in order"),
        ("POS", "CIRCLE 1 2", "longitude, latitude and radius"),
        ("POS", "CIRCLE 1 100 2", "longitude, latitude and radius"),
        ("POS", "CIRCLE 1 2 NaN", "longitude, latitude and radius"),
        ("POS", "BOX 1 2 3 4", "CIRCLE, RANGE or POLYGON"),
        ("POS", "RANGE 1 2 4 3", "two longitudes and two latitudes"),
        ("POL", "J", "one of I, Q, U, V"),
        ("CALIB", "5", "0, 1, 2, 3 or 4"),
        ("CALIB", "one", "a decimal integer"),
        ("DPTYPE", "spectrum", "one of image, cube"),
        ("MAXREC", "-1", "must not be negative"),
        ("MAXREC", "1.5", "a decimal integer"),
        ("MAXREC", "many", "a decimal integer"),
        ("MAXREC", "99999999999999999999", "a decimal integer of at most 64 bits"),
    ],
)
def test_a_wrong_value_is_a_usage_fault_that_says_what_is_right(
    client: httpx.Client, name: str, value: str, right: str
) -> None:
    good = {"BAND": "1", "POS": "CIRCLE 1 2 3", "POL": "I", "CALIB": "1"}
    query = f"{urlencode({name: value})}&{urlencode(good)}"  # one wrong value among right ones
    response = client.get(f"{SIA}?{query}")
    assert (response.status_code, response.headers["content-type"]) == (400, "application/x-votable+xml")
    (info,) = etree.fromstring(response.content).findall("{*}RESOURCE[@type='results']/{*}INFO")
    assert (info.get("name"), info.get("value")) == ("QUERY_STATUS", "ERROR")
    assert (info.text or "").startswith(f"UsageFault: {name}=")
    assert right in (info.text or "")


# --- POS


@pytest.fixture
def turned(tmp_path: Path, serve: Serve) -> Iterator[Callable[[str], bool]]:
    """Tell whether a search by POS finds an image of 100 x 100 arcmin at RA 0, turned by 45 degrees."""
    (tmp_path / "files").mkdir()
    header = fits.Header()
    header.update({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 0.0, "CRVAL2": 0.0, "RADESYS": "ICRS"})
    half = math.sqrt(0.5) / 60
    header.update({"CD1_1": -half, "CD1_2": half, "CD2_1": half, "CD2_2": half, "CRPIX1": 50.5, "CRPIX2": 50.5})
    fits.PrimaryHDU(np.zeros((100, 100), "u1"), header).writeto(tmp_path / "files" / "a.fits")
    path = tmp_path / "imageserv.toml"
    path.write_text('[repositories.SKY]\nroot = "files"\n[repositories.SKY.datasets.image]\nplugin = "image"\n')
    config = load(path, {})
    repository = Repository(config.repositories["SKY"], config, writable=True)
    repository.ingest(None, lambda done, total, path: None)
    repository.close()
    service = open_service(config)
    client: httpx.Client = serve(service).client

    def found(pos: str) -> bool:
        response = client.get(SIA, params={"POS": pos, "RESPONSEFORMAT": "json"})
        assert response.status_code == 200, response.text
        return len(response.json()["data"]) == 1

    yield found
    service.close()


CORNER = math.sqrt(0.5) * 100 / 60  # deg from the middle to a corner: north, south, east and west of it


@pytest.mark.parametrize(
    ("pos", "hit"),
    [
        ("CIRCLE 0 0 0", True),  # a point
        ("CIRCLE 360 0 0", True),
        ("CIRCLE -0.5 0.3 0", True),
        ("CIRCLE 0.8 0.8 0", False),  # inside the box around it, outside of it
        ("CIRCLE 0.8 0.8 0.2", False),
        ("CIRCLE 0.8 0.8 0.35", True),
        ("CIRCLE 359.2 -0.8 0.35", True),
        ("CIRCLE 0 1.17 0", True),
        ("CIRCLE 0 1.19 0", False),
        ("CIRCLE 0 1.19 0.02", True),
        ("CIRCLE 0 0 180", True),
        ("CIRCLE 180 0 178", False),
        ("CIRCLE 180 0 179", True),
        ("CIRCLE 90 90 89.5", True),
        ("RANGE -1 1 -1 1", True),
        ("RANGE 359 1 -1 1", True),
        ("RANGE 0.7 2 0.7 2", False),  # its corner is off the side
        ("RANGE 0.5 2 0.5 2", True),
        ("RANGE 2 358 -90 90", False),
        ("RANGE 1.1 358 -90 90", True),
        ("RANGE 0 360 89 +Inf", False),
        ("RANGE -Inf +Inf -Inf +Inf", True),
        ("RANGE 0 360 1.17 +Inf", True),
        ("RANGE 0 360 1.19 +Inf", False),
        ("RANGE 0 0 0 0", True),
        ("POLYGON 10 -1 10 1 0 0", True),
        ("POLYGON 10 1 10 -1 0 0", True),  # the other way round
        ("POLYGON 10 -1 10 1 1.2 0", False),
        ("POLYGON 0.7 0.7 0.7 2 2 0.7", False),
        ("POLYGON 350 -20 10 -20 10 20 350 20", True),  # all around it
        ("polygon 0.1 0.1 0.2 0.1 0.2 0.2 0.1 0.1", True),  # all inside, and closed
    ],
)
def test_a_place_is_held_against_the_true_outline(turned: Callable[[str], bool], pos: str, hit: bool) -> None:
    assert turned(pos) == hit


# --- how many rows, and how they are sent


@pytest.fixture
def limited(catalogue: Path, serve: Serve) -> Iterator[tuple[Service, httpx.Client]]:
    service = open_service(load(catalogue, {"IMAGESERV_LIMITS__DEFAULT_RECORDS": "7"}))
    yield service, serve(service).client
    service.close()


def outcome(response: httpx.Response) -> tuple[int, list[str | None]]:
    root = etree.fromstring(response.content)
    infos = root.findall("{*}RESOURCE[@type='results']/{*}INFO[@name='QUERY_STATUS']")
    return len(root.findall(".//{*}TR")), [info.get("value") for info in infos]


@pytest.mark.parametrize(
    ("query", "rows", "overflow"),
    [
        ("", 7, True),  # the default
        ("MAXREC=0", 0, True),
        ("MAXREC=1", 1, True),
        ("MAXREC=50&COLLECTION=ODD", 50, True),
        ("MAXREC=75&COLLECTION=ODD", 75, False),
        ("MAXREC=76&COLLECTION=ODD", 75, False),
        ("MAXREC=1000000000", 120, True),  # the cap
        ("MAXREC=5&TARGET=nobody", 0, False),
        ("MAXREC=0&TARGET=nobody", 0, True),
        ("maxrec=%2B3", 3, True),
    ],
)
def test_rows_are_limited_and_the_client_told(
    limited: tuple[Service, httpx.Client], query: str, rows: int, overflow: bool
) -> None:
    _, client = limited
    response = client.get(f"{SIA}?{query}")
    assert response.status_code == 200
    assert outcome(response) == (rows, ["OK", "OVERFLOW"] if overflow else ["OK"])
    document = client.get(f"{SIA}?{query}&RESPONSEFORMAT=json").json()
    assert (len(document["data"]), document["query_status"]) == (rows, "OVERFLOW" if overflow else "OK")
    table = list(csv.reader(io.StringIO(client.get(f"{SIA}?{query}&RESPONSEFORMAT=csv").text, newline="")))
    assert len(table) == rows + 1


def test_a_limited_answer_is_the_beginning_of_the_whole(limited: tuple[Service, httpx.Client]) -> None:
    _, client = limited
    whole = client.get(f"{SIA}?RESPONSEFORMAT=json&MAXREC=120").json()["data"]
    for count in (1, 30, 119):
        assert client.get(f"{SIA}?RESPONSEFORMAT=json&MAXREC={count}").json()["data"] == whole[:count]


def test_a_long_answer_is_sent_while_it_is_written(limited: tuple[Service, httpx.Client]) -> None:
    _, client = limited
    long, short = (client.get(f"{SIA}?MAXREC={count}") for count in (120, 2))
    assert len(long.content) > 65536 and "content-length" not in long.headers
    assert int(short.headers["content-length"]) == len(short.content)
    assert outcome(long) == (120, ["OK", "OVERFLOW"])
    etree.fromstring(long.content)
    assert long.headers["content-disposition"] == 'inline; filename="images.vot"'
    head = client.head(f"{SIA}?MAXREC=120")
    assert (head.status_code, head.content) == (200, b"")


class DiskGone(Exception):
    """Any fault of ours."""


def break_search(service: Service, patch: pytest.MonkeyPatch, after: int) -> None:
    """Let a search fail after some rows, if need be the same ones again."""
    repository = service.repositories["Both"]
    search = repository.search_pages

    def failing(*arguments: Any) -> Iterator[list[ImageRecord]]:
        pages = list(search(*arguments))
        yield from ([record] for record in islice(cycle([record for page in pages for record in page]), after))
        raise DiskGone("the secret reason")

    patch.setattr(repository, "search_pages", failing)


def test_a_fault_in_mid_stream_is_told_after_the_table(
    limited: tuple[Service, httpx.Client],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    request_log: Callable[[httpx.Response], dict[str, Any]],
) -> None:
    service, client = limited
    break_search(service, monkeypatch, 100)
    response = client.get(f"{SIA}?COLLECTION=Both&MAXREC=110")
    assert response.status_code == 200
    assert outcome(response) == (100, ["OK", "ERROR"])
    assert "FatalFault: " in response.text and "secret" not in response.text
    document = client.get(f"{SIA}?COLLECTION=Both&MAXREC=110&RESPONSEFORMAT=json").json()
    assert (len(document["data"]), document["query_status"]) == (100, "ERROR")
    request_log(response)
    (record,) = [
        each
        for each in caplog.records
        if each.exc_info and vars(each)["facts"]["id"] == response.headers["x-request-id"]
    ]
    assert record.exc_info is not None and record.exc_info[1] is not None
    assert isinstance(record.exc_info[1].__cause__, DiskGone)


def test_a_format_that_cannot_tell_of_a_fault_breaks_off(
    catalogue: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    service = open_service(load(catalogue, {"IMAGESERV_LIMITS__MAX_RECORDS": "1000"}))
    client = serve(service).client
    break_search(service, monkeypatch, 800)
    for name in ("csv", "tsv"):
        with caplog.at_level(logging.CRITICAL), pytest.raises(httpx.RemoteProtocolError):
            client.get(f"{SIA}?RESPONSEFORMAT={name}")
    service.close()


def test_an_early_fault_is_an_error_of_the_request(
    limited: tuple[Service, httpx.Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    service, client = limited
    break_search(service, monkeypatch, 3)
    response = client.get(f"{SIA}?COLLECTION=Both&MAXREC=110")
    assert response.status_code == 500
    assert outcome(response) == (0, ["ERROR"])
    assert "FatalFault: " in response.text and response.headers["x-request-id"] in response.text
    text = client.get(f"{SIA}?COLLECTION=Both&MAXREC=110&RESPONSEFORMAT=csv")
    assert (text.status_code, text.text.startswith("FatalFault: ")) == (500, True)
    for answer in (response, text):
        assert "Traceback" not in answer.text and "secret" not in answer.text
    # Another collection is as well as ever.
    assert client.get(f"{SIA}?COLLECTION=ODD").status_code == 200


def test_the_same_question_gets_the_same_bytes(client: httpx.Client) -> None:
    query = "POS=CIRCLE+37.64516+0.10322+1&BAND=1e-7+1e-6"
    first = client.get(f"{SIA}?{query}").content
    for other in ("pos=circle+37.645160+%200.10322+1.0&band=1e-07+1E-6", f"{query}&UNKNOWN=1&RUNID=x"):
        assert client.get(f"{SIA}?{other}").content == first
    assert json.dumps(first.decode()).count("images.example.org") > 3


def test_too_many_values_are_refused(archive: Path, serve: Serve) -> None:
    service = open_service(load(archive, {"IMAGESERV_LIMITS__MAX_VALUES": "3"}))
    client = serve(service).client
    one = ("POS", "CIRCLE 10 20 0.1")
    assert client.get(f"{SIA}?{urlencode([one] * 3)}").status_code == 200
    response = client.get(f"{SIA}?{urlencode([one] * 4)}")
    assert response.status_code == 413
    assert "UsageFault: POS has 4 values; at most 3 are taken" in response.text
    service.close()
