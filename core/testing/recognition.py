"""What a plugin recognises in files: its own, those of others, damaged ones."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.io import fits

from imageserv.core.errors import ImageServError
from imageserv.core.ingest import walk
from imageserv.core.record import Found

from .archive import Archive
from .flags import Flags
from .oracle import middle_pixel, place_of, wcs_of

_STRANGERS = ("README.txt", "notes/imageserv-kit-stranger.dat", "imageserv-kit-stranger")
_STRANGE_FITS = "imageserv-kit/stranger.fits"
_MJD = (15_000.0, 90_000.0)  # 1899 to 2105: neither JD nor years nor seconds


class RecognitionTests(Flags):
    """A plugin takes the files of its dataset, and no others."""

    def test_every_file_is_taken(self, imageserv_archive: Archive) -> None:
        """Ingest takes each file that the plugin recognises, but those in `refused`."""
        summary = imageserv_archive.summary
        skipped = {path: reason for path, reason in summary.skipped if path not in self.refused}
        assert not skipped, f"not taken: {skipped}"
        assert summary.images, f"the plugin {self.plugin!r} takes no image of the files below {imageserv_archive.root}"

    def test_refused_files_are_refused(self, imageserv_archive: Archive) -> None:
        """Of each file in `refused` ingest says why it is not taken; and the plugin said it, it did not fail."""
        skipped = dict(imageserv_archive.summary.skipped)
        for path in self.refused:
            assert path in skipped, f"{path} is not reported: raise FitsFault that says why it cannot be served"
            assert " failed on it: " not in skipped[path], f"{path}: {skipped[path]}"

    def test_files_of_others_are_left_alone(self, imageserv_archive: Archive, tmp_path: Path) -> None:
        """Of a file with another name the plugin says None."""
        strangers = [*_STRANGERS, *([] if self.takes_any_fits else [_STRANGE_FITS])]
        for path in strangers:
            _put(tmp_path, path, _image())
            found = imageserv_archive.dataset.recognise(imageserv_archive.candidate(path, tmp_path))
            assert found is None, f"{path} is no file of this dataset, but is taken for {found}"
        if self.takes_any_fits:
            _put(tmp_path, _STRANGE_FITS, _image())
            found = imageserv_archive.dataset.recognise(imageserv_archive.candidate(_STRANGE_FITS, tmp_path))
            assert found, f"{_STRANGE_FITS} is not taken: leave takes_any_fits = True out"

    def test_paths_are_judged_before_files_are_opened(self, imageserv_archive: Archive, tmp_path: Path) -> None:
        """Ingest asks about every file below the root: to open each would take hours."""
        for path in _STRANGERS:
            _put(tmp_path, path, _image())
            candidate = imageserv_archive.candidate(path, tmp_path)
            imageserv_archive.dataset.recognise(candidate)
            assert "layout" not in vars(candidate), f"{path} was opened, though its name tells that it is a stranger"

    def test_damaged_files_are_refused_in_words(self, imageserv_archive: Archive, tmp_path: Path) -> None:
        """A file that is empty, cut short or of another kind ends in FitsFault, never in another exception."""
        for number, (path, damage, content) in enumerate(_damaged(imageserv_archive)):
            root = tmp_path / str(number)
            _put(root, path, content)
            try:
                imageserv_archive.dataset.recognise(imageserv_archive.candidate(path, root))
            except ImageServError:
                continue
            except Exception as error:
                raise AssertionError(f"{path}, {damage}, raises {error!r}: raise FitsFault") from error

    def test_recognition_is_repeatable(self, imageserv_archive: Archive) -> None:
        """A file that did not change is what it was."""
        for path, found in _recognised(imageserv_archive):
            again = imageserv_archive.dataset.recognise(imageserv_archive.candidate(path))
            assert list(again or ()) == found, f"{path} is read as {found}, then as {again}"

    def test_data_ids_are_canonical(self, imageserv_archive: Archive) -> None:
        """The data id that a file gives has every key, and values of its keys' types, as requests have them."""
        declaration = imageserv_archive.declaration
        for path, images in _recognised(imageserv_archive):
            for found in images:
                try:
                    canonical = dict(declaration.check_data_id(found.data_id))
                except ImageServError as fault:
                    raise AssertionError(f"{path}: {fault}") from fault
                assert dict(found.data_id) == canonical, f"{path} has {dict(found.data_id)}, requests {canonical}"

    def test_planes_are_declared(self, imageserv_archive: Archive) -> None:
        """Planes have the names that the declaration has, and the science plane is first."""
        names = imageserv_archive.declaration.planes
        for path, images in _recognised(imageserv_archive):
            for found in images:
                planes = [plane.name for plane in found.planes]
                assert planes and planes[0] == names[0], f"{path}: the first plane is {planes[:1]}, not {names[0]!r}"
                assert set(planes) <= set(names), f"{path} has planes {planes}, the declaration {list(names)}"
                assert len(set(planes)) == len(planes), f"{path} has two planes of one name: {planes}"

    def test_planes_are_cut_alike(self, imageserv_archive: Archive) -> None:
        """Planes are images with the science plane's pixels: ingest leaves out all others."""
        kept = {image.science_id: image.planes for image in imageserv_archive.images}
        for path, images in _recognised(imageserv_archive):
            for found in images:
                science_id = imageserv_archive.dataset.science_id(found.data_id)
                assert science_id not in kept or kept[science_id] == found.planes, (
                    f"{path}: of {found.planes} ingest keeps {kept[science_id]}"
                )

    def test_planes_lie_on_one_another(self, imageserv_archive: Archive) -> None:
        """The middle of a plane is where that of the science plane is: else it is of another image."""
        for image in imageserv_archive.some if self.has_positions else []:
            x, y = middle_pixel(image)
            wcs = wcs_of(imageserv_archive, image)
            here = SkyCoord(*place_of(wcs, x, y), unit="deg")
            for plane in image.planes[1:]:
                other = imageserv_archive.plane(image, plane)
                if other.wcs is not None and image.pixel_scale is not None:
                    there = SkyCoord(*place_of(other.wcs, x, y), unit="deg")
                    away = float(here.separation(there).to_value("arcsec")) / image.pixel_scale
                    assert away < min(image.shape) / 2, (
                        f"{image.identifier}: its {plane.name} is {away:.0f} pixels away from it on the sky:"
                        f" HDU {plane.hdu} of {imageserv_archive.path(image, plane).name} is of another image"
                    )

    def test_planes_hold_what_their_names_say(self, imageserv_archive: Archive) -> None:
        """A plane called mask holds integers, for its bits have meanings; no variance and no weight is negative."""
        for image in imageserv_archive.some:
            for plane in image.planes:
                values, where = imageserv_archive.plane(image, plane).values, f"{image.identifier}: its {plane.name}"
                if plane.name.lower() == "mask":
                    assert values.dtype.kind in "iub", f"{where} holds {values.dtype}: is it another plane?"
                if plane.name.lower() in ("variance", "weight"):
                    assert not (values < 0).any(), f"{where} has negative values: is it another plane?"

    def test_images_have_positions(self, imageserv_archive: Archive) -> None:
        """Images are found by position, unless `has_positions` says that none can be."""
        for image in imageserv_archive.images:
            if self.has_positions:
                assert image.footprint is not None, f"{image.file.path} has no usable celestial WCS: has_positions"
            else:
                assert image.footprint is None, f"{image.file.path} has a WCS: leave has_positions = False out"

    def test_observations_make_sense(self, imageserv_archive: Archive) -> None:
        """Times are MJD (d), exposure times seconds, wavelengths metres."""
        for path, images in _recognised(imageserv_archive):
            for seen in (found.observation for found in images):
                for name in ("t_min", "t_max"):
                    value = getattr(seen, name)
                    assert value is None or _MJD[0] < value < _MJD[1], f"{path}: {name} = {value} is no MJD of our time"
                if seen.t_min is not None and seen.t_max is not None:
                    assert seen.t_min <= seen.t_max, f"{path}: it ends ({seen.t_max}) before it begins ({seen.t_min})"
                    longest = (seen.t_max - seen.t_min) * 86400 + 1
                    assert (seen.t_exptime or 0) <= longest, (
                        f"{path}: exposed for {seen.t_exptime} s, but observed for {longest - 1:g} s"
                    )
                assert seen.t_exptime is None or seen.t_exptime >= 0, f"{path}: t_exptime = {seen.t_exptime}"
                if seen.em_min is not None and seen.em_max is not None:
                    assert 0 < seen.em_min <= seen.em_max < 1e4, f"{path}: em_min, em_max are wavelengths in metres"


def _recognised(archive: Archive) -> Iterator[tuple[str, list[Found]]]:
    """Yield the files that the plugin takes, and what it finds in them."""
    for path in walk(archive.root).files:
        try:
            found = archive.dataset.recognise(archive.candidate(path))
        except ImageServError:
            continue
        if found is not None:
            yield path, list(found)


def _damaged(archive: Archive) -> Iterator[tuple[str, str, bytes]]:
    """Yield paths of the dataset's files, and what is amiss with the content to put there."""
    path = archive.images[0].file.path
    whole = (archive.root / path).read_bytes()
    empty = BytesIO()
    fits.HDUList([fits.PrimaryHDU()]).writeto(empty)
    yield path, "empty", b""
    yield path, "not FITS", b"<html>404</html>" * 400
    yield path, "cut short in a header", whole[:4000]
    yield path, "cut short in its data", whole[: len(whole) // 2 // 2880 * 2880]
    yield path, "without an image", empty.getvalue()
    yield path, "with an image and hardly a keyword", _image()


def _image() -> bytes:
    content = BytesIO()
    fits.PrimaryHDU(np.zeros((20, 30), "f4")).writeto(content)
    return content.getvalue()


def _put(root: Path, path: str, content: bytes) -> None:
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
