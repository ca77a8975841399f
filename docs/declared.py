"""The parts of the reference that are written from ImageServ's declarations, as Markdown.

A page has such a part by a block that names it::

    ```{declared} soda
    ```

Nothing here is told twice: what a parameter, a setting, a column or a command is says its declaration, by which the
service itself reads requests, configurations and command lines.
"""

import ast
import inspect
import json
import re
import tempfile
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import click

from imageserv.core import errors, hookspecs, pytest_plugin
from imageserv.core.batch.manifest import FIELDS as MANIFEST
from imageserv.core.batch.parameters import COLUMNS, JOB
from imageserv.core.config import Config, configuration_schema, load, type_words
from imageserv.core.dali.parameters import Parameter
from imageserv.core.dali.soda import SODA
from imageserv.core.dali.words import soda_word
from imageserv.core.dataset import Dataset, Key
from imageserv.core.jobs.places import store_of
from imageserv.core.manager import DATASETS, installed
from imageserv.core.obscore import FIELDS
from imageserv.core.repository import Repository
from imageserv.core.service import Service, open_service
from imageserv.core.testing import DatasetContract
from imageserv.vo.cli import cli
from imageserv.vo.faults import fault_of
from imageserv.vo.ivoa.openapi import openapi as vo_openapi
from imageserv.vo.ivoa.parameters import LINKS, SIA
from imageserv.vo.ivoa.uws import ACTION, CONTROLS, LIST, LOOK, PHASE
from imageserv.vo.metrics import Metrics, job_metrics
from imageserv.vo.urls import Urls
from imageserv.vo.v1.openapi import openapi as v1_openapi
from imageserv.vo.v1.parameters import OPTIONAL, accepted, declare

_KINDS = {"char": "text", "double": "number", "int": "integer", "long": "integer"}
_OWN = Dataset("", ())
_OVERRIDDEN = ("limits", "jobs")
"""The tables of the configuration whose keys the environment overrides, as those at its top."""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def code(text: object) -> str:
    """Write a word of code."""
    return f"`{text}`"


def prose(text: str) -> str:
    """Write a description, in which only words of code are marked."""
    plain = re.split(r"(`[^`]*`)", text)
    return "".join(part if part[:1] == "`" else re.sub(r"([*_<\[\]])", r"\\\1", part) for part in plain)


def words(values: Iterable[object]) -> str:
    """Write words of code, with commas."""
    return ", ".join(map(code, values))


# --- what is served: the datasets that ImageServ ships, without a file


@cache
def _configuration() -> str:
    own = [each.name for each in installed() if each.group == DATASETS and each.distribution == "imageserv"]
    lines = ["[repositories.DB]", 'root = "."']
    lines += [line for name in own for line in (f"[repositories.DB.datasets.{name}]", f'plugin = "{name}"')]
    return "\n".join(lines)


@contextmanager
def _shipped() -> Generator[Service]:
    """Open a service of the shipped datasets."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "imageserv.toml"
        path.write_text(_configuration(), encoding="utf-8")
        config: Config = load(path, {})
        Repository(config.repositories["DB"], config, writable=True).close()
        service = open_service(config)
        try:
            yield service
        finally:
            service.close()


@cache
def _openapi(which: str) -> Mapping[str, Any]:
    write = {"v1": v1_openapi, "vo": vo_openapi}[which]
    with _shipped() as service:
        return write(Urls("https://images.example.org", "/api/image"), service)


@cache
def _declarations() -> Mapping[str, Dataset]:
    with _shipped() as service:
        return {plugin.name: plugin.declaration for plugin in service.repositories["DB"].datasets.values()}


# --- parameters


def _parameters(parameters: Iterable[Parameter], keys: Mapping[str, Key] | None = None) -> str:
    rows = [
        (
            f"{code(each.name)}" + "".join(f" or {code(alias)}" for alias in each.aliases),
            _values(each, (keys or {}).get(each.name)),
            prose(each.description)
            + (" It may be repeated." if each.multiple and "repeated" not in each.description else ""),
        )
        for each in parameters
    ]
    return table(("parameter", "values", "meaning"), rows)


def _values(parameter: Parameter, key: Key | None) -> str:
    if key is not None and key.parts:
        form = code(",".join(part.name for part in key.parts))
        return "; ".join([form, *(f"{part.name} {_range(part)}" for part in key.parts)])
    if key is not None and not key.choices:
        return _range(key) + (f", such as {code(key.example)}" if key.example else "")
    if parameter.options:
        return words(parameter.options)
    kind = parameter.xtype or _KINDS[parameter.datatype]
    unit = f" in {parameter.unit}" if parameter.unit else ""
    return kind + unit + (f", such as {code(parameter.example)}" if parameter.example else "")


def _range(key: Key) -> str:
    if key.type is str:
        return "text"
    if key.minimum is None or key.maximum is None:
        return "integer" + ("" if key.minimum is None else f" from {key.minimum}")
    return f"{key.minimum} to {key.maximum}"


def v1_parameters() -> str:
    """Write what v1 takes for every dataset."""
    return _parameters(declare(_OWN))


def v1_datasets() -> str:
    """Write what each shipped dataset adds, and which parameters go together."""
    parts: list[str] = []
    for name, dataset in _declarations().items():
        keys = {key.name: key for key in dataset.keys}
        own = declare(dataset)[len(declare(_OWN)) :]
        names = [parameter.name for parameter in dataset.parameters]
        together = [
            (
                what,
                " **or** ".join(
                    ", ".join(f"({code(each)})" if each in (*OPTIONAL, *names) else code(each) for each in alternative)
                    for alternative in alternatives
                ),
            )
            for what, alternatives in accepted(dataset).items()
        ]
        parts += [f"### {code(name)}", prose(dataset.description)]
        parts += [f"Planes: {words(dataset.planes)}. Level of calibration: {dataset.calib_level}."]
        parts += [_parameters(own, keys), table(("for", "give"), together)]
    return "\n\n".join(parts)


def sia() -> str:
    """Write what searches take."""
    return _parameters(SIA)


def links() -> str:
    """Write what links take."""
    return _parameters(LINKS)


def soda() -> str:
    """Write what cutouts take, and what shipped datasets add to that."""
    own = {each.name: each for dataset in _declarations().values() for each in dataset.parameters}
    return _parameters((*SODA, *own.values()))


def columns() -> str:
    """Write the columns of a search's answer."""
    rows = [(code(field.name), field.unit, code(field.ucd), prose(field.description)) for field in FIELDS]
    return table(("column", "unit", "UCD", "what it is"), rows)


# --- resources


def _answers(which: str, path: str, method: str = "get") -> Mapping[str, Any]:
    answers: Mapping[str, Any] = _openapi(which)["paths"][path][method]["responses"]
    return answers


def _statuses(answers: Mapping[str, Any]) -> str:
    rows = [
        (status, prose(answer["description"]), words(answer.get("content", {})))
        for status, answer in sorted(answers.items())
    ]
    return table(("status", "meaning", "media types"), rows)


def _resources(which: str, *, jobs: bool = False) -> str:
    document = _openapi(which)
    base = document["servers"][0]["url"].removeprefix("https://images.example.org")
    rows: list[tuple[str, str, str]] = []
    for path, operations in document["paths"].items():
        if path.startswith("/async") != jobs:
            continue
        summary = operations["get"]["summary"].replace("DB", "a repository")
        shown = f"{base}{path}".replace("/DB", "/<db id>").replace("{id}", "<id>")
        methods = [method.upper() for method in operations if method != "parameters"]
        rows.append((code(shown), ", ".join(methods), summary))
    return table(("path", "methods", "what it answers"), rows)


def v1_resources() -> str:
    """Write the paths of v1."""
    return _resources("v1")


def v1_answers() -> str:
    """Write the statuses of an image's request."""
    return _statuses(_answers("v1", "/DB"))


def v1_headers() -> str:
    """Write the headers of an image's answer."""
    headers = _answers("v1", "/DB")["200"]["headers"]
    rows = [(code(name), header["schema"]["type"], prose(header["description"])) for name, header in headers.items()]
    return table(("header", "type", "meaning"), rows)


def vo_resources() -> str:
    """Write the paths of the Virtual Observatory's protocols."""
    return _resources("vo")


def soda_answers() -> str:
    """Write the statuses of a cutout."""
    return _statuses(_answers("vo", "/sync"))


def sia_answers() -> str:
    """Write the statuses of a search."""
    return _statuses(_answers("vo", "/sia"))


def links_answers() -> str:
    """Write the statuses of links."""
    return _statuses(_answers("vo", "/links"))


# --- jobs


def job_parameters() -> str:
    """Write what a job takes."""
    return _parameters(JOB)


def job_columns() -> str:
    """Write what a row of a catalogue can say."""
    rows = [
        (code(each.name), code(each.ucd) if each.ucd else "", each.unit, prose(each.description)) for each in COLUMNS
    ]
    return table(("column", "UCD", "unit", "meaning"), rows)


def job_controls() -> str:
    """Write what is said of a job itself."""
    return _parameters((*CONTROLS, PHASE, ACTION))


def job_looks() -> str:
    """Write what lists of jobs and looks at one take."""
    return _parameters((*LIST[:-1], *LOOK))


def job_answers() -> str:
    """Write the statuses of requests about jobs."""
    return _statuses({**_answers("vo", "/async"), **_answers("vo", "/async", "post")})


def job_resources() -> str:
    """Write the paths of jobs."""
    return _resources("vo", jobs=True)


def manifest() -> str:
    """Write the columns of a manifest."""
    rows = [(code(field.name), field.unit, code(field.ucd), prose(field.description)) for field in MANIFEST]
    return table(("column", "unit", "UCD", "what it is"), rows)


# --- errors


def _tree(kind: type[errors.ImageServError]) -> Iterator[type[errors.ImageServError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _tree(child)


def faults() -> str:
    """Write the table from exceptions to answers."""
    rows: list[tuple[str, ...]] = []
    for kind in _tree(errors.ImageServError):
        error = kind("")
        fault = fault_of(error)
        told = [code(fault.word), f"SODA: {code(soda_word(error))}"]
        if fault.name != kind.__name__:
            told.append(f"v1: {code(fault.name)}")
        meaning = (inspect.getdoc(kind) or "").splitlines()[0]
        rows.append((code(kind.__name__), str(fault.status), "<br>".join(told), prose(meaning)))
    return table(("exception", "status", "begins with", "meaning"), rows[1:])


# --- configuration


def settings() -> str:
    """Write every key of the configuration."""
    schema = configuration_schema()
    tables = schema["$defs"]
    top = {key: value for key, value in schema["properties"].items() if value["type"] != "object"}
    parts = ["## At the top of the file", _keys(top, ())]
    for name, value in schema["properties"].items():
        if value["type"] == "object" and "properties" in value:
            parts += [
                f"## `[{name}]`",
                prose(value["description"]),
                _keys(value["properties"], (name,) if name in _OVERRIDDEN else None),
            ]
    repositories = schema["properties"]["repositories"]
    parts += [
        "## `[repositories.<db id>]`",
        prose(repositories["description"]),
        _keys(tables["repository"]["properties"], required=tables["repository"]["required"]),
    ]
    datasets = tables["repository"]["properties"]["datasets"]
    parts += ["## `[repositories.<db id>.datasets.<name>]`", prose(datasets["description"])]
    parts += [_keys(tables["dataset"]["properties"], required=tables["dataset"]["required"])]
    return "\n\n".join(parts)


def _keys(properties: Mapping[str, Any], where: tuple[str, ...] | None = None, required: Collection[str] = ()) -> str:
    """Write a table of keys; `where` is None for those that the environment cannot override."""
    rows: list[tuple[str, str, str, str]] = []
    for key, schema in properties.items():
        default = code(json.dumps(schema["default"])) if "default" in schema else "required" if key in required else ""
        meaning = prose(schema["description"])
        if where is not None and schema["type"] in ("string", "integer"):
            meaning += f"<br>{code('IMAGESERV_' + '__'.join((*where, key)).upper())}"
        rows.append((code(key), type_words[schema["type"]].removeprefix("a ").removeprefix("an "), default, meaning))
    return table(("key", "type", "default", "meaning"), rows)


# --- command line


def commands() -> str:
    """Write every command, with its arguments and options."""
    return "\n\n".join(
        part for name, command in cli.commands.items() for part in _command(("imageserv", name), command)
    )


def _command(path: tuple[str, ...], command: click.Command) -> Iterator[str]:
    context = click.Context(command, info_name=path[-1])
    name = " ".join(path)
    yield f"{'#' * len(path)} `{name}`"
    yield command.help or ""
    if isinstance(command, click.Group):
        for child, below in command.commands.items():
            yield from _command((*path, child), below)
        return
    usage = " ".join(command.collect_usage_pieces(context))
    yield f"```text\n{name} {usage}\n```"
    rows: list[tuple[str, str]] = []
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and record[1] and "--help" not in parameter.opts:  # arguments are in the usage
            rows.append((code(record[0]), prose(record[1])))
    if rows:
        yield table(("option", "meaning"), rows)


# --- hooks


def hooks() -> str:
    """Write every hook's specification."""
    names = [name for name in vars(hookspecs) if name.startswith("imageserv_")]
    return "\n\n".join(f"```{{eval-rst}}\n.. autofunction:: imageserv.core.hookspecs.{name}\n```" for name in names)


# --- the kit


def fixtures() -> str:
    """Write the fixtures that pytest has wherever ImageServ is installed."""
    tree = ast.parse(inspect.getsource(pytest_plugin))
    rows = [
        (code(node.name), prose((ast.get_docstring(node) or "").splitlines()[0].replace("``", "`")))
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
    ]
    return table(("fixture", "what it gives"), rows)


def contract() -> str:
    """Write the tests that a plugin has to pass."""
    rows = [
        (code(name), prose((inspect.getdoc(function) or "").splitlines()[0].replace("``", "`")))
        for kind in reversed(DatasetContract.__mro__)
        for name, function in vars(kind).items()
        if name.startswith("test_")
    ]
    return table(("test", "what it holds the plugin to"), rows)


def metrics() -> str:
    """Write the counters."""
    with _shipped() as service:
        text = Metrics().text() + job_metrics(store_of(service.config))
    lines = [line.split(" ", 3) for line in text.splitlines() if line.startswith("# HELP")]
    rows = [(code(name), prose(what.split(";")[0].rstrip("."))) for _, _, name, what in lines]
    return table(("metric", "what it counts"), rows)


WRITERS: Mapping[str, Callable[[], str]] = {
    "job-parameters": job_parameters,
    "job-columns": job_columns,
    "job-controls": job_controls,
    "job-looks": job_looks,
    "job-answers": job_answers,
    "job-resources": job_resources,
    "manifest": manifest,
    "v1-parameters": v1_parameters,
    "v1-datasets": v1_datasets,
    "v1-resources": v1_resources,
    "v1-answers": v1_answers,
    "v1-headers": v1_headers,
    "vo-resources": vo_resources,
    "sia": sia,
    "sia-answers": sia_answers,
    "columns": columns,
    "links": links,
    "links-answers": links_answers,
    "soda": soda,
    "soda-answers": soda_answers,
    "faults": faults,
    "settings": settings,
    "commands": commands,
    "hooks": hooks,
    "fixtures": fixtures,
    "contract": contract,
    "metrics": metrics,
}
"""By the names that pages call them by."""
