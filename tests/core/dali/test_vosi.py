"""VOSI documents: what they say, as pyvo reads it; tests/validators holds them against the schemas."""

import io
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from lxml import etree
from pyvo.io.vosi import parse_availability, parse_capabilities

from imageserv.core.dali.vosi import (
    Availability,
    Capability,
    Interface,
    availability_json,
    availability_xml,
    capabilities_json,
    capabilities_xml,
)

BASE = "https://images.example.org/api/image/vo"
CAPABILITIES = (
    Capability((Interface(f"{BASE}/capabilities", "full", "1.1"),), "ivo://ivoa.net/std/VOSI#capabilities"),
    Capability((Interface(f"{BASE}/availability", "full", "1.1"),), "ivo://ivoa.net/std/VOSI#availability"),
    Capability(
        (Interface(f"{BASE}/sync", "base", result_type="application/fits"),),
        "ivo://ivoa.net/std/SODA#sync-1.0",
        "Cutouts & whole images",
    ),
    Capability((Interface(f"{BASE}/sia", "base", "2.0"),), "ivo://ivoa.net/std/SIA#query-2.0"),
    Capability((Interface(f"{BASE}/examples", "full", type="WebBrowser"),), "ivo://ivoa.net/std/DALI#examples"),
    Capability((Interface("https://images.example.org/api/image/v1/S82", "base"),), description="no standard \x00"),
)
UP = datetime(2026, 1, 2, 5, 4, 5, 678, tzinfo=timezone(timedelta(hours=2)))


def test_documents_begin_with_the_declaration() -> None:
    assert capabilities_xml(CAPABILITIES).startswith(b"<?xml version=")
    assert availability_xml(Availability(True)).startswith(b"<?xml version=")


def test_pyvo_reads_the_capabilities() -> None:
    read: Any = parse_capabilities(io.BytesIO(capabilities_xml(CAPABILITIES)), pedantic=True)
    assert [(str(c.standardid or ""), c.description) for c in read] == [
        ("ivo://ivoa.net/std/VOSI#capabilities", None),
        ("ivo://ivoa.net/std/VOSI#availability", None),
        ("ivo://ivoa.net/std/SODA#sync-1.0", "Cutouts & whole images"),
        ("ivo://ivoa.net/std/SIA#query-2.0", None),
        ("ivo://ivoa.net/std/DALI#examples", None),
        ("", "no standard \ufffd"),
    ]
    interfaces = [c.interfaces[0] for c in read]
    assert [i.accessurls[0].content for i in interfaces] == [c.interfaces[0].url for c in CAPABILITIES]
    assert [i.accessurls[0].use for i in interfaces] == ["full", "full", "base", "base", "full", "base"]
    assert [i.role for i in interfaces] == ["std", "std", "std", "std", "std", None]
    assert [i.version for i in interfaces] == ["1.1", "1.1", "1.0", "2.0", "1.0", "1.0"]
    assert [type(i).__name__ for i in interfaces] == ["ParamHTTP"] * 4 + ["WebBrowser", "ParamHTTP"]
    assert interfaces[2].resulttype.content == "application/fits"


def test_children_of_capabilities_are_in_no_namespace() -> None:
    root = etree.fromstring(capabilities_xml(CAPABILITIES))
    assert root.tag == "{http://www.ivoa.net/xml/VOSICapabilities/v1.0}capabilities"
    assert not [element.tag for element in root.iterdescendants() if str(element.tag).startswith("{")]
    xsi_type = "{http://www.w3.org/2001/XMLSchema-instance}type"
    assert [element.get(xsi_type) for element in root.iter("interface")] == ["vs:ParamHTTP"] * 4 + [
        "vr:WebBrowser",
        "vs:ParamHTTP",
    ]
    assert root.nsmap["vs"] == "http://www.ivoa.net/xml/VODataService/v1.1"
    assert root.nsmap["vr"] == "http://www.ivoa.net/xml/VOResource/v1.0"


def test_pyvo_reads_the_availability() -> None:
    read: Any = parse_availability(io.BytesIO(availability_xml(Availability(False, ("one", "two"), UP))), pedantic=True)
    assert read.available is False
    assert datetime.fromisoformat(read.upsince) == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert [str(note) for note in read.notes] == ["one", "two"]


def test_children_of_availability_are_in_its_namespace_and_in_order() -> None:
    root = etree.fromstring(availability_xml(Availability(True, ("note",), UP)))
    namespace = "{http://www.ivoa.net/xml/VOSIAvailability/v1.0}"
    assert root.tag == f"{namespace}availability"
    assert [(element.tag, element.text) for element in root] == [
        (f"{namespace}available", "true"),
        (f"{namespace}upSince", "2026-01-02T03:04:05Z"),
        (f"{namespace}note", "note"),
    ]


ZONES = st.integers(-840, 840).map(lambda minutes: timezone(timedelta(minutes=minutes)))
MOMENTS = st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29), timezones=ZONES)


@given(
    st.builds(
        Availability,
        st.booleans(),
        st.lists(st.text(st.characters(min_codepoint=32, max_codepoint=0x2FFF))).map(tuple),
        *[st.none() | MOMENTS] * 3,
    )
)
def test_availability_says_the_same_in_xml_and_json(model: Availability) -> None:
    root = etree.fromstring(availability_xml(model))
    said = [(etree.QName(element).localname, element.text or "") for element in root]
    names = [name for name, _ in said]
    assert names == sorted(names, key=["available", "upSince", "downAt", "backAt", "note"].index)
    moments = {
        name: datetime.fromisoformat(text.removesuffix("Z")).replace(tzinfo=UTC)
        for name, text in said
        if name not in ("available", "note")
    }
    assert moments == {
        name: moment.replace(microsecond=0)
        for name, moment in [("upSince", model.up_since), ("downAt", model.down_at), ("backAt", model.back_at)]
        if moment is not None
    }
    assert dict(said)["available"] == str(model.available).lower()
    assert [text for name, text in said if name == "note"] == list(model.notes)
    document = availability_json(model)
    assert document.pop("available") is model.available
    assert document.pop("note") == list(model.notes)
    assert document == {name: text for name, text in said if name in moments}


def test_capabilities_say_the_same_in_xml_and_json() -> None:
    xsi_type = "{http://www.w3.org/2001/XMLSchema-instance}type"
    found = []
    for capability in etree.fromstring(capabilities_xml(CAPABILITIES)):
        entry: dict[str, Any] = {str(name): value for name, value in capability.items()}
        if description := capability.findtext("description"):
            entry["description"] = description
        entry["interfaces"] = []
        for interface in capability.iterfind("interface"):
            url = interface.find("accessURL")
            assert url is not None
            facts: dict[str, Any] = {str(name).replace(xsi_type, "type"): value for name, value in interface.items()}
            facts["accessURL"] = {"url": url.text, "use": url.get("use")}
            if result_type := interface.findtext("resultType"):
                facts["resultType"] = result_type
            entry["interfaces"].append(facts)
        found.append(entry)
    document = capabilities_json(CAPABILITIES)
    document["capabilities"][-1]["description"] = "no standard \ufffd"  # as XML has it
    assert document == {"capabilities": found}
