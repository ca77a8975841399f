"""Cutouts across the patches of a tract, against a mosaic that numpy puts together of what astropy reads."""

import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st

from imageserv.core.answer import CutoutAnswer
from imageserv.core.errors import (
    LimitFault,
    NoOverlapFault,
    NotFoundFault,
    UnavailableFault,
    UnsupportedFault,
    UsageFault,
    WouldWait,
)
from imageserv.core.repository import Repository
from imageserv.core.request import CutoutRequest
from imageserv.core.selection import ByPosition
from imageserv.core.service import Service
from imageserv.core.sky.stencil import Box, Circle, Section, Stencil

from . import tract
from .tract import ALL, INNER, NO_DATA, SIZE, Patch, mosaic, outer, path_of, select, serve_tract, stitched, write_tract

MISSING = tuple(patch for patch in ALL if patch not in ((1, 1), (2, 2)))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Repository, Path]]:
    folder = tmp_path_factory.mktemp("whole")
    write_tract(folder / "files")
    service = serve_tract(folder)
    yield service.default, folder / "files"
    service.close()


@pytest.fixture(scope="module")
def holes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Repository, Path]]:
    """A tract that lacks two patches."""
    folder = tmp_path_factory.mktemp("holes")
    write_tract(folder / "files", MISSING)
    service = serve_tract(folder)
    yield service.default, folder / "files"
    service.close()


@pytest.fixture
def serve_patches(tmp_path: Path) -> Iterator[Callable[..., tuple[Service, Path]]]:
    """Serve patches of the test's own."""
    services: list[Service] = []

    def start(patches: Any = ALL, edits: Any = None, **limits: int) -> tuple[Service, Path]:
        write_tract(tmp_path / "files", patches, edits)
        services.append(serve_tract(tmp_path, **limits))
        return services[-1], tmp_path / "files"

    yield start
    for service in services:
        service.close()


def in_tract(patch: Patch, box: tract.Box) -> Section:
    """Return a box of the tract as a section of a patch."""
    (x0, _), (y0, _) = outer(patch)
    (left, right), (low, high) = box
    return Section(((left - x0, right - x0), (low - y0, high - y0)))


def ask(repository: Repository, patch: Patch, stencil: Stencil | None, **members: Any) -> CutoutAnswer:
    return repository.cutout(select(repository, patch), stitched(stencil, **members))


def read(answer: CutoutAnswer) -> dict[str, Any]:
    """Return the HDUs of an answer by EXTTYPE or EXTNAME, lower case; the primary as an empty text."""
    with fits.open(io.BytesIO(bytes(answer.content)), memmap=False) as hdus:
        hdus.verify("exception")
        found: Any = hdus
        return {str(hdu.header.get("EXTTYPE", hdu.header.get("EXTNAME", ""))).lower(): hdu.copy() for hdu in found}


def check(answer: CutoutAnswer, root: Path, patches: tuple[Patch, ...], box: tract.Box) -> None:
    """Hold all planes, and who gave each pixel, against the mosaic."""
    hdus = read(answer)
    expected, who = mosaic(root, patches, box)
    for name, pixels in expected.items():
        assert np.array_equal(hdus[name].data, pixels, equal_nan=name != "mask"), name
    header = hdus[""].header
    given = np.full(who.shape, -1)
    order = sorted(patches)
    for number in range(1, 100):
        if (source := header.get(f"CUTSRC{number}")) is None:
            break
        here = hdus["source"].data == number
        column, row = map(int, source.split("/")[-2].split(","))
        given[here] = order.index((column, row))
        ys, xs = np.nonzero(here)
        section = f"[{xs.min() + 1}:{xs.max() + 1},{ys.min() + 1}:{ys.max() + 1}]"
        assert header[f"CUTSEC{number}"] == section
    assert np.array_equal(given, who)
    covered = (who >= 0).mean()
    assert header["CUTCOVER"] == pytest.approx(covered, abs=1e-6)
    assert header["CUTCLIP"] == (covered < 1)


BOXES: dict[str, tract.Box] = {
    "over a seam": ((130, 170), (20, 60)),
    "where four meet": ((140, 160), (120, 140)),
    "over all": ((0, SIZE[0]), (0, SIZE[1])),
    "a column of pixels": ((149, 150), (10, 380)),
    "beyond the tract": ((-20, 30), (370, 420)),
    "around the tract": ((-5, SIZE[0] + 7), (-3, SIZE[1] + 2)),
}


@pytest.mark.parametrize("box", BOXES.values(), ids=BOXES)
@pytest.mark.parametrize("patch", [(0, 0), (1, 1), (2, 0)])
def test_each_pixel_is_of_the_patch_whose_inner_region_has_it(
    whole: tuple[Repository, Path], patch: Patch, box: tract.Box
) -> None:
    repository, root = whole
    answer = ask(repository, patch, in_tract(patch, box))
    check(answer, root, ALL, box)
    assert answer.report.delivered == answer.report.requested == in_tract(patch, box)


def edges(size: int) -> st.SearchStrategy[tuple[int, int]]:
    at = st.integers(-10, size + 10)
    return st.tuples(at, at).map(sorted).filter(lambda pair: pair[0] < pair[1]).map(lambda pair: (pair[0], pair[1]))


@settings(max_examples=40, deadline=None)
@given(x=edges(SIZE[0]), y=edges(SIZE[1]), patch=st.sampled_from(MISSING))
def test_any_box_is_as_the_mosaic_has_it(
    holes: tuple[Repository, Path], x: tuple[int, int], y: tuple[int, int], patch: Patch
) -> None:
    repository, root = holes
    _, who = mosaic(root, MISSING, (x, y))
    if (who < 0).all():
        with pytest.raises(NoOverlapFault, match="no patch of the tract"):
            ask(repository, patch, in_tract(patch, (x, y)))
        return
    answer = ask(repository, patch, in_tract(patch, (x, y)))
    if "source" in read(answer):
        check(answer, root, MISSING, (x, y))
    else:
        assert (who == sorted(MISSING).index(patch)).all()


def test_what_no_patch_has_is_without_data(holes: tuple[Repository, Path]) -> None:
    repository, _ = holes
    box = ((170, 260), (60, 250))  # around the middle of (1, 1), which is missing
    hdus = read(ask(repository, (1, 0), in_tract((1, 0), box)))
    hole = np.zeros((190, 90), bool)
    hole[120:150, 30:80] = True  # beyond the borders of its neighbours
    assert np.array_equal(np.isnan(hdus["image"].data), hole) and np.array_equal(np.isnan(hdus["variance"].data), hole)
    assert (hdus["mask"].data[hole] == 1 << NO_DATA).all() and (hdus["mask"].data[~hole] < 256).all()
    assert np.array_equal(hdus["source"].data == 0, hole)
    assert hdus[""].header["CUTCLIP"] is True and 0 < hdus[""].header["CUTCOVER"] < 1


def test_inside_one_patch_nothing_is_different(whole: tuple[Repository, Path]) -> None:
    repository, _ = whole
    selection = select(repository, (1, 1))
    ra, dec = place((1, 1), 100, 90)
    for stencil in (
        in_tract((1, 1), ((150, 300), (130, 260))),  # all of its inner region
        Box(ra, dec, 20, 31, "pixel"),
        Circle(ra, dec, 0.002),
        None,
    ):
        for detail in ("image", "planes", "all"):
            plain = repository.cutout(selection, CutoutRequest(stencil, detail))
            answer = repository.cutout(selection, stitched(stencil, detail=detail))
            assert answer.content == plain.content
    one_more = in_tract((1, 1), ((150, 301), (130, 260)))
    assert (
        repository.cutout(selection, stitched(one_more)).content
        != repository.cutout(selection, CutoutRequest(one_more)).content
    )


def test_without_the_parameter_patches_are_alone(whole: tuple[Repository, Path]) -> None:
    repository, _ = whole
    section = in_tract((0, 0), ((100, 300), (0, 50)))
    plain = repository.cutout(select(repository, (0, 0)), CutoutRequest(section)).content
    request = CutoutRequest(section, parameters={"stitch": "false"})
    assert repository.cutout(select(repository, (0, 0)), request).content == plain


def place(patch: Patch, x: float, y: float) -> tuple[float, float]:
    """Return where a pixel of a patch is, by astropy."""
    header: Any = tract.patch_hdus(patch)[1].header
    ra, dec = WCS(header).all_pix2world(x, y, 0)
    return float(ra), float(dec)


@pytest.mark.parametrize("parent", [(0, 0), (2, 2)])
def test_the_wcs_is_right_on_both_sides_of_a_seam(whole: tuple[Repository, Path], parent: Patch) -> None:
    repository, root = whole
    box = ((90, 290), (60, 230))
    hdus = read(ask(repository, parent, in_tract(parent, box)))
    for name, index in (("image", 1), ("mask", 2), ("variance", 3), ("source", 1)):
        cut: Any = WCS(hdus[name].header)
        for patch in ((0, 0), (1, 0), (1, 1), (2, 2)):
            (x0, x1), (y0, y1) = outer(patch)
            xs, ys = np.meshgrid(np.arange(max(x0, 90), min(x1, 290), 13), np.arange(max(y0, 60), min(y1, 230), 11))
            with fits.open(path_of(root, patch)) as whole_file:
                plane: Any = whole_file[index]
                own: Any = WCS(plane.header)
            here = cut.all_pix2world(xs - 90, ys - 60, 0)
            there = own.all_pix2world(xs - x0, ys - y0, 0)
            assert np.allclose(here, there, rtol=0, atol=1e-10), name
    header = hdus["image"].header
    assert (header["LTV1"], header["LTV2"]) == (-90, -60)
    assert header["CRVAL1A"] - header["CRPIX1A"] == 90 - 1  # pixels of the tract, counted from 0


def test_boxes_and_circles_on_the_sky(whole: tuple[Repository, Path]) -> None:
    repository, root = whole
    ra, dec = place((0, 0), 151, 132)
    for patch in ((0, 0), (1, 1), (2, 2)):  # the last has none of it
        check(ask(repository, patch, Box(ra, dec, 11, 7, "pixel")), root, ALL, ((146, 157), (129, 136)))
    header: Any = tract.patch_hdus((0, 0))[1].header
    ys, xs = np.mgrid[0 : SIZE[1], 0 : SIZE[0]]
    ras, decs = WCS(header).all_pix2world(xs, ys, 0)
    radius = 0.0022
    near = np.hypot((ras - ra) * np.cos(np.radians(dec)), decs - dec) <= radius
    for patch in ((0, 0), (1, 1), (2, 2)):
        answer = ask(repository, patch, Circle(ra, dec, radius))
        (x0, _), (y0, _) = outer(patch)
        (left, right), (low, high) = (span or (0, 0) for span in answer.report.delivered.ranges)
        box = ((left + x0, right + x0), (low + y0, high + y0))
        assert near[box[1][0] : box[1][1], box[0][0] : box[0][1]].sum() == near.sum()
        assert right - left <= np.ptp(xs[near]) + 3 and high - low <= np.ptp(ys[near]) + 3
        check(answer, root, ALL, box)


def test_a_place_without_a_patch_is_in_the_tract_nevertheless(holes: tuple[Repository, Path]) -> None:
    repository, root = holes
    dataset = repository.dataset("deepcoadd")
    ra, dec = place((1, 1), 125, 115)  # in the middle of a missing one
    with pytest.raises(NotFoundFault):
        repository.select(dataset, ByPosition(ra, dec, "r"))
    selection = repository.select(dataset, ByPosition(ra, dec, "r", anywhere=True))
    answer = repository.cutout(selection, stitched(Box(ra, dec, 150, 3, "pixel")))
    assert read(answer)[""].header["CUTCAND"] == 0
    check(answer, root, MISSING, ((150, 300), (194, 197)))
    with pytest.raises(NoOverlapFault):
        repository.cutout(selection, stitched(Box(ra, dec, 3, 3, "pixel")))


def test_what_a_header_says_of_one_patch_is_left_out(whole: tuple[Repository, Path]) -> None:
    repository, _ = whole
    hdus = read(ask(repository, (0, 0), in_tract((0, 0), BOXES["over a seam"])))
    primary = hdus[""].header
    assert "INPUTS" not in primary and "AR_HDU" not in primary
    assert (primary["FILTER"], primary["FLUXMAG0"]) == ("r", 63095734448.0194)
    assert hdus["mask"].header["MP_NO_DATA"] == NO_DATA
    assert list(hdus) == ["", "image", "mask", "variance", "source"]
    image = read(ask(repository, (0, 0), in_tract((0, 0), BOXES["over a seam"]), detail="image"))
    assert list(image) == ["", "image"]
    assert image[""].header["CUTSRC2"] == "ivo://example.org/SKY?" + tract.record_of(repository, (1, 0)).identifier
    with pytest.raises(UsageFault, match="tables") as caught:
        ask(repository, (0, 0), in_tract((0, 0), BOXES["over a seam"]), detail="all")
    assert caught.value.parameter == "detail"


def set_card(plane: int, keyword: str, value: object) -> Callable[[Any], None]:
    return lambda hdus: hdus[plane].header.set(keyword, value)


def drop_variance(hdus: Any) -> None:
    del hdus[3]


def doubles(hdus: Any) -> None:
    hdus[1].data = hdus[1].data.astype("f8")


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (set_card(1, "CRPIX1", 930.5), "pixels apart"),
        (set_card(1, "CD1_1", -0.000111), "CD1_1"),
        (set_card(1, "CRVAL1", 45.001), "CRVAL1"),
        (set_card(1, "RADESYS", "FK5"), "RADESYS"),
        (set_card(0, "FLUXMAG0", 1.0), "FLUXMAG0"),
        (set_card(2, "HIERARCH MP_NO_DATA", 7), "MP_NO_DATA = 7"),
        (set_card(1, "BUNIT", "nJy"), "BUNIT"),
        (drop_variance, "no variance"),
        (doubles, "BITPIX -64"),
    ],
)
def test_patches_that_do_not_fit_are_refused(
    serve_patches: Callable[..., tuple[Service, Path]], edit: tract.Edit, words: str
) -> None:
    service, _ = serve_patches(ALL[:6], {(1, 0): edit})
    with pytest.raises(UnsupportedFault, match=f"0/1,0/r cannot be stitched.*{words}"):
        ask(service.default, (0, 0), in_tract((0, 0), BOXES["over a seam"]))


def test_a_mask_without_the_bit_cannot_have_holes(serve_patches: Callable[..., tuple[Service, Path]]) -> None:
    def forget(hdus: Any) -> None:
        del hdus[2].header["MP_NO_DATA"]

    service, _ = serve_patches(ALL, dict.fromkeys(ALL, forget))
    with pytest.raises(UnsupportedFault, match="mask plane has no value"):
        ask(service.default, (0, 0), in_tract((0, 0), BOXES["beyond the tract"]))
    ask(service.default, (0, 0), in_tract((0, 0), BOXES["over a seam"]))


def compress(hdus: Any) -> None:
    for index in (1, 2, 3):
        plane = hdus[index]
        kind, level = ("RICE_1", 0) if index == 2 else ("GZIP_2", 0)
        packed = fits.CompImageHDU(plane.data, plane.header, compression_type=kind, quantize_level=level)
        hdus[index] = packed


def test_compressed_patches_give_the_same(
    serve_patches: Callable[..., tuple[Service, Path]], whole: tuple[Repository, Path]
) -> None:
    service, root = serve_patches(ALL, {(1, 0): compress, (1, 1): compress})
    for box in (BOXES["where four meet"], BOXES["around the tract"]):
        check(ask(service.default, (0, 0), in_tract((0, 0), box), as_tiles=True), root, ALL, box)


def test_a_limit_is_for_all_patches_together(serve_patches: Callable[..., tuple[Service, Path]]) -> None:
    service, _ = serve_patches(ALL, max_pixels=4 * 40 * 40)
    answer = ask(service.default, (0, 0), in_tract((0, 0), ((130, 170), (20, 60))))
    assert answer.report.coverage == 1
    with pytest.raises(LimitFault, match="6560 pixels"):
        ask(service.default, (0, 0), in_tract((0, 0), ((130, 171), (20, 60))))
    with pytest.raises(LimitFault):
        ask(service.default, (0, 0), Section(((0, 2**31), (0, 2**31))))


def test_other_filters_and_tracts_give_nothing(
    serve_patches: Callable[..., tuple[Service, Path]], tmp_path: Path
) -> None:
    write_tract(tmp_path / "files", [(1, 0), (1, 1)])
    for patch in ((1, 0), (1, 1)):
        path_of(tmp_path / "files", patch).rename(path_of(tmp_path / "files", patch, "g"))
    service, root = serve_patches([(0, 0), (2, 0)])
    box = ((100, 300), (20, 60))
    check(ask(service.default, (0, 0), in_tract((0, 0), box)), root, ((0, 0), (2, 0)), box)


def test_a_neighbour_whose_file_is_gone_is_no_hole(serve_patches: Callable[..., tuple[Service, Path]]) -> None:
    service, root = serve_patches()
    section = in_tract((0, 0), BOXES["over a seam"])
    ask(service.default, (0, 0), section)
    path_of(root, (1, 0)).unlink()
    with pytest.raises(UnavailableFault, match="coadd-r-0-1,0"):
        ask(service.default, (0, 0), section)


def test_a_neighbour_that_changed_is_cut_as_it_is_now(serve_patches: Callable[..., tuple[Service, Path]]) -> None:
    service, root = serve_patches()
    repository, box = service.default, BOXES["over a seam"]
    selection, request = select(repository, (0, 0)), stitched(in_tract((0, 0), box))
    before = repository.prepare(selection, request).selection.state.fingerprint
    assert repository.prepare(selection, request).selection.state.fingerprint == before

    def double(hdus: Any) -> None:
        hdus[1].data *= 2

    for patch in ((0, 0), (1, 0)):
        write_tract(root, [patch], {patch: double})
        os.utime(path_of(root, patch), ns=(10**18, 10**18 + patch[0]))
        check(repository.cutout(selection, request), root, ALL, box)
        after = repository.prepare(selection, request).selection
        assert after.state.fingerprint != before and after.state.modified is None
        before = after.state.fingerprint


def test_files_are_never_looked_for_in_the_event_loop(whole: tuple[Repository, Path]) -> None:
    repository, _ = whole
    selection = select(repository, (0, 0))
    for box in (BOXES["over a seam"], ((10, 20), (10, 20))):
        request = stitched(in_tract((0, 0), box))
        content = repository.cutout(selection, request).content
        with pytest.raises(WouldWait):
            repository.cutout(selection, request, wait=False)
        assert repository.cutout(selection, request).content == content


def test_images_that_lie_on_no_sky_map_are_not_stitched(serve_patches: Callable[..., tuple[Service, Path]]) -> None:
    def cube(hdus: Any) -> None:
        for index in (1, 2, 3):
            hdus[index].data = hdus[index].data[None]

    service, _ = serve_patches([(0, 0)], {(0, 0): cube})
    with pytest.raises(UnsupportedFault, match="two axes"):
        ask(service.default, (0, 0), Section(((0, 10), (0, 10))))


def test_the_size_of_the_inner_regions_is_as_the_tract_says() -> None:
    """The rule of the plugin finds it in the overlaps: here it is known."""
    for first, second in (((0, 0), (1, 0)), ((1, 0), (2, 0))):
        assert (outer(first)[0][1] + outer(second)[0][0]) / 2 == second[0] * INNER[0]
