"""The error document: valid, recognisable, and read as the same message by clients."""

import io
import re
from pathlib import Path

import astropy.io.votable
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree
from pyvo.dal import DALQueryError, DALResults

from imageserv.core.dali.votable import error_document

XSD = Path(astropy.io.votable.__file__).parent / "data"
NAMESPACES = {"v": "http://www.ivoa.net/xml/VOTable/v1.3"}
PRINTABLE = st.text(st.characters(categories=("L", "M", "N", "P", "S", "Zs")))


def content(document: bytes) -> str:
    (info,) = etree.fromstring(document).findall(
        "./v:RESOURCE[@type='results']/v:INFO[@name='QUERY_STATUS']", NAMESPACES
    )
    assert info.get("value") == "ERROR"
    return info.text or ""


@pytest.mark.parametrize("version", ["1.4", "1.5"])
def test_is_valid_by_the_schema(version: str) -> None:
    schema = etree.XMLSchema(etree.parse(str(XSD / f"VOTable.v{version}.xsd")))
    schema.assertValid(etree.fromstring(error_document("UsageFault: BAND=-2")))


def test_begins_with_the_declaration_and_names_its_version() -> None:
    document = error_document("x")
    assert document.startswith(b"<?xml version=")
    assert astropy.io.votable.is_votable(io.BytesIO(document))
    assert etree.fromstring(document).get("version") == "1.4"


def test_astropy_reads_it_without_a_warning() -> None:
    votable = astropy.io.votable.parse(io.BytesIO(error_document("UsageFault: a < b & c")), verify="exception")
    (resource,) = votable.resources
    assert (resource.type, list(resource.tables)) == ("results", [])
    assert [(info.name, info.value, info.content) for info in resource.infos] == [
        ("QUERY_STATUS", "ERROR", "UsageFault: a < b & c")
    ]


def test_pyvo_shows_the_message() -> None:
    votable = astropy.io.votable.parse(io.BytesIO(error_document("UsageFault: POS: CIRCLE needs three numbers")))
    with pytest.raises(DALQueryError, match=re.escape("UsageFault: POS: CIRCLE needs three numbers")):
        DALResults(votable)


@given(PRINTABLE)
def test_any_printable_message_is_read_back(message: str) -> None:
    assert content(error_document(message)) == message


@given(st.text(st.characters()))
def test_any_text_gives_a_document(message: str) -> None:
    read = content(error_document(message))
    assert len(read) == len(message)
    assert all(got in (sent, "\N{REPLACEMENT CHARACTER}") for got, sent in zip(read, message, strict=True))


@pytest.mark.parametrize("character", ["\x00", "\x1b", "\x0b", "\ud800", "\udfff", "\ufffe", "\uffff"])
def test_what_xml_cannot_hold_is_replaced(character: str) -> None:
    assert content(error_document(f"a{character}b\tc\n\U0001f52d")) == "a\ufffdb\tc\n\U0001f52d"
