"""The plugin contract, version 1: what a dataset plugin implements.

A plugin is a class, named by an entry point of the group
``imageserv.dataset``. The loader makes one instance of it per configured
dataset, ``cls(name, options)``, and registers it with the plugin manager of
its repository. Mark each method with `hookimpl`::

    from imageserv.core.hookspecs import hookimpl

    class Toy:
        def __init__(self, name: str, options: Mapping[str, object]) -> None: ...

        @hookimpl
        def imageserv_dataset(self) -> Dataset: ...

``imageserv_dataset``, ``imageserv_science_id``, ``imageserv_recognise`` and
``imageserv_cutout`` are required of a dataset; the others are not. A plugin
of the group ``imageserv.extension`` may implement ``imageserv_authorise``
and may wrap any hook (``hookimpl(wrapper=True)``).

Versions and deprecation
------------------------
Hooks may gain arguments, and the contract may gain hooks, functions and fields
with defaults; nothing is lost while `CONTRACT` stays the same, so a plugin that
works goes on working. What will be lost, or mean something else, is first
deprecated: for a year, and two minor releases, whichever is longer, plugins that
use it work, and pytest shows their authors a DeprecationWarning that says what to
use instead. Then `CONTRACT` becomes one more, and `CHANGELOG.md` says how to follow.

A plugin says which version it is written for by an attribute of what its entry
point names, ``imageserv_contract = 1``, which is also what its absence means. One
that is written for a later version than `CONTRACT` is refused at the start.
A plugin that needs something that version 1 gained later asks for it as for any
library: ``dependencies = ["imageserv>=..."]``.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pluggy

from .dataset import DataId, Dataset
from .demo import Demo
from .record import Found

if TYPE_CHECKING:  # only for annotations: these modules are far heavier than the contract
    from .candidate import CandidateFile
    from .fits.engine import Cutout, CutoutRequest
    from .fits.opened import OpenImage
    from .neighbours import Neighbours

CONTRACT = 1
"""The version of the contract: see "Versions and deprecation" above."""

hookspec = pluggy.HookspecMarker("imageserv")
hookimpl = pluggy.HookimplMarker("imageserv")


@hookspec(firstresult=True)
def imageserv_dataset() -> Dataset:  # type: ignore[empty-body]
    """Say what the dataset is. Asked once, at the start."""


@hookspec(firstresult=True)
def imageserv_science_id(data_id: DataId) -> int:  # type: ignore[empty-body]
    """Encode a data id, with checked keys, as a non-negative int64.

    Raise `UsageFault`, naming the key, for a data id that no image can have.
    """


@hookspec(firstresult=True)
def imageserv_data_id(science_id: int) -> DataId | None:
    """Decode a science id: the inverse of ``imageserv_science_id``.

    Raise `UsageFault` with ``parameter="sid"`` for an integer that encodes
    none. Return None, or leave the hook out, if only the registry knows.
    """


@hookspec(firstresult=True)
def imageserv_recognise(file: "CandidateFile") -> Sequence[Found] | None:
    """Read the images that a file holds for this dataset.

    Return None if the file is not of this dataset (judge by `file.path`
    first: reading `file.hdus` opens the file). Raise `FitsFault` if it should
    be, but cannot be served; ingest reports the reason.

    Planes may be in other files: ``other = file.beside(path)`` is one, to be
    looked at as `file` is, and ``Plane("mask", hdu, other.stamp)`` a plane in it.
    """


@hookspec(firstresult=True)
def imageserv_cutout(  # type: ignore[empty-body]
    image: "OpenImage", request: "CutoutRequest", neighbours: "Neighbours"
) -> "Cutout":  # pyright: ignore[reportReturnType]
    """Cut one image as a request says.

    Return cards and buffers, not finished bytes; `imageserv.core.fits.engine.cut`
    does it for planes that are HDUs of files. Raise `NoOverlapFault` if the
    image has no pixel that is asked for.

    ``request.parameters`` holds the values of the parameters that the dataset
    declares (`Dataset.parameters`), as their ``parse`` gave them, by declared
    name: only those that the client sent. The same request must give the same bytes.

    A cutout may be made of several images of the dataset: ``neighbours.find(data_id)``
    and ``neighbours.meeting(shape)`` find them, ``neighbours.open(record)`` opens one as
    `image` is; `imageserv.core.fits.stitch` puts together those that share one grid of
    pixels. Leave the argument out if you do not need it.
    """


@hookspec
def imageserv_authorise(repository: str, dataset: str, headers: Mapping[str, str]) -> None:
    """Raise `AuthenticationFault` or `AuthorizationFault` to refuse a client.

    Asked by every route before anything is read. `headers` are the request's,
    with lower-case names; empty on the command line.
    """


@hookspec(firstresult=True)
def imageserv_demo() -> Demo | None:
    """Give the frames that ``imageserv demo`` makes for this dataset."""
