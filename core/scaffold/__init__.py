"""A new plugin's distribution: what ``imageserv new-plugin`` writes."""

import re
import shutil
from importlib import resources
from importlib.metadata import version
from pathlib import Path

from imageserv.core.errors import ConfigurationFault, UsageFault
from imageserv.core.manager import DATASETS, installed

_NAME = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*")
_LONGEST = 40
_BLANK = re.compile(r"@(\w+)@")

_FILES = {
    "pyproject.toml": "pyproject.txt",
    "README.md": "README.txt",
    ".gitignore": "gitignore.txt",
    ".github/workflows/test.yml": "test.yml",
    "imageserv.toml": "imageserv.toml",
    "src/@module@/__init__.py": "plugin.txt",
    "src/@module@/py.typed": "py.typed",
    "tests/samples.py": "samples.txt",
    "tests/test_plugin.py": "test_plugin.txt",
}
"""What is written, and the template that it is written from."""


def new_plugin(name: str, parent: Path) -> Path:
    """Write a distribution with a dataset plugin that works, for its author to change.

    Parameters
    ----------
    name
        Of the entry point; the distribution is ``imageserv-<name>``.
    parent
        The folder below which it is put, in one of its own.

    Returns
    -------
    Path
        The distribution's folder.

    Raises
    ------
    UsageFault
        Raised if the name is not right, or a plugin of that name is installed.
    ConfigurationFault
        Raised if the folder is there: nothing is overwritten.
    """
    _check(name)
    words = re.split("[-_]", name)
    blanks = {
        "name": name,
        "distribution": f"imageserv-{'-'.join(words)}",
        "module": f"imageserv_{'_'.join(words)}",
        "Class": "".join(word.capitalize() for word in words) + "Plugin",
        "version": ".".join(version("imageserv").split(".")[:2]),
    }
    folder = parent / blanks["distribution"]
    try:
        folder.mkdir()
    except FileExistsError as error:
        raise ConfigurationFault(f"{folder} exists: nothing is overwritten") from error
    except FileNotFoundError as error:
        raise ConfigurationFault(f"{parent} is no folder") from error
    try:
        templates = resources.files(__name__) / "template"
        for path, template in _FILES.items():
            target = folder / _filled(path, blanks)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(_filled((templates / template).read_text("utf-8"), blanks), "utf-8")
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)  # it is ours, and half a distribution is of no use
        raise
    return folder


def _check(name: str) -> None:
    if name.startswith(("imageserv-", "imageserv_")):
        raise UsageFault(f"NAME {name!r}: leave {name[:10]} out, the distribution is called imageserv-NAME anyway")
    if not _NAME.fullmatch(name) or len(name) > _LONGEST:
        raise UsageFault(
            f"NAME {name!r} is not right: lower-case letters and digits, a letter first, words joined by hyphens, at"
            f" most {_LONGEST} characters, as in deep-survey"
        )
    for plugin in installed():
        if plugin.group == DATASETS and plugin.name == name:
            where = f"{plugin.distribution} {plugin.version}".strip() or plugin.target
            raise UsageFault(f"NAME {name!r}: a plugin of that name is installed already ({where})")


def _filled(text: str, blanks: dict[str, str]) -> str:
    return _BLANK.sub(lambda match: blanks[match[1]], text)
