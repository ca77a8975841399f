"""Request parameters: the rules of DALI 1.1 sections 3.1 and 3.2, and what ImageServ adds."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imageserv.core.dali.literals import choice, integer, latitude, longitude, positive
from imageserv.core.dali.parameters import Parameter, near_misses, parse_parameters, second_question_mark
from imageserv.core.errors import MultiValuedParamNotSupported, UsageFault

DECLARED = (
    Parameter("ds", str, "the dataset"),
    Parameter("ra", longitude, "right ascension", unit="deg"),
    Parameter("dec", latitude, "declination", unit="deg"),
    Parameter("width", positive, "along x"),
    Parameter("unit", choice("arcsec", "pixel"), "of the size"),
    Parameter("sid", integer, "science id", aliases=("ccdexpid",)),
    Parameter("get_dataid", choice("get"), "ask for the data id", flag=True),
    Parameter("POS", str, "places", multiple=True),
    Parameter("ID", str, "identifiers", multiple=True, verbatim=True),
)


def parse(*pairs: tuple[str, str]) -> dict[str, object]:
    return dict(parse_parameters(DECLARED, pairs).values)


def test_values_are_typed_and_keyed_by_the_declared_name() -> None:
    assert parse(("DS", "calexp"), ("Ra", "37.5"), ("CcdExpId", "5646240964")) == {
        "ds": "calexp",
        "ra": 37.5,
        "sid": 5646240964,
    }


@pytest.mark.parametrize("text", ['"pixel"', "'pixel'", "  pixel ", '" pixel"', "\tpixel\n"])
def test_blanks_and_quotes_around_a_value_are_dropped(text: str) -> None:
    assert parse(("unit", text)) == {"unit": "pixel"}


@pytest.mark.parametrize("text", ["'pixel", 'pixel"', "'pixel\"", '"', "''pixel''"])
def test_quotes_that_are_no_pair_belong_to_the_value(text: str) -> None:
    with pytest.raises(UsageFault, match="unit must be one of arcsec, pixel"):
        parse(("unit", text))


@pytest.mark.parametrize("text", ["", "   ", '""', "' '"])
def test_an_empty_value_is_absent(text: str) -> None:
    assert parse(("sid", text), ("POS", text)) == {}
    assert parse(("sid", text), ("ccdexpid", "1"), ("SID", text)) == {"sid": 1}


def test_a_flag_is_true_by_its_presence() -> None:
    assert parse(("get_dataid", "")) == {"get_dataid": True}
    assert parse(("GET_DATAID", "get")) == {"get_dataid": "get"}
    with pytest.raises(UsageFault, match="get_dataid must be one of get"):
        parse(("get_dataid", "no"))


@pytest.mark.parametrize(
    "pairs",
    [
        [("sid", "1"), ("SID", "2")],
        [("sid", "1"), ("sid", "1")],
        [("sid", "1"), ("ccdexpid", "1")],
        [("get_dataid", ""), ("get_dataid", "get")],
        [("sid", "not a number"), ("sid", "2")],
    ],
)
def test_a_repeated_single_value_is_refused_by_name(pairs: list[tuple[str, str]]) -> None:
    with pytest.raises(MultiValuedParamNotSupported) as caught:
        parse(*pairs)
    name = "sid" if pairs[0][0] == "sid" else "get_dataid"
    assert caught.value.parameter == name
    assert name in caught.value.message


def test_a_parameter_that_may_be_repeated_gives_a_list_in_the_order_sent() -> None:
    assert parse(("POS", "b"), ("pos", "a"), ("Pos", "")) == {"POS": ["b", "a"]}
    assert parse(("POS", "a")) == {"POS": ["a"]}


@pytest.mark.parametrize("text", [" ivo://a/b?c ", '"ivo://a/b"', "IVO://A/b", "\ta\n", "'", "é\x00"])
def test_a_verbatim_value_is_read_as_sent(text: str) -> None:
    assert parse(("id", text), ("Id", "x")) == {"ID": [text, "x"]}


@pytest.mark.parametrize("text", ["", " ", "\t\n"])
def test_an_empty_verbatim_value_is_absent(text: str) -> None:
    assert parse(("ID", text)) == {}


def test_unknown_names_are_reported_as_sent_and_once() -> None:
    parsed = parse_parameters(DECLARED, [("Fliter", "r"), ("ra", "1"), ("Fliter", "g"), ("runid", "x")])
    assert parsed.unknown == ("Fliter", "runid")
    assert parsed.values == {"ra": 1.0}


def test_an_error_names_the_parameter_the_value_and_what_is_right() -> None:
    with pytest.raises(UsageFault) as caught:
        parse(("RA", "12h"))
    assert caught.value.parameter == "ra"
    assert caught.value.message == "ra='12h': ra must be a longitude in decimal degrees, 0 to 360"


def test_an_error_quotes_little_of_a_long_value() -> None:
    with pytest.raises(UsageFault) as caught:
        parse(("ra", "x" * 1_000_000))
    assert len(caught.value.message) < 200


def test_a_usage_fault_of_a_parser_goes_through_unchanged() -> None:
    fault = UsageFault("camcol=7 is out of range (1 to 6)", parameter="camcol")

    def refuse(text: str) -> int:
        raise fault

    with pytest.raises(UsageFault) as caught:
        parse_parameters([Parameter("camcol", refuse, "camera column")], [("camcol", "7")])
    assert caught.value is fault


def recase(name: str, upper: list[bool]) -> str:
    return "".join(letter.upper() if up else letter.lower() for letter, up in zip(name, upper, strict=True))


@st.composite
def requests(draw: st.DrawFn) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Give a request in the declared spelling, and the same in any order and any case."""
    coordinate = st.floats(0, 90).map(repr)
    plain = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "ds": st.sampled_from(["raw", "calexp", ""]),
                "ra": coordinate,
                "dec": coordinate,
                "width": st.sampled_from(["30", "0", "wide"]),
                "unit": st.sampled_from(["arcsec", "pixel", "mile"]),
                "sid": st.integers(0, 2**63).map(str),
                "get_dataid": st.sampled_from(["", "get"]),
                "POS": st.sampled_from(["CIRCLE 1 2 3", ""]),
                "other": st.text(),
            },
        )
    )
    pairs = list(plain.items())
    shuffled = draw(st.permutations(pairs))
    upper = [draw(st.lists(st.booleans(), min_size=len(name), max_size=len(name))) for name, _ in shuffled]
    return pairs, [(recase(name, case), value) for (name, value), case in zip(shuffled, upper, strict=True)]


@given(requests())
def test_neither_order_nor_case_of_names_matters(request_twice: tuple[list[tuple[str, str]], ...]) -> None:
    def outcome(pairs: list[tuple[str, str]]) -> object:
        try:
            parsed = parse_parameters(DECLARED, pairs)
        except UsageFault as fault:
            return fault.parameter, fault.message
        return list(parsed.values.items()), {name.lower() for name in parsed.unknown}

    plain, shuffled = request_twice
    assert outcome(plain) == outcome(shuffled)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([parameter.name for parameter in DECLARED]) | st.text(st.characters()),
            st.text(st.characters()),
        )
    )
)
def test_any_text_is_read_or_is_a_usage_fault(pairs: list[tuple[str, str]]) -> None:
    try:
        parsed = parse_parameters(DECLARED, pairs)
    except UsageFault as fault:
        assert fault.parameter in {parameter.name for parameter in DECLARED}
        assert json.dumps(fault.message).encode()
        fault.message.encode()  # what a client sent garbled can still be answered in UTF-8
    else:
        near_misses(parsed.unknown, [parameter.name for parameter in DECLARED])
    second_question_mark(pairs)


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        ("fliter", "filter"),
        ("Widht", "width"),
        ("get_data_id", "get_dataid"),
        ("camco1", "camcol"),
        ("FILTERS", "filter"),
    ],
)
def test_near_misses_name_what_was_meant(sent: str, meant: str) -> None:
    known = ["ds", "ra", "dec", "filter", "width", "height", "camcol", "get_dataid"]
    assert near_misses(["RUNID", sent], known) == [(sent, meant)]


def test_near_misses_of_very_many_names_are_not_sought() -> None:
    assert near_misses((f"x{number}" for number in range(100)), ["filter"]) == []
    assert near_misses(["x"] * 100 + ["fliter"], ["filter"]) == []


@pytest.mark.parametrize(
    "value", ["calexp?sid=1", "raw?get_dataid", "225,1?filter=i", '"calexp"?sid=1', "raw? sid=1?x=2"]
)
def test_a_second_question_mark_is_recognised(value: str) -> None:
    found = second_question_mark([("ra", "1"), ("ds", value)])
    assert found == (("ds", value) if " " not in value else None)


@pytest.mark.parametrize(
    "value",
    [
        "calexp",
        "what?",
        "ivo://example.org/db?raw/5646/r/4/694",
        "ivo://example.org/db?key=1",
        "a/b?c=d",
        "doi:10?c=d",
        "1?2=3",
    ],
)
def test_other_question_marks_are_not(value: str) -> None:
    assert second_question_mark([("ID", value)]) is None
