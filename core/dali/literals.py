"""Readers of single values: text as a client writes it, to a number or a word.

Each raises ValueError with what would be right; `parameters` adds the name
of the parameter. They are stricter than Python's own: no underscores, no
digits outside ASCII, nothing that is not finite but where a bound may be.
"""

import math
import re
from collections.abc import Callable, Mapping

_REAL = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_INFINITY = re.compile(r"([+-]?)inf(?:inity)?", re.IGNORECASE)
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


def bound(text: str) -> float:
    """Read a number that may be infinite (DALI 1.1 section 3.3.1; pyvo writes ``inf``, others ``+Inf``: any case).

    Raises
    ------
    ValueError
        Raised if the text is neither.
    """
    if match := _INFINITY.fullmatch(text):
        return -math.inf if match[1] == "-" else math.inf
    try:
        return real(text)
    except ValueError:
        raise ValueError("must be a decimal number, or -Inf or +Inf") from None


def interval(text: str) -> tuple[float, float]:
    """Read an interval: lower and upper bound, both included (DALI 1.1 section 3.3.3).

    Raises
    ------
    ValueError
        Raised if the text is not two numbers in order.
    """
    right = "must be two numbers in order, joined by a blank, such as 4e-7 7e-7 or -Inf 5e-7"
    parts = text.split()
    if len(parts) != 2:
        raise ValueError(right)
    try:
        low, high = map(bound, parts)
    except ValueError:
        raise ValueError(right) from None
    if low > high or low == math.inf or high == -math.inf:
        raise ValueError(right)
    return low, high


def interval_or_number(text: str) -> tuple[float, float]:
    """Read an interval, or one number for that value alone (SIA 2.0 section 2.1).

    Raises
    ------
    ValueError
        Raised if the text is neither.
    """
    try:
        return (real(text), real(text)) if len(text.split()) == 1 else interval(text)
    except ValueError:
        raise ValueError("must be one number, or two in order, joined by a blank, such as 0.5 or 0.5 +Inf") from None


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
