"""The only caller of pluggy: finds plugins, checks that they keep the contract, and gives their hooks types."""

import hashlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

from . import hookspecs
from .config import RepositoryConfig
from .dataset import DataId, Dataset
from .demo import Demo
from .errors import ConfigurationFault, ImageServError, PluginFault
from .record import Found

if TYPE_CHECKING:
    from .candidate import CandidateFile
    from .fits.engine import Cutout, CutoutRequest
    from .fits.opened import OpenImage
    from .neighbours import Neighbours

DATASETS = "imageserv.dataset"
EXTENSIONS = "imageserv.extension"

_REQUIRED = ("imageserv_dataset", "imageserv_science_id", "imageserv_recognise", "imageserv_cutout")
_OPTIONAL = ("imageserv_data_id", "imageserv_demo")
_MOST_SCIENCE_ID = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Installed:
    """A plugin that is installed: its name, and where it comes from."""

    name: str
    group: str
    target: str
    distribution: str
    version: str


def installed() -> list[Installed]:
    """Return all plugins that are installed, by name; none of them is imported."""
    return sorted(
        (
            Installed(
                point.name,
                point.group,
                point.value,
                point.dist.name if point.dist else "",
                point.dist.version if point.dist else "",
            )
            for group in (DATASETS, EXTENSIONS)
            for point in entry_points(group=group)
        ),
        key=lambda plugin: (plugin.group, plugin.name),
    )


class DatasetPlugin:
    """One dataset of one repository: the plugin's hooks with types, and what the plugin says checked.

    Attributes
    ----------
    name
        The configured name: the value of ``ds``.
    plugin
        The name of the entry point.
    source
        A fingerprint of the modules that the plugin's class, and those that it is made from, are written in.
    declaration
        What the plugin says the dataset is.
    """

    def __init__(
        self, manager: pluggy.PluginManager, name: str, plugin: str, source: str, others: Sequence[object]
    ) -> None:
        self.name = name
        self.plugin = plugin
        self.source = source
        # Routed once: the callers keep the extensions' wrappers, and leave out every other dataset.
        self._hooks = {hook: _routed(manager, hook, others) for hook in (*_REQUIRED, *_OPTIONAL)}
        try:
            declaration = self._hooks["imageserv_dataset"]()
        except Exception as error:  # whatever a stranger's plugin raises
            raise PluginFault(f"dataset {name!r}: imageserv_dataset failed: {error!r}") from error
        if not isinstance(declaration, Dataset):
            raise PluginFault(f"dataset {name!r}: imageserv_dataset gave {declaration!r}, not a Dataset")
        if declaration.band_key is not None and declaration.band_key not in {key.name for key in declaration.keys}:
            raise PluginFault(f"dataset {name!r}: its band_key {declaration.band_key!r} is none of its keys")
        _check_parameters(name, declaration)
        self.declaration = declaration

    def science_id(self, data_id: DataId) -> int:
        """Encode a data id.

        Raises
        ------
        UsageFault
            Raised if the data id is not complete or not valid; the message names the key.
        """
        science_id = self._hooks["imageserv_science_id"](data_id=self.declaration.check_data_id(data_id))
        if isinstance(science_id, bool) or not isinstance(science_id, int) or not 0 <= science_id <= _MOST_SCIENCE_ID:
            raise PluginFault(f"dataset {self.name!r}: imageserv_science_id gave {science_id!r}, not an int64 >= 0")
        return science_id

    def data_id(self, science_id: int) -> DataId | None:
        """Decode a science id by arithmetic; None if the plugin cannot.

        Raises
        ------
        UsageFault
            Raised if the integer encodes no data id.
        """
        data_id = self._hooks["imageserv_data_id"](science_id=science_id)
        return None if data_id is None else self.declaration.check_data_id(data_id)

    def recognise(self, file: "CandidateFile") -> Sequence[Found] | None:
        """Read the images that a file holds, or None if it is not of this dataset."""
        found: Sequence[Found] | None = self._hooks["imageserv_recognise"](file=file)
        return found

    def cutout(self, image: "OpenImage", request: "CutoutRequest", neighbours: "Neighbours") -> "Cutout":
        """Cut one image as a request says, with what it needs of others."""
        cutout: Cutout = self._hooks["imageserv_cutout"](image=image, request=request, neighbours=neighbours)
        return cutout

    def demo(self) -> Demo | None:
        """Return what the dataset contributes to a demo."""
        demo: Demo | None = self._hooks["imageserv_demo"]()
        return demo


def _routed(manager: pluggy.PluginManager, hook: str, others: Sequence[object]) -> Callable[..., Any]:
    """Return what calls a hook of one dataset, with the extensions' wrappers, without every other dataset.

    Where nothing wraps it, that is the plugin's method itself: pluggy's way to it takes a tenth of a small cutout.
    """
    caller = manager.subset_hook_caller(hook, others)
    impls = caller.get_hookimpls()
    names = caller.spec.argnames if caller.spec is not None else ()
    if len(impls) == 1 and not (impls[0].wrapper or impls[0].hookwrapper):
        function, taken = impls[0].function, impls[0].argnames
        if taken == tuple(names):
            return function

        def call(**given: Any) -> Any:
            return function(*[given[name] for name in taken])

        return call
    return caller


class Plugins:
    """The plugins of one repository.

    Parameters
    ----------
    config
        The repository's.
    extensions
        Names of entry points of the group ``imageserv.extension``.

    Attributes
    ----------
    datasets
        By their configured names.
    guarded
        Whether any plugin implements or wraps ``imageserv_authorise``.

    Raises
    ------
    PluginFault
        Raised if a plugin is missing, installed twice, cannot be imported or made, or does not keep the contract.
    ConfigurationFault
        Raised by a plugin that refuses its options.
    """

    def __init__(self, config: RepositoryConfig, extensions: Sequence[str]) -> None:
        self._manager = pluggy.PluginManager("imageserv")
        self._manager.add_hookspecs(hookspecs)
        instances: dict[str, object] = {}
        for dataset in config.datasets.values():
            where = f"{config.name}, dataset {dataset.name!r}"
            instances[dataset.name] = _make(DATASETS, dataset.plugin, where, dataset.name, dataset.options)
            self._register(instances[dataset.name], dataset.name, where)
            missing = [hook for hook in _REQUIRED if not self._implements(instances[dataset.name], hook)]
            if missing:
                raise PluginFault(f"{where}: the plugin {dataset.plugin!r} lacks {', '.join(missing)}")
        for name in extensions:
            where = f"{config.name}, extension {name!r}"
            extension = _make(EXTENSIONS, name, where)
            self._register(extension, f"extension {name}", where)
            for hook in (*_REQUIRED, *_OPTIONAL):
                if self._implements(extension, hook):
                    raise PluginFault(f"{where}: an extension may wrap {hook}, not implement it")
        self.datasets: dict[str, DatasetPlugin] = {
            name: DatasetPlugin(
                self._manager,
                name,
                config.datasets[name].plugin,
                _source(instance),
                [other for other in instances.values() if other is not instance],
            )
            for name, instance in instances.items()
        }
        self.guarded = bool(self._manager.hook.imageserv_authorise.get_hookimpls())

    def _register(self, plugin: object, name: str, where: str) -> None:
        try:
            self._manager.register(plugin, name=name)
            self._manager.check_pending()  # without it a misspelt hook is never called, and nobody told
        except (pluggy.PluginValidationError, ValueError) as error:
            raise PluginFault(f"{where}: {error}") from error

    def _implements(self, plugin: object, hook: str) -> bool:
        """Tell whether a plugin has a hook, rather than wraps it."""
        impls = getattr(self._manager.hook, hook).get_hookimpls()
        return any(impl.plugin is plugin and not (impl.wrapper or impl.hookwrapper) for impl in impls)

    def authorise(self, repository: str, dataset: str, headers: Mapping[str, str]) -> None:
        """Ask all plugins whether a client may have a dataset's images; they raise if not."""
        if self.guarded:
            self._manager.hook.imageserv_authorise(repository=repository, dataset=dataset, headers=headers)


def _source(plugin: object) -> str:
    digest = hashlib.sha256()
    for name in sorted({cls.__module__ for cls in type(plugin).__mro__} - sys.stdlib_module_names):
        path = Path(getattr(sys.modules.get(name), "__file__", None) or "")
        if path.suffix == ".py" and path.is_file():  # what is imported from an archive has no file of its own
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _check_parameters(name: str, declaration: Dataset) -> None:
    """Refuse parameters whose names, compared without case, mean something else already."""
    taken = {key.name.lower(): f"the key {key.name}" for key in declaration.keys}
    for parameter in declaration.parameters:
        for spelt in (parameter.name, *parameter.aliases):
            if spelt.lower() in taken:
                raise PluginFault(
                    f"dataset {name!r}: its parameter {spelt} has the name of {taken[spelt.lower()]}: call it otherwise"
                )
            taken[spelt.lower()] = f"the parameter {spelt}"


def _make(group: str, name: str, where: str, *arguments: object) -> object:
    """Import what an entry point names, and call it."""
    point = _entry_point(group, name, where)
    try:
        plugin = point.load()
        _check_contract(plugin, point, where)
        return plugin(*arguments)
    except ConfigurationFault as fault:
        raise ConfigurationFault(f"{where}: {fault.message}") from fault
    except ImageServError:
        raise
    except Exception as error:  # whatever a stranger's module raises when it is imported
        raise PluginFault(f"{where}: the plugin {name!r} ({point.value}) cannot be loaded: {error!r}") from error


def _check_contract(plugin: object, point: EntryPoint, where: str) -> None:
    """Refuse a plugin that is written for a version of the contract which is yet to come."""
    written_for = getattr(plugin, "imageserv_contract", 1)
    if isinstance(written_for, bool) or not isinstance(written_for, int) or written_for < 1:
        raise PluginFault(
            f"{where}: the plugin {point.name!r} has imageserv_contract = {written_for!r}: it is a number from 1 to"
            f" {hookspecs.CONTRACT}"
        )
    if written_for > hookspecs.CONTRACT:
        raise PluginFault(
            f"{where}: the plugin {point.name!r} ({point.value}) is written for version {written_for} of the plugin"
            f" contract; ImageServ {version('imageserv')} has version {hookspecs.CONTRACT}: install a newer ImageServ,"
            " or an older release of the plugin"
        )


def _entry_point(group: str, name: str, where: str) -> EntryPoint:
    points = {point.value: point for point in entry_points(group=group, name=name)}
    if len(points) == 1:
        return next(iter(points.values()))
    if points:
        raise PluginFault(f"{where}: the plugin {name!r} is installed more than once: {', '.join(sorted(points))}")
    names = sorted({point.name for point in entry_points(group=group)})
    raise PluginFault(f"{where}: no plugin {name!r} is installed; these are: {', '.join(names) or 'none'}")


def demos() -> list[tuple[str, Demo]]:
    """Return the demo of every installed dataset plugin that has one, with the plugin's name, by calibration level."""
    found: list[tuple[int, str, Demo]] = []
    for point in installed():
        if point.group == DATASETS:
            manager = pluggy.PluginManager("imageserv")
            manager.add_hookspecs(hookspecs)
            manager.register(_make(DATASETS, point.name, "demo", point.name, {}), name=point.name)
            demo = manager.hook.imageserv_demo()
            if demo is not None:
                found.append((manager.hook.imageserv_dataset().calib_level, point.name, demo))
    return [(name, demo) for _, name, demo in sorted(found, key=lambda entry: entry[:2])]
