"""The layout of a FITS file: where each HDU lies, its header as bytes, the shape of its data.

Read once at ingest, kept in the registry, and used for every cutout after.
Nothing in a file is believed: every size is checked against the file's own
and against published limits before a byte is allocated for it.
"""

import gzip
import json
import math
import os
import re
import struct
import warnings
import zlib
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from astropy.io import fits

from imageserv.core.config import Limits
from imageserv.core.errors import FitsFault
from imageserv.core.sky.gnomonic import Gnomonic

from .cards import BLOCK, CARD, card_value, find_card, find_end
from .packing import Packer

BITPIX = {8: 1, 16: 2, 32: 4, 64: 8, -32: 4, -64: 8}
"""FITS 4.0 table 8: the legal values of BITPIX, with bytes per pixel."""

_STORED_TYPES = {
    bitpix: np.dtype(f">{'f' if bitpix < 0 else 'u' if bitpix == 8 else 'i'}{BITPIX[bitpix]}") for bitpix in BITPIX
}

Kind = Literal["image", "compressed", "table", "other"]

_PLAIN = re.compile(rb".{8}= *(?:'[^'&]*' *|[^'/& ][^'/&]*)(?:/[^']*)?", re.DOTALL)
"""A card that can be read in one way alone: a number, or a string without quotes in it and with nothing behind it."""

_PACKERS = {
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x1f\x9d": "compress",
    b"PK\x03\x04": "zip",
    b"\x28\xb5\x2f\xfd": "zstd",
}
"""How files that are packed with something else than gzip start."""

_SHORT = 4 * BLOCK
"""Bytes of a header of which it is remembered what it says."""

_AHEAD = 6 * BLOCK
"""Bytes that are read at once: most headers are no longer."""


@lru_cache(maxsize=16)
def _unpacked(packer: Packer, packed: bytes) -> bytes:
    return packer.unpack(packed)


@dataclass(frozen=True, slots=True)
class Packed:
    """Headers of a file as the registry has them: an open image is seldom asked for them again, so they stay small.

    Attributes
    ----------
    packer, packed
        All of them, packed.
    start, stop
        Where in the unpacked bytes one of them is.
    """

    packer: Packer
    packed: bytes
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Hdu:
    """One header and data unit.

    Attributes
    ----------
    index
        Counted from 0, the primary HDU.
    kind
        ``image``: an array with pixels; ``compressed``: a tile-compressed image
        in a binary table; ``table``; ``other``: no data, random groups, foreign extensions.
    stored
        Its header: bytes, or where they are.
    offset, data_offset, data_size
        Bytes from the start of the unpacked file; the size has no padding.
    bitpix, shape
        Of the image (ZBITPIX and ZNAXISn if it is compressed); `shape` in FITS order, NAXIS1 first.
    name
        EXTNAME, or an empty string.
    tangent_plane
        That of its WCS: known of the science planes of a file that was examined, if they have one.
    """

    index: int
    kind: Kind
    stored: bytes | Packed = field(compare=False)
    offset: int
    data_offset: int
    data_size: int
    bitpix: int
    shape: tuple[int, ...]
    name: str
    tangent_plane: Gnomonic | None = None

    @property
    def header(self) -> bytes:
        """80-byte cards, up to and including END, as the file has them."""
        stored = self.stored
        return (
            stored if isinstance(stored, bytes) else _unpacked(stored.packer, stored.packed)[stored.start : stored.stop]
        )

    @property
    def length(self) -> int:
        """Bytes of the header."""
        stored = self.stored
        return len(stored) if isinstance(stored, bytes) else stored.stop - stored.start

    def parsed(self) -> fits.Header:
        """Return the header as astropy has it; do not change it, it is shared."""
        return _parse(self.header)

    def get(self, keyword: str) -> object:
        """Return what astropy reads as the value of a keyword of at most 8 characters; None if there is none.

        Raises
        ------
        astropy.io.fits.VerifyError, ValueError
            Raised if the value cannot be read.
        """
        header = self.header
        at = find_card(header, keyword)
        if at < 0:
            return None
        end = at + CARD
        while header.startswith(b"CONTINUE", end):
            end += CARD
        cards = header[at:end]
        value = card_value(cards) if len(cards) == CARD and _PLAIN.fullmatch(cards) else None
        return fits.Card.fromstring(cards).value if value is None else value

    @property
    def end(self) -> int:
        """The offset at which the next HDU starts."""
        return self.data_offset + -(-self.data_size // BLOCK) * BLOCK


def stored_type(bitpix: int) -> np.dtype[Any]:
    """Return the type of pixels as a file holds them: big-endian (FITS 4.0 section 5)."""
    return _STORED_TYPES[bitpix]


@lru_cache(maxsize=64)
def _parse(header: bytes) -> fits.Header:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return fits.Header.fromstring(header.decode("latin-1"))


@dataclass(frozen=True, slots=True)
class Layout:
    """The HDUs of one file.

    Attributes
    ----------
    size
        Bytes of the file, unpacked.
    packed
        True for a whole-file gzip: offsets are those of the unpacked file.
    """

    hdus: tuple[Hdu, ...]
    size: int
    packed: bool

    def to_bytes(self) -> bytes:
        """Write the layout for the registry, which has it packed."""
        rows = [_row(hdu) for hdu in self.hdus]
        head = json.dumps({"size": self.size, "packed": self.packed, "hdus": rows}).encode()
        return head + b"\n" + b"".join(h.header for h in self.hdus)

    @classmethod
    def from_packed(cls, packed: bytes, packer: Packer) -> "Layout":
        """Read what `to_bytes` wrote and the packer packed."""
        text = _unpacked(packer, packed)
        start = text.index(b"\n") + 1
        facts = json.loads(text[:start])
        hdus: list[Hdu] = []
        for kind, length, offset, data_offset, data_size, bitpix, shape, name, plane in facts["hdus"]:
            header = Packed(packer, packed, start, start + length)
            start += length
            known = None if plane is None else Gnomonic.from_bytes(bytes.fromhex(plane))
            hdu = Hdu(len(hdus), kind, header, offset, data_offset, data_size, bitpix, tuple(shape), name, known)
            hdus.append(hdu)
        return cls(tuple(hdus), facts["size"], facts["packed"])


def _row(hdu: Hdu) -> tuple[object, ...]:
    """Return what the registry has of an HDU, for JSON."""
    plane = hdu.tangent_plane
    facts = (hdu.kind, hdu.length, hdu.offset, hdu.data_offset, hdu.data_size, hdu.bitpix, hdu.shape, hdu.name)
    return (*facts, None if plane is None else plane.to_bytes().hex())


def read_layout(path: Path, limits: Limits) -> Layout:
    """Read the layout of a file, plain or gzipped as a whole.

    Raises
    ------
    FitsFault
        Raised if the file is not FITS, is cut short, or goes beyond a limit.
    OSError
        Raised if the file cannot be read.
    """
    with open(path, "rb", _AHEAD) as file:
        magic = file.read(6)
        file.seek(0)
        for prefix, packer in _PACKERS.items():
            if magic.startswith(prefix):
                raise FitsFault(f"packed with {packer}, which is not read: unpack it, or use gzip")
        if magic.startswith(b"\x1f\x8b"):
            with gzip.GzipFile(fileobj=file) as stream:
                try:
                    return _Reader(stream, None, limits).layout()
                except (EOFError, zlib.error, gzip.BadGzipFile) as error:
                    raise FitsFault(f"damaged gzip file: {error}") from error
        return _Reader(file, os.fstat(file.fileno()).st_size, limits).layout()


class _Reader:
    """Walks a file once, from front to back.

    `size` is the file's length, or None where only reading tells (gzip): then
    data are read through, up to the limit, rather than jumped over.
    """

    def __init__(self, stream: BinaryIO | gzip.GzipFile, size: int | None, limits: Limits) -> None:
        self.stream = stream
        self.size = size
        self.limits = limits
        self.at = 0
        self.headers = 0

    def layout(self) -> Layout:
        hdus: list[Hdu] = []
        while (hdu := self._hdu(len(hdus))) is not None:
            hdus.append(hdu)
            if len(hdus) > self.limits.max_hdus:
                raise FitsFault(f"more than {self.limits.max_hdus} HDUs")
        packed = self.size is None
        while packed and self._read(1 << 20):  # what follows the last HDU counts towards the size, too
            pass
        return Layout(tuple(hdus), self.at if self.size is None else self.size, packed)

    def _read(self, count: int) -> bytes:
        data = self.stream.read(count)
        self.at += len(data)
        if self.size is None and self.at > self.limits.max_unpacked_bytes:
            raise FitsFault(f"unpacks to more than {self.limits.max_unpacked_bytes} bytes")
        return data

    def _hdu(self, index: int) -> Hdu | None:
        offset = self.at
        header = self._header(index)
        if header is None:
            return None
        data_size, kind, bitpix, shape, name = _facts_of(header) if len(header) <= _SHORT else _read_facts(header)
        data_offset = self.at
        if self.size is not None:
            if data_offset + data_size > self.size:
                raise FitsFault(
                    f"HDU {index} is cut short: its data end at byte {data_offset + data_size}, the file at {self.size}"
                )
            self.at = data_offset + -(-data_size // BLOCK) * BLOCK
            self.stream.seek(self.at)
        else:
            self._skip(index, data_size)
        return Hdu(index, kind, header, offset, data_offset, data_size, bitpix, shape, name)

    def _skip(self, index: int, data_size: int) -> None:
        if self.at + data_size > self.limits.max_unpacked_bytes:
            raise FitsFault(f"unpacks to more than {self.limits.max_unpacked_bytes} bytes")
        left = -(-data_size // BLOCK) * BLOCK
        padding = left - data_size
        while left > 0:
            data = self._read(min(left, 1 << 20))
            if not data:
                break
            left -= len(data)
        if left > padding:
            raise FitsFault(f"HDU {index} is cut short: {left - padding} bytes of its data are missing")

    def _header(self, index: int) -> bytes | None:
        blocks: list[bytes] = []
        expected = b"SIMPLE  =" if index == 0 else b"XTENSION="
        while True:
            block = self._read(BLOCK)
            if not blocks and not block.startswith(expected):
                if index == 0:
                    raise FitsFault("not FITS: it does not start with SIMPLE" if block else "empty file")
                return None  # the end of the file, or special records after the last HDU (FITS 4.0 section 3.5)
            if len(block) < BLOCK and b"END" not in block:
                raise FitsFault(f"the header of HDU {index} has no END")
            blocks.append(block)
            self.headers += BLOCK
            if self.headers > self.limits.max_headers_bytes:
                raise FitsFault(f"its headers are longer than {self.limits.max_headers_bytes} bytes in all")
            end = find_end(block)
            if end >= 0:
                return b"".join(blocks[:-1]) + block[: end + CARD].ljust(end + CARD)
            if len(block) < BLOCK:
                raise FitsFault(f"the header of HDU {index} has no END")
            if len(blocks) * BLOCK >= self.limits.max_header_bytes:
                raise FitsFault(f"the header of HDU {index} is longer than {self.limits.max_header_bytes} bytes")


def _read_facts(header: bytes) -> tuple[int, Kind, int, tuple[int, ...], str]:
    """Return what `Hdu` has of a header: data_size, kind, bitpix, shape, name; raises FitsFault."""
    facts = _Facts(header)
    name = facts.value("EXTNAME")
    return facts.data_size(), *facts.image(), name if isinstance(name, str) else ""


# The tables of a survey's files have headers that are alike to the last byte.
_facts_of = lru_cache(maxsize=64)(_read_facts)


class _Facts:
    """The mandatory keywords of one header."""

    def __init__(self, header: bytes) -> None:
        self.header = header
        # All keywords at once take less time than a few searches.
        self.keywords: tuple[bytes, ...] = struct.unpack("8s72x" * (len(header) // CARD), header)
        self.bitpix, self.shape = self._array("")
        self.is_primary = header.startswith(b"SIMPLE")
        kind = None if self.is_primary else card_value(header[:CARD])
        self.extension = kind.strip() if isinstance(kind, str) else ""

    def _card(self, keyword: str) -> bytes | None:
        """Return the first card of a keyword."""
        try:
            at = self.keywords.index(keyword.ljust(8).encode()) * CARD
        except ValueError:
            return None
        return self.header[at : at + CARD]

    def value(self, keyword: str) -> bool | int | float | str | None:
        card = self._card(keyword)
        return None if card is None else card_value(card)

    def _integer(self, keyword: str, default: int | None = None) -> int:
        card = self._card(keyword)
        if card is None and default is not None:
            return default
        if card is not None and card[8:10] == b"= ":
            number, rest = card[10:30].lstrip(), card[30:].lstrip()
            if number.isdigit() and (not rest or rest.startswith(b"/")):
                return int(number)  # where it must be (FITS 4.0 section 4.2.3)
        value = None if card is None else card_value(card)
        if value is None and default is not None:
            return default
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise FitsFault(f"{keyword} is {'absent' if value is None else repr(value)}, not an integer")
        return value

    def _array(self, prefix: str) -> tuple[int, tuple[int, ...]]:
        bitpix = self._integer(f"{prefix}BITPIX")
        if bitpix not in BITPIX:
            raise FitsFault(f"{prefix}BITPIX is {bitpix}, not one of {', '.join(map(str, BITPIX))}")
        naxis = self._integer(f"{prefix}NAXIS")
        if not 0 <= naxis <= 999:
            raise FitsFault(f"{prefix}NAXIS is {naxis}, not 0 to 999")
        shape = tuple(self._integer(f"{prefix}NAXIS{axis}") for axis in range(1, naxis + 1))
        if any(not 0 <= length < 2**31 for length in shape):
            raise FitsFault(f"an axis that no image has: {max(shape, key=abs)} pixels long")
        return bitpix, shape

    def data_size(self) -> int:
        """FITS 4.0 equations 1, 2 and 4: bytes of data, without padding."""
        shape = self.shape
        if not shape:
            return 0
        groups = shape[0] == 0 and self.value("GROUPS") is True
        pcount, gcount = self._integer("PCOUNT", 0), self._integer("GCOUNT", 1)
        if pcount < 0 or gcount < 0:
            raise FitsFault(f"PCOUNT {pcount} or GCOUNT {gcount} is negative")
        if self.is_primary and not groups:
            pcount, gcount = 0, 1  # they mean nothing in a primary array
        pixels: int = math.prod(shape[1:] if groups else shape)
        return BITPIX[self.bitpix] * gcount * (pcount + pixels)

    def image(self) -> tuple[Kind, int, tuple[int, ...]]:
        """Return the kind, and BITPIX and axes of the image."""
        bitpix, shape = self.bitpix, self.shape
        if self.extension in ("BINTABLE", "A3DTABLE", "TABLE"):
            if self.value("ZIMAGE") is True:
                return "compressed", *self._array("Z")
            return "table", bitpix, shape
        is_array = self.is_primary or self.extension == "IMAGE"
        return ("image" if is_array and shape and all(shape) else "other"), bitpix, shape
