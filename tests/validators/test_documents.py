"""What the service serves, against the schemas, astropy's strict reader, and the tables of the standards."""

import csv
import io
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import Any

import astropy.io.votable
import astropy.units as u
import pytest
from astropy.io.votable.ucd import parse_ucd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

read_votable: Any = astropy.io.votable.parse
unit_of: Any = u.Unit

BAD = "ivo://example.org/SKY?image/none"
SPECIAL = "ivo://example.org/SKY?<&>\"' \t%26\r\n"


def strictly(schema: etree.XMLSchema, content: bytes) -> Any:
    """Read a VOTable: valid by the schema, no warning by astropy, and only known UCDs and units."""
    schema.assertValid(etree.fromstring(content))
    document = read_votable(io.BytesIO(content), verify="exception")
    assert content.startswith(b"<?xml")
    described = [*document.iter_fields_and_params()]
    for each in described:
        if each.ucd:
            parse_ucd(each.ucd, check_controlled_vocabulary=True)
    for element in etree.fromstring(content).iter("{*}FIELD", "{*}PARAM"):
        if element.get("unit"):
            unit_of(element.get("unit"), format="vounit")
    identifiers = [each.get("ID") for each in etree.fromstring(content).iter() if each.get("ID")]
    assert len(identifiers) == len(set(identifiers))
    return document


def status(document: Any) -> list[tuple[str, str]]:
    (results,) = [resource for resource in document.resources if resource.type == "results"]
    return [(info.value, info.content or "") for info in results.infos if info.name == "QUERY_STATUS"]


LINKS: dict[str, Callable[[list[str]], list[str]]] = {
    **{f"image {number}": itemgetter(slice(number, number + 1)) for number in range(13)},
    "two": lambda ids: ids[:2],
    "all": lambda ids: ids,
    "too many": lambda ids: [*ids, *(f"{BAD}{number}" for number in range(60))],
    "bad": lambda ids: [BAD],
    "special": lambda ids: [SPECIAL],
    "beyond ASCII": lambda ids: ["ivo://étoile/\U0001f52d", "\x00\x1b"],
    "none": lambda ids: [],
    "good and bad": lambda ids: [BAD, ids[0], SPECIAL, ids[-1], "x", "é"],
}


@pytest.mark.parametrize("which", LINKS)
def test_links(archive: Any, votable_schema: etree.XMLSchema, which: str) -> None:
    ids = LINKS[which](archive.ids)
    document = strictly(votable_schema, archive.document("links", *(("ID", each) for each in ids)))
    assert [value for value, _ in status(document)] == ["OK", *(["OVERFLOW"] if which == "too many" else [])]


SIA = [
    *["", "MAXREC=0", "MAXREC=1", "POS=CIRCLE+10+20+0.1", "TARGET=nobody", "COLLECTION=Hill.2", "CALIB=1&DPTYPE=image"],
    *["POS=RANGE+0+360+89+%2BInf", "POL=V", "BAND=-inf+inf", "RESPONSEFORMAT=text/xml"],
]


@pytest.mark.parametrize("query", SIA)
def test_searches(archive: Any, votable_schema: etree.XMLSchema, query: str) -> None:
    document = strictly(votable_schema, archive.client.get(f"sia?{query}").content)
    assert status(document)[0] == ("OK", "")
    assert [value for value, _ in status(document)[1:]] == (["OVERFLOW"] if query.startswith("MAXREC") else [])


ERRORS = [
    ("sia", "POS=CIRCLE+1", 400),
    ("sia", "BAND=NaN", 400),
    ("sia", "MAXREC=-1", 400),
    ("sia", "RESPONSEFORMAT=gif", 400),
    ("sia", "TARGET=%00%3Ca%26b%3E&POS=%ED%A0%80%1B", 400),
    ("links", "RESPONSEFORMAT=fits", 400),
    ("links", f"RUNID={'x' * 65}", 400),
    ("links", "RUNID=a&runid=b", 400),
]


@pytest.mark.parametrize(("resource", "query", "code"), ERRORS)
def test_errors(archive: Any, votable_schema: etree.XMLSchema, resource: str, query: str, code: int) -> None:
    response = archive.client.get(f"{resource}?{query}")
    assert response.status_code == code
    ((value, message),) = status(strictly(votable_schema, response.content))
    assert (value, message.partition(":")[0]) == ("ERROR", "UsageFault")


def test_formats_say_the_same(archive: Any, votable_schema: etree.XMLSchema) -> None:
    def text(value: Any) -> str:
        return "" if value is None else str(value)

    table = strictly(votable_schema, archive.document("sia")).get_first_table()
    rows = archive.client.get("sia?RESPONSEFORMAT=json").json()["data"]
    names = [field.name for field in table.fields]
    assert len(rows) == len(archive.ids) == 13 and all(list(row) == names for row in rows)
    for name in names:
        column = table.array[name]
        values = column.tolist()
        if column.dtype.kind == "f":
            assert values == [row[name] for row in rows], name
        elif column.dtype.kind == "i":
            assert values == [row[name] for row in rows], name
        else:
            assert values == [text(row[name]) for row in rows], name
    expected = [[text(value) for value in row.values()] for row in rows]
    head, *read = csv.reader(io.StringIO(archive.client.get("sia?RESPONSEFORMAT=csv").text, newline=""))
    assert (head, read) == (names, expected)
    lines = archive.client.get("sia?RESPONSEFORMAT=tsv").text.splitlines()
    assert [line.split("\t") for line in lines] == [names, *expected]


# ObsCore 1.1 tables 1, 5 and 6, as the standard has them: name, datatype, unit, UCD, utype.
OBSCORE = """
dataproduct_type   char               meta.code.class            ObsDataset.dataProductType
calib_level        int                meta.code;obs.calib        ObsDataset.calibLevel
obs_collection     char               meta.id                    DataID.collection
obs_id             char               meta.id                    DataID.observationID
obs_publisher_did  char               meta.ref.ivoid             Curation.publisherDID
access_url         char               meta.ref.url               Access.reference
access_format      char               meta.code.mime             Access.format
access_estsize     long     kbyte     phys.size;meta.file        Access.size
target_name        char               meta.id;src                Target.name
s_ra               double   deg       pos.eq.ra        Char.SpatialAxis.Coverage.Location.Coord.Position2D.Value2.C1
s_dec              double   deg       pos.eq.dec       Char.SpatialAxis.Coverage.Location.Coord.Position2D.Value2.C2
s_fov              double   deg       phys.angSize;instr.fov     Char.SpatialAxis.Coverage.Bounds.Extent.diameter
s_region           char               pos.outline;obs.field      Char.SpatialAxis.Coverage.Support.Area
s_resolution       double   arcsec    pos.angResolution          Char.SpatialAxis.Resolution.Refval.value
s_xel1             long               meta.number                Char.SpatialAxis.numBins1
s_xel2             long               meta.number                Char.SpatialAxis.numBins2
t_min              double   d         time.start;obs.exposure    Char.TimeAxis.Coverage.Bounds.Limits.StartTime
t_max              double   d         time.end;obs.exposure      Char.TimeAxis.Coverage.Bounds.Limits.StopTime
t_exptime          double   s         time.duration;obs.exposure Char.TimeAxis.Coverage.Support.Extent
t_resolution       double   s         time.resolution            Char.TimeAxis.Resolution.Refval.value
t_xel              long               meta.number                Char.TimeAxis.numBins
em_min             double   m         em.wl;stat.min             Char.SpectralAxis.Coverage.Bounds.Limits.LoLimit
em_max             double   m         em.wl;stat.max             Char.SpectralAxis.Coverage.Bounds.Limits.HiLimit
em_res_power       double             spect.resolution           Char.SpectralAxis.Resolution.ResolPower.refVal
em_xel             long               meta.number                Char.SpectralAxis.numBins
o_ucd              char               meta.ucd                   Char.ObservableAxis.ucd
pol_states         char               meta.code;phys.polarization Char.PolarizationAxis.stateList
pol_xel            long               meta.number                Char.PolarizationAxis.numBins
facility_name      char               meta.id;instr.tel          Provenance.ObsConfig.Facility.name
instrument_name    char               meta.id;instr              Provenance.ObsConfig.Instrument.name
obs_release_date   char               time.release               Curation.releaseDate
obs_title          char               meta.title;obs             DataID.title
s_pixel_scale      double   arcsec    phys.angSize;instr.pixel   Char.SpatialAxis.Sampling.RefVal.SamplingPeriod
"""
NEVER_NULL = {"calib_level", "obs_collection", "obs_id", "obs_publisher_did"}


def obscore() -> Iterator[tuple[str, str, str, str, str]]:
    for line in OBSCORE.split("\n")[1:-1]:
        name, datatype, *unit, ucd, utype = line.split()
        yield name, datatype, "".join(unit), ucd, f"obscore:{utype}"


def test_a_search_has_the_columns_of_obscore(archive: Any) -> None:
    (table,) = etree.fromstring(archive.document("sia")).findall(".//{*}TABLE")
    found = {
        (each.get("name"), each.get("datatype"), each.get("unit", ""), each.get("ucd"), each.get("utype"))
        for each in table.iterfind("{*}FIELD")
    }
    assert len(found) == len(table.findall("{*}FIELD")) == 33
    assert found == set(obscore())
    for field in table.iterfind("{*}FIELD"):
        assert field.get("arraysize") == ("*" if field.get("datatype") == "char" else None)
    xtypes = {field.get("name"): field.get("xtype") for field in table.iterfind("{*}FIELD") if field.get("xtype")}
    assert xtypes == {"s_region": "adql:REGION", "obs_release_date": "timestamp"}
    assert table.findtext("{*}FIELD[@ID='primaryID']/{*}DESCRIPTION")


def test_what_obscore_wants_is_never_null(archive: Any) -> None:
    rows = archive.client.get("sia?RESPONSEFORMAT=json").json()["data"]
    for row in rows:
        assert [name for name in NEVER_NULL if row[name] in (None, "")] == []
        assert row["access_format"] == "application/x-votable+xml;content=datalink"
    assert len({row["obs_publisher_did"].lower() for row in rows}) == len(rows)


# SODA 1.0 section 4.3 with Erratum 1: name, datatype, arraysize, xtype, unit, UCD.
SODA = {
    "ID": ("char", "*", None, None, "meta.id;meta.dataset"),
    "POS": ("char", "*", None, None, "pos.outline;obs"),
    "CIRCLE": ("double", "3", "circle", "deg", "pos.outline;obs"),
    "POLYGON": ("double", "*", "polygon", "deg", "pos.outline;obs"),
    "BAND": ("double", "2", "interval", "m", "em.wl;stat.interval"),
    "TIME": ("double", "2", "interval", "d", "time.interval;obs.exposure"),
    "POL": ("char", "*", None, None, "meta.code;phys.polarization"),
    "PIXELS": ("char", "*", None, None, "pos.outline;instr.pixel"),
    "DETAIL": ("char", "*", None, None, "meta.code"),
}
OWN = {
    "SEEING": ("double", None, None, "arcsec", "instr.obsty.seeing"),
    "STRETCH": ("char", "*", None, None, "meta.code"),
}


def params(element: Any) -> dict[str, Any]:
    return {each.get("name"): each for each in element.iterfind("{*}GROUP[@name='inputParams']/{*}PARAM")}


def factors(param: Any) -> tuple[str | None, ...]:
    return tuple(param.get(name) for name in ("datatype", "arraysize", "xtype", "unit", "ucd"))


def cutout_services(content: bytes) -> list[Any]:
    return etree.fromstring(content).findall("{*}RESOURCE[@type='meta']")


def test_soda_is_described_with_the_strings_by_which_clients_know_it(archive: Any) -> None:
    tuned = next(each for each in archive.ids if "tuned" in each)
    radio = next(each for each in archive.ids if "radio" in each)
    described: dict[str, Any] = {}
    for identifier in (tuned, radio):
        service, jobs = cutout_services(archive.document("links", ("ID", identifier)))
        assert service.get("utype") == jobs.get("utype") == "adhoc:service"
        facts = {each.get("name"): each.get("value") for each in jobs.iterfind("{*}PARAM")}
        assert facts == {"standardID": "ivo://ivoa.net/std/SODA#async-1.0", "accessURL": f"{archive.url}/async"}
        facts = {each.get("name"): each.get("value") for each in service.iterfind("{*}PARAM")}
        assert facts == {
            "standardID": "ivo://ivoa.net/std/SODA#sync-1.0",
            "accessURL": f"{archive.url}/sync",
            "contentType": "application/fits",
        }
        found = params(service)
        assert (found["ID"].get("value"), found["ID"].get("ref")) == (identifier, None)
        assert [name for name, param in found.items() if name != "ID" and param.get("value") != ""] == []
        assert all(param.findtext("{*}DESCRIPTION") for param in found.values())
        described[identifier] = {name: factors(param) for name, param in found.items()}
    for name, expected in SODA.items():
        assert {each[name] for each in described.values() if name in each} == {expected}
    assert {name: described[tuned].get(name) for name in OWN} == OWN
    assert not set(OWN) & set(described[radio])
    # Whatever else there is must not look like a parameter of the standard.
    others = [value for each in described.values() for name, value in each.items() if name not in SODA]
    triples = {(name, *value[3:]) for name, value in SODA.items() if name not in ("PIXELS", "DETAIL")}
    assert not triples & {("", *value[3:]) for value in others}


def test_the_services_of_a_document_have_ids_and_names_of_their_own(archive: Any) -> None:
    content = archive.document("links", *(("ID", each) for each in archive.ids))
    services = cutout_services(content)
    assert len(services) == 4  # with the parameters of one dataset, and without; each for jobs as well
    assert len({each.get("ID") for each in services}) == len({each.get("name") for each in services}) == 4
    for service in services:
        found = params(service)
        assert (found["ID"].get("value"), found["ID"].get("ref")) == ("", "primaryID")
        assert service.find(".//{*}MAX") is None  # no image's own values
    by_id = {each.get("ID"): set(params(each)) & set(OWN) for each in services}
    table = read_votable(io.BytesIO(content)).get_first_table().array
    for row in table:
        if row["semantics"] == "#cutout":
            assert by_id[row["service_def"]] == (set(OWN) if "tuned" in row["ID"] else set())


def test_a_search_describes_itself_and_links(archive: Any, votable_schema: etree.XMLSchema) -> None:
    content = archive.document("sia?MAXREC=0")
    strictly(votable_schema, content)
    this, _, datalink = etree.fromstring(content)
    assert (this.get("utype"), datalink.get("utype")) == ("adhoc:this", "adhoc:service")
    facts = [{each.get("name"): each.get("value") for each in part.iterfind("{*}PARAM")} for part in (this, datalink)]
    assert [(each["standardID"], each["accessURL"]) for each in facts] == [
        ("ivo://ivoa.net/std/SIA#query-2.0", f"{archive.url}/sia"),
        ("ivo://ivoa.net/std/DataLink#links-1.1", f"{archive.url}/links"),
    ]
    found = params(this)
    # SIA 2.0 section 2.1
    assert set(found) >= {
        *["POS", "BAND", "TIME", "POL", "FOV", "SPATRES", "SPECRP", "EXPTIME", "ID", "COLLECTION", "FACILITY"],
        *["INSTRUMENT", "DPTYPE", "CALIB", "TARGET", "TIMERES", "FORMAT", "MAXREC", "RESPONSEFORMAT"],
    }
    # Firefly knows its widgets by name and UCD.
    ucds = {
        name: found[name].get("ucd") for name in ("BAND", "CALIB", "DPTYPE", "COLLECTION", "FACILITY", "INSTRUMENT")
    }
    assert ucds == {
        "BAND": "em.wl",
        "CALIB": "meta.code;obs.calib",
        "DPTYPE": "meta.id",
        "COLLECTION": "meta.id",
        "FACILITY": "meta.id;instr.tel",
        "INSTRUMENT": "meta.id;instr",
    }
    options = {name: [each.get("value") for each in param.iterfind(".//{*}OPTION")] for name, param in found.items()}
    assert options["COLLECTION"] == ["SKY", "Hill.2"]
    assert options["FACILITY"] == ["Hill & Dale <Observatory>"]
    assert {param.get("value") for param in found.values()} == {""}
    (identifier,) = params(datalink).values()
    assert (identifier.get("name"), identifier.get("value"), identifier.get("ref")) == ("ID", "", "primaryID")


# --- VOSI


def test_vosi(archive: Any, vosi_schema: etree.XMLSchema) -> None:
    for name in ("availability", "capabilities"):
        vosi_schema.assertValid(etree.fromstring(archive.document(name)))


def test_availability_during_maintenance(archive: Any, vosi_schema: etree.XMLSchema) -> None:
    now = datetime.now(UTC)
    announcements = [
        "",
        "note = 'a < b & \\u00e9'",
        f"down_at = {(now + timedelta(days=1)).isoformat()}\nback_at = {(now + timedelta(days=2)).isoformat()}",
        "down_at = 2020-01-01\nback_at = 2020-01-02T03:04:05+02:00",
        "this is no TOML",
        "down_at = 'tomorrow'",
    ]
    try:
        for text in announcements:
            archive.maintenance.write_text(text)
            vosi_schema.assertValid(etree.fromstring(archive.document("availability")))
    finally:
        archive.maintenance.unlink()


# --- any request


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(
    known=st.lists(st.integers(0, 12), max_size=6),
    unknown=st.lists(st.text(st.characters(codec="utf-8")), max_size=6),
    seed=st.randoms(use_true_random=False),
)
def test_any_identifiers_have_links(
    archive: Any, votable_schema: etree.XMLSchema, known: list[int], unknown: list[str], seed: Any
) -> None:
    asked = [*(archive.ids[number] for number in known), *unknown]
    seed.shuffle(asked)
    content = archive.document("links", *(("ID", each) for each in asked))
    strictly(votable_schema, content)
    rows = [[cell.text or "" for cell in row] for row in etree.fromstring(content).iterfind(".//{*}TR")]
    told = [row[0] for row in rows]
    # Form encoding keeps every character; XML has none for some of them.
    expected = [each for each in dict.fromkeys(asked) if each.strip()]
    assert list(dict.fromkeys(told)) == list(dict.fromkeys(as_xml_has_it(each) for each in expected))
    assert len(told) == sum(2 if each in archive.ids else 1 for each in expected)
    for row in rows:
        identifier, access_url, service_def, error_message, _, semantics, *_ = row
        assert [bool(cell) for cell in (access_url, service_def, error_message)].count(True) == 1
        assert semantics == ("#cutout" if service_def else "#this")
        assert not error_message or error_message.startswith("NotFoundFault: ")
        assert bool(error_message) == (identifier not in archive.ids)


def as_xml_has_it(text: str) -> str:
    """Replace, one character at a time, what production [2] of XML 1.0 leaves out."""
    ranges = (("\u0020", "\ud7ff"), ("\ue000", "\ufffd"), ("\U00010000", "\U0010ffff"))
    return "".join(
        each if each in "\t\n\r" or any(low <= each <= high for low, high in ranges) else "\ufffd" for each in text
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                ["POS", "BAND", "TIME", "POL", "ID", "CALIB", "MAXREC", "FORMAT", "TARGET", "FOV", "RUNID"]
            ),
            st.text(st.characters(codec="utf-8"))
            | st.sampled_from(["CIRCLE 10 20 1", "1 2", "-inf inf", "I", "2", "0", "POLYGON 9 19 11 19 10 21", "nan"]),
        ),
        max_size=4,
    ),
    st.sampled_from(["", "votable", "json", "csv", "tsv"]),
)
def test_any_search_is_answered(
    archive: Any, votable_schema: etree.XMLSchema, pairs: list[tuple[str, str]], name: str
) -> None:
    lists: dict[str, list[str]] = {"RESPONSEFORMAT": [name]}
    for key, value in pairs:
        lists.setdefault(key, []).append(value)
    response = archive.client.post("sia", data=lists)
    assert response.status_code in (200, 400)
    kind = response.headers["content-type"].partition(";")[0]
    if name in ("", "votable"):
        assert kind == "application/x-votable+xml"
        assert (status(strictly(votable_schema, response.content))[0][0] == "OK") == (response.status_code == 200)
    elif response.status_code == 400:
        assert kind == "text/plain"
        assert response.text.startswith("UsageFault: ")
    elif name == "json":
        assert json.loads(response.content)["query_status"] in ("OK", "OVERFLOW")
    else:
        lines = response.text.splitlines()
        assert lines[0].startswith("dataproduct_type") and len(lines) <= 14
