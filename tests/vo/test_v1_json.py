"""JSON requests: the nested body, its published schema, and the bodies of the original's own tests."""

import copy
import json
import os
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from imageserv.core.errors import NotFoundFault, UnsupportedFault, UsageFault
from imageserv.core.selection import ByDataId, ByPosition, ByScienceId
from imageserv.core.service import Service
from imageserv.core.sky.stencil import Box
from imageserv.vo.v1.nested import published_schema, read_request

V1 = "/api/image/v1/DC_W13_Stripe82"
DATA = Path(os.environ.get("IMAGESERV_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
ORIGINALS = sorted((DATA / "stripe82" / "requests_v1").glob("*.json"))

NEAREST = {"nearest": {"center": {"x": 37.5, "y": -0.25, "unit": "deg"}, "filter": "r"}}
DATA_ID = {"data_id": {"run": 5646, "camcol": 4, "field": 694, "filter": "r"}}
SKY_MAP = {"skymap_id": "deepCoadd_skyMap"}
CENTER = {"x": 37.5, "y": -0.25, "unit": "deg"}
SIZE = {"x": 30, "y": 45.0, "unit": "arcsec"}
BOX = Box(37.5, -0.25, 30 / 3600, 45 / 3600, "deg")


def image(ds: str, **members: Any) -> dict[str, Any]:
    return {"image": {"db": "DC_W13_Stripe82", "ds": ds, **members}}


def cutout(ds: str, image_id: Any, **members: Any) -> dict[str, Any]:
    return image(ds, cutout={"image_id": image_id, "center": CENTER, "size": SIZE, **members})


POSITION = ByPosition(37.5, -0.25, "r")
FRAME = ByDataId({"run": 5646, "camcol": 4, "field": 694, "filter": "r"})
PATCH = ByDataId({"tract": 0, "patch": "225,1", "filter": "i"})

RIGHT: list[tuple[dict[str, Any], Any, Box | None]] = [
    (image("raw", image_id=NEAREST), POSITION, None),
    (image("RAW", image_id=DATA_ID) | {"name": "any", "check": {}}, FRAME, None),
    ({"image": {"ds": "raw", "image_id": {"science_id": 5646240694}}}, ByScienceId(5646240694), None),
    (image("raw", image_id={"science_id": 5646240694.0}), ByScienceId(5646240694), None),
    (
        image("deepcoadd", image_id={"data_id": {"tract": 0, "patch_x": 225, "patch_y": 1, "filter": "i"}}),
        PATCH,
        None,
    ),
    (image("deepcoadd", image_id={"data_id": {"tract": 0.0, "patch": "225,01", "filter": "i"}}), PATCH, None),
    (cutout("calexp", NEAREST), POSITION, BOX),
    (cutout("calexp", DATA_ID, detail="all"), FRAME, BOX),
    # The centre of the cutout need not be the place that chooses the image.
    (
        cutout(
            "calexp", {"nearest": {"center": {"x": 37, "y": 0}, "filter": "g"}}, size={"x": 3, "y": 4, "unit": "px"}
        ),
        ByPosition(37.0, 0.0, "g"),
        Box(37.5, -0.25, 3.0, 4.0, "pixel"),
    ),
    (image("calexp", image_id=DATA_ID | {"center": CENTER, "size": SIZE}), FRAME, BOX),
    (cutout("calexp", DATA_ID, size={"x": 30, "y": 45}), FRAME, BOX),
    (cutout("deepcoadd", SKY_MAP, filter="r"), ByPosition(37.5, -0.25, "r", anywhere=True), BOX),
]


@pytest.mark.parametrize(("document", "selector", "stencil"), RIGHT)
def test_a_request_is_understood(
    service: Service, client: httpx.Client, document: Any, selector: Any, stencil: Box | None
) -> None:
    question = read_request(service.default, document)
    assert (question.selector, question.request and question.request.stencil) == (selector, stencil)
    schema = client.get("/api/image/v1/schema").json()
    Draft202012Validator(schema).validate(document)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({}, ["'image' is a required property"]),
        ([], ["object"]),
        (image("deepcoadd", image_id=SKY_MAP), ["image.image_id", "skymap_id"]),
        (cutout("deepcoadd", SKY_MAP | DATA_ID, filter="r"), ["image.cutout.image_id", "or skymap_id"]),
        (cutout("deepcoadd", SKY_MAP), ["filter"]),
        (cutout("deepcoadd", {"skymap_id": "s"}, filter="r"), ["it has deepCoadd_skyMap"]),
        (cutout("calexp", DATA_ID, filter="r"), ["image.cutout", "filter"]),
        (image("raw"), ["at image", "either image_id, for the stored file, or cutout"]),
        (image("raw", image_id=NEAREST, cutout={}), ["image"]),
        (image("", image_id=NEAREST), ["image.ds"]),
        ({"image": {"image_id": NEAREST}}, ["at image", "'ds' is a required property"]),
        (image("raw", image_id={}), ["image.image_id", "one of nearest, data_id and science_id"]),
        (image("raw", image_id=NEAREST | DATA_ID), ["image.image_id", "one of nearest, data_id and science_id"]),
        (image("raw", image_id=NEAREST, cuotut=1), ["cuotut"]),
        (image("raw", image_id=NEAREST | {"center": CENTER}), ["image.image_id", "size"]),
        (cutout("raw", NEAREST | DATA_ID), ["image.cutout.image_id", "one of nearest, data_id and science_id"]),
        (cutout("raw", NEAREST, center={"x": 361, "y": 0}), ["image.cutout.center.x", "360"]),
        (cutout("raw", NEAREST, center={"x": 1}), ["image.cutout.center", "'y'"]),
        (cutout("raw", NEAREST, center={"x": "1", "y": 0}), ["image.cutout.center.x", "number"]),
        (cutout("raw", NEAREST, center={"x": True, "y": 0}), ["image.cutout.center.x", "number"]),
        (cutout("raw", NEAREST, size={"x": 0, "y": 1}), ["image.cutout.size.x"]),
        (cutout("raw", NEAREST, size={"x": 1, "y": 1, "unit": "parsec"}), ["image.cutout.size.unit", "arcsec"]),
        (cutout("raw", NEAREST, detail="most"), ["image.cutout.detail"]),
        (image("raw", image_id={"science_id": -1}), ["image.image_id.science_id"]),
        (image("raw", image_id={"science_id": 2**63}), ["64 bits"]),
        (image("raw", image_id={"science_id": 1.5}), ["image.image_id.science_id", "integer"]),
        (image("raw", image_id={"data_id": {}}), ["image.image_id.data_id"]),
        (image("raw", image_id={"data_id": {"run": 1}}), ["camcol, field, filter"]),
        (image("raw", image_id={"data_id": DATA_ID["data_id"] | {"tract": 1}}), ["tract"]),
        (image("raw", image_id={"data_id": DATA_ID["data_id"] | {"camcol": 7}}), ["camcol", "1 to 6"]),
        (image("raw", image_id={"data_id": DATA_ID["data_id"] | {"camcol": "4"}}), ["camcol", "integer"]),
        (image("raw", image_id={"nearest": {"center": CENTER}}), ["filter"]),
        (image("raw", image_id={"nearest": {"center": CENTER, "filter": "y"}}), ["u, g, r, i, z"]),
        (image("raw", image_id={"nearest": {"center": CENTER, "filter": "r", "band": "r"}}), ["band"]),
        ({"image": {"db": "SKY", "ds": "raw", "image_id": NEAREST}}, ["'SKY'", "'DC_W13_Stripe82'"]),
        (image("deepcoadd", image_id={"data_id": {"tract": 0, "patch_x": 225, "filter": "i"}}), ["patch"]),
        (
            image("deepcoadd", image_id={"data_id": {"tract": 0, "patch_x": 8192, "patch_y": 1, "filter": "i"}}),
            ["patch_x", "0 to 8191"],
        ),
    ],
)
def test_a_wrong_request_is_answered_with_where_and_why(client: httpx.Client, document: Any, words: list[str]) -> None:
    response = client.post(V1, json=document)
    assert (response.status_code, response.json()["exception"]) == (400, "UsageFault"), response.text
    for word in words:
        assert word in response.json()["message"]


def test_a_dataset_without_a_sky_map_says_so(client: httpx.Client) -> None:
    response = client.post(V1, json=cutout("calexp", SKY_MAP, filter="r"))
    assert (response.status_code, response.json()["exception"]) == (400, "UnsupportedFault")
    assert response.json()["parameter"] == "skymap_id"


def test_a_cutout_over_a_sky_map_is_of_the_images_around_its_centre(service: Service) -> None:
    question = read_request(service.default, cutout("deepcoadd", SKY_MAP, filter="r", detail="image"))
    assert question.selector == ByPosition(37.5, -0.25, "r", anywhere=True)
    assert question.request is not None
    assert (question.request.stencil, question.request.detail) == (BOX, "image")
    assert question.request.parameters == {"stitch": "true"}


def test_a_dataset_that_does_not_exist_is_404(client: httpx.Client) -> None:
    assert client.post(V1, json=image("nothing", image_id=NEAREST)).status_code == 404


def test_datasets_without_filters_take_none(client: httpx.Client) -> None:
    url = "/api/image/v1/SKY"
    nearest: dict[str, Any] = {"center": {"x": 0.001, "y": 60}}
    request = {"image": {"ds": "image", "image_id": {"nearest": nearest}}}
    assert client.post(url, json=request).status_code == 200
    nearest["filter"] = "r"
    assert client.post(url, json=request).status_code == 400


BODIES: dict[str, tuple[str | bytes, str]] = {
    "half": ('{"image": ', "JSON"),
    "NaN": ('{"image": NaN}', "NaN"),
    "infinite": ('{"image": 1e999}', "finite"),
    "huge": ('{"image": ' + "9" * 5000 + "}", "64 bits"),
    "repeated": ('{"image": 1, "image": 2}', "'image' comes twice"),
    "deep": ("[" * 3000 + "]" * 3000, "levels"),
    "rather deep": ("[" * 40 + "]" * 40, "levels"),
    "not UTF-8": (b'{"image": "\xff"}', "utf-8"),
    "UTF-16": ('{"image": 1}'.encode("utf-16"), "utf-8"),
    "empty": ("", "JSON"),
    "null": ("null", "no object"),
}


@pytest.mark.parametrize("name", BODIES)
def test_bad_json_is_400(client: httpx.Client, name: str) -> None:
    body, word = BODIES[name]
    response = client.post(V1, content=body, headers={"Content-Type": "application/json; charset=utf-8"})
    assert (response.status_code, response.json()["exception"]) == (400, "UsageFault")
    assert word in response.json()["message"]


def test_a_request_stands_in_one_place(client: httpx.Client) -> None:
    document = image("raw", image_id={"science_id": 5646240694})
    assert client.post(V1, params={"RESPONSEFORMAT": "fits"}, json=document).status_code == 200
    response = client.post(V1, params={"ds": "raw"}, json=document)
    assert (response.status_code, response.json()["parameter"]) == (400, "ds")


def test_the_published_schema_is_complete(client: httpx.Client) -> None:
    response = client.get("/image/v1/schema")
    schema = response.json()
    assert response.headers["content-type"] == "application/schema+json"
    Draft202012Validator.check_schema(schema)
    assert schema["$id"] == "https://images.example.org/api/image/v1/schema"
    keys = {tuple(each["required"]) for each in schema["$defs"]["data_id"]["anyOf"]}
    assert keys == {
        ("run", "camcol", "field", "filter"),
        ("tract", "patch", "filter"),
        ("tract", "patch_x", "patch_y", "filter"),
        ("file",),
    }
    assert schema["$defs"]["nearest"]["properties"]["filter"] == {"enum": ["u", "g", "r", "i", "z"]}


def test_a_place_needs_a_filter_where_all_datasets_have_filters(service: Service) -> None:
    with_filters = [plugin.declaration for plugin in service.default.datasets.values()]
    without = service.repository("SKY").dataset("image").declaration
    required = [
        published_schema("https://x", datasets)["$defs"]["nearest"]["required"]
        for datasets in (with_filters, [*with_filters, without], [without])
    ]
    assert required == [["center", "filter"], ["center"], ["center"]]


@pytest.mark.skipif(not ORIGINALS, reason="the original's requests are not at IMAGESERV_TEST_DATA")
@pytest.mark.parametrize("path", ORIGINALS, ids=lambda path: path.stem)
def test_requests_of_the_original(client: httpx.Client, service: Service, path: Path) -> None:
    """Each is understood, whether or not the archive has its image."""
    document = json.loads(path.read_bytes())
    response = client.post(V1, content=path.read_bytes(), headers={"Content-Type": "application/json"})
    assert response.status_code in (200, 404, 413), response.text
    question = read_request(service.default, document)
    Draft202012Validator(client.get("/api/image/v1/schema").json()).validate(document)
    members = set(document["api_id"])
    assert (question.request is not None) == ("size.x" in members)
    assert isinstance(question.selector, ByScienceId) == ("science_id" in members)
    assert isinstance(question.selector, ByDataId) == bool(members & {"run", "tract"})


# --- Laws

scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=5))
anything = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(st.text(max_size=5), inner, max_size=2)),
)


def places(document: Any) -> list[tuple[dict[str, Any], str]]:
    """Return each place in a document: an object, and the name of one of its members."""
    if not isinstance(document, dict):
        return []
    return [(document, name) for name in document] + [place for inner in document.values() for place in places(inner)]


@settings(max_examples=300, deadline=None)
@given(st.data(), st.sampled_from([document for document, _, _ in RIGHT]), anything)
def test_what_the_schema_refuses_is_refused(
    service: Service, client: httpx.Client, data: st.DataObject, right: dict[str, Any], value: Any
) -> None:
    document = copy.deepcopy(right)
    members, name = data.draw(st.sampled_from(places(document)))
    members[name] = value
    try:
        read_request(service.default, document)
    except (UsageFault, NotFoundFault, UnsupportedFault):
        return
    schema = client.get("/api/image/v1/schema").json()
    assert Draft202012Validator(schema).is_valid(document)


@settings(max_examples=100, deadline=None)
@given(anything)
def test_no_body_is_a_fault_of_ours(client: httpx.Client, value: Any) -> None:
    for document in (value, {"image": value}, {"image": {"ds": "raw", "cutout": value}}):
        response = client.post(V1, content=json.dumps(document), headers={"Content-Type": "application/json"})
        assert response.status_code == 400
