"""What the plugins raw, calexp and deepcoadd make of files."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from imageserv.core.candidate import CandidateFile
from imageserv.core.errors import ConfigurationFault, FitsFault
from imageserv.core.record import Found, Plane
from imageserv.plugins.calexp import Calexp
from imageserv.plugins.deepcoadd import DeepCoadd
from imageserv.plugins.image import Image
from imageserv.plugins.raw import Raw

Candidate = Callable[[Path, str], CandidateFile]
Plugin = Raw | Calexp | DeepCoadd

RAW = Raw("raw", {})
CALEXP = Calexp("calexp", {})
DEEPCOADD = DeepCoadd("deepcoadd", {})
PLUGINS: tuple[Plugin, ...] = (RAW, CALEXP, DEEPCOADD)

FRAME = {"run": 5646, "camcol": 4, "field": 694, "filter": "r"}
SKY = np.zeros((6, 8), np.float32)


def only(found: Sequence[Found] | None) -> Found:
    assert found is not None
    (image,) = found
    return image


@pytest.fixture
def recognise(tmp_path: Path, candidate: Candidate) -> Callable[..., Found]:
    """Write a file, show it to a plugin, and return the one image found."""

    def run(plugin: Plugin, path: str, *hdus: fits.PrimaryHDU | fits.ImageHDU | fits.CompImageHDU) -> Found:
        target = tmp_path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        fits.HDUList(list(hdus)).writeto(target)
        return only(plugin.imageserv_recognise(candidate(tmp_path, path)))

    return run


def primary(data: object = None, **cards: object) -> fits.PrimaryHDU:
    return fits.PrimaryHDU(data, fits.Header({key.replace("_", "-"): value for key, value in cards.items()}))


def exposure(label: str, *, keyword: str = "EXTTYPE", shape: tuple[int, int] = (6, 8)) -> fits.ImageHDU:
    hdu = fits.ImageHDU(np.zeros(shape, np.float32))
    hdu.header[keyword] = label
    return hdu


RAW_NAME = "a/b/fpC-005646-r4-0694.fit"
CALEXP_NAME = "calexp-005646-r4-0694.fits"
COADD_NAME = "x/coadd-u-0-366,0.fits"


@pytest.mark.parametrize(
    ("plugin", "path"),
    [
        (RAW, "calexp-005646-r4-0694.fits"),
        (RAW, "fpC-005646-r4-0694.fit.md5"),
        (RAW, "fpC-005646-r7-0694.fit"),
        (RAW, "fpAtlas-005646-r4-0694.fit"),
        (CALEXP, "fpC-005646-r4-0694.fit"),
        (DEEPCOADD, "coadd-u-0-366.fits"),
        (DEEPCOADD, "coadd-u-200-366,0.fits"),
    ],
)
def test_other_files_are_left_unopened(plugin: Plugin, path: str, tmp_path: Path, candidate: Candidate) -> None:
    assert plugin.imageserv_recognise(candidate(tmp_path, path)) is None  # there is no such file


@pytest.mark.parametrize("plugin", [RAW, CALEXP, DEEPCOADD])
def test_a_file_without_an_image_is_refused(plugin: Plugin, recognise: Callable[..., Found]) -> None:
    for shape in (None, np.zeros(5)):
        with pytest.raises(FitsFault, match="no image"):
            name = {Raw: RAW_NAME, Calexp: CALEXP_NAME, DeepCoadd: COADD_NAME}[type(plugin)]
            recognise(plugin, f"{0 if shape is None else 1}/{name}", primary(shape))


def test_raw_takes_hdu_0(recognise: Callable[..., Found]) -> None:
    found = recognise(RAW, RAW_NAME, primary(SKY, FRAME=300), exposure("IMAGE"))
    assert found.data_id == FRAME  # the name's field, not the header's
    assert found.planes == (Plane("image", 0),)
    assert found.warnings == ()


def test_raw_takes_the_first_image_where_hdu_0_is_empty(recognise: Callable[..., Found]) -> None:
    packed = fits.CompImageHDU(np.zeros((6, 8), np.int16))
    packed.header["EXPTIME"] = "53.9"
    found = recognise(RAW, "fpC-005646-r4-0694.fit.fz", primary(), packed)
    assert found.planes == (Plane("image", 1),)
    assert found.observation.t_exptime == 53.9


def test_raw_times_are_of_a_drift_scan_in_utc(recognise: Callable[..., Found]) -> None:
    # Row 0 was read at 04:43:34.68 TAI, 32 s ahead of UTC; five rows follow, 26.322 ms each. MJD 52931 is 2003-10-19.
    read = 52931 + (4 * 3600 + 43 * 60 + 34.68 - 32) / 86400
    cards = {"EXPTIME": "53.907456", "C_OBS": 26322, "OBJECT": "82 S"}
    by_text = fits.PrimaryHDU(SKY, fits.Header({"DATE-OBS": "2003-10-19", "TAIHMS": "04:43:34.68", **cards}))
    by_seconds = fits.PrimaryHDU(SKY, fits.Header({"TAI": 4573255414.68, **cards}))
    for folder, hdu in {"a": by_text, "b": by_seconds}.items():
        observation = recognise(RAW, f"{folder}/{RAW_NAME}", hdu).observation
        assert observation.t_min == pytest.approx(read - 53.907456 / 86400, abs=1e-9)
        assert observation.t_max == pytest.approx(read + 5 * 0.026322 / 86400, abs=1e-9)
        assert observation.t_exptime == 53.907456
        assert observation.target == "82 S"


@pytest.mark.parametrize(
    ("plugin", "name", "title"),
    [
        (RAW, RAW_NAME, "SDSS frame (fpC): run 5646, camcol 4, field 694, filter r"),
        (CALEXP, CALEXP_NAME, "SDSS calibrated exposure (calexp): run 5646, camcol 4, field 694, filter r"),
        (DEEPCOADD, COADD_NAME, "SDSS Stripe 82 deep coadd (deepCoadd): tract 0, patch 366,0, filter u"),
    ],
)
def test_titles_name_the_image(plugin: Plugin, name: str, title: str, recognise: Callable[..., Found]) -> None:
    observation = recognise(plugin, name, primary(SKY, EXPTIME=53.9)).observation
    assert (observation.title, observation.t_resolution) == (title, 53.9)


def test_raw_survives_broken_values(recognise: Callable[..., Found]) -> None:
    found = recognise(RAW, RAW_NAME, primary(SKY, TAI="soon", EXPTIME="long", DATE_OBS="2003-10-19"))
    assert (found.observation.t_min, found.observation.t_max, found.observation.t_exptime) == (None, None, None)
    assert sorted(warning.split()[0] for warning in found.warnings) == ["EXPTIME", "TAI"]


@pytest.mark.parametrize("keyword", ["EXTTYPE", "EXTNAME"])
@pytest.mark.parametrize(("plugin", "name"), [(CALEXP, CALEXP_NAME), (DEEPCOADD, COADD_NAME)])
def test_planes_are_found_by_their_labels(
    keyword: str, plugin: Plugin, name: str, recognise: Callable[..., Found]
) -> None:
    hdus = [exposure(label, keyword=keyword) for label in ("VARIANCE", "MASK", "OTHER", "IMAGE")]
    found = recognise(plugin, name, primary(), *hdus)
    assert found.planes == (Plane("image", 4), Plane("mask", 2), Plane("variance", 1))
    assert found.warnings == ()


def test_planes_without_labels_are_in_their_order(recognise: Callable[..., Found]) -> None:
    found = recognise(CALEXP, CALEXP_NAME, primary(), *(fits.ImageHDU(SKY) for _ in range(3)))
    assert found.planes == (Plane("image", 1), Plane("mask", 2), Plane("variance", 3))
    assert len(found.warnings) == 1


def test_missing_planes_are_a_warning(recognise: Callable[..., Found]) -> None:
    found = recognise(CALEXP, CALEXP_NAME, primary(), exposure("IMAGE"), exposure("VARIANCE"))
    assert found.planes == (Plane("image", 1), Plane("variance", 2))
    assert found.warnings == ("no mask plane",)


@pytest.mark.parametrize(
    ("cards", "utc"),
    [
        # MJD 53640 is 2005-09-27; TAI was 32 s ahead of UTC.
        ({"DATE-AVG": "2005-09-27T00:01:32", "TIMESYS": "TAI"}, 53640 + 60 / 86400),
        ({"DATE-AVG": "2005-09-27T00:01:00", "TIMESYS": "UTC"}, 53640 + 60 / 86400),
        ({"DATE-AVG": "2005-09-27T00:01:00"}, 53640 + 60 / 86400),
        ({"TIME-MID": "2005-09-27T00:01:00.000000000Z"}, 53640 + 60 / 86400),
    ],
)
def test_exposures_tell_their_middle(cards: Mapping[str, object], utc: float, recognise: Callable[..., Found]) -> None:
    hdu = fits.PrimaryHDU(header=fits.Header({"EXPTIME": 40.0, "TELESCOP": "Subaru", **cards}))
    observation = recognise(CALEXP, CALEXP_NAME, hdu, *map(exposure, ("IMAGE", "MASK", "VARIANCE"))).observation
    assert observation.t_min == pytest.approx(utc - 20 / 86400, abs=1e-9)
    assert observation.t_max == pytest.approx(utc + 20 / 86400, abs=1e-9)
    assert observation.t_exptime == 40.0
    assert observation.facility == "Subaru"


@pytest.mark.parametrize(
    "cards",
    [
        {"DATE-AVG": "1969-12-31T23:59:59.999999970", "TIMESYS": "TAI"},
        {"TIME-MID": "1969-12-31T23:59:51.999918240Z"},
        {},
    ],
)
def test_the_beginning_of_1970_means_unknown(cards: Mapping[str, str], recognise: Callable[..., Found]) -> None:
    hdu = fits.PrimaryHDU(header=fits.Header({"EXPTIME": 0.0, **cards}))
    found = recognise(DEEPCOADD, COADD_NAME, hdu, *map(exposure, ("IMAGE", "MASK", "VARIANCE")))
    observation = found.observation
    assert (observation.t_min, observation.t_max, observation.t_exptime) == (None, None, None)
    assert found.warnings == ()


@pytest.mark.parametrize(
    ("plugin", "options", "word"),
    [
        (Raw, {"file": ["x"]}, "'file'"),
        (Calexp, {"files": "x.fits"}, "files"),
        (DeepCoadd, {"files": []}, "files"),
        (Raw, {"files": [3]}, "3"),
        (Raw, {"files": ["{run}.fits"]}, "{camcol}"),
        (Image, {"calib_level": 5}, "calib_level"),
        (Image, {"calib_level": True}, "calib_level"),
        (Image, {"filter": "r"}, "'filter'"),
    ],
)
def test_wrong_options_are_named(plugin: type[Plugin] | type[Image], options: Mapping[str, object], word: str) -> None:
    with pytest.raises(ConfigurationFault) as caught:
        plugin("mine", options)
    assert word in caught.value.message


def test_configured_templates_replace_the_default_ones(tmp_path: Path, candidate: Candidate) -> None:
    plugin = Raw("raw", {"files": ["{run}-{camcol}-{field}-{filter}.fits"]})
    fits.PrimaryHDU(SKY).writeto(tmp_path / "5646-4-694-r.fits")
    assert only(plugin.imageserv_recognise(candidate(tmp_path, "5646-4-694-r.fits"))).data_id == FRAME
    assert plugin.imageserv_recognise(candidate(tmp_path, RAW_NAME)) is None


def test_examples_are_the_rows_of_the_table() -> None:
    titles = [example.title.split()[0] for plugin in PLUGINS for example in plugin.imageserv_dataset().examples]
    assert sorted(titles) == sorted([*(f"I_{row}" for row in range(1, 23)), "U_1", "U_2"])


@pytest.mark.parametrize(
    ("plugin", "row", "query"),
    [
        (RAW, "I_4", "ra=359.195&dec=-0.1055&filter=r&width=30.0&height=45.0&unit=arcsec"),
        (RAW, "I_5", "ra=359.195&dec=-0.1055&filter=r&width=30&height=45&unit=pixel"),
        (RAW, "I_19", "sid=5646240694&ra=37.6292&dec=0.104625&width=100&height=100&unit=pixel"),
        (CALEXP, "I_7", "run=5646&camcol=4&field=694&filter=g"),
        (CALEXP, "I_9", "ra=37.644598&dec=0.104625&filter=r&width=30.0&height=45.0&unit=arcsec"),
        (CALEXP, "I_11", "sid=5646240694&ra=37.6292&dec=0.104625&width=30.0&height=45.0&unit=arcsec"),
        (DEEPCOADD, "I_13", "ra=19.37995&dec=-0.3146&filter=r"),
        (DEEPCOADD, "I_16", "ra=19.36995&dec=-0.3147&filter=r&width=115&height=235&unit=arcsec"),
        (DEEPCOADD, "I_21", "sid=23986176&ra=9.47103&dec=-1.181766&width=100&height=100&unit=pixel"),
        (
            DEEPCOADD,
            "I_22",
            "tract=0&patch=225,1&filter=i&ra=40.49055&dec=-0.946593&width=100&height=100&unit=arcsec",
        ),
    ],
)
def test_examples_are_the_rows_of_the_specification(plugin: Plugin, row: str, query: str) -> None:
    queries = {example.title.split()[0]: example.query for example in plugin.imageserv_dataset().examples}
    assert "&".join(f"{name}={value}" for name, value in queries[row].items()) == query


# --- real files

REAL: dict[str, tuple[Plugin, int, int]] = {
    "trimmed/runs/3325/41/corr/1/fpC-003325-z1-0171.fit.gz": (RAW, 3325410171, 1),
    "trimmed/runs/5646/40/corr/4/fpC-005646-g4-0694.fit.gz": (RAW, 5646140694, 1),
    "trimmed/runs/5646/40/corr/4/fpC-005646-r4-0694.fit.gz": (RAW, 5646240694, 1),
    "full/4192/40/corr/4/fpC-004192-g4-0300.fit.gz": (RAW, 4192140300, 1),
    "full/4192/40/corr/4/fpC-004192-r4-0300.fit.gz": (RAW, 4192240300, 1),
    "full/4192/40/corr/4/fpC-004192-z4-0300.fit.gz": (RAW, 4192440300, 1),
    "trimmed/calexps/sci-results/3325/1/z/calexp/calexp-003325-z1-0171.fits.gz": (CALEXP, 3325410171, 3),
    "trimmed/calexps/sci-results/5646/4/r/calexp/calexp-005646-r4-0694.fits.gz": (CALEXP, 5646240694, 3),
    "trimmed/coadd/deepCoadd/r/0/319,4/coadd-r-0-319,4.fits.gz": (DEEPCOADD, 20906018, 3),
    "trimmed/coadd/deepCoadd/u/0/366,0/coadd-u-0-366,0.fits.gz": (DEEPCOADD, 23986176, 3),
}


def test_every_real_image_is_recognised_by_one_dataset(real_data: Path, candidate: Candidate) -> None:
    root = real_data / "stripe82"
    paths = {path.relative_to(root).as_posix() for path in root.rglob("*.gz")}
    assert paths == set(REAL)
    for path, (plugin, science_id, planes) in REAL.items():
        found = only(plugin.imageserv_recognise(candidate(root, path)))
        assert plugin.imageserv_science_id(found.data_id) == science_id
        assert [plane.name for plane in found.planes] == ["image", "mask", "variance"][:planes]
        assert found.warnings == ()
        for other in set(PLUGINS) - {plugin}:
            assert other.imageserv_recognise(candidate(root, path)) is None


def test_times_of_real_images(real_data: Path, candidate: Candidate) -> None:
    root = real_data / "stripe82"
    observations = {path: only(REAL[path][0].imageserv_recognise(candidate(root, path))).observation for path in REAL}
    full = observations["full/4192/40/corr/4/fpC-004192-r4-0300.fit.gz"]
    assert full.t_exptime == 53.907456
    assert full.t_min is not None and full.t_max is not None
    # 1489 rows on the way for 1488 row times; each has been exposed for 2048 of them when it is read.
    assert (full.t_max - full.t_min) * 86400 == pytest.approx((1488 + 2048) * 0.026322, abs=1e-3)
    calexp = observations["trimmed/calexps/sci-results/5646/4/r/calexp/calexp-005646-r4-0694.fits.gz"]
    assert calexp.t_min is not None and calexp.t_max is not None
    middle = 53640 + (9 * 3600 + 5 * 60 + 35.010335872 - 32) / 86400
    assert (calexp.t_min + calexp.t_max) / 2 == pytest.approx(middle, abs=1e-8)
    coadd = observations["trimmed/coadd/deepCoadd/u/0/366,0/coadd-u-0-366,0.fits.gz"]
    assert (coadd.t_min, coadd.t_exptime) == (None, None)


@pytest.mark.parametrize(
    ("name", "planes", "seconds", "warnings"),
    [
        ("obs_base-calexp.fits.gz", 3, 30.0, 0),
        ("obs_test-example-calexp.fits.gz", 3, 30.0, 0),
        ("HSC-0908120-056-small.fits", 3, None, 0),
        ("ticketdm26260.fits.fz", 1, None, 3),
    ],
)
def test_exposures_of_other_years_and_cameras(
    name: str, planes: int, seconds: float | None, warnings: int, real_data: Path, tmp_path: Path, candidate: Candidate
) -> None:
    path = CALEXP_NAME + "".join(Path(name).suffixes[1:])
    shutil.copyfile(real_data / "zoo/lsst" / name, tmp_path / path)
    found = only(CALEXP.imageserv_recognise(candidate(tmp_path, path)))
    assert [(plane.name, plane.hdu) for plane in found.planes] == [("image", 1), ("mask", 2), ("variance", 3)][:planes]
    assert found.observation.t_exptime == seconds
    assert len(found.warnings) == warnings


def test_nothing_of_a_real_header_points_at_tables_that_are_not_there(real_data: Path) -> None:
    from imageserv.plugins._exposure import TABLE_KEYWORDS

    for path in (*(real_data / "zoo/lsst").glob("*.fits*"), *(real_data / "stripe82").rglob("*.fits.gz")):
        header = fits.getheader(path)
        pointers = {card.keyword for card in header.cards if "archive" in card.comment.lower()}
        assert pointers <= TABLE_KEYWORDS
        assert {"FILTER", "EXPTIME"} & set(header) - TABLE_KEYWORDS == {"FILTER", "EXPTIME"} & set(header)
