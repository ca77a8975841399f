"""Cutouts of several images, pixel by pixel against the file that each pixel is said to be of."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from imageserv.core.answer import CutoutAnswer
from imageserv.core.errors import ImageServError, UnavailableFault
from imageserv.core.fits.stitch import SOURCE
from imageserv.core.neighbours import Neighbours
from imageserv.core.record import ImageRecord
from imageserv.core.request import CutoutRequest
from imageserv.core.sky.stencil import Section

from .archive import Archive, given
from .flags import Flags
from .oracle import equal, replace_file, wcs_of
from .pixels import Pixels, read_answer

Box = tuple[tuple[int, int], tuple[int, int]]
"""Half-open ranges along x and y, in an image's pixels counted from 0."""


class _Cut(NamedTuple):
    """A cutout of a box that reaches beyond an image."""

    parent: ImageRecord
    box: Box
    request: CutoutRequest
    answer: CutoutAnswer

    @property
    def where(self) -> str:
        wish = ", ".join(f"{name}={value}" for name, value in self.request.parameters.items())
        return f"{self.parent.identifier}, {self.request.stencil} {wish}".rstrip()

    @property
    def sources(self) -> list[ImageRecord]:
        """The images that it is made of: the parent alone if none are told."""
        return [source.record for _, source in self.answer.report.sources] or [self.parent]


class MosaicTests(Flags):
    """A plugin that asks for `neighbours` gives the pixels of the images that it names, and of all that it should."""

    def test_cutouts_go_on_in_other_images(self, imageserv_archive: Archive) -> None:
        """Of a plugin that asks for `neighbours` some cutout of the survey is made of several images."""
        if self._stitches(imageserv_archive):
            assert any(len(cut.sources) > 1 for cut in _cuts(imageserv_archive)), (
                "the plugin asks for neighbours, but no cutout that reaches beyond an image is made of several: let the"
                " survey have images side by side, and the parameter that joins them an example"
            )

    def test_pixels_are_those_of_the_images_named(self, imageserv_archive: Archive) -> None:
        """`SOURCE` says of each pixel which image it is of, and that image has it at that place of the sky."""
        if self._stitches(imageserv_archive):
            for cut in _cuts(imageserv_archive):
                if cut.answer.report.sources:
                    _check_sources(imageserv_archive, cut)

    def test_images_of_one_filter_are_joined(self, imageserv_archive: Archive) -> None:
        """A cutout of several images does not go on in an image of another filter."""
        if self._stitches(imageserv_archive):
            for cut in _cuts(imageserv_archive):
                for other in cut.sources:
                    assert other.band == cut.parent.band, f"{cut.where}: {other.identifier} is of another filter"

    def test_no_image_is_forgotten(self, imageserv_archive: Archive) -> None:
        """What is without data, or left out, no image has of those that other cutouts are made of together."""
        if self._stitches(imageserv_archive):
            cuts = list(_cuts(imageserv_archive))
            for cut in cuts:
                missing = _source_numbers(cut) == 0
                for other in _joined(cut, cuts):
                    (left, right), (low, high) = _place(imageserv_archive, cut, other)
                    (x, _), (y, _) = cut.box
                    lost = missing[max(low - y, 0) : max(high - y, 0), max(left - x, 0) : max(right - x, 0)]
                    assert not lost.any(), (
                        f"{cut.where}: {np.count_nonzero(lost)} pixels that {other.identifier} has are not given"
                    )

    def test_the_wcs_goes_on_beyond_the_image(self, imageserv_archive: Archive) -> None:
        """A cutout of several images has the WCS of the one that was asked for, on both sides of each seam."""
        if self._stitches(imageserv_archive):
            for cut in _cuts(imageserv_archive):
                corner = np.array([span[0] if span else 0 for span in cut.answer.report.delivered.ranges[:2]])
                whole = wcs_of(imageserv_archive, cut.parent).celestial
                for plane in read_answer(cut.answer.content):
                    if cut.answer.report.sources and plane.wcs is not None:
                        places = np.array([(0.0, 0.0), (3.0, 2.0), np.array(plane.stored.shape[::-1]) - 1.0])
                        here = plane.wcs.celestial.all_pix2world(places, 0)
                        there = whole.all_pix2world(places + corner, 0)
                        off = np.nanmax(np.abs((here - there + 180) % 360 - 180))
                        assert off < 1e-9, f"{cut.where}: {plane.header.get('EXTNAME', 'a plane')} is {off:.3g} deg off"

    def test_changed_neighbours_are_noticed(self, imageserv_archive: Archive, tmp_path: Path) -> None:
        """Of another image's file that is replaced while the service runs the pixels are as they are now, or none."""
        if not self._stitches(imageserv_archive):
            return
        root = tmp_path / "files"
        shutil.copytree(imageserv_archive.root, root)
        archive = Archive(self.plugin, self.options, root, tmp_path)
        for cut in _cuts(archive):
            others = [image for image in cut.sources if image.science_id != cut.parent.science_id]
            if others:
                replace_file(archive.path(others[0], others[0].planes[0]), others[0].planes[0].hdu)
                try:
                    _check_sources(archive, cut._replace(answer=archive.cut(cut.parent, cut.request)))
                except UnavailableFault:
                    pass
                break
        archive.close()

    def _stitches(self, archive: Archive) -> bool:
        """Tell whether there is anything to ask: cutouts of several images whose pixels files tell."""
        if not self.has_positions or not _asks(archive):
            return False
        if not self.gives_stored_pixels:
            pytest.skip("gives_stored_pixels = False: the files do not tell which pixels are right")
        return True


def _asks(archive: Archive) -> bool:
    """Tell whether the plugin asks for other images, in one of the ways to ask for a cutout, or says that it does."""
    image = archive.repository.open(archive.images[0])
    box = Section(_boxes(image.record)[0])
    for wish in _wishes(archive):
        neighbours = Neighbours(archive.repository, archive.dataset)
        with suppress(ImageServError):
            archive.dataset.cutout(image, CutoutRequest(box, parameters=wish), neighbours)
        if neighbours.asked:
            return True
    return bool(archive.declaration.sky_maps)


def _boxes(image: ImageRecord) -> list[Box]:
    """Return boxes that reach beyond an image: on all sides, at a corner, at an edge."""
    width, height = image.shape
    return [
        ((-width // 2, width + width // 2), (-height // 2, height + height // 2)),
        ((width - 4, width + 9), (height - 5, height + 7)),
        ((-9, 4), (-7, height // 2)),
    ]


def _cuts(archive: Archive) -> Iterator[_Cut]:
    """Yield cutouts that reach beyond their image, asked for in each way that the dataset has; not those refused."""
    for wish in _wishes(archive):
        for image in archive.some:
            for box in _boxes(image):
                request = CutoutRequest(Section(box), parameters=wish)
                try:
                    answer = archive.cut(image, request)
                except ImageServError:
                    continue
                yield _Cut(image, box, request, answer)


def _wishes(archive: Archive) -> Iterator[Mapping[str, Any]]:
    """Yield values of the parameters that the dataset adds: none, one at a time, and as its sky maps have them."""
    yield {}
    for parameter in archive.declaration.parameters:
        for text in parameter.options or filter(None, (parameter.example,)):
            value = parameter.parse(text)
            yield {parameter.name: [value] if parameter.multiple else value}
    yield from archive.declaration.sky_maps.values()


def _source_numbers(cut: _Cut) -> NDArray[Any]:
    """Return who gave each pixel of the box that was asked for: a number of CUTSRCn, 0 where there is none."""
    (left, right), (low, high) = cut.box
    numbers = np.zeros((high - low, right - left), int)
    (x0, x1), (y0, y1) = (span or (0, 0) for span in cut.answer.report.delivered.ranges[:2])
    own = _source_plane(cut)[-1].stored if cut.answer.report.sources else 1
    numbers[y0 - low : y1 - low, x0 - left : x1 - left] = own
    return numbers


def _source_plane(cut: _Cut) -> list[Pixels]:
    """Return the planes of a cutout of several images: the last says who gave each pixel."""
    planes = read_answer(cut.answer.content)
    assert planes[-1].header.get("EXTNAME") == SOURCE, (
        f"{cut.where}: made of several images, but no plane {SOURCE} follows the others to say which gave each pixel"
    )
    return planes


def _check_sources(archive: Archive, cut: _Cut) -> None:
    """Hold each pixel of a cutout against the file of the image that it is said to be of."""
    *planes, last = _source_plane(cut)
    numbers, (x0, y0) = last.stored, (span[0] if span else 0 for span in cut.answer.report.delivered.ranges[:2])
    names = [plane.name for plane in given(cut.parent)]
    assert len(planes) == len(names), f"{cut.where}: {len(planes)} planes for {names}"
    reported = cut.answer.report.sources
    assert numbers.max() <= len(reported), f"{cut.where}: {SOURCE} has {numbers.max()}, of {len(reported)} images"
    for number, (_, source) in enumerate(reported, 1):
        ys, xs = np.nonzero(numbers == number)
        where = f"{cut.where}: {source.record.identifier}, CUTSRC{number},"
        assert len(xs) == source.pixels, f"{where} gave {source.pixels} pixels, {SOURCE} has {len(xs)} of it"
        box = Section(((int(xs.min()), int(xs.max()) + 1), (int(ys.min()), int(ys.max()) + 1)))
        assert str(source.section) == str(box), f"{where} gave {source.section}, {SOURCE} has it in {box}"
        (left, right), (low, high) = _place(archive, cut, source.record)
        columns, rows = xs + x0 - left, ys + y0 - low
        inside = (columns >= 0) & (columns < right - left) & (rows >= 0) & (rows < high - low)
        assert inside.all(), f"{where} does not reach to {np.count_nonzero(~inside)} pixels that {SOURCE} says it gave"
        own = {plane.name: plane for plane in source.record.planes}
        for name, pixels in zip(names, planes, strict=True):
            found, expected = pixels.stored[ys, xs], archive.plane(source.record, own[name]).stored[rows, columns]
            assert equal(found, expected), (
                f"{where} has other pixels there in {np.count_nonzero(found != expected)} places of {name}"
            )
    for name, pixels in zip(names, planes, strict=True):
        empty = pixels.stored[numbers == 0]
        same = np.isnan(empty).all() if pixels.stored.dtype.kind == "f" else len(np.unique(empty)) < 2
        assert same, f"{cut.where}: {name} has pixels where {SOURCE} says that there are none"


def _place(archive: Archive, cut: _Cut, other: ImageRecord) -> Box:
    """Return where an image lies in the pixels of a cutout's parent: its middle by astropy, for both share one grid."""
    width, height = other.shape
    x, y = width // 2, height // 2
    sky: Any = wcs_of(archive, other).celestial.pixel_to_world(x, y)
    there = np.array(wcs_of(archive, cut.parent).celestial.world_to_pixel(sky))
    nearest = np.round(there)
    assert np.abs(there - nearest).max() < 1e-3, f"{cut.where}: {other.identifier} has another grid of pixels"
    left, low = int(nearest[0]) - x, int(nearest[1]) - y
    return (left, left + width), (low, low + height)


def _joined(cut: _Cut, cuts: list[_Cut]) -> list[ImageRecord]:
    """Return the images that belong together with a cutout's, for some cutout has them together."""
    known = {cut.parent.science_id: cut.parent}
    while True:
        more = {
            image.science_id: image
            for each in cuts
            if each.request.parameters == cut.request.parameters
            and known.keys() & {image.science_id for image in (each.parent, *each.sources)}
            for image in (each.parent, *each.sources)
        }
        if more.keys() <= known.keys():
            return list(known.values())
        known |= more
