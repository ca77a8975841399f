"""Headers packed by a pattern: they come back, and those that are like it are small."""

import zlib

import zstandard
from hypothesis import given
from hypothesis import strategies as st

from imageserv.core.fits.packing import Packer


@given(pattern=st.binary(max_size=2000), data=st.binary(max_size=2000), around=st.integers(0, 2000))
def test_what_is_packed_comes_back(pattern: bytes, data: bytes, around: int) -> None:
    packer = Packer(pattern)
    for each in (data, pattern, pattern[:around] + data + pattern[around:]):
        assert Packer(packer.pattern).unpack(packer.pack(each)) == each


@given(pattern=st.binary(min_size=40, max_size=400), place=st.integers(0, 399))
def test_another_pattern_gives_nothing_rather_than_other_bytes(pattern: bytes, place: int) -> None:
    place %= len(pattern)
    other = pattern[:place] + bytes([pattern[place] ^ 1]) + pattern[place + 1 :]
    packed = Packer(pattern).pack(pattern)
    try:
        assert Packer(other).unpack(packed) == pattern
    except zstandard.ZstdError:
        pass


def test_what_is_like_the_pattern_takes_little_room() -> None:
    """The headers of a survey differ in their values alone, and deflate looks back no further than 32 kB."""
    cards = [
        f"KEY{number:<5}= {number * 7919 % 10007:>20} / what it is, number {number:>4}".ljust(80)
        for number in range(700)
    ]
    pattern = "".join(cards).encode()
    assert len(pattern) > 50_000
    cards[5] = "OBJECT  = 'another one'".ljust(80)
    like = "".join(cards).encode()
    assert 20 * len(Packer(pattern).pack(like)) < len(zlib.compress(like))
