"""Files that mean harm, or are merely very odd: refused within limits, or served right."""

import gzip
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from imageserv.core.config import Limits
from imageserv.core.errors import FitsFault, LimitFault, UnavailableFault, UnsupportedFault
from imageserv.core.fits.cards import make_card
from imageserv.core.fits.engine import CutoutRequest, cut
from imageserv.core.fits.layout import read_layout
from imageserv.core.fits.opened import OpenImage
from imageserv.core.fits.output import write
from imageserv.core.fits.wcscards import wcs_header
from imageserv.core.sky.stencil import Box
from imageserv.core.sky.wcs import SkyWcs

# astropy's annotations tell little of what these give.
read_fits: Any = fits.open
wcs_of: Any = WCS


OpenFits = Callable[..., OpenImage]
HERE = Box(150.1, 2.2, 5, 5, "pixel")


def header(**cards: Any) -> fits.Header:
    made = fits.Header({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 150.1, "CRVAL2": 2.2})
    made.update({"CRPIX1": 60.0, "CRPIX2": 40.0, "CDELT1": -1e-4, "CDELT2": 1e-4, **cards})
    return made


def image(**cards: Any) -> Any:
    return fits.PrimaryHDU(np.arange(90 * 120, dtype="f4").reshape(90, 120), header(**cards))


@pytest.mark.parametrize(
    "bad", ["CRPIX1  = 'abc'", "CRPIX1  = 1.0.0", "LONPOLE = 'x'", "EQUINOX = 'J2000'", "PV1_10   = 1"]
)
def test_any_number_of_bad_wcs_cards_does_no_harm(open_fits: OpenFits, tmp_path: Path, bad: str) -> None:
    path = tmp_path / "bad.fits"
    made = image()
    made.writeto(path)
    content = path.read_bytes()
    end = content.index(b"END" + b" " * 77)
    cards = content[:end] + bad.ljust(80).encode() * 400 + b"END".ljust(80)
    path.write_bytes(cards.ljust(-(-len(cards) // 2880) * 2880) + made.data.astype(">f4").tobytes())
    keyword = bad[:8].strip()
    if keyword in ("CRPIX1", "LONPOLE"):  # a card that must change and cannot; one that would turn the sky
        with pytest.raises(UnsupportedFault, match=keyword):
            cut(open_fits(path), CutoutRequest(HERE, "planes"))
        return
    child = read_fits(io.BytesIO(write(cut(open_fits(path), CutoutRequest(HERE, "planes")))))
    np.testing.assert_array_equal(child[0].data, made.data[37:42, 57:62])


def test_of_a_repeated_card_the_last_counts_as_wcslib_has_it(tmp_path: Path) -> None:
    path = tmp_path / "twice.fits"
    made = image()
    made.header.append(("CRPIX1", 7.0))
    made.writeto(path, output_verify="ignore")
    ours = SkyWcs(wcs_header(read_layout(path, Limits()).hdus[0]))
    expected = wcs_of(fits.getheader(path)).all_pix2world([[3.0, 4.0]], 0)[0]
    ra, dec = ours.to_sky(np.array([3.0]), np.array([4.0]))
    np.testing.assert_allclose([ra[0], dec[0]], expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("keyword", ["CRVAL1", "CRPIX2", "CDELT1"])
def test_a_word_where_the_wcs_needs_a_number_is_refused(tmp_path: Path, keyword: str) -> None:
    """Left out, the card would count as 0 or 1, and the image would be served from elsewhere on the sky."""
    path = tmp_path / "word.fits"
    made = image()
    made.header[keyword] = "noon"
    made.writeto(path)
    with pytest.raises(UnsupportedFault, match=keyword):
        wcs_header(read_layout(path, Limits()).hdus[0])


def test_a_wcs_of_thousands_of_cards_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "many.fits"
    made = image()
    for term in range(5000):
        made.header[f"PV1_{term}"] = 0.0
    made.writeto(path)
    with pytest.raises(UnsupportedFault, match="cards"):
        wcs_header(read_layout(path, Limits()).hdus[0])


def test_the_headers_of_all_hdus_are_bounded_together(tmp_path: Path) -> None:
    path = tmp_path / "many.fits"
    fits.HDUList([fits.PrimaryHDU(), *(fits.ImageHDU() for _ in range(20))]).writeto(path)
    assert len(read_layout(path, Limits(max_headers_bytes=21 * 2880)).hdus) == 21
    with pytest.raises(FitsFault, match="60479"):
        read_layout(path, Limits(max_headers_bytes=21 * 2880 - 1))


def test_an_axis_that_no_image_has_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "huge.fits"
    tiles = fits.CompImageHDU(np.zeros((30, 20), "i2"))
    fits.HDUList([fits.PrimaryHDU(), tiles]).writeto(path)
    content = path.read_bytes()
    start = content.index(b"ZNAXIS1 =")
    path.write_bytes(content[:start] + b"ZNAXIS1 = 10000000000000000000000000".ljust(80) + content[start + 80 :])
    with pytest.raises(FitsFault, match="no image has"):
        read_layout(path, Limits())


@pytest.mark.parametrize("codec", ["GZIP_1", "GZIP_2"])
def test_a_tile_that_unpacks_to_more_than_its_pixels_is_refused(
    open_fits: OpenFits, tmp_path: Path, codec: str
) -> None:
    path = tmp_path / "bomb.fits"
    tiles = fits.CompImageHDU(np.zeros((90, 120), "i4"), header(), compression_type=codec, tile_shape=(90, 120))
    fits.HDUList([fits.PrimaryHDU(), tiles]).writeto(path)
    with read_fits(path, disable_image_compression=True) as hdus:
        bomb = gzip.compress(bytes(50_000_000))
        column = fits.Column(
            "COMPRESSED_DATA", f"1PB({len(bomb)})", array=np.array([np.frombuffer(bomb, "u1"), None], object)[:1]
        )
        table = fits.BinTableHDU.from_columns([column], header=hdus[1].header)
        fits.HDUList([fits.PrimaryHDU(), table]).writeto(path, overwrite=True)
    with pytest.raises(FitsFault, match="more than its pixels"):
        write(cut(open_fits(path), CutoutRequest(HERE, "planes")))


@pytest.mark.parametrize("tile", [(90, 120), (7, 11), (1, 120)])
def test_only_the_tiles_touched_are_looked_at(open_fits: OpenFits, tmp_path: Path, tile: tuple[int, int]) -> None:
    """Damage in every other tile does not show."""
    path = tmp_path / "tiles.fits"
    data = np.random.default_rng(82).integers(-1000, 1000, (90, 120), dtype="i4")
    tiles = fits.CompImageHDU(data, header(), compression_type="GZIP_1", tile_shape=tile)
    fits.HDUList([fits.PrimaryHDU(), tiles]).writeto(path)
    touched = {(y // tile[0]) * -(-120 // tile[1]) + x // tile[1] for y in range(37, 42) for x in range(57, 62)}
    with read_fits(path, mode="update", disable_image_compression=True) as hdus:
        for row in set(range(len(hdus[1].data))) - touched:
            hdus[1].data["COMPRESSED_DATA"][row][:] = 0
    child = read_fits(io.BytesIO(write(cut(open_fits(path), CutoutRequest(HERE, "planes")))))
    np.testing.assert_array_equal(child[1].data, data[37:42, 57:62])


def test_what_is_copied_beside_a_cutout_is_bounded(open_fits: OpenFits, tmp_path: Path) -> None:
    path = tmp_path / "table.fits"
    table = fits.BinTableHDU.from_columns([fits.Column("x", "J", array=np.arange(1000))])
    fits.HDUList([image(), table]).writeto(path)
    request = CutoutRequest(HERE, "all")
    assert len(cut(open_fits(path, limits=Limits(max_copied_bytes=4000)), request).hdus) == 2
    with pytest.raises(LimitFault, match="4000"):
        cut(open_fits(path, limits=Limits(max_copied_bytes=3999)), request)


def test_no_checksum_is_wrong_in_a_cutout_with_all_hdus(open_fits: OpenFits, tmp_path: Path) -> None:
    path = tmp_path / "sums.fits"
    table = fits.BinTableHDU.from_columns([fits.Column("x", "J", array=np.arange(9))])
    made = image()
    plane = fits.ImageHDU(made.data, made.header)
    fits.HDUList([fits.PrimaryHDU(), plane, table]).writeto(path, checksum=True)
    content = write(cut(open_fits(path, 1), CutoutRequest(HERE, "all")), [make_card("CUTCAND", 1)])
    with read_fits(io.BytesIO(content)) as hdus:
        assert "CHECKSUM" not in hdus[0].header
        assert "CHECKSUM" not in hdus[1].header
        assert hdus[2].verify_checksum() == 1 and hdus[2].verify_datasum() == 1


def test_a_cutout_of_a_cutout_reports_its_own_parent(open_fits: OpenFits, tmp_path: Path) -> None:
    first = tmp_path / "first.fits"
    image().writeto(first)
    report = [make_card("CUTID", "ivo://x/" + "a" * 90), make_card("CUTREQ", "[1:2,3:4]")]
    second = tmp_path / "second.fits"
    large = Box(150.1, 2.2, 50, 50, "pixel")
    second.write_bytes(write(cut(open_fits(first), CutoutRequest(large, "planes")), report))
    report = [make_card("CUTID", "ivo://x/b"), make_card("CUTREQ", "[5:6,7:8]")]
    content = write(cut(open_fits(second), CutoutRequest(HERE, "planes")), report)
    child = read_fits(io.BytesIO(content))[0].header
    assert (child["CUTID"], child["CUTREQ"]) == ("ivo://x/b", "[5:6,7:8]")
    assert child.count("CUTID") == child.count("CUTREQ") == 1
    assert "CONTINUE" not in child


@pytest.mark.parametrize("detail", ["image", "planes", "all"])
def test_a_wcs_in_a_table_comes_with_the_table(open_fits: OpenFits, tmp_path: Path, detail: Any) -> None:
    path = tmp_path / "tab.fits"
    made = header(CTYPE3="WAVE-TAB", CRVAL3=1.0, CRPIX3=1.0, CDELT3=1.0, PS3_0="WCS-TAB", PS3_1="COORDS")
    cube = fits.PrimaryHDU(np.zeros((3, 90, 120), "f4"))
    cube.header.update(made)
    coordinates = fits.Column("COORDS", "3D", dim="(1,3)", array=np.array([[[5e-7], [6e-7], [7e-7]]]))
    tables = [fits.BinTableHDU.from_columns([coordinates], name=name) for name in ("OTHER", "WCS-TAB")]
    fits.HDUList([cube, *tables]).writeto(path)
    hdus = read_fits(io.BytesIO(write(cut(open_fits(path), CutoutRequest(HERE, detail)))))
    assert [hdu.name for hdu in hdus[1:]] == (["OTHER", "WCS-TAB"] if detail == "all" else ["WCS-TAB"])


def test_a_file_that_is_replaced_before_it_is_opened_is_not_cut(open_fits: OpenFits, tmp_path: Path) -> None:
    path = tmp_path / "replaced.fits"
    image().writeto(path)
    known = open_fits(path)
    image(CRPIX1=3.0).writeto(path, overwrite=True)
    os.utime(path, ns=(1, 1))
    assert path.stat().st_size == known.layout.size
    with pytest.raises(UnavailableFault, match="being changed"):
        OpenImage(known.record, known.layout, path, Limits())


def test_positions_in_the_cubes_of_csc_are_found(tmp_path: Path) -> None:
    """Quadrilateralized spherical cubes: wcslib inverts them to some hundredths of a pixel."""
    made = header(CTYPE1="RA---CSC", CTYPE2="DEC--CSC", CDELT1=-0.32, CDELT2=0.32)
    wcs = SkyWcs(made)
    for x, y in [(50.3, 40.2), (70.0, 30.5), (90.1, 80.9)]:
        ra, dec = wcs.to_sky(np.array([x]), np.array([y]))
        found = wcs.to_pixel(float(ra[0]), float(dec[0]))
        assert found is not None
        np.testing.assert_allclose(found, (x, y), atol=0.05)
