"""The checkout, the editable install and the wheel are the same package."""

import ast
import sys
import tomllib
from importlib.metadata import entry_points
from importlib.resources import files
from pathlib import Path

FOLDERS = {"core", "vo", "plugins", "schema"}
PYPROJECT = tomllib.loads(Path(__file__).parents[1].joinpath("pyproject.toml").read_text("utf-8"))["tool"]


def test_folders_are_never_imported_by_their_bare_names() -> None:
    assert not FOLDERS & sys.modules.keys()


def test_every_shipped_dataset_has_an_entry_point() -> None:
    modules = {path.name.removesuffix(".py") for path in files("imageserv.plugins").iterdir()}
    shipped = {name for name in modules if name.isidentifier() and not name.startswith("_")}
    points = entry_points(group="imageserv.dataset")
    assert shipped == {point.name for point in points if point.value.startswith("imageserv.plugins.")}


def test_every_folder_is_shipped_measured_and_type_checked() -> None:
    assert set(PYPROJECT["hatch"]["build"]["targets"]["wheel"]["sources"]) == FOLDERS
    assert set(PYPROJECT["coverage"]["run"]["source_pkgs"]) == {f"imageserv.{name}" for name in FOLDERS}
    assert {f"src/imageserv/{name}" for name in FOLDERS} <= set(PYPROJECT["basedpyright"]["include"])


def test_only_plugins_name_a_dataset() -> None:
    """Nothing outside plugins/ names a dataset or a key of Stripe 82 (documentation may, as an example)."""
    words = {"raw", "calexp", "deepcoadd", "run", "camcol", "field", "filter", "tract", "patch", "ugriz"}
    named = [
        f"{path.name}:{node.lineno} {node.value!r}"
        for folder in ("core", "vo")
        for path in Path(str(files(f"imageserv.{folder}"))).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and node.value.lower() in words
        and node.value not in ("FIELD", "RUN")  # an element of VOTables, and what UWS has posted to start a job
    ]
    assert named == []
