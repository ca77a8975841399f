"""The OpenAPI document against the service that publishes it."""

from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from jsonschema import Draft202012Validator
from schemathesis import GenerationMode
from schemathesis.specs.openapi import checks

from imageserv.core.dali.parameters import Parameter
from imageserv.core.dataset import Dataset, Key
from imageserv.core.errors import PluginFault
from imageserv.core.service import Service
from imageserv.vo.v1.parameters import SCHEMAS, declare


@pytest.fixture(scope="module")
def document(client: httpx.Client) -> Any:
    response = client.get("/api/image/v1/openapi.json")
    assert response.headers["content-type"] == "application/openapi+json"
    return response.json()


@pytest.fixture
def published(document: Any, client: httpx.Client) -> Any:
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=f"{str(client.base_url).rstrip('/')}/api/image/v1")
    return schema


OPERATIONS = [
    *(
        (method, name)
        for name in ("availability", "capabilities", "schema", "openapi.json")
        for method in ("GET", "HEAD")
    ),
    *((method, name) for name in ("DC_W13_Stripe82", "SKY") for method in ("GET", "HEAD", "POST")),
]


@pytest.mark.parametrize(
    ("method", "name", "mode"),
    [
        (method, name, mode)
        for method, name in OPERATIONS
        for mode in GenerationMode
        if mode is GenerationMode.POSITIVE or name not in ("schema", "openapi.json")  # those take nothing
    ],
)
def test_what_is_served_is_what_is_published(published: Any, method: str, name: str, mode: GenerationMode) -> None:
    """Whatever is sent, the status, the type, the headers and the body of the answer are documented."""

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
    @given(case=published[f"/{name}"][method].as_strategy(generation_mode=mode))
    def check(case: Any) -> None:
        # Beyond OpenAPI: which parameters go together, and that an empty value counts as absent.
        unsaid = [checks.positive_data_acceptance, checks.negative_data_rejection]
        case.call_and_validate(excluded_checks=unsaid)

    check()


def test_the_document_names_what_is_served(document: Any, service: Service) -> None:
    assert document["openapi"] == "3.1.1"
    assert document["servers"] == [{"url": "https://images.example.org/api/image/v1"}]
    assert {(method.upper(), path[1:]) for path in document["paths"] for method in document["paths"][path]} == set(
        OPERATIONS
    )
    for repository in service.repositories.values():
        path = document["paths"][f"/{repository.name}"]
        declared = {
            parameter.name for plugin in repository.datasets.values() for parameter in declare(plugin.declaration)
        }
        for method in ("get", "head"):
            assert {parameter["name"] for parameter in path[method]["parameters"]} == declared
        form = path["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
        assert set(form["properties"]) == declared
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    assert "#/$defs/" not in str(document)


def test_flags_may_be_bare(document: Any, client: httpx.Client) -> None:
    path = document["paths"]["/DC_W13_Stripe82"]
    bare = [parameter for parameter in path["get"]["parameters"] if parameter.get("allowEmptyValue")]
    assert [parameter["name"] for parameter in bare] == ["get_dataid", "get_ccdexpid"]
    for parameter in bare:
        Draft202012Validator(parameter["schema"]).validate("")
    response = client.get("/api/image/v1/DC_W13_Stripe82?ds=raw&get_dataid=&sid=5646240694")
    assert response.json()["run"] == 5646


def test_ranges_are_for_get_and_conditions_for_head_too(document: Any) -> None:
    path = document["paths"]["/SKY"]
    special = {method: set(path[method]["responses"]) & {"206", "304", "416"} for method in path}
    assert special == {"get": {"206", "304", "416"}, "head": {"304"}, "post": set()}


def test_every_parameter_has_a_schema_by_which_its_examples_are_right(service: Service) -> None:
    for repository in service.repositories.values():
        for plugin in repository.datasets.values():
            own: list[Parameter] = [p for p in declare(plugin.declaration) if plugin.declaration.key(p.name) is None]
            assert {parameter.name for parameter in own} == {
                "ds",
                *SCHEMAS,
                *(parameter.name for parameter in plugin.declaration.parameters),
            }
            for parameter in declare(plugin.declaration):
                if parameter.example:
                    parameter.parse(parameter.example)


@pytest.mark.parametrize("name", ["width", "SID", "ccdexpid", "responseformat"])
def test_a_key_with_the_name_of_a_parameter_is_refused(name: str) -> None:
    with pytest.raises(PluginFault, match=name):
        declare(Dataset("x", (Key(name, int, "x"),)))
