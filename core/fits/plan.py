"""Which HDUs of an image a cutout has, and how each is written: what does not depend on where it is cut."""

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from typing import NamedTuple

from imageserv.core.record import ImageRecord
from imageserv.core.request import Detail

from .cards import HeaderTemplate
from .headers import UNTRUE, Move, Moves, PlaneHeader, empty_primary
from .layout import Hdu, Layout


class Part(NamedTuple):
    """One HDU of a cutout.

    Attributes
    ----------
    hdu
        Of the parent.
    template
        Its header.
    plane
        What a cut changes in the header, if the HDU is cut.
    copied
        Whether its data are copied as they are; else, unless it is cut, it has none.
    path
        Of the file that holds it, below the root, if that is another than the image's.
    as_tiles
        Whether it is cut to whole tiles, which are copied as they are.
    """

    hdu: Hdu
    template: HeaderTemplate
    plane: PlaneHeader | None = None
    copied: bool = False
    path: str | None = None
    as_tiles: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """The HDUs of a cutout, in the file's order, and behind them the planes that are in other files.

    Attributes
    ----------
    copied_bytes
        Of those that are not cut.
    """

    parts: tuple[Part, ...]
    copied_bytes: int


def make_plan(
    record: ImageRecord,
    layout: Layout,
    detail: Detail,
    drop: Set[str],
    beside: Mapping[str, Layout],
    *,
    as_tiles: bool = False,
) -> Plan:
    """Plan the cutouts of an image.

    Parameters
    ----------
    detail
        With ``all`` the HDUs that are no planes are copied as they are; else only tables that hold coordinates of the
        planes' axes.
    drop
        Keywords that point at what is left out: left out of all headers unless detail is ``all``.
    beside
        The layouts of other files that hold planes, by path.
    as_tiles
        Whether tile-compressed planes stay so.
    """

    def is_tiled(hdu: Hdu) -> bool:
        return as_tiles and hdu.kind == "compressed"

    everything = detail == "all"
    dropped: Set[str] = frozenset() if everything else drop
    wanted = record.planes[:1] if detail == "image" else record.planes
    planes: dict[int, PlaneHeader] = {}
    others: list[tuple[str, Hdu, PlaneHeader]] = []
    for plane in wanted:
        if plane.file is None:
            hdu = layout.hdus[plane.hdu]
            planes[plane.hdu] = PlaneHeader(hdu, dropped, as_tiles=is_tiled(hdu))
        else:
            hdu = beside[plane.file.path].hdus[plane.hdu]
            header = PlaneHeader(hdu, dropped, name=plane.name, as_tiles=is_tiled(hdu))
            others.append((plane.file.path, hdu, header))
    alike: dict[tuple[Move, ...], Moves] = {}
    for header in (*planes.values(), *(header for _, _, header in others)):
        header.moves = alike.setdefault(header.moves.rules, header.moves)
    tables = _coordinate_tables(planes.values())
    parts: list[Part] = []
    for hdu in layout.hdus:
        if (own := planes.get(hdu.index)) is not None:
            parts.append(Part(hdu, own.template, own, as_tiles=is_tiled(hdu)))
        elif everything or (hdu.kind == "table" and hdu.name in tables):
            template = HeaderTemplate(hdu.header)
            parts.append(Part(hdu, template if hdu.index else template.without(UNTRUE), copied=True))
        elif hdu.index == 0:
            parts.append(Part(hdu, empty_primary(hdu, dropped)))
    parts += [Part(hdu, header.template, header, False, path, is_tiled(hdu)) for path, hdu, header in others]
    return Plan(tuple(parts), sum(part.hdu.data_size for part in parts if part.copied))


def _coordinate_tables(planes: Iterable[PlaneHeader]) -> Set[str]:
    """Return the names of tables that hold the coordinates of an axis (-TAB: FITS WCS Paper III section 6)."""
    return frozenset[str]().union(*(plane.tables for plane in planes))
