"""Everything that users meet is documented: each declaration is looked for in the pages, found by another way."""

import importlib
import importlib.util
import inspect
import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

import imageserv.core.errors
import imageserv.vo.cli
from imageserv.core import hookspecs
from imageserv.core.config import load
from imageserv.core.testing import DatasetContract

DOCS = Path(__file__).parents[2] / "docs"
DECLARED = re.compile(r"^```\{declared\} ([a-z0-9-]+)\n```$", re.MULTILINE)


@cache
def declared() -> Any:
    spec = importlib.util.spec_from_file_location("declared", DOCS / "declared.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def page(name: str) -> str:
    """Give a page as Sphinx reads it."""
    text = (DOCS / name).read_text("utf-8")
    return DECLARED.sub(lambda match: str(declared().WRITERS[match[1]]()), text)


def test_each_part_is_on_one_page() -> None:
    used = [name for path in DOCS.rglob("*.md") for name in DECLARED.findall(path.read_text("utf-8"))]
    assert sorted(used) == sorted(declared().WRITERS)


# --- hooks and the Python API


def test_hooks() -> None:
    text = page("reference/hooks.md")
    for name, function in inspect.getmembers(hookspecs, inspect.isfunction):
        if hasattr(function, "imageserv_spec"):
            assert f".. autofunction:: imageserv.core.hookspecs.{name}\n" in text
            assert inspect.getdoc(function)


def test_what_plugins_import_is_in_the_api() -> None:
    text = page("reference/api.md")
    modules = re.findall(r"automodule:: (\S+)", text)
    classes = re.findall(r"autoclass:: (\S+)", text)
    for module, names in _imports_of_plugins():
        if module != "imageserv.core.hookspecs":
            for name in names:
                assert module in modules or f"{module}.{name}" in classes or _home(module, name, modules, classes)


def _imports_of_plugins() -> Iterator[tuple[str, list[str]]]:
    """Yield what the plugins of strangers import from ImageServ, and what new ones do."""
    root = Path(__file__).parents[2]
    sources = [
        *root.glob("tests/thirdparty/*/src/*/__init__.py"),
        root / "core" / "scaffold" / "template" / "plugin.txt",
    ]
    assert len(sources) > 3
    for source in sources:
        for module, names in re.findall(
            r"^from (imageserv\.\S+) import (.+)$", source.read_text("utf-8"), re.MULTILINE
        ):
            yield module, [name.strip() for name in names.split(",")]


def _home(module: str, name: str, modules: list[str], classes: list[str]) -> bool:
    """Tell whether what a module hands on is documented where it is made."""
    made: str = getattr(importlib.import_module(module), name).__module__
    return made in modules or f"{made}.{name}" in classes


def test_the_contracts_tests() -> None:
    text = page("reference/testing.md")
    names = [name for name, _ in inspect.getmembers(DatasetContract) if name.startswith("test_")]
    assert len(names) > 50
    for name in names:
        assert f"| `{name}` |" in text
    flags = [name for kind in DatasetContract.__mro__ for name in vars(kind).get("__annotations__", {})]
    assert "decodes" in flags and "autoclass:: imageserv.core.testing.flags.Flags" in text


# --- configuration


def settings(schema: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield every key that the schema has, wherever it is, with its description."""
    for key, value in schema.items():
        if key == "properties":
            for name, inner in value.items():
                yield name, inner["description"]
                yield from settings(inner)
        elif isinstance(value, dict):
            yield from settings(value)


def test_settings() -> None:
    schema = json.loads(files("imageserv.schema").joinpath("configuration.json").read_text("utf-8"))
    text = page("reference/configuration.md")
    found = list(settings(schema))
    assert {"base_url", "max_pixels", "root", "plugin", "datasets"} <= {name for name, _ in found}
    for name, description in found:
        assert f"| `{name}` |" in text or f"## `[{name}]`" in text or f"## `[{name}.<db id>]`" in text, name
        assert declared().prose(description).replace("|", "\\|") in text, name


def test_variables_override_what_the_page_says_they_do(tmp_path: Path) -> None:
    """Each variable that the page names changes the configuration; a number is judged as one."""
    path = tmp_path / "imageserv.toml"
    path.write_text('[repositories.a]\nroot = "."\n[repositories.a.datasets.image]\nplugin = "image"\n', "utf-8")
    plain = load(path, {})
    variables = re.findall(r"<br>`(IMAGESERV_[A-Z_]+)`", page("reference/configuration.md"))
    assert len(variables) > 15
    words = {
        "IMAGESERV_BASE_URL": "http://example.org",
        "IMAGESERV_PATH": "/other",
        "IMAGESERV_AUTHENTICATION__HEADER": "X-User",
    }
    for variable in variables:
        texts = [words[variable]] if variable in words else ["123456", "12", "postgresql://user@host/name", "some-text"]
        assert any(_loads_otherwise(path, plain, {variable: text}) for text in texts), variable


def _loads_otherwise(path: Path, plain: Any, environ: Mapping[str, str]) -> bool:
    try:
        return bool(load(path, environ) != plain)
    except imageserv.core.errors.ConfigurationFault:
        return False


# --- command line


def test_commands() -> None:
    text = page("reference/command-line.md")
    for command, shown in helps("imageserv"):
        _, _, section = text.partition(f"`{command}`\n")
        assert section, command
        for option in re.findall(r"^  (?:-\w, )?(--[a-z-]+)", shown, re.MULTILINE):
            if option not in ("--help", "--version"):
                assert option in section.partition("\n## ")[0], f"{command} {option}"


def helps(command: str) -> Iterator[tuple[str, str]]:
    """Yield every command with its help, as the program itself has them."""
    shown = CliRunner().invoke(imageserv.vo.cli.cli, [*command.split()[1:], "--help"]).output
    _, _, below = shown.partition("Commands:\n")
    if command != "imageserv":
        yield command, shown
    for name in re.findall(r"^  ([a-z-]+) ", below, re.MULTILINE):
        yield from helps(f"{command} {name}")


def test_each_command_is_listed() -> None:
    names = [command for command, _ in helps("imageserv")]
    assert {"imageserv serve", "imageserv ingest", "imageserv new-plugin"} <= set(names)


# --- protocols, as a running service describes them


@pytest.mark.parametrize(
    ("which", "path", "name"),
    [
        ("vo", "/sia", "reference/sia.md"),
        ("vo", "/links", "reference/links.md"),
        ("vo", "/sync", "reference/soda.md"),
        ("vo", "/async", "reference/jobs.md"),
        ("v1", "/DC_W13_Stripe82", "reference/v1.md"),
        ("v1", "/SKY", "reference/v1.md"),
    ],
)
def test_parameters_and_statuses(client: httpx.Client, which: str, path: str, name: str) -> None:
    document = client.get(f"/api/image/{which}/openapi.json").json()
    text = page(name)
    operation = document["paths"][path]["get"]
    assert operation["parameters"]
    for parameter in operation["parameters"]:
        assert re.search(rf"^\| `{parameter['name']}`( or `\w+`)* \|", text, re.MULTILINE), parameter["name"]
    for status in operation["responses"]:
        assert f"| {status} |" in text, status
    for header in operation["responses"]["200"].get("headers", {}):
        assert f"| `{header}` |" in text, header


def test_resources(client: httpx.Client) -> None:
    for which, name in (("v1", "reference/v1.md"), ("vo", "reference/vosi.md")):
        for path in client.get(f"/api/image/{which}/openapi.json").json()["paths"]:
            shown = re.sub(r"^/(DC_W13_Stripe82|SKY)$", "/<db id>", path)
            where = "reference/jobs.md" if path.startswith("/async") else name
            assert f"`/api/image/{which}{shown.replace('{id}', '<id>')}`" in page(where), path


def test_what_jobs_take(client: httpx.Client) -> None:
    text = page("reference/jobs.md")
    for path, operations in client.get("/api/image/vo/openapi.json").json()["paths"].items():
        form = operations.get("post", {}).get("requestBody", {}).get("content", {}).get("multipart/form-data", {})
        for name in form.get("schema", {}).get("properties", {}) if path.startswith("/async") else ():
            assert f"| `{name}` |" in text or name == "stitch", name


def test_columns(client: httpx.Client) -> None:
    head = client.get("/api/image/vo/sia", params={"MAXREC": "1", "RESPONSEFORMAT": "csv"}).text.splitlines()[0]
    for column in head.split(","):
        assert f"| `{column}` |" in page("reference/sia.md")


def test_errors(client: httpx.Client) -> None:
    text = page("reference/errors.md")
    for name, kind in inspect.getmembers(imageserv.core.errors, inspect.isclass):
        if issubclass(kind, imageserv.core.errors.ImageServError) and kind is not imageserv.core.errors.ImageServError:
            assert re.search(rf"^\| `{name}` \| \d\d\d \|", text, re.MULTILINE), name
    answer = client.get("/api/image/v1/nowhere?ds=raw")
    assert f"| `{answer.json()['exception']}` | {answer.status_code} |" in text


def test_metrics_and_logs(client: httpx.Client) -> None:
    text = page("reference/logs.md")
    for counter in re.findall(r"^# TYPE (\w+)", client.get("/metrics").text, re.MULTILINE):
        assert f"| `{counter}` |" in text


# --- the pages themselves


def test_every_page_is_in_a_table_of_contents() -> None:
    pages = {str(path.relative_to(DOCS).with_suffix("")) for path in DOCS.rglob("*.md")}
    listed = {"index", "explanation/measured"}
    for path in DOCS.rglob("*.md"):
        for block in re.findall(r"^```\{toctree\}\n(.*?)^```$", path.read_text("utf-8"), re.MULTILINE | re.DOTALL):
            for line in block.splitlines():
                if line and not line.startswith(":"):
                    listed.add(str((path.parent / line).relative_to(DOCS)))
    assert pages == listed
