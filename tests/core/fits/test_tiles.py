"""Tile-compressed images: pixels equal astropy's to the last bit, whatever the codec, and damage does no harm."""

import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.io.fits.hdu.compressed._codecs import PLIO1
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from imageserv.core.config import Limits
from imageserv.core.errors import FitsFault, ImageServError, UnsupportedFault
from imageserv.core.fits.cards import HeaderTemplate
from imageserv.core.fits.codecs import Tile, decoder
from imageserv.core.fits.files import MappedFile
from imageserv.core.fits.layout import read_layout
from imageserv.core.fits.tilecache import TileCache
from imageserv.core.fits.tileheader import image_header
from imageserv.core.fits.tiles import TileReader

read_fits: Any = fits.open
Section = tuple[slice, ...]

FEW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def reader(path: Path, cache: TileCache | None = None) -> Callable[[Section], NDArray[Any]]:
    hdu = read_layout(path, Limits()).hdus[1]
    tiles = TileReader(MappedFile(path), cache or TileCache(0), Limits().max_tile_pixels)
    return lambda section: tiles.read(hdu, section)


def expected(path: Path, section: Section) -> NDArray[Any]:
    with read_fits(path, do_not_scale_image_data=True) as hdus:
        return np.array(hdus[1].section[section])


def assert_same(path: Path, section: Section, cache: TileCache | None = None) -> None:
    mine, theirs = reader(path, cache)(section), expected(path, section)
    assert mine.dtype == theirs.dtype.newbyteorder(">")
    assert mine.shape == theirs.shape
    assert mine.tobytes() == theirs.astype(mine.dtype).tobytes()


def write(path: Path, data: NDArray[Any], **options: Any) -> Path:
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(data, **options)]).writeto(path, overwrite=True)
    return path


def noise(shape: tuple[int, ...], dtype: str = "f4") -> NDArray[Any]:
    return np.random.default_rng(17).normal(1000, 30, shape).astype(dtype)


# --- against astropy


@st.composite
def cases(draw: st.DrawFn) -> tuple[str, str, tuple[int, ...], tuple[int, ...], Section]:
    codec, dtype = draw(
        st.sampled_from(
            [(codec, dtype) for codec in ("RICE_1", "GZIP_1", "GZIP_2") for dtype in ("u1", "i2", "i4", "f4", "f8")]
            + [("PLIO_1", "i2"), ("PLIO_1", "i4"), ("NOCOMPRESS", "i4"), ("NOCOMPRESS", "f4")]
        )
    )
    shape = tuple(draw(st.lists(st.integers(1, 40), min_size=1, max_size=3)))
    tile = tuple(draw(st.integers(1, length)) for length in shape)
    section: list[slice] = []
    for length in shape:
        start = draw(st.integers(0, length - 1))
        section.append(slice(start, draw(st.integers(start + 1, length))))
    return codec, dtype, shape, tile, tuple(section)


@FEW
@given(cases(), st.sampled_from([-1, 1, 2]), st.integers(1, 10000))
def test_sections_of_images_of_any_kind(
    tmp_path: Path, case: tuple[str, str, tuple[int, ...], tuple[int, ...], Section], dither: int, seed: int
) -> None:
    codec, dtype, shape, tile, section = case
    data = noise(shape, dtype)
    options: dict[str, Any] = {"quantize_method": dither, "dither_seed": seed, "quantize_level": 4}
    if codec == "NOCOMPRESS":
        options["quantize_level"] = 0
    path = write(tmp_path / "any.fits", data, compression_type=codec, tile_shape=tile, **options)
    cache = TileCache(1 << 20)
    assert_same(path, section, cache)
    assert_same(path, section, cache)
    assert_same(path, tuple(slice(0, length) for length in shape), cache)


@pytest.mark.parametrize("method", [-1, 1, 2])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("codec", ["RICE_1", "GZIP_2", "HCOMPRESS_1"])
def test_tiles_with_more_pixels_than_there_are_random_numbers(
    tmp_path: Path, codec: str, dtype: str, method: int
) -> None:
    data = noise((300, 400), dtype)
    data[100:120, 50:300] = 0
    options: dict[str, Any] = {"quantize_method": method, "dither_seed": 9999, "tile_shape": (180, 220)}
    path = write(tmp_path / "long.fits", data, compression_type=codec, quantize_level=16, **options)
    for section in [
        (slice(95, 290), slice(3, 399)),
        (slice(0, 300), slice(0, 400)),
        (slice(170, 181), slice(219, 221)),
    ]:
        assert_same(path, section)
    if method == 2:
        assert not reader(path)((slice(100, 120), slice(50, 300))).any()


def test_more_tiles_than_there_are_random_numbers(tmp_path: Path) -> None:
    path = write(tmp_path / "many.fits", noise((150, 700)), tile_shape=(2, 5), quantize_method=1, dither_seed=9000)
    assert_same(path, (slice(100, 150), slice(333, 700)))


@pytest.mark.parametrize("held", [1, 60, 1000])
def test_what_is_worked_on_at_once_does_not_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: int) -> None:
    """Tiles larger than a block are worked on in slabs, small ones several at once."""
    monkeypatch.setattr("imageserv.core.fits.tiledimage._BLOCK_PIXELS", 100)
    monkeypatch.setattr("imageserv.core.fits.tiledimage._HELD_PIXELS", held)
    for number, tile in enumerate([(3, 40, 50), (1, 1, 50), (2, 7, 11), (1, 40, 3)]):
        path = write(tmp_path / f"{number}.fits", noise((3, 40, 50)), tile_shape=tile, quantize_method=1, dither_seed=4)
        for section in [(slice(0, 3), slice(0, 40), slice(0, 50)), (slice(1, 3), slice(5, 31), slice(2, 47))]:
            assert_same(path, section)


@pytest.mark.parametrize("codec", ["RICE_1", "GZIP_1", "GZIP_2"])
@pytest.mark.parametrize("method", [-1, 1, 2])
def test_undefined_pixels_and_tiles_that_cannot_be_quantised(tmp_path: Path, codec: str, method: int) -> None:
    data = noise((60, 80))
    data[10:13, 20:60] = np.nan
    data[20:40, 40:60] = np.nan  # a whole tile
    data[40:60, :20] = 7.25  # no noise: kept as floating-point numbers
    data[0, 0] = 1e30
    path = write(
        tmp_path / "nan.fits", data, compression_type=codec, tile_shape=(20, 20), quantize_method=method, dither_seed=3
    )
    with read_fits(path, disable_image_compression=True) as hdus:
        kept = [len(value) for value in hdus[1].data["GZIP_COMPRESSED_DATA"]]
    assert any(kept) and not all(kept)
    section = (slice(0, 60), slice(0, 80))
    assert np.isnan(reader(path)(section)[11, 30])
    assert (reader(path)(section)[40:, :20] == np.float32(7.25)).all()
    assert_same(path, section)
    assert_same(path, (slice(9, 45), slice(15, 61)))


@given(st.lists(st.tuples(st.sampled_from([0, 0, 1, 2, 5000, 70000, 2**24 - 1]), st.integers(1, 9000)), max_size=12))
@settings(max_examples=80, deadline=None)
def test_pixel_lists(runs: list[tuple[int, int]]) -> None:
    data = np.concatenate([[1, 0, 4096], *[np.full(length, value) for value, length in runs]]).astype("i4")
    packed: Any = PLIO1(tilesize=data.size).encode(data)
    decode = decoder(HeaderTemplate(b"ZCMPTYPE= 'PLIO_1  '".ljust(80)), floating=False)
    words = np.frombuffer(packed, "i2").astype(">i2").view("u1")
    tile: Tile = decode(words, (data.size,), data.size)
    np.testing.assert_array_equal(tile.data, data)


# --- tables that astropy does not write


def table(path: Path, columns: list[fits.Column], shape: tuple[int, int], bitpix: int, **cards: Any) -> Path:
    """Write an image whose tiles are rows."""
    hdu = fits.BinTableHDU.from_columns(columns)
    made = {"ZIMAGE": True, "ZBITPIX": bitpix, "ZNAXIS": 2, "ZNAXIS1": shape[1], "ZNAXIS2": shape[0]}
    hdu.header.update({**made, "ZTILE1": shape[1], "ZTILE2": 1, "ZCMPTYPE": "NOCOMPRESS", **cards})
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path, overwrite=True)
    return path


def arrays(rows: list[Any], dtype: str) -> NDArray[Any]:
    made = np.empty(len(rows), object)
    made[:] = [np.frombuffer(np.asarray(row, dtype).tobytes(), "u1") for row in rows]
    return made


INTEGERS = np.random.default_rng(5).integers(-1000, 1000, (7, 13))
WHOLE = (slice(0, 7), slice(0, 13))


@pytest.mark.parametrize("form", ["PB()", "QB()", "1PB(52)"])
def test_descriptors_of_both_sizes(tmp_path: Path, form: str) -> None:
    column = fits.Column("COMPRESSED_DATA", form, array=arrays(list(INTEGERS), ">i4"))
    path = table(tmp_path / "t.fits", [column], (7, 13), 32)
    np.testing.assert_array_equal(reader(path)(WHOLE), INTEGERS)


def test_one_scale_for_all_tiles(tmp_path: Path) -> None:
    column = fits.Column("COMPRESSED_DATA", "PB()", array=arrays(list(INTEGERS), ">i4"))
    path = table(tmp_path / "t.fits", [column], (7, 13), -64, ZSCALE=0.3, ZZERO=5, ZBLANK=int(INTEGERS[3, 4]))
    right = INTEGERS * 0.3 + 5
    right[INTEGERS == INTEGERS[3, 4]] = np.nan
    np.testing.assert_array_equal(reader(path)(WHOLE), right)
    header = HeaderTemplate(image_header(read_layout(path, Limits()).hdus[1]))
    assert not {"ZSCALE", "ZZERO", "ZBLANK", "BLANK"} & header.places().keys()


def test_a_scale_and_a_blank_for_each_tile(tmp_path: Path) -> None:
    columns = [
        fits.Column("ZBLANK", "J", array=INTEGERS[:, 2]),
        fits.Column("OTHER", "3X", array=np.zeros((7, 3), bool)),
        fits.Column("COMPRESSED_DATA", "PB()", array=arrays(list(INTEGERS), ">i4")),
        fits.Column("ZSCALE", "E", array=np.arange(1, 8, dtype="f4") / 3),
    ]
    path = table(tmp_path / "t.fits", columns, (7, 13), -64)
    right = INTEGERS * (np.arange(1, 8, dtype="f4") / np.float32(3)).astype("f8")[:, None]
    right[INTEGERS == INTEGERS[:, 2:3]] = np.nan
    np.testing.assert_array_equal(reader(path)(WHOLE), right)


def test_integers_with_a_blank_for_each_tile_have_one_in_the_end(tmp_path: Path) -> None:
    columns = [
        fits.Column("COMPRESSED_DATA", "PB()", array=arrays(list(INTEGERS), ">i2")),
        fits.Column("ZBLANK", "J", array=INTEGERS[:, 2]),
    ]
    path = table(tmp_path / "t.fits", columns, (7, 13), 16, BLANK=-99)
    right = np.where(INTEGERS == INTEGERS[:, 2:3], -99, INTEGERS)
    np.testing.assert_array_equal(reader(path)(WHOLE), right)


def test_tiles_that_are_not_compressed_at_all(tmp_path: Path) -> None:
    floats = INTEGERS / 7
    packed = arrays([row if number % 2 else [] for number, row in enumerate(INTEGERS)], ">i4")
    unpacked = np.empty(7, object)
    unpacked[:] = [np.array([] if number % 2 else row, "f4") for number, row in enumerate(floats)]
    columns = [
        fits.Column("COMPRESSED_DATA", "PB()", array=packed),
        fits.Column("UNCOMPRESSED_DATA", "PE()", array=unpacked),
        fits.Column("ZSCALE", "D", array=np.full(7, 0.25)),
        fits.Column("ZZERO", "D", array=np.full(7, 1.0)),
    ]
    path = table(tmp_path / "t.fits", columns, (7, 13), -32)
    right = np.where(np.arange(7)[:, None] % 2, INTEGERS * 0.25 + 1, floats).astype("f4")
    np.testing.assert_array_equal(reader(path)(WHOLE), right)
    np.testing.assert_array_equal(reader(path)((slice(2, 3), slice(5, 9))), right[2:3, 5:9])


@pytest.mark.parametrize(
    "cards",
    [
        {"ZCMPTYPE": "ZSTD_1"},
        {"ZCMPTYPE": "RICE_1", "ZNAME1": "BLOCKSIZE", "ZVAL1": 0},
        {"ZCMPTYPE": "RICE_1", "ZNAME1": "BLOCKSIZE", "ZVAL1": 2**31},
        {"ZCMPTYPE": "RICE_1", "ZNAME1": "BYTEPIX", "ZVAL1": 3},
        {"ZQUANTIZ": "SUBTRACTIVE_DITHER_3", "ZSCALE": 1.0},
        {"ZQUANTIZ": "SUBTRACTIVE_DITHER_1", "ZSCALE": 1.0},
        {"ZSCALE": "one"},
        {"ZMASKCMP": "RICE_1"},
    ],
)
def test_what_is_not_read_is_refused(tmp_path: Path, cards: dict[str, Any]) -> None:
    column = fits.Column("COMPRESSED_DATA", "PB()", array=arrays(list(INTEGERS), ">i4"))
    path = table(tmp_path / "t.fits", [column], (7, 13), -32, **cards)
    with pytest.raises(
        UnsupportedFault, match="|".join(["ZCMPTYPE", "Rice", "ZQUANTIZ", "ZDITHER0", "ZSCALE", "ZMASKCMP"])
    ):
        reader(path)(WHOLE)


def test_scaled_integers_are_refused(tmp_path: Path) -> None:
    column = fits.Column("COMPRESSED_DATA", "PB()", array=arrays(list(INTEGERS), ">i4"))
    path = table(tmp_path / "t.fits", [column], (7, 13), 32, ZSCALE=2.0)
    with pytest.raises(UnsupportedFault, match="scaled"):
        reader(path)(WHOLE)


def test_a_narrow_part_of_a_large_tile_takes_little_more_memory_than_the_tile(tmp_path: Path) -> None:
    data = np.tile(noise((8, 1024)), (512, 1))
    path = write(tmp_path / "a.fits", data, tile_shape=data.shape, quantize_method=1, dither_seed=3)
    read = reader(path)
    tracemalloc.start()
    try:
        read((slice(0, 4096), slice(7, 9)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * data.size  # the tile's pixels have 4 bytes each; its dither would have 8


# --- damage


@pytest.mark.parametrize(
    ("keyword", "value", "match"),
    [("ZNAXIS2", 8, "7 rows"), ("TFORM1", "1B", "no tiles"), ("ZTILE1", 0, "0 pixels"), ("ZTILE1", 5, "rows")],
)
def test_a_table_that_does_not_fit_the_image_is_refused(tmp_path: Path, keyword: str, value: Any, match: str) -> None:
    column = fits.Column("COMPRESSED_DATA", "PB()", array=arrays(list(INTEGERS), ">i4"))
    path = table(tmp_path / "t.fits", [column], (7, 13), 32)
    content = path.read_bytes()
    at = content.index(f"{keyword:<8}=".encode())
    shown = f"'{value}'" if isinstance(value, str) else value
    path.write_bytes(content[:at] + f"{keyword:<8}= {shown:>20}".ljust(80).encode() + content[at + 80 :])
    with pytest.raises(FitsFault, match=match):
        reader(path)(WHOLE)


@pytest.mark.parametrize(
    ("count", "offset"), [(2**31, 0), (53, 2**31), (10, 0), (0, 0), (2**31 - 1, 2**31 - 1), (1, 13 * 4 * 7)]
)
def test_descriptors_that_point_elsewhere_are_refused(tmp_path: Path, count: int, offset: int) -> None:
    column = fits.Column("COMPRESSED_DATA", "PB()", array=arrays(list(INTEGERS), ">i4"))
    path = table(tmp_path / "t.fits", [column], (7, 13), 32)
    hdu = read_layout(path, Limits()).hdus[1]
    content = bytearray(path.read_bytes())
    content[hdu.data_offset + 16 : hdu.data_offset + 24] = np.array([count, offset], ">u4").tobytes()
    path.write_bytes(content)
    np.testing.assert_array_equal(reader(path)((slice(3, 7), slice(0, 13))), INTEGERS[3:])
    with pytest.raises(FitsFault, match="tile 3"):
        reader(path)(WHOLE)


@pytest.mark.parametrize("codec", ["RICE_1", "GZIP_1", "GZIP_2", "PLIO_1", "HCOMPRESS_1"])
@pytest.mark.parametrize("dtype", ["i2", "f4"])
def test_damage_of_any_kind_does_no_harm(tmp_path: Path, codec: str, dtype: str) -> None:
    data = np.abs(noise((40, 50), dtype))
    path = write(tmp_path / "good.fits", data, compression_type=codec, tile_shape=(20, 25), quantize_level=16)
    hdu = read_layout(path, Limits()).hdus[1]
    good = path.read_bytes()
    random = np.random.default_rng(3)
    damaged = tmp_path / "bad.fits"
    for number in range(150):
        content = bytearray(good)
        start = hdu.data_offset + int(random.integers(0, hdu.data_size))
        length = int(random.integers(1, 400))
        end = min(start + length, hdu.data_offset + hdu.data_size)
        content[start:end] = [bytes(end - start), b"\xff" * (end - start), random.bytes(end - start)][number % 3]
        damaged.write_bytes(content)
        try:
            pixels = reader(damaged)((slice(0, 40), slice(0, 50)))
        except ImageServError:
            continue
        assert pixels.shape == (40, 50)


@pytest.mark.parametrize("fill", [b"\x00", b"\xff", b"\x55"])
def test_rice_that_goes_on_beyond_the_end_of_the_file(tmp_path: Path, fill: bytes) -> None:
    path = write(tmp_path / "end.fits", noise((400, 500), "i4"), compression_type="RICE_1", tile_shape=(400, 500))
    hdu = read_layout(path, Limits()).hdus[1]
    content = bytearray(path.read_bytes())
    content[hdu.data_offset + 100 :] = fill * (len(content) - hdu.data_offset - 100)
    path.write_bytes(content)
    try:
        reader(path)((slice(0, 400), slice(0, 500)))
    except FitsFault as fault:
        assert "tile 1 " in fault.message


# --- the cache


def tile(size: int) -> Tile:
    return Tile(np.zeros(size, "u1"), np.dtype("u1"))


def test_tiles_longest_unused_go_first() -> None:
    cache = TileCache(400)
    for name in "abcd":
        cache.put(name, tile(100))
    assert cache.get("a", 100) is not None
    cache.put("e", tile(100))
    assert [name for name in "abcde" if cache.get(name, 1)] == ["a", "c", "d", "e"]
    cache.put("a", tile(50))
    cache.put("f", tile(50))
    assert [name for name in "abcdef" if cache.get(name, 1)] == ["a", "c", "d", "e", "f"]


def test_a_tile_decoded_in_part_serves_what_is_in_that_part() -> None:
    cache = TileCache(1000)
    cache.put("a", tile(100))
    assert cache.get("a", 100) is not None
    assert cache.get("a", 101) is None


def test_no_tile_takes_the_whole_cache_and_none_is_kept_without_room() -> None:
    cache = TileCache(400)
    cache.put("small", tile(100))
    cache.put("large", tile(101))
    assert cache.get("small", 1) is not None
    assert cache.get("large", 1) is None
    cache = TileCache(0)
    cache.put("a", tile(1))
    assert cache.get("a", 1) is None


def test_a_changed_file_never_meets_old_tiles(tmp_path: Path) -> None:
    cache = TileCache(1 << 20)
    data = noise((30, 40), "i4")
    path = write(tmp_path / "a.fits", data)
    whole = (slice(0, 30), slice(0, 40))
    np.testing.assert_array_equal(reader(path, cache)(whole), data)
    path.unlink()
    write(path, data + 1)
    np.testing.assert_array_equal(reader(path, cache)(whole), data + 1)


def test_threads_that_read_one_image(tmp_path: Path) -> None:
    data = noise((200, 300))
    path = write(tmp_path / "a.fits", data, tile_shape=(20, 30), quantize_method=1, dither_seed=5)
    right = expected(path, (slice(0, 200), slice(0, 300)))
    read = reader(path, TileCache(20_000))
    random = np.random.default_rng(1)
    corners = random.integers(0, 100, (200, 2)).tolist()

    def one(corner: list[int]) -> bool:
        section = slice(corner[0], corner[0] + 90), slice(corner[1], corner[1] + 150)
        return bool((read(section) == right[section]).all())

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(one, corners))
