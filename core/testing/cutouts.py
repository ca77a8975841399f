"""Cutouts, pixel by pixel against what astropy reads in the files."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits

from imageserv.core.errors import NoOverlapFault, UnavailableFault
from imageserv.core.request import CutoutRequest, Detail
from imageserv.core.sky.stencil import Box, Circle, Polygon, Range, Section

from .archive import Archive
from .flags import Flags
from .oracle import (
    axes_of,
    center_of,
    check_pixels,
    cut_planes,
    delivered_sky,
    equal,
    lasting_cards,
    middle,
    middle_pixel,
    odd,
    place_of,
    replace_file,
    section_of,
    sections,
    shared,
    slices,
    wcs_of,
)
from .pixels import primary_header, read_answer

_POLAR = 80.0
"""Degrees of declination, beyond which meridians run all ways across an image."""


class CutoutTests(Flags):
    """What is cut is what the files have there: pixels, headers, WCS."""

    def test_cutouts_have_the_files_pixels(self, imageserv_archive: Archive) -> None:
        """Each plane of a cutout holds the file's own pixels, in the file's number format."""
        if not self.gives_stored_pixels:
            with pytest.raises(AssertionError):
                for image in imageserv_archive.some:
                    check_pixels(imageserv_archive, image, middle(axes_of(imageserv_archive, image)))
                pytest.fail("it gives the files' pixels: leave gives_stored_pixels = False out")
        self._need_stored_pixels()
        for image in imageserv_archive.some:
            for section in sections(axes_of(imageserv_archive, image)):
                check_pixels(imageserv_archive, image, section)

    def test_cutouts_have_the_files_values(self, imageserv_archive: Archive) -> None:
        """BSCALE, BZERO and BLANK are as in the file: the numbers that a reader sees are the same."""
        self._need_stored_pixels()
        for image in imageserv_archive.some:
            ranges = middle(axes_of(imageserv_archive, image))
            for plane, cut in cut_planes(imageserv_archive, image, ranges):
                whole = imageserv_archive.plane(image, plane)
                expected = whole.values[slices(shared(whole, ranges, imageserv_archive, image))]
                assert equal(cut.values, expected), f"{image.identifier}: {plane.name} reads as other numbers"

    def test_every_pixel_can_be_had(self, imageserv_archive: Archive) -> None:
        """The four corners of an image, a pixel each, and the whole of it."""
        self._need_stored_pixels()
        image = imageserv_archive.images[0]
        axes = axes_of(imageserv_archive, image)
        for x in (0, axes[0] - 1):
            for y in (0, axes[1] - 1):
                check_pixels(imageserv_archive, image, [(x, x + 1), (y, y + 1)])
        check_pixels(imageserv_archive, image, [(0, axes[0]), (0, axes[1])])

    def test_without_a_stencil_all_is_given(self, imageserv_archive: Archive) -> None:
        """A request that says no place is for the whole image."""
        for image in imageserv_archive.some:
            whole = imageserv_archive.plane(image, image.planes[0]).stored
            cut = read_answer(imageserv_archive.cut(image, CutoutRequest(None)).content)
            shapes = {one.stored.shape for one in cut}
            assert whole.shape in shapes, f"{image.identifier}: its image of {whole.shape} pixels comes as {shapes}"

    def test_other_times_and_wavelengths_give_nothing(self, imageserv_archive: Archive) -> None:
        """An image of another time, or of other wavelengths, than the request wants is not given."""
        for image in imageserv_archive.some:
            seen = image.observation
            requests: list[CutoutRequest] = []
            if seen.t_min is not None and seen.t_max is not None:
                requests.append(CutoutRequest(None, time=(seen.t_max + 1, seen.t_max + 2)))
            if seen.em_min is not None and seen.em_max is not None:
                requests.append(CutoutRequest(None, band=(seen.em_max * 2, seen.em_max * 3)))
            for request in requests:
                with pytest.raises(NoOverlapFault):
                    imageserv_archive.cut(image, request)
                    wanted = f"time={request.time}" if request.time else f"band={request.band}"
                    raise AssertionError(f"{image.identifier} is given, though {wanted} is wanted, which it is not")

    def test_detail_says_how_much_of_the_image_comes(self, imageserv_archive: Archive) -> None:
        """``image``: the science plane; ``planes``: all of them; ``all``: them and what else the file has."""
        for image in imageserv_archive.some:
            section = section_of(middle(axes_of(imageserv_archive, image)))
            counts: dict[Detail, int] = {"image": 1, "planes": len(image.planes)}
            for detail, count in counts.items():
                found = len(read_answer(imageserv_archive.cut(image, CutoutRequest(section, detail)).content))
                assert found == count, f"{image.identifier}: detail={detail} gives {found} images, not {count}"
            found = len(read_answer(imageserv_archive.cut(image, CutoutRequest(section, "all")).content))
            assert found >= len(image.planes), f"{image.identifier}: detail=all lacks planes"

    def test_the_science_plane_alone_is_the_science_plane(self, imageserv_archive: Archive) -> None:
        """``detail=image`` gives the first of the planes, whatever their order in the file is."""
        self._need_stored_pixels()
        for image in imageserv_archive.some:
            axes = axes_of(imageserv_archive, image)
            answer = imageserv_archive.cut(image, CutoutRequest(section_of(middle(axes)), "image"))
            whole = imageserv_archive.plane(image, image.planes[0])
            (cut,) = read_answer(answer.content)
            assert equal(cut.stored, whole.stored[slices(middle(axes))]), f"{image.identifier}: another plane's"

    def test_what_is_beyond_the_edge_is_left_out(self, imageserv_archive: Archive) -> None:
        """A section that reaches beyond the image gives the pixels that are there, and the report says so."""
        for image in imageserv_archive.some:
            axes = axes_of(imageserv_archive, image)
            for asked, given_ in (
                ([(-7, 3), (-5, 2)], [(0, 3), (0, 2)]),
                ([(axes[0] - 3, axes[0] + 9), (0, axes[1])], [(axes[0] - 3, axes[0]), (0, axes[1])]),
                ([(-1, axes[0] + 1), (-1, axes[1] + 1)], [(0, axes[0]), (0, axes[1])]),
            ):
                answer = imageserv_archive.cut(image, CutoutRequest(section_of(asked)))
                assert answer.report.clipped, f"{image.identifier}: {section_of(asked)} is not reported as clipped"
                assert str(answer.report.delivered) == str(section_of(given_)), (
                    f"{image.identifier}: {section_of(asked)} gives {answer.report.delivered}, not {section_of(given_)}"
                )
                shape = read_answer(answer.content)[0].stored.shape[::-1][:2]
                wanted = tuple(stop - start for start, stop in given_)
                assert shape == wanted, f"{image.identifier}: {section_of(asked)} has {shape} pixels, not {wanted}"
                if self.gives_stored_pixels:
                    check_pixels(imageserv_archive, image, asked)

    def test_where_nothing_is_nothing_is_given(self, imageserv_archive: Archive) -> None:
        """A stencil without a pixel of the image raises NoOverlapFault, and is no empty file."""
        for image in imageserv_archive.some:
            axes = axes_of(imageserv_archive, image)
            stencils: list[Section | Circle | Box] = [Section(((axes[0], axes[0] + 5), (0, 5)))]
            if image.footprint is not None:
                ra, dec = center_of(imageserv_archive, image)
                stencils += [Circle((ra + 180) % 360, -dec, 0.001), Box((ra + 180) % 360, -dec, 5, 5, "pixel")]
            for stencil in stencils:
                with pytest.raises(NoOverlapFault):
                    content = imageserv_archive.cut(image, CutoutRequest(stencil)).content
                    raise AssertionError(f"{image.identifier}: {stencil} gives {len(content)} bytes")

    def test_the_report_is_true(self, imageserv_archive: Archive) -> None:
        """What the answer's primary header says was cut is what was cut."""
        for image in imageserv_archive.some:
            ranges = middle(axes_of(imageserv_archive, image))
            answer = imageserv_archive.cut(image, CutoutRequest(section_of(ranges)))
            header: Any = primary_header(answer.content)
            assert str(answer.report.delivered) == str(answer.report.requested) == str(section_of(ranges))
            assert (header.get("CUTBOX"), header.get("CUTREQ")) == (str(section_of(ranges)),) * 2
            assert header.get("CUTCLIP") is False

    def test_the_wcs_is_right_after_a_cut(self, imageserv_archive: Archive) -> None:
        """A pixel of a cutout is where the same pixel of the file is, in every plane that has a WCS."""
        self._need_positions()
        for image in imageserv_archive.some:
            axes = axes_of(imageserv_archive, image)
            for ranges in ([(axes[0] // 3, axes[0] // 3 + 7), (axes[1] // 4, axes[1] // 4 + 6)], middle(axes)):
                for plane, cut in cut_planes(imageserv_archive, image, ranges):
                    whole = imageserv_archive.plane(image, plane)
                    if whole.wcs is None:
                        continue
                    assert cut.wcs is not None, f"{image.identifier}: {plane.name} has lost its WCS"
                    count = whole.stored.ndim
                    corner = [ranges[axis][0] if axis < len(ranges) else 0 for axis in range(count)]
                    places = np.array([[x, y, *[0] * (count - 2)] for x, y in ((0, 0), (3, 2), (5.5, 4.25))])
                    here, there = cut.wcs.all_pix2world(places, 0), whole.wcs.all_pix2world(places + corner, 0)
                    assert np.allclose(here, there, rtol=0, atol=1e-9, equal_nan=True), (
                        f"{image.identifier}: {plane.name} is {np.nanmax(np.abs(here - there)):.3g} deg off"
                    )

    def test_headers_keep_their_cards(self, imageserv_archive: Archive) -> None:
        """All cards of a plane are as in the file, but those that a cut changes; with ``detail=all`` all are there."""
        for image in imageserv_archive.some:
            ranges = middle(axes_of(imageserv_archive, image))
            for plane, cut in cut_planes(imageserv_archive, image, ranges):
                whole = imageserv_archive.plane(image, plane)
                for keyword in lasting_cards(whole.header):
                    if keyword in cut.header:
                        assert cut.header[keyword] == whole.header[keyword], f"{plane.name}: {keyword} has changed"
                if self.gives_stored_pixels and plane is image.planes[0]:
                    everything = read_answer(imageserv_archive.cut(image, CutoutRequest(None, "all")).content)
                    lasting = lasting_cards(whole.header)
                    assert any(all(keyword in one.header for keyword in lasting) for one in everything), (
                        f"{image.identifier}: with detail=all no image has all of {plane.name}'s cards"
                    )
            everything = primary_header(imageserv_archive.cut(image, CutoutRequest(None, "all")).content)
            lasting = lasting_cards(fits.getheader(imageserv_archive.path(image, image.planes[0])))
            lost = [keyword for keyword in lasting if keyword not in everything]
            assert not lost, f"{image.identifier}: with detail=all the primary header lacks {', '.join(lost[:9])}"

    def test_a_box_in_pixels_is_centred_on_its_place(self, imageserv_archive: Archive) -> None:
        """A box of odd sizes around the middle of a pixel has as many pixels on each side of it."""
        self._need_positions()
        for image in imageserv_archive.some:
            wcs, (x, y) = wcs_of(imageserv_archive, image), middle_pixel(image)
            width, height = odd(image.shape[0] // 3), odd(image.shape[1] // 4)
            ra, dec = place_of(wcs, x, y)
            answer = imageserv_archive.cut(image, CutoutRequest(Box(ra, dec, width, height, "pixel")))
            low = x - width // 2, y - height // 2
            expected = section_of([(low[0], low[0] + width), (low[1], low[1] + height)])
            assert delivered_sky(answer, imageserv_archive, image) == expected.ranges, (
                f"{image.identifier}: {width} x {height} around pixel {x}, {y} is {answer.report.delivered}"
            )

    def test_a_circle_has_every_pixel_in_it(self, imageserv_archive: Archive) -> None:
        """The cutout of a circle has each pixel whose centre is in it, and hardly more than their box."""
        self._need_positions()
        for image in imageserv_archive.some:
            wcs, (x, y) = wcs_of(imageserv_archive, image), middle_pixel(image)
            ra, dec = place_of(wcs, x, y)
            radius = 4.3 * (image.pixel_scale or 1.0) / 3600
            answer = imageserv_archive.cut(image, CutoutRequest(Circle(ra, dec, radius)))
            ys, xs = np.mgrid[max(y - 30, 0) : y + 31, max(x - 30, 0) : x + 31]
            sky: Any = wcs.celestial.pixel_to_world(xs, ys).icrs
            near = sky.separation(SkyCoord(ra * u.deg, dec * u.deg)).deg <= radius
            (left, right), (low, high) = (span or (0, 0) for span in delivered_sky(answer, imageserv_archive, image))
            assert left <= xs[near].min() and xs[near].max() < right and low <= ys[near].min() <= ys[near].max() < high
            assert right - left <= np.ptp(xs[near]) + 4 and high - low <= np.ptp(ys[near]) + 4

    def test_shapes_on_the_sky_are_given_whole(self, imageserv_archive: Archive) -> None:
        """The cutout of a polygon, and of a range, has the pixels at its corners, and not many more."""
        self._need_positions()
        for image in imageserv_archive.some:
            wcs, (x, y) = wcs_of(imageserv_archive, image), middle_pixel(image)
            dx, dy = max(image.shape[0] // 5, 1), max(image.shape[1] // 5, 1)
            corners = [(x - dx, y), (x, y - dy), (x + dx, y), (x, y + dy)]
            places = [place_of(wcs, *corner) for corner in corners]
            ra, dec = place_of(wcs, x, y)
            east = [(place[0] - ra + 180) % 360 - 180 for place in places]
            south, north = (end(place[1] for place in places) for end in (min, max))
            shapes: list[Polygon | Range] = [Polygon(tuple(places))]
            if abs(dec) < _POLAR:
                shapes.append(Range((ra + min(east)) % 360, max(east) - min(east), south, north))
            for shape in shapes:
                answer = imageserv_archive.cut(image, CutoutRequest(shape))
                spans = [span or (0, 0) for span in delivered_sky(answer, imageserv_archive, image)]
                for corner in corners:
                    inside = all(low - 1 <= at <= high for at, (low, high) in zip(corner, spans, strict=True))
                    assert inside, (
                        f"{image.identifier}: {shape} gives {answer.report.delivered}, without pixel {corner}"
                    )
                if isinstance(shape, Polygon):
                    assert spans[0][1] - spans[0][0] <= 2 * dx + 5 and spans[1][1] - spans[1][0] <= 2 * dy + 5, (
                        f"{image.identifier}: {shape} gives {answer.report.delivered}, far more than is in it"
                    )

    def test_the_same_request_gives_the_same_bytes(self, imageserv_archive: Archive) -> None:
        """Caches of clients and proxies depend on it."""
        for image in imageserv_archive.some:
            for detail in ("image", "planes", "all"):
                request = CutoutRequest(section_of(middle(axes_of(imageserv_archive, image))), detail)
                one, two = (bytes(imageserv_archive.cut(image, request).content) for _ in range(2))
                assert one == two, f"{image.identifier}: detail={detail} gives other bytes the second time"

    def test_changed_files_are_noticed(self, imageserv_archive: Archive, tmp_path: Path) -> None:
        """A file that is replaced while the service runs is cut as it is now, or not at all."""
        self._need_stored_pixels()
        root = tmp_path / "files"
        shutil.copytree(imageserv_archive.root, root)
        archive = Archive(self.plugin, self.options, root, tmp_path)
        image = archive.images[0]
        section = middle(axes_of(archive, image))
        for plane in image.planes:
            check_pixels(archive, image, section)
            replace_file(archive.path(image, plane), plane.hdu)
            try:
                check_pixels(archive, image, section)
            except UnavailableFault:
                continue
            except AssertionError as error:
                raise AssertionError(f"the file of {plane.name} was replaced, and is not cut: {error}") from error
        archive.close()

    def _need_stored_pixels(self) -> None:
        if not self.gives_stored_pixels:
            pytest.skip("gives_stored_pixels = False: the files do not tell which pixels are right")

    def _need_positions(self) -> None:
        if not self.has_positions:
            pytest.skip("has_positions = False: the images have no WCS")
