"""The configuration: one TOML file, judged by a published JSON Schema, and the variables that override it."""

import difflib
import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from .errors import ConfigurationFault

type_words = {
    "array": "an array",
    "boolean": "true or false",
    "integer": "an integer",
    "object": "a table",
    "string": "a string",
}
"""What TOML calls the types of JSON Schema."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the service refuses to do; each limit is described in ``schema/configuration.json``.

    Attributes
    ----------
    max_pixels
        Of all planes of one cutout.
    max_answer_bytes
        Of all cutouts that one worker is sending.
    max_request_bytes
        Of a request's body.
    max_header_bytes, max_headers_bytes
        Of one HDU, and of all HDUs of a file.
    max_hdus
        Of one file.
    max_unpacked_bytes
        Of a gzipped file.
    max_tile_pixels
        Of one tile of a tile-compressed image.
    max_copied_bytes
        Of the HDUs that are not cut, in a cutout that has them.
    default_records, max_records
        Rows of an answer to a search that does not say how many, and of any.
    max_ids, max_values
        Identifiers in one request for links, values of one parameter of a search.
    max_waiting
        Requests that wait for a thread.
    threads
        Of one worker, for what may wait. Few: each that is busy takes its turn at Python's lock, and the event loop has
        to wait for all of them.
    """

    max_pixels: int = 64_000_000
    max_answer_bytes: int = 1_073_741_824
    max_request_bytes: int = 1_000_000
    max_header_bytes: int = 1_048_576
    max_headers_bytes: int = 67_108_864
    max_hdus: int = 10_000
    max_unpacked_bytes: int = 2_147_483_648
    max_tile_pixels: int = 67_108_864
    max_copied_bytes: int = 268_435_456
    default_records: int = 10_000
    max_records: int = 1_000_000
    max_ids: int = 20_000
    max_values: int = 200
    max_waiting: int = 256
    threads: int = 2


@dataclass(frozen=True, slots=True)
class JobsConfig:
    """Asynchronous jobs; each key is described in ``schema/configuration.json``.

    Attributes
    ----------
    folder
        Of their files, and of their database if it is SQLite.
    database
        URL of a PostgreSQL database; None for SQLite.
    running
        How many jobs one worker runs at a time.
    list_anonymous
        Whether the list of jobs shows those without an owner.
    max_jobs, max_jobs_per_owner, max_anonymous_jobs
        That are unfinished: altogether, of one owner, of all without a name.
    max_results, max_rows, max_bytes, max_seconds
        Of one job: results that are files, rows of a catalogue, bytes, seconds of execution.
    max_upload_bytes
        Of what one request uploads.
    days, max_days
        For which a job is kept, if it does not say, and at the most.
    """

    folder: Path
    database: str | None = None
    running: int = 2
    list_anonymous: bool = False
    max_jobs: int = 20_000
    max_jobs_per_owner: int = 1_000
    max_anonymous_jobs: int = 10_000
    max_results: int = 10_000
    max_rows: int = 1_000_000
    max_bytes: int = 100_000_000_000
    max_seconds: int = 14_400
    max_upload_bytes: int = 268_435_456
    days: int = 7
    max_days: int = 30


@dataclass(frozen=True, slots=True)
class AuthenticationConfig:
    """How clients say who they are.

    Attributes
    ----------
    tokens
        The SHA-256 hashes of bearer tokens, 64 hexadecimal digits each, by the owner's name.
    header
        Name of a header by which a proxy tells who a client is; None if none does.
    proxies
        The addresses and networks of these proxies: from others the header counts nothing.
    """

    tokens: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    header: str | None = None
    proxies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DatasetConfig:
    """One dataset of a repository.

    Attributes
    ----------
    name
        The value of ``ds``.
    plugin
        An entry point of the group ``imageserv.dataset``.
    options
        Every other key of the table; the plugin judges them.
    """

    name: str
    plugin: str
    options: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class RepositoryConfig:
    """One repository.

    Attributes
    ----------
    name
        The db id.
    root
        Folder of the image files.
    registry
        File of the registry.
    default
        True for exactly one repository of a configuration.
    datasets
        By name, in the order of the file.
    """

    name: str
    root: Path
    registry: Path
    default: bool
    datasets: Mapping[str, DatasetConfig]


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A whole configuration.

    Attributes
    ----------
    base_url
        What clients see, without a slash at the end.
    path
        Prefix of the API: empty, or a slash before each part.
    authority
        Of the images' IVOA identifiers.
    cache, cache_bytes
        Folder for unpacked files, and how many bytes it may hold.
    tile_cache_bytes
        How much memory decoded tiles may take in one worker.
    open_images, open_images_bytes
        How many images one worker keeps open, and how much memory they may take.
    limits
        What the service refuses to do.
    jobs
        Asynchronous jobs.
    authentication
        How clients say who they are.
    maintenance
        File that announces a time at which the service does not answer.
    extensions
        Entry points of the group ``imageserv.extension``.
    repositories
        By db id, in the order of the file; at least one.
    """

    base_url: str = "http://127.0.0.1:8000"
    path: str = "/api/image"
    authority: str = "localhost"
    cache: Path
    cache_bytes: int = 4_294_967_296
    tile_cache_bytes: int = 134_217_728
    open_images: int = 10_000
    open_images_bytes: int = 805_306_368
    limits: Limits = Limits()
    jobs: JobsConfig = JobsConfig(Path("jobs"))
    authentication: AuthenticationConfig = AuthenticationConfig()
    maintenance: Path | None = None
    extensions: tuple[str, ...] = ()
    repositories: Mapping[str, RepositoryConfig]


def load(path: str | Path, environ: Mapping[str, str] = os.environ) -> Config:
    """Read a configuration.

    A variable ``IMAGESERV_<KEY>`` overrides a key at the top of the file,
    ``IMAGESERV_LIMITS__<KEY>`` a limit, ``IMAGESERV_JOBS__<KEY>`` a key of the
    jobs. Other variables of that prefix may be set for other purposes
    (Kubernetes does so for a service of that name): they are ignored, unless
    they look like a misspelt setting.

    Raises
    ------
    ConfigurationFault
        Raised if the file cannot be read, is not TOML, or says something wrong; one message names all that is wrong.
    """
    path = Path(path).absolute()
    document = _read(path)
    variables: dict[str, str] = {}
    problems = list(_override(document, environ, variables))
    problems += [problem for error in _errors(document) for problem in _explain(error, variables)]
    problems += _clashes(document)
    problems = list(dict.fromkeys(problems))
    if problems:
        count = "1 error" if len(problems) == 1 else f"{len(problems)} errors"
        raise ConfigurationFault("\n".join([f"{path}: {count} in the configuration", *(f"  {p}" for p in problems)]))
    return _config(document, path.parent)


@cache
def configuration_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of the configuration."""
    schema: dict[str, Any] = json.loads(
        resources.files("imageserv.schema").joinpath("configuration.json").read_text(encoding="utf-8")
    )
    return schema


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8"))
    except OSError as error:
        raise ConfigurationFault(f"{path}: the configuration cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationFault(f"{path}: the configuration is not UTF-8 text: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationFault(f"{path}: the configuration is not TOML: {error}") from error


def _override(
    document: MutableMapping[str, Any], environ: Mapping[str, str], variables: MutableMapping[str, str]
) -> Iterator[str]:
    """Put values from the environment into the document, note where each came from, and yield what is wrong."""
    settings = {_variable(where): (where, schema) for where, schema in _settings()}
    for name, text in sorted(environ.items()):
        if name in settings:
            where, schema = settings[name]
            table = document
            for key in where[:-1]:
                table = table.setdefault(key, {})
            if isinstance(table, MutableMapping):  # if the file has something else there, that is reported
                table[where[-1]] = _number(text) if schema["type"] == "integer" else text
                variables[".".join(where)] = name
        elif name.startswith("IMAGESERV_") and name not in ("IMAGESERV_CONFIG", "IMAGESERV_TEST_DATA"):
            near = difflib.get_close_matches(name[10:], [setting[10:] for setting in settings], 1, 0.75)
            if near:
                yield f"{name} is no setting; do you mean IMAGESERV_{near[0]}?"


def _settings() -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    """Yield where each setting that the environment can override stands, and its schema."""
    for key, schema in configuration_schema()["properties"].items():
        if schema["type"] in ("string", "integer"):
            yield (key,), schema
    for table in ("limits", "jobs"):
        for key, schema in configuration_schema()["properties"][table]["properties"].items():
            if schema["type"] in ("string", "integer"):
                yield (table, key), schema


def _variable(where: tuple[str, ...]) -> str:
    return "IMAGESERV_" + "__".join(where).upper()


def _number(text: str) -> int | str:
    """Return an integer, or the text as it is, which the schema will refuse."""
    return int(text) if re.fullmatch(r"\s*[+-]?[0-9]{1,30}\s*", text, re.ASCII) else text


def _errors(document: Mapping[str, Any]) -> list[ValidationError]:
    validator = Draft202012Validator(configuration_schema())
    return sorted(validator.iter_errors(document), key=lambda error: [str(key) for key in error.absolute_path])


def _explain(error: ValidationError, variables: Mapping[str, str]) -> Iterator[str]:
    """Yield what one error means: which key, what is wrong, and what the key is for."""
    schema: Any = error.schema
    rule: Any = error.validator_value
    value: Any = error.instance
    where = [str(key) for key in error.absolute_path]
    if "propertyNames" in error.absolute_schema_path:
        where.append(str(value))
    match error.validator:
        case "required":
            for key in rule:
                if key not in value:
                    yield f"{'.'.join([*where, key])}: is missing. {schema['properties'][key]['description']}"
            return
        case "additionalProperties":
            for key in value:
                if key not in schema["properties"]:
                    yield _unknown(where, key, schema["properties"])
            return
        case "type":
            wrong = f"{_written(value)} is not {type_words[rule]}"
        case "minimum":
            wrong = f"{value} is less than {rule}"
        case "maximum":
            wrong = f"{value} is more than {rule}"
        case "minLength" | "minProperties":
            wrong = "is empty"
        case "pattern":
            wrong = f"{_written(value)} is not of the right form"
        case "not":
            wrong = "may not be used as a name"
        case "uniqueItems":
            wrong = "names one thing twice"
        case _:
            wrong = error.message
    key = ".".join(where)
    if key in variables:
        key = f"{variables[key]} ({key})"
    yield f"{key}: {wrong}. {schema['description']}"


def _unknown(where: list[str], key: str, known: Mapping[str, Mapping[str, Any]]) -> str:
    place = ".".join([*where, key])
    near = difflib.get_close_matches(key, known, 1)
    if near:
        return f"{place}: there is no such key; do you mean {near[0]}? {known[near[0]]['description']}"
    return f"{place}: there is no such key; here may be {', '.join(known)}"


def _written(value: object) -> str:
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, list):
        return "an array"
    text = repr(value) if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _clashes(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield what no schema can tell: names that differ in case alone, and more than one default."""
    repositories = _table(document, "repositories")
    yield from _same_but_for_case("repositories", repositories)
    for name in repositories:
        yield from _same_but_for_case(f"repositories.{name}.datasets", _table(_table(repositories, name), "datasets"))
    registries: dict[str, str] = {}
    for name in repositories:
        registry = str(_table(repositories, name).get("registry", f"{name}.sqlite"))
        other = registries.setdefault(os.path.normpath(registry), name)
        if other != name:
            yield f"repositories.{name}.registry: is that of {other}, too. Each repository has a registry of its own."
    yield from _wrong_proxies(_table(document, "authentication").get("proxies"))
    defaults = [name for name in repositories if _table(repositories, name).get("default") is True]
    if len(defaults) > 1:
        yield f"repositories: {' and '.join(defaults)} both have default = true. One at most may be the default."


def _wrong_proxies(proxies: object) -> Iterator[str]:
    for proxy in proxies if isinstance(proxies, list) else ():
        try:
            ip_network(str(proxy))
        except ValueError:
            yield f"authentication.proxies: {_written(proxy)} is no address and no network, such as 10.0.0.0/24."


def _same_but_for_case(where: str, names: Mapping[str, Any]) -> Iterator[str]:
    first: dict[str, str] = {}
    for name in names:
        other = first.setdefault(name.lower(), name)
        if other != name:
            yield f"{where}.{name}: differs from {other} in case alone. Names are compared without case."


def _table(parent: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return a table of the document, an empty one in place of anything else."""
    value = parent.get(key)
    return value if isinstance(value, Mapping) else {}


def _config(document: Mapping[str, Any], folder: Path) -> Config:
    """Build the configuration from a document that has been judged."""
    repositories = document["repositories"]
    default = next((name for name, table in repositories.items() if table.get("default")), next(iter(repositories)))
    scalars = {key: document[key] for key in ("path", "authority") if key in document}
    if "base_url" in document:
        scalars["base_url"] = document["base_url"].rstrip("/")
    for key in ("cache_bytes", "tile_cache_bytes", "open_images", "open_images_bytes"):
        if key in document:
            scalars[key] = int(document[key])
    return Config(
        **scalars,
        cache=_path(folder, document.get("cache", "cache")),
        maintenance=_path(folder, document.get("maintenance", "maintenance.toml")),
        # JSON Schema's integers include 1e6, which TOML reads as a float.
        limits=Limits(**{key: int(value) for key, value in document.get("limits", {}).items()}),
        jobs=_jobs(document.get("jobs", {}), folder),
        authentication=_authentication(document.get("authentication", {})),
        extensions=tuple(document.get("extensions", ())),
        repositories={
            name: RepositoryConfig(
                name,
                _path(folder, table["root"]),
                _path(folder, table.get("registry", f"{name}.sqlite")),
                name == default,
                {
                    dataset: DatasetConfig(
                        dataset, options["plugin"], {key: value for key, value in options.items() if key != "plugin"}
                    )
                    for dataset, options in table["datasets"].items()
                },
            )
            for name, table in repositories.items()
        },
    )


def _jobs(table: Mapping[str, Any], folder: Path) -> JobsConfig:
    values: dict[str, Any] = {
        key: int(value) if isinstance(value, float) else value for key, value in table.items() if key != "folder"
    }
    return JobsConfig(_path(folder, table.get("folder", "jobs")), **values)


def _authentication(table: Mapping[str, Any]) -> AuthenticationConfig:
    tokens = {owner: tuple(text.lower() for text in hashes) for owner, hashes in table.get("tokens", {}).items()}
    return AuthenticationConfig(tokens, table.get("header"), tuple(table.get("proxies", ())))


def _path(folder: Path, text: str) -> Path:
    return folder / os.path.expanduser(text)  # Path's own raises for a user that is not there
