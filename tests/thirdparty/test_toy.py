"""A stranger's distribution, discovered and served: nothing in ImageServ knows its keys, planes or names."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import given
from hypothesis import strategies as st

from imageserv.core.answer import CutoutAnswer
from imageserv.core.config import load
from imageserv.core.dataset import DataId
from imageserv.core.errors import ConfigurationFault, NotFoundFault, UsageFault
from imageserv.core.manager import installed
from imageserv.core.repository import Repository
from imageserv.core.selection import Selection
from imageserv.core.service import Service, open_service
from imageserv.core.testing import DatasetContract
from imageserv.vo.v1.query import IdQuestion, ImageQuestion, read_question

toy = pytest.importorskip("imageserv_toy", reason="the distribution imageserv-toy is not installed")

PLUGIN = toy.Toy("shots", {})
SHAPE = (50, 60)  # rows, columns
SCALE = 1 / 3600

SHOTS: dict[tuple[str, str], tuple[str, float]] = {
    # chip and shot: colour, and declination of the middle; all at RA 0, where it wraps
    ("north", "007"): ("red", 10.0),
    ("north", "008"): ("blue", 10.001),
    ("south", "007"): ("red", 9.99),
}


def write_shot(path: Path, colour: str, dec: float) -> None:
    primary = fits.PrimaryHDU()
    primary.header.update({"COLOUR": colour.upper(), "MJD-OBS": 61113.25, "OBJECT": "nothing", "LOGHDU": 3})
    flux = fits.ImageHDU(np.arange(SHAPE[0] * SHAPE[1], dtype=np.float32).reshape(SHAPE), name="FLUX")
    flags = fits.ImageHDU((np.indices(SHAPE).sum(0) % 256).astype(np.uint8), name="FLAGS")
    for plane in (flux, flags):
        plane.header.update({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CDELT1": -SCALE, "CDELT2": SCALE})
        plane.header.update({"CRPIX1": 30.5, "CRPIX2": 25.5, "CRVAL1": 0.0, "CRVAL2": dec})
    log = fits.BinTableHDU.from_columns([fits.Column("note", "4A", array=["fine"])], name="LOG")
    fits.HDUList([primary, flux, flags, log]).writeto(path)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Serve three shots, and a file that is none, as the dataset ``shots``."""
    folder = tmp_path_factory.mktemp("toy")
    night = folder / "data" / "nights" / "20260314"
    night.mkdir(parents=True)
    for (chip, shot), (colour, dec) in SHOTS.items():
        write_shot(night / f"{chip}-{shot}.fits", colour, dec)
    fits.PrimaryHDU(np.zeros(SHAPE)).writeto(night / "south-008.fits")
    (night / "weather.txt").write_text("clear")
    configuration = folder / "imageserv.toml"
    configuration.write_text('[repositories.HILL]\nroot = "data"\n[repositories.HILL.datasets.shots]\nplugin = "toy"\n')
    config = load(configuration, {})
    repository = Repository(config.repositories["HILL"], config, writable=True)
    (summary,) = repository.ingest(None, lambda done, total, path: None)
    repository.close()
    assert summary.images == 3
    assert [path for path, _ in summary.skipped] == ["nights/20260314/south-008.fits"]
    opened = open_service(config)
    yield opened
    opened.close()


def ask(service: Service, query: str) -> ImageQuestion | IdQuestion:
    return read_question(service.default, parse_qsl(query, keep_blank_values=True))


def select(service: Service, query: str) -> Selection:
    question = ask(service, query)
    assert isinstance(question, ImageQuestion)
    return service.default.select(question.dataset, question.selector)


def cutout(service: Service, query: str) -> CutoutAnswer:
    question = ask(service, query)
    assert isinstance(question, ImageQuestion) and question.request is not None
    selection = service.default.select(question.dataset, question.selector)
    return service.default.cutout(selection, question.request)


def test_is_found_in_its_own_distribution() -> None:
    (found,) = [plugin for plugin in installed() if plugin.name == "toy"]
    assert (found.distribution, found.target) == ("imageserv-toy", "imageserv_toy:Toy")


@given(
    st.fixed_dictionaries(
        {
            "night": st.integers(20000101, 20991231),
            "chip": st.sampled_from(("north", "south")),
            "shot": st.integers(1, 999),
            "colour": st.sampled_from(("blue", "red")),
        }
    )
)
def test_science_ids_come_back(data_id: DataId) -> None:
    science_id = PLUGIN.imageserv_science_id(data_id)
    assert 0 <= science_id < 2**63
    assert PLUGIN.imageserv_data_id(science_id) == data_id


@pytest.mark.parametrize("science_id", [-1, 0, 202603140070 + 4, 202603140000, 199912310070, 10**18])
def test_other_integers_are_refused(science_id: int) -> None:
    with pytest.raises(UsageFault) as caught:
        PLUGIN.imageserv_data_id(science_id)
    assert caught.value.parameter == "sid"


def test_refuses_options_it_does_not_know() -> None:
    with pytest.raises(ConfigurationFault):
        toy.Toy("shots", {"bias": 3})


def test_by_data_id(service: Service) -> None:
    record = select(service, "ds=shots&night=20260314&chip=north&shot=7&colour=red").record
    assert record.file.path == "nights/20260314/north-007.fits"
    assert record.science_id == 202603140071
    assert record.band == "red"
    assert (record.observation.em_min, record.observation.em_max) == (6.0e-7, 7.0e-7)
    assert (record.observation.t_min, record.observation.target) == (61113.25, "nothing")
    assert record.pixel_scale == pytest.approx(1.0, abs=1e-6)


def test_by_science_id(service: Service) -> None:
    assert select(service, "ds=SHOTS&sid=202603140073").record.file.path == "nights/20260314/south-007.fits"


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ("ra=0&dec=10.0005&colour=red", "north-007.fits"),
        ("ra=359.999&dec=10.0005&colour=blue", "north-008.fits"),
        ("ra=0&dec=9.9949&colour=red", "south-007.fits"),  # both red ones contain it
        ("ra=0&dec=9.9951&colour=red", "north-007.fits"),
    ],
)
def test_by_position_and_its_own_band_key(query: str, path: str, service: Service) -> None:
    assert select(service, f"ds=shots&{query}").record.file.path == f"nights/20260314/{path}"


def test_the_band_key_of_others_means_nothing_to_it(service: Service) -> None:
    with pytest.raises(UsageFault):
        select(service, "ds=shots&ra=0&dec=10&filter=r")


def test_no_such_shot(service: Service) -> None:
    with pytest.raises(NotFoundFault):
        select(service, "ds=shots&night=20260314&chip=south&shot=8&colour=red")


@pytest.mark.parametrize(
    ("query", "data_id", "science_id"),
    [
        ("get_dataid&sid=202603150992", {"night": 20260315, "chip": "south", "shot": 99, "colour": "blue"}, None),
        ("get_ccdexpid&night=20260315&chip=south&shot=99&colour=blue", None, 202603150992),
    ],
)
def test_ids_of_images_that_need_not_exist(
    query: str, data_id: DataId | None, science_id: int | None, service: Service
) -> None:
    question = ask(service, f"ds=shots&{query}")
    assert isinstance(question, IdQuestion)
    if data_id is not None:
        assert service.default.decode(question.dataset, question.science_id) == data_id
    else:
        assert question.science_id == science_id


def test_a_cutout_has_both_planes_and_a_right_wcs(service: Service) -> None:
    answer = cutout(service, "ds=shots&sid=202603140071&ra=0&dec=10&width=10&height=6&unit=arcsec")
    rows, columns = slice(22, 28), slice(25, 35)  # centred between pixels 29 and 30, and between rows 24 and 25
    with fits.open(Path(service.config.repositories["HILL"].root, "nights/20260314/north-007.fits")) as parent:
        with fits.HDUList.fromstring(bytes(answer.content)) as hdus:
            cut: Any = hdus
            whole: Any = parent
            assert [hdu.name for hdu in cut][1:] == ["FLUX", "FLAGS"]
            for name in ("FLUX", "FLAGS"):
                assert np.array_equal(cut[name].data, whole[name].data[rows, columns])
                assert cut[name].data.dtype == whole[name].data.dtype
                here = WCS(cut[name].header).all_pix2world(3, 2, 0)
                there = WCS(whole[name].header).all_pix2world(3 + columns.start, 2 + rows.start, 0)
                assert np.allclose(here, there, rtol=0, atol=1e-12)
            assert cut[0].header["COLOUR"] == "RED"
            assert "LOGHDU" not in cut[0].header
    assert not answer.report.clipped
    assert answer.report.parent == "ivo://localhost/HILL?shots/20260314/north/7/red"


def test_detail_says_how_much_of_the_file_comes(service: Service) -> None:
    query = "ds=shots&ra=0&dec=10&colour=red&width=5&height=5&detail="
    for detail, names in {"image": ["FLUX"], "planes": ["FLUX", "FLAGS"], "all": ["FLUX", "FLAGS", "LOG"]}.items():
        with fits.HDUList.fromstring(bytes(cutout(service, query + detail).content)) as hdus:
            cut: Any = hdus
            assert [hdu.name for hdu in cut if hdu.name != "PRIMARY"] == names
            assert ("LOGHDU" in cut[0].header) == (detail == "all")


def test_a_cutout_past_the_edge_is_clipped(service: Service) -> None:
    answer = cutout(service, "ds=shots&sid=202603140071&ra=0&dec=10&width=100&height=10&unit=pixel")
    assert answer.report.clipped
    assert answer.report.coverage == 0.6


def test_every_route_serves_it(service: Service, serve: Any) -> None:
    client = serve(service).client
    url = "/api/image/v1/HILL"
    capabilities = client.get("/api/image/v1/capabilities").json()
    (dataset,) = capabilities["repositories"][0]["datasets"]
    assert dataset["name"] == "shots"
    assert [key["name"] for key in dataset["keys"]] == ["night", "chip", "shot", "colour"]
    data_id = {"night": 20260314, "chip": "north", "shot": 7, "colour": "red"}
    stored = client.get(url, params={"ds": "shots", **data_id})
    assert stored.status_code == 200
    assert client.get(url, params={"ds": "shots", "sid": "202603140071"}).content == stored.content
    assert client.get(url, params={"ds": "shots", "ra": "0", "dec": "10", "colour": "red"}).content == stored.content
    assert client.get(url, params={"ds": "shots", "get_dataid": "", "sid": "202603140071"}).json() == data_id
    assert client.get(url, params={"ds": "shots", "get_ccdexpid": "get", **data_id}).json() == 202603140071
    center, size = {"x": 0, "y": 10.0, "unit": "deg"}, {"x": 9, "y": 5, "unit": "pixel"}
    nested = {"image_id": {"nearest": {"center": center, "colour": "red"}}, "center": center, "size": size}
    cut = client.post(url, json={"image": {"ds": "shots", "cutout": nested}})
    plain = {"ds": "shots", "ra": "0", "dec": "10", "colour": "red", "width": "9", "height": "5", "unit": "pixel"}
    assert cut.status_code == 200
    assert cut.content == client.get(url, params=plain).content == client.post(url, data=plain).content
    assert cut.headers["x-imageserv-delivered"].startswith("[")
    wrong = client.get(url, params={"ds": "shots", "ra": "0", "dec": "10", "colour": "pink"})
    assert (wrong.status_code, wrong.json()["parameter"]) == (400, "colour")
    assert "colour" in client.get("/docs/v1").text
    assert "colour" in str(client.get("/api/image/v1/openapi.json").json())
    assert "colour" in str(client.get("/api/image/v1/schema").json())


class TestContract(DatasetContract):
    plugin = "toy"
    refused = ("nights/20260314/south-008.fits",)

    @pytest.fixture(scope="class")
    @classmethod
    def survey(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        root = tmp_path_factory.mktemp("shots")
        night = root / "nights" / "20260314"
        night.mkdir(parents=True)
        for (chip, shot), (colour, dec) in SHOTS.items():
            write_shot(night / f"{chip}-{shot}.fits", colour, dec)
        fits.PrimaryHDU(np.zeros(SHAPE)).writeto(night / "south-008.fits")
        (night / "weather.txt").write_text("clear")
        return root
