"""The kit finds nothing in a right plugin, and in each wrong one the fault that it has."""

import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from xml.etree import ElementTree

import pytest

from imageserv.core.testing import DatasetContract

STRANGERS = Path(__file__).parent / "strangers"

PIXELS = (
    "test_cutouts_have_the_files_pixels",
    "test_cutouts_have_the_files_values",
    "test_every_pixel_can_be_had",
    "test_what_is_beyond_the_edge_is_left_out",
    "test_changed_files_are_noticed",
)

SOURCES = ("test_pixels_are_those_of_the_images_named", "test_changed_neighbours_are_noticed")

# For each part of the contract, and each class of faulty_plugins whose fault shows in it:
# the test that names the fault, and the tests that fail with it. No others may.
FAULTS: dict[str, dict[str, tuple[str, ...]]] = {
    "DeclarationTests": {
        "TakesAnyOption": ("test_unknown_options_are_refused",),
        "SaysNothing": ("test_keys_are_described",),
        "HasAKeyTwice": ("test_key_names_are_told_apart",),
        "ShowsNoValue": ("test_key_examples_are_values",),
        "GivesNanometres": ("test_bands_are_the_choices_of_the_band_key",),
        "ForgetsABand": ("test_bands_are_the_choices_of_the_band_key",),
        "NamesPlanesTwice": ("test_planes_are_named",),
        "IsOverdone": ("test_the_calibration_level_is_one",),
        "TripsOverAParameter": ("test_own_parameters_are_read",),
    },
    "IdTests": {
        "IsNegative": ("test_science_ids_are_int64",),
        "TripsOverADataId": ("test_science_ids_are_int64", "test_other_integers_are_refused"),
        "RefusesInTheDark": ("test_science_ids_are_int64",),
        "ForgetsTheFilter": (
            "test_science_ids_tell_data_ids_apart",
            "test_ids_go_both_ways",
            "test_other_integers_are_refused",
        ),
        "DecodesTheNextNight": ("test_ids_go_both_ways", "test_other_integers_are_refused"),
        "DecodesNothing": ("test_ids_go_both_ways", "test_other_integers_are_refused"),
        "DecodesAnything": ("test_other_integers_are_refused",),
        "TripsOverAnInteger": ("test_other_integers_are_refused",),
        "DoesNotNameSid": ("test_other_integers_are_refused",),
    },
    "RecognitionTests": {
        "TakesAll": ("test_files_of_others_are_left_alone",),
        "OpensAll": ("test_paths_are_judged_before_files_are_opened",),
        "TripsOverDamage": ("test_damaged_files_are_refused_in_words",),
        "SeesAnotherImageEachTime": ("test_recognition_is_repeatable",),
        "Shouts": ("test_data_ids_are_canonical", "test_every_file_is_taken"),
        "CallsPlanesOtherwise": ("test_planes_are_declared",),
        "TakesATableForAPlane": ("test_every_file_is_taken",),
        "CountsJulianDays": ("test_observations_make_sense",),
        "TakesAnotherImagesMask": ("test_planes_lie_on_one_another",),
        "CountsMinutes": ("test_observations_make_sense",),
    },
    "CutoutTests": {
        "IsOffByOne": (*PIXELS, "test_the_science_plane_alone_is_the_science_plane"),
        "GivesAnotherMask": PIXELS,
        "ForgetsTheScale": ("test_cutouts_have_the_files_values", "test_headers_keep_their_cards"),
        "LeavesTheWcsAsItWas": ("test_the_wcs_is_right_after_a_cut",),
        "ChangesACard": ("test_headers_keep_their_cards", "test_the_wcs_is_right_after_a_cut"),
        "IgnoresDetail": (
            "test_detail_says_how_much_of_the_image_comes",
            "test_the_science_plane_alone_is_the_science_plane",
            "test_headers_keep_their_cards",
        ),
        "GivesTheMaskAlone": ("test_the_science_plane_alone_is_the_science_plane",),
        "SlidesBackIntoTheImage": (
            "test_what_is_beyond_the_edge_is_left_out",
            "test_where_nothing_is_nothing_is_given",
        ),
        "GivesAllWhereNothingIs": ("test_where_nothing_is_nothing_is_given",),
        "ReportsTheWhole": ("test_the_report_is_true",),
        "TrimsTheWhole": ("test_without_a_stencil_all_is_given",),
        "ForgetsACorner": ("test_shapes_on_the_sky_are_given_whole",),
        "ReadsDegreesAsWidth": ("test_shapes_on_the_sky_are_given_whole",),
        "GivesAnyTime": ("test_other_times_and_wavelengths_give_nothing",),
        "GivesAnyWavelength": ("test_other_times_and_wavelengths_give_nothing",),
        "LosesThePrimaryHeader": ("test_headers_keep_their_cards",),
        "IsNeverTheSame": ("test_the_same_request_gives_the_same_bytes",),
        "RemembersImages": ("test_changed_files_are_noticed",),
    },
    "MosaicTests, RecognitionTests": {
        "RightTiles": (),
        "TakesTheWrongTile": SOURCES,
        "ForgetsTheLastTile": ("test_no_image_is_forgotten",),
        "IsOffByOneAtTheSeam": SOURCES,
        "LeavesAGapAtTheSeam": ("test_no_image_is_forgotten",),
        "JoinsAnyFilter": ("test_images_of_one_filter_are_joined",),
        "CutsTheSeamOtherwiseInTheMask": SOURCES,
        "NamesTheWrongTile": SOURCES,
        "TellsNoBoxes": SOURCES,
        "SaysNotWhoGaveWhat": (*SOURCES, "test_no_image_is_forgotten"),
        "FillsHoles": SOURCES,
        "CountsFromTheImage": ("test_the_wcs_goes_on_beyond_the_image",),
        "AsksInVain": ("test_cutouts_go_on_in_other_images",),
        "CallsTheImageAMask": ("test_planes_hold_what_their_names_say",),
        "RemembersTiles": ("test_changed_neighbours_are_noticed",),
    },
    "DatasetContract": {
        "Right": (),
        "NumbersByHash": ("test_v1_translates_ids", "test_v1_gives_files_by_their_ids", "test_v1_cuts"),
        "MisspellsItsExample": ("test_examples_are_answered",),
        "TripsOverCircles": ("test_a_circle_has_every_pixel_in_it", "test_soda_cuts_circles", "test_nothing_failed"),
    },
}
EXPECTED = {name: tests for part in FAULTS.values() for name, tests in part.items()}

SUITE = """
import pytest

from imageserv.core.testing import DatasetContract
from strangers.{module} import write_survey
from imageserv.core.testing.contract import *

@pytest.fixture(scope="session")
def survey(tmp_path_factory):
    root = tmp_path_factory.mktemp("survey")
    write_survey(root)
    return root
"""


def run(
    folder: Path, parts: Mapping[str, Iterable[str]], *options: str, flag: str = "", module: str = "faulty_plugins"
) -> dict[str, dict[str, str]]:
    """Run parts of the contract on some plugins each; return for each plugin what became of each test."""
    names = [name for part in parts.values() for name in part]
    folder.mkdir()
    points = "\n".join(f"{name} = strangers.{module}:{name}" for name in names)
    metadata = folder / "faulty_plugins-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: faulty-plugins\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text(f"[imageserv.dataset]\n{points}\n")
    classes = "".join(
        f"\nclass Test{name}({part}):\n    plugin = '{name}'\n    {flag}\n"
        for part, names in parts.items()
        for name in names
    )
    (folder / "test_plugins.py").write_text(SUITE.replace("{module}", module) + classes)
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--junitxml=report.xml", *options, str(folder)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (STRANGERS.parent, folder)))},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert ended.returncode in (0, 1), ended.stdout + ended.stderr
    found: dict[str, dict[str, str]] = {name: {} for name in names}
    for case in ElementTree.parse(folder / "report.xml").iter("testcase"):
        outcome = next((child.tag for child in case if child.tag in ("failure", "error", "skipped")), "passed")
        found[str(case.get("classname")).rpartition(".Test")[2]][str(case.get("name"))] = outcome
    return found


def failed(outcomes: dict[str, str]) -> set[str]:
    return {name for name, outcome in outcomes.items() if outcome in ("failure", "error")}


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """Run the contract on all plugins, in three processes."""
    folder = tmp_path_factory.mktemp("kit")
    cutouts, tiles = ({part: FAULTS[part]} for part in ("CutoutTests", "MosaicTests, RecognitionTests"))
    rest = {part: faults for part, faults in FAULTS.items() if part not in cutouts | tiles}
    with ThreadPoolExecutor() as pool:
        runs = [
            pool.submit(run, folder / "cutouts", cutouts),
            pool.submit(run, folder / "tiles", tiles, module="faulty_tiles"),
            pool.submit(run, folder / "rest", rest),
        ]
        return {name: outcomes for each in runs for name, outcomes in each.result().items()}


def test_a_right_plugin_passes_every_test(judged: dict[str, dict[str, str]]) -> None:
    assert len(judged["Right"]) > 50
    assert set(judged["Right"].values()) == set(judged["RightTiles"].values()) == {"passed"}  # none is skipped, either


BY_CHANCE = {"RefusesInTheDark": {"test_other_integers_are_refused"}}
"""What fails too where the integers that are tried lead to a data id which the plugin refuses."""


@pytest.mark.parametrize("name", EXPECTED)
def test_each_fault_is_named(name: str, judged: dict[str, dict[str, str]]) -> None:
    assert judged[name], "no test ran"
    expected = set(EXPECTED[name])
    assert expected <= failed(judged[name]) <= expected | BY_CHANCE.get(name, set())


def test_a_key_that_has_another_meaning_in_v1_is_refused_by_check(tmp_path: Path) -> None:
    outcomes = run(tmp_path / "kit", {"DatasetContract": ["HasAKeyOfV1"]}, "-k", "check or capabilities or int64")
    assert outcomes["HasAKeyOfV1"] == {
        "test_check_finds_nothing_wrong": "failure",
        "test_capabilities_list_the_keys": "error",
        "test_science_ids_are_int64": "passed",
    }


def test_pytest_starts_without_the_kit(tmp_path: Path) -> None:
    """Whoever has ImageServ installed and tests something else does not wait for astropy."""
    (tmp_path / "test_heavy.py").write_text(
        "import sys\n"
        "def test_light(pytestconfig):\n"
        "    assert pytestconfig.pluginmanager.has_plugin('imageserv')\n"
        "    heavy = {'numpy', 'astropy', 'httpx', 'hypothesis', 'imageserv.core.testing'}\n"
        "    assert not heavy & set(sys.modules)\n"
    )
    environment = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "imageserv", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_no_test_can_be_put_aside() -> None:
    with pytest.raises(TypeError, match="Mine overrides test_ids_go_both_ways: say by a flag"):
        type("Mine", (DatasetContract,), {"plugin": "raw", "test_ids_go_both_ways": None})
    type("Mine", (DatasetContract,), {"plugin": "raw", "test_of_my_own": None})


@pytest.mark.parametrize(
    ("flag", "part", "honest", "test"),
    [
        ("takes_any_fits = True", "RecognitionTests", "TakesAllByRight", "test_files_of_others_are_left_alone"),
        ("gives_stored_pixels = False", "CutoutTests", "ChangesPixelsByRight", "test_cutouts_have_the_files_pixels"),
        ("decodes = False", "IdTests", "DecodesNothing", "test_ids_go_both_ways"),
    ],
)
def test_flags_are_held_to_their_word(flag: str, part: str, honest: str, test: str, tmp_path: Path) -> None:
    outcomes = run(tmp_path / "kit", {part: [honest, "Right"]}, flag=flag)
    assert failed(outcomes[honest]) == set()
    assert failed(outcomes["Right"]) == {test}
