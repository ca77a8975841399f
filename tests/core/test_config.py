"""The configuration: what a file says, what variables override, and what is refused, with which words."""

import json
import tomllib
from dataclasses import fields
from importlib import resources
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from imageserv.core.config import Config, DatasetConfig, JobsConfig, Limits, configuration_schema, load
from imageserv.core.errors import ConfigurationFault

small = """
[repositories.Sky]
root = "images"
[repositories.Sky.datasets.raw]
plugin = "raw"
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "imageserv.toml"
    path.write_text(text, encoding="utf-8")
    return path


def refused(folder: Path, text: str, environ: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigurationFault) as caught:
        load(written(folder, text), environ or {})
    return caught.value.message


def described(*keys: str) -> str:
    """The schema's words for a key."""
    schema = configuration_schema()
    for key in keys:
        schema = schema["properties"][key] if "properties" in schema else schema
    return str(schema["description"])


def test_what_a_short_file_leaves_out(tmp_path: Path) -> None:
    config = load(written(tmp_path, small), {})
    assert (config.base_url, config.path, config.authority) == ("http://127.0.0.1:8000", "/api/image", "localhost")
    assert (config.cache, config.cache_bytes) == (tmp_path / "cache", 4 * 2**30)
    assert config.limits == Limits()
    assert config.extensions == ()
    sky = config.repositories["Sky"]
    assert (sky.name, sky.root, sky.registry) == ("Sky", tmp_path / "images", tmp_path / "Sky.sqlite")
    assert sky.default is True
    assert sky.datasets == {"raw": DatasetConfig("raw", "raw", {})}


def test_everything_that_a_file_can_say(tmp_path: Path) -> None:
    text = """
base_url = "https://images.example.org/sky/"
path = "/cutouts"
authority = "example.org"
cache = "/var/tmp/unpacked"
cache_bytes = 5
tile_cache_bytes = 6e0
extensions = ["b", "a"]
limits = {max_pixels = 1e6, threads = 3}
[repositories.one]
root = "../data"
registry = "deep/one.db"
[repositories.one.datasets.calexp]
plugin = "image"
files = ["a", "b"]
depth = {x = 1}
[repositories.two]
root = "/two"
default = true
datasets.raw.plugin = "raw"
"""
    config = load(written(tmp_path, text), {})
    assert config.base_url == "https://images.example.org/sky"
    assert (config.path, config.authority) == ("/cutouts", "example.org")
    assert (config.cache, config.cache_bytes) == (Path("/var/tmp/unpacked"), 5)
    assert config.tile_cache_bytes == 6
    assert config.extensions == ("b", "a")
    assert config.limits == Limits(max_pixels=1_000_000, threads=3)
    assert isinstance(config.limits.max_pixels, int)
    one, two = config.repositories.values()
    assert (one.root, one.registry) == (tmp_path / "../data", tmp_path / "deep/one.db")
    assert [(one.name, one.default), (two.name, two.default)] == [("one", False), ("two", True)]
    assert one.datasets["calexp"] == DatasetConfig("calexp", "image", {"files": ["a", "b"], "depth": {"x": 1}})


def test_without_a_mark_the_first_repository_is_the_default(tmp_path: Path) -> None:
    text = "".join(f"[repositories.{name}]\nroot='r'\ndatasets.raw.plugin='raw'\n" for name in "zab")
    config = load(written(tmp_path, text), {})
    assert [(name, table.default) for name, table in config.repositories.items()] == [
        ("z", True),
        ("a", False),
        ("b", False),
    ]


def test_relative_paths_start_at_the_file_not_at_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "etc").mkdir()
    written(tmp_path / "etc", small)
    monkeypatch.chdir(tmp_path)
    config = load("etc/imageserv.toml", {"IMAGESERV_CACHE": "unpacked"})
    assert config.repositories["Sky"].root == tmp_path / "etc/images"
    assert config.cache == tmp_path / "etc/unpacked"


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/astronomer")
    assert load(written(tmp_path, small.replace('"images"', '"~/images"')), {}).repositories["Sky"].root == Path(
        "/home/astronomer/images"
    )


def test_a_user_who_is_not_there_has_no_home_folder(tmp_path: Path) -> None:
    config = load(written(tmp_path, small.replace('"images"', '"~nobody-of-this-name/x"')), {})
    assert config.repositories["Sky"].root == tmp_path / "~nobody-of-this-name/x"


def test_variables_override_the_file(tmp_path: Path) -> None:
    text = 'base_url = "http://a"\ncache_bytes = 1\n[limits]\nmax_pixels = 2\nmax_hdus = 3\n' + small
    environ = {
        "IMAGESERV_BASE_URL": "http://b/",
        "IMAGESERV_CACHE_BYTES": "7",
        "IMAGESERV_LIMITS__MAX_PIXELS": " 1000 ",
        "IMAGESERV_LIMITS__THREADS": "9",
    }
    config = load(written(tmp_path, text), environ)
    assert (config.base_url, config.cache_bytes) == ("http://b", 7)
    assert config.limits == Limits(max_pixels=1000, max_hdus=3, threads=9)


def test_the_environment_is_read_unless_another_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGESERV_AUTHORITY", "from.outside")
    assert load(written(tmp_path, small)).authority == "from.outside"


@pytest.mark.parametrize(
    "name", ["IMAGESERV_CONFIG", "IMAGESERV_TEST_DATA", "IMAGESERV_PORT", "IMAGESERV_SERVICE_HOST"]
)
def test_variables_of_others_are_ignored(tmp_path: Path, name: str) -> None:
    assert load(written(tmp_path, small), {name: "x"}) == load(written(tmp_path, small), {})


def test_a_misspelt_variable_is_refused(tmp_path: Path) -> None:
    message = refused(tmp_path, small, {"IMAGESERV_LIMITS_MAX_PIXELS": "1"})
    assert "IMAGESERV_LIMITS_MAX_PIXELS is no setting; do you mean IMAGESERV_LIMITS__MAX_PIXELS?" in message


@pytest.mark.parametrize("text", ["many", "1.5", "", "0x10", "٣"])
def test_an_error_from_a_variable_names_the_variable(tmp_path: Path, text: str) -> None:
    message = refused(tmp_path, small, {"IMAGESERV_LIMITS__THREADS": text})
    assert f"IMAGESERV_LIMITS__THREADS (limits.threads): {text!r} is not an integer. " in message
    assert described("limits", "threads") in message


def test_an_error_of_the_file_names_no_variable(tmp_path: Path) -> None:
    message = refused(tmp_path, "[limits]\nthreads = 0\n" + small, {"IMAGESERV_LIMITS__MAX_HDUS": "5"})
    assert "IMAGESERV_" not in message
    assert "limits.threads: 0 is less than 1. " + described("limits", "threads") in message


@pytest.mark.parametrize(
    ("text", "key", "wrong"),
    [
        ('base_url = "ftp://a"', "base_url", "'ftp://a' is not of the right form"),
        ('base_url = "http://"', "base_url", "'http://' is not of the right form"),
        ('base_url = "http://a?b=c"', "base_url", "'http://a?b=c' is not of the right form"),
        ('base_url = "http://a\\n"', "base_url", "'http://a\\n' is not of the right form"),
        ('base_url = "https://h/["', "base_url", "'https://h/[' is not of the right form"),
        ("base_url = 1", "base_url", "1 is not a string"),
        ('path = "api"', "path", "'api' is not of the right form"),
        ('path = "/api/"', "path", "'/api/' is not of the right form"),
        ('path = "/api/.."', "path", "'/api/..' is not of the right form"),
        ('authority = "x"', "authority", "'x' is not of the right form"),
        ('authority = "a/b/c"', "authority", "'a/b/c' is not of the right form"),
        ('cache = ""', "cache", "is empty"),
        ("cache_bytes = -1", "cache_bytes", "-1 is less than 0"),
        ("cache_bytes = true", "cache_bytes", "true is not an integer"),
        ("cache_bytes = nan", "cache_bytes", "nan is not an integer"),
        ("cache_bytes = 2020-01-01", "cache_bytes", "2020-01-01 is not an integer"),
        ('extensions = "a"', "extensions", "'a' is not an array"),
        ('extensions = ["a", "a"]', "extensions", "names one thing twice"),
        ("limits = 3", "limits", "3 is not a table"),
    ],
)
def test_a_wrong_value_is_named_and_explained(tmp_path: Path, text: str, key: str, wrong: str) -> None:
    assert f"  {key}: {wrong}. {described(key)}" in refused(tmp_path, text + "\n" + small).splitlines()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[jobs]\nrunning = 0", "jobs.running: 0 is less than 1. "),
        ("[jobs]\nrunning = 65", "jobs.running: 65 is more than 64. "),
        ('[jobs]\ndatabase = "sqlite:///x"', "jobs.database: 'sqlite:///x' is not of the right form. "),
        ("[jobs]\nmax_job = 1", "jobs.max_job: there is no such key; do you mean max_jobs? "),
        ('[authentication.tokens]\nann = ["abc"]', "authentication.tokens.ann.0: 'abc' is not of the right form. "),
        ('[authentication]\nheader = "X User"', "authentication.header: 'X User' is not of the right form. "),
        ('[authentication]\nproxies = ["10.0.0.1/8"]', "authentication.proxies: '10.0.0.1/8' is no address and no"),
    ],
)
def test_what_is_wrong_about_jobs_and_owners_is_told(tmp_path: Path, text: str, said: str) -> None:
    assert said in refused(tmp_path, f"{small}\n{text}\n")


def test_jobs_and_owners_are_read(tmp_path: Path) -> None:
    digest = "A" * 64
    config = load(
        written(
            tmp_path,
            f'{small}\n[jobs]\nfolder = "work"\nmax_bytes = 1e9\nlist_anonymous = true\n[authentication]\n'
            f'header = "X-User"\nproxies = ["::1", "10.0.0.0/8"]\n[authentication.tokens]\nann = ["{digest}"]\n',
        ),
        {"IMAGESERV_JOBS__DAYS": "2", "IMAGESERV_JOBS__DATABASE": "postgresql://u@h/d"},
    )
    assert (config.jobs.folder, config.jobs.max_bytes, config.jobs.list_anonymous) == (tmp_path / "work", 10**9, True)
    assert (config.jobs.days, config.jobs.database) == (2, "postgresql://u@h/d")
    assert config.authentication.tokens == {"ann": (digest.lower(),)}
    assert (config.authentication.header, config.authentication.proxies) == ("X-User", ("::1", "10.0.0.0/8"))


def test_an_empty_path_serves_at_the_root(tmp_path: Path) -> None:
    assert load(written(tmp_path, 'path = ""\n' + small), {}).path == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("base_ur = 'http://a'\n" + small, "base_ur: there is no such key; do you mean base_url? "),
        ("zzz = 1\n" + small, "zzz: there is no such key; here may be base_url, path, authority, "),
        ("limits.max_pixel = 1\n" + small, "limits.max_pixel: there is no such key; do you mean max_pixels? "),
        (small.replace("root", "rot"), "repositories.Sky.rot: there is no such key; do you mean root? "),
        (small.replace('root = "images"', ""), "repositories.Sky.root: is missing. The folder "),
        (small.replace("plugin", "plug"), "repositories.Sky.datasets.raw.plugin: is missing. The plugin "),
        ("", "repositories: is missing. The image repositories"),
        ("[repositories]", "repositories: is empty. The image repositories"),
        ("[repositories.a]\nroot='b'\ndatasets={}", "repositories.a.datasets: is empty. The datasets"),
        ("repositories = 'a'", "repositories: 'a' is not a table. The image repositories"),
        ("repositories.a = 1", "repositories.a: 1 is not a table. One image repository."),
    ],
)
def test_unknown_and_missing_keys(tmp_path: Path, text: str, said: str) -> None:
    assert f"\n  {said}" in refused(tmp_path, text)


@pytest.mark.parametrize(
    "name", ["availability", "capabilities", "schema", "openapi.json", ".", "..", "", "a b", "a/b", "é", "a\\n", "a?"]
)
def test_names_that_a_repository_may_not_have(tmp_path: Path, name: str) -> None:
    message = refused(tmp_path, f'[repositories."{name}"]\nroot = "r"\ndatasets.raw.plugin = "raw"')
    assert ": 1 error in the configuration" in message
    assert "A db id: " in message


@pytest.mark.parametrize("name", ["a", "DC_W13_Stripe82", "a.b-c", "schema2", "0"])
def test_names_that_a_repository_may_have(tmp_path: Path, name: str) -> None:
    config = load(written(tmp_path, f'[repositories."{name}"]\nroot = "r"\ndatasets.raw.plugin = "raw"'), {})
    assert list(config.repositories) == [name]


def test_names_that_differ_in_case_alone_are_refused(tmp_path: Path) -> None:
    table = "root = 'r'\ndatasets.raw.plugin = 'a'\n"
    assert "repositories.SKY: differs from Sky in case alone" in refused(
        tmp_path, f"[repositories.Sky]\n{table}[repositories.SKY]\n{table}"
    )
    assert "repositories.Sky.datasets.RAW: differs from raw in case alone" in refused(
        tmp_path, f"[repositories.Sky]\n{table}datasets.RAW.plugin = 'a'\n"
    )


def test_two_defaults_are_refused(tmp_path: Path) -> None:
    table = "root = 'r'\ndefault = true\ndatasets.raw.plugin = 'a'\n"
    message = refused(tmp_path, f"[repositories.a]\n{table}[repositories.b]\n{table}")
    assert "repositories: a and b both have default = true" in message


def test_one_message_names_all_errors(tmp_path: Path) -> None:
    text = "base_ur = 1\ncache_bytes = -1\n[repositories.a]\n[repositories.schema]\nroot = 1\ndatasets = 2\n"
    message = refused(tmp_path, text, {"IMAGESERV_LIMITS__THREADS": "x"})
    first, *errors = message.splitlines()
    assert first == f"{tmp_path / 'imageserv.toml'}: 8 errors in the configuration"
    assert sorted(error.split(": ")[0].strip() for error in errors) == [
        "IMAGESERV_LIMITS__THREADS (limits.threads)",
        "base_ur",
        "cache_bytes",
        "repositories.a.datasets",
        "repositories.a.root",
        "repositories.schema",
        "repositories.schema.datasets",
        "repositories.schema.root",
    ]


def test_what_is_not_toml_is_refused_with_its_line(tmp_path: Path) -> None:
    assert "not TOML" in (message := refused(tmp_path, "path = '/a'\nthis is not\n"))
    assert "line 2" in message
    (tmp_path / "latin").write_bytes("cache = 'é'".encode("latin-1"))
    with pytest.raises(ConfigurationFault, match="not UTF-8"):
        load(tmp_path / "latin", {})


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationFault, match=r"nowhere\.toml: the configuration cannot be read"):
        load(tmp_path / "nowhere.toml", {})
    with pytest.raises(ConfigurationFault, match="cannot be read"):
        load(tmp_path, {})


def test_the_schema_is_valid_and_describes_every_key() -> None:
    schema = configuration_schema()
    Draft202012Validator.check_schema(schema)
    undescribed: list[str] = []

    def visit(where: str, part: object) -> None:
        if isinstance(part, dict):
            for name, child in part.get("properties", {}).items():
                if not str(child.get("description", "")).endswith("."):
                    undescribed.append(f"{where}.{name}")
            for name, child in part.items():
                visit(f"{where}.{name}", child)

    visit("", schema)
    assert undescribed == []


def test_the_defaults_of_schema_and_program_are_the_same() -> None:
    properties = configuration_schema()["properties"]
    limits = properties["limits"]["properties"]
    assert {field.name: field.default for field in fields(Limits)} == {
        name: schema["default"] for name, schema in limits.items()
    }
    jobs = properties["jobs"]["properties"]
    assert {
        field.name: str(field.default) for field in fields(JobsConfig) if field.name not in ("folder", "database")
    } == {name: str(schema["default"]) for name, schema in jobs.items() if name not in ("folder", "database")}
    defaults = {field.name: field.default for field in fields(Config)}
    for name in ("base_url", "path", "authority", "cache_bytes"):
        assert defaults[name] == properties[name]["default"]


def test_the_schema_is_shipped_as_a_file() -> None:
    text = resources.files("imageserv.schema").joinpath("configuration.json").read_text(encoding="utf-8")
    assert json.loads(text) == configuration_schema()


toml_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
keys = st.sampled_from(["base_url", "path", "cache", "limits", "extensions", "repositories", "default", "other"])


def as_toml(value: object) -> str:
    match value:
        case None:
            return "1979-05-27"  # TOML has no null, but dates, which JSON has not
        case bool():
            return str(value).lower()
        case dict():
            return "{" + ", ".join(f"{json.dumps(key)} = {as_toml(item)}" for key, item in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(as_toml, value)) + "]"
        case str():
            return json.dumps(value)
        case _:
            return str(value)


@given(st.dictionaries(keys, toml_values, max_size=4))
def test_whatever_a_file_says_it_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, document: dict[str, object]
) -> None:
    text = "\n".join(f"{key} = {as_toml(value)}" for key, value in document.items())
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        said = "not TOML"
    else:
        said = "in the configuration"
    path = written(tmp_path_factory.getbasetemp(), text)
    try:
        load(path, {})
    except ConfigurationFault as fault:
        assert said in fault.message
