"""Identifiers: never two images of one name, however case and percent-encoding are treated on the way."""

import re
from collections.abc import Mapping
from urllib.parse import quote, unquote, unquote_plus

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from imageserv.core.dataset import Dataset, Key
from imageserv.core.identifiers import local_identifier, publisher_did, split_did

RUN = Key("run", int, "A number.")
FILE = Key("file", str, "A path.")
CHIP = Key("chip", str, "Either.", choices=("N", "south"))
TWINS = Key("twins", str, "Told apart by case alone.", choices=("a", "A", "b c"))
PATCH = Key("patch", str, "Two numbers.", parts=(Key("x", int, "One."), Key("y", int, "Other.")))

ALPHABET = re.compile(r"[A-Za-z0-9._,/~-]+")


def named(values: Mapping[str, int | str], *keys: Key, dataset: str = "toy") -> str:
    return local_identifier(dataset, Dataset("Toys.", keys), values)


@pytest.mark.parametrize(
    ("keys", "values", "expected"),
    [
        ((RUN, CHIP), {"run": 5646, "chip": "N"}, "toy/5646/N"),
        ((RUN, PATCH), {"run": -1, "patch": "225,1"}, "toy/-1/225,1"),
        ((FILE,), {"file": "m13/m-13_v2.fits"}, "toy/m13/m-13_v2.fits"),
        ((FILE,), {"file": "a~b"}, "toy/a~b"),
    ],
)
def test_a_plain_data_id_is_spelt_as_it_is(
    keys: tuple[Key, ...], values: Mapping[str, int | str], expected: str
) -> None:
    assert named(values, *keys) == expected


@pytest.mark.parametrize(
    ("keys", "values", "expected"),
    [
        ((FILE,), {"file": "night 1/étoile#%3F.fits"}, "toy/night_1/_toile_3F.fits"),
        ((FILE,), {"file": "NGC/a.fits"}, "toy/NGC/a.fits"),
        ((FILE,), {"file": "a.fits[1]"}, "toy/a.fits_1_"),
        ((FILE,), {"file": "/a/../b//./c"}, "toy/_/a/_/b/_/_/c"),
        ((FILE,), {"file": "a~abcd2345"}, "toy/a~abcd2345"),
        ((FILE,), {"file": "a~ABCD2345"}, "toy/a~ABCD2345"),
        ((RUN, FILE), {"run": 1, "file": "a/b"}, "toy/1/a/b"),
        ((RUN, TWINS), {"run": 1, "twins": "A"}, "toy/1/A"),
        ((RUN, TWINS), {"run": 1, "twins": "b c"}, "toy/1/b_c"),
    ],
)
def test_what_text_alone_would_not_name_has_a_mark(
    keys: tuple[Key, ...], values: Mapping[str, int | str], expected: str
) -> None:
    identifier = named(values, *keys)
    assert identifier[:-9] == expected
    assert re.fullmatch("~[a-z2-7]{8}", identifier[-9:])


def test_identifiers_stay_what_they_were() -> None:
    # Clients keep them: a change of these must be a decision.
    assert named({"file": "M 13.fits"}, FILE, dataset="image") == "image/M_13.fits~iayy7xzr"
    assert named({"file": "x" * 300}, FILE, dataset="image") == f"image/{'x' * 145}~q5tou5a6"


segments = st.text("abAB.~_/ ,%+é", max_size=6)
paths = segments | st.text(min_size=1) | st.text("aA/. ", min_size=140, max_size=170)


@given(first=paths, second=paths)
@example("a/b.fits", "A/b.fits")
@example("a b", "a_b")
@example("x" * 160, "y" + "x" * 159)
@example("a//b", "a/./b")
def test_no_two_paths_share_a_name(first: str, second: str) -> None:
    assume(first != second)
    assert named({"file": first}, FILE).lower() != named({"file": second}, FILE).lower()


@given(path=paths)
def test_a_path_that_looks_like_a_marked_name_is_told_from_what_has_it(path: str) -> None:
    taken = named({"file": path}, FILE).removeprefix("toy/")
    assume(taken != path)
    assert named({"file": taken}, FILE).lower() != f"toy/{taken}".lower()


data_ids = st.fixed_dictionaries(
    {
        "run": st.integers(-(10**18), 10**18),
        "file": segments,
        "chip": st.sampled_from(CHIP.choices),
        "twins": st.sampled_from(TWINS.choices),
        "patch": st.tuples(st.integers(0, 20), st.integers(0, 20)).map(lambda xy: f"{xy[0]},{xy[1]}"),
    }
)


@given(first=data_ids, second=data_ids)
def test_no_two_data_ids_share_a_name(first: Mapping[str, int | str], second: Mapping[str, int | str]) -> None:
    assume(first != second)
    keys = (RUN, FILE, CHIP, TWINS, PATCH)
    assert named(first, *keys).lower() != named(second, *keys).lower()


names = st.text("abcXYZ019._-", min_size=1, max_size=40)


@given(path=paths, dataset=names, authority=names, repository=names)
def test_a_name_passes_through_any_url(path: str, dataset: str, authority: str, repository: str) -> None:
    local = named({"file": path}, FILE, dataset=dataset)
    assert ALPHABET.fullmatch(local) and len(local) <= 160
    assert local.startswith(f"{dataset}/")
    assert not {"", ".", ".."} & set(local.removeprefix(f"{dataset}/").split("/"))
    did = publisher_did(authority, repository, local)
    assert len(did) < 256
    assert did == unquote(did) == unquote(unquote(did)) == unquote_plus(did)
    parts = (authority.lower(), repository, local)
    assert split_did(did) == split_did(quote(did, safe="")) == split_did(f" {did}\n") == parts
    again = split_did(did.upper())
    assert again is not None and [part.lower() for part in again] == [part.lower() for part in parts]


def test_a_long_name_keeps_the_dataset_and_the_end() -> None:
    path = "/".join(f"folder{number:02}" for number in range(30)) + "/frame-000123.fits"
    local = named({"file": path}, FILE)
    assert local.startswith("toy/") and "/folder29/frame-000123.fits~" in local
    assert 140 < len(local) <= 160


@pytest.mark.parametrize(
    "text",
    [
        "",
        "calexp/1",
        "ivo://example.org/SKY",
        "ivo://example.org/SKY?",
        "ivo://example.org/SKY?a#b",
        "ivo://example.org/?a",
        "ivo://example.org?a",
        "ivo:///SKY?a",
        "ivo://example.org/SKY/deep?a",
        "ivo://example.org/SKY?a?b",
        "http://example.org/SKY?a",
        "xivo://example.org/SKY?a",
    ],
)
def test_other_texts_are_no_identifiers(text: str) -> None:
    assert split_did(text) is None


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    split_did(text)
