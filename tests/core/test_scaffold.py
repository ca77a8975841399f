"""A new plugin's distribution: the right names, and nothing in its way is touched. That it works: tests/thirdparty."""

import tomllib
from pathlib import Path

import pytest

from imageserv.core.errors import ConfigurationFault, UsageFault
from imageserv.core.scaffold import new_plugin


@pytest.mark.parametrize(
    ("name", "distribution", "module", "plugin"),
    [
        ("deep", "imageserv-deep", "imageserv_deep", "DeepPlugin"),
        ("deep-survey_2", "imageserv-deep-survey-2", "imageserv_deep_survey_2", "DeepSurvey2Plugin"),
        ("dataset", "imageserv-dataset", "imageserv_dataset", "DatasetPlugin"),
        ("class", "imageserv-class", "imageserv_class", "ClassPlugin"),
    ],
)
def test_the_name_is_everywhere(name: str, distribution: str, module: str, plugin: str, tmp_path: Path) -> None:
    folder = new_plugin(name, tmp_path)
    assert folder == tmp_path / distribution
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert project["name"] == distribution
    assert project["entry-points"]["imageserv.dataset"] == {name: f"{module}:{plugin}"}
    source = (folder / "src" / module / "__init__.py").read_text()
    assert f"class {plugin}:" in source
    datasets = tomllib.loads((folder / "imageserv.toml").read_text())["repositories"][name]["datasets"]
    assert datasets == {name: {"plugin": name}}
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) == 9
    assert not [path for path in files if "@" in str(path) or "@name" in path.read_text() or "@mod" in path.read_text()]
    for path in files:
        if path.suffix == ".py":
            compile(path.read_text(), str(path), "exec")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "is not right: lower-case letters"),
        ("Deep", "is not right: lower-case letters"),
        ("3deep", "is not right: .* a letter first"),
        ("deep survey", "is not right"),
        ("deep--survey", "is not right"),
        ("../deep", "is not right"),
        ("déep", "is not right"),
        ("a" * 41, "at most 40 characters"),
        ("imageserv-deep", "leave imageserv- out"),
        ("calexp", r"a plugin of that name is installed already \(imageserv \d"),
    ],
)
def test_a_name_that_is_not_right_is_refused_in_words(name: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(UsageFault, match=f"NAME {name!r}.*{reason}"):
        new_plugin(name, tmp_path)
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    folder = new_plugin("deep", tmp_path)
    (folder / "README.md").write_text("mine")
    with pytest.raises(ConfigurationFault, match="imageserv-deep exists: nothing is overwritten"):
        new_plugin("deep", tmp_path)
    assert (folder / "README.md").read_text() == "mine"


def test_not_even_an_empty_folder_or_a_file_is_taken(tmp_path: Path) -> None:
    (tmp_path / "imageserv-deep").mkdir()
    (tmp_path / "imageserv-wide").write_text("mine")
    for name in ("deep", "wide"):
        with pytest.raises(ConfigurationFault, match="nothing is overwritten"):
            new_plugin(name, tmp_path)
    assert not list((tmp_path / "imageserv-deep").iterdir())


def test_a_parent_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationFault, match="nowhere is no folder"):
        new_plugin("deep", tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()
