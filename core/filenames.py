"""Names of cutouts' files: readable, the same for the same question, another for another."""

import hashlib

from .record import ImageRecord
from .request import CutoutRequest
from .sky.stencil import Box, Circle, Polygon, Range, Section, Stencil


def cutout_stem(record: ImageRecord, request: CutoutRequest) -> str:
    """Return the name of a cutout's file, without its ending."""
    parts = [image_stem(record)]
    if request.stencil is not None:
        parts.append(stencil_stem(request.stencil))
    # What has no short name of its own is told apart by a digest.
    rest = (request.band, request.time, request.pol, *sorted(request.parameters.items()))
    if any(rest):
        parts.append(_digest(rest))
    if request.detail != "planes":
        parts.append(request.detail)
    return "_".join(parts)


def image_stem(record: ImageRecord) -> str:
    """Return what stands for an image in the names of its cutouts."""
    return "-".join([record.dataset, *map(str, record.data_id.values())])


def stencil_stem(stencil: Stencil) -> str:
    """Return what stands for a stencil in the names of files."""
    match stencil:
        case Box(ra, dec, width, height, unit):
            factor, word = (3600, "arcsec") if unit == "deg" else (1, unit)
            return f"{ra:.8g}{dec:+.8g}_{width * factor:.8g}x{height * factor:.8g}{word}"
        case Circle(ra, dec, radius):
            return f"{ra:.8g}{dec:+.8g}_circle{radius * 3600:.8g}arcsec"
        case Range(west, extent, south, north):
            return f"{west:.8g}{south:+.8g}_range{extent:.8g}x{north - south:.8g}deg"
        case Polygon(vertices):
            ra, dec = vertices[0]
            return f"{ra:.8g}{dec:+.8g}_polygon{_digest(vertices)}"
        case Section(ranges):
            return "pixels-" + "-".join("all" if span is None else f"{span[0] + 1}.{span[1]}" for span in ranges)


def _digest(value: object) -> str:
    return hashlib.blake2b(repr(value).encode(), digest_size=4).hexdigest()
