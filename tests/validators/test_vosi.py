"""VOSI documents, of any state, against the schemas; pyvo's own reading is in tests/core/dali."""

from datetime import datetime, timedelta, timezone

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from imageserv.core.dali.vosi import Availability, Capability, Interface, availability_xml, capabilities_xml

ANY_TEXT = st.text(st.characters())  # lone surrogates too
ZONES = st.integers(-840, 840).map(lambda minutes: timezone(timedelta(minutes=minutes)))
MOMENTS = st.none() | st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29), timezones=ZONES)
URLS = st.text("abcXYZ019-._~/?&=%;:@!$'()*+,").map(lambda text: f"https://h/{text.replace('%', '%20')}")

AVAILABILITIES = st.builds(Availability, st.booleans(), st.lists(ANY_TEXT).map(tuple), MOMENTS, MOMENTS, MOMENTS)
INTERFACES = st.one_of(
    st.builds(
        Interface,
        URLS,
        st.sampled_from(["full", "base"]),
        version=st.sampled_from(["1.0", "2.0"]),
        result_type=st.none() | st.just("a/b;c=d"),
    ),
    st.builds(Interface, URLS, st.just("full"), type=st.just("WebBrowser")),
)
CAPABILITIES = st.builds(
    Capability,
    st.lists(INTERFACES, min_size=1, max_size=3).map(tuple),
    st.none() | st.just("ivo://ivoa.net/std/SODA#sync-1.0"),
    ANY_TEXT,
)

relaxed = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@relaxed
@given(AVAILABILITIES)
def test_any_availability_is_valid(vosi_schema: etree.XMLSchema, model: Availability) -> None:
    vosi_schema.assertValid(etree.fromstring(availability_xml(model)))


@relaxed
@given(st.lists(CAPABILITIES, min_size=1, max_size=4))
def test_any_capabilities_are_valid(vosi_schema: etree.XMLSchema, model: list[Capability]) -> None:
    vosi_schema.assertValid(etree.fromstring(capabilities_xml(model)))


def test_the_schemas_refuse_a_wrong_document(vosi_schema: etree.XMLSchema) -> None:
    capabilities = capabilities_xml([Capability((Interface("https://h/sia", "base"),), "ivo://ivoa.net/std/SIA")])
    assert not vosi_schema.validate(etree.fromstring(capabilities.replace(b"standardID", b"standardid")))
    availability = availability_xml(Availability(True))
    assert not vosi_schema.validate(etree.fromstring(availability.replace(b"true", b"perhaps")))
