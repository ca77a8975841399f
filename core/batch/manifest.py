"""The manifest: a row for each result, as a VOTable and as JSON."""

import json
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path

from imageserv.core.answer import Report
from imageserv.core.dali.tables import JSON_SEPARATOR, JsonWriter
from imageserv.core.dali.votable import Field, TableDocument, Value, cell_text
from imageserv.core.dali.words import soda_word
from imageserv.core.errors import ImageServError, NoOverlapFault, NotFoundFault
from imageserv.core.selection import Selection
from imageserv.core.sky.stencil import Box, Circle, Interval, Polygon, Range, Section, Stencil

from .outcome import ResultFile
from .storage import whole
from .targets import Target

_MOST_TEXT = 300
"""Characters of what was asked for, in a manifest: a polygon may have a thousand corners."""


def _number(name: str, ucd: str, description: str, datatype: str = "long", unit: str = "") -> Field:
    return Field(name, datatype, "", unit, ucd, description=description)


FIELDS = (
    _number("result", "meta.record", "Number of the result, in the order in which they were asked for, from 1."),
    Field("file", ucd="meta.id;meta.file", description="Name of the result's file."),
    Field("media_type", ucd="meta.code.mime", description="Of the file: text/plain if there is no cutout."),
    Field(
        "status",
        ucd="meta.code.status",
        description="OK; CLIPPED (the image has less than was asked for); NO_OVERLAP (it has nothing of it);"
        " NOT_FOUND (there is no such image); ERROR.",
    ),
    _number("row", "meta.record", "Row of the catalogue, from 1."),
    Field("name", "unicodeChar", ucd="meta.id;src", description="As the request gives it."),
    Field("id", "unicodeChar", ucd="meta.ref.ivoid", description="Image, as the request names it."),
    _number("ra", "pos.eq.ra", "Place, as the request gives it (ICRS).", "double", "deg"),
    _number("dec", "pos.eq.dec", "Place, as the request gives it (ICRS).", "double", "deg"),
    Field("stencil", ucd="pos.outline;obs", description="What was asked for, null for all of the image."),
    Field("band", ucd="em.wl;stat.interval", unit="m", description="Wavelengths that were asked for."),
    Field("time", ucd="time.interval;obs.exposure", unit="d", description="Times that were asked for (MJD UTC)."),
    Field("image", ucd="meta.ref.ivoid;meta.main", description="Publisher DID of the image that was cut."),
    _number("candidates", "meta.number", "How many images contain the place."),
    Field(
        "requested",
        ucd="pos.outline;instr.pixel",
        description="Pixels of the image that were asked for, as a FITS section; null if they cannot be told.",
    ),
    Field("box", ucd="pos.outline;instr.pixel;meta.main", description="Pixels of the image that the cutout has."),
    _number("coverage", "stat.filling", "Fraction of the requested pixels that the image has.", "double"),
    _number("size", "phys.size;meta.file", "Of the file.", unit="byte"),
    Field("sha256", ucd="meta.checksum", arraysize="64", description="SHA-256 of the file."),
    Field("error", "unicodeChar", ucd="meta.note", description="Why there is no cutout."),
)
_VOTABLE, _JSON = "application/x-votable+xml", "application/json"
NAMES = {"manifest.vot": _VOTABLE, "manifest.json": _JSON}
"""The manifest's files, and their media types."""

RowText = tuple[bytes, bytes]
"""A row as the two files have it."""

_OBJECTS = JsonWriter(FIELDS)
_DOCUMENT = TableDocument(FIELDS, description="The results of a job, and what became of each.")


def manifest_row(
    number: int,
    target: Target,
    interval: tuple[Interval | None, Interval | None],
    file: ResultFile,
    sha256: str,
    *,
    selection: Selection | None = None,
    report: Report | None = None,
    fault: Exception | None = None,
) -> list[Value]:
    """Return the row of one result.

    Parameters
    ----------
    number
        From 1.
    interval
        BAND and TIME.
    selection, report
        What was found and cut.
    fault
        Why there is no cutout.
    """
    band, time = interval
    requested = report and report.requested
    return [
        number,
        file.name,
        file.media_type,
        _status(report, fault),
        target.row,
        target.name,
        target.identifier,
        target.ra,
        target.dec,
        None if target.stencil is None else stencil_text(target.stencil)[:_MOST_TEXT],
        None if band is None else " ".join(map(cell_text, band)),
        None if time is None else " ".join(map(cell_text, time)),
        None if selection is None else selection.publisher_did,
        None if selection is None else selection.candidates,
        None if requested is None else str(requested),
        None if report is None else str(report.delivered),
        None if report is None else report.coverage,
        file.size,
        sha256,
        None if fault is None else error_text(fault),
    ]


def row_text(values: Sequence[Value]) -> RowText:
    """Write a row in both forms."""
    return _DOCUMENT.row(values).encode(), _OBJECTS.object(values).encode()


def result_file(row: RowText) -> ResultFile:
    """Return the file that a row is about."""
    values = json.loads(row[1])
    return ResultFile(values["file"], values["media_type"], values["size"])


def _status(report: Report | None, fault: Exception | None) -> str:
    match fault:
        case None:
            return "CLIPPED" if report is not None and report.clipped else "OK"
        case NoOverlapFault():
            return "NO_OVERLAP"
        case NotFoundFault():
            return "NOT_FOUND"
        case _:
            return "ERROR"


def is_ours(fault: Exception) -> bool:
    """Tell whether a fault is the service's: what it says is then no client's business, and goes to the log."""
    return not isinstance(fault, ImageServError) or soda_word(fault) == "Error"


def error_text(fault: Exception) -> str:
    """Say why there is no cutout, in SODA's words."""
    message = "this image cannot be served; the service's log says why" if is_ours(fault) else str(fault)
    return f"{soda_word(fault)}: {message}"


def stencil_text(stencil: Stencil) -> str:
    """Write a stencil in SODA's manner.

    >>> stencil_text(Circle(12.5, -3.0, 0.1)), stencil_text(Section(((0, 10), None)))
    ('CIRCLE 12.5 -3.0 0.1', 'PIXELS [1:10,*]')
    """
    match stencil:
        case Circle(ra, dec, radius):
            return f"CIRCLE {ra!r} {dec!r} {radius!r}"
        case Range(west, extent, south, north):
            return f"RANGE {west!r} {west + extent!r} {south!r} {north!r}"
        case Polygon(vertices):
            return " ".join(["POLYGON", *(repr(number) for vertex in vertices for number in vertex)])
        case Section():
            return f"PIXELS {stencil}"
        case Box(ra, dec, width, height, unit):
            return f"BOX {ra!r} {dec!r} {width!r} {height!r} {unit}"


def write_manifest(folder: Path, aside: Path, rows: Iterable[RowText]) -> tuple[ResultFile, ...]:
    """Write the manifest's files, in memory of one row; return what was written."""
    with ExitStack() as stack:
        votable, document = (stack.enter_context(whole(folder / name, aside)) for name in NAMES)
        votable.write(_DOCUMENT.head)
        document.write(_OBJECTS.head)
        separator = b"\n"
        for row, text in rows:
            votable.write(row)
            document.write(separator)
            document.write(text)
            separator = JSON_SEPARATOR.encode()
        votable.write(_DOCUMENT.tail())
        document.write(_OBJECTS.tail())
    return tuple(ResultFile(name, media_type, (folder / name).stat().st_size) for name, media_type in NAMES.items())
