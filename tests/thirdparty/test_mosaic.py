"""A stranger whose images are in three files each, proved by the kit alone; and what becomes of them if one changes."""

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from imageserv.core.errors import UnavailableFault
from imageserv.core.record import ImageRecord
from imageserv.core.request import CutoutRequest
from imageserv.core.sky.stencil import Section
from imageserv.core.testing import DatasetContract
from imageserv.core.testing.archive import Archive
from imageserv.core.testing.pixels import read_answer

pytest.importorskip("imageserv_mosaic", reason="the distribution imageserv-mosaic is not installed")

SHAPE = (50, 70)  # rows, columns
KINDS = {"ooi": ("f4", 1), "ood": ("i2", 2), "oow": ("f4", 3)}
WHOLE = CutoutRequest(Section(((5, 25), (10, 22))))


def write_part(path: Path, kind: str, chips: Sequence[int], expnum: int, *, packed: bool = False) -> None:
    """Write one of an exposure's files: an HDU for each chip, in that order; each pixel of a chip has its own value."""
    primary = fits.PrimaryHDU()
    primary.header.update({"EXPNUM": expnum, "MJD-OBS": 57123.16, "EXPTIME": 114.0, "OBJECT": "DECaLS_9568_z"})
    hdus = fits.HDUList([primary])
    dtype, seed = KINDS[kind]
    for ccdnum in chips:
        random = np.random.default_rng([expnum, ccdnum, seed])
        pixels = random.permutation(SHAPE[0] * SHAPE[1]).reshape(SHAPE).astype(dtype)
        plane: Any = fits.ImageHDU(pixels, name=f"N{ccdnum}")
        if packed:
            coding = "RICE_1" if dtype == "i2" else "GZIP_2"
            plane = fits.CompImageHDU(pixels, plane.header, compression_type=coding, quantize_level=0)
        plane.header.update({"CCDNUM": ccdnum, "CTYPE1": "RA---TPV", "CTYPE2": "DEC--TPV", "INHERIT": True})
        plane.header.update({"CRVAL1": 359.99, "CRVAL2": -1.0, "CRPIX1": 80.0 * ccdnum, "CRPIX2": 20.5})
        plane.header.update(
            {"CD1_1": 0.0, "CD1_2": 7.3e-5, "CD2_1": -7.3e-5, "CD2_2": 0.0, "PV1_0": 1e-5, "PV1_1": 1.0}
        )
        plane.header.update({"PV2_1": 1.0})
        hdus.append(plane)
    path.parent.mkdir(parents=True, exist_ok=True)
    hdus.writeto(path, overwrite=True)


def write_exposure(root: Path, name: str, chips: Sequence[int], expnum: int, *, packed: bool = False) -> None:
    """Write the three files of an exposure; the chips of the mask are in the opposite order."""
    for kind in KINDS:
        order = chips[::-1] if kind == "ood" else chips
        write_part(root / name.replace("ooi", kind), kind, order, expnum, packed=packed)


class TestContract(DatasetContract):
    plugin = "mosaic"
    refused = ("night/c4d_150411_040000_ooi_r_v1.fits",)

    @pytest.fixture(scope="class")
    @classmethod
    def survey(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        root = tmp_path_factory.mktemp("mosaic")
        write_exposure(root / "night", "c4d_150411_035242_ooi_z_v1.fits", (1, 2), 431608)
        write_exposure(root, "c4d_171113_060340_ooi_g_ls9.fits.fz", (37, 38), 695765, packed=True)
        write_part(root / cls.refused[0], "ooi", (1,), 431609)  # its mask and weight are not there
        return root


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    root = tmp_path / "files"
    write_exposure(root, "c4d_150411_035242_ooi_z_v1.fits", (1, 2), 431608)
    return Archive("mosaic", {}, root, tmp_path)


def ingest(archive: Archive) -> tuple[int, int, int, dict[str, str]]:
    (summary,) = archive.repository.ingest(None, lambda done, total, path: None)
    return summary.images, summary.taken, summary.unchanged, dict(summary.skipped)


def touch_later(path: Path) -> None:
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000_000))


def cut(archive: Archive, image: ImageRecord) -> list[Any]:
    return [plane.stored for plane in read_answer(archive.cut(image, WHOLE).content)]


def named(archive: Archive, kind: str) -> Path:
    return archive.root / f"c4d_150411_035242_{kind}_z_v1.fits"


def test_planes_are_called_by_their_names(archive: Archive) -> None:
    answer = read_answer(archive.cut(archive.images[0], WHOLE).content)
    assert [plane.header["EXTNAME"] for plane in answer] == ["N1", "MASK", "WEIGHT"]
    assert ["INHERIT" in plane.header for plane in answer] == [True, False, False]


def test_a_plane_that_is_alone_in_its_file_becomes_an_extension(archive: Archive, tmp_path: Path) -> None:
    """Mask and weight as primary HDUs: the answer is one file all the same."""
    for kind in ("ood", "oow"):
        write_part(named(archive, kind), kind, (1,), 431608)
        with fits.open(named(archive, kind)) as hdus:
            alone: Any = hdus[1]
            primary = fits.PrimaryHDU(alone.data, alone.header)
            primary.header["EXPNUM"] = 431608
            primary.header["EXTEND"] = True
        primary.writeto(named(archive, kind), overwrite=True)
    write_part(named(archive, "ooi"), "ooi", (1,), 431608)
    (image,) = archive.images
    assert [plane.hdu for plane in image.planes] == [1, 0, 0]
    answer = read_answer(archive.cut(image, WHOLE).content)
    for plane, found in zip(image.planes, answer, strict=True):
        assert np.array_equal(found.stored, archive.plane(image, plane).stored[10:22, 5:25])
    assert [plane.header["XTENSION"] for plane in answer] == ["IMAGE"] * 3
    assert not any("EXTEND" in plane.header or "SIMPLE" in plane.header for plane in answer)


@pytest.mark.parametrize("kind", ["ood", "oow"])
def test_a_plane_that_is_replaced_by_one_of_another_layout_is_found_in_it(archive: Archive, kind: str) -> None:
    first, second = archive.images
    before = cut(archive, first)
    order = (1, 2) if kind == "ood" else (2, 1)  # the opposite of what it was
    write_part(named(archive, kind), kind, order, 431608)
    touch_later(named(archive, kind))
    for old, new in zip(before, cut(archive, first), strict=True):
        assert np.array_equal(old, new)  # the same pixels, though they are elsewhere now
    assert not np.array_equal(cut(archive, second)[1], before[1])


def test_a_plane_that_is_replaced_by_other_pixels_is_given_as_it_is(archive: Archive) -> None:
    image = archive.images[0]
    before = cut(archive, image)
    with fits.open(named(archive, "ood"), mode="update") as hdus:
        chips: Any = hdus[1:]
        for chip in chips:
            chip.data += 1
    touch_later(named(archive, "ood"))
    after = cut(archive, image)
    assert np.array_equal(after[1], before[1] + 1)
    assert np.array_equal(after[0], before[0])


def test_a_plane_that_is_gone_is_missed(archive: Archive) -> None:
    image = archive.images[0]
    cut(archive, image)
    named(archive, "oow").unlink()
    with pytest.raises(UnavailableFault, match=r"_oow_z_v1\.fits cannot be read: No such file"):
        archive.cut(image, WHOLE)


def test_a_plane_of_another_exposure_is_not_given(archive: Archive) -> None:
    image = archive.images[0]
    write_part(named(archive, "oow"), "oow", (1, 2), 431609)
    touch_later(named(archive, "oow"))
    with pytest.raises(UnavailableFault, match=r"no longer holds this image: .*_oow_z_v1\.fits is of another exposure"):
        archive.cut(image, WHOLE)


def test_ingest_follows_every_file_of_an_image(archive: Archive) -> None:
    science = named(archive, "ooi").name
    mask = named(archive, "ood")
    assert ingest(archive) == (2, 1, 0, {})
    assert ingest(archive) == (2, 0, 1, {})
    assert list(archive.repository.audit()) == []

    touch_later(mask)
    ((dataset, path, problem),) = archive.repository.audit()
    assert (dataset, path) == ("trial", science)
    assert problem == f"read with {mask.name}, which changed since it was ingested"
    assert ingest(archive) == (2, 1, 0, {})
    assert ingest(archive) == (2, 0, 1, {})

    shutil.move(mask, mask.with_suffix(".away"))
    images, taken, unchanged, skipped = ingest(archive)
    assert (images, taken, unchanged) == (0, 0, 0)
    assert skipped == {science: f"{mask.name}: cannot be read: No such file or directory"}

    shutil.move(mask.with_suffix(".away"), mask)
    assert ingest(archive) == (2, 1, 0, {})
    cut(archive, archive.images[0])


def test_ingest_looks_again_when_what_was_wrong_beside_is_mended(archive: Archive) -> None:
    write_part(named(archive, "oow"), "oow", (2,), 431608)
    images, *_, skipped = ingest(archive)
    assert (images, list(skipped.values())) == (0, [f"chip 1 has no weight in {named(archive, 'oow').name}"])
    write_part(named(archive, "oow"), "oow", (2, 1), 431608)
    touch_later(named(archive, "oow"))
    assert ingest(archive) == (2, 1, 0, {})


def test_caches_are_told_that_a_plane_changed(tmp_path: Path, imageserv_serve: Callable[..., Any]) -> None:
    root = tmp_path / "files"
    write_exposure(root, "c4d_150411_035242_ooi_z_v1.fits", (1,), 431608)
    service = imageserv_serve("mosaic", root)
    query = {"ID": "ivo://localhost/KIT?trial/431608/1/z", "PIXELS": "[6:25,11:22]"}
    first = service.vo("sync", **query)
    known = {"If-None-Match": first.headers["etag"]}
    dated = {"If-Modified-Since": first.headers["last-modified"]}
    for headers in (known, dated):
        assert service.client.get("/api/image/vo/sync", params=query, headers=headers).status_code == 304
    touch_later(named(service.archive, "oow"))
    for headers in (known, dated):
        assert service.client.get("/api/image/vo/sync", params=query, headers=headers).status_code == 200
