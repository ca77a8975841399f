"""Layouts, against astropy's own; and files that want to be more than they are."""

import gzip
import io
import subprocess
import sys
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imageserv.core.config import Limits
from imageserv.core.errors import FitsFault
from imageserv.core.fits.layout import Hdu, Layout, read_layout
from imageserv.core.fits.packing import Packer

SMALL = Limits(max_header_bytes=28800, max_hdus=20, max_unpacked_bytes=1_000_000)


def card(text: str) -> bytes:
    return text.ljust(80).encode()


def block(*cards: str) -> bytes:
    return b"".join(map(card, cards)).ljust(2880)


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Make a file with one HDU of every kind."""
    path = tmp_path / "mixed.fits"
    hdus = [
        fits.PrimaryHDU(np.zeros((7, 5), "i2")),
        fits.ImageHDU(np.zeros((3, 7, 5), "f8"), name="CUBE"),
        fits.BinTableHDU.from_columns([fits.Column("x", "PJ()", array=np.array([[1], [2, 3]], dtype=object))]),
        fits.TableHDU.from_columns([fits.Column("a", "A5", array=np.array(["x", "y"]), ascii=True)]),
        fits.CompImageHDU(np.zeros((40, 30), "i4"), name="TILES"),
        fits.ImageHDU(),
    ]
    fits.HDUList(hdus).writeto(path)
    return path


def test_offsets_and_shapes_are_astropys(mixed: Path) -> None:
    layout = read_layout(mixed, Limits())
    assert [hdu.kind for hdu in layout.hdus] == ["image", "image", "table", "table", "compressed", "other"]
    with fits.open(mixed, disable_image_compression=True) as hdus:
        for hdu, expected in zip(layout.hdus, hdus, strict=True):
            info = expected.fileinfo()
            assert (hdu.offset, hdu.data_offset, hdu.end - hdu.data_offset) == (
                info["hdrLoc"], info["datLoc"], info["datSpan"],
            )  # fmt: skip
            assert hdu.name == expected.name.replace("PRIMARY", "")
            assert repr(hdu.parsed()) == repr(expected.header)
    assert layout.hdus[1].shape == (5, 7, 3)
    assert (layout.hdus[4].shape, layout.hdus[4].bitpix) == ((30, 40), 32)
    assert layout.size == mixed.stat().st_size


def test_a_gzipped_file_has_the_layout_of_what_it_holds(mixed: Path) -> None:
    packed = mixed.with_suffix(".gz")
    packed.write_bytes(gzip.compress(mixed.read_bytes()))
    plain, layout = read_layout(mixed, Limits()), read_layout(packed, Limits())
    assert layout.packed and not plain.packed
    assert (layout.hdus, layout.size) == (plain.hdus, plain.size)
    assert [hdu.header for hdu in layout.hdus] == [hdu.header for hdu in plain.hdus]


def test_a_layout_survives_the_registry(mixed: Path) -> None:
    layout = read_layout(mixed, Limits())
    packer = Packer(b"")
    read = Layout.from_packed(packer.pack(layout.to_bytes()), packer)
    assert read == layout
    assert [hdu.header for hdu in read.hdus] == [hdu.header for hdu in layout.hdus]
    assert [hdu.length for hdu in read.hdus] == [len(hdu.header) for hdu in layout.hdus]


@given(
    sign=st.sampled_from(["= ", "=", "= '"]),
    text=st.text("'TF0123456789+-.eEdD/ ab=&", max_size=60),
    more=st.sampled_from(["", "CONTINUE  'and so on'", "CONTINUE  and so on"]),
)
def test_values_are_those_that_astropy_reads(sign: str, text: str, more: str) -> None:
    cards = card(f"KEYWORD {sign}{text}") + (card(more) if more else b"")
    hdu = Hdu(0, "other", cards + card("END"), 0, 0, 0, 8, (), "")
    astropys: Any = fits.Card

    def outcome(read: Callable[[], object]) -> str:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                return repr(read())
            except (fits.VerifyError, ValueError):
                return "unreadable"

    assert outcome(lambda: hdu.get("KEYWORD")) == outcome(lambda: astropys.fromstring(cards).value)


def test_a_value_that_goes_on_and_on_is_looked_at_once() -> None:
    """In a process of its own, for what backtracks through all that cannot be stopped here: it would take minutes."""
    program = """
from astropy.io import fits
from imageserv.core.fits.layout import Hdu
cards = "".join(text.ljust(80) for text in ("KEYWORD = ", *["CONTINUE"] * 20_000, "CONTINUE  x'", "END"))
try:
    Hdu(0, "other", cards.encode(), 0, 0, 0, 8, (), "").get("KEYWORD")
except fits.VerifyError:
    print("refused")
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert run.stdout == "refused\n"


def test_random_groups_hold_no_image(tmp_path: Path) -> None:
    groups = fits.GroupData(np.zeros((4, 3, 2), "f4"), bitpix=-32, pardata=[np.zeros(4)], parnames=["u"])
    path = tmp_path / "groups.fits"
    fits.GroupsHDU(groups).writeto(path)
    hdu = read_layout(path, Limits()).hdus[0]
    assert hdu.kind == "other"
    assert hdu.end == path.stat().st_size


HEAD = ["SIMPLE  =                    T", "BITPIX  =                    8"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"hello, world", "SIMPLE"),
        (b"\x89PNG\r\n\x1a\n" + bytes(3000), "SIMPLE"),
        (b"BZh91AY&SY" + bytes(100), "bzip2"),
        (block(*HEAD, "NAXIS   =                    0"), "no END"),
        (block(*HEAD, "NAXIS   =                    0") * 11 + block("END"), "longer than 28800"),
        (block(*HEAD, "END"), "NAXIS is absent"),
        (block(HEAD[0], "BITPIX  =                   17", "NAXIS   =                    0", "END"), "BITPIX is 17"),
        (block(*HEAD, "NAXIS   =                   -1", "END"), "NAXIS is -1"),
        (block(*HEAD, "NAXIS   =            100000000", "END"), "NAXIS is 100000000"),
        (block(*HEAD, "NAXIS   =                    1", "NAXIS1  = 'abc'", "END"), "NAXIS1 is 'abc'"),
        (block(*HEAD, "NAXIS   =                    1", "NAXIS1  =                   30 x", "END"), "NAXIS1 is absent"),
        (block(*HEAD, "NAXIS   =                    1", "NAXIS1  =                  1_0", "END"), "NAXIS1 is absent"),
        (block(*HEAD, "NAXIS   =                    1", "NAXIS1                       10", "END"), "NAXIS1 is absent"),
        (block(*HEAD, "NAXIS   =                    1", "NAXIS1  =                   -5", "END"), "no image has: -5"),
        (
            block(*HEAD, "NAXIS   =                    2", "NAXIS1  = 777777701", "NAXIS2  = 777777701", "END"),
            "cut short",
        ),
        (block(*HEAD, "NAXIS   =                    1", "NAXIS1  = 10000", "END") + bytes(5000), "cut short"),
        (block(*HEAD, "NAXIS   =                    0", "END") + block("XTENSION= 'IMAGE'", "BITPIX  = 8"), "HDU 1"),
        (block(*HEAD, "NAXIS   =                    0", "END") * 1 + block(
            "XTENSION= 'IMAGE'", "BITPIX  = 8", "NAXIS   = 0", "PCOUNT  = 0", "GCOUNT  = 1", "END") * 21, "20 HDUs"),
        (
            block(*HEAD, "NAXIS   =                    0", "END")
            + block("XTENSION= 'BINTABLE'", "BITPIX  = 8", "NAXIS   = 2", "NAXIS1  = 8", "NAXIS2  = 0",
                    "PCOUNT  = 999999999999", "GCOUNT  = 1", "END"),
            "cut short",
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("packed", [False, True])
def test_files_that_are_refused(tmp_path: Path, content: bytes, reason: str, packed: bool) -> None:
    path = tmp_path / "bad.fits"
    path.write_bytes(gzip.compress(content) if packed else content)
    if packed and reason == "cut short":
        reason = "cut short|unpacks to more"
    if packed and reason == "bzip2":
        reason = "SIMPLE"
    with pytest.raises(FitsFault, match=reason):
        read_layout(path, SMALL)


def test_an_axis_of_no_length_needs_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "zero.fits"
    path.write_bytes(block(*HEAD, "NAXIS   = 2", "NAXIS1  = 777777701", "NAXIS2  = 0", "END"))
    hdu = read_layout(path, SMALL).hdus[0]
    assert (hdu.kind, hdu.data_size) == ("other", 0)


def test_a_small_file_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.fits.gz"
    head = block(*HEAD, "NAXIS   = 1", "NAXIS1  = 900000", "END")
    for tail in (2 << 20, 300 << 20):
        packer = zlib.compressobj(9, wbits=31)
        content = packer.compress(head) + b"".join(packer.compress(bytes(1 << 20)) for _ in range(tail >> 20))
        path.write_bytes(content + packer.flush())
        with pytest.raises(FitsFault, match="unpacks to more than 1000000"):
            read_layout(path, SMALL)


def test_a_damaged_gzip_file_is_refused(mixed: Path) -> None:
    packed = mixed.with_suffix(".gz")
    content = gzip.compress(mixed.read_bytes())
    for damage in (content[: len(content) // 2], content[:40] + b"\0\0\0\0" + content[44:]):
        packed.write_bytes(damage)
        with pytest.raises(FitsFault):
            read_layout(packed, Limits())


def test_missing_padding_and_trailing_junk_are_forgiven(mixed: Path) -> None:
    content = mixed.read_bytes()
    one = fits.HDUList([fits.PrimaryHDU(np.zeros(10, "u1"))])
    buffer = io.BytesIO()
    one.writeto(buffer)
    mixed.write_bytes(buffer.getvalue()[: 2880 + 10])
    assert read_layout(mixed, Limits()).hdus[0].data_size == 10
    mixed.write_bytes(content + b"special records" * 1000)
    assert len(read_layout(mixed, Limits()).hdus) == 6


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_damage_anywhere_is_refused_or_read(mixed: Path, data: st.DataObject) -> None:
    content = bytearray(mixed.read_bytes())
    for _ in range(data.draw(st.integers(1, 5))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    broken = mixed.with_name("broken.fits")
    broken.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        layout = read_layout(broken, SMALL)
    except FitsFault as fault:
        assert str(fault)
    else:
        size = broken.stat().st_size
        assert all(hdu.data_offset + hdu.data_size <= size for hdu in layout.hdus)
