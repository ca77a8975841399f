"""Content negotiation: who gets which format."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imageserv.core.dali.negotiation import negotiate
from imageserv.core.errors import UsageFault

VOTABLE = "application/x-votable+xml"
OFFERS = {"json": ("application/json",), "votable": (VOTABLE, "text/xml", "application/xml")}
FITS = {"fits": ("application/fits", "image/fits")}
LINKS = {"votable": ("application/x-votable+xml;content=datalink", "text/xml")}
CHROME = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8"
JSON = ("json", "application/json")


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, JSON),
        ("", JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        ("text/*", JSON),
        ("application/json", JSON),
        (CHROME, JSON),
        ("text/html, application/xml", JSON),
        ("text/html;q=0, application/xml", ("votable", "application/xml")),
        ("application/xml", ("votable", "application/xml")),
        ("TEXT/XML", ("votable", "text/xml")),
        ("text/xml; charset=utf-8", ("votable", "text/xml")),
        (f"{VOTABLE}, text/xml;q=0.9, */*;q=0.1", ("votable", VOTABLE)),
        ("text/xml, */*", ("votable", "text/xml")),
        ("application/json, text/xml", ("votable", "text/xml")),
        ("application/json;q=0.9, text/xml;q=0.8", JSON),
        ("application/json; q=0.8, text/xml; Q=0.7", JSON),
        ("application/json; q=0.8, text/xml; Q=0.9", ("votable", "text/xml")),
        ("text/xml;q=0", JSON),
        ("application/json;q=0, text/xml;q=0.1", ("votable", "text/xml")),
        ("image/png", JSON),
        ("text/xml;q=2", JSON),
        ("text/xml;q=nan", JSON),
        (";;;,,,/;q", JSON),
    ],
)
def test_accept(accept: str | None, expected: tuple[str, str]) -> None:
    assert negotiate(accept, None, OFFERS) == expected


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, "application/fits"),
        (CHROME, "application/fits"),
        ("image/fits", "image/fits"),
        ("image/*", "image/fits"),
        ("application/fits, image/fits", "application/fits"),
        ("image/fits, application/fits;q=0.5", "image/fits"),
        ("image/fits;q=0.5, */*", "application/fits"),
        ("text/plain", "application/fits"),
    ],
)
def test_a_single_format_picks_among_its_media_types(accept: str | None, expected: str) -> None:
    assert negotiate(accept, None, FITS) == ("fits", expected)


@pytest.mark.parametrize(
    ("responseformat", "expected"),
    [
        ("votable", ("votable", VOTABLE)),
        ("VOTable", ("votable", VOTABLE)),
        (" json ", JSON),
        ("application/JSON", JSON),
        ("text/xml", ("votable", "text/xml")),
        ("text/xml; charset=utf-8", ("votable", "text/xml")),
        ("application/x-votable+xml; serialization=tabledata", ("votable", VOTABLE)),
        ("application/x-votable xml", ("votable", VOTABLE)),
        ("", JSON),
    ],
)
def test_responseformat_wins_over_accept(responseformat: str, expected: tuple[str, str]) -> None:
    other = "text/csv" if not responseformat else "application/xml" if expected == JSON else "application/json"
    assert negotiate(other, responseformat, OFFERS) == expected


def test_an_offered_media_type_may_have_parameters() -> None:
    assert negotiate(None, VOTABLE, LINKS) == ("votable", LINKS["votable"][0])
    assert negotiate(VOTABLE, None, LINKS) == ("votable", LINKS["votable"][0])
    assert negotiate("text/xml", None, LINKS) == ("votable", "text/xml")


TILES = {
    "fits": ("application/fits", "image/fits"),
    "fz": ("application/fits;compression=tile", "image/fits;compression=tile"),
}


@pytest.mark.parametrize(
    ("accept", "responseformat", "expected"),
    [
        (None, None, ("fits", "application/fits")),
        ("application/fits", None, ("fits", "application/fits")),
        ("image/fits", None, ("fits", "image/fits")),
        ("application/fits;compression=tile", None, ("fz", "application/fits;compression=tile")),
        ("application/fits ; COMPRESSION = tile;q=0.3", None, ("fz", "application/fits;compression=tile")),
        ("image/fits;compression=tile, application/fits;q=0.9", None, ("fz", "image/fits;compression=tile")),
        ("application/fits, application/fits;compression=tile;q=0.9", None, ("fits", "application/fits")),
        ("application/fits;compression=other", None, ("fits", "application/fits")),
        ("application/fits;compression=tile", "fits", ("fits", "application/fits")),
        ("application/fits;compression=tile", "image/fits", ("fits", "image/fits")),
        (None, "image/fits; compression=tile", ("fz", "image/fits;compression=tile")),
        (None, "application/fits;compression=other", ("fits", "application/fits")),
        (None, "FZ", ("fz", "application/fits;compression=tile")),
    ],
)
def test_formats_that_differ_by_a_parameter(
    accept: str | None, responseformat: str | None, expected: tuple[str, str]
) -> None:
    assert negotiate(accept, responseformat, TILES) == expected


@pytest.mark.parametrize("responseformat", ["csv", "text/html", "*/*", "application/*", "xml", ";", "j" * 10_000])
def test_an_unsupported_responseformat_is_refused(responseformat: str) -> None:
    with pytest.raises(UsageFault) as caught:
        negotiate("text/xml", responseformat, OFFERS)
    assert caught.value.parameter == "RESPONSEFORMAT"
    assert "json (application/json), votable" in caught.value.message
    assert len(caught.value.message) < 300


@given(st.text(st.characters()) | st.text("*/;,=q.01 aptextionjsml"), st.none() | st.text(st.characters()))
def test_any_text_gets_an_offered_format_or_a_usage_fault(accept: str, responseformat: str | None) -> None:
    try:
        name, media_type = negotiate(accept, responseformat, OFFERS)
    except UsageFault:
        assert responseformat is not None
        assert responseformat.strip()
    else:
        assert media_type in OFFERS[name]
