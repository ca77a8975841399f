from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

from imageserv.core.candidate import CandidateFile
from imageserv.core.errors import FitsFault
from imageserv.core.record import Found, Plane
from imageserv.plugins.image import Image

Candidate = Callable[[Path, str], CandidateFile]
Recognise = Callable[..., Sequence[Found]]

IMAGE = Image("image", {})
SKY = np.zeros((6, 8), np.int16)


@pytest.fixture
def recognise(tmp_path: Path, candidate: Candidate) -> Recognise:
    """Write a file and show it to the plugin."""

    def run(*hdus: fits.PrimaryHDU | fits.ImageHDU, path: str = "a/b.fits") -> Sequence[Found]:
        target = tmp_path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        fits.HDUList(list(hdus)).writeto(target)
        found = IMAGE.imageserv_recognise(candidate(tmp_path, path))
        assert found is not None
        return found

    return run


def test_one_image_is_known_by_its_path(recognise: Recognise) -> None:
    (found,) = recognise(fits.PrimaryHDU(), fits.ImageHDU(SKY))
    assert found.data_id == {"file": "a/b.fits"}
    assert found.planes == (Plane("image", 1),)


def test_several_images_are_known_by_their_hdus(recognise: Recognise) -> None:
    table = fits.BinTableHDU.from_columns([fits.Column("x", "1J", array=[1])])
    hdus = [fits.PrimaryHDU(SKY), table, fits.ImageHDU(np.zeros(9)), fits.CompImageHDU(SKY), fits.ImageHDU()]
    found = recognise(*hdus)
    assert [image.data_id["file"] for image in found] == ["a/b.fits[0]", "a/b.fits[3]"]
    assert [image.planes for image in found] == [(Plane("image", 0),), (Plane("image", 3),)]


def test_a_cube_is_an_image(recognise: Recognise) -> None:
    assert len(recognise(fits.PrimaryHDU(np.zeros((2, 3, 4))))) == 1


def test_the_lookup_tables_of_a_distortion_are_no_images(recognise: Recognise) -> None:
    table = fits.ImageHDU(SKY, name="WCSDVARR")
    (found,) = recognise(fits.PrimaryHDU(), fits.ImageHDU(SKY, name="SCI"), table)
    assert found.data_id == {"file": "a/b.fits"}
    with pytest.raises(FitsFault, match="lookup"):
        recognise(fits.PrimaryHDU(), fits.ImageHDU(SKY, name="D2IMARR"), path="c.fits")


@pytest.mark.parametrize("data", [None, np.zeros(5), np.zeros((0, 5))])
def test_a_file_without_an_image_is_refused(data: object, recognise: Recognise) -> None:
    with pytest.raises(FitsFault, match="no image"):
        recognise(fits.PrimaryHDU(data))


@pytest.mark.parametrize(
    ("path", "taken"),
    [
        ("x.fits", True),
        ("a/b/x.fits.gz", True),
        ("x.fit.fz", True),
        ("x.fts", True),
        ("x.fits.md5", False),
        ("fits", False),
        ("x.fits/readme", False),
    ],
)
def test_files_are_judged_by_their_names(path: str, taken: bool, tmp_path: Path, candidate: Candidate) -> None:
    target = tmp_path / path
    target.parent.mkdir(parents=True, exist_ok=True)
    fits.PrimaryHDU(SKY).writeto(tmp_path / "plain.fits")
    (tmp_path / "plain.fits").rename(target)
    assert (IMAGE.imageserv_recognise(candidate(tmp_path, path)) is not None) == taken


@given(st.text())
def test_science_ids_are_int64_and_stay(path: str) -> None:
    science_id = IMAGE.imageserv_science_id({"file": path})
    assert 0 <= science_id < 2**63
    assert IMAGE.imageserv_science_id({"file": path}) == science_id
    assert IMAGE.imageserv_science_id({"file": path + "x"}) != science_id


def test_science_ids_do_not_change_between_runs() -> None:
    # The number is what `printf m13/m13.fits | b2sum -l 64` prints.
    assert IMAGE.imageserv_science_id({"file": "m13/m13.fits"}) == 0x50141B49F8A588DB >> 1


@pytest.mark.parametrize(
    ("cards", "t_min", "t_max"),
    [
        # MJD 51544 is 2000-01-01, 51544.5 its noon; TAI was 32 s ahead of UTC.
        ({"MJD-OBS": 51544.5, "EXPTIME": 43.2}, 51544.5, 51544.5005),
        ({"DATE-OBS": "2000-01-01T12:00:00"}, 51544.5, None),
        ({"DATE-OBS": "2000-01-01T12:00:32", "TIMESYS": "TAI"}, 51544.5, None),
        ({"DATE-BEG": "2000-01-01T12:00:00", "DATE-END": "2000-01-02T00:00:00"}, 51544.5, 51545.0),
        ({"MJD-BEG": 51544.5, "MJD-END": 51546.0, "EXPTIME": 43.2}, 51544.5, 51546.0),
        ({"MJD-OBS": 51544.5, "DATE-END": "2000-01-01T11:00:00"}, 51544.5, None),
        ({"MJD-OBS": 51544.5, "DATE-END": "2000-01-02"}, 51544.5, None),
        ({"DATE-OBS": "2000-01-01", "TIME-OBS": "12:00:00", "EXPTIME": 43.2}, 51544.5, 51544.5005),
        ({"DATE-OBS": "2000-01-01", "EXPTIME": 43.2}, 51544.0, 51545.0),
        ({"DATE-OBS": "01/01/99"}, 51179.0, 51180.0),
        ({"DATE-OBS": "2000-01-01", "TIME-OBS": "noon"}, 51544.0, 51545.0),
        ({"EXPTIME": 43.2}, None, None),
        ({"DATE-OBS": "soon"}, None, None),
        ({"MJD-OBS": 51544.5, "TIMESYS": "LOCAL"}, None, None),
    ],
)
def test_times(cards: dict[str, object], t_min: float | None, t_max: float | None, recognise: Recognise) -> None:
    hdu = fits.PrimaryHDU(SKY, fits.Header(cards))
    (found,) = recognise(hdu)
    for value, expected in ((found.observation.t_min, t_min), (found.observation.t_max, t_max)):
        assert value == (expected if expected is None else pytest.approx(expected, abs=1e-9))
    assert found.observation.t_exptime == cards.get("EXPTIME")


@pytest.mark.parametrize(
    ("cards", "seconds"),
    [
        ({"EXPTIME": 3.2}, 3.2),
        ({"EXPOSURE": 60.0}, 60.0),
        ({"XPOSURE": 50.0, "EXPTIME": 60.0}, 50.0),
        ({"EXPTIME": 3.2, "EXPOSURE": 43200.0, "DATE-END": "2000-01-02T00:00:00"}, 43200.0),  # of one reading of many
        ({"EXPTIME": 3.2, "EXPOSURE": 99999.0, "DATE-END": "2000-01-02T00:00:00"}, 3.2),  # longer than it took
        ({"EXPTIME": 3.2, "EXPOSURE": 43200.0}, 3.2),
    ],
)
def test_exposure_times(cards: dict[str, object], seconds: float, recognise: Recognise) -> None:
    (found,) = recognise(fits.PrimaryHDU(SKY, fits.Header({"DATE-OBS": "2000-01-01T12:00:00", **cards})))
    assert (found.observation.t_exptime, found.observation.t_resolution) == (seconds, seconds)


def test_the_primary_header_tells_what_the_image_does_not(recognise: Recognise) -> None:
    primary = fits.PrimaryHDU(header=fits.Header({"TELESCOP": "HST", "INSTRUME": "ACS", "OBJECT": "47 Tuc"}))
    image = fits.ImageHDU(SKY, fits.Header({"INSTRUME": "WFPC2"}))
    (found,) = recognise(primary, image)
    observation = found.observation
    assert (observation.facility, observation.instrument, observation.target) == ("HST", "WFPC2", "47 Tuc")


def test_what_headers_say_of_a_radio_image(recognise: Recognise) -> None:
    cards = {"BMAJ": 0.02, "BMIN": 0.005, "TITLE": "A deep field", "RELEASE": "2015-02-28", "EXPTIME": 600.0}
    (found,) = recognise(fits.PrimaryHDU(SKY, fits.Header(cards)))
    observation = found.observation
    assert observation.s_resolution == pytest.approx(36.0)  # 72 and 18 arcsec
    assert (observation.title, observation.release) == ("A deep field", "2015-02-28")
    assert observation.t_resolution == 600.0
    assert found.warnings == ()


def test_what_headers_do_not_say_is_not_known(recognise: Recognise) -> None:
    (found,) = recognise(fits.PrimaryHDU(SKY))
    observation = found.observation
    assert (observation.title, observation.release, observation.s_resolution) == (None, None, None)
    assert (observation.t_resolution, observation.em_res_power) == (None, None)


def test_the_calibration_level_is_an_option() -> None:
    assert IMAGE.imageserv_dataset().calib_level == 2
    assert Image("image", {"calib_level": 0}).imageserv_dataset().calib_level == 0


def test_images_that_astropy_ships(candidate: Candidate) -> None:
    folder = "io/fits/tests/data"
    found = IMAGE.imageserv_recognise(candidate(Path(str(files("astropy"))), f"{folder}/test0.fits"))
    assert found is not None
    assert [image.data_id["file"] for image in found] == [f"{folder}/test0.fits[{hdu}]" for hdu in (1, 2, 3, 4)]
    # FITS headers of the file: INSTRUME is WFPC2, DATE-OBS 19/05/94, which is MJD 49491.
    assert found[0].observation.instrument == "WFPC2"
    assert found[0].observation.t_min is not None and int(found[0].observation.t_min) == 49491


def test_every_real_file_is_read_or_refused(real_data: Path, candidate: Candidate) -> None:
    outcomes = {"read": 0, "refused": 0, "not FITS by name": 0}
    root = real_data / "zoo"
    for path in sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()):
        try:
            found = IMAGE.imageserv_recognise(candidate(root, path))
            outcomes["not FITS by name" if found is None else "read"] += 1
        except FitsFault:
            outcomes["refused"] += 1
    assert outcomes["read"] > 80
    assert outcomes["refused"] < 15
