"""VOTable documents, written with lxml: astropy's writer spoils service descriptors, and cannot stream.

A table's document is made once without rows, and its rows are written one by
one between its two halves, so that a million rows take the memory of one.
"""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from xml.sax.saxutils import escape

from lxml import etree

from .documents import Element, clean, serialise

NAMESPACE = "http://www.ivoa.net/xml/VOTable/v1.3"
"""Of VOTable 1.3 and all that follow."""

_ROWS_MARK = b"<!--rows-->"
_AFTER_MARK = b"<!--after-->"
_SPECIAL = re.compile("[^\t\n -%'-;=?-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What does not stand for itself in a document: what XML cannot hold, &, <, > and carriage returns."""
_ESCAPES = {"\r": "&#13;"}  # as it stands it would be read as a line feed (XML 1.0 section 2.11)

Value = str | int | float | bool | None
"""What a cell holds; None is null."""


@dataclass(frozen=True, slots=True)
class Field:
    """A column (VOTable 1.4 section 4.1).

    Parameters
    ----------
    id
        Of the element: what a descriptor's ``ref`` names.
    """

    name: str
    datatype: str = "char"
    arraysize: str = "*"
    unit: str = ""
    ucd: str = ""
    utype: str = ""
    xtype: str = ""
    description: str = ""
    id: str = ""


class TableDocument:
    """A document with one table, to be written row by row.

    Parameters
    ----------
    fields
        The columns.
    infos
        Name and value of each INFO before the table, beside ``QUERY_STATUS``.
    before, after
        RESOURCEs around that of the table: service descriptors.
    description
        Of the table, for people.

    Attributes
    ----------
    head : bytes
        What comes before the first row.
    """

    def __init__(
        self,
        fields: Sequence[Field],
        *,
        infos: Iterable[tuple[str, str]] = (),
        before: Iterable[Element] = (),
        after: Iterable[Element] = (),
        description: str = "",
    ) -> None:
        root = etree.Element("VOTABLE", {"version": "1.4", "xmlns": NAMESPACE})
        root.extend(before)
        results = etree.SubElement(root, "RESOURCE", {"type": "results"})
        etree.SubElement(results, "INFO", {"name": "QUERY_STATUS", "value": "OK"})
        for name, value in infos:
            etree.SubElement(results, "INFO", {"name": name, "value": clean(value)})
        table = etree.SubElement(results, "TABLE")
        if description:
            etree.SubElement(table, "DESCRIPTION").text = clean(description)
        for field in fields:
            table.append(_field(field))
        rows = etree.SubElement(etree.SubElement(table, "DATA"), "TABLEDATA")
        rows.append(etree.Comment("rows"))
        results.append(etree.Comment("after"))
        root.extend(after)
        self.head, _, rest = serialise(root).partition(_ROWS_MARK)
        close, _, tail = rest.partition(_AFTER_MARK)
        self.head = self.head.rstrip(b" ")
        self._close, self._tail = close.strip(b"\n").rstrip(), tail
        self._width = len(fields)

    def row(self, values: Sequence[Value]) -> str:
        """Write one row: a value for each field."""
        if len(values) != self._width:
            raise ValueError(f"a row of {len(values)} values, for {self._width} columns")
        cells = [value if isinstance(value, str) else cell_text(value) for value in values]
        if _SPECIAL.search("".join(cells)):  # all cells in one look, for most rows have nothing of the kind
            cells = [escape(clean(cell), _ESCAPES) for cell in cells]
        return f"          <TR><TD>{'</TD><TD>'.join(cells)}</TD></TR>\n".replace("<TD></TD>", "<TD/>")

    def tail(self, status: str = "OK", message: str = "") -> bytes:
        """Write what comes after the last row.

        Parameters
        ----------
        status
            ``OVERFLOW`` or ``ERROR`` is told after the table (DALI 1.1 section 4.4.1).
        message
            For people.
        """
        info = b""
        if status != "OK":
            element = etree.Element("INFO", {"name": "QUERY_STATUS", "value": status})
            element.text = clean(message) or None
            info = b"\n    " + etree.tostring(element)
        return self._close + info + self._tail


def cell_text(value: Value) -> str:
    """Write a value as TABLEDATA has it (VOTable 1.4 section 6): null is empty, a text has only what XML can hold.

    >>> cell_text(float("inf")), cell_text(None), cell_text(True)
    ('+Inf', '', 'true')
    """
    if value is None:
        return ""
    if isinstance(value, float):
        if math.isfinite(value):
            return repr(value)
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int) else clean(str(value))


def fitting(fields: Sequence[Field], rows: Iterable[Sequence[Value]]) -> list[Field]:
    """Return the columns, of ``unicodeChar`` where one of ``char`` has more than ASCII (VOTable 1.4 section 2.1)."""
    wide: set[int] = set()
    for row in rows:
        wide.update(place for place, value in enumerate(row) if isinstance(value, str) and not clean(value).isascii())
    return [
        replace(field, datatype="unicodeChar") if place in wide and field.datatype == "char" else field
        for place, field in enumerate(fields)
    ]


def error_document(message: str) -> bytes:
    """Write an error as a VOTable (DALI 1.1 sections 4.2 and 4.4.2).

    Parameters
    ----------
    message
        For the client; DALI's word for the fault comes first, where a
        protocol asks for one. Characters that XML cannot hold are replaced.

    Returns
    -------
    bytes
        VOTable 1.4 with one RESOURCE of type ``results`` that holds the INFO
        ``QUERY_STATUS`` and no table.
    """
    root = etree.Element("VOTABLE", {"version": "1.4", "xmlns": NAMESPACE})
    results = etree.SubElement(root, "RESOURCE", {"type": "results"})
    etree.SubElement(results, "INFO", {"name": "QUERY_STATUS", "value": "ERROR"}).text = clean(message)
    return serialise(root)


def _field(field: Field) -> Element:
    attributes = {
        "name": field.name,
        "ID": field.id,
        "datatype": field.datatype,
        "arraysize": field.arraysize,
        "unit": field.unit,
        "ucd": field.ucd,
        "utype": field.utype,
        "xtype": field.xtype,
    }
    element = etree.Element("FIELD", {name: clean(value) for name, value in attributes.items() if value})
    if field.description:
        etree.SubElement(element, "DESCRIPTION").text = clean(field.description)
    return element
