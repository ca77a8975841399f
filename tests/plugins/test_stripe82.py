import pytest
from hypothesis import given
from hypothesis import strategies as st

from imageserv.core.dataset import DataId
from imageserv.core.errors import UsageFault
from imageserv.plugins.calexp import Calexp
from imageserv.plugins.deepcoadd import DeepCoadd
from imageserv.plugins.raw import Raw

RAW = Raw("raw", {})
CALEXP = Calexp("calexp", {})
DEEPCOADD = DeepCoadd("deepcoadd", {})

FRAMES = st.fixed_dictionaries(
    {
        "run": st.integers(1, 999_999),
        "camcol": st.integers(1, 6),
        "field": st.integers(0, 9999),
        "filter": st.sampled_from("ugriz"),
    }
)
PATCHES = st.fixed_dictionaries(
    {
        "tract": st.integers(0, 127),
        "patch": st.tuples(st.integers(0, 8191), st.integers(0, 8191)).map("{0[0]},{0[1]}".format),
        "filter": st.sampled_from("ugriz"),
    }
)


def frame(run: int, band: str, camcol: int, field: int) -> DataId:
    return {"run": run, "camcol": camcol, "field": field, "filter": band}


@pytest.mark.parametrize("plugin", [RAW, CALEXP])
@pytest.mark.parametrize(
    ("science_id", "data_id"),
    [
        (3325410171, frame(3325, "z", 1, 171)),
        (5646240694, frame(5646, "r", 4, 694)),
        (5646240964, frame(5646, "r", 4, 964)),
        (6537230514, frame(6537, "r", 3, 514)),
        (4933130748, frame(4933, "g", 3, 748)),
        (1010000, frame(1, "u", 1, 0)),
        (999999469999, frame(999999, "z", 6, 9999)),
    ],
)
def test_science_ids_of_frames(plugin: Raw | Calexp, science_id: int, data_id: DataId) -> None:
    assert plugin.imageserv_science_id(data_id) == science_id
    assert plugin.imageserv_data_id(science_id) == data_id


@pytest.mark.parametrize(
    ("science_id", "tract", "patch", "band"),
    [
        (23986176, 0, "366,0", "u"),
        (14745611, 0, "225,1", "i"),
        (21037090, 0, "321,4", "r"),
        (20971554, 0, "320,4", "r"),
        (0, 0, "0,0", "u"),
        (2**36 - 4, 127, "8191,8191", "z"),
    ],
)
def test_science_ids_of_patches(science_id: int, tract: int, patch: str, band: str) -> None:
    data_id: DataId = {"tract": tract, "patch": patch, "filter": band}
    assert DEEPCOADD.imageserv_science_id(data_id) == science_id
    assert DEEPCOADD.imageserv_data_id(science_id) == data_id


@given(FRAMES)
def test_frames_come_back(data_id: DataId) -> None:
    science_id = RAW.imageserv_science_id(data_id)
    assert 0 <= science_id < 2**63
    assert RAW.imageserv_data_id(science_id) == data_id
    assert list(RAW.imageserv_data_id(science_id)) == ["run", "camcol", "field", "filter"]


@given(PATCHES)
def test_patches_come_back(data_id: DataId) -> None:
    science_id = DEEPCOADD.imageserv_science_id(data_id)
    assert 0 <= science_id < 2**36
    assert DEEPCOADD.imageserv_data_id(science_id) == data_id
    assert list(DEEPCOADD.imageserv_data_id(science_id)) == ["tract", "patch", "filter"]


@given(st.integers(-(2**70), 2**70) | st.integers(0, 10**12))
def test_every_integer_is_a_science_id_or_refused(number: int) -> None:
    for plugin in (RAW, DEEPCOADD):
        try:
            data_id = plugin.imageserv_data_id(number)
        except UsageFault as fault:
            assert fault.parameter == "sid"
            assert str(number) in fault.message
        else:
            assert plugin.imageserv_science_id(data_id) == number


@pytest.mark.parametrize(
    ("plugin", "science_id", "part"),
    [
        (RAW, 3325510171, "filter 5"),
        (RAW, 3325400171, "camcol=0"),
        (RAW, 3325470171, "camcol=7"),
        (RAW, 410171, "run=0"),
        (RAW, 1000000410171, "run=1000000"),
        (RAW, -1, "negative"),
        (DEEPCOADD, 5, "filter 5"),
        (DEEPCOADD, 2**36, "tract=128"),
        (DEEPCOADD, -1, "negative"),
    ],
)
def test_a_wrong_science_id_is_refused_by_its_part(plugin: Raw | DeepCoadd, science_id: int, part: str) -> None:
    with pytest.raises(UsageFault, match=part) as caught:
        plugin.imageserv_data_id(science_id)
    assert caught.value.parameter == "sid"


@pytest.mark.parametrize(
    ("plugin", "data_id", "key"),
    [
        (RAW, frame(0, "r", 4, 694), "run"),
        (RAW, frame(1_000_000, "r", 4, 694), "run"),
        (RAW, frame(5646, "r", 0, 694), "camcol"),
        (RAW, frame(5646, "r", 4, 10_000), "field"),
        (CALEXP, frame(5646, "y", 4, 694), "filter"),
        (DEEPCOADD, {"tract": 128, "patch": "1,1", "filter": "r"}, "tract"),
        (DEEPCOADD, {"tract": 0, "patch": "1", "filter": "r"}, "patch"),
        (DEEPCOADD, {"tract": 0, "patch": "1,8192", "filter": "r"}, "patch_y"),
    ],
)
def test_a_wrong_key_is_named(plugin: Raw | DeepCoadd, data_id: DataId, key: str) -> None:
    with pytest.raises(UsageFault) as caught:
        plugin.imageserv_science_id(data_id)
    assert caught.value.parameter == key


def test_filters_follow_each_other_from_blue_to_red() -> None:
    # Central wavelengths of the camera's filters, in nm, as the survey's own pages give them: 355, 469, 617, 748, 893.
    centres = {"u": 355e-9, "g": 469e-9, "r": 617e-9, "i": 748e-9, "z": 893e-9}
    for plugin in (RAW, CALEXP, DEEPCOADD):
        dataset = plugin.imageserv_dataset()
        assert {band.name for band in dataset.bands} == set(centres)
        for band in dataset.bands:
            assert band.em_min < centres[band.name] < band.em_max
