"""Readers of single values: text as a client writes it, to a number or a word.

Each raises ValueError with what would be right; `parameters` adds the name
of the parameter. They are stricter than Python's own: no underscores, no
digits outside ASCII, nothing that is not finite.
"""

import math
import re
from collections.abc import Callable, Mapping

_REAL = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")
_LONGEST = 64  # characters: a double needs 24, and no client's text shall cost time


def real(text: str) -> float:
    """Read a finite decimal number (DALI 1.1 section 3.3.1, without its special values).

    Returns
    -------
    float
        Never -0: equal questions shall read equal.

    Raises
    ------
    ValueError
        Raised if the text is no decimal number of at most 64 characters, or beyond a double.
    """
    if len(text) <= _LONGEST and _REAL.fullmatch(text):
        value = float(text)
        if math.isfinite(value):
            return value + 0.0
    raise ValueError("must be a finite decimal number, such as 12.5 or 1e-3")


def integer(text: str) -> int:
    """Read a decimal integer of 64 bits.

    Raises
    ------
    ValueError
        Raised if the text is no decimal integer, or beyond an int64.
    """
    if _INTEGER.fullmatch(text):
        value = int(text)
        if -(2**63) <= value < 2**63:
            return value
    raise ValueError("must be a decimal integer of at most 64 bits, such as 42")


def longitude(text: str) -> float:
    """Read a longitude in degrees, 0 to 360 (DALI 1.1 section 3.3.5).

    Raises
    ------
    ValueError
        Raised if the text is no finite number or out of range.
    """
    return _within(text, 0.0, 360.0, "a longitude in decimal degrees, 0 to 360")


def latitude(text: str) -> float:
    """Read a latitude in degrees, -90 to 90 (DALI 1.1 section 3.3.5).

    Raises
    ------
    ValueError
        Raised if the text is no finite number or out of range.
    """
    return _within(text, -90.0, 90.0, "a latitude in decimal degrees, -90 to 90")


def positive(text: str) -> float:
    """Read a finite number greater than 0.

    Raises
    ------
    ValueError
        Raised if the text is no finite number or not greater than 0.
    """
    value = real(text)
    if value <= 0.0:
        raise ValueError("must be greater than 0")
    return value


def choice(*values: str, aliases: Mapping[str, str] | None = None) -> Callable[[str], str]:
    """Make a reader of one of a few words, compared without case.

    Parameters
    ----------
    *values
        The words, as the reader returns them.
    aliases
        Further spellings, each with the word that it stands for.

    Returns
    -------
    callable
        From text to one of `values`; raises ValueError, which lists `values`, for any other.
    """
    words = {word.lower(): word for word in values}
    words |= {alias.lower(): word for alias, word in (aliases or {}).items()}

    def read(text: str) -> str:
        try:
            return words[text.lower()]
        except KeyError:
            raise ValueError(f"must be one of {', '.join(values)}") from None

    return read


def _within(text: str, low: float, high: float, right: str) -> float:
    try:
        value = real(text)
    except ValueError:
        raise ValueError(f"must be {right}") from None
    if not low <= value <= high:
        raise ValueError(f"must be {right}")
    return value
