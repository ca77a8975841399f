"""The frames of the demo, judged with astropy."""

import pickle
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS, FITSFixedWarning
from numpy.typing import NDArray

from imageserv.core.candidate import CandidateFile
from imageserv.core.demo import Demo
from imageserv.plugins.calexp import Calexp
from imageserv.plugins.deepcoadd import DeepCoadd
from imageserv.plugins.image import Image
from imageserv.plugins.raw import Raw

Candidate = Callable[[Path, str], CandidateFile]

PLUGINS: dict[str, Raw | Calexp | DeepCoadd] = {
    "raw": Raw("raw", {}),
    "calexp": Calexp("calexp", {}),
    "deepcoadd": DeepCoadd("deepcoadd", {}),
}

RAW_R = "runs/5646/40/corr/4/fpC-005646-r4-0694.fit"
RAW_Z = "runs/3325/40/corr/1/fpC-003325-z1-0171.fit"
CALEXP_R = "calexps/sci-results/5646/4/r/calexp/calexp-005646-r4-0694.fits"
CALEXP_Z = "calexps/sci-results/3325/1/z/calexp/calexp-003325-z1-0171.fits"
COADD_U = "coadd/deepCoadd/u/0/366,0/coadd-u-0-366,0.fits"

NO_DATA = 1 << 8


def demo(plugin: Raw | Calexp | DeepCoadd | Image) -> Demo:
    found = plugin.imageserv_demo()
    assert found is not None
    return found


@dataclass
class Planes:
    """What a file holds, and where on the sky it is."""

    image: NDArray[np.float64]
    mask: NDArray[np.int64] | None
    variance: NDArray[np.float64] | None
    wcs: WCS

    def pixel(self, ra: float, dec: float) -> tuple[float, float]:
        x, y = self.wcs.all_world2pix(ra, dec, 0)
        return float(x), float(y)

    def centroid(self, x: float, y: float) -> tuple[float, float]:
        """The centre of light around a pixel."""
        rows, columns = slice(round(y) - 4, round(y) + 5), slice(round(x) - 4, round(x) + 5)
        light = self.image[rows, columns] - np.nanmedian(self.image)
        ys, xs = np.mgrid[rows, columns]
        return float((light * xs).sum() / light.sum()), float((light * ys).sum() / light.sum())


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    """All frames, in a folder that does not outlive the tests: they take 277 MB."""
    with tempfile.TemporaryDirectory() as folder:
        for plugin in PLUGINS.values():
            for file in demo(plugin).files:
                target = Path(folder, file.path)
                target.parent.mkdir(parents=True, exist_ok=True)
                file.write(target)
        yield Path(folder)


def load(path: Path) -> Planes:
    with fits.open(path) as opened, warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)  # it sets MJD-OBS from DATE-OBS
        hdus: Any = opened
        planes = [hdu for hdu in hdus if hdu.is_image and hdu.data is not None]
        data = [np.array(hdu.data).astype(float) for hdu in planes]
        wcs = WCS(planes[0].header)
    if len(data) == 1:
        return Planes(data[0], None, None, wcs)
    image, mask, variance = data
    return Planes(image, mask.astype(int), variance, wcs)


def test_all_frames_take_what_was_promised(root: Path) -> None:
    sizes = [path.stat().st_size for path in root.rglob("*.fit*")]
    assert len(sizes) == 11
    assert 270e6 < sum(sizes) < 290e6


def test_every_file_is_recognised_by_the_configured_templates(root: Path, candidate: Candidate) -> None:
    for name, plugin in PLUGINS.items():
        found = demo(plugin)
        assert found.repository == "DC_W13_Stripe82"
        configured = type(plugin)(name, found.options)
        for file in found.files:
            for each in (plugin, configured):
                assert each.imageserv_recognise(candidate(root, file.path)) is not None


@pytest.mark.parametrize("path", [RAW_R, CALEXP_Z])
def test_a_file_is_the_same_when_it_is_made_again_elsewhere(path: str, root: Path, tmp_path: Path) -> None:
    (file,) = (file for plugin in PLUGINS.values() for file in demo(plugin).files if file.path == path)
    pickle.loads(pickle.dumps(file)).write(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (root / path).read_bytes()


# Rows I_1, I_6, I_11, I_18, I_13, I_16, I_20, I_22: position, and the pixel it falls on, from 0.
@pytest.mark.parametrize(
    ("path", "position", "pixel"),
    [
        ("runs/2708/40/corr/3/fpC-002708-r3-0103.fit", (359.195, -0.1055), (1024.78, 746.91)),
        (CALEXP_R, (37.644598, 0.104625), (1034.21, 727.97)),
        (CALEXP_R, (37.6292, 0.104625), (1034.21, 588.00)),
        (RAW_R, (37.6292, 0.104625), (1034.22, 588.00)),
        ("coadd/deepCoadd/r/0/321,4/coadd-r-0-321,4.fits", (19.37995, -0.3146), (938.5, 983.0)),
        ("coadd/deepCoadd/r/0/321,4/coadd-r-0-321,4.fits", (19.36995, -0.3147), (1029.45, 982.11)),
        (COADD_U, (9.47103, -1.181766), (1019.64, 698.43)),
        ("coadd/deepCoadd/i/0/225,1/coadd-i-0-225,1.fits", (40.49055, -0.946593), (1024.00, 959.00)),
    ],
)
def test_example_positions_fall_where_they_should(
    path: str, position: tuple[float, float], pixel: tuple[float, float], root: Path
) -> None:
    planes = load(root / path)
    assert planes.pixel(*position) == pytest.approx(pixel, abs=0.05)
    assert planes.centroid(*pixel) == pytest.approx(planes.pixel(*position), abs=0.1)  # a star is there


def test_every_example_with_a_position_is_in_one_frame_and_not_at_its_edge(root: Path, candidate: Candidate) -> None:
    for plugin in PLUGINS.values():
        dataset = plugin.imageserv_dataset()
        frames = []
        for file in demo(plugin).files:
            found = plugin.imageserv_recognise(candidate(root, file.path))
            assert found is not None
            frames.append((found[0].data_id, load(root / file.path)))
        for example in dataset.examples:
            if "ra" in example.query:
                chosen = [planes for data_id, planes in frames if suits(plugin, data_id, example.query)]
                boxes = [box(planes, example.query) for planes in chosen]
                assert boxes.count("outside") == len(boxes) - 1, example.title
                assert boxes.count("inside") == 1, example.title


def suits(plugin: Raw | Calexp | DeepCoadd, data_id: Mapping[str, int | str], query: Mapping[str, str]) -> bool:
    if "sid" in query:
        return plugin.imageserv_science_id(data_id) == int(query["sid"])
    return all(str(value) == query.get(key, str(value)) for key, value in data_id.items())


def box(planes: Planes, query: Mapping[str, str]) -> str:
    scale = {"pixel": 1.0, "arcsec": 1 / 0.396}[query.get("unit", "pixel")]
    half = [float(query.get(name, "0")) * scale / 2 for name in ("width", "height")]
    x, y = planes.pixel(float(query["ra"]), float(query["dec"]))
    rows, columns = planes.image.shape
    if not (-0.5 < x < columns - 0.5 and -0.5 < y < rows - 0.5):
        return "outside"
    return "inside" if half[0] < x < columns - half[0] and half[1] < y < rows - half[1] else "clipped"


def test_raw_frame_and_calibrated_exposure_show_the_same_pixels(root: Path) -> None:
    raw, calexp = load(root / RAW_R), load(root / CALEXP_R)
    difference = raw.image - calexp.image
    assert np.nanmedian(difference) == pytest.approx(1140, abs=0.01)
    assert np.nanpercentile(np.abs(difference - 1140), 99) <= 0.51  # what rounding to whole counts does


def test_all_datasets_show_the_same_stars(root: Path) -> None:
    exposure, frame, coadd = load(root / CALEXP_Z), load(root / RAW_Z), load(root / COADD_U)
    assert exposure.mask is not None
    inner = np.where(exposure.mask & ~(1 << 5) == 0, exposure.image, 0)
    seen = 0
    for place in np.argsort(inner, axis=None)[::-1][:400]:
        y, x = np.unravel_index(place, inner.shape)
        if min(x, y) < 12 or inner[y, x] < inner[y - 2 : y + 3, x - 2 : x + 3].max():
            continue
        if np.partition(inner[y - 12 : y + 13, x - 12 : x + 13].ravel(), -40)[-40] > 0.05 * inner[y, x]:
            continue  # it has a neighbour
        here = exposure.centroid(float(x), float(y))
        ra, dec = exposure.wcs.all_pix2world(*here, 0)
        for other in (frame, coadd):
            there = other.pixel(ra, dec)
            rows, columns = other.image.shape
            if 12 < there[0] < columns - 12 and 12 < there[1] < rows - 12:
                assert other.centroid(*there) == pytest.approx(there, abs=0.25)
                seen += 1
    assert seen > 20


@pytest.mark.parametrize("path", [CALEXP_R, COADD_U])
def test_the_noise_is_what_the_variance_says(path: str, root: Path) -> None:
    planes = load(root / path)
    assert planes.mask is not None and planes.variance is not None
    empty = planes.mask == 0
    assert np.std(planes.image[empty] / np.sqrt(planes.variance[empty])) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("path", [CALEXP_R, CALEXP_Z, COADD_U])
def test_the_mask_says_what_the_pixels_are(path: str, root: Path) -> None:
    planes = load(root / path)
    assert planes.mask is not None and planes.variance is not None
    bits = {name: planes.mask & 1 << bit != 0 for name, bit in {"SAT": 1, "EDGE": 4, "DETECTED": 5}.items()}
    hidden = planes.mask & NO_DATA != 0
    assert all(0 < bit.sum() < bit.size / 20 for bit in (*bits.values(), hidden))
    assert np.array_equal(np.isnan(planes.image), hidden)
    assert np.array_equal(np.isnan(planes.variance), hidden)
    shown = planes.image[~hidden]
    assert shown[bits["SAT"][~hidden]].min() > 0.9 * shown.max()
    assert np.median(shown[bits["DETECTED"][~hidden]]) > 10 * np.median(np.abs(shown))
    assert bits["EDGE"][0, 100:].all() and bits["EDGE"][100:-100, 0].all() and not bits["EDGE"][8:-8, 8:-8].any()


def test_headers_are_like_real_ones(root: Path) -> None:
    hdus: Any
    with fits.open(root / RAW_R, do_not_scale_image_data=True) as hdus:
        assert len(hdus) == 1
        assert (hdus[0].header["BITPIX"], hdus[0].header["BZERO"]) == (16, 32768)
        assert isinstance(hdus[0].header["EXPTIME"], str)
    with fits.open(root / COADD_U, do_not_scale_image_data=True) as hdus:
        assert [hdu.header.get("EXTTYPE") for hdu in hdus] == [None, "IMAGE", "MASK", "VARIANCE", "ARCHIVE_INDEX"]
        assert [hdu.header["BITPIX"] for hdu in hdus[1:4]] == [-32, 16, -32]
        assert {"AR_HDU", "PSF_ID", "COADD_INPUTS_ID"} <= set(hdus[0].header)
        assert hdus[0].header["AR_HDU"] == 5
        assert hdus[2].header["MP_NO_DATA"] == 8
        # The reference pixel of the whole tract, through the alternate WCS and through LTV, is (410000, 11442) from 1.
        header = hdus[1].header
        assert header["CRPIX1"] + header["CRVAL1A"] == header["CRPIX1"] - header["LTV1"] == 410000
        assert header["CRPIX2"] + header["CRVAL2A"] == header["CRPIX2"] - header["LTV2"] == 11442


def test_times_of_the_demo(root: Path, candidate: Candidate) -> None:
    for path, plugin in ((RAW_R, PLUGINS["raw"]), (CALEXP_R, PLUGINS["calexp"])):
        found = plugin.imageserv_recognise(candidate(root, path))
        assert found is not None and found[0].warnings == ()
        observation = found[0].observation
        assert observation.t_min is not None and observation.t_max is not None
        assert 53640.37 < observation.t_min < observation.t_max < 53640.38  # 2005-09-27, 9 h
    found = PLUGINS["deepcoadd"].imageserv_recognise(candidate(root, COADD_U))
    assert found is not None and found[0].warnings == ()
    assert found[0].observation.t_min is None


def test_images_of_astropy_are_copied_and_recognised(tmp_path: Path, candidate: Candidate) -> None:
    plugin = Image("image", {})
    found = demo(plugin)
    assert found.repository == "ASTROPY_SAMPLES"
    assert "m13/m13.fits" in {file.path for file in found.files}
    for file in found.files:
        target = tmp_path / file.path
        target.parent.mkdir(exist_ok=True)
        pickle.loads(pickle.dumps(file)).write(target)
        assert plugin.imageserv_recognise(candidate(tmp_path, file.path))
    query = plugin.imageserv_dataset().examples[-1].query
    planes = load(tmp_path / "m13/m13.fits")
    x, y = planes.pixel(float(query["ra"]), float(query["dec"]))
    assert 100 < x < 200 and 100 < y < 200
