from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imageserv.core.dataset import Key
from imageserv.core.errors import ConfigurationFault
from imageserv.core.patterns import FilePattern, compile_patterns, match_any

RUN = Key("run", int, "", minimum=1, maximum=999_999)
CAMCOL = Key("camcol", int, "", minimum=1, maximum=6)
FIELD = Key("field", int, "", minimum=0, maximum=9999)
FILTER = Key("filter", str, "", choices=tuple("ugriz"))
FRAME = (RUN, CAMCOL, FIELD, FILTER)
PATCH = Key("patch", str, "", parts=(Key("x", int, "", minimum=0, maximum=8191), Key("y", int, "", minimum=0)))
VISIT = Key("visit", int, "")
CHIP = Key("chip", str, "")

TREE = "runs/{run}/{rerun}/corr/{camcol}/fpC-{run:06d}-{filter}{camcol}-{field:04d}.fit.gz"


def match(template: str, path: str, *keys: Key) -> object:
    return FilePattern(template, keys).match(path)


def test_reads_the_keys_in_their_order() -> None:
    found = FilePattern(TREE, FRAME).match("runs/5646/40/corr/4/fpC-005646-g4-0694.fit.gz")
    assert found == {"run": 5646, "camcol": 4, "field": 694, "filter": "g"}
    assert list(found or ()) == ["run", "camcol", "field", "filter"]


@pytest.mark.parametrize(
    "path",
    [
        "runs/5647/40/corr/4/fpC-005646-g4-0694.fit.gz",  # two runs
        "runs/5646/40/corr/3/fpC-005646-g4-0694.fit.gz",  # two camcols
        "runs/5646/corr/4/fpC-005646-g4-0694.fit.gz",  # {rerun} is some text
        "runs/5646/4/0/corr/4/fpC-005646-g4-0694.fit.gz",  # and has no slash
        "runs/5646/40/corr/7/fpC-005646-g7-0694.fit.gz",  # out of range
        "runs/0/40/corr/4/fpC-000000-g4-0694.fit.gz",
        "runs/5646/40/corr/4/fpC-005646-y4-0694.fit.gz",  # no such filter
        "runs/5646/40/corr/4/fpC-5646-g4-0694.fit.gz",  # too few digits
        "runs/5646/40/corr/4/fpC-0005646-g4-0694.fit.gz",  # too many
        "top/runs/5646/40/corr/4/fpC-005646-g4-0694.fit.gz",
        "runs/5646/40/corr/4/fpC-005646-g4-0694.fit.gz.md5",
        "runs/5646/40/corr/4/fpC-005646-g4-0694.fit.gz\n",
        "runs/5646/40/corr/4/fpC-005646-g4-0694xfit.gz",
    ],
)
def test_the_whole_path_must_agree(path: str) -> None:
    assert FilePattern(TREE, FRAME).match(path) is None


def test_a_number_may_outgrow_its_width_up_to_its_maximum() -> None:
    assert match("{visit:03d}.fits", "007.fits", VISIT) == {"visit": 7}
    assert match("{visit:03d}.fits", "12345.fits", VISIT) == {"visit": 12345}
    assert match("{visit:03d}.fits", "12.fits", VISIT) is None
    assert match("{camcol:02d}.fits", "04.fits", CAMCOL) == {"camcol": 4}


def test_a_number_without_a_width_may_have_zeros_before_it() -> None:
    assert match("{run}/{run:06d}.fits", "005646/005646.fits", RUN) == {"run": 5646}


def test_a_negative_number_needs_a_key_that_allows_it() -> None:
    assert match("{n}.fits", "-5.fits", Key("n", int, "", minimum=-9)) == {"n": -5}
    assert match("{visit}.fits", "-5.fits", VISIT) is None


def test_a_compound_key_becomes_canonical() -> None:
    assert match("coadd-{patch}.fits", "coadd-0225,01.fits", PATCH) == {"patch": "225,1"}
    assert match("coadd-{patch}.fits", "coadd-225.fits", PATCH) is None
    assert match("coadd-{patch}.fits", "coadd-9000,1.fits", PATCH) is None


def test_folders_may_be_any_or_none() -> None:
    pattern = FilePattern("**/raw/{visit}.fits", (VISIT,))
    for folder in ("", "a/", "a/b/c/"):
        assert pattern.match(f"{folder}raw/7.fits") == {"visit": 7}
    assert pattern.match("xraw/7.fits") is None
    assert pattern.match("raw/a/7.fits") is None


def test_a_wildcard_leaves_numbers_whole() -> None:
    assert match("*{field:04d}*.fit", "fpC-0103-x.fit", FIELD) == {"field": 103}
    assert match("*{field:04d}*.fit", "fpC-00103-x.fit", FIELD) is None
    assert match("*{field}.fit", "fpC-0103.fit", FIELD) == {"field": 103}


def test_free_text_ends_where_what_follows_begins() -> None:
    assert match("{chip}-{rest}.fits", "N1-a-b.fits", CHIP) == {"chip": "N1"}
    assert match("{chip}.fits", "N1.fits.fits", CHIP) == {"chip": "N1.fits"}
    assert match("{chip}.fits", ".fits", CHIP) is None


def test_without_keys_a_match_is_an_empty_data_id() -> None:
    assert match("**/*.fits", "a/b.fits") == {}
    assert match("**/*.fits", "a/b.fit") is None


def test_the_first_pattern_that_matches_counts() -> None:
    patterns = compile_patterns(["{visit}.fits", "v{visit}.fit*"], (VISIT,))
    assert match_any(patterns, "7.fits") == {"visit": 7}
    assert match_any(patterns, "v8.fit.gz") == {"visit": 8}
    assert match_any(patterns, "x.fits") is None


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{run}.fits", "{camcol}, {field}, {filter}"),
        ("{run", "'{run' is neither"),
        ("a?b.fits", "'?b.fits' is neither"),
        ("[ab].fits", "'[ab].fits' is neither"),
        ("{run:d}.fits", "'{run:d}.fits' is neither"),
        ("/data/{run}.fits", "below the root"),
        ("../{run}.fits", "below the root"),
        ("a//b.fits", "below the root"),
        ("a/**", "below the root"),
        ("", "below the root"),
        ("a**b.fits", "'a**b.fits' touch"),
        ("{rerun}{version}.fits", "touch"),
        ("{run}{field}.fits", "touch"),
        ("{filter:02d}.fits", "filter is none"),
    ],
)
def test_a_wrong_template_is_named_with_the_reason(template: str, reason: str) -> None:
    with pytest.raises(ConfigurationFault) as caught:
        FilePattern(template, FRAME)
    assert repr(template) in caught.value.message
    assert reason in caught.value.message


@given(
    run=st.integers(1, 999_999),
    camcol=st.integers(1, 6),
    field=st.integers(0, 9999),
    band=st.sampled_from("ugriz"),
    rerun=st.text(min_size=1).filter(lambda text: "/" not in text),
)
def test_reads_back_what_the_template_spells(run: int, camcol: int, field: int, band: str, rerun: str) -> None:
    path = TREE.format(run=run, camcol=camcol, field=field, filter=band, rerun=rerun)
    assert FilePattern(TREE, FRAME).match(path) == {"run": run, "camcol": camcol, "field": field, "filter": band}


def naive(template: list[str], path: list[str]) -> bool:
    if not template:
        return not path
    if template[0] == "**":
        return naive(template[1:], path) or (bool(path) and naive(template, path[1:]))
    return bool(path) and fnmatchcase(path[0], template[0]) and naive(template[1:], path[1:])


SEGMENT = st.text("ab*.", min_size=1, max_size=6).filter(lambda text: "**" not in text and text.strip(".") != "")


@given(
    st.lists(SEGMENT | st.just("**"), max_size=4),
    SEGMENT,
    st.lists(st.text("ab.", min_size=1, max_size=8), min_size=1, max_size=6),
)
def test_wildcards_match_what_trying_every_way_matches(folders: list[str], file: str, path: list[str]) -> None:
    template = [*folders, file]
    assert (FilePattern("/".join(template), ()).match("/".join(path)) is not None) == naive(template, path)


def test_hostile_names_do_not_take_for_ever() -> None:
    # By trying every way, each of these would take longer than the universe has lasted.
    assert match("*a" * 12 + "b.fits", "a" * 10_000) is None
    assert match("**/a*a/" * 8 + "b.fits", "aaaa/" * 2_000 + "c.fits") is None
