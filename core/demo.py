"""What a dataset contributes to ``imageserv demo``."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class DemoFile:
    """One file to make: its path below the repository's root, and the function that writes it there."""

    path: str
    write: Callable[[Path], None]


@dataclass(frozen=True, slots=True)
class Demo:
    """A dataset's part of a demo repository.

    Attributes
    ----------
    repository
        The db id it belongs to; datasets that name the same one share it.
    options
        The dataset's table in the configuration, beside ``plugin``.
    """

    repository: str
    files: Sequence[DemoFile]
    options: Mapping[str, object] = field(default_factory=dict)
