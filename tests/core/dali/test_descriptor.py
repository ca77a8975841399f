"""Service descriptors: valid, read back by astropy and understood by pyvo, whatever the values."""

import io
from pathlib import Path
from typing import Any

import astropy.io.votable
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree
from pyvo.dal.adhoc import DatalinkQuery, DatalinkResults

from imageserv.core.dali.descriptor import Descriptor, Input, descriptor_element
from imageserv.core.dali.parameters import Parameter
from imageserv.core.dali.votable import Field, TableDocument

XSD = Path(astropy.io.votable.__file__).parent / "data" / "VOTable.v1.4.xsd"
PRINTABLE = st.text(st.characters(min_codepoint=32, max_codepoint=126))

read_votable: Any = astropy.io.votable.parse

ID = Parameter("ID", str, "Identifier.", ucd="meta.id;meta.dataset")
BAND = Parameter(
    "BAND", str, "Waves.", unit="m", ucd="em.wl;stat.interval", datatype="double", arraysize="2", xtype="interval"
)
POL = Parameter("POL", str, "States.", ucd="meta.code;phys.polarization", options=("I", "Q", "U"))
COUNT = Parameter("COUNT", int, "How many.", datatype="int", arraysize="")


def descriptor(*inputs: Input, **more: Any) -> Descriptor:
    return Descriptor("ivo://ivoa.net/std/SODA#sync-1.0", "https://h/sync", "cut", "Cuts & <cuts>.", inputs, **more)


def document(*descriptors: Descriptor) -> bytes:
    fields = (Field("ID", ucd="meta.id;meta.main", id="primaryID"), Field("service_def", ucd="meta.ref"))
    table = TableDocument(fields, after=map(descriptor_element, descriptors))
    content = table.head + table.row(["ivo://a/b?c", descriptors[0].id]).encode() + table.tail()
    etree.XMLSchema(etree.parse(str(XSD))).assertValid(etree.fromstring(content))
    return content


def params(element: etree._Element) -> dict[str, etree._Element]:  # pyright: ignore[reportPrivateUsage]
    return {str(param.get("name")): param for param in element.findall("./GROUP[@name='inputParams']/PARAM")}


def test_says_what_the_service_is() -> None:
    element = descriptor_element(descriptor(id="soda-1", content_type="application/fits"))
    assert dict(element.items()) == {"type": "meta", "utype": "adhoc:service", "ID": "soda-1", "name": "cut"}
    assert element.findtext("DESCRIPTION") == "Cuts & <cuts>."
    assert {param.get("name"): param.get("value") for param in element.findall("PARAM")} == {
        "standardID": "ivo://ivoa.net/std/SODA#sync-1.0",
        "accessURL": "https://h/sync",
        "contentType": "application/fits",
    }
    assert all((param.get("datatype"), param.get("arraysize")) == ("char", "*") for param in element.findall("PARAM"))


def test_what_is_not_known_is_not_written() -> None:
    element = descriptor_element(Descriptor("", "https://h/sync", "cut", "Cuts.", ()))
    assert "ID" not in element.attrib
    assert [param.get("name") for param in element.findall("PARAM")] == ["accessURL"]


def test_a_service_that_describes_itself_says_so() -> None:
    assert descriptor_element(descriptor(this=True)).get("utype") == "adhoc:this"


def test_parameters_of_the_three_kinds() -> None:
    """DataLink 1.1 section 4.1: fixed, from the row, by the user."""
    found = params(descriptor_element(descriptor(Input(ID, value="ivo://a/b?c"), Input(BAND))))
    assert (found["ID"].get("value"), found["ID"].get("ref")) == ("ivo://a/b?c", None)
    assert (found["BAND"].get("value"), found["BAND"].get("ref")) == ("", None)
    found = params(descriptor_element(descriptor(Input(ID, ref="primaryID"))))
    assert (found["ID"].get("value"), found["ID"].get("ref")) == ("", "primaryID")


def test_a_parameter_has_all_of_its_declaration() -> None:
    found = params(descriptor_element(descriptor(Input(BAND), Input(COUNT))))
    assert dict(found["BAND"].items()) == {
        "name": "BAND",
        "datatype": "double",
        "arraysize": "2",
        "xtype": "interval",
        "unit": "m",
        "ucd": "em.wl;stat.interval",
        "value": "",
    }
    assert found["BAND"].findtext("DESCRIPTION") == "Waves."
    assert dict(found["COUNT"].items()) == {"name": "COUNT", "datatype": "int", "value": ""}


def values(element: etree._Element) -> list[tuple[str, str | None]]:  # pyright: ignore[reportPrivateUsage]
    return [(str(each.tag), each.get("value")) for each in element.iterfind("./VALUES/*")]


def test_values_are_in_the_schemas_order_and_a_fixed_parameter_has_no_options() -> None:
    found = params(descriptor_element(descriptor(Input(BAND, minimum="1e-7", maximum="2e-7"), Input(POL))))
    assert values(found["BAND"]) == [("MIN", "1e-7"), ("MAX", "2e-7")]
    assert values(found["POL"]) == [("OPTION", "I"), ("OPTION", "Q"), ("OPTION", "U")]
    assert values(params(descriptor_element(descriptor(Input(POL, options=("Q",)))))["POL"]) == [("OPTION", "Q")]
    fixed = params(descriptor_element(descriptor(Input(POL, value="Q"))))["POL"]
    assert fixed.find("VALUES") is None
    assert found["BAND"].find("VALUES") is not None


@given(*[PRINTABLE] * 6)
def test_astropy_reads_any_descriptor_back(
    name: str, value: str, option: str, low: str, description: str, url: str
) -> None:
    inputs = (Input(ID, value=value), Input(POL, options=(option,) if option else (), minimum=low))
    content = document(Descriptor("s", f"u{url}", f"n{name}", description, inputs, id="x1"))
    (_, resource) = read_votable(io.BytesIO(content), verify="exception").resources
    assert (resource.ID, resource.type, resource.utype) == ("x1", "meta", "adhoc:service")
    assert {param.name: param.value for param in resource.params} == {"standardID": "s", "accessURL": f"u{url}"}
    (group,) = resource.groups
    identifier, pol = group.entries
    assert identifier.value == value
    assert [each[1] for each in pol.values.options] == ([option] if option else list(POL.options))
    assert (pol.values.min or "") == low


@given(st.text(st.characters()))
def test_any_text_gives_a_valid_descriptor(text: str) -> None:
    odd = Parameter("ODD", str, text, unit=text, options=(text,))
    inputs = (Input(odd, value=text), Input(odd, minimum=text, maximum=text))
    (resource,) = etree.fromstring(document(Descriptor(text, text, f"n{text}", text, inputs, id="x"))).findall(
        "{*}RESOURCE[@type='meta']"
    )
    assert len(resource.findall("{*}GROUP/{*}PARAM")) == 2


@pytest.mark.parametrize("value", ["a & b", 'quote " and <', "https://h/sync?a=1&b=2"])
def test_pyvo_gets_the_value_as_it_is(value: str) -> None:
    content = document(descriptor(Input(ID, value=value), Input(BAND), id="soda-1"))
    results: Any = DatalinkResults(read_votable(io.BytesIO(content)))
    query: Any = DatalinkQuery.from_resource(
        results[0], results.get_adhocservice_by_ivoid("ivo://ivoa.net/std/SODA#sync-1.0")
    )
    assert query.baseurl == "https://h/sync"
    assert query["ID"] == value
