"""VOTables: valid, recognisable, and read back as what was put in, by lxml, astropy and pyvo."""

import io
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import astropy.io.votable
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree
from pyvo.dal import DALOverflowWarning, DALQueryError, DALResults

from imageserv.core.dali.votable import Field, TableDocument, Value, cell_text, error_document, fitting

XSD = Path(astropy.io.votable.__file__).parent / "data"
NAMESPACES = {"v": "http://www.ivoa.net/xml/VOTable/v1.3"}
ANY_TEXT = st.text(st.characters())  # lone surrogates too
ASCII = st.text(st.sampled_from("\t\n\r") | st.characters(min_codepoint=32, max_codepoint=126))
PRINTABLE = st.text(st.characters(categories=("L", "M", "N", "P", "S", "Zs")))

read_votable: Any = astropy.io.votable.parse

FIELDS = (
    Field("name", ucd="meta.id;meta.main", utype="obscore:x.y", description='a < b & "c"', id="primaryID"),
    Field("count", "long", "", "byte", "phys.size;meta.file"),
    Field("size", "double", "", "deg", "phys.angSize"),
    Field("region", xtype="adql:REGION"),
)
Row = tuple[str | None, int | None, float | None, str | None]


def rows(text: st.SearchStrategy[str]) -> st.SearchStrategy[list[Row]]:
    cell = st.none() | text
    return st.lists(st.tuples(cell, st.none() | st.integers(-(2**63), 2**63 - 1), st.none() | st.floats(), cell))


def written(document: TableDocument, table: Sequence[Sequence[Value]], status: str = "OK", message: str = "") -> bytes:
    return document.head + "".join(map(document.row, table)).encode() + document.tail(status, message)


def as_xml_has_it(text: str) -> str:
    """Replace, one character at a time, what production [2] of XML 1.0 leaves out."""
    return "".join(
        character
        if character in "\t\n\r" or "\u0020" <= character <= "\ud7ff" or "\ue000" <= character <= "\ufffd"
        or character >= "\U00010000"
        else "\ufffd"
        for character in text
    )  # fmt: skip


@pytest.fixture(scope="module", params=["1.4", "1.5"])
def schema(request: pytest.FixtureRequest) -> etree.XMLSchema:
    return etree.XMLSchema(etree.parse(str(XSD / f"VOTable.v{request.param}.xsd")))


# --- tables


@given(table=rows(ANY_TEXT), info=ANY_TEXT, description=ANY_TEXT, message=ANY_TEXT, status=st.sampled_from(["OK", "X"]))
def test_any_table_is_valid_and_holds_what_was_put_in(
    schema: etree.XMLSchema, table: list[Row], info: str, description: str, message: str, status: str
) -> None:
    document = TableDocument(FIELDS, infos=[("note", info)], description=description)
    root = etree.fromstring(written(document, table, status, message))
    schema.assertValid(root)
    cells = [[cell.text or "" for cell in row] for row in root.findall(".//v:TR", NAMESPACES)]
    assert cells == [[as_xml_has_it(cell_text(value)) for value in row] for row in table]
    infos = [(each.get("name"), each.get("value"), each.text or "") for each in root.iter("{*}INFO")]
    expected = [("QUERY_STATUS", "OK", ""), ("note", as_xml_has_it(info), "")]
    expected += [("QUERY_STATUS", status, as_xml_has_it(message))] if status != "OK" else []
    assert infos == expected
    assert (root.findtext(".//v:TABLE/v:DESCRIPTION", None, NAMESPACES) or "") == as_xml_has_it(description)


@given(rows(ASCII) | rows(ANY_TEXT))
def test_astropy_reads_any_table_back_without_a_warning(table: list[Row]) -> None:
    document = TableDocument(fitting(FIELDS, table))
    array = read_votable(io.BytesIO(written(document, table)), verify="exception").get_first_table().array

    for column, texts in (("name", [name for name, *_ in table]), ("region", [region for *_, region in table])):
        read = [text.strip() for text in array[column].tolist()]  # astropy drops blanks itself
        assert read == [as_xml_has_it(text or "").strip() for text in texts]
    assert array["count"].tolist() == [count for _, count, _, _ in table]
    for found, (_, _, size, _) in zip(array["size"].filled(math.nan), table, strict=True):
        assert found == size or (math.isnan(found) and (size is None or math.isnan(size)))


def test_only_columns_with_more_than_ascii_are_of_unicode() -> None:
    assert fitting(FIELDS, [("a", 1, 1.0, None), ("b", 2, 2.0, "c")]) == list(FIELDS)
    wide = fitting(FIELDS, [("a", 1, 1.0, None), ("b", 2, 2.0, "\u00e9")])
    assert [field.datatype for field in wide] == ["char", "long", "double", "unicodeChar"]
    assert fitting(FIELDS, [("\x00", 1, 1.0, None)])[0].datatype == "unicodeChar"  # it will be U+FFFD


def test_a_field_says_all_of_itself() -> None:
    votable = read_votable(io.BytesIO(written(TableDocument(FIELDS, description="Some."), [])), verify="exception")
    table = votable.get_first_table()
    assert (table.description, len(table.array)) == ("Some.", 0)
    first, second, third, fourth = table.fields
    assert (first.name, first.ID, first.datatype, first.arraysize) == ("name", "primaryID", "char", "*")
    assert (first.ucd, first.utype, first.description) == ("meta.id;meta.main", "obscore:x.y", 'a < b & "c"')
    assert (second.datatype, second.arraysize, str(second.unit)) == ("long", None, "byte")
    assert (third.datatype, str(third.unit), third.ucd) == ("double", "deg", "phys.angSize")
    assert (fourth.xtype, fourth.unit, fourth.ucd) == ("adql:REGION", None, None)


def test_an_empty_table_still_has_its_data() -> None:
    root = etree.fromstring(written(TableDocument(FIELDS), []))
    (tabledata,) = root.findall(".//v:TABLE/v:DATA/v:TABLEDATA", NAMESPACES)
    assert len(tabledata) == 0


def test_other_resources_stand_around_the_results_and_an_overflow_follows_the_table() -> None:
    before, after = (etree.Element("RESOURCE", {"type": "meta", "name": name}) for name in ("before", "after"))
    document = TableDocument(FIELDS, infos=[("standardID", "s")], before=[before], after=[after])
    root = etree.fromstring(written(document, [("a", 1, 1.0, None)], "OVERFLOW", "more"))
    assert [(each.get("type"), each.get("name")) for each in root] == [
        ("meta", "before"),
        ("results", None),
        ("meta", "after"),
    ]
    assert [etree.QName(each).localname for each in root[1]] == ["INFO", "INFO", "TABLE", "INFO"]
    assert (root[1][0].get("value"), root[1][3].get("value"), root[1][3].text) == ("OK", "OVERFLOW", "more")


def test_pyvo_tells_of_an_overflow_and_of_a_late_error() -> None:
    def read(status: str) -> DALResults:
        return DALResults(read_votable(io.BytesIO(written(TableDocument(FIELDS), [], status, "why"))))

    with pytest.warns(DALOverflowWarning):
        read("OVERFLOW")
    with pytest.raises(DALQueryError, match="why"):
        read("ERROR")
    assert read("OK").status == ("OK", None)


def test_a_row_has_a_value_for_each_field() -> None:
    with pytest.raises(ValueError):
        TableDocument(FIELDS).row(["a", 1, 1.0])


def test_is_indented_for_people() -> None:
    lines = written(TableDocument(FIELDS), [("a", 1, 1.0, None), ("b", 2, 2.0, "c")]).decode().splitlines()
    assert [line for line in lines if "<TR>" in line] == [
        "          <TR><TD>a</TD><TD>1</TD><TD>1.0</TD><TD/></TR>",
        "          <TR><TD>b</TD><TD>2</TD><TD>2.0</TD><TD>c</TD></TR>",
    ]
    assert "        <TABLEDATA>" in lines and "        </TABLEDATA>" in lines
    assert max(map(len, lines)) < 160


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, "true"),
        (False, "false"),
        (0, "0"),
        (-7, "-7"),
        (0.1, "0.1"),
        (math.inf, "+Inf"),
        (-math.inf, "-Inf"),
        (math.nan, "NaN"),
        ("x", "x"),
    ],
)
def test_cells_are_spelt_as_dali_has_them(value: Value, text: str) -> None:
    assert cell_text(value) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_cells_keep_every_double(value: float) -> None:
    assert float(cell_text(value)) == value


# --- errors


def content(document: bytes) -> str:
    (info,) = etree.fromstring(document).findall(
        "./v:RESOURCE[@type='results']/v:INFO[@name='QUERY_STATUS']", NAMESPACES
    )
    assert info.get("value") == "ERROR"
    return info.text or ""


def test_an_error_is_valid_by_the_schema(schema: etree.XMLSchema) -> None:
    schema.assertValid(etree.fromstring(error_document("UsageFault: BAND=-2")))


def test_documents_begin_with_the_declaration_and_name_their_version() -> None:
    for document in (error_document("x"), written(TableDocument(FIELDS), [])):
        assert document.startswith(b"<?xml version=")
        assert astropy.io.votable.is_votable(io.BytesIO(document))
        assert etree.fromstring(document).get("version") == "1.4"


def test_astropy_reads_an_error_without_a_warning() -> None:
    votable = read_votable(io.BytesIO(error_document("UsageFault: a < b & c")), verify="exception")
    (resource,) = votable.resources
    assert (resource.type, list(resource.tables)) == ("results", [])
    assert [(info.name, info.value, info.content) for info in resource.infos] == [
        ("QUERY_STATUS", "ERROR", "UsageFault: a < b & c")
    ]


def test_pyvo_shows_the_message() -> None:
    votable = read_votable(io.BytesIO(error_document("UsageFault: POS: CIRCLE needs three numbers")))
    with pytest.raises(DALQueryError, match=re.escape("UsageFault: POS: CIRCLE needs three numbers")):
        DALResults(votable)


@given(PRINTABLE)
def test_any_printable_message_is_read_back(message: str) -> None:
    assert content(error_document(message)) == message


@given(ANY_TEXT)
def test_any_text_gives_an_error_document(message: str) -> None:
    assert content(error_document(message)) == as_xml_has_it(message)


@pytest.mark.parametrize("character", ["\x00", "\x1b", "\x0b", "\ud800", "\udfff", "\ufffe", "\uffff"])
def test_what_xml_cannot_hold_is_replaced(character: str) -> None:
    assert content(error_document(f"a{character}b\tc\n\U0001f52d")) == "a\ufffdb\tc\n\U0001f52d"
