"""Tables in the formats that a client may ask for, written row by row."""

import csv
import io
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from .documents import clean
from .votable import Field, Value, cell_text

FORMATS = {
    "votable": ("application/x-votable+xml", "text/xml", "application/xml"),
    "csv": ("text/csv",),
    "tsv": ("text/tab-separated-values",),
    "json": ("application/json",),
}
"""Media types of each format, by its short name (DALI 1.1 section 3.4.3; JSON is ours)."""

JSON_SEPARATOR = ",\n"
"""What stands between two rows of JSON."""


class BrokenTable(Exception):
    """The rows of a table failed, and its document, which is at its end, says so; the cause is the failure."""


class TableWriter(Protocol):
    """Writes a table: the head, its rows, the tail."""

    head: bytes

    def row(self, values: Sequence[Value]) -> str:
        """Write one row: a value for each field."""
        ...

    def tail(self, status: str = "OK", message: str = "") -> bytes:
        """Write what comes after the last row, and how the query ended; nothing if the format cannot tell."""
        ...


class DelimitedWriter:
    """CSV (RFC 4180) or TSV (of IANA's registration): the names of the columns, then the rows; no room for a status.

    Parameters
    ----------
    fields
        The columns.
    delimiter
        A comma or a tab.
    """

    def __init__(self, fields: Sequence[Field], delimiter: str) -> None:
        self._tab = delimiter == "\t"
        self._text = io.StringIO()
        self._csv = csv.writer(self._text, delimiter=delimiter, lineterminator="\r\n")
        self.head = self.row([field.name for field in fields]).encode()

    def row(self, values: Sequence[Value]) -> str:
        """Write one row: a value for each field."""
        cells = [cell_text(value) for value in values]
        if self._tab:  # TSV has no quotes: what would end a cell becomes a blank
            return "\t".join(" ".join(cell.split()) if not cell.isprintable() else cell for cell in cells) + "\n"
        self._text.seek(0)
        self._text.truncate()
        self._csv.writerow(cells)
        return self._text.getvalue()

    def tail(self, status: str = "OK", message: str = "") -> bytes:
        """Write nothing."""
        return b""


class JsonWriter:
    """One JSON object: ``data``, an object for each row, and ``query_status`` with ``message``.

    Parameters
    ----------
    fields
        The columns.
    """

    def __init__(self, fields: Sequence[Field]) -> None:
        self._names = [field.name for field in fields]
        self._first = True
        self.head = b'{"data": ['

    def row(self, values: Sequence[Value]) -> str:
        """Write one row: a value for each field, and what stands between it and the row before."""
        separator = "\n" if self._first else JSON_SEPARATOR
        self._first = False
        return separator + self.object(values)

    def object(self, values: Sequence[Value]) -> str:
        """Write one row as an object; numbers that JSON lacks are null, texts as in other formats."""
        return json.dumps(dict(zip(self._names, map(_json_value, values), strict=True)), ensure_ascii=False)

    def tail(self, status: str = "OK", message: str = "") -> bytes:
        """Close the object."""
        end = {"query_status": status, **({"message": message} if message else {})}
        return f"\n], {json.dumps(end)[1:]}\n".encode()


def _json_value(value: Value) -> Value:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return clean(value) if isinstance(value, str) else value


def write_table(
    writer: TableWriter,
    rows: Iterable[Sequence[Value] | None],
    most: int,
    *,
    overflow: str = "there are more rows than were asked for, or are allowed",
    piece: int = 1 << 16,
) -> Iterator[bytes]:
    """Write a table in pieces of about `piece` bytes, in constant memory.

    Parameters
    ----------
    rows
        None for "nothing yet": a piece of no bytes is yielded, so that whoever takes the pieces may stop.
    most
        After so many rows it ends, with the status OVERFLOW if there is another.
    overflow
        What it then tells people.

    Yields
    ------
    bytes
        UTF-8.

    Raises
    ------
    BrokenTable
        Raised if the rows fail after the first piece (one of no bytes counts), once the document is at its end with
        the status ERROR. What the rows raise comes out as it is before that, and in a format that cannot tell: half
        a table must not look whole.
    """
    parts, size, count, out = [writer.head.decode()], len(writer.head), 0, False
    try:
        for values in rows:
            if values is None:
                out = True  # whoever takes it has begun to answer
                yield b""
                continue
            if count == most:
                end = writer.tail("OVERFLOW", overflow)
                break
            text = writer.row(values)
            count += 1
            parts.append(text)
            size += len(text)
            if size >= piece:
                yield "".join(parts).encode()
                parts, size, out = [], 0, True
        else:
            end = writer.tail()
    except Exception as error:
        end = writer.tail("ERROR", "FatalFault: the rest of the table cannot be read")
        if out and end:
            yield "".join(parts).encode() + end
            raise BrokenTable from error
        raise
    yield "".join(parts).encode() + end
