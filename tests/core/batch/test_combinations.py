"""Images and stencils that parameters name: one result for each combination, right or refused by itself."""

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from imageserv.core import manager
from imageserv.core.batch import BatchLimits
from imageserv.core.config import load
from imageserv.core.dali.literals import integer
from imageserv.core.dali.parameters import Parameter
from imageserv.core.dataset import Dataset
from imageserv.core.errors import (
    AuthorizationFault,
    LimitFault,
    MultiValuedParamNotSupported,
    UsageFault,
)
from imageserv.core.fits.engine import Cutout, CutoutRequest, cut
from imageserv.core.fits.opened import OpenImage
from imageserv.core.hookspecs import hookimpl
from imageserv.core.repository import Repository
from imageserv.core.service import Service, open_service

read_fits: Any = fits.open
wcs_of: Any = WCS

SDSS = "ivo://example.org/DC_W13_Stripe82"
G, R = f"{SDSS}?raw/5646/4/694/g", f"{SDSS}?raw/5646/4/694/r"
CALEXP = f"{SDSS}?calexp/5646/4/694/g"
NOWHERE = f"{SDSS}?raw/1/1/1/g"
RA, DEC = 37.64516, 0.10322
FILES = {G: "runs/fpC-005646-g4-0694.fit", R: "runs/fpC-005646-r4-0694.fit"}


def parent(archive: Path, identifier: str) -> Any:
    with read_fits(archive.parent / "stripe82" / FILES[identifier]) as hdus:
        return hdus[0].data.copy()


def within(section: str) -> tuple[slice, slice]:
    """Read a FITS section as numpy's slices."""
    x, y = (tuple(map(int, part.split(":"))) for part in section.strip("[]").split(","))
    return slice(y[0] - 1, y[1]), slice(x[0] - 1, x[1])


def test_each_combination_is_one_result_in_the_order_sent(jobs: Any, archive: Path) -> None:
    stencils = [("PIXELS", "[1:4,2:7]"), ("CIRCLE", f"{RA} {DEC} 0.0005"), ("POS", f"CIRCLE {RA} {DEC} 0.001")]
    pairs = [("ID", G), *stencils[:2], ("id", R), ("BAND", "1e-7 1e-5"), stencils[2], ("BAND", "1e-9 1e-3")]
    ran = jobs.run([*pairs, ("TIME", "-Inf 99999"), ("RUNID", "me")])
    wanted = [(image, band) for image in (G, R) for _ in stencils for band in ("1e-07 1e-05", "1e-09 0.001")]
    assert [(row["id"], row["band"]) for row in ran.rows] == wanted
    assert [row["stencil"] for row in ran.rows[::2]] == [
        "PIXELS [1:4,2:7]", f"CIRCLE {RA} {DEC} 0.0005", f"CIRCLE {RA} {DEC} 0.001"
    ] * 2  # fmt: skip
    assert {row["time"] for row in ran.rows} == {"-Inf 99999.0"}
    assert [row["result"] for row in ran.rows] == list(range(1, 13))
    for row, (image, _) in zip(ran.rows, wanted, strict=True):
        assert row["image"] == image and row["status"] == "OK" and row["coverage"] == 1.0
        assert np.array_equal(ran.pixels(row["result"]), parent(archive, image)[within(row["box"])])
    assert ran.rows[0]["box"] == "[1:4,2:7]"
    # A circle has the pixels that astropy's WCS puts within it, and not many more.
    with read_fits(archive.parent / "stripe82" / FILES[G]) as hdus:
        x, y = wcs_of(hdus[0].header).world_to_pixel_values(RA, DEC)
    rows, columns = within(ran.rows[2]["box"])
    reach = 0.0005 / 1.1e-4
    for centre, span in ((float(x), columns), (float(y), rows)):
        assert abs(span.start - 0.5 - (centre - reach)) <= 1 and abs(span.stop - 0.5 - (centre + reach)) <= 1


def test_names_are_readable_and_leave_urls_alone(jobs: Any) -> None:
    ran = jobs.run([("ID", CALEXP), ("ID", NOWHERE), ("PIXELS", "[1:4,2:7]"), ("CIRCLE", f"{RA} -{DEC} 0.0005")])
    assert [row["file"] for row in ran.rows] == [
        "1_calexp-5646-4-694-g_pixels-1.4-2.7.fits",
        "2_calexp-5646-4-694-g_37.64516-0.10322_circle1.8arcsec.txt",
        "3_raw_1_1_1_g_pixels-1.4-2.7.txt",
        "4_raw_1_1_1_g_37.64516-0.10322_circle1.8arcsec.txt",
    ]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+\.(fits|txt)", name) for name in ran.files)


def test_what_has_no_pixels_is_a_text_that_says_so_beside_its_neighbours(jobs: Any) -> None:
    ran = jobs.run([("ID", NOWHERE), ("ID", G), ("CIRCLE", "200 0 0.1"), ("CIRCLE", f"{RA} {DEC} 0.0005")])
    assert [row["status"] for row in ran.rows] == ["NOT_FOUND", "NOT_FOUND", "NO_OVERLAP", "OK"]
    assert ran.text(1).startswith("UsageError: there is no image") and NOWHERE in ran.text(1)
    assert ran.text(3) == "UsageError: the image of 60 x 50 pixels has no pixel there\n"
    assert ran.text(3) == f"{ran.rows[2]['error']}\n"
    assert ran.rows[2]["image"] == G and ran.rows[2]["box"] is None
    assert ran.pixels(4).size


def test_a_part_beyond_the_edge_is_told(jobs: Any) -> None:
    ran = jobs.run([("ID", G), ("PIXELS", "[-1:2,1:10]")])
    (row,) = ran.rows
    assert (row["status"], row["requested"], row["box"], row["coverage"]) == (
        "CLIPPED", "[-1:2,1:10]", "[1:2,1:10]", 0.5
    )  # fmt: skip


def test_an_image_that_cannot_be_read_is_a_text(own_archive: Path, jobs_of: Callable[[Service], Any]) -> None:
    jobs = jobs_of(open_service(load(own_archive, {})))
    (own_archive.parent / "stripe82" / FILES[G]).unlink()
    (own_archive.parent / "stripe82" / FILES[R]).write_bytes(b"rubbish")
    other = f"{SDSS}?raw/5646/4/695/r"
    ran = jobs.run([("ID", G), ("ID", R), ("ID", other), ("PIXELS", "[1:4,2:7]")])
    assert [row["status"] for row in ran.rows] == ["ERROR", "ERROR", "OK"]
    assert ran.text(1).startswith("ServiceUnavailable: the image's file") and "cannot be read" in ran.text(1)
    assert ran.text(2).startswith("ServiceUnavailable: ")
    whole = jobs.run([("ID", G), ("ID", other)])
    assert whole.text(1).startswith("ServiceUnavailable: ")
    assert (
        whole.files[whole.rows[1]["file"]]
        == (own_archive.parent / "stripe82" / "runs" / "fpC-005646-r4-0695.fit").read_bytes()
    )


def test_without_a_stencil_the_whole_file_is_given_unpacked(jobs: Any, archive: Path) -> None:
    packed = f"{SDSS}?raw/7000/1/2/u"
    ran = jobs.run([("ID", G), ("ID", packed)])
    assert ran.files["1_raw-5646-4-694-g.fits"] == (archive.parent / "stripe82" / FILES[G]).read_bytes()
    assert ran.rows[0]["box"] == "[1:60,1:50]"
    with read_fits(io.BytesIO(ran.files["2_raw-7000-1-2-u.fits"])) as hdus:
        assert hdus[0].data.shape == (50, 60)


def test_headers_alone_are_texts_without_a_fault(jobs: Any) -> None:
    ran = jobs.run([("ID", G), ("PIXELS", "[1:4,2:7]"), ("METADATA", "header")])
    assert re.search(r"^NAXIS1  = +4", ran.text(1), re.MULTILINE)
    assert ran.rows[0]["error"] is None and ran.rows[0]["file"].endswith(".txt") and ran.done[-1].failed == 0
    whole = jobs.run([("ID", G), ("METADATA", "header")])
    assert re.search(r"^NAXIS1  = +60", whole.text(1), re.MULTILINE)


def test_detail_and_format_hold_for_all(jobs: Any) -> None:
    ran = jobs.run([("ID", CALEXP), ("PIXELS", "[1:4,2:7]"), ("DETAIL", "image"), ("RESPONSEFORMAT", "image/fits")])
    with read_fits(io.BytesIO(ran.files[ran.rows[0]["file"]])) as hdus:
        assert [hdu.header.get("EXTTYPE") for hdu in hdus] == [None, "IMAGE"]
    assert ran.rows[0]["media_type"] == "image/fits"


def test_states_of_polarization_are_one_filter(
    root: Path, sketches: Callable[..., Service], write_image: Callable[..., Path], jobs_of: Callable[[Service], Any]
) -> None:
    path = write_image("cube.fits")
    with read_fits(path) as hdus:
        header, plane = hdus[0].header, hdus[0].data
        cube = fits.PrimaryHDU(np.stack([plane + 10_000 * state for state in range(4)]), header)
    cube.header.update(CTYPE3="STOKES", CRVAL3=1.0, CRPIX3=1.0, CDELT3=1.0)
    cube.writeto(path, overwrite=True)
    jobs = jobs_of(sketches({"image": "image"}))
    ran = jobs.run([("ID", "ivo://example.org/SKY?image/cube.fits"), ("POL", "U"), ("POL", "Q")])
    assert len(ran.rows) == 1 and ran.rows[0]["status"] == "OK"
    assert np.array_equal(ran.pixels(1), np.stack([plane + 10_000, plane + 20_000]))


def test_tile_compressed_cutouts_are_named_as_such_and_others_are_not(
    root: Path, sketches: Callable[..., Service], write_image: Callable[..., Path], jobs_of: Callable[[Service], Any]
) -> None:
    path = write_image("plain.fits")
    with read_fits(path) as hdus:
        compressed: Any = fits.CompImageHDU(hdus[0].data, hdus[0].header, tile_shape=(10, 10))
        compressed.writeto(root / "tiled.fits")
    jobs = jobs_of(sketches({"image": "image"}))
    ids = [("ID", f"ivo://example.org/SKY?image/{name}.fits") for name in ("tiled", "plain")]
    ran = jobs.run([*ids, ("PIXELS", "[3:8,3:8]"), ("RESPONSEFORMAT", "fits.fz")])
    assert [(row["file"], row["media_type"]) for row in ran.rows] == [
        ("1_image-tiled.fits_pixels-3.8-3.8.fits.fz", "application/fits;compression=tile"),
        ("2_image-plain.fits_pixels-3.8-3.8.fits", "application/fits"),
    ]
    assert np.array_equal(ran.pixels(1, 1)[2:8, 2:8], ran.pixels(2))
    whole = jobs.run([*ids, ("RESPONSEFORMAT", "fits.fz")])
    assert {row["media_type"] for row in whole.rows} == {"application/fits"}


def test_a_tar_has_the_same_files(jobs: Any) -> None:
    pairs = [("ID", NOWHERE), ("ID", G), ("CIRCLE", f"{RA} {DEC} 0.0005"), ("PIXELS", "[1:4,2:7]")]
    assert jobs.run(pairs).files == jobs.run([*pairs, ("package", "tar")]).files


@pytest.mark.parametrize(
    ("pairs", "kind", "message"),
    [
        ([], UsageFault, "ID is missing"),
        ([("ID", "")], UsageFault, "ID is missing"),
        ([("ID", G), ("CIRCLE", "1 2")], UsageFault, "CIRCLE='1 2': CIRCLE must be"),
        ([("ID", G), ("CIRCLE", f"{RA} {DEC} 0.1"), ("BAND", "1")], UsageFault, "BAND"),
        ([("ID", G), ("DETAIL", "all"), ("DETAIL", "all")], MultiValuedParamNotSupported, "DETAIL takes one value"),
        ([("ID", G), ("package", "zip")], UsageFault, "package must be one of files, tar"),
        ([("ID", G), ("CIRCEL", f"{RA} {DEC} 0.1")], UsageFault, "did you mean CIRCLE?"),
        ([("UPLOAD", "sources,https://example.org/x")], UsageFault, "nothing is fetched from elsewhere"),
        ([("UPLOAD", "sources,param:part")], UsageFault, "the request has no such part"),
        ([("UPLOAD", "9,param:part")], UsageFault, "must be the table's name"),
        ([("UPLOAD", "a,param:b"), ("UPLOAD", "a,param:b")], MultiValuedParamNotSupported, "UPLOAD takes one value"),
        ([("UPLOAD", "a,param:b"), ("POS", "CIRCLE 1 2 3")], UsageFault, "POS and UPLOAD both"),
    ],
)
def test_what_cannot_be_done_is_refused_at_once(
    jobs: Any, pairs: list[tuple[str, str]], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind) as caught:
        jobs.make(pairs)
    assert message in str(caught.value)


def test_too_many_results_are_refused_and_a_tar_has_room_for_more(jobs: Any) -> None:
    pairs = [("ID", G), ("ID", R), ("PIXELS", "[1:2,1:2]"), ("PIXELS", "[3:4,3:4]")]
    limits = BatchLimits(max_results=3, max_rows=4)
    with pytest.raises(LimitFault, match=r"the job has 4 results .*; at most 3 are given: .*package=tar"):
        jobs.make(pairs, limits=limits)
    assert len(jobs.run([*pairs, ("package", "tar")], limits=limits).rows) == 4
    with pytest.raises(LimitFault, match="at most 4"):
        jobs.make([*pairs, ("ID", NOWHERE), ("package", "tar")], limits=limits)


@pytest.mark.parametrize("package", ["files", "tar"])
def test_too_many_bytes_end_the_job(jobs: Any, package: str) -> None:
    pairs = [("ID", G), ("PIXELS", "[1:2,1:2]"), ("PIXELS", "[3:4,3:4]"), ("package", package)]
    size = sum(row["size"] for row in jobs.run(pairs).rows)
    assert jobs.run(pairs, limits=BatchLimits(max_bytes=size)).rows
    batch, _ = jobs.make(pairs, limits=BatchLimits(max_bytes=size - 1))
    with pytest.raises(LimitFault, match=f"the results take more than {size - 1} bytes"):
        for step in range(batch.steps):
            batch.run(step, lambda: False)


def test_who_may_not_have_a_dataset_is_told_so_and_has_the_others(jobs: Any) -> None:
    asked: list[tuple[str, str]] = []

    def admits(repository: Repository, dataset: str) -> None:
        asked.append((repository.name, dataset))
        if dataset == "calexp":
            raise AuthorizationFault("calexp is not for you")

    ran = jobs.run([("ID", CALEXP), ("ID", G), ("ID", CALEXP), ("PIXELS", "[1:4,2:7]")], admits=admits)
    assert [row["status"] for row in ran.rows] == ["ERROR", "OK", "ERROR"]
    assert ran.text(1) == ran.text(3) == "AuthorizationError: calexp is not for you\n"
    assert set(asked) == {("DC_W13_Stripe82", "calexp"), ("DC_W13_Stripe82", "raw")}


# --- parameters that datasets add


@pytest.fixture
def tuned(install: Callable[..., None]) -> list[CutoutRequest]:
    """Install a dataset with a parameter of its own, which fails at level 13; give the requests that it saw."""
    (point,) = manager.__dict__["entry_points"](group="imageserv.dataset", name="sketch")
    sketch: Any = point.load()
    seen: list[CutoutRequest] = []

    class Tuned(sketch):  # type: ignore[misc]
        @hookimpl
        def imageserv_dataset(self) -> Dataset:
            plain: Dataset = sketch.imageserv_dataset(self)
            level = Parameter("level", integer, "How much.")
            return Dataset(plain.description, plain.keys, band_key="filter", bands=plain.bands, parameters=(level,))

        @hookimpl
        def imageserv_cutout(self, image: OpenImage, request: CutoutRequest) -> Cutout:
            seen.append(request)
            if request.parameters.get("level") == 13 or image.record.data_id["number"] == 13:
                raise ZeroDivisionError("secret")
            return cut(image, request)

    install("tuned", Tuned)
    return seen


def test_a_dataset_has_its_own_parameters(
    tuned: list[CutoutRequest],
    sketches: Callable[..., Service],
    write_image: Callable[..., Path],
    jobs_of: Callable[[Service], Any],
) -> None:
    write_image("sketch-1-r.fits")
    jobs = jobs_of(sketches({"tuned": "tuned"}))
    pairs = [("ID", "ivo://example.org/SKY?tuned/1/r"), ("PIXELS", "[1:4,2:7]")]
    assert jobs.run([*pairs, ("Level", "7")]).rows[0]["status"] == "OK"
    assert [dict(request.parameters) for request in tuned] == [{"level": 7}]
    batch, _ = jobs.make([*pairs, ("level", "high")])
    with pytest.raises(UsageFault, match="level='high'"):
        batch.run(0, lambda: False)


def test_a_plugin_that_fails_spoils_nothing_but_its_own_and_tells_no_secrets(
    tuned: list[CutoutRequest],
    sketches: Callable[..., Service],
    write_image: Callable[..., Path],
    jobs_of: Callable[[Service], Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    write_image("sketch-1-r.fits")
    write_image("sketch-13-r.fits")
    jobs = jobs_of(sketches({"tuned": "tuned"}))
    ids = [("ID", f"ivo://example.org/SKY?tuned/{number}/r") for number in (13, 1)]
    ran = jobs.run([*ids, ("PIXELS", "[1:4,2:7]")])
    assert [row["status"] for row in ran.rows] == ["ERROR", "OK"]
    assert ran.text(1) == "Error: this image cannot be served; the service's log says why\n"
    assert "secret" in caplog.text and "tuned/13/r" in caplog.text
