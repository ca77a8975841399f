"""Tables that clients send, read row by row as texts: VOTable, CSV, FITS and Parquet."""

import csv
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from lxml import etree

from imageserv.core.errors import UsageFault

_PIECE = 10_000
"""How many rows are in memory as texts."""

Row = Sequence[str | None] | str
"""The cells of a row, None where one is empty; or why the row cannot be read."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column as the table declares it; what it does not say is empty.

    Attributes
    ----------
    system
        The coordinate system, as VOTable's COOSYS has it.
    """

    name: str
    ucd: str = ""
    unit: str = ""
    system: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table.

    Attributes
    ----------
    columns
        All that it has.
    rows
        Gives the rows, with the cells of these columns; may be called once.
    """

    columns: tuple[Column, ...]
    rows: Callable[[Sequence[int]], Iterator[Row]]


@contextmanager
def open_table(path: Path) -> Generator[Table, None, None]:
    """Open a table for as long as it is read; its format is told by its first bytes.

    Raises
    ------
    UsageFault
        Raised if it is in no format that is read here, or broken. Broken rows are found when they are read.
    OSError
        Raised if there is no such file.
    """
    with open(path, "rb") as file:
        start = file.read(512)
    if start[:2] in (b"\x1f\x8b", b"PK"):
        raise UsageFault("the table is compressed: send it as it was before", parameter="UPLOAD")
    opener: Callable[[Path, ExitStack], Table]
    if start[:4] == b"PAR1":
        kind, opener = "Parquet", _parquet
    elif start.startswith(b"SIMPLE  ="):
        kind, opener = "FITS", _fits
    elif start.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<"):
        kind, opener = "VOTable", _votable
    else:
        kind, opener = "CSV", _csv
    with ExitStack() as stack:
        with _blaming(kind):
            table = opener(path, stack)

        def rows(wanted: Sequence[int]) -> Iterator[Row]:
            with _blaming(kind):
                yield from table.rows(wanted)

        yield Table(table.columns, rows)


@contextmanager
def _blaming(kind: str) -> Generator[None, None, None]:
    """Let whatever goes wrong with a table be the client's matter: readers raise anything for a file that is broken."""
    try:
        yield
    except (UsageFault, GeneratorExit):
        raise
    except Exception as error:
        what = str(error).strip().partition("\n")[0][:300] or type(error).__name__
        raise UsageFault(f"the table cannot be read as {kind}: {what}", parameter="UPLOAD") from error


def _csv(path: Path, stack: ExitStack) -> Table:
    """Open a CSV (RFC 4180, UTF-8), or one with tabs; its first line names the columns."""
    file = stack.enter_context(open(path, encoding="utf-8-sig", newline=""))
    first = file.readline()
    file.seek(0)
    reader = (line for line in csv.reader(file, delimiter="\t" if "\t" in first and "," not in first else ",") if line)
    header = [name.strip() for name in next(reader, [])]
    if not any(header):
        raise UsageFault("the table is empty: its first line has to name the columns", parameter="UPLOAD")

    def rows(wanted: Sequence[int]) -> Iterator[Row]:
        for cells in reader:
            if len(cells) == len(header):
                yield [cells[place].strip() or None for place in wanted]
            else:
                yield f"the row has {len(cells)} cells, the table {len(header)} columns"

    return Table(tuple(map(Column, header)), rows)


def _votable(path: Path, stack: ExitStack) -> Table:
    """Open the first table of a VOTable."""
    from astropy.io import votable  # a tenth of a second, which only those pay who need it

    _check_votable(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is not quite as the standard has it
        document: Any = votable.parse(path, table_number=0, verify="ignore")
        table = document.get_first_table()
    systems = {system.ID: _system(system.system, system.equinox) for system in document.iter_coosys()}
    columns = tuple(
        Column(field.name or field.ID, field.ucd or "", str(field.unit or ""), systems.get(field.ref, ""))
        for field in table.fields
    )
    return _array_table(columns, [table.array[name] for name in table.array.dtype.names or ()])


def _system(name: str | None, equinox: str | None) -> str:
    """Name a coordinate system, with its equinox unless that is J2000."""
    usual = (equinox or "J2000").upper().lstrip("J").removesuffix(".0") == "2000"
    return (name or "") if usual else f"{name} {equinox}"


def _check_votable(path: Path) -> None:
    """Refuse what would make a reader fetch other files, or write out entities."""
    tags = ("{*}STREAM", "{*}TR")
    with open(path, "rb") as file:
        document: Any = etree.iterparse(
            file, events=("end",), tag=tags, resolve_entities=False, no_network=True, load_dtd=False, huge_tree=True
        )
        for _, element in document:
            if element.get("href") is not None:
                raise UsageFault("the VOTable's data are elsewhere (STREAM href): send a table that has them")
            element.clear()
            while element.getprevious() is not None:
                del element.getparent()[0]
    if document.root.getroottree().docinfo.internalDTD is not None:
        raise UsageFault("the VOTable has a document type declaration: leave it out")


def _fits(path: Path, stack: ExitStack) -> Table:
    """Open the first table of a FITS file; UCDs are those that STILTS writes (TUCDn)."""
    from astropy.io import fits  # see _votable

    hdus: Any = stack.enter_context(fits.open(path, memmap=True))
    table: Any = next((hdu for hdu in hdus if isinstance(hdu, (fits.BinTableHDU, fits.TableHDU))), None)
    if table is None:
        raise UsageFault("the FITS file has no table", parameter="UPLOAD")
    columns = tuple(
        Column(column.name, str(table.header.get(f"TUCD{place}", "")), column.unit or "")
        for place, column in enumerate(table.columns, 1)
    )
    nulls = [column.null for column in table.columns]
    data = table.data

    def masked(place: int) -> Any:
        values = data.field(place)
        return values if nulls[place] is None else np.ma.masked_equal(values, nulls[place])

    return _array_table(columns, [_Lazy(masked, place, len(data)) for place in range(len(columns))])


@dataclass(frozen=True, slots=True)
class _Lazy:
    """A column of a FITS table, read when it is wanted."""

    read: Callable[[int], Any]
    place: int
    length: int

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, rows: slice) -> Any:
        return self.read(self.place)[rows]


def _array_table(columns: tuple[Column, ...], arrays: Sequence[Any]) -> Table:
    """Make a table of a column's values each, some of which may be masked."""

    def rows(wanted: Sequence[int]) -> Iterator[Row]:
        count = len(arrays[0]) if arrays else 0
        for start in range(0, count, _PIECE):
            pieces = [arrays[place][start : start + _PIECE] for place in wanted]
            for place, piece in zip(wanted, pieces, strict=True):
                if np.ndim(piece) > 1:
                    raise UsageFault(f"the column {columns[place].name} has arrays in its cells", parameter="UPLOAD")
            # One column at a time is turned into texts, for zip would ask numpy for each value.
            texts = [[_text(value) for value in piece.tolist()] for piece in pieces]
            yield from map(list, zip(*texts, strict=True))

    return Table(columns, rows)


def _parquet(path: Path, stack: ExitStack) -> Table:
    try:
        from pyarrow import parquet
    except ImportError:
        raise UsageFault(
            "Parquet is not read here, for pyarrow is not installed (imageserv[parquet]): send a VOTable, CSV or FITS",
            parameter="UPLOAD",
        ) from None
    file: Any = stack.enter_context(parquet.ParquetFile(path))
    names: list[str] = file.schema_arrow.names

    def rows(wanted: Sequence[int]) -> Iterator[Row]:
        for batch in file.iter_batches(_PIECE, columns=[names[place] for place in wanted]):
            texts = [[_text(value) for value in batch.column(names[place]).to_pylist()] for place in wanted]
            yield from map(list, zip(*texts, strict=True))

    return Table(tuple(map(Column, names)), rows)


def _text(value: object) -> str | None:
    """Write a cell as a client would: nothing for null and NaN, and of a number all digits."""
    if value is None or value != value:
        return None
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return str(value).strip() or None
