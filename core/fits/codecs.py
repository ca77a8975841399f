"""Codecs of tiles (FITS 4.0 sections 10.2.2 and 10.4): from a tile's bytes to its numbers.

What comes from outside decodes: Rice and deflate in `imagecodecs` (cfitsio's code and libdeflate), HCOMPRESS in
astropy. They run without Python's lock, so that others work meanwhile. They trust their input more than a service
may: each is called so that damaged bytes can neither lead it out of its input nor make it write more than a tile.
"""

import math
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from imagecodecs import gzip_decode, rcomp_decode
from numpy.typing import NDArray

from imageserv.core.errors import UnsupportedFault

from .cards import HeaderTemplate

Bytes = NDArray[np.uint8]

# Their annotations leave out arrays, which they take.
_gunzip: Any = gzip_decode
_unrice: Any = rcomp_decode

_MOST_BLOCK = 256
"""Pixels in a block of Rice's code: FITS 4.0 has 16 and 32."""

_RICE_GUARD = np.full(5 * _MOST_BLOCK + 64, 0xFF, np.uint8)
"""The decoder looks for the end of its input after each block. Of ones, no pixel takes more than 5 bytes."""

_HCOMPRESS_HEADER = 25
_HCOMPRESS_PLANES = 64
_HCOMPRESS_GUARD = 1024  # for what is rounded up to whole bytes

_hcompress_lock = threading.Lock()  # astropy's decoder keeps its place in the input in a global variable


class DamagedTile(ValueError):
    """The bytes of a tile are not what they should be."""


class Tile(NamedTuple):
    """A decoded tile, or its beginning.

    Attributes
    ----------
    data
        The numbers, those along NAXIS1 one after the other; or, of shape (bytes of a number, pixels), the first
        bytes of all numbers, their second bytes, and so on (GZIP_2).
    dtype
        Of the numbers.
    """

    data: NDArray[Any]
    dtype: np.dtype[Any]

    @property
    def pixels(self) -> int:
        """How many there are, from the tile's first on."""
        return int(self.data.shape[-1])


Decoder = Callable[[Bytes, tuple[int, ...], int], Tile]
"""Decodes the bytes of a tile of a shape, in numpy's order, up to a number of pixels at least."""


def decoder(header: HeaderTemplate, *, floating: bool) -> Decoder:
    """Return the decoder of a table of tiles.

    Parameters
    ----------
    floating
        Whether the numbers in the tiles are floating-point ones: those of an image that is not quantised.

    Raises
    ------
    UnsupportedFault
        Raised if its codec is not known, or has settings that no image has.
    """
    settings = _settings(header)
    match header.value("ZCMPTYPE"):
        case "RICE_1" | "RICE_ONE":
            size, block = settings.get("BYTEPIX", 4), settings.get("BLOCKSIZE", 32)
            if size not in (1, 2, 4) or not 1 <= block <= _MOST_BLOCK:
                raise UnsupportedFault(f"its tiles are in Rice's code of {size} bytes, {block} pixels a block")
            dtype = np.dtype("u1" if size == 1 else f"i{size}")
            return partial(_rice, dtype=dtype, block=block)
        case "GZIP_1":
            return partial(gzipped, floating=floating)
        case "GZIP_2":
            return partial(_shuffled, floating=floating)
        case "NOCOMPRESS":
            return partial(plain, floating=floating)
        case "PLIO_1":
            return _plio
        case "HCOMPRESS_1":
            return partial(_hcompress, smooth=settings.get("SMOOTH", 0) != 0)
        case codec:
            raise UnsupportedFault(f"its tiles are compressed by ZCMPTYPE = {codec!r}, which is not read")


def unpack(
    tiles: Sequence[Tile], start: int, stop: int, shape: tuple[int, ...], strides: tuple[int, ...]
) -> NDArray[Any]:
    """Return some pixels of tiles whose numbers are of one kind.

    Parameters
    ----------
    start, stop
        The first of them and that after their last, counted from a tile's first.
    shape, strides
        How many pixels there are along each axis, and from one to the next.

    Returns
    -------
    ndarray
        Of the tiles' dtype; its first axis counts tiles.
    """
    dtype, is_shuffled = tiles[0].dtype, tiles[0].data.ndim == 2
    size, length = dtype.itemsize, stop - start
    data = [tile.data[..., start:stop] for tile in tiles]
    numbers = np.concatenate(data, dtype=data[0].dtype) if len(data) > 1 or is_shuffled else data[0]
    if not is_shuffled:
        steps = (size * length, *[size * stride for stride in strides])
        return np.ndarray((len(tiles), *shape), dtype, numbers, 0, steps)
    pixels = np.empty((len(tiles), *shape, size), np.uint8)
    for place in range(size):
        steps = (size * length, *strides)
        pixels[..., place] = np.ndarray((len(tiles), *shape), np.uint8, numbers, place * length, steps)
    return pixels.view(dtype)[..., 0]


def _settings(header: HeaderTemplate) -> dict[str, int]:
    """Return what ZNAMEi and ZVALi say of the codec."""
    settings: dict[str, int] = {}
    for keyword in header.places():
        if keyword.startswith("ZNAME"):
            name, value = header.value(keyword), header.value(f"ZVAL{keyword[5:]}")
            if isinstance(name, str) and isinstance(value, int | float) and math.isfinite(value):
                settings.setdefault(name.upper(), int(value))
    return settings


def plain(data: Bytes, shape: tuple[int, ...], stop: int = 0, *, floating: bool) -> Tile:
    """Return numbers that are stored as they are, big-endian."""
    size, rest = divmod(len(data), math.prod(shape))
    if rest or size not in (1, 2, 4, 8):
        raise DamagedTile(f"has {len(data)} bytes for {math.prod(shape)} pixels")
    dtype = np.dtype("u1" if size == 1 else f">{'f' if floating and size > 2 else 'i'}{size}")
    return Tile(data.view(dtype), dtype)


def gzipped(data: Bytes, shape: tuple[int, ...], stop: int = 0, *, floating: bool) -> Tile:
    """Return numbers that are gzipped: of as many bytes as there turn out to be."""
    for size in (4, 8):
        room = np.empty(size * math.prod(shape), np.uint8)
        try:
            length = len(_gunzip(data, out=room))
        except (RuntimeError, ValueError) as error:
            if "INSUFFICIENT_SPACE" in str(error):
                continue
            raise DamagedTile(f"cannot be unpacked: {error}") from error
        return plain(room[:length], shape, floating=floating)
    raise DamagedTile("unpacks to more than its pixels")


def _shuffled(data: Bytes, shape: tuple[int, ...], stop: int, *, floating: bool) -> Tile:
    tile = gzipped(data, shape, floating=floating)
    return Tile(tile.data.view(np.uint8).reshape(tile.dtype.itemsize, -1), tile.dtype)


def _rice(data: Bytes, shape: tuple[int, ...], stop: int, *, dtype: np.dtype[Any], block: int) -> Tile:
    """Decode as much of a tile as is needed: pixels follow one another."""
    source = np.concatenate((data, _RICE_GUARD))
    pixels = np.empty(stop, dtype)
    try:
        _unrice(source[: len(data)], out=pixels, nblock=block)
    except (RuntimeError, ValueError) as error:
        raise DamagedTile(f"cannot be decoded: {error}") from error
    return Tile(pixels, dtype)


def _plio(data: Bytes, shape: tuple[int, ...], stop: int) -> Tile:
    """Decode an IRAF pixel list: runs of zeros and of a value, and changes of that value, each 16 bits."""
    pixels = math.prod(shape)
    words = data[: len(data) // 2 * 2].view(">u2").astype(np.int64)
    old = len(words) > 2 and 0 < words[2] < 1 << 15
    if len(words) < (3 if old else 7):
        raise DamagedTile("is too short for a pixel list")
    first, length = (3, words[2]) if old else (words[1], words[3] + (words[4] << 15))
    words = words[first:length]
    code, argument = words >> 12, words & 0xFFF
    # The second word of a new value is no instruction; it looks like one that does nothing but for its zeros.
    new = np.flatnonzero(code == 1)
    if len(new) and (new[-1] + 1 == len(words) or np.any(code[new + 1] != 0)):
        raise DamagedTile("is a damaged pixel list")
    run = np.where((code == 0) | (code == 4) | (code == 5), argument, (code == 6) | (code == 7))
    run[new + 1] = 0
    step = np.where((code == 2) | (code == 6), argument, np.where((code == 3) | (code == 7), -argument, 0))
    # The value after each instruction: what was set last (1 at first), and the steps since.
    total = np.cumsum(step)
    base = np.ones(len(words) + 1, np.int64)
    base[new + 1] = argument[new] + (argument[new + 1] << 12) - total[new]
    last = np.zeros(len(words) + 1, np.int64)
    last[new + 1] = new + 1
    value = total + base[np.maximum.accumulate(last)[1:]]
    end = np.cumsum(run)
    # A run of zeros that ends in the value (code 5) is two runs; what follows the last is zero.
    bounds = np.minimum(np.stack([end - (code == 5), end], 1).ravel(), pixels)
    values = np.stack([np.where((code == 4) | (code > 5), value, 0), np.where(code == 5, value, 0)], 1).ravel()
    lengths = np.maximum(np.diff(bounds, prepend=0), 0)
    numbers = np.zeros(pixels, np.int32)
    numbers[: lengths.sum()] = np.repeat(values, lengths)
    return Tile(numbers, numbers.dtype)


def _hcompress(data: Bytes, shape: tuple[int, ...], stop: int, *, smooth: bool) -> Tile:
    from astropy.io.fits.hdu.compressed import _codecs  # no package has it in the open

    sides = [side for side in shape if side != 1]
    head = data[:_HCOMPRESS_HEADER].tobytes()
    fits = len(sides) == 2 and head[2:10] == b"".join(side.to_bytes(4, "big") for side in sides)
    if len(head) < _HCOMPRESS_HEADER or not fits or max(head[22:]) > _HCOMPRESS_PLANES:
        raise DamagedTile("is not in HCOMPRESS's code of its size")
    source = np.zeros(len(data) + _hcompress_most(sides, head[22:]), np.uint8)
    source[: len(data)] = data
    codec: Any = _codecs.HCompress1(scale=0, smooth=smooth, bytepix=8, nx=sides[0], ny=sides[1])
    try:
        with _hcompress_lock:
            numbers = codec.decode(source)
    except Exception as error:  # of a class that astropy makes as it goes
        raise DamagedTile(f"cannot be decoded: {error}") from error
    return Tile(numbers, numbers.dtype)


def _hcompress_most(sides: list[int], planes: bytes) -> int:
    """Return how many bytes the decoder can read: it never looks for the end of its input.

    Each of an image's quadrants is coded by bit planes, each as a tree of codes of at most 6 bits.
    """
    height, width = (-(-side // 2) for side in sides)
    codes = 1
    while height > 1 or width > 1:
        height, width = -(-height // 2), -(-width // 2)
        codes += height * width
    first, second, third = planes
    signs = math.prod(sides)
    return (6 * codes * (first + 2 * second + third) + signs) // 8 + _HCOMPRESS_GUARD
