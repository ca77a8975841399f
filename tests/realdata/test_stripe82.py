"""The rows of the table on the real, trimmed images of Stripe 82, by a configuration of a dozen lines."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS

from imageserv.core.answer import CutoutAnswer
from imageserv.core.config import load
from imageserv.core.errors import NoOverlapFault, UnsupportedFault
from imageserv.core.repository import Repository
from imageserv.core.request import CutoutRequest
from imageserv.core.selection import ByPosition, ByScienceId
from imageserv.core.sky.stencil import Box, Section
from imageserv.vo.v1.query import ImageQuestion, read_question

# astropy's annotations tell little of what these give.
read_fits: Any = fits.open
wcs_of: Any = WCS

pytestmark = pytest.mark.filterwarnings("ignore::astropy.wcs.FITSFixedWarning")

CONFIGURATION = """
[repositories.DC_W13_Stripe82]
root = "{root}"
[repositories.DC_W13_Stripe82.datasets.raw]
plugin = "raw"
files = ["{{tree}}/{{run}}/{{rerun}}/corr/{{camcol}}/fpC-{{run:06d}}-{{filter}}{{camcol}}-{{field:04d}}.fit.gz",
         "trimmed/runs/{{run}}/{{rerun}}/corr/{{camcol}}/fpC-{{run:06d}}-{{filter}}{{camcol}}-{{field:04d}}.fit.gz"]
[repositories.DC_W13_Stripe82.datasets.calexp]
plugin = "calexp"
[repositories.DC_W13_Stripe82.datasets.deepcoadd]
plugin = "deepcoadd"
"""


@pytest.fixture(scope="module")
def stripe82(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Repository]:
    root = real_data / "stripe82"
    if not root.is_dir():
        pytest.skip("no images of Stripe 82")
    path = tmp_path_factory.mktemp("stripe82") / "imageserv.toml"
    path.write_text(CONFIGURATION.format(root=root))
    config = load(path)
    repository = Repository(config.repositories["DC_W13_Stripe82"], config, writable=True)
    summaries = repository.ingest(None, lambda done, total, name: None)
    assert [(summary.dataset, summary.images, summary.skipped) for summary in summaries] == [
        ("raw", 6, []),
        ("calexp", 2, []),
        ("deepcoadd", 2, []),
    ]
    yield repository
    repository.close()


def ask(repository: Repository, query: str) -> CutoutAnswer:
    pairs = [(name, value) for name, _, value in (pair.partition("=") for pair in query.split("&"))]
    question = read_question(repository, pairs)
    assert isinstance(question, ImageQuestion) and question.request is not None
    selection = repository.select(question.dataset, question.selector)
    return repository.cutout(selection, question.request)


@pytest.mark.parametrize(
    ("query", "shape", "clipped"),
    [
        ("ds=calexp&ra=37.644598&dec=0.104625&filter=r&width=30.0&height=45.0&unit=arcsec", (114, 76), False),
        ("ds=calexp&ra=37.644598&dec=0.104625&filter=r&width=100&height=100&unit=pixel", (100, 100), False),
        ("ds=calexp&sid=5646240694&ra=37.6292&dec=0.104625&width=30.0&height=45.0&unit=arcsec", None, True),
        ("ds=calexp&sid=5646240694&ra=37.6292&dec=0.104625&width=100&height=100&unit=pixel", None, True),
        ("ds=deepcoadd&sid=23986176&ra=9.47103&dec=-1.181766&width=30.0&height=45.0", (114, 76), False),
        ("ds=deepcoadd&sid=23986176&ra=9.47103&dec=-1.181766&width=100&height=100&unit=pixel", (100, 100), False),
    ],
)
def test_cutouts_of_the_trimmed_images(
    stripe82: Repository, real_data: Path, query: str, shape: tuple[int, int] | None, clipped: bool
) -> None:
    answer = ask(stripe82, query)
    assert answer.report.clipped is clipped
    (x_min, x_max), (y_min, y_max) = (span for span in answer.report.delivered.ranges if span is not None)
    record = next(
        image
        for dataset in stripe82.datasets
        for image in stripe82.registry.images(dataset)
        if stripe82.publisher_did(image) == answer.report.parent
    )
    with (
        read_fits(real_data / "stripe82" / record.file.path, do_not_scale_image_data=True) as parent,
        read_fits(io.BytesIO(answer.content), do_not_scale_image_data=True) as child,
    ):
        child.verify("exception")
        assert len(child) == 4
        for index in (1, 2, 3):
            expected = parent[index].data[y_min:y_max, x_min:x_max]
            np.testing.assert_array_equal(child[index].data, expected)
            assert child[index].data.dtype == parent[index].data.dtype
            assert shape is None or child[index].data.shape == shape
            for key in (" ", "A"):
                old, new = wcs_of(parent[index].header, key=key), wcs_of(child[index].header, key=key)
                corners = np.array([[0.0, 0.0], [x_max - x_min - 1.0, 0.0], [3.3, y_max - y_min - 1.0]])
                offset = (x_min, y_min)
                there = old.all_world2pix(new.all_pix2world(corners, 0), 0)
                np.testing.assert_allclose(there, corners + offset, rtol=0, atol=1e-6)
        assert not {"AR_HDU", "PSF_ID", "WCS_ID", "COADD_INPUTS_ID"} & set(child[0].header)


def test_a_real_patch_in_pieces_is_stitched_to_what_it_was(real_data: Path, tmp_path: Path) -> None:
    """The folder has no two patches that touch: so one is cut in four that overlap, as patches of a smaller grid."""
    path = real_data / "stripe82" / "trimmed/coadd/deepCoadd/r/0/319,4/coadd-r-0-319,4.fits.gz"
    if not path.is_file():
        pytest.skip("no coadd of Stripe 82")
    (tmp_path / "files").mkdir()
    for column, row in ((0, 0), (0, 1), (1, 0), (1, 1)):
        x, y = 100 * column, 120 * row
        with read_fits(path, do_not_scale_image_data=True) as hdus:
            for hdu in hdus[1:4]:
                hdu.data = hdu.data[y : y + 180, x : x + 200]
                for keyword, shift in (("CRPIX1", -x), ("CRPIX2", -y), ("LTV1", -x), ("LTV2", -y)):
                    hdu.header[keyword] += shift
                hdu.header["CRVAL1A"] += x
                hdu.header["CRVAL2A"] += y
            hdus.writeto(tmp_path / "files" / f"coadd-r-0-{column},{row}.fits")
    configuration = tmp_path / "imageserv.toml"
    configuration.write_text(
        '[repositories.SKY]\nroot = "files"\n[repositories.SKY.datasets.deepcoadd]\nplugin = "deepcoadd"\n'
    )
    config = load(configuration, {})
    repository = Repository(config.repositories["SKY"], config, writable=True)
    repository.ingest(None, lambda done, total, name: None)
    section = Section(((0, 300), (0, 300)))
    selection = repository.select(repository.dataset("deepcoadd"), ByScienceId(2))
    answer = repository.cutout(selection, CutoutRequest(section, parameters={"stitch": "true"}))
    repository.close()
    with (
        read_fits(path, do_not_scale_image_data=True) as whole,
        read_fits(io.BytesIO(answer.content), do_not_scale_image_data=True) as stitched,
    ):
        stitched.verify("exception")
        assert set(np.unique(stitched["SOURCE"].data)) == {1, 2, 3, 4}
        for index in (1, 2, 3):
            assert stitched[index].data.tobytes() == whole[index].data.tobytes()
            old, new = whole[index].header, stitched[index].header
            lost = {key for key in old if old[key] != new.get(key)}
            assert not lost - {"CHECKSUM", "DATASUM"}, lost
        assert stitched[0].header["FLUXMAG0"] == whole[0].header["FLUXMAG0"]
    assert answer.report.coverage == 1 and not answer.report.clipped


def test_all_hdus_on_demand(stripe82: Repository) -> None:
    query = "ds=calexp&sid=5646240694&ra=37.6446&dec=0.1046&width=20&height=20&unit=px&detail=all"
    with read_fits(io.BytesIO(ask(stripe82, query).content)) as child:
        assert len(child) == 11
        assert child[0].header["AR_HDU"] == 5
        assert len(child[4].data) == 12


def test_the_trimmed_raws_are_not_where_the_table_looks(stripe82: Repository) -> None:
    with pytest.raises(NoOverlapFault):
        ask(stripe82, "ds=raw&sid=5646240694&ra=37.6292&dec=0.104625&width=30.0&height=45.0&unit=arcsec")


def test_a_raw_without_wcs_is_served_by_id_alone(stripe82: Repository) -> None:
    raw = stripe82.dataset("raw")
    selection = stripe82.select(raw, ByScienceId(3325410171))
    assert selection.record.footprint is None
    assert stripe82.whole(selection).size == 300 * 300 * 2 + 2880 + (-300 * 300 * 2) % 2880
    with pytest.raises(UnsupportedFault, match="WCS"):
        stripe82.cutout(selection, CutoutRequest(Box(9.4, -1.2, 5, 5, "pixel")))


def test_integers_of_the_raws_stay_as_stored(stripe82: Repository, real_data: Path) -> None:
    """BZERO 32767 makes astropy hand out float32; the stored integers are what is cut."""
    raw = stripe82.dataset("raw")
    selection = stripe82.select(raw, ByScienceId(5646240694))
    with read_fits(real_data / "stripe82" / selection.record.file.path, do_not_scale_image_data=True) as parent:
        ra, dec = wcs_of(parent[0].header).all_pix2world(150.0, 160.0, 0)
        answer = stripe82.cutout(selection, CutoutRequest(Box(float(ra), float(dec), 21, 11, "pixel")))
        with read_fits(io.BytesIO(answer.content), do_not_scale_image_data=True) as child:
            np.testing.assert_array_equal(child[0].data, parent[0].data[155:166, 140:161])
            assert (child[0].header["BZERO"], child[0].header["BLANK"]) == (32767, 32767)


def test_bright_stars_of_a_full_frame_stand_in_the_middle_of_their_cutouts(
    stripe82: Repository, real_data: Path
) -> None:
    raw = stripe82.dataset("raw")
    offsets: list[tuple[float, float]] = []
    for band in "grz":
        path = real_data / f"stripe82/full/4192/40/corr/4/fpC-004192-{band}4-0300.fit.gz"
        with read_fits(path) as parent:
            data, wcs = parent[0].data.astype(float), wcs_of(parent[0].header)
        for y, x in peaks(data):
            cx, cy = centroid(data[y - 7 : y + 8, x - 7 : x + 8])
            sky: SkyCoord = wcs.pixel_to_world(x - 7 + cx, y - 7 + cy)
            place: Any = sky.icrs
            selection = stripe82.select(raw, ByPosition(float(place.ra.deg), float(place.dec.deg), band))
            answer = stripe82.cutout(
                selection, CutoutRequest(Box(float(place.ra.deg), float(place.dec.deg), 15, 15, "pixel"), "image")
            )
            with read_fits(io.BytesIO(answer.content)) as child:
                found = centroid(child[0].data.astype(float))
                middle = wcs_of(child[0].header).world_to_pixel(sky)
                offsets.append((found[0] - float(middle[0]), found[1] - float(middle[1])))
    assert len(offsets) > 60
    assert np.abs(np.median(offsets, axis=0)).max() < 0.05


def peaks(data: Any) -> list[tuple[int, int]]:
    """Give bright pixels, unsaturated, that no other one around them outshines."""
    found: list[tuple[int, int]] = []
    for y, x in np.argwhere((data > np.percentile(data, 99.98)) & (data < 30000)):
        window = data[max(y - 12, 0) : y + 13, max(x - 12, 0) : x + 13]
        if window.shape == (25, 25) and data[y, x] == window.max():
            found.append((int(y), int(x)))
    return found[:80]


def centroid(window: Any) -> tuple[float, float]:
    weights = np.clip(window - np.median(window) - 0.2 * (window.max() - np.median(window)), 0, None)
    ys, xs = np.mgrid[: window.shape[0], : window.shape[1]]
    return float((weights * xs).sum() / weights.sum()), float((weights * ys).sum() / weights.sum())
