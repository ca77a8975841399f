"""Images whose planes are in several files: each is what its file holds now, or the image is not given."""

import gzip
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from imageserv.core.candidate import CandidateFile
from imageserv.core.config import Limits
from imageserv.core.errors import FitsFault, LimitFault, UnavailableFault, WouldWait
from imageserv.core.fits.files import FileStore, UnpackedCache
from imageserv.core.record import FileStamp, Found, Plane
from imageserv.core.repository import Repository
from imageserv.core.request import CutoutRequest
from imageserv.core.selection import ByDataId, Selection
from imageserv.core.sky.stencil import Section

PART = CutoutRequest(Section(((5, 15), (8, 12))))

OpenRepository = Callable[..., Repository]
WriteImage = Callable[..., Path]


def with_mask(name: str = "mask.fits") -> Callable[[CandidateFile], Sequence[Found] | None]:
    """Recognise sketch.fits, with a mask in another file."""

    def recognise(file: CandidateFile) -> Sequence[Found] | None:
        if file.path != "sketch.fits":
            return None
        mask = file.beside(name)
        assert mask.hdus
        return [Found({"number": 1, "filter": "r"}, (Plane("image", 0), Plane("mask", 0, mask.stamp)))]

    return recognise


def open_sketch(
    open_repository: OpenRepository, recognise: Callable[[CandidateFile], Sequence[Found] | None]
) -> tuple[Repository, dict[str, str]]:
    repository = open_repository({"sketch": ("sketch", {"recognise": recognise})})
    (summary,) = repository.ingest(None, lambda done, total, path: None)
    return repository, dict(summary.skipped)


def select(repository: Repository) -> Selection:
    return repository.select(repository.dataset("sketch"), ByDataId({"number": 1, "filter": "r"}))


def planes(repository: Repository, request: CutoutRequest = PART) -> list[Any]:
    with fits.open(io.BytesIO(bytes(repository.cutout(select(repository), request).content))) as hdus:
        hdus.verify("exception")
        found: Any = hdus
        return [np.array(hdu.data) for hdu in found]


def test_each_plane_comes_from_its_file(open_repository: OpenRepository, write_image: WriteImage) -> None:
    write_image("sketch.fits")
    write_image("mask.fits", first=5000)
    repository, _ = open_sketch(open_repository, with_mask())
    image, mask = planes(repository)
    assert image[0, 0] == 8 * 40 + 5
    assert np.array_equal(mask, image + 5000)
    assert len(planes(repository, CutoutRequest(PART.stencil, "image"))) == 1
    assert len(planes(repository, CutoutRequest(PART.stencil, "all"))) == 2


def test_a_gzipped_file_beside_is_unpacked(open_repository: OpenRepository, write_image: WriteImage) -> None:
    write_image("sketch.fits.gz").rename(write_image("sketch.fits"))
    write_image("mask.fits.gz", first=5000)
    repository, _ = open_sketch(open_repository, with_mask("mask.fits.gz"))
    image, mask = planes(repository)
    assert np.array_equal(mask, image + 5000)


def test_what_is_known_of_a_plane_outlives_the_registry(
    open_repository: OpenRepository, write_image: WriteImage
) -> None:
    write_image("sketch.fits")
    mask = write_image("mask.fits")
    repository, _ = open_sketch(open_repository, with_mask())
    status = mask.stat()
    stamp = FileStamp("mask.fits", status.st_size, status.st_mtime_ns)
    record = select(repository).record
    assert record.planes == (Plane("image", 0), Plane("mask", 0, stamp))
    assert record.beside == (stamp,)


def test_all_planes_count_for_the_limit(open_repository: OpenRepository, write_image: WriteImage) -> None:

    write_image("sketch.fits")
    write_image("mask.fits")
    repository = open_repository({"sketch": ("sketch", {"recognise": with_mask()})}, limits=Limits(max_pixels=79))
    repository.ingest(None, lambda done, total, path: None)
    with pytest.raises(LimitFault, match="80 pixels in all its planes"):
        planes(repository)


def test_a_file_of_another_shape_is_no_plane(open_repository: OpenRepository, write_image: WriteImage) -> None:
    write_image("sketch.fits")
    write_image("mask.fits", shape=(39, 30))
    repository = open_repository({"sketch": ("sketch", {"recognise": with_mask()})})
    (summary,) = repository.ingest(None, lambda done, total, path: None)
    assert summary.warnings == [("sketch.fits", "plane mask left out: its shape is (39, 30), not (40, 30)")]
    assert len(planes(repository)) == 1


def test_the_science_plane_is_in_the_images_own_file(open_repository: OpenRepository, write_image: WriteImage) -> None:
    def recognise(file: CandidateFile) -> Sequence[Found] | None:
        if file.path != "sketch.fits":
            return None
        return [Found({"number": 1, "filter": "r"}, (Plane("image", 0, file.beside("mask.fits").stamp),))]

    write_image("sketch.fits")
    write_image("mask.fits")
    _, skipped = open_sketch(open_repository, recognise)
    assert skipped == {"sketch.fits": "the science plane image is in another file: that one is to be recognised"}


@pytest.mark.parametrize("name", ["../outside.fits", "link.fits"])
def test_a_file_outside_of_the_root_is_not_read(
    name: str, open_repository: OpenRepository, write_image: WriteImage, root: Path
) -> None:
    write_image("sketch.fits")
    write_image("../outside.fits")
    (root / "link.fits").symlink_to(root.parent / "outside.fits")
    _, skipped = open_sketch(open_repository, with_mask(name))
    assert skipped["sketch.fits"] == f"{name}: a link out of the repository's root"


def test_a_file_cut_short_is_not_touched(open_repository: OpenRepository, write_image: WriteImage) -> None:
    write_image("sketch.fits")
    mask = write_image("mask.fits")
    repository, _ = open_sketch(open_repository, with_mask())
    planes(repository)
    content = mask.read_bytes()
    mask.write_bytes(content[:4000])
    with pytest.raises(UnavailableFault, match=r"mask\.fits: HDU 0 is cut short"):
        planes(repository)
    mask.write_bytes(content)
    assert len(planes(repository)) == 2


def test_planes_that_moved_to_yet_another_file_wait_for_ingest(
    open_repository: OpenRepository, write_image: WriteImage
) -> None:
    """Else a change of that other file would not be seen: the registry does not know of it."""

    def newest(file: CandidateFile) -> Sequence[Found] | None:
        named = "mask.v2.fits" if file.beside("mask.v2.fits").stamp.size else "mask.fits"
        return with_mask(named)(file)

    science = write_image("sketch.fits")
    write_image("mask.fits", first=5000)
    repository, _ = open_sketch(open_repository, newest)
    assert planes(repository)[1][0, 0] == 5325
    write_image("mask.v2.fits", first=6000)
    science.write_bytes(science.read_bytes())
    with pytest.raises(UnavailableFault, match="in other files than when it was ingested"):
        planes(repository)
    repository.ingest(None, lambda done, total, path: None)
    assert planes(repository)[1][0, 0] == 6325


def test_an_image_is_read_again_when_a_file_comes_that_was_asked_for(
    open_repository: OpenRepository, write_image: WriteImage
) -> None:
    """Whether or not it was there, or was used."""

    def optional(file: CandidateFile) -> Sequence[Found] | None:
        if file.path == "sketch.fits" and not file.beside("mask.fits").stamp.size:
            return [Found({"number": 1, "filter": "r"}, (Plane("image", 0),))]
        return with_mask()(file)

    write_image("sketch.fits")
    repository, _ = open_sketch(open_repository, optional)
    assert len(planes(repository)) == 1
    write_image("mask.fits")
    assert [problem for _, path, problem in repository.audit() if path == "sketch.fits"] == [
        "read with mask.fits, which changed since it was ingested"
    ]
    (summary,) = repository.ingest(None, lambda done, total, path: None)
    assert (summary.taken, len(planes(repository))) == (1, 2)


def test_a_file_beside_names_itself_when_it_is_damaged(root: Path, write_image: WriteImage) -> None:

    write_image("sketch.fits")
    (root / "mask.fits.gz").write_bytes(gzip.compress(b"not FITS"))
    file = CandidateFile(FileStore(root, UnpackedCache(root, 0, 10**6)), "sketch.fits", Limits())
    with pytest.raises(FitsFault, match=r"^mask\.fits\.gz: not FITS"):
        assert file.beside("mask.fits.gz").hdus
    assert file.beside("mask.fits.gz") is file.beside("mask.fits.gz").beside("mask.fits.gz")


def test_only_a_small_cutout_of_one_mapped_file_is_given_at_once(
    open_repository: OpenRepository, write_image: WriteImage, root: Path
) -> None:
    def alone(file: CandidateFile) -> Sequence[Found] | None:
        if file.path != "sketch.fits":
            return None
        science = next(hdu.index for hdu in file.hdus if hdu.kind in ("image", "compressed"))
        return [Found({"number": 1, "filter": "r"}, (Plane("image", science),))]

    def given_at_once(recognise: Callable[[CandidateFile], Sequence[Found] | None]) -> bool:
        repository, _ = open_sketch(open_repository, recognise)
        selection = select(repository)
        with pytest.raises(WouldWait):
            repository.cutout(selection, PART, wait=False)  # it is not open yet
        answer = repository.cutout(selection, PART).content
        try:
            return repository.cutout(selection, PART, wait=False).content == answer
        except WouldWait:
            return False

    science = write_image("sketch.fits")
    write_image("mask.fits")
    assert given_at_once(alone)
    assert not given_at_once(with_mask())
    with fits.open(science) as hdus:
        plain: Any = hdus[0]
        packed = fits.CompImageHDU(plain.data, plain.header, compression_type="RICE_1")
    fits.HDUList([fits.PrimaryHDU(), packed]).writeto(science, overwrite=True)
    assert not given_at_once(alone)
