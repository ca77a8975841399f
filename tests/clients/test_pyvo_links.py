"""pyvo, unchanged: from the rows of a search to links, and from links to files and cutouts, many at once."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
import pyvo
from pyvo.dal import DALOverflowWarning, DALQueryError, DALServiceError

service_at: Any = pyvo.dal.SIA2Service
links_at: Any = pyvo.dal.adhoc.DatalinkResults.from_result_url

PLACED = ["zero", "north", "south", "a name", "etoile", "Twin", "twin", "packed", "tiles", "sip", "cube", "stokes"]


@pytest.fixture(scope="module")
def service(base: str) -> Any:
    return service_at(base)


@pytest.fixture
def requests_of(site: Any) -> Callable[[str], int]:
    """Count the requests for a resource that the service has answered."""

    def count(path: str) -> int:
        lines = site.client.get(f"{site.config.base_url}/metrics").text.splitlines()
        counters = [line for line in lines if line.startswith("imageserv_requests_total") and f'/{path}"' in line]
        return sum(int(line.split()[-1]) for line in counters)

    return count


def middle(row: Any, radius: float = 0.03) -> tuple[float, float, float]:
    """Give a circle in the middle of an image."""
    return float(row["s_ra"]), float(row["s_dec"]), radius


def test_a_row_leads_to_its_file_and_to_a_service(site: Any, service: Any) -> None:
    (row,) = service.search(target_name="packed")
    links = row.getdatalink()
    assert [link.semantics for link in links] == ["#this", "#cutout"]
    this, cutout = links
    content = site.client.get(this.access_url).content
    # What is gzipped in the archive is unpacked: the length is that of the answer.
    assert (this.content_type, this.content_length) == ("application/fits", len(content))
    assert site.window("packed", content) == ((0, 30), (0, 20))
    assert cutout.service_def
    assert cutout.access_url == f"{site.url}/sync"
    assert links.get_first_proc().semantics == "#cutout"
    assert [link.id for link in links] == [site.dids["packed"]] * 2
    assert not any(link.error_message for link in links)


def test_the_descriptor_of_one_image_has_its_values(site: Any, service: Any) -> None:
    (row,) = service.search(target_name="stokes")
    inputs = {each.name: each for each in row.getdatalink().get_first_proc().input_params}
    assert inputs["ID"].value == site.dids["stokes"] and not inputs["ID"].ref
    assert [value for _, value in inputs["POL"].values.options] == ["I", "Q", "U", "V"]
    assert inputs["BAND"].values.min == pytest.approx(row["em_min"])
    assert inputs["BAND"].values.max == pytest.approx(row["em_max"])
    assert {"POS", "CIRCLE", "POLYGON", "PIXELS", "DETAIL"} <= set(inputs)
    assert "TIME" not in inputs  # nobody knows when it was taken
    triples = {name: (str(each.ucd), str(each.unit or ""), each.xtype) for name, each in inputs.items()}
    assert triples["CIRCLE"] == ("pos.outline;obs", "deg", "circle")
    assert triples["POLYGON"] == ("pos.outline;obs", "deg", "polygon")
    assert triples["BAND"] == ("em.wl;stat.interval", "m", "interval")


def test_an_image_without_a_place_has_no_service_for_places(site: Any) -> None:
    links = links_at(f"{site.url}/links?ID={site.dids['unplaced']}")
    names = {each.name for each in links.get_first_proc().input_params}
    assert not names & {"POS", "CIRCLE", "POLYGON", "BAND", "POL"}
    cut = links.get_first_proc().processed(PIXELS="[3:5,7:9]")
    assert site.window("unplaced", cut.read()) == ((2, 5), (6, 9))


@pytest.mark.parametrize("name", [*PLACED, "transposed", "raw-r", "raw-g", "raw-z", "calexp-g", "coadd-r"])
def test_a_row_cuts_its_own_image(site: Any, service: Any, name: str) -> None:
    (row,) = service.search(target_name=name)
    circle = middle(row, 0.003)
    first = row.processed(circle=circle).read()
    assert site.window(name, first)
    # The same by way of its links, and by way of the document's address.
    assert row.getdatalink().get_first_proc().processed(circle=circle).read() == first
    assert links_at(row.access_url).get_first_proc().processed(circle=circle).read() == first


def test_each_of_a_batch_cuts_its_own_image(site: Any, service: Any, requests_of: Callable[[str], int]) -> None:
    found = service.search(publisher_did=[site.dids[name] for name in PLACED])
    asked = requests_of("links")
    seen: list[str] = []
    for links in found.iter_datalinks():
        row = links.original_row
        name = str(row.target_name)
        seen.append(name)
        assert {link.id for link in links} == {site.dids[name]}
        cut = links.get_first_proc().processed(circle=middle(row)).read()
        assert site.window(name, cut)
        this = next(link for link in links if link.semantics == "#this")
        assert site.window(name, site.client.get(this.access_url).content)
    assert sorted(seen) == sorted(PLACED)
    assert requests_of("links") == asked + 1


def test_a_batch_of_several_kinds_of_image(site: Any, service: Any) -> None:
    wanted = ["raw-r", "calexp-r", "coadd-r", "zero", "unplaced", "many-0026"]
    found = service.search(TARGET=wanted)
    for links in found.iter_datalinks():
        name = str(links.original_row.target_name)
        wanted.remove(name)
        cut = links.get_first_proc().processed(PIXELS="[2:3,4:4]", DETAIL="image").read()
        assert site.window(name, cut) == ((1, 3), (3, 4))
    assert wanted == []


def test_a_batch_in_the_order_of_the_rows(site: Any, service: Any) -> None:
    found = service.search(publisher_did=[site.dids[name] for name in PLACED])
    names = [str(links.original_row.target_name) for links in found.iter_datalinks(preserve_order=True)]
    assert names == [str(row.target_name) for row in found]


def test_2500_images_at_once(site: Any, service: Any, requests_of: Callable[[str], int]) -> None:
    found = service.search(collection="MANY", maxrec=2500)
    asked = requests_of("links")
    seen: set[str] = set()
    for number, links in enumerate(found.iter_datalinks()):
        name = str(links.original_row.target_name)
        seen.add(name)
        if number % 100 == 0:
            cut = links.get_first_proc().processed(PIXELS="[2:3,1:4]").read()
            assert site.window(name, cut) == ((1, 3), (0, 4))
    assert len(seen) == 2500
    assert requests_of("links") == asked + 1


def test_a_batch_beyond_the_limit_is_asked_for_in_parts(
    site: Any, serve_again: Callable[..., Any], requests_of: Callable[[str], int]
) -> None:
    other = serve_again(max_ids=5)
    found = service_at(other.url).search(TARGET=PLACED)
    with pytest.warns(DALOverflowWarning):
        names = [str(links.original_row.target_name) for links in found.iter_datalinks()]
    assert sorted(names) == sorted(PLACED)


def test_several_ids_in_one_address(site: Any) -> None:
    links = links_at(str(httpx.URL(f"{site.url}/links", params={"ID": [site.dids["twin"], site.dids["Twin"]]})))
    cut = {link.id: link.processed(PIXELS="[1:1,1:1]").read() for link in links if link.semantics == "#cutout"}
    assert site.window("twin", cut[site.dids["twin"]]) == ((0, 1), (0, 1))
    assert site.window("Twin", cut[site.dids["Twin"]]) == ((0, 1), (0, 1))
    shared, jobs = links.iter_adhocservices()
    assert [each.name for each in jobs.groups[0].entries] == [each.name for each in shared.groups[0].entries]
    inputs = {each.name: each for each in shared.groups[0].entries}
    assert inputs["ID"].ref == "primaryID" and not inputs["ID"].value
    assert not any(each.values.min or each.values.max for each in inputs.values())


@pytest.mark.parametrize(
    "unknown", ["ivo://archive.example/SKY?image/none.fits", "ivo://elsewhere/x?y", "nonsense", "ivo://", "é ' \" <&"]
)
def test_an_unknown_id_is_a_row_that_says_so(site: Any, unknown: str) -> None:
    links = links_at(str(httpx.URL(f"{site.url}/links", params={"ID": unknown})))
    (link,) = links
    assert (link.id, link.semantics) == (unknown, "#this")
    assert link.error_message.startswith("NotFoundFault: ")
    with pytest.raises(DALServiceError, match=r"^NotFoundFault"):
        link.getdataurl()


def test_an_unknown_id_spoils_no_batch(site: Any) -> None:
    wanted = [site.dids["zero"], "ivo://archive.example/SKY?image/gone.fits", site.dids["cube"]]
    links = links_at(str(httpx.URL(f"{site.url}/links", params={"ID": wanted})))
    assert [(link.id, link.semantics, bool(link.error_message)) for link in links] == [
        (wanted[0], "#this", False), (wanted[0], "#cutout", False),
        (wanted[1], "#this", True),
        (wanted[2], "#this", False), (wanted[2], "#cutout", False),
    ]  # fmt: skip


def test_the_spelling_of_an_id_is_echoed(site: Any) -> None:
    spelling = site.dids["etoile"].swapcase()
    links = links_at(str(httpx.URL(f"{site.url}/links", params={"ID": spelling})))
    assert [link.id for link in links] == [spelling] * 2
    assert site.window("etoile", links.get_first_proc().processed(PIXELS="[1:2,1:2]").read()) == ((0, 2), (0, 2))


def test_no_id_is_an_empty_table(site: Any) -> None:
    assert len(links_at(f"{site.url}/links")) == 0
    assert len(links_at(f"{site.url}/links?ID=")) == 0


def test_a_format_that_links_do_not_have_is_refused_with_the_reason(site: Any) -> None:
    with pytest.raises(DALQueryError, match=r"^UsageFault: .*RESPONSEFORMAT"):
        links_at(f"{site.url}/links?ID={site.dids['zero']}&RESPONSEFORMAT=application/fits")


def test_links_as_a_service_of_their_own(site: Any) -> None:
    service: Any = pyvo.dal.adhoc.DatalinkService(f"{site.url}/links")
    assert [link.semantics for link in service.run_sync(site.dids["zero"])] == ["#this", "#cutout"]


def test_a_limited_service_ends_with_the_whole_rows_of_an_id(serve_again: Callable[..., Any], site: Any) -> None:
    other = serve_again(max_ids=2)
    wanted = [site.dids[name] for name in ("zero", "cube", "sip")]
    with pytest.warns(DALOverflowWarning):
        links = links_at(str(httpx.URL(f"{other.url}/links", params={"ID": wanted})))
    assert [link.id for link in links] == [wanted[0], wanted[0], wanted[1], wanted[1]]


def test_a_session_that_knows_of_credentials_stays_anonymous(site: Any) -> None:
    session: Any = pyvo.auth.AuthSession()
    session.credentials.set_password("reader", "secret")
    service = service_at(site.url, session=session)
    found = service.search(TARGET=["zero", "cube"])
    for row in found:
        # A ready-made address, with its query, is one of those that capabilities give.
        assert len(row.getdatalink()) == 2
        assert len(links_at(row.access_url, session=session)) == 2
    for links in found.iter_datalinks():
        name = str(links.original_row.target_name)
        assert site.window(name, links.get_first_proc().processed(PIXELS="[1:2,1:2]").read())
