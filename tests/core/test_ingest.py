"""Ingest: what it takes, what it refuses and says so, and that nothing is lost however it ends."""

import dataclasses
import gzip
import os
import sqlite3
import subprocess
import sys
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from imageserv.core.candidate import CandidateFile
from imageserv.core.config import Limits
from imageserv.core.dataset import Band
from imageserv.core.errors import ConfigurationFault, NotFoundFault, UnavailableFault, UnsupportedFault
from imageserv.core.ingest import Summary, walk
from imageserv.core.record import Found, ImageRecord, Observation, Plane
from imageserv.core.repository import Repository
from imageserv.core.search import Search

OpenRepository = Callable[..., Repository]
WriteImage = Callable[..., Path]


def ignore(done: int, total: int, path: str) -> None:
    """Take no notice of progress."""


def run(repository: Repository) -> Summary:
    (summary,) = repository.ingest(None, ignore)
    return summary


def images(repository: Repository) -> dict[int, ImageRecord]:
    return {record.science_id: record for record in repository.registry.images("sketch")}


def counts(summary: Summary) -> tuple[int, int, int, int, int]:
    return summary.taken, summary.unchanged, summary.removed, len(summary.skipped), summary.images


def garble(path: Path) -> None:
    """Spoil a file without a trace in its size and time."""
    status = path.stat()
    path.write_bytes(b"#" * status.st_size)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


# --- what is taken


def test_images_are_described_as_their_headers_say(
    open_repository: OpenRepository, write_image: WriteImage, root: Path
) -> None:
    path = write_image("night/sketch-7-r.fits", ra=359.999, dec=-30.0, shape=(40, 30))
    repository = open_repository()
    assert counts(run(repository)) == (1, 0, 0, 0, 1)
    record = images(repository)[15]
    assert (record.dataset, record.data_id, record.band) == ("sketch", {"number": 7, "filter": "r"}, "r")
    assert (record.file.path, record.file.size) == ("night/sketch-7-r.fits", path.stat().st_size)
    assert record.file.mtime_ns == path.stat().st_mtime_ns
    assert record.shape == (40, 30)
    assert record.pixel_scale == pytest.approx(1.0, rel=1e-6)
    assert (record.identifier, record.size) == ("sketch/7/r", path.stat().st_size)
    assert (record.channels, record.pol_states) == (1, ())
    assert record.observation == Observation(em_min=5.5e-7, em_max=7e-7)
    found = repository.registry.containing("sketch", "r", 0.0, -30.0)  # across RA 0, 3.1 pixels from the middle
    assert [record.science_id for record in found] == [15]


def test_a_plane_of_another_shape_is_left_out_with_a_warning(
    open_repository: OpenRepository, write_image: WriteImage
) -> None:
    path = write_image("sketch-1-r.fits")
    with fits.open(path, mode="append") as hdus:
        hdus.append(fits.ImageHDU([[1, 2], [3, 4]]))
        hdus.append(fits.ImageHDU(np.zeros((30, 40))))

    def recognise(file: CandidateFile) -> Sequence[Found]:
        planes = (Plane("image", 0), Plane("mask", 1), Plane("variance", 2))
        return [Found({"number": 1, "filter": "r"}, planes, warnings=("a hint",))]

    repository = open_repository({"sketch": ("sketch", {"recognise": recognise})})
    summary = run(repository)
    assert images(repository)[3].planes == (Plane("image", 0), Plane("variance", 2))
    assert summary.warnings[0] == ("sketch-1-r.fits", "a hint")
    assert "plane mask left out" in summary.warnings[1][1]


def test_an_image_without_a_wcs_is_taken_with_a_warning(
    open_repository: OpenRepository, write_image: WriteImage
) -> None:
    write_image("sketch-1-r.fits", CTYPE1="", CTYPE2="")
    repository = open_repository()
    summary = run(repository)
    assert counts(summary) == (1, 0, 0, 0, 1)
    ((path, warning),) = summary.warnings
    assert path == "sketch-1-r.fits" and "no celestial WCS" in warning
    record = images(repository)[3]
    assert (record.footprint, record.pixel_scale, record.shape) == (None, None, (40, 30))


def write_cube(root: Path, **cards: object) -> None:
    """Write 4 x 3 pixels, 2 states of polarization, 5 channels of 1 MHz around 1400 MHz."""
    hdu = fits.PrimaryHDU(np.zeros((5, 2, 3, 4), np.int16))
    hdu.header.update(
        CTYPE1="RA---SIN", CRVAL1=10.0, CRPIX1=2.0, CDELT1=-0.01, CTYPE2="DEC--SIN", CRVAL2=20.0, CRPIX2=2.0,
        CDELT2=0.01, CTYPE3="STOKES", CRVAL3=4.0, CRPIX3=1.0, CDELT3=-1.0, CTYPE4="FREQ", CUNIT4="MHz",
        CRVAL4=1400.0, CRPIX4=3.0, CDELT4=1.0,
    )  # fmt: skip
    hdu.header.update(cards)
    hdu.writeto(root / "sketch-1-r.fits")


LIGHT = 299_792_458.0  # m/s


def test_channels_and_states_of_polarization_are_read(open_repository: OpenRepository, root: Path) -> None:
    write_cube(root)
    repository = open_repository()
    run(repository)
    record = images(repository)[3]
    assert (record.shape, record.channels, record.pol_states) == ((4, 3), 5, ("U", "V"))
    assert [image.cube for image in images(repository).values()].count(True) == 1
    # Five channels are 5 MHz wide from edge to edge: what the file says, not what the filter r would.
    assert record.observation.em_min == pytest.approx(LIGHT / 1402.5e6, rel=1e-12)
    assert record.observation.em_max == pytest.approx(LIGHT / 1397.5e6, rel=1e-12)


@pytest.mark.parametrize(
    ("cards", "channels", "states", "em_min"),
    [
        ({"CTYPE1": "", "CTYPE2": ""}, 5, ("U", "V"), LIGHT / 1402.5e6),
        ({"CTYPE4": "VRAD", "CUNIT4": "m/s"}, 5, ("U", "V"), 5.5e-7),  # no rest frequency
        ({"CTYPE3": "", "CTYPE4": ""}, 1, (), 5.5e-7),
        ({"CRVAL3": 30.0}, 5, (), LIGHT / 1402.5e6),
        ({"CRVAL3": -1.0}, 5, ("RR", "LL"), LIGHT / 1402.5e6),
        ({"WCSAXES": 5, "CTYPE4": "", "CTYPE5": "WAVE", "CRVAL5": 0.21, "CDELT5": 0.01}, 1, ("U", "V"), 0.215),
        ({"CRPIX4": "near"}, 1, (), 5.5e-7),  # a WCS that nothing is taken from
    ],
)
def test_what_an_axis_says_counts_whatever_the_others_say(
    cards: Mapping[str, object],
    channels: int,
    states: Sequence[str],
    em_min: float,
    open_repository: OpenRepository,
    root: Path,
) -> None:
    write_cube(root, **cards)
    repository = open_repository()
    run(repository)
    record = images(repository)[3]
    assert (record.channels, record.pol_states) == (channels, states)
    assert record.observation.em_min == pytest.approx(em_min, rel=1e-9)


def test_wavelengths_that_the_plugin_gives_count_most(open_repository: OpenRepository, root: Path) -> None:
    def recognise(file: CandidateFile) -> Sequence[Found]:
        seen = Observation(em_min=0.1, em_max=0.3, instrument="Pen")
        return [Found({"number": 1, "filter": "r"}, (Plane("image", 0),), seen)]

    write_cube(root)
    repository = open_repository({"sketch": ("sketch", {"recognise": recognise})})
    run(repository)
    observation = images(repository)[3].observation
    assert (observation.em_min, observation.em_max, observation.instrument) == (0.1, 0.3, "Pen")


def test_the_size_is_that_of_the_unpacked_file(
    open_repository: OpenRepository, write_image: WriteImage, root: Path
) -> None:
    path = write_image("sketch-1-r.fits.gz")
    repository = open_repository()
    run(repository)
    record = images(repository)[3]
    assert record.size == len(gzip.decompress(path.read_bytes())) == 2880 * 3 != record.file.size


def test_what_the_dataset_declares_is_stored_and_read_again_when_it_changes(
    open_repository: OpenRepository, write_image: WriteImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_image("sketch-1-r.fits")
    repository = open_repository()
    run(repository)
    plugin = repository.dataset("sketch")

    def declare(**changes: Any) -> Summary:
        monkeypatch.setattr(plugin, "declaration", dataclasses.replace(plugin.declaration, **changes))
        return run(repository)

    assert counts(declare(description="Other words.", examples=())) == (0, 1, 0, 0, 1)
    assert images(repository)[3].observation.facility is None
    assert counts(declare(facility="Pencil")) == (1, 0, 0, 0, 1)
    assert [image.science_id for image in repository.search(Search(facilities=("Pencil",)), ["sketch"])] == [3]
    assert counts(declare(instrument="HB")) == (1, 0, 0, 0, 1)
    assert images(repository)[3].observation.instrument == "HB"
    assert counts(declare(bands=(Band("r", 1e-7, 2e-7),))) == (1, 0, 0, 0, 1)
    assert images(repository)[3].observation.em_max == 2e-7
    number, band = plugin.declaration.keys
    assert counts(declare(keys=(band, number))) == (1, 0, 0, 0, 1)
    assert images(repository)[3].identifier == "sketch/r/1"
    assert counts(run(repository)) == (0, 1, 0, 0, 1)


def test_progress_counts_to_the_end(open_repository: OpenRepository, write_image: WriteImage) -> None:
    for number in range(3):
        write_image(f"sketch-{number}-r.fits")
    steps: list[tuple[int, int, str]] = []
    open_repository().ingest(None, lambda done, total, path: steps.append((done, total, path)))
    assert steps == [(number + 1, 3, f"sketch-{number}-r.fits") for number in range(3)]


def test_one_dataset_can_be_ingested_alone(open_repository: OpenRepository, write_image: WriteImage) -> None:
    write_image("sketch-1-r.fits")
    write_image("other-1-r.fits")
    repository = open_repository({"sketch": ("sketch", {}), "other": ("sketch", {"prefix": "other"})})
    assert [summary.dataset for summary in repository.ingest("OTHER", ignore)] == ["other"]
    assert (repository.registry.count("sketch"), repository.registry.count("other")) == (0, 1)
    with pytest.raises(NotFoundFault, match="no dataset 'third'; it has sketch, other"):
        repository.ingest("third", ignore)


# --- what changes


def test_a_second_run_changes_nothing_and_opens_nothing(
    open_repository: OpenRepository, write_image: WriteImage, root: Path
) -> None:
    good, bad = write_image("sketch-1-r.fits"), root / "sketch-2-r.fits"
    bad.write_text("no image")
    repository = open_repository()
    first = run(repository)
    assert counts(first) == (1, 0, 0, 1, 1)
    before = images(repository)[3]
    for path in (good, bad):
        garble(path)  # had it been opened, it would have been refused; or with another reason
    second = run(repository)
    assert counts(second) == (0, 1, 0, 1, 1)
    assert second.skipped == first.skipped
    after = images(repository)[3]
    assert dataclasses.replace(after, footprint=before.footprint) == before


def test_a_changed_file_is_read_again(open_repository: OpenRepository, write_image: WriteImage) -> None:
    path = write_image("sketch-1-r.fits", ra=10)
    repository = open_repository()
    run(repository)
    write_image("sketch-1-r.fits", ra=20)  # the same size
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))
    assert counts(run(repository)) == (1, 0, 0, 0, 1)
    assert repository.registry.containing("sketch", "r", 10, 2) == []
    assert len(repository.registry.containing("sketch", "r", 20, 2)) == 1
    mtime = path.stat().st_mtime_ns
    write_image("sketch-1-r.fits", ra=20, shape=(80, 60))
    os.utime(path, ns=(0, mtime))
    assert counts(run(repository)) == (1, 0, 0, 0, 1)
    assert images(repository)[3].shape == (80, 60)


def test_a_file_that_goes_takes_its_images_along(
    open_repository: OpenRepository, write_image: WriteImage, root: Path
) -> None:
    path = write_image("sketch-1-r.fits")
    bad = root / "sketch-2-r.fits"
    bad.write_text("no image")
    (root / "README").write_text("still there")
    repository = open_repository()
    run(repository)
    path.unlink()
    bad.unlink()
    assert counts(run(repository)) == (0, 0, 2, 0, 0)
    assert images(repository) == {}
    assert list(repository.registry.files("sketch")) == []


def test_a_taken_file_that_goes_bad_is_taken_out(open_repository: OpenRepository, write_image: WriteImage) -> None:
    path = write_image("sketch-1-r.fits")
    repository = open_repository()
    run(repository)
    path.write_text("no image any more")
    assert counts(run(repository)) == (0, 0, 0, 1, 0)
    write_image("sketch-1-r.fits")
    assert counts(run(repository)) == (1, 0, 0, 0, 1)


def test_other_options_read_all_files_again_and_other_limits_only_if_they_matter(
    open_repository: OpenRepository, write_image: WriteImage
) -> None:
    write_image("sketch-1-r.fits")
    write_image("drawing-2-r.fits")
    assert counts(run(open_repository())) == (1, 0, 0, 0, 1)
    assert counts(run(open_repository(limits=Limits(threads=3, max_pixels=7)))) == (0, 1, 0, 0, 1)
    assert counts(run(open_repository(limits=Limits(max_hdus=99)))) == (1, 0, 0, 0, 1)
    repository = open_repository({"sketch": ("sketch", {"prefix": "drawing"})})
    assert counts(run(repository)) == (1, 0, 0, 0, 1)
    assert list(images(repository)) == [5]


def test_a_plugin_that_was_changed_reads_all_files_again(
    open_repository: OpenRepository, write_image: WriteImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_image("sketch-1-r.fits")
    assert counts(run(open_repository())) == (1, 0, 0, 0, 1)

    def another(plugin: object) -> str:
        return "another"

    monkeypatch.setattr("imageserv.core.manager._source", another)
    assert counts(run(open_repository())) == (1, 0, 0, 0, 1)
    assert counts(run(open_repository())) == (0, 1, 0, 0, 1)


def test_a_file_at_which_the_plugin_failed_is_read_again(
    open_repository: OpenRepository, write_image: WriteImage
) -> None:
    """What failed may be the plugin, and what was mended may be in a module that nobody looks at."""
    write_image("sketch-1-r.fits")
    faults: list[Exception] = [KeyError("OBJECT")]

    def recognise(file: CandidateFile) -> Sequence[Found]:
        if faults:
            raise faults.pop()
        return [Found({"number": 1, "filter": "r"}, (Plane("image", 0),))]

    repository = open_repository({"sketch": ("sketch", {"recognise": recognise})})
    assert counts(run(repository)) == (0, 0, 0, 1, 0)
    assert counts(run(repository)) == (1, 0, 0, 0, 1)


def test_headers_share_what_they_have_in_common_whenever_they_come(
    open_repository: OpenRepository, write_image: WriteImage
) -> None:
    """Each run packs as the first did, and whoever opens the registry has every header as its file has it."""
    cards = {f"KEY{number}": f"{number * 7919 % 10007}" for number in range(500)}
    paths: dict[int, Path] = {}
    for number in (1, 2, 3):
        paths[number] = write_image(f"sketch-{number}-r.fits", **cards, OBJECT=f"M {number}")
        run(open_repository())
    repository = open_repository()
    for record in images(repository).values():
        header = fits.getheader(paths[int(record.data_id["number"])])
        packed = repository.registry.layout("sketch", record.file)
        assert packed is not None and 20 * len(packed) < len(zlib.compress(header.tostring().encode()))
        assert repository.open(record).layout.hdus[0].parsed().tostring() == header.tostring()


# --- duplicates


def test_the_first_of_two_files_is_kept_and_the_second_reported(
    open_repository: OpenRepository, write_image: WriteImage, root: Path
) -> None:
    write_image("a/sketch-1-r.fits")
    write_image("b/sketch-1-r.fits")
    repository = open_repository()
    for expected in ((1, 0, 0, 1, 1), (0, 1, 0, 1, 1)):
        summary = run(repository)
        assert counts(summary) == expected
        assert summary.skipped == [
            ("b/sketch-1-r.fits", "number=1, filter=r: the image is in a/sketch-1-r.fits already")
        ]
    write_image("0/sketch-1-r.fits")  # sorts before the one that was first
    assert images(repository)[3].file.path == "a/sketch-1-r.fits"
    run(repository)
    assert images(repository)[3].file.path == "a/sketch-1-r.fits"


@pytest.mark.parametrize("end", ["gone", "bad", "another image"])
@pytest.mark.parametrize("other", ["0", "b"])
def test_a_duplicate_takes_over_at_once_when_the_first_gives_the_image_up(
    open_repository: OpenRepository, write_image: WriteImage, end: str, other: str
) -> None:
    def by_target(file: CandidateFile) -> Sequence[Found]:
        number = int(str(file.header(0).get("NUMBER", 1)))
        return [Found({"number": number, "filter": "r"}, (Plane("image", 0),))]

    repository = open_repository({"sketch": ("sketch", {"recognise": by_target})})
    first = write_image("a.fits")
    run(repository)
    write_image(f"{other}.fits")
    run(repository)
    assert images(repository)[3].file.path == "a.fits"
    if end == "gone":
        first.unlink()
    elif end == "bad":
        first.write_text("no image")
    else:
        write_image("a.fits", NUMBER=2)
    run(repository)
    assert images(repository)[3].file.path == f"{other}.fits"


def test_a_file_of_several_images_gives_those_that_no_other_has(
    open_repository: OpenRepository, write_image: WriteImage
) -> None:
    def recognise(file: CandidateFile) -> Sequence[Found]:
        numbers = map(int, str(file.header(0)["NUMBERS"]).split())
        return [Found({"number": number, "filter": "g"}, (Plane("image", 0),)) for number in numbers]

    first = write_image("a.fits", NUMBERS="1 2")
    write_image("b.fits", NUMBERS="2 3 3")
    repository = open_repository({"sketch": ("sketch", {"recognise": recognise})})
    summary = run(repository)
    assert {number: record.file.path for number, record in images(repository).items()} == {
        2: "a.fits",
        4: "a.fits",
        6: "b.fits",
    }
    assert [reason for _, reason in summary.skipped] == [
        "number=2, filter=g: the image is in a.fits already",
        "number=3, filter=g: the image is in b.fits already",
    ]
    first.unlink()
    run(repository)
    assert {number: record.file.path for number, record in images(repository).items()} == {4: "b.fits", 6: "b.fits"}


# --- what is refused, and never ends the run


def block(*cards: str) -> bytes:
    return b"".join(card.ljust(80).encode() for card in cards).ljust(2880)


def bomb() -> bytes:
    packer = zlib.compressobj(9, wbits=31)
    head = block(
        "SIMPLE  =                    T", "BITPIX  =                    8", "NAXIS   =                    0", "END"
    )
    return packer.compress(head) + b"".join(packer.compress(bytes(1 << 20)) for _ in range(60)) + packer.flush()


HUGE = block(
    "SIMPLE  =                    T", "BITPIX  =                    8", "NAXIS   =                    2",
    "NAXIS1  =            777777701", "NAXIS2  =            777777701", "END",
)  # fmt: skip

BROKEN: Mapping[str, tuple[bytes, str]] = {
    "sketch-1-r.fits": (b"", "empty file"),
    "sketch-2-r.fits": (b"this is only text\n" * 1000, "not FITS"),
    "sketch-3-r.fits": (HUGE, "cut short"),
    "sketch-4-r.fits.gz": (bomb(), "unpacks to more than 50000000 bytes"),
    "sketch-5-r.fits.gz": (gzip.compress(HUGE)[:-20], "damaged gzip|cut short"),
    "sketch-6-r.fits": (block("SIMPLE  =                    T") * 2000, "no END|longer than"),
    "sketch-7-r.fits": (
        block("SIMPLE  =                    T", "BITPIX  =                    8", "NAXIS   = 0", "END"),
        "no image",
    ),
}


def test_broken_files_are_reported_one_by_one(
    open_repository: OpenRepository, write_image: WriteImage, root: Path
) -> None:
    write_image("sketch-0-r.fits")
    for name, (content, _) in BROKEN.items():
        (root / name).write_bytes(content)
    write_image("sketch-9-r.fits")
    repository = open_repository(limits=Limits(max_unpacked_bytes=50_000_000))
    summary = run(repository)
    assert counts(summary) == (2, 0, 0, len(BROKEN), 2)
    reasons = dict(summary.skipped)
    assert set(reasons) == set(BROKEN)
    for name, (_, expected) in BROKEN.items():
        assert any(part in reasons[name] for part in expected.split("|")), (name, reasons[name])


def test_odd_things_that_are_no_files_are_reported(
    open_repository: OpenRepository, write_image: WriteImage, root: Path
) -> None:
    real = write_image("real/sketch-0-r.fits")
    secret = root.parent / "sketch-1-r.fits"
    secret.write_bytes(real.read_bytes())
    (root / "sketch-1-r.fits").symlink_to(secret)
    (root / "sketch-2-r.fits").symlink_to(root / "nowhere")
    (root / "sketch-3-r.fits").symlink_to("sketch-3-r.fits")
    os.mkfifo(root / "sketch-4-r.fits")
    (root / "outside").symlink_to(root.parent)
    (root / "notes.txt").write_text("not a file of this dataset")
    summary = run(open_repository())
    assert counts(summary) == (1, 0, 0, 5, 1)
    reasons = dict(summary.skipped)
    assert "link out of the repository's root" in reasons["sketch-1-r.fits"]
    assert "No such file" in reasons["sketch-2-r.fits"]
    assert "Too many levels of symbolic links" in reasons["sketch-3-r.fits"]
    assert "not a plain file" in reasons["sketch-4-r.fits"]
    assert "link out of the repository's root" in reasons["outside"]


def test_names_that_are_not_text_are_reported(
    open_repository: OpenRepository, write_image: WriteImage, root: Path
) -> None:
    content = write_image("sketch-0-r.fits").read_bytes()
    os.mkdir(os.fsencode(root) + b"/f\xf6lder")
    for name in (b"sketch-\xff-r.fits", b"f\xf6lder/sketch-1-r.fits"):
        with open(os.fsencode(root) + b"/" + name, "wb") as file:
            file.write(content)
    write_image("größe/sketch-2-r.fits")
    summary = run(open_repository())
    assert counts(summary) == (2, 0, 0, 2, 2)
    assert dict(summary.skipped) == {name: "its name is not UTF-8" for name in (r"sketch-\xff-r.fits", r"f\xf6lder")}


def test_links_inside_the_root_are_followed_and_loops_end(
    open_repository: OpenRepository, write_image: WriteImage, root: Path
) -> None:
    write_image("z/deep/sketch-1-r.fits")
    write_image(".hidden/sketch-2-r.fits")
    (root / "a").symlink_to("z")  # sorts first, and yet the true path is the file's name
    (root / "shown").symlink_to(".hidden")
    (root / "z" / "deep" / "up").symlink_to(root)
    (root / "z" / "self").symlink_to(".")
    (root / "sketch-3-r.fits").symlink_to("z/deep/sketch-1-r.fits")
    repository = open_repository()
    run(repository)
    assert {record.file.path for record in images(repository).values()} == {
        "z/deep/sketch-1-r.fits",
        "shown/sketch-2-r.fits",
        "sketch-3-r.fits",
    }


def test_hidden_unfinished_and_foreign_files_are_ignored(
    open_repository: OpenRepository, write_image: WriteImage, root: Path
) -> None:
    for name in (".sketch-1-r.fits", ".night/sketch-2-r.fits", "sketch-3-r.fits.part", "sketch-4-r.fits~", "5.fits"):
        write_image(name)
    (root / "README").write_text("hello")
    repository = open_repository()
    assert counts(run(repository)) == (0, 0, 0, 0, 0)
    assert list(repository.registry.files("sketch")) == []


def test_the_walk_has_a_fixed_order(root: Path) -> None:
    for name in ("b/2", "b/1", "a", "c/x/1", "b.fits"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    assert walk(root).files == ["a", "b.fits", "b/1", "b/2", "c/x/1"]


def test_a_folder_that_cannot_be_read_keeps_what_was_in_it(
    open_repository: OpenRepository, write_image: WriteImage, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_image("a/sketch-1-r.fits")
    gone = write_image("b/sketch-2-r.fits")
    repository = open_repository()
    run(repository)
    gone.unlink()
    scandir = os.scandir

    def refuse(path: str) -> object:
        if str(path) == str(root / "a"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", refuse)
        summary = run(repository)
    assert counts(summary) == (0, 0, 1, 1, 1)
    assert summary.skipped == [("a", "cannot be read: Permission denied")]
    assert list(images(repository)) == [3]
    assert counts(run(repository)) == (0, 1, 0, 0, 1)


def test_a_file_that_could_not_be_read_is_read_when_it_can(
    open_repository: OpenRepository, write_image: WriteImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_image("sketch-1-r.fits")
    repository = open_repository()

    def refuse(*arguments: object) -> object:
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patch:
        patch.setattr("imageserv.core.candidate.read_layout", refuse)
        summary = run(repository)
        assert summary.skipped == [("sketch-1-r.fits", "cannot be read: Permission denied")]
    # chmod changes neither size nor modification time
    assert counts(run(repository)) == (1, 0, 0, 0, 1)


def test_a_file_that_is_still_being_written_is_read_when_it_is_done(
    open_repository: OpenRepository, write_image: WriteImage
) -> None:
    content = write_image("sketch-1-r.fits").read_bytes()
    path = write_image("sketch-1-r.fits")
    path.write_bytes(content[:3000])
    finished: list[bool] = []

    def finish(file: CandidateFile) -> Sequence[Found]:
        try:
            return [Found({"number": 1, "filter": "r"}, (Plane("image", 0),))] if file.hdus else []
        finally:
            if not finished:  # the writer goes on while ingest looks at the file
                path.write_bytes(content)
                finished.append(True)

    repository = open_repository({"sketch": ("sketch", {"recognise": finish})})
    assert counts(run(repository)) == (0, 0, 0, 1, 0)
    assert counts(run(repository)) == (1, 0, 0, 0, 1)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (ZeroDivisionError("by zero"), "the plugin 'sketch' failed on it: ZeroDivisionError('by zero')"),
        (MemoryError(), "the plugin 'sketch' failed on it: MemoryError()"),
        (RecursionError("deep"), "the plugin 'sketch' failed on it: RecursionError('deep')"),
        (NotFoundFault("nothing here"), "nothing here"),
        (UnavailableFault("not now"), "not now"),
        (UnsupportedFault("not so"), "not so"),
        (OSError(5, "Input/output error"), "cannot be read: Input/output error"),
    ],
)
def test_whatever_a_plugin_raises_is_reported(
    open_repository: OpenRepository, write_image: WriteImage, fault: Exception, reason: str
) -> None:
    write_image("sketch-1-r.fits")

    def fail(file: CandidateFile) -> Sequence[Found]:
        raise fault

    summary = run(open_repository({"sketch": ("sketch", {"recognise": fail})}))
    ((path, text),) = summary.skipped
    assert (path, text) == ("sketch-1-r.fits", reason)


IMAGE = (Plane("image", 0),)


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        ([], "holds no image"),
        ([Found({"number": 1, "filter": "z"}, IMAGE)], "filter='z' is not one of g, r"),
        ([Found({"number": 1}, IMAGE)], "lacks filter"),
        ([Found({"number": 1, "filter": "r", "x": 1}, IMAGE)], "x is no key"),
        ([Found({"number": 1, "filter": "r"}, (Plane("image", 9),))], "HDU 9, the image plane, is no image"),
        ([Found({"number": 1, "filter": "r"}, (Plane("image", -1),))], "HDU -1"),
        ([Found({"number": 1, "filter": "r"}, ())], "plugin 'sketch' failed on it"),
        (["an image"], "plugin 'sketch' failed on it"),
        (42, "plugin 'sketch' failed on it"),
        ([Found({"number": 2**63, "filter": "r"}, IMAGE)], "not an int64"),
    ],
)
def test_whatever_a_plugin_finds_is_checked(
    open_repository: OpenRepository, write_image: WriteImage, found: object, reason: str
) -> None:
    write_image("sketch-1-r.fits")

    def recognise(file: CandidateFile) -> object:
        return found

    repository = open_repository({"sketch": ("sketch", {"recognise": recognise})})
    summary = run(repository)
    assert len(summary.skipped) == 1 and reason in summary.skipped[0][1]
    assert images(repository) == {}


# --- runs that cannot be, or come to a bad end


def test_two_runs_at_once_are_refused(open_repository: OpenRepository, write_image: WriteImage) -> None:
    write_image("sketch-1-r.fits")
    other = open_repository()
    refused: list[str] = []

    def meanwhile(done: int, total: int, path: str) -> None:
        with pytest.raises(ConfigurationFault, match="another ingest of this repository is running") as caught:
            other.ingest(None, ignore)
        refused.append(str(caught.value))

    repository = open_repository()
    repository.ingest(None, meanwhile)
    assert len(refused) == 1
    assert counts(run(other)) == (0, 1, 0, 0, 1)


def test_a_root_that_is_not_there_forgets_nothing(
    open_repository: OpenRepository, write_image: WriteImage, root: Path
) -> None:
    write_image("sketch-1-r.fits")
    repository = open_repository()
    run(repository)
    root.rename(root.with_name("unmounted"))
    with pytest.raises(ConfigurationFault, match="no folder"):
        repository.ingest(None, ignore)
    assert list(images(repository)) == [3]


# Ingests a folder, commits often, and is killed when it has done so many files and a moment more. One process forks
# one such child after the other, so that none has to import everything anew.
KILL = """
import os, random, signal, sys, time
from pathlib import Path
from imageserv.core import ingest
from imageserv.core.config import Config, DatasetConfig, RepositoryConfig
from imageserv.core.repository import Repository

ingest._COMMIT_SECONDS = 0.002
root, registry = Path(sys.argv[1]), Path(sys.argv[2])
repository = RepositoryConfig("SKY", root, registry, True, {"image": DatasetConfig("image", "image", {})})
config = Config(cache=root.parent / "cache", repositories={"SKY": repository})

def run(output):
    opened = Repository(repository, config, writable=True)
    opened.ingest(None, lambda done, total, path: os.write(output, b"."))
    opened.close()

random.seed(1998)
for done in [0, 0, 0, 0, *range(5, 160, 10), None]:
    source, output = os.pipe()
    child = os.fork()
    if not child:
        os.close(source)
        try:
            run(output)
        finally:
            os._exit(0)
    os.close(output)
    while done and os.read(source, 1):
        done -= 1
    if done is not None:
        time.sleep(random.uniform(0, 0.02))
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(source)
    print("killed" if done is not None else "done", flush=True)
    sys.stdin.readline()  # the parent looks at what is there
"""


def content(registry: Path) -> list[tuple[object, ...]]:
    """Give all that a registry holds but the numbers of its rows."""
    connection = sqlite3.connect(registry)
    try:
        return connection.execute(
            "SELECT f.path, f.size, f.mtime_ns, f.recipe, f.status, f.reason, l.layout, i.science_id, i.data_id,"
            " i.s_region, i.vectors, b.x0, b.x1, b.y0, b.y1, b.z0, b.z1, k.dataset, k.band"
            " FROM files f LEFT JOIN layouts l ON l.file = f.id LEFT JOIN images i ON i.file = f.id"
            " LEFT JOIN boxes b ON b.id = i.id LEFT JOIN bands k ON k.id = b.band0 ORDER BY f.path, i.science_id"
        ).fetchall()
    finally:
        connection.close()


def check_whole(registry: Path) -> int:
    """Assert that a registry is whole, and return how many files it knows."""
    connection = sqlite3.connect(registry)
    try:
        if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            return 0  # killed before it was made
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        for question in (
            "SELECT path FROM files WHERE status = 'taken' AND id NOT IN (SELECT file FROM images)",
            "SELECT id FROM images WHERE file NOT IN (SELECT id FROM files)",
            "SELECT id FROM images WHERE vectors IS NOT NULL AND id NOT IN (SELECT id FROM boxes)",
            "SELECT id FROM boxes WHERE id NOT IN (SELECT id FROM images)",
        ):
            assert connection.execute(question).fetchall() == [], question
        return int(connection.execute("SELECT count(*) FROM files").fetchone()[0])
    finally:
        connection.close()


def test_an_ingest_that_is_killed_again_and_again_comes_to_the_same_end(
    open_repository: OpenRepository, write_image: WriteImage, root: Path
) -> None:
    for number in range(150):
        write_image(f"{number % 7}/{number}.fits", ra=2.4 * number, dec=number - 75)
    for number in range(10):
        (root / f"broken-{number}.fits").write_text("no image")
    registry = root.parent / "killed.sqlite"
    known: list[int] = []
    command = [sys.executable, "-c", KILL, str(root), str(registry)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        while process.stdout.readline() == "killed\n":
            known.append(check_whole(registry) if registry.exists() else 0)
            process.stdin.write("go on\n")
            process.stdin.flush()
    assert process.returncode == 0
    assert known == sorted(known)  # what was committed stays
    assert len(set(known)) > 8, "it was hardly ever killed in the middle"
    assert check_whole(registry) == 160
    repository = open_repository({"image": ("image", {})})
    run(repository)
    assert content(registry) == content(root.parent / "registry.sqlite")


def test_a_root_that_is_suddenly_empty_empties_no_registry(
    open_repository: OpenRepository, write_image: WriteImage
) -> None:
    path = write_image("sketch-1-r.fits")
    repository = open_repository()
    run(repository)
    path.rename(path.with_name(".hidden"))
    with pytest.raises(ConfigurationFault, match="mounted"):
        run(repository)
    assert list(images(repository)) == [3]
