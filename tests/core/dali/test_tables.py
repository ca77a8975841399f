"""Tables in other formats than VOTable, and how they are written: in pieces, to the end, and with how they ended."""

import csv
import io
import json
import math
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from imageserv.core.dali.tables import BrokenTable, DelimitedWriter, JsonWriter, TableWriter, write_table
from imageserv.core.dali.votable import Field, TableDocument, Value, cell_text

FIELDS = (Field("name"), Field("count", "long", ""), Field("size", "double", ""), Field('odd, "name"\t'))
Row = tuple[Value, ...]

CELL = st.none() | st.text(st.characters())
ROWS = st.lists(st.tuples(CELL, st.none() | st.integers(-(2**63), 2**63 - 1), st.none() | st.floats(), CELL))
FORBIDDEN_IN_XML = [*map(chr, {*range(32)} - {9, 10, 13}), *map(chr, range(0xD800, 0xE000)), "\ufffe", "\uffff"]
REPLACED = str.maketrans(dict.fromkeys(FORBIDDEN_IN_XML, "\ufffd"))


def written(writer: TableWriter, table: Sequence[Row], most: int = 10**6, piece: int = 1 << 16) -> str:
    return b"".join(write_table(writer, table, most, piece=piece)).decode()


@given(ROWS)
def test_csv_reads_back(table: list[Row]) -> None:
    text = written(DelimitedWriter(FIELDS, ","), table)
    head, *read = csv.reader(io.StringIO(text, newline=""), strict=True)
    assert head == [field.name for field in FIELDS]
    assert read == [[cell_text(value).translate(REPLACED) for value in row] for row in table]


@given(ROWS)
def test_tsv_has_a_line_for_each_row_and_a_cell_for_each_field(table: list[Row]) -> None:
    lines = written(DelimitedWriter(FIELDS, "\t"), table).split("\n")
    assert lines.pop() == ""
    assert lines[0] == 'name\tcount\tsize\todd, "name"'
    assert len(lines) == len(table) + 1
    for line, row in zip(lines[1:], table, strict=True):
        cells = line.split("\t")
        texts = [cell_text(value) for value in row]
        assert [cell.split() for cell in cells] == [text.split() for text in texts]  # but for the kind of blanks
        assert not set(line) & set("\r\x0b\x0c\x85\u2028\u2029")
        assert [cell for cell, text in zip(cells, texts, strict=True) if text.isprintable() and cell != text] == []


@given(ROWS, st.sampled_from([("OK", ""), ("OVERFLOW", 'more "rows"'), ("ERROR", "FatalFault: x\n")]))
def test_json_reads_back(table: list[Row], end: tuple[str, str]) -> None:
    writer = JsonWriter(FIELDS)
    text = writer.head.decode() + "".join(map(writer.row, table)) + writer.tail(*end).decode()
    text.encode()  # no lone surrogate
    document = json.loads(text, parse_constant=lambda constant: pytest.fail(f"{constant} is no JSON"))
    names = [field.name for field in FIELDS]

    def expected(value: Value) -> Value:
        if isinstance(value, str):
            return value.translate(REPLACED)
        return None if isinstance(value, float) and not math.isfinite(value) else value

    assert document.pop("data") == [dict(zip(names, map(expected, row), strict=True)) for row in table]
    assert document == {"query_status": end[0], **({"message": end[1]} if end[1] else {})}


WRITERS: dict[str, Callable[[], TableWriter]] = {
    "votable": lambda: TableDocument(FIELDS),
    "csv": lambda: DelimitedWriter(FIELDS, ","),
    "tsv": lambda: DelimitedWriter(FIELDS, "\t"),
    "json": lambda: JsonWriter(FIELDS),
}
ROW: Row = ("a", 1, 1.5, None)


@pytest.mark.parametrize("name", WRITERS)
@given(count=st.integers(0, 40), most=st.integers(0, 40), piece=st.sampled_from([1, 200, 1 << 16]))
def test_pieces_do_not_change_the_document(name: str, count: int, most: int, piece: int) -> None:
    taken = 0

    def rows() -> Iterator[Row]:
        nonlocal taken
        for number in range(count):
            taken += 1
            yield (f"row {number}", number, float(number), None)

    text = b"".join(write_table(WRITERS[name](), rows(), most, overflow="there are more", piece=piece)).decode()
    assert text == written(WRITERS[name](), [(f"row {n}", n, float(n), None) for n in range(min(count, most))]) or (
        count > most and name in ("votable", "json")
    )
    assert text.count("row ") == min(count, most)
    assert taken == min(count, most + 1)  # one more tells that there is one more
    status = {"votable": 'value="OVERFLOW"', "json": '"query_status": "OVERFLOW"'}.get(name)
    if status is not None:
        assert (status in text) == (count > most)


def failing(after: int) -> Iterator[Row]:
    yield from [ROW] * after
    raise RuntimeError("the disk is gone")


@pytest.mark.parametrize("name", WRITERS)
def test_a_fault_before_the_first_piece_is_the_requests(name: str) -> None:
    with pytest.raises(RuntimeError, match="the disk is gone"):
        next(write_table(WRITERS[name](), failing(2), 10))


@pytest.mark.parametrize("name", ["votable", "json"])
def test_a_later_fault_ends_the_document_with_an_error_and_is_raised(name: str) -> None:
    pieces: list[bytes] = []
    with pytest.raises(BrokenTable) as caught:
        for piece in write_table(WRITERS[name](), failing(5), 10, piece=200):
            pieces.append(piece)
    assert str(caught.value.__cause__) == "the disk is gone"
    text = b"".join(pieces)
    assert len(pieces) > 1
    assert b"the disk" not in text  # whose business is it?
    if name == "json":
        document: dict[str, Any] = json.loads(text)
        assert len(document["data"]) == 5
        assert (document["query_status"], document["message"].partition(":")[0]) == ("ERROR", "FatalFault")
    else:
        root = etree.fromstring(text)
        assert len(root.findall(".//{*}TR")) == 5
        infos = [(info.get("name"), info.get("value")) for info in root.iter("{*}INFO")]
        assert infos == [("QUERY_STATUS", "OK"), ("QUERY_STATUS", "ERROR")]
        assert root.findall(".//{*}INFO")[1].text == "FatalFault: the rest of the table cannot be read"


@pytest.mark.parametrize("name", ["csv", "tsv"])
def test_a_format_that_cannot_tell_of_it_breaks_off(name: str) -> None:
    with pytest.raises(RuntimeError, match="the disk is gone"):
        list(write_table(WRITERS[name](), failing(5), 10, piece=20))


def test_memory_does_not_grow_with_the_rows() -> None:
    def endless() -> Iterator[Row]:
        while True:
            yield ROW

    pieces = list(islice(write_table(TableDocument(FIELDS), endless(), 10**9), 50))
    assert len(pieces) == 50
    assert max(map(len, pieces)) < 70_000


@pytest.mark.parametrize("name", WRITERS)
def test_rows_that_are_not_there_yet_give_pieces_of_no_bytes(name: str) -> None:
    pieces = list(write_table(WRITERS[name](), iter([None, None, ROW, None]), 5))
    assert pieces[:3] == [b"", b"", b""]
    assert b"".join(pieces).decode() == written(WRITERS[name](), [ROW])


def test_a_fault_after_a_piece_of_no_bytes_is_told_in_the_table() -> None:
    def rows() -> Iterator[Row | None]:
        yield None
        raise RuntimeError("gone")

    pieces = write_table(WRITERS["votable"](), rows(), 5)
    assert next(pieces) == b""
    text = next(pieces).decode()
    told = '\n    <INFO name="QUERY_STATUS" value="ERROR">FatalFault: the rest of the table cannot be read</INFO>'
    assert text == written(WRITERS["votable"](), []).replace("</TABLE>", f"</TABLE>{told}")
    with pytest.raises(BrokenTable):
        next(pieces)
