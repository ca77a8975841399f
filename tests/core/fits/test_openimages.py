"""Which images stay open."""

import resource
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imageserv.core.fits.opened import OpenImage
from imageserv.core.fits.openimages import OpenImages, allow_files


@dataclass
class Stub:
    """As much of an open image as its keeper looks at."""

    memory: int = 10
    size: int = 100
    packed: bool = False
    beside: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def layout(self) -> Any:
        return SimpleNamespace(size=self.size, packed=self.packed)


def image(**facts: Any) -> OpenImage:
    return cast("OpenImage", Stub(**facts))


def never() -> OpenImage:
    raise AssertionError("it is open already")


def test_an_image_is_made_once_for_each_state_of_its_file() -> None:
    images = OpenImages()
    first = images.get("a", 1, image)
    assert images.get("a", 1, never) is first
    assert images.kept("a", 2) is None
    second = images.get("a", 2, image)
    assert second is not first
    assert images.kept("a", 1) is None
    assert images.get("a", 2, never) is second


@pytest.mark.parametrize(
    ("limit", "facts"),
    [
        ({"most": 8}, {}),
        ({"memory": 80}, {}),
        ({"packed_bytes": 800}, {"packed": True}),
        ({"most": 16}, {"beside": {"mask.fits": Stub(memory=0)}}),
    ],
)
def test_those_longest_unused_go(limit: dict[str, int], facts: dict[str, Any]) -> None:
    images = OpenImages(**limit)
    for key in range(8):
        images.get(key, 0, lambda: image(**facts))
    assert images.kept(0, 0) is not None  # used just now
    images.get(8, 0, lambda: image(**facts))
    assert [key for key in range(9) if images.kept(key, 0) is None] == [1]


def test_what_is_plain_takes_no_room_for_unpacked_copies() -> None:
    images = OpenImages(packed_bytes=100)
    for key in range(5):
        images.get(key, 0, image)
    assert all(images.kept(key, 0) for key in range(5))


def test_one_image_is_kept_whatever_it_takes() -> None:
    images = OpenImages(memory=5)
    images.get("a", 0, image)
    assert images.kept("a", 0) is not None
    images.get("b", 0, image)
    assert images.kept("a", 0) is None and images.kept("b", 0) is not None


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 1), st.integers(1, 40)), max_size=60))
def test_the_limit_is_kept_whatever_comes(requests: list[tuple[int, int, int]]) -> None:
    images = OpenImages(memory=100)
    made: dict[tuple[int, int], int] = {}
    for key, state, memory in requests:
        if images.kept(key, state) is None:
            made[key, state] = memory
        images.get(key, state, lambda memory=memory: image(memory=memory))  # type: ignore[misc]
        kept = [made[pair] for pair in made if images.kept(*pair) is not None]
        assert sum(kept) <= 100 or len(kept) == 1
        assert images.kept(key, state) is not None


def test_a_process_opens_as_many_files_as_it_may() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (1000, hard))
        allow_files(100)
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (1000, hard)
        allow_files(1000)
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == (min(2256, hard) if hard >= 0 else 2256)
        images = OpenImages(most=10**9)
        many = resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2
        for key in range(many):
            images.get(key, 0, image)
        assert images.kept(0, 0) is None  # else descriptors run out
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
