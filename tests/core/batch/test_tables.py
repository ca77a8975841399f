"""Tables in every format say the same; those that cannot be read are told as what they are."""

import gzip
import io
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from astropy.io import fits, votable
from astropy.table import MaskedColumn, Table
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from imageserv.core.batch.tables import Row, open_table
from imageserv.core.errors import UsageFault

# Their annotations tell little of what these give.
make_table: Any = Table
make_column: Any = MaskedColumn
as_votable: Any = votable.from_table
arrow_table: Any = pyarrow.table
write_parquet: Any = parquet.write_table

Values = dict[str, list[Any]]


def _masked(values: list[Any]) -> Any:
    """Make a column of astropy's, in which None is masked."""
    missing = [value is None for value in values]
    sample = next((value for value in values if value is not None), "")
    filled = [type(sample)() if value is None else value for value in values]
    return make_column(filled, mask=missing, dtype=object if isinstance(sample, str) else None)


def _astropy(values: Values) -> Any:
    return make_table({name: _masked(column) for name, column in values.items()})


def _votable(form: str) -> Callable[[Path, Values], None]:
    def write(path: Path, values: Values) -> None:
        document = as_votable(_astropy(values))
        document.to_xml(str(path), tabledata_format=form)

    return write


def _fits(path: Path, values: Values) -> None:
    columns: list[Any] = []
    for name, column in values.items():
        sample = next((value for value in column if value is not None), "")
        make: Any = fits.Column
        if isinstance(sample, str):
            columns.append(make(name, "40A", array=np.array([value or "" for value in column])))
        elif isinstance(sample, int):
            array = np.array([-999 if value is None else value for value in column])
            columns.append(make(name, "K", array=array, null=-999))
        else:
            columns.append(make(name, "D", array=np.array([np.nan if v is None else v for v in column])))
    hdu: Any = fits.BinTableHDU.from_columns(columns)
    hdu.writeto(path)


def _delimited(delimiter: str) -> Callable[[Path, Values], None]:
    def write(path: Path, values: Values) -> None:
        lines = [delimiter.join(values)]
        for row in zip(*values.values(), strict=True):
            lines.append(delimiter.join("" if value is None else f'"{value}"' for value in row))
        path.write_text("\r\n".join(lines) + "\r\n", encoding="utf-8-sig")

    return write


FORMATS: dict[str, Callable[[Path, Values], None]] = {
    "csv": _delimited(","),
    "tsv": _delimited("\t"),
    "tabledata": _votable("tabledata"),
    "binary": _votable("binary"),
    "binary2": _votable("binary2"),
    "fits": _fits,
    "parquet": lambda path, values: write_parquet(arrow_table(values), path),
}


def read(path: Path, names: Sequence[str]) -> list[Row]:
    with open_table(path) as table:
        spelt = [column.name for column in table.columns]
        return list(table.rows([spelt.index(name) for name in names]))


@pytest.mark.parametrize("form", FORMATS)
def test_a_table_says_the_same_in_every_format(tmp_path: Path, form: str) -> None:
    values: Values = {
        "ra": [12.5, 1 / 3, None, 359.99999999999],
        "count": [1, None if form != "binary" else 0, -3, 2**52 + 1],  # BINARY has no null of integers
        "name": ["M 31", None, 'NGC "1"' if form not in ("csv", "tsv") else "NGC 1", "a,b" if form != "tsv" else "a"],
    }
    FORMATS[form](tmp_path / "table", values)
    expected = [
        [None if value is None else str(value) for value in row]
        for row in zip(values["name"], values["ra"], values["count"], strict=True)
    ]
    assert [list(row) for row in read(tmp_path / "table", ["name", "ra", "count"])] == expected


@pytest.mark.parametrize("form", ["tabledata", "binary2", "fits", "parquet"])
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(numbers=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=30))
def test_numbers_keep_all_their_digits(tmp_path: Path, form: str, numbers: list[float]) -> None:
    path = tmp_path / "table"
    path.unlink(missing_ok=True)
    FORMATS[form](path, {"ra": numbers})
    assert [float(row[0] or "") for row in read(path, ["ra"])] == numbers


@pytest.mark.parametrize("form", FORMATS)
def test_more_rows_than_are_in_memory_at_once(tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imageserv.core.batch.tables._PIECE", 7)
    numbers = [float(number) for number in range(50)]
    FORMATS[form](tmp_path / "table", {"ra": numbers, "dec": numbers})
    assert read(tmp_path / "table", ["dec", "ra"]) == [[str(number)] * 2 for number in numbers]


def test_a_csv_row_of_another_length_is_told_and_the_others_are_read(tmp_path: Path) -> None:
    (tmp_path / "table").write_text("ra,dec\n1,2\n1\n\n3,4,5\n6,7\n")
    assert read(tmp_path / "table", ["dec"]) == [
        ["2"], "the row has 1 cells, the table 2 columns", "the row has 3 cells, the table 2 columns", ["7"]
    ]  # fmt: skip


def test_what_a_votable_says_of_its_columns(tmp_path: Path) -> None:
    (tmp_path / "table").write_text(
        """<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE>
        <COOSYS ID="old" system="eq_FK4" equinox="B1950"/><TABLE>
        <FIELD name="alpha" datatype="double" unit="deg" ucd="pos.eq.ra;meta.main" ref="old"/>
        <DATA><TABLEDATA><TR><TD>1.5</TD></TR><TR><TD/></TR><TR><TD>NaN</TD></TR></TABLEDATA></DATA>
        </TABLE></RESOURCE></VOTABLE>"""
    )
    with open_table(tmp_path / "table") as table:
        (column,) = table.columns
        assert (column.name, column.ucd, column.unit) == ("alpha", "pos.eq.ra;meta.main", "deg")
        assert column.system == "eq_FK4 B1950"
        assert list(table.rows([0])) == [["1.5"], [None], [None]]


def test_what_a_fits_table_says_of_its_columns(tmp_path: Path) -> None:
    make: Any = fits.Column
    hdu: Any = fits.BinTableHDU.from_columns([make("alpha", "D", array=[1.5], unit="deg")])
    hdu.header["TUCD1"] = "pos.eq.ra;meta.main"
    hdu.writeto(tmp_path / "table")
    with open_table(tmp_path / "table") as table:
        (column,) = table.columns
        assert (column.name, column.ucd, column.unit) == ("alpha", "pos.eq.ra;meta.main", "deg")


def _image() -> bytes:
    content = io.BytesIO()
    hdu: Any = fits.PrimaryHDU(np.zeros((2, 2)))
    hdu.writeto(content)
    return content.getvalue()


HEAD = '<VOTABLE version="1.4"><RESOURCE><TABLE><FIELD name="ra" datatype="double"/><DATA>'
TAIL = "</DATA></TABLE></RESOURCE></VOTABLE>"
SECRET = "file:///etc/hostname"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the table is empty"),
        (b"\n\n", "the table is empty"),
        (gzip.compress(b"ra,dec\n1,2\n"), "the table is compressed"),
        (b"PK\x03\x04 a workbook", "the table is compressed"),
        (b"\xff\xfe\x00ra,dec", "cannot be read as CSV"),
        (b"<html><body>not found</body></html>", "cannot be read as VOTable"),
        (HEAD.encode(), "cannot be read as VOTable"),
        (f'{HEAD}<BINARY><STREAM href="{SECRET}"/></BINARY>{TAIL}'.encode(), "are elsewhere"),
        (f'{HEAD}<FITS><STREAM href="{SECRET}"/></FITS>{TAIL}'.encode(), "are elsewhere"),
        (f'<!DOCTYPE VOTABLE [<!ENTITY a SYSTEM "{SECRET}">]>{HEAD}{TAIL}'.encode(), "document type declaration"),
        (b"PAR1 but no more", "cannot be read as Parquet"),
        (b"SIMPLE  = rubbish", "cannot be read as FITS"),
        (_image(), "the FITS file has no table"),
    ],
)
def test_what_is_no_table_is_told(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "table").write_bytes(content)
    with pytest.raises(UsageFault, match=message):
        read(tmp_path / "table", [])


@pytest.mark.parametrize("form", ["tabledata", "fits", "parquet"])
def test_tables_that_were_cut_short_are_told(tmp_path: Path, form: str) -> None:
    path = tmp_path / "table"
    FORMATS[form](path, {"ra": [float(number) for number in range(5000)]})
    path.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(UsageFault, match="the table cannot be read as"):
        read(path, ["ra"])


def test_arrays_in_cells_are_refused(tmp_path: Path) -> None:
    make: Any = fits.Column
    hdu: Any = fits.BinTableHDU.from_columns([make("ra", "2D", array=[[1, 2]])])
    hdu.writeto(tmp_path / "table")
    with pytest.raises(UsageFault, match="the column ra has arrays in its cells"):
        read(tmp_path / "table", ["ra"])


def test_without_pyarrow_parquet_is_refused_with_what_would_help(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    FORMATS["parquet"](tmp_path / "table", {"ra": [1.0]})
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageFault, match=r"pyarrow is not installed \(imageserv\[parquet\]\): send a VOTable"):
        read(tmp_path / "table", ["ra"])
