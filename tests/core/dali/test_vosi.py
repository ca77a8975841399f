"""VOSI documents: valid by the schemas, and understood by pyvo."""

import io
import zipfile
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from lxml import etree
from pyvo.io.vosi import parse_availability, parse_capabilities

from imageserv.core.dali.vosi import Availability, Capability, Interface, availability_xml, capabilities_xml

JAR = Path("/usr/share/java/starlink-ttools.jar")  # Debian's starlink-ttools-java: the only offline home of the schemas
INSIDE = "uk/ac/starlink/ttools/taplint/"
IVOA = "http://www.ivoa.net/xml/"
FILES = {
    f"{IVOA}VOSICapabilities/v1.0": "VOSICapabilities-v1.0.xsd",
    f"{IVOA}VOSIAvailability/v1.0": "VOSIAvailability-v1.0.xsd",
    f"{IVOA}VODataService/v1.1": "VODataService-v1.2.xsd",
    f"{IVOA}VOResource/v1.0": "VOResource-v1.1.xsd",
    "http://www.w3.org/2001/xml.xsd": "xmlnamespace.xsd",
    f"{IVOA}Xlink/xlink.xsd": "xlink.xsd",
}

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


class SchemasInJar(etree.Resolver):
    def resolve(self, system_url: str, public_id: str, context: Any = None) -> Any:
        name = FILES.get(system_url, system_url.rsplit("/", 1)[-1])
        with zipfile.ZipFile(JAR) as jar:
            return self.resolve_string(jar.read(INSIDE + name), context, base_url=system_url)


@pytest.fixture(scope="module")
def schema() -> etree.XMLSchema:
    if not JAR.exists():
        pytest.skip("the VOSI schemas come with Debian's starlink-ttools-java, which is not installed")
    parser = etree.XMLParser(no_network=True)
    parser.resolvers.add(SchemasInJar())
    imports = "".join(
        f'<xs:import namespace="{IVOA}{name}" schemaLocation="{IVOA}{name}"/>'
        for name in ("VOSICapabilities/v1.0", "VOSIAvailability/v1.0", "VODataService/v1.1")
    )
    return etree.XMLSchema(
        etree.fromstring(f'<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema">{imports}</xs:schema>', parser)
    )


@pytest.mark.parametrize(
    "document",
    [
        capabilities_xml(CAPABILITIES),
        capabilities_xml(CAPABILITIES[:1]),
        availability_xml(Availability(True)),
        availability_xml(Availability(False, ("a < b", "the disk is gone \x00\ud800"), UP)),
    ],
)
def test_documents_are_valid_by_the_schemas(schema: etree.XMLSchema, document: bytes) -> None:
    schema.assertValid(etree.fromstring(document))


def test_the_schemas_refuse_a_wrong_document(schema: etree.XMLSchema) -> None:
    assert not schema.validate(etree.fromstring(capabilities_xml(CAPABILITIES).replace(b"standardID", b"standardid")))
    assert not schema.validate(etree.fromstring(availability_xml(Availability(True)).replace(b"true", b"perhaps")))


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
