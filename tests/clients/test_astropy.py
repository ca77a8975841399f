"""astropy, fsspec and Python's own urllib: tables, files and cutouts opened by their addresses."""

import io
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

import fsspec
import numpy as np
import pytest
from astropy.config.paths import set_temp_cache
from astropy.io import fits, votable
from astropy.nddata import CCDData
from astropy.table import Table
from astropy.utils.data import get_file_contents
from astropy.wcs import WCS

# astropy's annotations tell little of what these give.
read_fits: Any = fits.open
read_table: Any = Table.read
parse_votable: Any = votable.parse
contents_of: Any = get_file_contents
wcs_of: Any = WCS


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Any) -> Iterator[None]:
    """Keep what astropy downloads apart from the user's."""
    with set_temp_cache(tmp_path, delete=True):
        yield


def test_a_table_of_a_search(site: Any) -> None:
    table = read_table(f"{site.url}/sia?COLLECTION=SKY&POS=CIRCLE+0+10+0.1")  # recognised by its content
    assert set(table["target_name"]) == {"zero", "plate", "galaxy"}
    assert table["s_ra"].unit == "deg" and table["access_estsize"].unit == "kbyte"
    zero = table[[name == "zero" for name in table["target_name"]]][0]
    assert zero["t_max"] == pytest.approx(55000.251, abs=1e-9)
    assert np.ma.is_masked(zero["em_min"]) or np.isnan(zero["em_min"])


def test_a_table_of_links(site: Any) -> None:
    table = read_table(f"{site.url}/links?ID={urllib.parse.quote(site.dids['a name'], safe='')}")
    assert list(table["semantics"]) == ["#this", "#cutout"]
    assert table["content_length"].unit == "byte"


@pytest.mark.parametrize(("short", "format"), [("csv", "ascii.csv"), ("tsv", "ascii.tab")])
def test_tables_in_other_formats(site: Any, short: str, format: str) -> None:
    address = f"{site.url}/sia?COLLECTION=SKY&COLLECTION=STRIPE&RESPONSEFORMAT={short}"
    table = read_table(address, format=format)
    # Without this astropy calls a column by its XML ID, where it has one.
    same = read_table(address.replace(short, "votable"), use_names_over_ids=True)
    assert table.colnames == same.colnames
    assert list(table["obs_publisher_did"]) == list(same["obs_publisher_did"])
    for name in ("s_ra", "s_dec", "em_min", "t_exptime", "pol_xel", "access_estsize"):
        numbers: Any = np.ma.filled(np.ma.asarray(table[name], float), np.nan)
        np.testing.assert_array_equal(numbers, np.ma.filled(np.ma.asarray(same[name], float), np.nan))


def test_strict_reading(site: Any) -> None:
    queries = ("sia?MAXREC=0", "sia?COLLECTION=SKY", f"links?ID={site.dids['cube']}&ID={site.dids['zero']}", "links")
    for query in queries:
        with urllib.request.urlopen(f"{site.url}/{query}") as answer:
            parse_votable(io.BytesIO(answer.read()), verify="exception")


@pytest.mark.parametrize("blank", ["%20", "+"])
def test_a_cutout_by_its_address(site: Any, blank: str) -> None:
    address = f"{site.url}/sync?ID={site.dids['zero']}&POS=CIRCLE 0 10 0.05".replace(" ", blank)
    with read_fits(address) as hdus:
        assert site.place("zero", np.array(hdus[0].data)) == ((24, 36), (19, 31))


def test_a_cutout_as_an_image_with_units_of_the_user(site: Any) -> None:
    address = f"{site.url}/sync?ID={site.dids['twin']}&CIRCLE=220+60+0.05"
    read: Any = CCDData.read
    image = read(address, unit="adu")
    spans = site.place("twin", np.array(image.data))
    place = image.wcs.pixel_to_world(0, 0)
    parent = wcs_of(site.images["twin"].header).pixel_to_world(spans[0][0], spans[1][0])
    assert place.separation(parent).arcsec < 1e-6


@pytest.mark.parametrize("name", ["zero", "a name", "etoile", "packed", "Twin", "twin", "stokes"])
def test_a_file_by_its_address(site: Any, name: str) -> None:
    table = read_table(f"{site.url}/links?ID={urllib.parse.quote(site.dids[name], safe='')}")
    address = str(table["access_url"][0])
    assert address.isascii() and " " not in address and "?" not in address
    with read_fits(address) as hdus:
        assert site.place(name, np.array(hdus[0].data)) == tuple((0, n) for n in reversed(hdus[0].data.shape))
    content = site.client.get(address)
    assert int(table["content_length"][0]) == len(content.content)
    if not site.images[name].path.name.endswith(".gz"):
        assert content.content == site.images[name].path.read_bytes()


def test_a_tile_compressed_file_by_its_address(site: Any) -> None:
    table = read_table(f"{site.url}/links?ID={site.dids['tiles']}")
    with read_fits(str(table["access_url"][0])) as hdus:
        assert site.place("tiles", np.array(hdus[1].data)) == ((0, 60), (0, 50))


@pytest.mark.parametrize("name", ["big", "packed", "many-1234"])
def test_a_part_of_a_file_in_ranges(site: Any, name: str) -> None:
    number = 1 + int(name.removeprefix("many-")) if name.startswith("many-") else 0
    table = read_table(f"{site.url}/sia?TARGET={name}")
    links = read_table(str(table["access_url"][0]))
    options = {"block_size": 5760, "cache_type": "readahead"}
    with read_fits(str(links["access_url"][0]), use_fsspec=True, fsspec_kwargs=options) as hdus:
        part = np.array(hdus[number].section[1:3, 2:4])
    assert site.place(name, part) == ((2, 4), (1, 3))


def test_fsspec_sees_a_file_that_can_be_read_from_anywhere(site: Any) -> None:
    filesystem: Any = fsspec.filesystem("http")
    links = read_table(f"{site.url}/links?ID={site.dids['big']}")
    address = str(links["access_url"][0])
    stored = site.images["big"].path.read_bytes()
    facts = filesystem.info(address)
    assert (facts["size"], facts["mimetype"]) == (len(stored), "application/fits")
    assert filesystem.cat_file(address, start=2880, end=2980) == stored[2880:2980]
    assert filesystem.cat_file(address, start=-100) == stored[-100:]
    with filesystem.open(address, block_size=1000) as file:
        file.seek(100_001)
        assert file.read(17) == stored[100_001:100_018]
    assert filesystem.cat_ranges([address] * 2, [0, 50_000], [10, 50_010]) == [stored[:10], stored[50_000:50_010]]


def test_what_is_downloaded_to_a_cache(site: Any) -> None:
    address = f"{site.url}/sync?ID={site.dids['zero']}&PIXELS=[1:2,3:4]"
    first = contents_of(address, encoding="binary", cache=True)
    assert contents_of(address, encoding="binary", cache=True) == first
    assert site.window("zero", first) == ((0, 2), (2, 4))
