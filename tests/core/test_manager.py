"""Plugins that are right, wrong, missing, or there twice; and that each hears only what is meant for it."""

import importlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from imageserv.core.candidate import CandidateFile
from imageserv.core.config import DatasetConfig, RepositoryConfig
from imageserv.core.dali.parameters import Parameter
from imageserv.core.dataset import DataId, Dataset, Key
from imageserv.core.errors import AuthorizationFault, ConfigurationFault, PluginFault, UsageFault
from imageserv.core.fits.engine import Cutout, CutoutRequest
from imageserv.core.fits.opened import OpenImage
from imageserv.core.hookspecs import hookimpl
from imageserv.core.manager import Plugins, installed
from imageserv.core.record import Found
from imageserv.core.repository import Repository
from imageserv.core.selection import ByDataId
from imageserv.core.sky.stencil import Box

Install = Callable[..., None]
OpenRepository = Callable[..., Repository]


def ignore(done: int, total: int, path: str) -> None:
    """Take no notice of progress."""


def plugins(extensions: Sequence[str] = (), **datasets: tuple[str, Mapping[str, object]]) -> Plugins:
    table = {name: DatasetConfig(name, *plugin) for name, plugin in datasets.items()}
    return Plugins(RepositoryConfig("SKY", Path(), Path("registry.sqlite"), True, table), extensions)


class Right:
    """Does what is required, and nothing more."""

    def __init__(self, name: str, options: Mapping[str, object]) -> None:
        self.name = name

    @hookimpl
    def imageserv_dataset(self) -> Any:
        return Dataset(description=self.name, keys=(Key("number", int, "Which.", minimum=0),))

    @hookimpl
    def imageserv_science_id(self, data_id: DataId) -> int:
        return int(data_id["number"])

    @hookimpl
    def imageserv_recognise(self, file: CandidateFile) -> Sequence[Found] | None:
        return None

    @hookimpl
    def imageserv_cutout(self, image: OpenImage, request: CutoutRequest) -> Any:
        raise NotImplementedError


@pytest.fixture(autouse=True)
def right(install: Install) -> None:
    install("right", Right)


def test_what_ships_is_installed() -> None:
    found = {plugin.name: plugin for plugin in installed() if plugin.distribution == "imageserv"}
    assert set(found) == {"raw", "calexp", "deepcoadd", "image"}
    assert found["raw"].target == "imageserv.plugins.raw:Raw"
    assert found["raw"].group == "imageserv.dataset"
    assert found["raw"].version


def test_a_plugin_that_is_not_installed_is_named_beside_those_that_are() -> None:
    with pytest.raises(PluginFault, match=r"SKY, dataset 'it': no plugin 'coad' is installed.*: calexp, .*raw, right"):
        plugins(it=("coad", {}))
    with pytest.raises(PluginFault, match=r"extension 'quota': no plugin 'quota' is installed.*: none"):
        plugins(["quota"], it=("right", {}))


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("raise RuntimeError('no licence')", "RuntimeError.*no licence"),
        ("import a_module_that_nobody_has", "a_module_that_nobody_has"),
        ("def broken(:", "SyntaxError"),
        ("other = 1", "has no attribute 'Plugin'"),
        ("Plugin = 1", "not callable"),
        ("class Plugin: pass", "takes no arguments"),
        ("def Plugin(name, options): raise KeyError('files')", "KeyError.*files"),
        ("def Plugin(name, options): return None", "lacks imageserv_dataset"),
    ],
)
def test_a_plugin_that_cannot_be_made_is_named_with_the_reason(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, reason: str
) -> None:
    (tmp_path / "strangers_module.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "strangers_module", raising=False)
    install("strange", "strangers_module:Plugin")
    with pytest.raises(PluginFault, match=rf"SKY, dataset 'it': .*'strange'.*{reason}"):
        plugins(it=("strange", {}))
    sys.modules.pop("strangers_module", None)


def test_a_plugin_that_was_changed_has_another_fingerprint(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it is that was changed, and in a class that it is made from, too."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    install("strange", "strangers_module:Plugin")

    def fingerprint(base: str, derived: str) -> str:
        (tmp_path / "strangers_base.py").write_text(
            f"from {Right.__module__} import Right\n{base}\nclass B(Right): pass"
        )
        (tmp_path / "strangers_module.py").write_text(f"from strangers_base import B\n{derived}\nclass Plugin(B): pass")
        for name in ("strangers_base", "strangers_module"):
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        return plugins(it=("strange", {})).datasets["it"].source

    first = fingerprint("ONE = 1", "TWO = 1")
    assert len({first, fingerprint("ONE = 2", "TWO = 1"), fingerprint("ONE = 1", "TWO = 2")}) == 3
    assert fingerprint("ONE = 1", "TWO = 1") == first
    for name in ("strangers_base", "strangers_module"):
        del sys.modules[name]


@pytest.mark.parametrize(
    ("version", "reason"),
    [
        (2, r"\(stranger\d:plugin\) is written for version 2 of the plugin contract; ImageServ \S+ has version 1: "),
        ("2", "has imageserv_contract = '2': it is a number from 1 to 1"),
        (0, "has imageserv_contract = 0: it is a number from 1 to 1"),
    ],
)
def test_a_plugin_for_a_later_contract_is_refused(install: Install, version: object, reason: str) -> None:
    def unmade(self: object, name: str, options: Mapping[str, object]) -> None:
        raise AssertionError("it is refused before it is made")

    install("later", type("Later", (Right,), {"imageserv_contract": version, "__init__": unmade}))
    with pytest.raises(PluginFault, match=f"^SKY, dataset 'it': the plugin 'later' {reason}"):
        plugins(it=("later", {}))


def test_a_plugin_for_this_contract_or_of_no_version_is_taken(install: Install) -> None:
    install("current", type("Current", (Right,), {"imageserv_contract": 1}))
    assert plugins(it=("current", {}), other=("right", {})).datasets.keys() == {"it", "other"}


def test_an_extension_for_a_later_contract_is_refused(install: Install) -> None:
    install("idle", type("Idle", (), {"imageserv_contract": 2}), "imageserv.extension")
    with pytest.raises(PluginFault, match=r"extension 'idle': the plugin 'idle' .* version 2 of the plugin contract"):
        plugins(["idle"], it=("right", {}))


def test_a_plugin_may_refuse_its_options() -> None:
    with pytest.raises(ConfigurationFault, match=r"^SKY, dataset 'it': unknown option 'colour'; it takes files$"):
        plugins(it=("raw", {"colour": "red"}))


@pytest.mark.parametrize(
    "hook", ["imageserv_dataset", "imageserv_science_id", "imageserv_recognise", "imageserv_cutout"]
)
def test_a_plugin_that_lacks_a_hook_is_refused(install: Install, hook: str) -> None:
    install("less", type("Less", (Right,), {hook: None}))
    with pytest.raises(PluginFault, match=f"'less' lacks {hook}$"):
        plugins(it=("less", {}))


def test_a_wrapper_is_no_implementation(install: Install) -> None:
    class Wrapper(Right):
        @hookimpl(wrapper=True)
        def imageserv_cutout(self, image: OpenImage, request: CutoutRequest) -> Iterator[None]:
            return (yield)

    install("less", Wrapper)
    with pytest.raises(PluginFault, match="lacks imageserv_cutout"):
        plugins(it=("less", {}))


def test_a_hook_that_is_misspelt_is_refused(install: Install) -> None:
    class Misspelt(Right):
        @hookimpl
        def imageserv_data_ids(self, science_id: int) -> DataId | None:
            return None

    install("misspelt", Misspelt)
    with pytest.raises(PluginFault, match="imageserv_data_ids"):
        plugins(it=("misspelt", {}))


def test_an_argument_that_no_hook_has_is_refused(install: Install) -> None:
    class Demanding(Right):
        @hookimpl
        def imageserv_data_id(self, science_id: int, mood: str) -> DataId | None:
            return None

    install("demanding", Demanding)
    with pytest.raises(PluginFault, match="mood"):
        plugins(it=("demanding", {}))


@pytest.mark.parametrize(
    ("declaration", "reason"),
    [
        ("a dataset", "gave 'a dataset', not a Dataset"),
        (Dataset("It.", (Key("filter", str, "Colour."),), band_key="band"), "band_key 'band' is none of its keys"),
        (Dataset("It.", (Key("filter", str, "Colour."),), band_key="Filter"), "band_key 'Filter' is none of its keys"),
        (ZeroDivisionError("by zero"), "imageserv_dataset failed: ZeroDivisionError"),
        (
            Dataset("It.", (Key("number", int, "Which."),), parameters=(Parameter("NUMBER", int, "Another."),)),
            "its parameter NUMBER has the name of the key number",
        ),
        (
            Dataset(
                "It.",
                (Key("number", int, "Which."),),
                parameters=(Parameter("bin", int, "By."), Parameter("fold", int, "By.", aliases=("BIN",))),
            ),
            "its parameter BIN has the name of the parameter bin",
        ),
    ],
)
def test_a_wrong_declaration_is_refused(install: Install, declaration: object, reason: str) -> None:
    class Wrong(Right):
        @hookimpl
        def imageserv_dataset(self) -> Any:
            if isinstance(declaration, Exception):
                raise declaration
            return declaration

    install("wrong", Wrong)
    with pytest.raises(PluginFault, match=f"dataset 'it'.*{reason}"):
        plugins(it=("wrong", {}))


def test_a_name_that_two_distributions_claim_is_refused(install: Install) -> None:
    install("right", type("Other", (Right,), {}))
    with pytest.raises(PluginFault, match=r"'right' is installed more than once: stranger\d:plugin, stranger\d:plugin"):
        plugins(it=("right", {}))


def test_one_distribution_found_twice_is_one(install: Install) -> None:
    install("same", "imageserv.plugins.raw:Raw")
    install("same", "imageserv.plugins.raw:Raw")
    assert plugins(it=("same", {})).datasets["it"].plugin == "same"


@pytest.mark.parametrize("answer", [-1, 2**63, True, "1", 1.0, None])
def test_a_science_id_that_is_no_int64_is_the_plugins_fault(install: Install, answer: object) -> None:
    class Wrong(Right):
        @hookimpl
        def imageserv_science_id(self, data_id: DataId) -> Any:
            return answer

    install("wrong", Wrong)
    with pytest.raises(PluginFault, match="not an int64"):
        plugins(it=("wrong", {})).datasets["it"].science_id({"number": 1})


def test_data_ids_are_checked_before_the_plugin_sees_them_and_after() -> None:
    dataset = plugins(it=("sketch", {})).datasets["it"]
    assert dataset.science_id({"filter": "r", "number": 7}) == 15
    assert dataset.data_id(15) == {"number": 7, "filter": "r"}
    with pytest.raises(UsageFault, match="number=-1 is out of range"):
        dataset.science_id({"number": -1, "filter": "r"})
    with pytest.raises(UsageFault, match="number=-1 is out of range"):
        dataset.data_id(-1)


def test_only_the_registry_can_decode_where_the_plugin_has_no_arithmetic() -> None:
    dataset = plugins(it=("right", {})).datasets["it"]
    assert dataset.data_id(1) is None
    assert dataset.demo() is None


def test_datasets_of_one_plugin_never_hear_of_each_other(
    open_repository: OpenRepository, write_image: Callable[..., Path]
) -> None:
    write_image("sketch-1-r.fits", ra=10)
    write_image("old-1-r.fits", ra=20)
    repository = open_repository({"new": ("sketch", {}), "old": ("sketch", {"prefix": "old"})})
    assert [(summary.dataset, summary.images) for summary in repository.ingest(None, ignore)] == [
        ("new", 1),
        ("old", 1),
    ]
    one: DataId = {"number": 1, "filter": "r"}
    for name, path in (("new", "sketch-1-r.fits"), ("old", "old-1-r.fits")):
        record = repository.select(repository.dataset(name), ByDataId(one)).record
        assert (record.dataset, record.file.path) == (name, path)


def test_hooks_of_one_dataset_are_not_answered_by_another(install: Install) -> None:
    class Silent(Right):
        @hookimpl
        def imageserv_data_id(self, science_id: int) -> DataId | None:
            return None

    install("silent", Silent)
    datasets = plugins(a=("sketch", {}), b=("silent", {}), c=("sketch", {})).datasets
    # pluggy asks the last one first, and takes the first answer that is not None.
    assert datasets["b"].data_id(15) is None
    assert datasets["b"].science_id({"number": 7}) == 7
    assert datasets["a"].science_id({"number": 7, "filter": "r"}) == 15
    assert [dataset.declaration.description for dataset in datasets.values()] == ["Sketches.", "b", "Sketches."]


def test_an_extension_may_wrap_a_hook_of_every_dataset(
    install: Install, open_repository: OpenRepository, write_image: Callable[..., Path]
) -> None:
    calls: list[str] = []

    class Accounting:
        @hookimpl(wrapper=True)
        def imageserv_cutout(self, image: OpenImage, request: CutoutRequest) -> Any:
            cutout: Cutout = yield
            calls.append(f"{image.record.dataset} {cutout.delivered}")
            return cutout

    install("accounting", Accounting, "imageserv.extension")
    write_image("sketch-1-r.fits", ra=10)
    write_image("old-1-r.fits", ra=20)
    repository = open_repository(
        {"new": ("sketch", {}), "old": ("sketch", {"prefix": "old"})}, extensions=("accounting",)
    )
    repository.ingest(None, ignore)
    for name, ra in (("new", 10), ("old", 20)):
        selection = repository.select(repository.dataset(name), ByDataId({"number": 1, "filter": "r"}))
        repository.cutout(selection, CutoutRequest(Box(ra, 2.0, 5, 4, "pixel")))
    assert calls == ["new [18:22,14:17]", "old [18:22,14:17]"]


def test_an_extension_may_refuse_clients(install: Install, open_repository: OpenRepository) -> None:
    class Door:
        @hookimpl
        def imageserv_authorise(self, repository: str, dataset: str, headers: Mapping[str, str]) -> None:
            if headers.get("authorization") != f"Bearer {repository}/{dataset}":
                raise AuthorizationFault("not you")

    install("door", Door, "imageserv.extension")
    repository = open_repository(extensions=("door",))
    repository.authorise("sketch", {"authorization": "Bearer SKY/sketch"})
    for headers in ({}, {"authorization": "Bearer SKY/other"}):
        with pytest.raises(AuthorizationFault, match="not you"):
            repository.authorise("sketch", headers)


def test_without_extensions_everyone_is_welcome(open_repository: OpenRepository) -> None:
    open_repository().authorise("sketch", {})


def test_an_extension_that_would_answer_for_a_dataset_is_refused(install: Install) -> None:
    class Greedy:
        @hookimpl
        def imageserv_data_id(self, science_id: int) -> DataId | None:
            return {"number": 1}

    install("greedy", Greedy, "imageserv.extension")
    reason = "extension 'greedy': an extension may wrap imageserv_data_id, not implement it"
    with pytest.raises(PluginFault, match=reason):
        plugins(["greedy"], it=("right", {}))


def test_an_extension_is_registered_once(install: Install) -> None:
    install("idle", type("Idle", (), {}), "imageserv.extension")
    with pytest.raises(PluginFault, match="idle"):
        plugins(["idle", "idle"], it=("right", {}))
