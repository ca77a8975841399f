"""Images over HTTP: what is answered, held against astropy and the stored files."""

import gzip
import io
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.nddata import Cutout2D
from astropy.wcs import WCS

from imageserv.core.answer import StoredFile
from imageserv.core.config import load
from imageserv.core.selection import Selection
from imageserv.core.service import Service, open_service

V1 = "/api/image/v1/DC_W13_Stripe82"


def open_fits(source: Any) -> Any:
    return fits.open(source)


def astropys_cutout(hdu: Any, centre: tuple[float, float], shape: tuple[int, int]) -> Any:
    return Cutout2D(hdu.data, SkyCoord(*centre, unit="deg"), shape, WCS(hdu.header), mode="trim")


R5646 = "runs/fpC-005646-r4-0694.fit"
C5646 = "calexps/calexp-005646-r4-0694.fits"
U366 = "coadds/coadd-u-0-366,0.fits"

FULL = {
    "ds=raw&ra=359.195&dec=-0.1055&filter=r": "runs/fpC-002708-r3-0103.fit",
    "ds=raw&run=5646&camcol=4&field=694&filter=g": "runs/fpC-005646-g4-0694.fit",
    "ds=raw&sid=3325410171": "runs/fpC-003325-z1-0171.fit",
    "ds=raw&ccdexpid=3325410171": "runs/fpC-003325-z1-0171.fit",
    "ds=calexp&ra=37.644598&dec=0.1031&filter=r": C5646,
    "ds=calexp&run=5646&camcol=4&field=694&filter=r": C5646,
    "ds=calexp&sid=5646240694": C5646,
    "ds=deepcoadd&ra=19.37&dec=-0.3146&filter=r": "coadds/coadd-r-0-321,4.fits",
    "ds=deepCoadd&tract=0&patch=366,0&filter=u": U366,
    "DS=DEEPCOADD&SID=23986176": U366,
    "ds=raw&run=7000&camcol=1&field=1&filter=u": "runs/fpC-007000-u1-0001.fit",
    # Both r frames contain these points: the nearer centre wins.
    "ds=raw&ra=37.64516&dec=0.1041&filter=r": R5646,
    "ds=raw&ra=37.64516&dec=0.1046&filter=r": "runs/fpC-005646-r4-0695.fit",
}


@pytest.mark.parametrize("prefix", ["/api", ""])
@pytest.mark.parametrize("query", FULL)
def test_a_request_without_a_size_gets_the_stored_file(
    client: httpx.Client, archive: Path, query: str, prefix: str
) -> None:
    response = client.get(f"{prefix}/image/v1/DC_W13_Stripe82?{query}")
    stored = archive.parent / "stripe82" / FULL[query]
    assert response.status_code == 200, response.text
    assert response.content == stored.read_bytes()
    assert response.headers["content-type"] == "application/fits"
    assert response.headers["content-disposition"].startswith('attachment; filename="')
    assert response.headers["x-imageserv-delivered"] == "[1:60,1:50]"


def test_how_many_images_contained_the_position_is_said(client: httpx.Client) -> None:
    both = client.get(f"{V1}?ds=raw&ra=37.64516&dec=0.1041&filter=r")
    one = client.get(f"{V1}?ds=raw&ra=37.64516&dec=0.1041&filter=g")
    assert (both.headers["x-imageserv-candidates"], one.headers["x-imageserv-candidates"]) == ("2", "1")


def test_a_gzipped_file_is_served_unpacked(client: httpx.Client, archive: Path) -> None:
    response = client.get(f"{V1}?ds=raw&run=7000&camcol=1&field=2&filter=u")
    packed = archive.parent / "stripe82" / "runs" / "fpC-007000-u1-0002.fit.gz"
    assert response.content == gzip.decompress(packed.read_bytes())
    assert "content-encoding" not in response.headers
    assert response.headers["content-disposition"] == 'attachment; filename="fpC-007000-u1-0002.fit"'


CUTOUTS: list[tuple[str, str, tuple[float, float], tuple[int, int]]] = [
    # query, file, centre, shape: 3.96 arcsec are 10 pixels of 1.1e-4 deg, 7.92 are 20
    (
        "ds=raw&ra=37.64503&dec=0.10304&filter=r&width=3.96&height=7.92&unit=arcsec",
        R5646,
        (37.64503, 0.10304),
        (20, 10),
    ),
    ("ds=raw&ra=37.64503&dec=0.10304&filter=r&width=3.96&height=7.92", R5646, (37.64503, 0.10304), (20, 10)),
    ("ds=raw&sid=5646240694&ra=37.64503&dec=0.10304&width=7&height=4&unit=pixel", R5646, (37.64503, 0.10304), (4, 7)),
    ("ds=raw&sid=5646240694&ra=37.64503&dec=0.10304&width=7&height=4&unit=PX", R5646, (37.64503, 0.10304), (4, 7)),
    (
        "ds=raw&run=5646&camcol=4&field=694&filter=r&ra=37.64503&dec=0.10304&width=0.066&height=0.0022&unit=arcmin",
        R5646,
        (37.64503, 0.10304),
        (1, 10),
    ),
    (
        "ds=calexp&ra=37.64503&dec=0.10304&filter=r&width=0.0011&height=0.00132&unit=deg",
        C5646,
        (37.64503, 0.10304),
        (12, 10),
    ),
    (
        "ds=calexp&sid=5646240694&ra=37.64503&dec=0.10304&width=11&height=13&unit=pixel",
        C5646,
        (37.64503, 0.10304),
        (13, 11),
    ),
    ("ds=deepcoadd&sid=23986176&ra=9.47&dec=-1.1818&width=9&height=8&unit=pixels", U366, (9.47, -1.1818), (8, 9)),
    # Clipped: the frame is 60 x 50.
    (
        "ds=calexp&sid=5646240694&ra=37.64503&dec=0.10304&width=500&height=3&unit=pix",
        C5646,
        (37.64503, 0.10304),
        (3, 500),
    ),
    (
        "ds=calexp&sid=5646240694&ra=37.6425&dec=0.10304&width=10&height=30&unit=pix",
        C5646,
        (37.6425, 0.10304),
        (30, 10),
    ),
]


@pytest.mark.parametrize(("query", "file", "centre", "shape"), CUTOUTS)
def test_cutouts_are_those_of_astropy(
    client: httpx.Client,
    archive: Path,
    query: str,
    file: str,
    centre: tuple[float, float],
    shape: tuple[int, int],
) -> None:
    response = client.get(f"{V1}?{query}")
    assert response.status_code == 200, response.text
    with (
        open_fits(archive.parent / "stripe82" / file) as parent,
        open_fits(io.BytesIO(response.content)) as child,
    ):
        planes = [index for index, hdu in enumerate(parent) if hdu.is_image and hdu.header["NAXIS"]]
        assert [index for index, hdu in enumerate(child) if hdu.header["NAXIS"]] == planes
        for index in planes:
            expected = astropys_cutout(parent[index], centre, shape)
            np.testing.assert_array_equal(child[index].data, expected.data)
            assert np.allclose(WCS(child[index].header).wcs.crpix, expected.wcs.wcs.crpix, atol=1e-9)
        rows, columns = astropys_cutout(parent[planes[0]], centre, shape).data.shape
        report = child[0].header
        assert (report["CUTREQ"], report["CUTBOX"]) == (
            response.headers["x-imageserv-requested"],
            response.headers["x-imageserv-delivered"],
        )
        assert response.headers["x-imageserv-parent"] == report["CUTID"]
    assert response.headers["x-imageserv-clipped"] == str((rows, columns) != shape).lower()
    assert float(response.headers["x-imageserv-coverage"]) == pytest.approx(
        rows * columns / shape[0] / shape[1], abs=1e-6
    )


@pytest.mark.parametrize(("detail", "kinds"), [("image", [1]), ("planes", [1, 2, 3]), ("ALL", [1, 2, 3, 4])])
def test_detail_says_how_much_of_the_file_is_given(client: httpx.Client, detail: str, kinds: list[int]) -> None:
    query = f"ds=calexp&sid=5646240694&ra=37.645&dec=0.103&width=5&height=5&unit=pixel&detail={detail}"
    with open_fits(io.BytesIO(client.get(f"{V1}?{query}").content)) as hdus:
        assert len(hdus) == len(kinds) + 1
        assert ("AR_HDU" in hdus[0].header) == (detail == "ALL")


CUTOUT = {
    "ds": "raw",
    "sid": "5646240694",
    "ra": "37.645",
    "dec": "0.103",
    "width": "7",
    "height": "4",
    "unit": "pixel",
}


def test_the_same_question_gets_the_same_bytes_however_it_is_sent(client: httpx.Client) -> None:
    answers = [
        client.get(V1, params=CUTOUT),
        client.get(V1, params=dict(reversed(CUTOUT.items()))),
        client.get(V1, params={name.upper(): value for name, value in CUTOUT.items()}),
        client.get(V1, params=CUTOUT | {"unit": '"pix"', "ra": "+37.6450", "colour": "blue"}),
        client.get(f"{V1}?" + "&".join(f"{name}=+{value}%20" for name, value in CUTOUT.items())),
        client.post(V1, data=CUTOUT),
        client.post(V1, params=CUTOUT),
        client.post(V1, params={"ds": "raw"}, data={name: CUTOUT[name] for name in CUTOUT if name != "ds"}),
        client.post(V1, files={name: (None, value) for name, value in CUTOUT.items()}),
        client.post(
            V1,
            json={
                "image": {
                    "ds": "raw",
                    "cutout": {
                        "image_id": {"science_id": 5646240694},
                        "center": {"x": 37.645, "y": 0.103, "unit": "deg"},
                        "size": {"x": 7, "y": 4, "unit": "pixel"},
                    },
                }
            },
        ),
    ]
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert len({answer.headers["etag"] for answer in answers}) == 1
    assert len({answer.headers["content-disposition"] for answer in answers}) == 1


def test_different_questions_have_different_tags(client: httpx.Client) -> None:
    changes: list[dict[str, str]] = [
        {},
        {"ra": "37.6451"},
        {"width": "8"},
        {"unit": "arcsec"},
        {"detail": "all"},
        {"sid": "5646140694"},
    ]
    tags = [client.get(V1, params=CUTOUT | change).headers["etag"] for change in changes]
    assert len(set(tags)) == len(changes)
    for tag in tags:
        assert tag.startswith('"') and tag.endswith('"')


@pytest.mark.parametrize("query", [CUTOUT, {"ds": "raw", "sid": "5646240694"}])
def test_what_the_client_has_is_not_sent_again(client: httpx.Client, query: dict[str, str]) -> None:
    first = client.get(V1, params=query)
    for headers in (
        {"If-None-Match": first.headers["etag"]},
        {"If-None-Match": f'"other", W/{first.headers["etag"]}'},
        {"If-None-Match": "*"},
        {"If-Modified-Since": first.headers["last-modified"]},
        {"If-Modified-Since": "Fri, 31 Dec 2100 23:59:59 GMT"},
    ):
        again = client.get(V1, params=query, headers=headers)
        assert (again.status_code, again.content) == (304, b""), headers
        assert again.headers["etag"] == first.headers["etag"]
    for headers in (
        {"If-None-Match": '"other"'},
        {"If-None-Match": '"other"', "If-Modified-Since": first.headers["last-modified"]},
        {"If-Modified-Since": "Fri, 31 Dec 1999 23:59:59 GMT"},
        {"If-Modified-Since": "yesterday"},
    ):
        again = client.get(V1, params=query, headers=headers)
        assert (again.status_code, again.content) == (200, first.content), headers


def test_an_answer_was_modified_when_its_file_was(client: httpx.Client, archive: Path) -> None:
    modified = datetime.fromtimestamp((archive.parent / "stripe82" / R5646).stat().st_mtime_ns // 10**9, UTC)
    for query in (CUTOUT, {"ds": "raw", "sid": "5646240694"}):
        told = client.get(V1, params=query).headers["last-modified"]
        assert told == f"{modified:%a, %d %b %Y %H:%M:%S} GMT", query


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_lines_of_if_none_match_are_one_list(client: httpx.Client, method: str) -> None:
    """RFC 9110 section 5.3; a date is no list: its first line counts."""
    first = client.get(V1, params=CUTOUT)
    tag, modified = first.headers["etag"], first.headers["last-modified"]

    def status(name: str, *values: str) -> int:
        return client.request(method, V1, params=CUTOUT, headers=[(name, value) for value in values]).status_code

    assert status("If-None-Match", tag, '"other"') == status("If-None-Match", '"other"', tag) == 304
    assert status("If-None-Match", '"other"', '"another"') == 200
    assert status("If-Modified-Since", modified, "Fri, 31 Dec 1999 23:59:59 GMT") == 304
    assert status("If-Modified-Since", "Fri, 31 Dec 1999 23:59:59 GMT", modified) == 200


def test_conditions_do_not_count_in_a_post(client: httpx.Client) -> None:
    tag = client.get(V1, params=CUTOUT).headers["etag"]
    assert client.post(V1, data=CUTOUT, headers={"If-None-Match": tag}).status_code == 200
    whole = {"ds": "raw", "sid": "5646240694"}
    assert client.post(V1, data=whole, headers={"Range": "bytes=0-9"}).status_code == 200


RANGES: list[tuple[str, slice]] = [
    ("bytes=0-0", slice(0, 1)),
    ("bytes=0-2879", slice(0, 2880)),
    ("BYTES=100-", slice(100, None)),
    ("bytes=-80", slice(-80, None)),
    ("bytes=5000-999999999", slice(5000, None)),
    ("bytes=-999999999", slice(0, None)),
]


@pytest.mark.parametrize(("asked", "part"), RANGES)
def test_a_range_of_a_stored_file(client: httpx.Client, asked: str, part: slice) -> None:
    query = {"ds": "raw", "sid": "5646240694"}
    whole = client.get(V1, params=query)
    response = client.get(V1, params=query, headers={"Range": asked})
    start, stop, _ = part.indices(len(whole.content))
    assert (response.status_code, response.content) == (206, whole.content[part])
    assert response.headers["content-range"] == f"bytes {start}-{stop - 1}/{len(whole.content)}"
    assert whole.headers["accept-ranges"] == "bytes"
    head = client.head(V1, params=query, headers={"Range": asked})
    assert (head.status_code, head.headers["content-length"]) == (200, str(len(whole.content)))  # ranges are GET's


@pytest.mark.parametrize("asked", ["bytes=3-2", "bytes=0-1,5-6", "lines=0-1", "bytes=a-b", "bytes=-", "bytes"])
def test_a_range_that_is_none_is_ignored(client: httpx.Client, asked: str) -> None:
    response = client.get(V1, params={"ds": "raw", "sid": "5646240694"}, headers={"Range": asked})
    assert response.status_code == 200
    assert "content-range" not in response.headers


@pytest.mark.parametrize("asked", ["bytes=9999999-", "bytes=-0"])
def test_a_range_outside_the_file_is_416(client: httpx.Client, asked: str) -> None:
    query = {"ds": "raw", "sid": "5646240694"}
    size = client.head(V1, params=query).headers["content-length"]
    response = client.get(V1, params=query, headers={"Range": asked})
    assert (response.status_code, response.content) == (416, b"")
    assert response.headers["content-range"] == f"bytes */{size}"


def test_a_range_of_a_changed_file_gets_the_whole(client: httpx.Client) -> None:
    query = {"ds": "raw", "sid": "5646240694"}
    first = client.get(V1, params=query)
    part = {"Range": "bytes=0-9"}
    same = client.get(V1, params=query, headers=part | {"If-Range": first.headers["etag"]})
    dated = client.get(V1, params=query, headers=part | {"If-Range": first.headers["last-modified"]})
    other = client.get(V1, params=query, headers=part | {"If-Range": '"other"'})
    assert (same.status_code, dated.status_code, other.status_code) == (206, 206, 200)
    assert other.content == first.content


@pytest.mark.parametrize("query", [CUTOUT, {"ds": "raw", "sid": "5646240694"}, {"ds": "raw"}])
def test_head_has_the_headers_of_get(client: httpx.Client, query: dict[str, str]) -> None:
    get, head = client.get(V1, params=query), client.head(V1, params=query)
    varying = {"date", "x-request-id"}
    assert head.status_code == get.status_code
    assert head.content == b""
    assert {k: v for k, v in head.headers.items() if k not in varying} == {
        k: v for k, v in get.headers.items() if k not in varying
    }


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("*/*", "application/fits"),
        ("image/fits", "image/fits"),
        ("image/fits, application/fits;q=0.5", "image/fits"),
        ("text/html", "application/fits"),
    ],
)
def test_fits_has_two_media_types(client: httpx.Client, accept: str, media_type: str) -> None:
    for query in (CUTOUT, {"ds": "raw", "sid": "5646240694"}):
        response = client.get(V1, params=query, headers={"Accept": accept})
        assert (response.status_code, response.headers["content-type"]) == (200, media_type)


def test_names_of_files_are_plain(client: httpx.Client, archive: Path) -> None:
    url = "/api/image/v1/SKY"
    path = "a folder/étoile 1.fits"
    whole = client.get(url, params={"ds": "image", "file": path})
    assert whole.content == (archive.parent / "sky" / path).read_bytes()
    assert whole.headers["content-disposition"] == 'attachment; filename="toile-1.fits"'
    assert whole.headers["x-imageserv-parent"].isascii()
    place = {"ds": "image", "ra": "0.001", "dec": "60", "width": "5", "height": "6", "unit": "pixel"}
    cutout = client.get(url, params=place)
    name = cutout.headers["content-disposition"]
    assert name == 'attachment; filename="image-a-folder-toile-1.fits_0.001+60_5x6pixel.fits"'
    assert name.isascii()


def test_browsers_may_read_everything(client: httpx.Client) -> None:
    for query in (CUTOUT, {"ds": "nothing"}):
        response = client.get(V1, params=query, headers={"Origin": "https://viewer.example"})
        assert response.headers["access-control-allow-origin"] == "*"
        assert "X-ImageServ-Clipped" in response.headers["access-control-expose-headers"]
    asked = {"Origin": "https://viewer.example", "Access-Control-Request-Method": "POST"}
    preflight = client.options(V1, headers=asked)
    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-methods"] == "GET, HEAD, POST, OPTIONS"
    assert "*" in preflight.headers["access-control-allow-headers"]


def test_a_file_that_changed_is_a_new_answer(own_archive: Path, serve: Any) -> None:
    service = open_service(load(own_archive, {}))
    try:
        client = serve(service).client
        whole = {"ds": "raw", "sid": "5646240694"}
        before = [client.get(V1, params=query) for query in (whole, CUTOUT)]
        path = own_archive.parent / "stripe82" / R5646
        with open_fits(path) as hdus:
            data, header = hdus[0].data + 1, hdus[0].header
        header["COMMENT"] = "x" * 3000  # the data moves in the file
        fits.PrimaryHDU(data, header).writeto(path, overwrite=True)
        after = [
            client.get(V1, params=query, headers={"If-None-Match": first.headers["etag"]})
            for query, first in zip((whole, CUTOUT), before, strict=True)
        ]
        assert [answer.status_code for answer in after] == [200, 200]
        assert after[0].content == path.read_bytes()
        with open_fits(io.BytesIO(before[1].content)) as old, open_fits(io.BytesIO(after[1].content)) as new:
            np.testing.assert_array_equal(new[0].data, old[0].data + 1)
    finally:
        service.close()


@pytest.mark.parametrize("change", [{"size": 1}, {"path": Path("/no/such/file")}])
def test_a_file_that_changes_meanwhile_is_unavailable(
    client: httpx.Client, service: Service, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    whole = service.default.whole

    def changed(selection: Selection) -> StoredFile:
        return replace(whole(selection), **change)

    monkeypatch.setattr(service.default, "whole", changed)
    response = client.get(V1, params={"ds": "raw", "sid": "5646240694"})
    assert (response.status_code, response.json()["exception"]) == (503, "UnavailableFault")


def test_a_file_that_shrinks_while_it_is_read_breaks_the_answer_off(own_archive: Path, serve: Any) -> None:
    """What has been promised as Content-Length is not padded: the client sees that the answer is not whole."""
    path = own_archive.parent / "stripe82" / "runs" / "fpC-007000-u1-0001.fit"
    size = path.stat().st_size + (64 << 20)  # which no socket holds
    os.truncate(path, size)
    service = open_service(load(own_archive, {}))
    try:
        client = serve(service).client
        url = f"{V1}?ds=raw&run=7000&camcol=1&field=1&filter=u"
        with client.stream("GET", url) as response:
            assert response.headers["content-length"] == str(size)
            os.truncate(path, size // 2)
            with pytest.raises(httpx.RemoteProtocolError):
                response.read()
        assert client.get("/healthz").status_code == 200
    finally:
        service.close()
