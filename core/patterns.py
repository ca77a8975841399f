"""Templates of file names, which tell what a file is by its path.

::

    runs/{run}/{rerun}/corr/{camcol}/fpC-{run:06d}-{filter}{camcol}-{field:04d}.fit.gz

``{name}`` is a key of the dataset, or, if the dataset has no such key, any
text but none; ``{name:06d}`` is an integer of at least six digits, filled
with zeros. ``*`` is any text, also none. Neither crosses a slash. ``**/`` is
any number of folders, also none. All else stands for itself, and a template
for the whole path below the root.

Matching takes time linear in the path: a wildcard takes as little as will do,
and what is behind it is not tried again (atomic groups) where one fit is as
good as another.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from .dataset import DataId, Key
from .errors import ConfigurationFault, UsageFault

_PIECE = re.compile(
    r"(?P<text>[^*{}\[\]?]+)|(?P<star>\*)|\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::0(?P<width>[1-9][0-9]?)d)?\}"
)
_LONGEST = len(str(2**63 - 1))
_FOLDERS = "(?:[^/]+/)*?"


class _Part(NamedTuple):
    """A piece of a path segment; `number` has a fixed width, `digits` have not."""

    kind: Literal["text", "number", "digits", "any"]
    regex: str


class FilePattern:
    """A template, compiled.

    Parameters
    ----------
    template
        As described above.
    keys
        The keys that the template must mention. A key that comes twice must say the same each time.

    Raises
    ------
    ConfigurationFault
        Raised if the template cannot be understood, is ambiguous, or does not mention every key.

    Examples
    --------
    >>> night = Key("night", int, "Night of the survey.", minimum=1)
    >>> FilePattern("**/{camera}-{night:04d}.fits", [night]).match("2026/wide-0042.fits")
    {'night': 42}
    """

    __slots__ = ("_keys", "_mentioned", "_regex", "template")

    def __init__(self, template: str, keys: Sequence[Key]) -> None:
        self.template = template
        self._keys = {key.name: key for key in keys}
        self._mentioned: list[str] = []  # the key that each group of the expression holds
        self._regex = re.compile(self._compile())
        if missing := [f"{{{name}}}" for name in self._keys if name not in self._mentioned]:
            raise self._fault(f"it does not mention {', '.join(missing)}")

    def match(self, path: str) -> DataId | None:
        """Return the data id that a path below the root spells, or None if it is no such file's.

        The values are canonical (``0225,01`` is ``225,1``) and in the order of the keys;
        a number out of its key's range is no match.
        """
        found = self._regex.fullmatch(path)
        if found is None:
            return None
        values: dict[str, int | str] = {}
        try:
            for name, text in zip(self._mentioned, found.groups(), strict=True):
                value = self._keys[name].parse(text)
                if values.setdefault(name, value) != value:
                    return None
        except UsageFault:
            return None
        return {name: values[name] for name in self._keys}

    def _compile(self) -> str:
        *folders, file = self.template.split("/")
        if file in ("", ".", "..", "**") or any(folder in ("", ".", "..") for folder in folders):
            raise self._fault("it must be the path of a file below the root, such as folder/{name}.fits")
        runs = [""]  # the segments between one `**/` and the next
        for folder in folders:
            if folder == "**":
                runs.append(_FOLDERS)
            else:
                runs[-1] += self._segment(folder) + "/"
        runs[-1] += self._segment(file)
        return _first_fit(runs)

    def _segment(self, segment: str) -> str:
        parts = self._parts(segment)
        runs = [""]  # what one wildcard starts and the next one ends
        for place, part in enumerate(parts):
            before = parts[place - 1].kind if place else "text"
            after = parts[place + 1].kind if place + 1 < len(parts) else "text"
            if part.kind in ("digits", "any") and part.kind == after:
                raise self._fault(f"two placeholders of {segment!r} touch, and nothing tells where the first one ends")
            if part.kind == "any":
                runs.append(part.regex)
            else:  # a wildcard must not take the first digits of a number
                cut = part.kind != "text"
                runs[-1] += (
                    "(?<![0-9])" * (cut and before == "any") + part.regex + "(?![0-9])" * (cut and after == "any")
                )
        return _first_fit(runs)

    def _parts(self, segment: str) -> list[_Part]:
        parts: list[_Part] = []
        at = 0
        while at < len(segment):
            piece = _PIECE.match(segment, at)
            if piece is None:
                raise self._fault(f"{segment[at:]!r} is neither text nor *, **/, {{name}} or {{name:06d}}")
            at = piece.end()
            if piece["text"]:
                parts.append(_Part("text", re.escape(piece["text"])))
            elif piece["star"]:
                parts.append(_Part("any", "[^/]*?"))
            else:
                parts.append(self._placeholder(piece["name"], int(piece["width"] or 0)))
        return parts

    def _placeholder(self, name: str, width: int) -> _Part:
        key = self._keys.get(name)
        if key is None:
            return _Part("digits", f"[0-9]{{{width},}}") if width else _Part("any", "[^/]+?")
        if width and (key.type is not int or key.parts):
            raise self._fault(f"{{{name}:0{width}d}} is the form of an integer, and {name} is none")
        self._mentioned.append(name)
        part = _value(key, width)
        return part._replace(regex=f"({part.regex})")

    def _fault(self, reason: str) -> ConfigurationFault:
        return ConfigurationFault(f"file template {self.template!r}: {reason}")


def _value(key: Key, width: int) -> _Part:
    """Return what a key's value looks like."""
    if key.parts:
        return _Part("digits", ",".join(_value(part, 0).regex for part in key.parts))
    if key.type is int:
        sign = "-?" if key.minimum is not None and key.minimum < 0 else ""
        most = max(width, _LONGEST if key.maximum is None else len(str(key.maximum)))
        return _Part("number" if width == most else "digits", f"{sign}[0-9]{{{max(width, 1)},{most}}}")
    if key.choices:
        return _Part("text", "|".join(re.escape(choice) for choice in sorted(key.choices, key=len, reverse=True)))
    return _Part("any", "[^/]+?")


def _first_fit(runs: Sequence[str]) -> str:
    """Join expressions that each but the first start with a wildcard, which needs its first fit alone.

    Whatever follows the first fit of one run may follow a later one too, since the
    next wildcard takes up the difference; only the last run has an end to reach.
    """
    head, *rest = runs
    return head + "".join(f"(?>{run})" for run in rest[:-1]) + "".join(rest[-1:])


def compile_patterns(templates: Iterable[str], keys: Sequence[Key]) -> tuple[FilePattern, ...]:
    """Compile several templates. Raises what `FilePattern` raises."""
    return tuple(FilePattern(template, keys) for template in templates)


def match_any(patterns: Iterable[FilePattern], path: str) -> DataId | None:
    """Return the data id by the first pattern that matches `path`, or None."""
    return next((data_id for pattern in patterns if (data_id := pattern.match(path)) is not None), None)
