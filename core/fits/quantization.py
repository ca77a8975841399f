"""Floating-point images that are stored as integers (FITS 4.0 section 10.2): back to floating-point numbers."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imageserv.core.errors import UnsupportedFault

from .cards import HeaderTemplate

Doubles = NDArray[np.float64]

DITHERS = {"NO_DITHER": 0, "SUBTRACTIVE_DITHER_1": 1, "SUBTRACTIVE_DITHER_2": 2}
"""Values of ZQUANTIZ (FITS 4.0 section 10.2.1)."""

RANDOMS = 10000
"""How many random numbers there are (FITS 4.0 appendix I); the dither of tiles so many rows apart is the same."""

_ZERO = -2147483646
"""What stands for a pixel that is exactly zero, by SUBTRACTIVE_DITHER_2."""


def _random_numbers() -> Doubles:
    """FITS 4.0 appendix I: the generator of Park and Miller, its numbers rounded to 32 bits."""
    seed, numbers = 1, np.empty(RANDOMS)
    for place in range(RANDOMS):
        seed = 16807 * seed % 2147483647
        numbers[place] = np.float32(seed / 2147483647)
    return numbers


_NUMBERS = _random_numbers()
_FIRST = (_NUMBERS.astype(np.float32) * np.float32(500)).astype(np.intp)
"""Where in the numbers a tile begins, or goes on after the last of them: FITS 4.0 section 10.2.1, step 3."""


class Quantization:
    """How the numbers of an image were made integers.

    Attributes
    ----------
    dither
        0 for none, else of which kind.
    seed
        ZDITHER0.
    scale, zero, blank
        Of tiles that do not have their own; blank is None if no integer stands for NaN.

    Raises
    ------
    UnsupportedFault
        Raised for a method that is not known.
    """

    __slots__ = ("blank", "dither", "scale", "seed", "zero")

    def __init__(self, header: HeaderTemplate) -> None:
        method = header.value("ZQUANTIZ")
        if method is not None and method not in DITHERS:
            raise UnsupportedFault(f"its tiles are quantised by ZQUANTIZ = {method!r}, which is not read")
        self.dither = DITHERS[str(method)] if method else 0
        seed = header.value("ZDITHER0")
        if self.dither and (not isinstance(seed, int | float) or isinstance(seed, bool) or seed != int(seed)):
            raise UnsupportedFault(f"its tiles are dithered, but ZDITHER0 is {seed!r}")
        self.seed = int(seed) if self.dither and isinstance(seed, int | float) else 0
        self.scale = _number(header, "ZSCALE", 1.0)
        self.zero = _number(header, "ZZERO", 0.0)
        blank = header.value("ZBLANK") if "ZBLANK" in header else header.value("BLANK")
        self.blank = blank if isinstance(blank, int) else None

    def randoms(
        self, rows: Sequence[int], start: int, stop: int, shape: tuple[int, ...], strides: tuple[int, ...]
    ) -> Doubles | None:
        """Return the random numbers that were subtracted from pixels of some tiles; None if there were none.

        Parameters
        ----------
        rows
            The tiles' rows in their table, from 0.
        start, stop
            The first of the pixels and that after their last, counted from a tile's first.
        shape, strides
            How many there are along each axis, and from one to the next.
        """
        if not self.dither:
            return None
        firsts = _FIRST[(np.array(rows) + (self.seed - 1)) % RANDOMS]
        if len(rows) > 1 and stop <= RANDOMS - int(firsts.max()):  # many small tiles: all at once
            numbers = _NUMBERS[np.add.outer(firsts, np.arange(start, stop))]
        else:
            numbers = np.empty((len(rows), stop - start))
            for line, row in zip(numbers, rows, strict=True):
                _dither(line, row + self.seed, start)
        steps = (8 * (stop - start), *[8 * stride for stride in strides])
        return np.ndarray((len(rows), *shape), np.float64, numbers, 0, steps)

    def restore(
        self, stored: NDArray[Any], dither: Doubles | None, scale: Any, zero: Any, blank: Any, target: NDArray[Any]
    ) -> None:
        """Write the floating-point numbers that some integers stand for.

        The operations are those of cfitsio, in their order, in 64 bits: results are equal to the last bit.
        """
        numbers = stored.astype(np.float64, order="C")
        special = [(np.nan, numbers == blank)] if blank is not None else []
        if self.dither == 2:
            special.append((0.0, numbers == _ZERO))
        if dither is not None:
            numbers -= dither
            numbers += 0.5
        numbers *= scale
        numbers += zero
        target[...] = numbers
        for value, pixels in special:
            target[pixels] = value


def _dither(numbers: Doubles, seed: int, start: int) -> None:
    """Write the random numbers of a tile's pixels from `start` on."""
    run, at = (seed - 1) % RANDOMS, -start
    while at < len(numbers):
        first = int(_FIRST[run])
        after = at + RANDOMS - first
        if after > 0:
            numbers[max(at, 0) : after] = _NUMBERS[first + max(-at, 0) : first + len(numbers) - at]
        run, at = (run + 1) % RANDOMS, after


def _number(header: HeaderTemplate, keyword: str, default: float) -> float:
    if keyword not in header:
        return default
    value = header.value(keyword)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UnsupportedFault(f"its tiles are scaled by {keyword} = {value!r}, which is no number")
    return float(value)
