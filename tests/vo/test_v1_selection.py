"""What names an image, what contradicts itself, and what the client is then told."""

import json
import string
from typing import Any
from urllib.parse import parse_qsl, urlencode

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imageserv.core.errors import ImageServError, NotFoundFault, UsageFault
from imageserv.core.selection import ByDataId, ByPosition, ByScienceId
from imageserv.core.service import Service
from imageserv.core.sky.stencil import Box
from imageserv.vo.v1.query import IdQuestion, ImageQuestion, Question, read_question

V1 = "/api/image/v1/DC_W13_Stripe82"


def ask(service: Service, query: str) -> Question:
    return read_question(service.default, parse_qsl(query, keep_blank_values=True))


DATA_ID: dict[str, int | str] = {"run": 5646, "camcol": 4, "field": 694, "filter": "r"}
KEYS = "run=5646&camcol=4&field=694&filter=r"
SID = 5646240694
BOX = Box(37.5, -0.25, 30 / 3600, 45 / 3600, "deg")
SIZE = "ra=37.5&dec=-0.25&width=30&height=45"

IMAGES: dict[str, tuple[Any, Box | None, str]] = {
    "ra=37.5&dec=-0.25&filter=r": (ByPosition(37.5, -0.25, "r"), None, "planes"),
    "ra=360&dec=90&filter=r": (ByPosition(360.0, 90.0, "r"), None, "planes"),
    "ra=0&dec=-90&filter=r": (ByPosition(0.0, -90.0, "r"), None, "planes"),
    KEYS: (ByDataId(DATA_ID), None, "planes"),
    "filter=r&FIELD=0694&camcol=+4&run='5646'": (ByDataId(DATA_ID), None, "planes"),
    f"sid={SID}": (ByScienceId(SID), None, "planes"),
    "sid=0": (ByScienceId(0), None, "planes"),
    # Keys beside the science id agree, all of them or some.
    f"sid={SID}&{KEYS}": (ByScienceId(SID), None, "planes"),
    f"sid={SID}&filter=r": (ByScienceId(SID), None, "planes"),
    f"sid={SID}&filter=r&{SIZE}": (ByScienceId(SID), BOX, "planes"),
    f"{KEYS}&{SIZE}&detail=all": (ByDataId(DATA_ID), BOX, "all"),
    f"filter=r&{SIZE}&unit=ARCSEC&detail=image": (ByPosition(37.5, -0.25, "r"), BOX, "image"),
    f"filter=r&{SIZE}&unit=pixel": (ByPosition(37.5, -0.25, "r"), Box(37.5, -0.25, 30, 45, "pixel"), "planes"),
    # An empty value is none; unknown parameters are ignored; a unit without a size is idle.
    "ra=37.5&dec=-0.25&filter=r&width=&height=&sid=&colour=red&unit=deg": (
        ByPosition(37.5, -0.25, "r"),
        None,
        "planes",
    ),
}


@pytest.mark.parametrize("query", IMAGES)
def test_a_question_is_understood(service: Service, query: str) -> None:
    question = ask(service, f"ds=raw&{query}")
    assert isinstance(question, ImageQuestion)
    request = question.request
    asked = (None, "planes") if request is None else (request.stencil, request.detail)
    assert (question.selector, *asked) == IMAGES[query]


@pytest.mark.parametrize(("unit", "size"), [("deg", 2.5), ("arcmin", 2.5 / 60), ("arcsec", 2.5 / 3600)])
def test_sizes_on_the_sky_are_degrees(service: Service, unit: str, size: float) -> None:
    question = ask(service, f"ds=raw&sid={SID}&ra=1&dec=2&width=2.5&height=5&unit={unit}")
    assert isinstance(question, ImageQuestion) and question.request is not None
    stencil = question.request.stencil
    assert isinstance(stencil, Box) and stencil.unit == "deg"
    assert (stencil.width, stencil.height) == pytest.approx((size, 2 * size), rel=1e-15)


@pytest.mark.parametrize("name", ["ds=deepcoadd", "DS=deepCoadd", "ds= DEEPCOADD "])
def test_datasets_are_named_without_case(service: Service, name: str) -> None:
    assert ask(service, f"{name}&sid=1").dataset.name == "deepCoadd"


IDS: dict[str, tuple[int, str]] = {
    f"get_dataid=get&ccdexpid={SID}": (SID, "data id"),
    f"get_dataid&sid={SID}": (SID, "data id"),
    f"GET_DATAID=&sid={SID}&filter=r": (SID, "data id"),
    f"get_ccdexpid=GET&{KEYS}": (SID, "science id"),
    f"get_ccdexpid&{KEYS}&sid={SID}": (SID, "science id"),
}


@pytest.mark.parametrize("query", IDS)
def test_a_question_for_an_id_is_understood(service: Service, query: str) -> None:
    question = ask(service, f"ds=calexp&{query}")
    assert isinstance(question, IdQuestion)
    assert (question.science_id, question.want) == IDS[query]


def test_ids_are_answered_as_json(client: httpx.Client) -> None:
    data_id = client.get(f"{V1}?ds=raw&get_dataid&ccdexpid=5646240964")
    assert data_id.json() == {"run": 5646, "camcol": 4, "field": 964, "filter": "r"}
    assert list(data_id.json()) == ["run", "camcol", "field", "filter"]
    science_id = client.get(f"{V1}?ds=raw&get_ccdexpid=get&camcol=4&field=694&filter=r&run=5646")
    assert (science_id.text, science_id.headers["content-type"]) == ("5646240694", "application/json")
    assert client.get(f"{V1}?ds=deepcoadd&get_dataid&sid=23986176").json() == {
        "tract": 0,
        "patch": "366,0",
        "filter": "u",
    }


# What is wrong, the parameter that the answer names, and words that its message has.
WRONG: dict[str, tuple[str | None, tuple[str, ...]]] = {
    "": ("ds", ("ds is missing", "raw", "calexp", "deepCoadd")),
    "sid=1": ("ds", ("ds is missing",)),
    "dss=raw&sid=1": ("ds", ("did you mean ds where you wrote dss",)),
    "ds=&dss=raw": ("ds", ("did you mean ds where you wrote dss?",)),
    "ds=raw": (None, ("nothing selects an image", "ra, dec, filter", "run, camcol, field, filter", "sid")),
    "ds=raw&ra=1": ("dec", ("dec, filter are missing",)),
    "ds=raw&ra=1&dec=2": ("filter", ("filter is missing",)),
    "ds=raw&ra=1&dec=2&fitler=r": ("filter", ("did you mean filter where you wrote fitler",)),
    "ds=raw&ra=1&dec=2&filter=R": ("filter", ("u, g, r, i, z",)),
    "ds=raw&filter=r": ("run", ("run, camcol, field are missing",)),
    "ds=raw&run=5646&camcol=4&filter=r": ("field", ("field is missing",)),
    "ds=raw&run=5646&camcol=4&filter=r&feild=694": ("field", ("did you mean field where you wrote feild",)),
    "ds=raw&run=5646&camcol=7&field=1&filter=r": ("camcol", ("camcol", "1 to 6")),
    "ds=raw&run=0&camcol=1&field=1&filter=r": ("run", ("run", "1 to 999999")),
    "ds=raw&run=x&camcol=1&field=1&filter=r": ("run", ("run", "integer")),
    "ds=deepcoadd&tract=128&patch=1,1&filter=r": ("tract", ("tract", "0 to 127")),
    "ds=deepcoadd&tract=0&patch=8192,1&filter=r": ("patch_x", ("patch_x", "0 to 8191")),
    "ds=deepcoadd&tract=0&patch=1&filter=r": ("patch", ("patch_x,patch_y",)),
    "ds=deepcoadd&tract=0&PATCH_X=225&patch_y=1&filter=r": (
        "patch",
        ("patch is missing; patch_x and patch_y are written as one: patch=",),
    ),
    "ds=raw&sid=5646940694": ("sid", ("5646940694",)),
    "ds=raw&sid=-1": ("sid", ("negative",)),
    "ds=raw&sid=9223372036854775808": ("sid", ("64 bits",)),
    "ds=raw&sid=1e9": ("sid", ("integer",)),
    f"ds=raw&sid={SID}&filter=g": ("filter", ("filter=r", "filter=g")),
    f"ds=raw&sid={SID}&run=5646&camcol=4&field=694&filter=g": ("sid", ("give one of both",)),
    f"ds=raw&sid={SID}&ra=1&dec=2": ("width", ("width and height",)),
    f"ds=raw&{KEYS}&ra=1&dec=2": ("width", ("width and height",)),
    f"ds=raw&{KEYS}&ra=1": ("width", ("width and height",)),
    f"ds=raw&sid={SID}&width=1&height=1": ("ra", ("ra, dec are missing",)),
    f"ds=raw&sid={SID}&ra=1&dec=2&width=1": ("height", ("height is missing",)),
    f"ds=raw&sid={SID}&ra=1&dec=2&height=1": ("width", ("width is missing",)),
    f"ds=raw&sid={SID}&ra=1&dec=2&width=1&hieght=1": ("height", ("did you mean height where you wrote hieght",)),
    "ds=raw&ra=361&dec=2&filter=r": ("ra", ("0 to 360",)),
    "ds=raw&ra=-0.1&dec=2&filter=r": ("ra", ("0 to 360",)),
    "ds=raw&ra=nan&dec=2&filter=r": ("ra", ("0 to 360",)),
    "ds=raw&ra=1&dec=90.001&filter=r": ("dec", ("-90 to 90",)),
    "ds=raw&ra=1&dec=inf&filter=r": ("dec", ("-90 to 90",)),
    "ds=raw&ra=1&dec=1_0&filter=r": ("dec", ("-90 to 90",)),
    "ds=raw&ra=1&dec=2&filter=r&width=0&height=1": ("width", ("greater than 0",)),
    "ds=raw&ra=1&dec=2&filter=r&width=1&height=-1": ("height", ("greater than 0",)),
    "ds=raw&ra=1&dec=2&filter=r&width=inf&height=1": ("width", ("finite",)),
    "ds=raw&ra=1&dec=2&filter=r&width=1&height=1&unit=parsec": ("unit", ("arcsec, arcmin, deg, pixel",)),
    "ds=raw&ra=1&dec=2&filter=r&width=1&height=1&detail=most": ("detail", ("planes, image, all",)),
    "ds=raw&get_dataid": ("sid", ("sid is missing",)),
    f"ds=raw&get_dataid&{KEYS}": ("sid", ("sid is missing",)),
    f"ds=raw&get_dataid&sid={SID}&filter=g": ("filter", ("filter=r",)),
    f"ds=raw&get_dataid&sid={SID}&ra=1": ("ra", ("leave ra out",)),
    f"ds=raw&get_dataid=yes&sid={SID}": ("get_dataid", ("must be one of get",)),
    f"ds=raw&get_dataid&get_ccdexpid&sid={SID}": ("get_ccdexpid", ("leave get_ccdexpid out",)),
    f"ds=raw&get_ccdexpid&sid={SID}": ("run", ("run, camcol, field, filter are missing",)),
    f"ds=raw&get_ccdexpid&{KEYS}&sid=1": ("sid", ()),
    f"ds=raw&get_ccdexpid&{KEYS}&width=1": ("width", ("leave width out",)),
    "ds=calexp?sid=1": ("ds", ("second '?'", "?ds=calexp&sid=1")),
    "ds=raw&ra=1&dec=2&filter=r?width=3": ("filter", ("second '?'",)),
    "ds=raw&sid=1&RESPONSEFORMAT=gif": ("RESPONSEFORMAT", ("application/fits",)),
}


@pytest.mark.parametrize("query", WRONG)
def test_a_wrong_question_is_answered_with_what_would_be_right(client: httpx.Client, query: str) -> None:
    parameter, words = WRONG[query]
    response = client.get(f"{V1}?{query}")
    document = response.json()
    assert (response.status_code, document["exception"]) == (400, "UsageFault"), document
    assert document.get("parameter") == parameter
    for word in words:
        assert word in document["message"]
    if "missing" in document["message"] and parameter != "ds":
        assert ["ds", "sid"] in document["accepted"]["image"]


@pytest.mark.parametrize(
    "query",
    [
        "ds=raw&DS=raw&sid=1",
        "ds=raw&sid=1&ccdexpid=1",
        "ds=raw&ra=1&RA=1",
        "ds=raw&sid=1&RESPONSEFORMAT=fits&responseformat=fits",
    ],
)
def test_repeating_a_parameter_is_an_error(client: httpx.Client, query: str) -> None:
    response = client.get(f"{V1}?{query}")
    assert (response.status_code, response.json()["exception"]) == (400, "MultiValuedParamNotSupported")


@pytest.mark.parametrize("query", ["ds=", "DS=''", "ds=deepcoadd&tract=0&patch_x=225&patch_y=1&filter=r"])
def test_what_is_spelt_right_is_no_near_miss(client: httpx.Client, query: str) -> None:
    assert "did you mean" not in client.get(f"{V1}?{query}").json()["message"]


def test_names_given_twice_empty_are_absent(service: Service) -> None:
    assert ask(service, "ds=raw&sid=&sid=1&SID=") == ask(service, "ds=raw&sid=1")


def test_an_id_without_arithmetic_beside_some_of_the_keys_is_refused(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether they agree only the registry could tell, and a question is understood without it."""

    def unknown(_science_id: int) -> None: ...

    monkeypatch.setattr(service.default.datasets["raw"], "data_id", unknown)
    with pytest.raises(UsageFault, match="give sid alone, or run, camcol, field, filter too"):
        ask(service, f"ds=raw&sid={SID}&filter=r")
    question = ask(service, f"ds=raw&sid={SID}&{KEYS}")
    assert isinstance(question, ImageQuestion) and question.selector == ByScienceId(SID)


ABSENT: dict[str, tuple[str, tuple[str, ...]]] = {
    f"{V1}?ds=nothing&sid=1": ("NotFoundFault", ("raw", "calexp", "deepCoadd")),
    f"{V1}?ds=raw&sid=5646240999": ("NotFoundFault", ("5646240999",)),
    f"{V1}?ds=raw&run=1&camcol=1&field=1&filter=u": ("NotFoundFault", ("run=1",)),
    f"{V1}?ds=raw&ra=37.64516&dec=1.10322&filter=g": ("NotFoundFault", ("1 deg away", "raw/5646/4/694/g")),
    f"{V1}?ds=raw&ra=0&dec=0&filter=i": ("NotFoundFault", ("no raw i image",)),
    f"{V1}?ds=raw&sid={SID}&ra=38&dec=0.1&width=9&height=9&unit=pixel": ("NoOverlapFault", ()),
    f"{V1}?ds=raw&sid={SID}&ra=217.6&dec=0.1&width=9&height=9&unit=pixel": ("NoOverlapFault", ()),
    "/api/image/v1/NOWHERE?ds=raw&sid=1": ("NotFoundFault", ("DC_W13_Stripe82", "SKY")),
    "/api/image/v1/": ("NotFoundFault", ("/api/image/v1/",)),
    "/api/image/v2/DC_W13_Stripe82": ("NotFoundFault", ()),
    f"{V1}/": ("NotFoundFault", ()),
    "/nothing": ("NotFoundFault", ("/nothing",)),
}


@pytest.mark.parametrize("url", ABSENT)
def test_what_does_not_exist_is_404(client: httpx.Client, url: str) -> None:
    name, words = ABSENT[url]
    response = client.get(url)
    assert (response.status_code, response.json()["exception"]) == (404, name), response.text
    for word in words:
        assert word in response.json()["message"]


def test_more_than_a_limit_is_413(client: httpx.Client) -> None:
    whole = client.get(f"{V1}?ds=raw&sid={SID}&ra=37.645&dec=0.103&width=200&height=200&unit=pixel")
    assert (whole.status_code, whole.json()["exception"], whole.json()["limit"]) == (413, "LimitFault", 2900)
    long = client.get(f"{V1}?ds=raw&sid={SID}&{'x' * 20_001}=1")
    assert (long.status_code, long.json()["exception"]) == (413, "LimitFault")
    assert "20000" in long.json()["message"]


@pytest.mark.parametrize("unit", ["pixel", "deg"])
def test_sizes_beyond_all_bounds_are_clipped(client: httpx.Client, unit: str) -> None:
    for width, height in (("1e300", "1"), ("1", "1.7e308"), ("1e9", "1")):
        size = f"ra=37.64503&dec=0.10304&width={width}&height={height}&unit={unit}"
        response = client.get(f"{V1}?ds=raw&sid={SID}&{size}")
        assert response.status_code in (200, 400, 413), response.text


def test_an_image_without_a_wcs_is_served_but_not_cut(client: httpx.Client) -> None:
    query = "ds=raw&run=7000&camcol=1&field=1&filter=u"
    assert client.get(f"{V1}?{query}").status_code == 200
    response = client.get(f"{V1}?{query}&ra=1&dec=1&width=3&height=3&unit=pixel")
    assert (response.status_code, response.json()["exception"]) == (400, "UnsupportedFault")


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_other_methods_are_405(client: httpx.Client, method: str) -> None:
    response = client.request(method, V1)
    assert response.status_code == 405
    assert set(response.headers["allow"].split(", ")) == {"GET", "HEAD", "POST", "OPTIONS"}
    assert response.json()["exception"] == "UsageFault"
    fixed = client.request(method, "/api/image/v1/availability")
    assert (fixed.status_code, set(fixed.headers["allow"].split(", "))) == (405, {"GET", "HEAD", "OPTIONS"})
    assert client.post("/api/image/v1/capabilities").status_code == 405


# --- Laws

names = st.sampled_from(
    "ds ra dec sid ccdexpid width height unit detail get_dataid get_ccdexpid RESPONSEFORMAT"
    " run camcol field filter tract patch db x".split()
)
values = st.one_of(
    st.sampled_from(["raw", "calexp", "deepcoadd", "r", "get", "pixel", "arcsec", "all", "0", "1", "5646", "4", "694"]),
    st.sampled_from(["37.645", "0.103", "5646240694", "23986176", "366,0", "", "?", "a?b=c", "1e308", "-1", "NaN"]),
    st.text(max_size=12),
)
spellings = st.sampled_from([str.upper, str.lower, str.title])


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(names, values), max_size=9))
def test_any_parameters_are_understood_or_refused(service: Service, pairs: list[tuple[str, str]]) -> None:
    try:
        question = read_question(service.default, pairs)
    except (UsageFault, NotFoundFault) as fault:
        json.dumps(fault.details)
        assert fault.message
    else:
        assert question.dataset in service.default.datasets.values()


@settings(deadline=None)
@given(st.data(), st.sampled_from([*(f"ds=raw&{query}" for query in IMAGES), *(f"ds=raw&{query}" for query in IDS)]))
def test_order_and_case_do_not_matter(service: Service, data: st.DataObject, query: str) -> None:
    pairs = parse_qsl(query, keep_blank_values=True)
    shuffled = [(data.draw(spellings)(name), value) for name, value in data.draw(st.permutations(pairs))]
    assert read_question(service.default, shuffled) == read_question(service.default, pairs)


@settings(deadline=None)
@given(st.data(), st.sampled_from(sorted(query for query in WRONG if query)))
def test_the_error_does_not_depend_on_the_order(service: Service, data: st.DataObject, query: str) -> None:
    pairs = parse_qsl(query, keep_blank_values=True)

    def fault(sent: list[tuple[str, str]]) -> tuple[str, str | None]:
        try:
            read_question(service.default, sent)
        except ImageServError as error:
            return type(error).__name__, error.parameter
        return "", None

    assert fault(data.draw(st.permutations(pairs))) == fault(pairs)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(names, values), max_size=9))
def test_no_request_is_a_fault_of_ours(client: httpx.Client, pairs: list[tuple[str, str]]) -> None:
    for response in (
        client.get(f"{V1}?{urlencode(pairs)}"),
        client.post(V1, content=urlencode(pairs), headers={"Content-Type": "application/x-www-form-urlencoded"}),
    ):
        assert response.status_code in (200, 400, 404, 413), response.text
        if response.status_code != 200:
            assert set(response.json()) <= {"exception", "message", "parameter", "accepted", "limit"}


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=80), st.text(string.printable, max_size=40))
def test_garbage_is_not_a_fault_of_ours(client: httpx.Client, body: bytes, query: str) -> None:
    for kind in ("application/x-www-form-urlencoded", "multipart/form-data; boundary=a", "application/json", "", "x"):
        headers = {"Content-Type": kind} if kind else {}
        assert client.post(V1, content=body, headers=headers).status_code == 400
    assert client.get(V1, params=query.encode()).status_code in (400, 404)
