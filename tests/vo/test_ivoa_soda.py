"""SODA: each parameter does what it says, each error is told in SODA's words, and HTTP is kept to."""

import io
from collections.abc import Callable, Iterator, Mapping
from email.utils import formatdate, parsedate_to_datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from lxml import etree

from imageserv.core.errors import AuthenticationFault, AuthorizationFault, FitsFault, UnavailableFault
from imageserv.core.service import Service

SYNC = "/api/image/vo/sync"
SDSS = "ivo://example.org/DC_W13_Stripe82"
G, R = f"{SDSS}?raw/5646/4/694/g", f"{SDSS}?raw/5646/4/694/r"
CALEXP = f"{SDSS}?calexp/5646/4/694/g"
CUBES = "ivo://example.org/CUBES?image"
RA, DEC = 37.64516, 0.10322

# astropy's annotations tell little of what these give.
read_fits: Any = fits.open
wcs_of: Any = WCS


def ask(client: httpx.Client, **params: Any) -> httpx.Response:
    return client.get(SYNC, params=params)


def cut(client: httpx.Client, **params: Any) -> Any:
    """Return the HDUs of a cutout."""
    response = ask(client, **params)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/fits"
    with read_fits(io.BytesIO(response.content)) as hdus:
        hdus.verify("exception")
        return [(hdu.header.copy(), None if hdu.data is None else np.array(hdu.data)) for hdu in hdus]


@pytest.fixture
def cubic(cubes: tuple[Service, Path], serve: Callable[[Service], Any]) -> Iterator[httpx.Client]:
    client: httpx.Client = serve(cubes[0]).client
    yield client


# --- what is cut


@pytest.mark.parametrize(
    ("shape", "alike"),
    [
        (
            {"CIRCLE": f"{RA} {DEC} 0.001"},
            [
                {"POS": f"CIRCLE {RA} {DEC} 0.001"},
                {"POS": f"circle  {RA}0 0{DEC}\t1e-3"},
                {"CIRCLE": f"{RA - 360} {DEC} .001"},
            ],
        ),
        (
            {"POLYGON": "37.644 0.102 37.646 0.102 37.646 0.104"},
            [
                {"POS": "POLYGON 37.644 0.102 37.646 0.102 37.646 0.104"},
                {"POLYGON": "37.644 0.102 37.646 0.102 37.646 0.104 37.644 0.102"},
                {"POLYGON": "37.6440 .102 37.6460 .102 37.6460 .104"},
            ],
        ),
        ({"POS": "RANGE 37.644 37.646 0.102 0.104"}, [{"POS": "range -322.356 -322.354 0.102 0.104"}]),
        ({"PIXELS": "[11:20,6:9]"}, [{"PIXELS": " [ 11 : 20 , 6 : 9 ] "}, {"pixels": "[11:20,6:9]", "POL": ""}]),
    ],
)  # fmt: skip
def test_the_same_question_gets_the_same_bytes(
    client: httpx.Client, shape: Mapping[str, str], alike: list[Mapping[str, str]]
) -> None:
    first = ask(client, ID=G, **shape)
    assert first.status_code == 200
    for params in alike:
        other = ask(client, ID=G, **params)
        if "RANGE" not in shape.get("POS", "") and str(RA - 360) not in str(params):  # those differ in the last digit
            assert other.headers["etag"] == first.headers["etag"]
        assert other.content == first.content
    assert ask(client, ID=G.upper(), **shape).content == first.content
    assert ask(client, ID=f"  {G}", **shape, RUNID="x", UNKNOWN="y").content == first.content


def test_a_cutout_reports_what_was_asked_and_delivered(client: httpx.Client) -> None:
    response = ask(client, ID=G, PIXELS="[51:70,1:10]")
    assert {name: value for name, value in response.headers.items() if name.startswith("x-imageserv")} == {
        "x-imageserv-parent": G,
        "x-imageserv-requested": "[51:70,1:10]",
        "x-imageserv-delivered": "[51:60,1:10]",
        "x-imageserv-clipped": "true",
        "x-imageserv-coverage": "0.5",
        "x-imageserv-candidates": "1",
    }
    assert response.headers["content-disposition"].startswith('attachment; filename="')
    assert response.headers["content-disposition"].endswith('.fits"')
    header, data = cut(client, ID=G, PIXELS="[51:70,1:10]")[0]
    assert data.shape == (10, 10)
    assert (header["CUTID"], header["CUTREQ"], header["CUTBOX"]) == (G, "[51:70,1:10]", "[51:60,1:10]")


def stored(client: httpx.Client, identifier: str) -> Any:
    return cut(client, ID=identifier)


@pytest.mark.parametrize(
    ("section", "taken"),
    [
        ("[1:60,1:2]", np.s_[0:2, 0:60]),
        ("[*,3]", np.s_[2:3, :]),
        ("[7]", np.s_[:, 6:7]),  # an axis that is missing is whole
        ("[-5:3,49:99]", np.s_[48:50, 0:3]),
        ("[60:60,50:50]", np.s_[49:50, 59:60]),
    ],
)
def test_pixels_are_counted_from_one_along_fits_axes(client: httpx.Client, section: str, taken: Any) -> None:
    (_, whole), *_ = stored(client, G)
    (header, data), *_ = cut(client, ID=G, PIXELS=section)
    np.testing.assert_array_equal(data, whole[taken])
    assert (header["NAXIS1"], header["NAXIS2"]) == data.shape[::-1]


def test_a_circle_takes_every_pixel_that_it_touches(client: httpx.Client) -> None:
    (parent, whole), *_ = stored(client, G)
    (header, data), *_ = cut(client, ID=G, CIRCLE=f"{RA} {DEC} 0.001")
    assert 300 < data.size < whole.size
    values = {value: place for place, value in np.ndenumerate(whole)}
    rows, columns = zip(*(values[value] for value in data.flat), strict=True)
    first = (min(columns), min(rows))
    # Same place on the sky for the same pixel, by astropy.
    own, original = wcs_of(header), wcs_of(parent)
    np.testing.assert_allclose(own.all_pix2world([[0, 0]], 0), original.all_pix2world([first], 0), rtol=0, atol=1e-12)
    # Each pixel of the parent whose middle is in the circle is there.
    y, x = np.mgrid[: whole.shape[0], : whole.shape[1]]
    lon, lat = original.all_pix2world(x.ravel(), y.ravel(), 0)
    near = np.hypot((lon - RA) * np.cos(np.radians(DEC)), lat - DEC) < 0.001
    assert set(whole.ravel()[near]) <= set(data.flat)


def test_a_circle_of_no_radius_is_one_pixel_and_one_of_the_whole_sky_the_image(cubic: httpx.Client) -> None:
    (_, data), *_ = cut(cubic, ID=f"{CUBES}/flat.fits", CIRCLE="10 20 0")
    assert data.size == 1
    (_, whole), *_ = stored(cubic, f"{CUBES}/flat.fits")
    for shape in ("CIRCLE 10 20 180", "RANGE -Inf +Inf -Inf +Inf", "POLYGON 5 15 15 15 15 25 5 25"):
        (_, data), *_ = cut(cubic, ID=f"{CUBES}/flat.fits", POS=shape)
        np.testing.assert_array_equal(data, whole)


def channels(low: float, high: float) -> list[int]:
    """Return the channels of the cubes' axis that reach into a band: 1.4 GHz and 1 MHz more each."""
    found = []
    for channel in range(8):
        edges = [299792458.0 / (1.4e9 + 1e6 * (channel + offset)) for offset in (0.5, -0.5)]
        if edges[0] < high and edges[1] > low:
            found.append(channel)
    return found


@pytest.mark.parametrize(
    "band", ["0.2133 0.2136", "-inf 0.2135", "0.2137 +Inf", "-Inf Inf", "0.21350 0.213501", "2.1340e-1 2.1340e-1"]
)
def test_a_band_cuts_a_spectral_axis(cubic: httpx.Client, band: str) -> None:
    identifier = f"{CUBES}/frequency.fits"
    (parent, whole), *_ = stored(cubic, identifier)
    (header, data), *_ = cut(cubic, ID=identifier, BAND=band)
    low, high = (float(part) for part in band.split())
    wanted = channels(low, high if high > low else low * (1 + 1e-15))
    assert 0 < len(wanted) <= 8
    np.testing.assert_array_equal(data, whole[wanted[0] : wanted[-1] + 1])
    frequencies = [
        wcs_of(each, fix=False).spectral.all_pix2world([[pixel]], 0)[0, 0]
        for each, pixel in ((header, 0), (parent, wanted[0]))
    ]
    assert frequencies[0] == pytest.approx(frequencies[1], rel=1e-14)


def test_pol_cuts_a_polarization_axis_and_several_are_one_filter(cubic: httpx.Client) -> None:
    identifier = f"{CUBES}/radio.fits"
    (_, whole), *_ = stored(cubic, identifier)  # pol, frequency, y, x
    for wanted, span in (
        (["Q"], np.s_[1:2]),
        (["u", "I"], np.s_[0:3]),
        (["V", "XX"], np.s_[3:4]),
        (["I", "I"], np.s_[:1]),
    ):
        (_, data), *_ = cut(cubic, ID=identifier, POL=wanted)
        np.testing.assert_array_equal(data, whole[span])
    (_, data), *_ = cut(cubic, ID=identifier, POL="V", BAND="-Inf +Inf", PIXELS="[2:3,4:6,2]")
    np.testing.assert_array_equal(data, whole[3:4, 1:2, 3:6, 1:3])
    (_, data), *_ = cut(cubic, ID=f"{CUBES}/circular.fits", POL=["RL", "LL"])
    assert data.shape == (2, 16, 20)


def test_what_is_not_known_of_an_image_refuses_nothing(cubic: httpx.Client) -> None:
    (_, whole), *_ = stored(cubic, f"{CUBES}/bare.fits")
    (_, data), *_ = cut(cubic, ID=f"{CUBES}/bare.fits", BAND="1 2", TIME="1 2", POL="I", PIXELS="[1:9,1:9]")
    np.testing.assert_array_equal(data, whole[:9, :9])
    (_, data), *_ = cut(cubic, ID=f"{CUBES}/velocity.fits", BAND="1 2")
    assert data.shape == (3, 16, 20)


def test_time_and_band_give_an_image_that_overlaps_as_it_is(client: httpx.Client, cubic: httpx.Client) -> None:
    (_, whole), *_ = stored(cubic, f"{CUBES}/flat.fits")
    for time in ("53640 53641", "-Inf 53641", "53640.378878 53640.378878"):
        (_, data), *_ = cut(cubic, ID=f"{CUBES}/flat.fits", TIME=time)
        np.testing.assert_array_equal(data, whole)
    (_, data), *_ = cut(client, ID=G, BAND="5e-7 6e-7", PIXELS="[1:9,1:9]")
    assert data.shape == (9, 9)


@pytest.mark.parametrize(
    ("detail", "names"),
    [("image", ["", "IMAGE"]), ("planes", ["", *"IMAGE MASK VARIANCE".split()]), ("", None), ("ALL", 5)],
)
def test_detail(client: httpx.Client, detail: str, names: Any) -> None:
    hdus = cut(client, ID=CALEXP, PIXELS="[1:9,1:9]", DETAIL=detail)
    if isinstance(names, list):
        assert [header.get("EXTTYPE", "") for header, _ in hdus] == names
    else:
        assert len(hdus) == (names or 4)


NOTHING = [
    (G, {"CIRCLE": "10 20 0.1"}),
    (G, {"POS": "RANGE 0 1 0 1"}),
    (G, {"POLYGON": "0 0 1 0 1 1"}),
    (G, {"PIXELS": "[61:70,1:10]"}),
    (G, {"PIXELS": "[-5:0,*]"}),
    (G, {"BAND": "1 2"}),
    (f"{CUBES}/flat.fits", {"TIME": "50000 50001"}),
    (f"{CUBES}/frequency.fits", {"BAND": "1e-7 2e-7"}),
    (f"{CUBES}/radio.fits", {"POL": "XX"}),
    (f"{CUBES}/flat.fits", {"CIRCLE": "190 -20 1"}),
]


@pytest.mark.parametrize(("identifier", "params"), NOTHING)
@pytest.mark.parametrize("more", [{}, {"METADATA": "header"}, {"DETAIL": "all", "RESPONSEFORMAT": "image/fits"}])
def test_no_pixel_is_204_and_empty(
    client: httpx.Client, cubic: httpx.Client, identifier: str, params: dict[str, str], more: dict[str, str]
) -> None:
    server = cubic if identifier.startswith(CUBES) else client
    for method in ("GET", "HEAD", "POST"):
        response = server.request(method, SYNC, params={"ID": identifier, **params, **more})
        assert (response.status_code, response.content) == (204, b"")
        assert "content-length" not in response.headers


# --- headers only


def header_of(lines: str) -> list[Any]:
    """Read headers as text: a card a line, END after each."""
    found, cards = [], list[str]()
    for line in lines.splitlines():
        if line == "END":
            found.append(fits.Header.fromstring("".join(card.ljust(80) for card in cards)))
            cards = []
        else:
            cards.append(line)
    assert cards == []
    return found


@pytest.mark.parametrize(
    ("identifier", "params"),
    [
        (G, {"CIRCLE": f"{RA} {DEC} 0.001"}),
        (CALEXP, {"PIXELS": "[5:9,5:9]"}),
        (CALEXP, {"PIXELS": "[5:9,5:9]", "DETAIL": "all"}),
        (CALEXP, {"PIXELS": "[5:9,5:9]", "DETAIL": "image"}),
        (f"{CUBES}/radio.fits", {"BAND": "0.2138 0.2139", "POL": "V"}),
        (f"{CUBES}/packed.fits.gz", {"CIRCLE": "0 90 0.001"}),
    ],
)
def test_the_headers_are_those_that_the_cutout_has(
    client: httpx.Client, cubic: httpx.Client, identifier: str, params: dict[str, str]
) -> None:
    server = cubic if identifier.startswith(CUBES) else client
    response = ask(server, ID=identifier, METADATA="Header", **params)
    assert (response.status_code, response.headers["content-type"].partition(";")[0]) == (200, "text/plain")
    assert all(len(line) <= 80 for line in response.text.splitlines())
    real = [header for header, _ in cut(server, ID=identifier, **params)]
    read = header_of(response.text)
    assert [repr(header) for header in read] == [repr(header) for header in real]
    assert ask(server, ID=identifier, METADATA="none", **params).headers["content-type"] == "application/fits"


@pytest.mark.parametrize("identifier", [CALEXP, f"{CUBES}/radio.fits", f"{CUBES}/packed.fits.gz"])
def test_the_headers_of_a_whole_image_are_those_of_its_file(
    client: httpx.Client, cubic: httpx.Client, identifier: str
) -> None:
    """Every HDU's, tables too; nothing of a cutout, and no limit on pixels."""
    server = cubic if identifier.startswith(CUBES) else client
    response = ask(server, ID=identifier, METADATA="header")
    assert (response.status_code, response.headers["content-type"].partition(";")[0]) == (200, "text/plain")
    real = [header for header, _ in cut(server, ID=identifier)]
    assert [repr(header) for header in header_of(response.text)] == [repr(header) for header in real]


# --- the whole file


def test_what_asks_for_nothing_gets_the_file(client: httpx.Client, archive: Path) -> None:
    file = archive.parent / "stripe82" / "runs" / "fpC-005646-g4-0694.fit"
    content = file.read_bytes()
    for params in ({}, {"POS": "", "BAND": " "}, {"RUNID": "x", "METADATA": "none", "RESPONSEFORMAT": "fits"}):
        response = ask(client, ID=G, **params)
        assert (response.status_code, response.content) == (200, content)
        assert response.headers["content-type"] == "application/fits"
        assert int(response.headers["content-length"]) == len(content)
    part = client.get(SYNC, params={"ID": G}, headers={"Range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, content[100:200])
    assert part.headers["content-range"] == f"bytes 100-199/{len(content)}"
    head = client.head(SYNC, params={"ID": G})
    assert (head.headers["content-length"], head.headers["accept-ranges"]) == (str(len(content)), "bytes")


def test_a_packed_file_is_given_unpacked(cubic: httpx.Client, cubes: tuple[Service, Path]) -> None:
    response = ask(cubic, ID=f"{CUBES}/packed.fits.gz")
    assert response.content == (cubes[1] / "pole.fits").read_bytes()
    assert "content-encoding" not in response.headers


# --- HTTP


@pytest.mark.parametrize("params", [{"ID": G}, {"ID": G, "PIXELS": "[1:9,1:9]"}])
def test_conditional_requests(client: httpx.Client, params: dict[str, str]) -> None:
    first = client.get(SYNC, params=params)
    etag, modified = first.headers["etag"], first.headers["last-modified"]
    earlier = formatdate(parsedate_to_datetime(modified).timestamp() - 10, usegmt=True)

    def status(method: str = "GET", **headers: str) -> int:
        response = client.request(
            method, SYNC, params=params, headers={name.replace("_", "-"): value for name, value in headers.items()}
        )
        if response.status_code == 304:
            assert (response.content, response.headers["etag"]) == (b"", etag)
        return response.status_code

    for method in ("GET", "HEAD"):
        assert status(method, If_None_Match=etag) == 304
        assert status(method, If_None_Match=f'"x", W/{etag}') == 304
        assert status(method, If_None_Match="*") == 304
        assert status(method, If_None_Match='"x"') == 200
        assert status(method, If_Modified_Since=modified) == 304
        assert status(method, If_Modified_Since=earlier) == 200
        assert status(method, If_None_Match='"x"', If_Modified_Since=modified) == 200
    assert status("POST", If_None_Match=etag) == 200
    others = [{**params, "PIXELS": "[1:8,1:8]"}, {**params, "ID": R}, {**params, "RESPONSEFORMAT": "image/fits"}]
    assert etag not in {client.get(SYNC, params=other).headers["etag"] for other in others}


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("", "application/fits"),
        ("fits", "application/fits"),
        ("FITS", "application/fits"),
        ("application/fits", "application/fits"),
        ("application/fits; x=y", "application/fits"),
        ("image/fits", "image/fits"),
        ("Image / Fits", "image/fits"),
    ],
)
@pytest.mark.parametrize("params", [{}, {"PIXELS": "[1:9,1:9]"}])
def test_formats(client: httpx.Client, name: str, media_type: str, params: dict[str, str]) -> None:
    response = ask(client, ID=G, RESPONSEFORMAT=name, **params)
    assert (response.status_code, response.headers["content-type"]) == (200, media_type)


# --- errors

MULTI = "MultiValuedParamNotSupported"
ERRORS: list[tuple[str, int, str, str]] = [
    ("", 400, "UsageError", "ID is missing"),
    ("ID=", 400, "UsageError", "ID is missing"),
    ("ID=%20&POS=CIRCLE+1+2+3", 400, "UsageError", "ID is missing"),
    ("ID=x", 404, "UsageError", "there is no image 'x' here"),
    ("ID=ivo://example.org/SKY?image/nothing", 404, "UsageError", "there is no image"),
    ("ID=ivo://elsewhere.org/SKY?image/nothing", 404, "UsageError", "there is no image"),
    ("ID=%00%ED%A0%80%0A", 404, "UsageError", "there is no image"),
    (f"ID={G}&ID={R}", 400, MULTI, "ID takes one value, but the request gives 2"),
    (f"ID={G}&id={G}", 400, MULTI, "ID takes one value, but the request gives 2"),
    (f"ID={G}&POS=CIRCLE+1+2+3&POS=CIRCLE+1+2+3", 400, MULTI, "POS takes one value"),
    (f"ID={G}&CIRCLE=1+2+3&CIRCLE=1+2+4", 400, MULTI, "CIRCLE takes one value"),
    (f"ID={G}&POLYGON=1+2+3+4+5+6&polygon=1+2+3+4+5+6", 400, MULTI, "POLYGON takes one value"),
    (f"ID={G}&PIXELS=[1:2]&PIXELS=[1:2]", 400, MULTI, "PIXELS takes one value"),
    (f"ID={G}&BAND=1+2&BAND=3+4", 400, MULTI, "BAND takes one value"),
    (f"ID={G}&TIME=1+2&TIME=3+4", 400, MULTI, "TIME takes one value"),
    (f"ID={G}&POS=CIRCLE+1+2+3&CIRCLE=1+2+3", 400, MULTI, "POS and CIRCLE both say"),
    (f"ID={G}&CIRCLE=1+2+3&POLYGON=1+2+3+4+5+6", 400, MULTI, "CIRCLE and POLYGON both say"),
    (f"ID={G}&PIXELS=[1:2]&POS=RANGE+1+2+3+4", 400, MULTI, "POS and PIXELS both say"),
    (f"ID={G}&DETAIL=all&DETAIL=image", 400, MULTI, "DETAIL takes one value"),
    (f"ID={G}&METADATA=header&METADATA=none", 400, MULTI, "METADATA takes one value"),
    (f"ID={G}&RESPONSEFORMAT=fits&RESPONSEFORMAT=fits", 400, MULTI, "RESPONSEFORMAT takes one value"),
    (f"ID={G}&RUNID=a&RUNID=b", 400, MULTI, "RUNID takes one value"),
    (f"ID={G}&CIRCLE=1+2", 400, "UsageError", "CIRCLE must be longitude, latitude and radius"),
    (f"ID={G}&CIRCLE=1+2+NaN", 400, "UsageError", "CIRCLE must be longitude, latitude and radius"),
    (f"ID={G}&CIRCLE=1+91+1", 400, "UsageError", "CIRCLE must be longitude, latitude and radius"),
    (f"ID={G}&POS=CIRCLE+12+134+0.5", 400, "UsageError", "POS='CIRCLE 12 134 0.5': POS must be longitude"),
    (f"ID={G}&POS=BOX+1+2+3+4", 400, "UsageError", "POS must be CIRCLE, RANGE or POLYGON"),
    (f"ID={G}&POS=RANGE+1+2+4+3", 400, "UsageError", "POS must be RANGE and two longitudes and two latitudes"),
    (f"ID={G}&POLYGON=1+2+3+4", 400, "UsageError", "POLYGON must be the longitudes and latitudes"),
    (f"ID={G}&BAND=5e-7", 400, "UsageError", "BAND must be two numbers in order"),
    (f"ID={G}&BAND=2+1", 400, "UsageError", "BAND must be two numbers in order"),
    (f"ID={G}&TIME=NaN+1", 400, "UsageError", "TIME must be two numbers in order"),
    (f"ID={G}&POL=Z", 400, "UsageError", "POL must be one of I, Q, U, V"),
    (f"ID={G}&PIXELS=[2:1]", 400, "UsageError", "PIXELS has 2:1, whose ends are reversed"),
    (f"ID={G}&PIXELS=[1:9:2]", 400, "UsageError", "PIXELS must be a FITS section"),
    (f"ID={G}&PIXELS=[1][1:9]", 400, "UsageError", "PIXELS must be a FITS section"),
    (f"ID={G}&PIXELS=[1,1,1]", 400, "UsageError", "PIXELS"),
    (f"ID={G}&DETAIL=most", 400, "UsageError", "DETAIL must be one of planes, image, all"),
    (f"ID={G}&METADATA=ivo://x", 400, "UsageError", "METADATA must be one of none, header"),
    (f"ID={G}&RESPONSEFORMAT=png", 400, "UsageError", "Format transformation not available"),
    (f"ID={G}&RESPONSEFORMAT=votable", 400, "UsageError", "Format transformation not available"),
    (f"ID={G}&RUNID={'x' * 65}", 400, "UsageError", "RUNID must be of at most 64 characters"),
    (f"ID={G}&CIRCEL={RA}+{DEC}+0.001", 400, "UsageError", "did you mean CIRCLE?"),
    (f"ID={G}&DETAIL=planes", 413, "UsageError", "at most 2900"),
    (f"ID={G}&CIRCLE={RA}+{DEC}+180", 413, "UsageError", "at most 2900"),
    (f"ID={CALEXP}&PIXELS=[1:40,1:40]", 413, "UsageError", "at most 2900"),
    (f"ID={SDSS}?raw/7000/1/1/u&POS=CIRCLE+1+2+3", 400, "UsageError", "WCS"),
    (f"ID={SDSS}?raw/7000/1/1/u&CIRCLE=1+2+3", 400, "UsageError", "WCS"),
]


@pytest.mark.parametrize(("query", "status", "word", "reason"), ERRORS)
def test_errors_are_told_in_the_words_of_soda(
    client: httpx.Client, query: str, status: int, word: str, reason: str
) -> None:
    for accept in ("*/*", "application/x-votable+xml", "application/json", "text/html"):
        response = client.get(f"{SYNC}?{query}", headers={"Accept": accept})
        assert (response.status_code, response.headers["content-type"]) == (status, "text/plain; charset=utf-8")
        assert response.text.startswith(f"{word}: "), response.text
        assert reason in response.text
        assert len(response.text) < 600 and response.text.endswith("\n")
    posted = client.post(SYNC, content=query, headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert (posted.status_code, posted.text) == (status, response.text)
    head = client.head(f"{SYNC}?{query}")
    assert (head.status_code, head.content) == (status, b"")


@pytest.mark.parametrize(
    ("error", "status", "word", "header"),
    [
        (AuthenticationFault("say who you are"), 401, "AuthenticationError", "www-authenticate"),
        (AuthorizationFault("not you"), 403, "AuthorizationError", None),
        (UnavailableFault("the disk is away"), 503, "ServiceUnavailable", "retry-after"),
        (FitsFault("the secret reason"), 500, "Error", None),
        (KeyError("the secret reason"), 500, "Error", None),
    ],
)
def test_other_faults_are_told_in_the_words_of_soda(
    client: httpx.Client,
    service: Service,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    status: int,
    word: str,
    header: str | None,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(service.default, "authorise" if status in (401, 403) else "prepare", fail)
    response = ask(client, ID=G, PIXELS="[1:9,1:9]")
    assert (response.status_code, response.headers["content-type"]) == (status, "text/plain; charset=utf-8")
    assert response.text.startswith(f"{word}: ")
    assert header is None or header in response.headers
    assert "Traceback" not in response.text
    if status == 500:
        assert "secret" not in response.text and "KeyError" not in response.text
        assert response.headers["x-request-id"] in response.text
        assert [record for record in caplog.records if record.exc_info and record.exc_info[1] is error]
    elif status != 503:
        monkeypatch.setattr(service.default, "whole", None)  # nothing is read
        assert ask(client, ID=G).status_code == status


def test_what_is_sent_is_never_markup(client: httpx.Client) -> None:
    response = ask(client, ID="<script>alert(1)</script>")
    assert response.status_code == 404
    assert response.headers["content-type"].startswith("text/plain")


def test_the_capabilities_lead_here(client: httpx.Client) -> None:
    capabilities = etree.fromstring(client.get("/api/image/vo/capabilities").content)
    (sync,) = capabilities.iterfind("capability[@standardID='ivo://ivoa.net/std/SODA#sync-1.0']/interface")
    url = sync.find("accessURL")
    assert url is not None and (url.text, url.get("use")) == (f"https://images.example.org{SYNC}", "base")
