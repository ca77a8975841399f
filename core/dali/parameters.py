"""Request parameters: declared once, read once, whatever protocol they belong to.

Rules of DALI 1.1 sections 3.1 and 3.2: names are compared without case, several values
are a repeated name, and repeating a single-valued parameter is an error.
Beyond it: an empty value counts as absent, blanks and quotes around a value
are dropped, unknown parameters are ignored but remembered.
"""

import difflib
import re
import reprlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from itertools import islice
from typing import Any, NamedTuple

from imageserv.core.errors import MultiValuedParamNotSupported, UsageFault

_EXAMINED = 100  # unknown names looked at for near misses: comparing thousands would take seconds
_SECOND_QUESTION_MARK = re.compile(r"[^?:/]*\?[A-Za-z_][A-Za-z0-9_]*(?:=.*)?", re.DOTALL)

_QUOTES = frozenset("'\"")

_brief = reprlib.Repr()  # what a message quotes of a client's text
_brief.maxstring = 80


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter that a service takes.

    Parameters
    ----------
    name
        As documents spell it, and the key of its value in `Parsed.values`.
    parse
        Reads one value, without blanks and quotes around it; raises
        ValueError that says what would be right, or UsageFault.
    description
        One sentence for people.
    multiple
        Whether it may be repeated; its value is then a list.
    flag
        Whether its bare presence, without a value, means True.
    verbatim
        Whether its values are read as sent, with the blanks and quotes around them.
    unit, ucd, datatype, arraysize, xtype
        As in a VOTable's PARAM (VOTable 1.4 section 4.1).
    options
        The only values that it takes, as documents list them.
    aliases
        Other names of the same parameter.
    example
        A value, as text.
    """

    name: str
    parse: Callable[[str], object]
    description: str
    _: KW_ONLY
    multiple: bool = False
    flag: bool = False
    verbatim: bool = False
    unit: str = ""
    ucd: str = ""
    datatype: str = "char"
    arraysize: str = "*"
    xtype: str = ""
    options: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    example: str = ""


class Parameters(tuple[Parameter, ...]):
    """What a service takes; no two share a name or an alias. Kept by who reads many requests."""

    @cached_property
    def places(self) -> Mapping[str, int]:
        """Where each is, by all its names, in lower case."""
        return {
            alias.lower(): place
            for place, parameter in enumerate(self)
            for alias in (parameter.name, *parameter.aliases)
        }


class Parsed(NamedTuple):
    """What a request says.

    Attributes
    ----------
    values
        By the declared name, in the order of the declarations: only those
        present; a list for a parameter that may be repeated.
    unknown
        Names that were not declared, as sent, each once.
    order
        Of each value the declared name, in the order in which they were sent.
    """

    values: Mapping[str, Any]
    unknown: tuple[str, ...]
    order: tuple[str, ...]


def parse_parameters(declared: Iterable[Parameter], pairs: Iterable[tuple[str, str]]) -> Parsed:
    """Read a request's parameters.

    The answer does not depend on the order in which parameters were sent
    (only a list keeps the order of its values), nor does it matter which of
    several errors came first.

    Parameters
    ----------
    declared
        What the service takes, best as `Parameters`; no two share a name or an alias.
    pairs
        Names and values, decoded, as sent.

    Returns
    -------
    Parsed

    Raises
    ------
    MultiValuedParamNotSupported
        Raised if a single-valued parameter has several values, under one name or several.
    UsageFault
        Raised if a value cannot be read; the message names the parameter and says what would be right.
    """
    declared = declared if isinstance(declared, Parameters) else Parameters(declared)
    places = declared.places
    sent: defaultdict[int, list[str]] = defaultdict(list)
    unknown: dict[str, None] = {}
    order: list[str] = []
    for name, text in pairs:
        place = places.get(name.lower())
        if place is None:
            unknown[name] = None
            continue
        known, bare = declared[place], text.strip()
        if not (known.verbatim and bare):
            text = _unquoted(bare) if bare[:1] in _QUOTES else bare
        if text or known.flag:
            sent[place].append(text)
            order.append(known.name)
    values: dict[str, Any] = {}
    for place in sorted(sent):
        parameter, given = declared[place], sent[place]
        if parameter.multiple:
            values[parameter.name] = [read_value(parameter, text) for text in given]
        elif len(given) == 1:
            values[parameter.name] = read_value(parameter, given[0])
        else:
            spelt = " or ".join((parameter.name, *parameter.aliases))
            raise MultiValuedParamNotSupported(
                f"{spelt} takes one value, but the request gives {len(given)}", parameter=parameter.name
            )
    return Parsed(values, tuple(unknown), tuple(order))


def near_misses(unknown: Iterable[str], known: Iterable[str]) -> list[tuple[str, str]]:
    """Find what unknown parameters were perhaps meant to be.

    Parameters
    ----------
    unknown
        Names as sent; the first hundred are examined.
    known
        The names of declared parameters.

    Returns
    -------
    list of (str, str)
        Each unknown name that resembles a known one, and the known one that it resembles most.
    """
    spelt = {name.lower(): name for name in known}
    found: list[tuple[str, str]] = []
    for name in islice(unknown, _EXAMINED):
        close = difflib.get_close_matches(name.lower(), spelt, n=1)
        if close:
            found.append((name, spelt[close[0]]))
    return found


def second_question_mark(pairs: Iterable[tuple[str, str]]) -> tuple[str, str] | None:
    """Find a value that has swallowed a parameter, as in ``?ds=calexp?sid=1``.

    A colon or a slash before the question mark makes it none: identifiers
    such as ``ivo://authority/path?key`` have one of their own.

    Returns
    -------
    (str, str) or None
        The name and the value of the first such parameter.
    """
    return next(((name, value) for name, value in pairs if _SECOND_QUESTION_MARK.fullmatch(value)), None)


def _unquoted(text: str) -> str:
    return text[1:-1].strip() if len(text) >= 2 and text[0] == text[-1] else text


def read_value(parameter: Parameter, text: str) -> Any:
    """Read one value.

    Raises
    ------
    UsageFault
        Raised if it cannot be read; the message names the parameter and says what would be right.
    """
    if not text:
        return True
    try:
        return parameter.parse(text)
    except ValueError as error:
        raise UsageFault(
            f"{parameter.name}={_brief.repr(text)}: {parameter.name} {error}", parameter=parameter.name
        ) from error
