"""A catalogue in, cutouts out: each row its image, its part of it, or what is wrong with it."""

import re
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st

from imageserv.core.batch import BatchLimits
from imageserv.core.batch.names import result_name
from imageserv.core.batch.parameters import read_question
from imageserv.core.batch.targets import Target
from imageserv.core.dali.parameters import Parameter
from imageserv.core.errors import LimitFault, MultiValuedParamNotSupported, NotFoundFault, UnavailableFault, UsageFault
from imageserv.core.fits.openimages import OpenImages
from imageserv.core.registry.sqlite import SqliteRegistry
from imageserv.core.repository import Repository
from imageserv.core.selection import ByPosition
from imageserv.core.service import Service

ARCSEC = 1 / 3600
SKY = "ivo://example.org/SKY?sketch"
PIXELS = [("width", "5"), ("height", "3"), ("unit", "pixel")]

# astropy's annotations tell little of what these give.
read_fits: Any = fits.open
wcs_of: Any = WCS
make_table: Any = Table


@pytest.fixture
def sky(sketches: Callable[..., Service], write_image: Callable[..., Path], jobs_of: Callable[[Service], Any]) -> Any:
    """Give batches of nine overlapping images of 40 x 30 arcsec, each pixel with a value of its own, and one in g."""
    for number in range(9):
        x, y = number % 3, number // 3
        write_image(f"sketch-{number}-r.fits", ra=150 + 30 * x * ARCSEC, dec=2 + 20 * y * ARCSEC, first=10_000 * number)
    write_image("sketch-0-g.fits", first=90_000)
    return jobs_of(sketches())


def table(folder: Any, text: str) -> Path:
    path: Path = folder.folder / "table.csv"
    path.write_text(text)
    return path


def test_rows_are_cut_from_the_image_that_the_closest_rule_picks(sky: Any, root: Path) -> None:
    rng = np.random.default_rng(7)
    places = [(150 + ARCSEC * rng.uniform(-30, 90), 2 + ARCSEC * rng.uniform(-20, 60)) for _ in range(120)]
    lines = "\n".join(f"{ra!r},{dec!r}" for ra, dec in places)
    ran = sky.run([("filter", "r"), *PIXELS], table(sky, f"ra,dec\n{lines}\n"))
    repository = sky.service.default
    plugin = repository.dataset("sketch")
    found = missed = 0
    for (ra, dec), row in zip(places, ran.rows, strict=True):
        assert (row["ra"], row["dec"]) == (ra, dec)
        try:
            selection = repository.select(plugin, ByPosition(ra, dec, "r"))
        except NotFoundFault as fault:
            assert row["status"] == "NOT_FOUND" and row["error"] == f"UsageError: {fault.message}"
            missed += 1
            continue
        found += 1
        assert (row["image"], row["candidates"]) == (selection.publisher_did, selection.candidates)
        with read_fits(root / selection.record.file.path) as hdus:
            x, y = map(float, wcs_of(hdus[0].header).world_to_pixel_values(ra, dec))
            parent = hdus[0].data
            first_x, first_y = int(np.ceil(x - 2.5)), int(np.ceil(y - 1.5))
            expected = parent[max(first_y, 0) : first_y + 3, max(first_x, 0) : first_x + 5]
            assert np.array_equal(ran.pixels(row["result"]), expected)
        assert row["status"] == ("OK" if expected.shape == (3, 5) else "CLIPPED")
        assert row["coverage"] == pytest.approx(expected.size / 15, abs=1e-6)
    assert found > 40 and missed > 10
    assert [row["row"] for row in ran.rows] == list(range(1, 121))


def test_a_bad_row_is_a_row_of_the_manifest_and_spoils_no_other(sky: Any) -> None:
    ran = sky.run(
        [("filter", "r")],
        table(
            sky,
            "name,id,ra,dec,radius,width,height,unit,collection,ds\n"
            "good,,150,2,0.001,,,,,\n"
            "no number,,abc,2,0.001,,,,,\n"
            "no place,,,2,0.001,,,,,\n"
            "off the sky,,150,95,0.001,,,,,\n"
            "two sizes,,150,2,0.001,5,5,,,\n"
            "half a size,,150,2,,5,,,,\n"
            "no such unit,,150,2,,5,5,parsec,,\n"
            "negative,,150,2,-1,,,,,\n"
            "no such image,ivo://example.org/SKY?sketch/99/r,150,2,0.001,,,,,\n"
            "no identifier,12345,150,2,0.001,,,,,\n"
            "no centre,ivo://example.org/SKY?sketch/1/r,,,0.001,,,,,\n"
            "nowhere,,10,2,0.001,,,,,\n"
            "no such repository,,150,2,0.001,,,,MOON,\n"
            "no such dataset,,150,2,0.001,,,,,raw\n"
            "short,,150\n"
            "also good,ivo://example.org/SKY?sketch/4/r,150.0083,2.0055,,5,5,pixel,SKY,\n",
        ),
    )
    told = {row["name"]: row for row in ran.rows}
    assert [row["status"] for row in ran.rows if row["error"] is None] == ["OK"] * 2
    assert told["good"]["status"] == told["also good"]["status"] == "OK"
    assert told["also good"]["image"] == f"{SKY}/4/r"
    messages = {
        "no number": "UsageError: ra='abc': ra must be a longitude",
        "no place": "UsageError: a cutout needs ra, dec and radius, or width and height: ra missing",
        "off the sky": "UsageError: dec='95': dec must be a latitude",
        "two sizes": "UsageError: radius and width are two sizes",
        "half a size": "UsageError: a cutout needs ra, dec and radius, or width and height: height missing",
        "no such unit": "UsageError: unit='parsec': unit must be one of arcsec",
        "negative": "UsageError: radius='-1': radius must be a radius",
        "no such image": "UsageError: there is no image 'ivo://example.org/SKY?sketch/99/r' here",
        "no identifier": "UsageError: '12345' is no publisher DID",
        "no centre": "UsageError: a cutout needs ra, dec and radius, or width and height: ra, dec missing",
        "nowhere": "UsageError: no sketch r image of SKY contains ra 10, dec 2",
        "no such repository": "UsageError: no repository 'MOON'",
        "no such dataset": "UsageError: SKY has no dataset 'raw'",
    }
    for name, message in messages.items():
        assert told[name]["error"].startswith(message), name
        assert ran.text(told[name]["result"]) == f"{told[name]['error']}\n"
    short = ran.rows[-2]
    assert short["error"] == "UsageError: the row has 3 cells, the table 10 columns"
    assert (told["no number"]["ra"], told["no number"]["dec"]) == (None, 2.0)


def test_parameters_stand_in_for_columns_and_empty_cells(sky: Any) -> None:
    rows = "name,radius,filter\na,,\nb,0.0015,\nc,,g\n"
    ran = sky.run([("ra", "150"), ("dec", "2"), ("radius", "0.001"), ("filter", "r")], table(sky, rows))
    assert [row["stencil"] for row in ran.rows] == [f"CIRCLE 150.0 2.0 {radius}" for radius in (0.001, 0.0015, 0.001)]
    assert [row["image"] for row in ran.rows] == [f"{SKY}/0/r", f"{SKY}/0/r", f"{SKY}/0/g"]


def test_a_size_of_a_row_leaves_no_room_for_the_other_kind_of_the_job(sky: Any) -> None:
    rows = "ra,dec,width,height\n150,2,,\n150,2,6,\n150,2,6,4\n"
    ran = sky.run([("radius", "0.001"), ("filter", "r")], table(sky, rows))
    assert [row["stencil"] for row in ran.rows] == [
        "CIRCLE 150.0 2.0 0.001", None, f"BOX 150.0 2.0 {6 / 3600!r} {4 / 3600!r} deg"
    ]  # fmt: skip
    rows = "ra,dec,radius\n150,2,\n150,2,0.001\n"
    ran = sky.run([*PIXELS, ("filter", "r")], table(sky, rows))
    assert [row["stencil"] for row in ran.rows] == ["BOX 150.0 2.0 5.0 3.0 pixel", "CIRCLE 150.0 2.0 0.001"]


def test_columns_are_known_by_name_in_any_case_else_by_their_ucd(sky: Any) -> None:
    values = make_table({"RAdeg": [150.0], "DEdeg": [2.0], "FILTER": ["r"], "RADIUS": [0.001]})
    values["RAdeg"].meta["ucd"], values["DEdeg"].meta["ucd"] = "POS.EQ.RA;meta.main", "pos.eq.dec; meta.main"
    values["RAdeg"].unit = values["DEdeg"].unit = "deg"
    path = sky.folder / "table.vot"
    values.write(path, format="votable")
    (row,) = sky.run([], path).rows
    assert (row["image"], row["stencil"]) == (f"{SKY}/0/r", "CIRCLE 150.0 2.0 0.001")
    values.rename_column("RADIUS", "ra")  # a name counts for more
    values["ra"] = [150.009]
    values.write(path, format="votable", overwrite=True)
    assert sky.run([("radius", "0.001")], path).rows[0]["ra"] == 150.009


def test_units_of_columns_are_heeded(sky: Any) -> None:
    values = make_table({"ra": [150.0], "dec": [2.0], "width": [0.1], "height": [0.05]})
    values["width"].unit = values["height"].unit = "arcmin"
    path = sky.folder / "table.vot"
    values.write(path, format="votable")
    given = [("filter", "r")]
    assert sky.run(given, path).rows[0]["stencil"] == f"BOX 150.0 2.0 {0.1 / 60!r} {0.05 / 60!r} deg"
    with pytest.raises(UsageFault, match="the columns width and height are in arcmin"):
        sky.make([*given, ("unit", "deg")], path)
    path.write_text(
        """<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE>
        <COOSYS ID="old" system="eq_FK5" equinox="J1975.0"/><TABLE>
        <FIELD name="ra" datatype="double" ref="old"/><FIELD name="dec" datatype="double" ref="old"/>
        <DATA><TABLEDATA><TR><TD>150</TD><TD>2</TD></TR></TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>"""
    )
    with pytest.raises(UsageFault, match=r"the column ra is of eq_FK5 J1975.0: ra must be ICRS"):
        sky.make(given, path)
    path.write_text(path.read_text().replace("J1975.0", "J2000.0"))
    assert sky.run(given, path).rows[0]["image"] == f"{SKY}/0/r"
    values["ra"].unit = "rad"
    values.write(path, format="votable", overwrite=True)
    with pytest.raises(UsageFault, match="the column ra is in rad: ra must be in deg"):
        sky.make(given, path)


@pytest.mark.parametrize(
    ("text", "pairs", "message"),
    [
        ("x,y\n1,2\n", [], r"needs the columns ra and dec \(ICRS degrees\), or id \(publisher DIDs\); it has x, y"),
        ("ra,x\n1,2\n", [], "the table names no images"),
        ("x\n1\n", [("ra", "1"), ("dec", "2")], "the table names no images"),
        ("ra,dec,RA\n1,2,3\n", [], "columns ra and RA are both ra"),
        ("ra,dec\n", [], "the table has no rows"),
        ("ra,dec\n1,2\n", [("raduis", "0.1")], "raduis is no parameter, .* did you mean radius"),
        ("ra,dec\n1,2\n", [("radius", "big")], "radius='big'"),
    ],
)
def test_a_table_of_which_nothing_could_be_answered_is_refused_at_once(
    sky: Any, text: str, pairs: list[tuple[str, str]], message: str
) -> None:
    with pytest.raises(UsageFault, match=message):
        sky.make(pairs, table(sky, text))


def test_a_table_without_ds_is_refused_where_there_are_several_datasets(jobs: Any) -> None:
    path = table(jobs, "ra,dec\n37.64516,0.10322\n")
    with pytest.raises(UsageFault, match="ds is missing: it names the dataset of DC_W13_Stripe82, one of raw, calexp"):
        jobs.make([("radius", "0.0005")], path)
    with pytest.raises(MultiValuedParamNotSupported, match="ds takes one value"):
        jobs.make([("ds", "raw"), ("ds", "calexp")], path)
    ran = jobs.run([("radius", "0.0005"), ("ds", "raw")], path)
    assert ran.rows[0]["error"] == "UsageError: filter is missing: raw has images of several at one place"
    assert jobs.run([("radius", "0.0005"), ("collection", "SKY")], path).rows[0]["status"] == "NOT_FOUND"


def test_wavelengths_and_times_multiply_rows(sky: Any) -> None:
    bands = [("BAND", "1e-7 1e-5"), ("BAND", "1 2")]
    times = [("TIME", "-Inf +Inf"), ("TIME", "1 2"), ("TIME", "3 4")]
    ran = sky.run([("filter", "r"), *PIXELS, *bands, *times], table(sky, "ra,dec\n150,2\nx,2\n"))
    assert [row["row"] for row in ran.rows] == [1] * 6 + [2] * 6
    assert [row["band"] for row in ran.rows] == (["1e-07 1e-05"] * 3 + ["1.0 2.0"] * 3) * 2
    assert [row["time"] for row in ran.rows] == ["-Inf +Inf", "1.0 2.0", "3.0 4.0"] * 4
    assert [row["status"] for row in ran.rows] == ["OK"] * 3 + ["NO_OVERLAP"] * 3 + ["ERROR"] * 6


def test_each_image_is_opened_once_and_read_in_a_row(sky: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    lines = "\n".join(f"{SKY}/{rng.integers(9)}/r" for _ in range(300))
    cut: list[int] = []
    cutout = Repository.cutout

    def noted(self: Repository, selection: Any, request: Any) -> Any:
        cut.append(selection.record.science_id)
        return cutout(self, selection, request)

    monkeypatch.setattr(Repository, "cutout", noted)
    monkeypatch.setattr("imageserv.core.batch.plan._MOST_PER_STEP", 17)
    opened: list[object] = []
    get = OpenImages.get

    def counted(self: OpenImages, key: object, state: object, make: Any) -> Any:
        def noticed() -> Any:
            opened.append(key)
            return make()

        return get(self, key, state, noticed)

    monkeypatch.setattr(OpenImages, "get", counted)
    ran = sky.run([("ra", "150.008"), ("dec", "2.005"), *PIXELS], table(sky, f"id\n{lines}\n"))
    assert len(ran.rows) == len(cut) == 300
    assert len(opened) == len([image for image, _ in groupby(cut)]) == 9


def test_too_many_rows_and_bytes_of_a_table_are_refused(sky: Any) -> None:
    path = table(sky, "ra,dec\n" + "150,2\n" * 5)
    size = path.stat().st_size
    sky.make(PIXELS, path, BatchLimits(max_rows=5, max_upload_bytes=size))
    with pytest.raises(LimitFault, match="the table has more than 4 rows: send it in parts"):
        sky.make(PIXELS, path, BatchLimits(max_rows=4))
    with pytest.raises(LimitFault, match=f"the table has {size} bytes; at most {size - 1} are read"):
        sky.make(PIXELS, path, BatchLimits(max_upload_bytes=size - 1))
    with pytest.raises(LimitFault, match="the job has 10 results"):
        sky.make([*PIXELS, ("BAND", "1 2"), ("BAND", "2 3")], path, BatchLimits(max_rows=9))
    with pytest.raises(LimitFault, match=r"at most 4 are given: .*package=tar"):
        sky.make([*PIXELS, ("package", "files")], path, BatchLimits(max_results=4))


def test_a_registry_that_cannot_be_read_is_no_fault_of_a_row(sky: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object) -> Any:
        raise UnavailableFault("the registry is gone")

    batch, _ = sky.make([("filter", "r"), *PIXELS], table(sky, "ra,dec\n150,2\n"))
    with monkeypatch.context() as patch:
        patch.setattr(SqliteRegistry, "containing", gone)
        with pytest.raises(UnavailableFault, match="the registry is gone"):
            batch.run(0, lambda: False)
    assert [batch.run(step, lambda: False).results for step in range(batch.steps)] == [0, 1]


def test_thousands_of_rows_take_the_memory_of_few(sky: Any) -> None:
    import tracemalloc

    def peak(count: int) -> int:
        path = table(sky, "ra,dec\n" + "150.001,2.001\n" * count)
        batch, _ = sky.make([("filter", "r"), *PIXELS], path)
        for step in range(2):
            batch.run(step, lambda: False)  # imports, caches
        tracemalloc.start()
        for step in range(2, batch.steps):
            batch.run(step, lambda: False)
        batch.finish()
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    few, many = peak(2_000), peak(4_000)  # fewer are done in the two steps that warm the caches up
    assert many - few < 2_000 * 100  # what is kept of a row, in steps and places, is far less than its cutout


def test_a_column_may_have_a_name_of_soda_s_for_a_dataset_whose_images_are_told_apart_so() -> None:
    question = read_question(
        [("UPLOAD", "a,param:b"), ("band", "1 2"), ("Epoch", "3")],
        (Parameter("band", str, "Colour."), Parameter("epoch", str, "When.")),
    )
    assert (question.bands, question.given["epoch"]) == (((1.0, 2.0),), "3")
    assert {"band", "epoch", "ra"} <= question.columns.keys() and "filter" not in question.columns


# --- names

TEXTS = st.text(st.characters(), max_size=200)


@settings(deadline=None)
@given(st.lists(st.tuples(st.none() | TEXTS, st.none() | TEXTS), min_size=1, max_size=30))
def test_names_of_results_are_unique_and_plain_whatever_clients_call_things(
    given: list[tuple[str | None, str | None]],
) -> None:
    names = [
        result_name(number, len(given), Target(number - 1, identifier, name=name), None, None, ending)
        for number, (identifier, name) in enumerate(given, 1)
        for ending in (".fits", ".txt")
    ]
    assert len(set(names)) == len(names)
    for name in names:
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*\.(fits|txt)", name) and len(f"cutouts/{name}") <= 100
