"""Cutouts of whole tiles: the parent's own, as they are compressed, and its very pixels when they are read."""

import io
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imageserv.core.config import Limits
from imageserv.core.errors import FitsFault, LimitFault
from imageserv.core.fits.cards import HeaderTemplate
from imageserv.core.fits.engine import Cutout, CutoutRequest, cut
from imageserv.core.fits.files import MappedFile
from imageserv.core.fits.layout import read_layout
from imageserv.core.fits.opened import OpenImage
from imageserv.core.fits.output import write, write_headers
from imageserv.core.fits.tiletable import TileTable
from imageserv.core.sky.stencil import Section

OpenFits = Callable[..., OpenImage]
read_fits: Any = fits.open
wcs_of: Any = WCS

CARDS = {
    "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 150.1, "CRVAL2": 2.2, "CRPIX1": 60.0, "CDELT1": -1e-4,
    "CDELT2": 1e-4, "OBJECT": "it",
}  # fmt: skip


def pixels(shape: tuple[int, ...], dtype: str = "f4") -> Any:
    return np.random.default_rng(17).normal(1000, 30, shape).astype(dtype)


def make(path: Path, *planes: Any) -> Path:
    for plane in planes:
        plane.header.update(CARDS)
    fits.HDUList([fits.PrimaryHDU(), *planes]).writeto(path, overwrite=True, checksum=True)
    return path


def request(*ranges: tuple[int, int] | None, **others: Any) -> CutoutRequest:
    return CutoutRequest(Section(tuple(ranges)), as_tiles=True, **others)


def as_slices(section: Section) -> tuple[slice, ...]:
    return tuple(slice(None) if span is None else slice(*span) for span in reversed(section.ranges))


def read(cutout: Cutout, **options: Any) -> Any:
    return read_fits(io.BytesIO(bytes(write(cutout))), **options)


def assert_copied(path: Path, cutout: Cutout, hdu: int = 1) -> None:
    """Hold a cutout against its parent: pixels, WCS, and the bytes of each tile."""
    within = as_slices(cutout.delivered)
    with read_fits(path) as parent, read(cutout) as child:
        np.testing.assert_array_equal(child[hdu].data, parent[hdu].data[within])
        low = [0 if at.start is None else at.start for at in reversed(within)][:2]
        expected = wcs_of(parent[hdu].header).celestial.all_pix2world([[low[0] + 3.0, low[1] + 2.0]], 0)
        np.testing.assert_allclose(wcs_of(child[hdu].header).celestial.all_pix2world([[3.0, 2.0]], 0), expected)
        assert child[hdu].header["OBJECT"] == "it"
        assert not {"CHECKSUM", "DATASUM", "ZHECKSUM", "ZDATASUM"} & set(child[hdu].header)
    with (
        read_fits(path, disable_image_compression=True) as parent,
        read(cutout, disable_image_compression=True) as child,
    ):
        columns = parent[hdu].columns.names
        assert child[hdu].columns.names == columns
        known = {tuple(_cell(row[name]) for name in columns) for row in parent[hdu].data}
        assert all(tuple(_cell(row[name]) for name in columns) in known for row in child[hdu].data)
        assert child[hdu].header["NAXIS2"] <= parent[hdu].header["NAXIS2"]
        assert child[hdu].header["PCOUNT"] <= parent[hdu].header["PCOUNT"]


def _cell(value: Any) -> bytes:
    return np.asarray(value).tobytes()


@st.composite
def cases(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...], tuple[tuple[int, int], ...]]:
    shape = tuple(draw(st.lists(st.integers(2, 40), min_size=2, max_size=3)))
    tile = tuple(draw(st.integers(1, length)) for length in shape)
    ranges: list[tuple[int, int]] = []
    for length in reversed(shape):
        start = draw(st.integers(0, length - 1))
        ranges.append((start, draw(st.integers(start + 1, length))))
    return shape, tile, tuple(ranges)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cases(), st.sampled_from(["RICE_1", "GZIP_2"]), st.sampled_from([-1, 1, 2]), st.integers(1, 10000))
def test_the_pixels_are_the_parents(
    open_fits: OpenFits, tmp_path: Path, case: Any, codec: str, method: int, seed: int
) -> None:
    shape, tile, ranges = case
    options: dict[str, Any] = {"quantize_method": method, "dither_seed": seed, "quantize_level": 4}
    plane = fits.CompImageHDU(pixels(shape), compression_type=codec, tile_shape=tile, **options)
    path = make(tmp_path / "a.fits", plane)
    cutout = cut(open_fits(path), request(*ranges))
    assert cutout.as_tiles
    asked = as_slices(Section(ranges))
    within = as_slices(cutout.delivered)
    for want, have, side, length in zip(asked, within, tile, shape, strict=True):
        assert have.start <= want.start and want.stop <= have.stop
        assert have.start % side == 0 and (have.stop % side == 0 or have.stop == length)
        if method == -1:
            assert want.start - have.start < side and have.stop - want.stop < side
    assert_copied(path, cutout)


@pytest.mark.parametrize(
    ("dtype", "options"),
    [
        ("u2", {"compression_type": "RICE_1"}),
        ("i2", {"compression_type": "PLIO_1"}),
        ("i4", {"compression_type": "HCOMPRESS_1"}),
        ("f8", {"compression_type": "GZIP_1", "quantize_level": 0}),
    ],
)
def test_kinds_of_numbers(open_fits: OpenFits, tmp_path: Path, dtype: str, options: dict[str, Any]) -> None:
    path = make(tmp_path / "a.fits", fits.CompImageHDU(pixels((70, 90), dtype), tile_shape=(20, 30), **options))
    cutout = cut(open_fits(path), request((31, 59), (22, 41)))
    assert str(cutout.delivered) == "[31:60,21:60]"
    assert_copied(path, cutout)


def test_tiles_that_could_not_be_quantised_come_along(open_fits: OpenFits, tmp_path: Path) -> None:
    data = pixels((60, 80))
    data[20:40, 20:40] = 7.25
    data[0, 0] = np.nan
    path = make(tmp_path / "a.fits", fits.CompImageHDU(data, tile_shape=(20, 20), quantize_method=1, dither_seed=7))
    cutout = cut(open_fits(path), request((21, 22), (10, 50)))
    assert str(cutout.delivered) == "[1:80,1:60]"  # several lines of tiles, which are whole
    assert_copied(path, cutout)


@pytest.mark.parametrize("seed", [1, 9999, 10000])
def test_a_line_of_tiles_keeps_its_dither(open_fits: OpenFits, tmp_path: Path, seed: int) -> None:
    plane = fits.CompImageHDU(pixels((60, 80)), tile_shape=(20, 20), quantize_method=1, dither_seed=seed)
    path = make(tmp_path / "a.fits", plane)
    cutout = cut(open_fits(path), request((25, 50), (25, 35)))
    assert str(cutout.delivered) == "[21:60,21:40]"
    assert_copied(path, cutout)
    with read(cutout, disable_image_compression=True) as child:
        assert 1 <= child[1].header["ZDITHER0"] <= 10000
        assert (child[1].header["ZDITHER0"] - seed - 5) % 10000 == 0


def test_planes_of_other_tiles_and_plain_planes_have_the_same_pixels(open_fits: OpenFits, tmp_path: Path) -> None:
    data = pixels((60, 80), "i4")
    planes = [
        fits.CompImageHDU(data, tile_shape=(10, 20), name="IMAGE"),
        fits.CompImageHDU(data + 1, tile_shape=(15, 12), name="MASK"),
        fits.ImageHDU(data + 2, name="VARIANCE"),
    ]
    path = make(tmp_path / "a.fits", *planes)
    cutout = cut(open_fits(path, 1, 2, 3), request((25, 30), (31, 33)))
    assert str(cutout.delivered) == "[1:60,31:60]"
    for hdu in (1, 2):
        assert_copied(path, cutout, hdu)
    with read(cutout) as child:
        np.testing.assert_array_equal(child[3].data, (data + 2)[30:60, :60])
    only = cut(open_fits(path, 1, 2, 3), request((25, 30), (31, 33), detail="image"))
    assert str(only.delivered) == "[21:40,31:40]"


def test_an_image_without_tiles_is_cut_as_always(open_fits: OpenFits, tmp_path: Path) -> None:
    data = pixels((60, 80))
    path = make(tmp_path / "a.fits", fits.ImageHDU(data))
    cutout = cut(open_fits(path, 1), request((25, 30), (31, 33)))
    assert not cutout.as_tiles
    assert str(cutout.delivered) == "[26:30,32:33]"
    np.testing.assert_array_equal(read(cutout)[1].data, data[31:33, 25:30])


def test_what_is_delivered_counts_towards_the_limit(open_fits: OpenFits, tmp_path: Path) -> None:
    path = make(tmp_path / "a.fits", fits.CompImageHDU(pixels((60, 80), "i4"), tile_shape=(20, 20)))
    assert cut(open_fits(path, limits=Limits(max_pixels=400)), request((0, 1), (0, 1)))
    with pytest.raises(LimitFault, match="400 pixels"):
        cut(open_fits(path, limits=Limits(max_pixels=399)), request((0, 1), (0, 1)))


def test_headers_alone_are_those_of_the_cutout(open_fits: OpenFits, tmp_path: Path) -> None:
    path = make(tmp_path / "a.fits", fits.CompImageHDU(pixels((60, 80)), tile_shape=(20, 20)))
    cutout = cut(open_fits(path), request((25, 30), (31, 33)))
    lines = write_headers(cutout).splitlines()
    with read(cutout, disable_image_compression=True) as child:
        cards = [str(card).rstrip() for card in child[1].header.cards]
    assert lines[-len(cards) - 1 : -1] == cards
    assert any(line.startswith("ZNAXIS1 =                   20") for line in lines)


@pytest.mark.parametrize("offset", [-1, 2**31 - 1, 0])
def test_descriptors_that_point_elsewhere_are_refused(open_fits: OpenFits, tmp_path: Path, offset: int) -> None:
    """Nor may all tiles be one: a small file would become a large cutout."""
    path = make(tmp_path / "a.fits", fits.CompImageHDU(pixels((400, 80), "i4"), tile_shape=(20, 80)))
    image = open_fits(path)
    hdu = image.layout.hdus[1]
    content = bytearray(path.read_bytes())
    rows = np.frombuffer(content, ">i4", 40, hdu.data_offset).reshape(20, 2)
    rows[:, 1] = offset
    if offset == 0:
        rows[:, 0] = rows[:, 0].sum()
    path.write_bytes(content)
    with pytest.raises(FitsFault, match="not within its table"):
        cut(open_fits(path), request((0, 80), (0, 400)))


def test_tiles_that_follow_one_another_are_one_piece(tmp_path: Path) -> None:
    path = make(tmp_path / "a.fits", fits.CompImageHDU(pixels((80, 80), "i4"), tile_shape=(20, 80)))
    hdu = read_layout(path, Limits()).hdus[1]
    content = bytearray(path.read_bytes())
    rows = np.frombuffer(content, ">i4", 8, hdu.data_offset).reshape(4, 2)
    sizes, heap = rows[:, 0].tolist(), hdu.data_offset + rows.nbytes

    def pieces() -> list[tuple[int, int]]:
        path.write_bytes(content)
        return TileTable(hdu, HeaderTemplate(hdu.header), MappedFile(path)).copied([0, 1, 2, 3])[1]

    assert pieces() == [(heap, sum(sizes))]
    rows[1] = 0  # has no bytes: none are between the first and the third
    assert pieces() == [(heap, sizes[0]), (heap + sizes[0] + sizes[1], sizes[2] + sizes[3])]


@pytest.mark.parametrize("column", [0, 1])
def test_descriptors_of_64_bits_that_are_negative_are_refused(open_fits: OpenFits, tmp_path: Path, column: int) -> None:
    plain = fits.CompImageHDU(pixels((40, 80), "i4"), tile_shape=(20, 80))
    path = make(tmp_path / "a.fits", plain)
    opened: Any = fits.open(path, disable_image_compression=True)
    with opened as hdus:
        table, header = hdus[1].data, hdus[1].header.copy()
        content = [np.array(each) for each in table["COMPRESSED_DATA"]]
    header["TFORM1"], header["NAXIS1"] = f"1QB({max(map(len, content))})", 16
    heap = b"".join(each.tobytes() for each in content)
    header["PCOUNT"] = len(heap)
    starts = np.cumsum([0, *map(len, content[:-1])])
    rows = np.array([[len(each), start] for each, start in zip(content, starts, strict=True)], ">i8")

    def write_file(name: str) -> Path:
        data = rows.tobytes() + heap
        target = tmp_path / name
        primary = path.read_bytes()[:2880]
        target.write_bytes(primary + header.tostring().encode() + data + bytes(-len(data) % 2880))
        return target

    assert cut(open_fits(write_file("good.fits")), request((0, 80), (0, 40)))
    rows[1, column] = -(2**40)
    with pytest.raises(FitsFault, match="not within its table"):
        cut(open_fits(write_file("bad.fits")), request((0, 80), (0, 40)))


@pytest.mark.skipif(not shutil.which("fitsverify"), reason="needs fitsverify")
@pytest.mark.parametrize("codec", ["RICE_1", "GZIP_2", "HCOMPRESS_1"])
def test_fitsverify_is_content(open_fits: OpenFits, tmp_path: Path, codec: str) -> None:
    plane = fits.CompImageHDU(pixels((60, 80)), compression_type=codec, tile_shape=(20, 20), quantize_method=1)
    path = make(tmp_path / "a.fits", plane)
    target = tmp_path / "cutout.fits.fz"
    target.write_bytes(write(cut(open_fits(path), request((25, 50), (25, 45)))))
    found = subprocess.run(["fitsverify", "-q", target], capture_output=True, text=True, check=False)
    assert found.stdout.startswith("verification OK"), found.stdout
