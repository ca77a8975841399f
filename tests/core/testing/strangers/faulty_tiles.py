"""A right plugin whose cutouts go on in other images, and plugins that are each wrong in one way of doing so."""

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from imageserv.core.candidate import CandidateFile
from imageserv.core.dali.literals import choice
from imageserv.core.dali.parameters import Parameter
from imageserv.core.dataset import Dataset
from imageserv.core.fits.engine import Cutout, CutoutRequest, cut
from imageserv.core.fits.opened import OpenImage
from imageserv.core.fits.output import Source
from imageserv.core.fits.stitch import Share, grid_offset, stitch
from imageserv.core.hookspecs import hookimpl
from imageserv.core.neighbours import Neighbours
from imageserv.core.record import Found, ImageRecord
from imageserv.core.sky.boxes import PixelBox
from imageserv.core.sky.stencil import Circle, Section

from .faulty_plugins import Right, changed, pixels_of

WIDE, HIGH, STEP = 60, 40, 50
_NOTHING = re.compile("(?!)")


def write_survey(root: Path) -> None:
    """Write three tiles in a row, ten pixels of each also in the next, and the middle one in another filter."""
    for night, band in ((1, "g"), (2, "g"), (3, "g"), (2, "r")):
        values = np.random.default_rng([night, *band.encode()]).permutation(WIDE * HIGH).reshape(HIGH, WIDE)
        primary = fits.PrimaryHDU()
        primary.header.update({"MJD-OBS": 60000.25, "EXPTIME": 30.0})
        hdus = fits.HDUList([primary])
        for name, pixels in (("IMAGE", values.astype("f4")), ("MASK", (values % 251).astype("i2"))):
            plane = fits.ImageHDU(pixels, name=name)
            plane.header.update({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CDELT1": -1e-4, "CDELT2": 1e-4})
            plane.header.update({"CRPIX1": 30.5 - STEP * night, "CRPIX2": 20.5, "CRVAL1": 10.0, "CRVAL2": 5.0})
            hdus.append(plane)
        hdus.writeto(root / f"{night:04d}-north-{band}.fits")


class RightTiles(Right):
    """Tiles in a row: a cutout goes on in the next ones with ``join=true``."""

    @hookimpl
    def imageserv_dataset(self) -> Dataset:
        join = Parameter(
            "join", choice("true", "false"), "Whether to go on.", options=("true", "false"), example="true"
        )
        return replace(super().imageserv_dataset(), parameters=(join,))

    @hookimpl
    def imageserv_cutout(  # type: ignore[override]
        self, image: OpenImage, request: CutoutRequest, neighbours: Neighbours
    ) -> Cutout:  # pyright: ignore[reportIncompatibleMethodOverride]
        stencil = request.stencil
        if request.parameters.get("join") != "true" or not isinstance(stencil, Section):
            return cut(image, request)
        (x0, x1), (y0, y1) = stencil.ranges[0] or (0, WIDE), stencil.ranges[1] or (0, HIGH)
        return self.join(image, request, neighbours, ((x0, x1), (y0, y1)))

    def join(self, image: OpenImage, request: CutoutRequest, neighbours: Neighbours, box: PixelBox) -> Cutout:
        """Put tiles together: each gives what none before it has given."""
        records = self.chosen(image, sorted(self.near(image, neighbours), key=lambda each: each.science_id))
        shares: list[Share] = []
        first = box[0][0]
        for record in records:
            other = image if record.science_id == image.record.science_id else neighbours.open(record)
            x, y = self.offset(image, other)
            left, right = max(first, x), min(box[0][1], x + WIDE)
            low, high = max(box[1][0], y), min(box[1][1], y + HIGH)
            if left < right and low < high:
                shares.append(Share(other, (x, y), ((left, right), (low, high))))
                first = right
        if not shares:
            return cut(image, request)
        return self.joined(image, request, box, shares)

    def joined(self, image: OpenImage, request: CutoutRequest, box: PixelBox, shares: Sequence[Share]) -> Cutout:
        return stitch(image, request, Section(box), box, shares, blank=lambda name, header: -1, alike=_NOTHING)

    def near(self, image: OpenImage, neighbours: Neighbours) -> list[ImageRecord]:
        return [each for each in neighbours.meeting(Circle(10.0, 5.0, 0.1)) if each.band == image.record.band]

    def chosen(self, image: OpenImage, records: list[ImageRecord]) -> list[ImageRecord]:
        return records

    def offset(self, image: OpenImage, other: OpenImage) -> tuple[int, int]:
        return grid_offset(image, other)


class TakesTheWrongTile(RightTiles):
    """Gives the first one's pixels where the last one is, and the other way round."""

    def joined(self, image: OpenImage, request: CutoutRequest, box: PixelBox, shares: Sequence[Share]) -> Cutout:
        right = super().joined(image, request, box, shares)
        wrong = [share._replace(image=other.image) for share, other in zip(shares, reversed(shares), strict=True)]
        read = super().joined(image, request, box, wrong).hdus[1].read
        return changed(right, 1, read=read)


class ForgetsTheLastTile(RightTiles):
    def chosen(self, image: OpenImage, records: list[ImageRecord]) -> list[ImageRecord]:
        return records[:-1] if records[-1].science_id != image.record.science_id else records


class IsOffByOneAtTheSeam(RightTiles):
    """Puts the others a pixel too far to the right."""

    def offset(self, image: OpenImage, other: OpenImage) -> tuple[int, int]:
        x, y = super().offset(image, other)
        return (x + 1, y) if other is not image else (x, y)


class LeavesAGapAtTheSeam(RightTiles):
    def joined(self, image: OpenImage, request: CutoutRequest, box: PixelBox, shares: Sequence[Share]) -> Cutout:
        shares = [
            share._replace(box=((share.box[0][0], share.box[0][1] - (share is not shares[-1])), share.box[1]))
            for share in shares
        ]
        return super().joined(image, request, box, shares)


class JoinsAnyFilter(RightTiles):
    def near(self, image: OpenImage, neighbours: Neighbours) -> list[ImageRecord]:
        return list(neighbours.meeting(Circle(10.0, 5.0, 0.1)))


class CutsTheSeamOtherwiseInTheMask(RightTiles):
    def joined(self, image: OpenImage, request: CutoutRequest, box: PixelBox, shares: Sequence[Share]) -> Cutout:
        cutout = super().joined(image, request, box, shares)
        if request.detail == "image":
            return cutout
        return changed(cutout, 2, read=pixels_of(cutout.hdus[2], lambda pixels: np.roll(pixels, 1, axis=1)))


class NamesTheWrongTile(RightTiles):
    def joined(self, image: OpenImage, request: CutoutRequest, box: PixelBox, shares: Sequence[Share]) -> Cutout:
        cutout = super().joined(image, request, box, shares)
        records = [source.record for source in cutout.sources]
        moved = [
            replace(one, record=record) for one, record in zip(cutout.sources, [*records[1:], records[0]], strict=True)
        ]
        return replace(cutout, sources=tuple(moved))


class TellsNoBoxes(RightTiles):
    """Says of each tile that it gave the whole cutout."""

    def joined(self, image: OpenImage, request: CutoutRequest, box: PixelBox, shares: Sequence[Share]) -> Cutout:
        cutout = super().joined(image, request, box, shares)
        (x0, x1), (y0, y1) = box
        whole = Section(((0, x1 - x0), (0, y1 - y0)))
        return replace(cutout, sources=tuple(Source(one.record, whole, one.pixels) for one in cutout.sources))


class SaysNotWhoGaveWhat(RightTiles):
    """Leaves the plane SOURCE out."""

    def joined(self, image: OpenImage, request: CutoutRequest, box: PixelBox, shares: Sequence[Share]) -> Cutout:
        cutout = super().joined(image, request, box, shares)
        return cutout if request.detail == "image" else replace(cutout, hdus=cutout.hdus[:-1])


class FillsHoles(RightTiles):
    """Has zeros where there are no data, as if they were measured."""

    def joined(self, image: OpenImage, request: CutoutRequest, box: PixelBox, shares: Sequence[Share]) -> Cutout:
        cutout = super().joined(image, request, box, shares)
        return changed(cutout, 1, read=pixels_of(cutout.hdus[1], np.nan_to_num))


class CountsFromTheImage(RightTiles):
    """Leaves the WCS as if the cutout began where the image does."""

    def joined(self, image: OpenImage, request: CutoutRequest, box: PixelBox, shares: Sequence[Share]) -> Cutout:
        cutout = super().joined(image, request, box, shares)
        template = cutout.hdus[1].template
        kept = {template.place(keyword) for keyword in ("CRPIX1", "CRPIX2")}
        return changed(cutout, 1, changes=[change for change in cutout.hdus[1].changes if change[0] not in kept])


class AsksInVain(RightTiles):
    """Looks for its neighbours, and gives the one image."""

    def join(self, image: OpenImage, request: CutoutRequest, neighbours: Neighbours, box: PixelBox) -> Cutout:
        self.near(image, neighbours)
        return cut(image, request)


class RemembersTiles(RightTiles):
    """Keeps the pixels of others: as if their files never changed."""

    def __init__(self, name: str, options: Any) -> None:
        super().__init__(name, options)
        self._kept: dict[str, Any] = {}

    def joined(self, image: OpenImage, request: CutoutRequest, box: PixelBox, shares: Sequence[Share]) -> Cutout:
        cutout = super().joined(image, request, box, shares)
        pixels = self._kept.setdefault(f"{image.record.science_id} {request}", np.array(cutout.hdus[1].read()))
        return changed(cutout, 1, read=partial(np.array, pixels))


class CallsTheImageAMask(RightTiles):
    """Mixes planes up."""

    @hookimpl
    def imageserv_dataset(self) -> Dataset:
        return replace(super().imageserv_dataset(), planes=("mask", "image"))

    def recognise(self, file: CandidateFile) -> Sequence[Found] | None:
        found = super().recognise(file)
        names = {"image": "mask", "mask": "image"}
        return found and [
            replace(found[0], planes=tuple([replace(plane, name=names[plane.name]) for plane in found[0].planes]))
        ]
