"""What is reported of a cutout, as cards that astropy reads."""

import math

from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

from imageserv.core.answer import Report
from imageserv.core.sky.stencil import Section

spans = st.tuples(st.integers(-50, 50), st.integers(1, 60)).map(lambda pair: (pair[0], sum(pair)))


def cards_of(report: Report) -> dict[str, object]:
    return dict(fits.Header.fromstring(b"".join(report.cards())))


@given(ranges=st.lists(st.none() | spans, min_size=2, max_size=4))
def test_coverage_is_the_fraction_of_pixels(ranges: list[tuple[int, int] | None]) -> None:
    """Of an image of 100 pixels along every axis, counted one by one; axes that nothing was asked of do not count."""
    within = [span and (max(span[0], 0), span[1]) for span in ranges]
    if any(span is not None and span[0] >= span[1] for span in within):
        return
    report = Report("ivo://it", Section(tuple(ranges)), Section(tuple(within)), 3)
    fractions = [sum(pixel >= 0 for pixel in range(*span)) / len(range(*span)) for span in ranges if span is not None]
    cards = cards_of(report)
    assert math.isclose(float(str(cards["CUTCOVER"])), math.prod(fractions), rel_tol=1e-5)
    assert cards["CUTCLIP"] is (within != ranges)
    assert cards["CUTREQ"] == str(report.requested) and cards["CUTBOX"] == str(report.delivered)


def test_more_than_was_asked_for_is_no_clipping() -> None:
    report = Report("ivo://it", Section(((2, 4), None, (5, 9))), Section(((0, 5), None, (4, 9))), 1)
    assert (report.coverage, report.clipped) == (1.0, False)
    report = Report("ivo://it", Section(((2, 4), None, (5, 9))), Section(((0, 5), None, (4, 7))), 1)
    assert (report.coverage, report.clipped) == (0.5, True)


def test_what_cannot_be_told_is_left_out() -> None:
    report = Report("ivo://it", None, Section(((0, 3), None, (2, 4))), 1)
    assert report.coverage is None and report.clipped
    assert cards_of(report) == {"CUTID": "ivo://it", "CUTBOX": "[1:3,*,3:4]", "CUTCLIP": True, "CUTCAND": 1}
