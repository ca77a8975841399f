"""A repository, from a question to an image: which one, from which file, and what if the file is another one by now."""

import gc
import gzip
import io
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS

from imageserv.core.answer import CutoutAnswer
from imageserv.core.config import Config, DatasetConfig, RepositoryConfig
from imageserv.core.dataset import DataId
from imageserv.core.errors import ConfigurationFault, NoOverlapFault, NotFoundFault, UnavailableFault, UsageFault
from imageserv.core.fits.opened import OpenImage
from imageserv.core.hookspecs import hookimpl
from imageserv.core.identifiers import split_did
from imageserv.core.record import Found, Plane
from imageserv.core.repository import Repository
from imageserv.core.request import CutoutRequest
from imageserv.core.search import Search
from imageserv.core.selection import ByDataId, ByPosition, ByScienceId, Selection, Selector
from imageserv.core.service import open_service
from imageserv.core.sky.stencil import Box, Circle, Section, Shape

OpenRepository = Callable[..., Repository]
WriteImage = Callable[..., Path]
ARCSEC = 1 / 3600

# astropy's annotations tell little of what these give.
coordinates: Any = SkyCoord
read_fits: Any = fits.open
wcs_of: Any = WCS


def ignore(done: int, total: int, path: str) -> None:
    """Take no notice of progress."""


def descriptors() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


def select(repository: Repository, selector: Selector, dataset: str = "sketch") -> Selection:
    return repository.select(repository.dataset(dataset), selector)


def number(repository: Repository, number: int, band: str = "r") -> Selection:
    return select(repository, ByDataId({"number": number, "filter": band}))


def cut(
    repository: Repository, selection: Selection, ra: float = 150, dec: float = 2.0, size: float = 5
) -> CutoutAnswer:
    return repository.cutout(selection, CutoutRequest(Box(ra, dec, size, size, "pixel")))


def pixels(answer: CutoutAnswer) -> list[list[int]]:
    with read_fits(io.BytesIO(answer.content)) as hdus:
        values: list[list[int]] = hdus[0].data.tolist()
    return values


# --- which image


def test_of_the_images_that_contain_a_place_the_nearest_centre_wins(
    open_repository: OpenRepository, write_image: WriteImage
) -> None:
    # 100 pixels of 1 arcsec, 30 arcsec apart in declination
    for key, dec in enumerate([2.0, 2.0 + 30 * ARCSEC, 2.0 + 60 * ARCSEC]):
        write_image(f"sketch-{key}-r.fits", dec=dec, shape=(100, 100))
    write_image("sketch-9-g.fits", dec=2.0 + 10 * ARCSEC, shape=(100, 100))
    repository = open_repository()
    repository.ingest(None, ignore)

    def found(offset: float, band: str | None = "r") -> tuple[int, int]:
        selection = select(repository, ByPosition(150.0, 2.0 + offset * ARCSEC, band))
        return int(selection.record.data_id["number"]), selection.candidates

    assert found(-40) == (0, 1)
    assert found(-10) == (0, 2)  # 1 ends at -20
    assert found(14) == (0, 3)
    assert found(16) == (1, 3)
    assert found(46) == (2, 3)
    assert found(100) == (2, 1)
    assert found(9, None) == (9, 3)  # 2 begins at 10


def test_the_nearest_centre_is_meant_on_the_sphere(open_repository: OpenRepository, write_image: WriteImage) -> None:
    # At a declination of 80 deg, 100 arcsec of right ascension are 17 on the sky.
    write_image("sketch-1-r.fits", ra=150.0 + 100 * ARCSEC, dec=80.0, shape=(200, 200))
    write_image("sketch-2-r.fits", ra=150.0, dec=80.0 + 30 * ARCSEC, shape=(200, 200))
    repository = open_repository()
    repository.ingest(None, ignore)
    assert select(repository, ByPosition(150.0, 80.0, "r")).record.data_id["number"] == 1


def test_ties_go_to_the_lower_science_id(open_repository: OpenRepository, write_image: WriteImage) -> None:
    for key in (7, 3, 5):
        write_image(f"{9 - key}/sketch-{key}-r.fits")
    repository = open_repository()
    repository.ingest(None, ignore)
    selection = select(repository, ByPosition(150.0, 2.0, "r"))
    assert (selection.record.data_id["number"], selection.candidates) == (3, 3)


@pytest.mark.parametrize(
    ("center", "places"),
    [
        ((0.0, 10.0), [(0.0, 10.0), (360.0, 10.0), (0.004, 10.0), (359.996, 10.0)]),
        ((120.0, 90.0), [(0.0, 90.0), (300.0, 90.0), (10.0, 89.997), (190.0, 89.997)]),
        ((0.0, -90.0), [(77.0, -90.0), (10.0, -89.997)]),
    ],
)
def test_places_around_ra_0_and_the_poles_are_found(
    open_repository: OpenRepository,
    write_image: WriteImage,
    center: tuple[float, float],
    places: Sequence[tuple[float, float]],
) -> None:
    write_image("sketch-1-r.fits", *center)
    repository = open_repository()
    repository.ingest(None, ignore)
    for place in places:
        selection = select(repository, ByPosition(*place, "r"))
        assert selection.record.data_id["number"] == 1
        answer = cut(repository, selection, *place, size=1)
        with read_fits(io.BytesIO(answer.content)) as hdus:
            pixel = wcs_of(hdus[0].header).pixel_to_world(0, 0)
        assert pixel.separation(coordinates(*place, unit="deg")).arcsec < 0.71


def test_a_place_that_no_image_has_is_told_how_far_the_nearest_is(
    open_repository: OpenRepository, write_image: WriteImage
) -> None:
    write_image("sketch-1-r.fits", ra=359.5, dec=60.0)
    write_image("sketch-2-r.fits", ra=1.5, dec=60.0)
    write_image("sketch-3-g.fits", ra=0.2, dec=60.0)
    repository = open_repository()
    repository.ingest(None, ignore)
    with pytest.raises(NotFoundFault) as caught:
        select(repository, ByPosition(0.1, 60.0, "r"))
    distance = coordinates(0.1, 60.0, unit="deg").separation(coordinates(359.5, 60.0, unit="deg")).deg
    assert f"is {distance:.4g} deg away" in caught.value.message
    assert "ivo://example.org/SKY?sketch/1/r" in caught.value.message
    with pytest.raises(NotFoundFault, match="no sketch z image with a position"):
        select(repository, ByPosition(0.1, 60.0, "z"))


def test_an_image_is_found_by_its_ids(open_repository: OpenRepository, write_image: WriteImage) -> None:
    write_image("sketch-7-r.fits")
    repository = open_repository()
    repository.ingest(None, ignore)
    for selector in (ByDataId({"filter": "r", "number": 7}), ByScienceId(15)):
        selection = select(repository, selector)
        assert (selection.record.file.path, selection.candidates) == ("sketch-7-r.fits", 1)
        assert selection.publisher_did == "ivo://example.org/SKY?sketch/7/r"


@pytest.mark.parametrize(
    ("selector", "fault", "reason"),
    [
        (
            ByDataId({"number": 8, "filter": "r"}),
            NotFoundFault,
            "SKY has no sketch image with the data id number=8, filter=r",
        ),
        (ByScienceId(17), NotFoundFault, "SKY has no sketch image with the science id 17"),
        (ByScienceId(2**70), NotFoundFault, "science id 1180591620717411303424"),
        (ByScienceId(-1), UsageFault, "number=-1 is out of range"),
        (ByDataId({"number": 8}), UsageFault, "lacks filter"),
        (ByDataId({"number": 8, "filter": "z"}), UsageFault, "filter='z' is not one of g, r"),
    ],
)
def test_an_id_that_no_image_has(
    open_repository: OpenRepository, write_image: WriteImage, selector: Selector, fault: type[Exception], reason: str
) -> None:
    write_image("sketch-7-r.fits")
    repository = open_repository()
    repository.ingest(None, ignore)
    with pytest.raises(fault, match=reason):
        select(repository, selector)


def test_two_data_ids_of_one_hash_are_not_taken_for_each_other(
    open_repository: OpenRepository, write_image: WriteImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The plugin for any image hashes the file's path: here to one and the same number.
    @hookimpl
    def seven(self: object, data_id: DataId) -> int:
        return 7

    monkeypatch.setattr("imageserv.plugins.image.Image.imageserv_science_id", seven)
    write_image("a.fits")
    write_image("b.fits")
    repository = open_repository({"image": ("image", {})})
    (summary,) = repository.ingest(None, ignore)
    assert summary.skipped == [("b.fits", "file=b.fits: the image is in a.fits already")]
    assert select(repository, ByDataId({"file": "a.fits"}), "image").record.file.path == "a.fits"
    with pytest.raises(NotFoundFault, match=r"file=b\.fits"):
        select(repository, ByDataId({"file": "b.fits"}), "image")


def test_science_ids_are_decoded_by_arithmetic_or_else_by_the_registry(
    open_repository: OpenRepository, write_image: WriteImage
) -> None:
    write_image("night/a.fits")
    repository = open_repository({"sketch": ("sketch", {}), "image": ("image", {})})
    repository.ingest(None, ignore)
    assert repository.decode(repository.dataset("sketch"), 4711) == {"number": 2355, "filter": "r"}
    image = repository.dataset("image")
    data_id: DataId = {"file": "night/a.fits"}
    assert repository.decode(image, image.science_id(data_id)) == data_id
    with pytest.raises(NotFoundFault, match="image has no image with the science id 4711"):
        repository.decode(image, 4711)


def test_publisher_dids_are_identifiers(open_repository: OpenRepository, write_image: WriteImage) -> None:
    write_image("night 1/a#b?.fits")
    repository = open_repository({"image": ("image", {})})
    repository.ingest(None, ignore)
    selection = select(repository, ByPosition(150.0, 2.0, None), "image")
    assert selection.publisher_did == "ivo://example.org/SKY?image/night_1/a_b_.fits~pz65r7ae"


def test_an_image_is_found_by_its_publisher_did(open_repository: OpenRepository, write_image: WriteImage) -> None:
    for name in ("sketch-7-r.fits", "Night 1/a.fits", "night 1/a.fits", "Night_1/a.fits"):
        write_image(name)
    repository = open_repository({"sketch": ("sketch", {}), "Image": ("image", {})})
    repository.ingest(None, ignore)
    records = [record for name in repository.datasets for record in repository.registry.images(name)]
    assert len({repository.publisher_did(record).lower() for record in records}) == len(records) == 5
    for record in records:
        did = repository.publisher_did(record)
        for text in (did, did.lower(), did.upper()):
            parts = split_did(text)
            assert parts is not None and (parts[0], parts[1].upper()) == ("example.org", "SKY")
            found = repository.by_did(parts[2])
            assert found is not None and (found.dataset, found.file) == (record.dataset, record.file)
    for local in ("sketch/8/r", "sketch", "other/7/r", "", "sketch/7/r/", "Image/a.fits"):
        assert repository.by_did(local) is None


def test_a_dataset_that_is_no_longer_configured_is_not_found(
    open_repository: OpenRepository, write_image: WriteImage
) -> None:
    write_image("sketch-7-r.fits")
    repository = open_repository({"drawing": ("sketch", {})})
    repository.ingest(None, ignore)
    assert repository.by_did("drawing/7/r") is not None
    assert open_repository({"sketch": ("sketch", {})}).by_did("drawing/7/r") is None


def test_a_dataset_is_known_in_any_case(open_repository: OpenRepository) -> None:
    repository = open_repository({"deepCoadd": ("sketch", {})})
    assert repository.dataset("deepcoadd").name == repository.dataset("DEEPCOADD").name == "deepCoadd"
    with pytest.raises(NotFoundFault, match="SKY has no dataset 'raw'; it has deepCoadd") as caught:
        repository.dataset("raw")
    assert caught.value.parameter == "ds"


def all_sky() -> Mapping[str, object]:
    """Give the cards of a map of the whole sky, 3.6 deg a pixel, whose corners are off it."""
    return {
        "CTYPE1": "RA---AIT", "CTYPE2": "DEC--AIT", "CRVAL1": 0.0, "CRVAL2": 0.0, "CDELT1": -3.6, "CDELT2": 3.6,
    }  # fmt: skip


def test_where_a_footprint_is_only_a_cover_the_wcs_decides(
    open_repository: OpenRepository, write_image: WriteImage
) -> None:
    write_image("sketch-1-r.fits", shape=(92, 46), **all_sky())
    write_image("sketch-2-r.fits", ra=200.0, dec=50.0)
    # The western half alone: its cap covers far more than it has pixels for.
    write_image("sketch-3-g.fits", shape=(46, 46), **{**all_sky(), "CRPIX1": 0.5})
    repository = open_repository()
    repository.ingest(None, ignore)
    for place in ((0.0, 0.0), (90.0, 80.0), (179.0, -20.0), (181.0, 20.0)):
        assert select(repository, ByPosition(*place, "r")).record.data_id["number"] == 1
    selection = select(repository, ByPosition(200.0, 50.0, "r"))
    assert (selection.record.data_id["number"], selection.candidates) == (2, 2)
    assert select(repository, ByPosition(300.0, 10.0, "g")).record.data_id["number"] == 3
    with pytest.raises(NotFoundFault):
        select(repository, ByPosition(8.0, 10.0, "g"))


def test_a_search_meets_the_pixels_of_a_map_not_its_cover(
    open_repository: OpenRepository, write_image: WriteImage
) -> None:
    write_image("sketch-1-r.fits", shape=(92, 46), **all_sky())
    write_image("sketch-2-r.fits", ra=200.0, dec=50.0)
    path = write_image("sketch-3-g.fits", shape=(46, 46), **{**all_sky(), "CRPIX1": 0.5})  # its western half alone
    write_image("sketch-4-r.fits", CTYPE1="", CTYPE2="")
    repository = open_repository()
    repository.ingest(None, ignore)

    def found(*shapes: Shape, **more: Any) -> list[int]:
        records = repository.search(Search(shapes=shapes, **more), ["sketch"])
        return [int(record.data_id["number"]) for record in records]

    assert found() == [1, 2, 3, 4]
    assert found(Circle(200.0, 50.0, 0.1)) == [1, 2, 3]
    assert found(Circle(20.0, 10.0, 1.0)) == [1]
    assert found(Circle(20.0, 10.0, 1.0), Circle(300.0, 10.0, 1.0)) == [1, 3]
    assert found(Circle(20.0, 10.0, 1.0), bands=((4e-7, 4.5e-7),)) == []
    assert found(Circle(3.0, 10.0, 1.0)) == [1]
    path.unlink()  # what is known of it is still true, so it may be found where its cover is
    assert found(Circle(3.0, 10.0, 1.0)) == [1, 3]
    assert found(Circle(200.0, 50.0, 0.1), identifiers=("SKETCH/2/R",)) == [2]


def test_a_map_whose_file_is_gone_does_not_hide_other_images(
    open_repository: OpenRepository, write_image: WriteImage
) -> None:
    path = write_image("sketch-1-r.fits", shape=(92, 46), **all_sky())
    write_image("sketch-2-r.fits", ra=200.0, dec=50.0)
    repository = open_repository()
    repository.ingest(None, ignore)
    path.unlink()
    assert select(repository, ByPosition(200.0, 50.0, "r")).record.data_id["number"] == 2


# --- what is delivered


def test_a_tangent_plane_is_kept_in_the_registry(open_repository: OpenRepository, write_image: WriteImage) -> None:
    write_image("sketch-1-r.fits")
    write_image("sketch-2-r.fits", CTYPE1="RA---SIN", CTYPE2="DEC--SIN")
    repository = open_repository()
    repository.ingest(None, ignore)
    tangent, other = (repository.open(number(repository, which).record) for which in (1, 2))
    assert tangent.science.tangent_plane is not None and tangent.wcs.tangent_plane == tangent.science.tangent_plane
    assert other.science.tangent_plane is None and other.wcs.tangent_plane is None
    for image in (tangent, other):
        x, y = map(float, wcs_of(image.science.parsed()).world_to_pixel(coordinates(150.001, 2.001, unit="deg")))
        assert image.wcs.to_pixel(150.001, 2.001) == pytest.approx((x, y), abs=1e-6)


def test_a_cutout_and_its_report(open_repository: OpenRepository, write_image: WriteImage) -> None:
    write_image("sketch-1-r.fits")
    write_image("sketch-2-r.fits", dec=2.001)
    repository = open_repository()
    repository.ingest(None, ignore)
    selection = select(repository, ByPosition(150.0, 2.0, "r"))
    answer = repository.cutout(selection, CutoutRequest(Box(150.0, 2.0, 60, 4, "pixel")))
    report = answer.report
    # The middle of 40 x 30 pixels is at (19.5, 14.5).
    assert report.requested == Section(((-10, 50), (13, 17)))
    assert report.delivered == Section(((0, 40), (13, 17)))
    assert report.clipped and report.coverage == pytest.approx(160 / 240)
    with read_fits(io.BytesIO(answer.content)) as hdus:
        header = hdus[0].header
        assert hdus[0].data.tolist() == np.arange(1200).reshape(30, 40)[13:17].tolist()
    assert {key: header[key] for key in header if key.startswith("CUT")} == {
        "CUTID": "ivo://example.org/SKY?sketch/1/r",
        "CUTREQ": "[-9:50,14:17]",
        "CUTBOX": "[1:40,14:17]",
        "CUTCLIP": True,
        "CUTCOVER": 0.666667,
        "CUTCAND": 2,
    }
    whole = repository.cutout(selection, CutoutRequest(Box(150.0, 2.0, 6, 4, "pixel"))).report
    assert not whole.clipped and whole.coverage == 1


def test_headers_of_a_cutout_are_those_that_it_has(open_repository: OpenRepository, write_image: WriteImage) -> None:
    write_image("sketch-1-r.fits", OBJECT="it")
    repository = open_repository()
    repository.ingest(None, ignore)
    selection = select(repository, ByPosition(150.0, 2.0, "r"))
    request = CutoutRequest(Section(((5, 60), None)))
    text = repository.cutout_headers(selection, request)
    with read_fits(io.BytesIO(repository.cutout(selection, request).content)) as hdus:
        cards = [str(card).rstrip() for card in hdus[0].header.cards]
    assert text.splitlines() == [*cards, "END"]
    assert "CUTREQ  = '[6:60,*]'" in text and "CUTBOX  = '[6:40,*]'" in text
    with pytest.raises(NoOverlapFault):
        repository.cutout_headers(selection, CutoutRequest(Section(((40, 60),))))


def test_a_datasets_own_parameters_reach_its_plugin(
    open_repository: OpenRepository, write_image: WriteImage, install: Callable[..., None]
) -> None:
    seen: list[object] = []

    class Accounting:
        @hookimpl(wrapper=True)
        def imageserv_cutout(self, image: OpenImage, request: CutoutRequest) -> Any:
            seen.append(dict(request.parameters))
            return (yield)

    install("accounting", Accounting, "imageserv.extension")
    write_image("sketch-1-r.fits")
    repository = open_repository(extensions=("accounting",))
    repository.ingest(None, ignore)
    selection = select(repository, ByPosition(150.0, 2.0, "r"))
    repository.cutout(selection, CutoutRequest(None, parameters={"bin": 2}))
    repository.cutout(selection, CutoutRequest(None))
    assert seen == [{"bin": 2}, {}]


def test_a_stencil_elsewhere_does_not_overlap(open_repository: OpenRepository, write_image: WriteImage) -> None:
    write_image("sketch-1-r.fits")
    repository = open_repository()
    repository.ingest(None, ignore)
    with pytest.raises(NoOverlapFault):
        cut(repository, number(repository, 1), dec=2.1)


@pytest.mark.parametrize("name", ["sketch-1-r.fits", "sketch-1-r.fits.gz"])
def test_the_whole_image_is_the_stored_file_unpacked(
    open_repository: OpenRepository, write_image: WriteImage, name: str
) -> None:
    path = write_image(f"night/{name}")
    plain = gzip.decompress(path.read_bytes()) if name.endswith(".gz") else path.read_bytes()
    repository = open_repository()
    repository.ingest(None, ignore)
    whole = repository.whole(number(repository, 1))
    assert whole.path.read_bytes() == plain
    assert (whole.name, whole.size) == ("sketch-1-r.fits", len(plain))
    assert whole.mtime == pytest.approx(path.stat().st_mtime, abs=1e-3)


# --- files that are not what they were


@pytest.mark.parametrize("ending", ["fits", "fits.gz"])
@pytest.mark.parametrize("opened", [False, True])
def test_a_file_that_changed_is_cut_as_it_is_now(
    open_repository: OpenRepository, write_image: WriteImage, ending: str, opened: bool
) -> None:
    write_image(f"sketch-1-r.{ending}", HISTORY="short")
    repository = open_repository()
    repository.ingest(None, ignore)
    before = number(repository, 1)
    if opened:
        assert pixels(cut(repository, before, size=1)) == [[14 * 40 + 19]]
    # Another size, more header blocks, another reference pixel: the old layout would give other pixels.
    path = write_image(f"sketch-1-r.{ending}", shape=(60, 50), first=5000, COMMENT="x" * 6000)
    os.utime(path, ns=(0, 1_700_000_000_000_000_000))
    answer = cut(repository, before, size=1)
    assert pixels(answer) == [[5000 + 24 * 60 + 29]]
    # The registry knows only after the next ingest, but the whole file is the new one already.
    assert repository.whole(before).path.read_bytes()[:6] == b"SIMPLE"
    assert repository.whole(before).size > 6000 + 60 * 50 * 4
    repository.ingest(None, ignore)
    assert number(repository, 1).state.fingerprint != before.state.fingerprint
    assert pixels(cut(repository, number(repository, 1), size=1)) == [[5000 + 24 * 60 + 29]]


@pytest.mark.parametrize("opened", [False, True])
@pytest.mark.parametrize(
    ("ending", "damage", "reason"),
    [
        ("fits", "gone", "No such file"),
        ("fits", "cut short", "cut short"),
        ("fits", "empty", "empty file"),
        ("fits", "text", "not FITS"),
        ("fits", "folder", "not a plain file"),
        ("fits", "link", "link out of the repository's root"),
        ("fits", "dangling", "No such file"),
        ("fits.gz", "gone", "No such file"),
        ("fits.gz", "cut short", "damaged gzip"),
        ("fits.gz", "empty", "empty file"),
        ("fits.gz", "text", "not FITS"),
    ],
)
def test_a_file_that_went_bad_is_unavailable(
    open_repository: OpenRepository, write_image: WriteImage, ending: str, damage: str, reason: str, opened: bool
) -> None:
    path = write_image(f"sketch-1-r.{ending}")
    repository = open_repository()
    repository.ingest(None, ignore)
    selection = number(repository, 1)
    if opened:
        cut(repository, selection)
    content = path.read_bytes()
    path.unlink()
    if damage == "cut short":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "text":
        path.write_text("no image any more" * 300)
    elif damage == "folder":
        path.mkdir()
    elif damage == "link":
        path.with_name("out").mkdir()
        outside = path.parent.parent / "outside.fits"
        outside.write_bytes(content)
        path.symlink_to(outside)
    elif damage == "dangling":
        path.symlink_to("nowhere")
    with pytest.raises(UnavailableFault, match=reason) as caught:
        cut(repository, selection)
    assert path.name in caught.value.message
    if damage in ("gone", "folder", "link", "dangling") or (ending == "fits.gz" and damage == "cut short"):
        with pytest.raises(UnavailableFault):
            repository.whole(selection)


def test_a_file_that_holds_another_image_now_is_not_served_for_the_old_one(
    open_repository: OpenRepository, write_image: WriteImage
) -> None:
    def recognise(file: Any) -> Sequence[Found]:
        key = int(str(file.header(0).get("NUMBER", 1)))
        return [Found({"number": key, "filter": "r"}, (Plane("image", 0),))]

    write_image("a.fits")
    repository = open_repository({"sketch": ("sketch", {"recognise": recognise})})
    repository.ingest(None, ignore)
    selection = number(repository, 1)
    write_image("a.fits", NUMBER=2, COMMENT="x" * 3000)
    with pytest.raises(UnavailableFault, match="no longer holds this image"):
        cut(repository, selection)


def test_a_file_that_was_packed_since_is_served(open_repository: OpenRepository, write_image: WriteImage) -> None:
    path = write_image("sketch-1-r.fits")
    repository = open_repository()
    repository.ingest(None, ignore)
    selection = number(repository, 1)
    expected, content = pixels(cut(repository, selection)), path.read_bytes()
    path.write_bytes(gzip.compress(content))  # under its old name
    assert pixels(cut(repository, selection)) == expected
    assert repository.whole(selection).path.read_bytes() == content


# --- unpacked copies, and descriptors


def test_the_cache_stays_within_its_bounds_and_serves_all_the_same(
    open_repository: OpenRepository, write_image: WriteImage, root: Path
) -> None:
    for key in range(6):
        write_image(f"sketch-{key}-r.fits.gz", first=1000 * key)
    one = len(gzip.decompress((root / "sketch-0-r.fits.gz").read_bytes()))
    repository = open_repository(cache_bytes=2 * one)
    repository.ingest(None, ignore)
    cache = root.parent / "cache"
    for turn in range(2):
        for key in range(6):
            assert pixels(cut(repository, number(repository, key), size=1)) == [[1000 * key + 14 * 40 + 19]]
            for copy in cache.iterdir():
                os.utime(copy, (turn, 6 * turn + key))  # as if used long ago
            assert sum(copy.stat().st_size for copy in cache.iterdir()) <= 2 * one + one
    assert all(copy.suffix == ".fits" for copy in cache.iterdir())


def test_a_copy_that_someone_deleted_is_made_anew(
    open_repository: OpenRepository, write_image: WriteImage, root: Path
) -> None:
    write_image("sketch-1-r.fits.gz")
    repository = open_repository()
    repository.ingest(None, ignore)
    first = repository.whole(number(repository, 1))
    first.path.unlink()
    second = repository.whole(number(repository, 1))
    assert second.path.read_bytes()[:6] == b"SIMPLE"
    assert pixels(cut(repository, number(repository, 1), size=1)) == [[14 * 40 + 19]]


def test_descriptors_do_not_leak(open_repository: OpenRepository, write_image: WriteImage, root: Path) -> None:
    for key in range(4):
        write_image(f"sketch-{key}-r.fits{'.gz' * (key % 2)}")
    packed = fits.CompImageHDU(np.arange(1200, dtype="i4").reshape(30, 40), fits.getheader(root / "sketch-0-r.fits"))
    packed.writeto(root / "sketch-5-g.fits")
    write_image("sketch-6-r.fits")

    def recognise(file: Any) -> Any:
        key, hdu = int(file.path[7]), int(file.path[7] == "5")
        return [Found({"number": key, "filter": "g" if hdu else "r"}, (Plane("image", hdu),))]

    repository = open_repository({"sketch": ("sketch", {"recognise": recognise})})
    repository.ingest(None, ignore)
    (root / "sketch-6-r.fits").write_bytes(b"")
    before = descriptors()
    for _ in range(3):
        for key in (0, 1, 2, 3):
            cut(repository, number(repository, key))
            repository.whole(number(repository, key))
        cut(repository, number(repository, 5, "g"))
        with pytest.raises(UnavailableFault):
            cut(repository, number(repository, 6))
    assert descriptors() > before  # the images are kept open
    repository.close()
    assert descriptors() <= before


WHOLE = """
import hashlib, sys
from pathlib import Path
from imageserv.core.config import Config, DatasetConfig, RepositoryConfig
from imageserv.core.repository import Repository
from imageserv.core.request import CutoutRequest
from imageserv.core.selection import ByDataId
from imageserv.core.sky.stencil import Box

folder = Path(sys.argv[1])
datasets = {"image": DatasetConfig("image", "image", {})}
part = RepositoryConfig("SKY", folder / "root", folder / "registry.sqlite", True, datasets)
config = Config(cache=folder / "cache", repositories={"SKY": part})
repository = Repository(part, config)
print("ready", flush=True)
sys.stdin.readline()
for path in sys.argv[2:]:
    selection = repository.select(repository.dataset("image"), ByDataId({"file": path}))
    content = repository.cutout(selection, CutoutRequest(Box(150.0, 2.0, 100, 100, "pixel"))).content
    whole = repository.whole(selection).path.read_bytes()
    print(hashlib.sha256(content).hexdigest(), hashlib.sha256(whole).hexdigest())
"""


def test_two_processes_unpack_the_same_files_at_once(
    open_repository: OpenRepository, write_image: WriteImage, root: Path
) -> None:
    names = [f"{key}.fits.gz" for key in range(8)]
    for key, name in enumerate(names):
        write_image(name, shape=(300, 300), first=key)
    open_repository({"image": ("image", {})}).ingest(None, ignore)
    command = [sys.executable, "-c", WHOLE, str(root.parent), *names]
    workers = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for worker in workers:
        assert worker.stdout is not None and worker.stdout.readline() == "ready\n"
    outputs = [worker.communicate("go\n", timeout=60)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0]
    assert outputs[0] == outputs[1] and len(set(outputs[0].split())) == 16
    assert len(list((root.parent / "cache").iterdir())) == 8


# --- whether it is there, and whether it agrees with its files


def test_a_repository_that_can_be_read_is_available(
    open_repository: OpenRepository, write_image: WriteImage, root: Path
) -> None:
    repository = open_repository()
    repository.check()  # still empty
    path = write_image("sketch-1-r.fits")
    repository.ingest(None, ignore)
    repository.check()
    path.unlink()
    with pytest.raises(UnavailableFault, match=r"sketch-1-r\.fits"):
        repository.check()
    root.rename(root.with_name("unmounted"))
    with pytest.raises(UnavailableFault, match="SKY"):
        repository.check()


def test_an_audit_tells_what_ingest_would_do(
    open_repository: OpenRepository, write_image: WriteImage, root: Path
) -> None:
    for key in range(4):
        write_image(f"sketch-{key}-r.fits")
    repository = open_repository()
    repository.ingest(None, ignore)
    assert list(repository.audit()) == []
    (root / "sketch-0-r.fits").unlink()
    write_image("sketch-1-r.fits", shape=(90, 90))
    (root / "sketch-2-r.fits").unlink()
    (root / "sketch-2-r.fits").symlink_to("nowhere")
    write_image("sketch-9-r.fits")
    write_image("unrelated.fits")
    assert set(repository.audit()) == {
        ("sketch", "sketch-0-r.fits", "gone since it was ingested"),
        ("sketch", "sketch-1-r.fits", "changed since it was ingested"),
        ("sketch", "sketch-2-r.fits", "changed since it was ingested"),
        ("sketch", "sketch-9-r.fits", "not ingested yet"),
    }


def service_of(folder: Path, *names: str) -> Config:
    parts = {
        name: RepositoryConfig(
            name, folder, folder / f"{name}.sqlite", name == names[-1], {"image": DatasetConfig("image", "image", {})}
        )
        for name in names
    }
    return Config(cache=folder / "cache", repositories=parts)


def test_a_service_has_all_repositories(tmp_path: Path) -> None:
    config = service_of(tmp_path, "NORTH", "SOUTH")
    with pytest.raises(UnavailableFault, match="imageserv ingest"):
        open_service(config)
    for part in config.repositories.values():
        Repository(part, config, writable=True).close()
    service = open_service(config)
    assert service.default.name == "SOUTH" and service.repository("NORTH").name == "NORTH"
    with pytest.raises(NotFoundFault, match="no repository 'WEST'; there are NORTH, SOUTH"):
        service.repository("WEST")
    service.close()
    with pytest.raises(UnavailableFault):
        service.default.check()


def test_a_registry_of_another_kind_is_refused(open_repository: OpenRepository, root: Path) -> None:
    (root.parent / "registry.sqlite").write_text("some text" * 1000)
    with pytest.raises(ConfigurationFault, match="is no registry"):
        open_repository(writable=False)


# --- real images


def test_real_stripe_82_images_are_cut_as_astropy_cuts_them(real_data: Path, tmp_path: Path) -> None:
    datasets = {name: DatasetConfig(name, name, {}) for name in ("raw", "calexp", "deepcoadd")}
    part = RepositoryConfig(
        "DC_W13_Stripe82", real_data / "stripe82" / "trimmed", tmp_path / "r.sqlite", True, datasets
    )
    config = Config(cache=tmp_path / "cache", repositories={part.name: part}, authority="example.org")
    repository = Repository(part, config, writable=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # astropy, the oracle, has much to say about these headers
        summaries = {summary.dataset: summary for summary in repository.ingest(None, ignore)}
        assert all(summary.images and not summary.skipped for summary in summaries.values())
        assert any("searches by position" in text for _, text in summaries["raw"].warnings)  # 3325 has no WCS
        compared = 0
        for name in datasets:
            for record in repository.registry.images(name):
                path = part.root / record.file.path
                with read_fits(path, do_not_scale_image_data=True) as parent:
                    if record.footprint is not None:
                        _compare(repository, record.science_id, name, parent)
                        compared += 1
                selection = select(repository, ByScienceId(record.science_id), name)
                content = repository.whole(selection).path.read_bytes()
                assert content == (gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes())
    assert compared >= 5
    repository.close()


def _compare(repository: Repository, science_id: int, dataset: str, parent: Any) -> None:
    """Cut 21 x 12 pixels around pixel (150, 100), and compare all planes and the sky."""
    selection = select(repository, ByScienceId(science_id), dataset)
    first = selection.record.planes[0].hdu
    wcs = wcs_of(parent[first].header)
    place = wcs.pixel_to_world(150, 100).icrs
    answer = repository.cutout(selection, CutoutRequest(Box(place.ra.deg, place.dec.deg, 21, 12, "pixel")))
    assert answer.report.delivered == Section(((140, 161), (94, 106)))
    with read_fits(io.BytesIO(answer.content), do_not_scale_image_data=True) as child:
        for plane in selection.record.planes:
            np.testing.assert_array_equal(child[plane.hdu].data, parent[plane.hdu].data[94:106, 140:161])
        there = wcs_of(child[first].header).pixel_to_world(5, 7).icrs
    assert there.separation(wcs.pixel_to_world(145, 101).icrs).arcsec < 1e-6
