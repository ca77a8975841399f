"""DALI 1.1 section 2.3: examples of requests, in a page that people and programs read."""

from collections.abc import Mapping
from dataclasses import dataclass

from lxml import etree

from imageserv.core.dali.documents import Element, clean, serialise
from imageserv.core.obscore import number
from imageserv.core.record import ImageRecord
from imageserv.core.service import Service
from imageserv.vo.samples import middle

from .links import SODA_ASYNC, SODA_SYNC
from .links import STANDARD as DATALINK_STANDARD
from .sia import STANDARD as SIA_STANDARD

_VOCABULARY = "http://www.ivoa.net/rdf/examples#"


@dataclass(frozen=True, slots=True)
class ServiceExample:
    """A request worth trying.

    Attributes
    ----------
    title
        One line for people.
    standard_id
        Of the service that answers it.
    resource
        That service's name below the base URL.
    parameters
        What to ask.
    """

    title: str
    standard_id: str
    resource: str
    parameters: Mapping[str, str]


def service_examples(service: Service, headers: Mapping[str, str]) -> list[ServiceExample]:
    """Return examples with images of this very service, one of each dataset that a client may have. Reads registries.

    Parameters
    ----------
    headers
        The request's.
    """
    found: list[ServiceExample] = []
    for repository in service.repositories.values():
        for dataset in repository.datasets:
            record = repository.registry.sample(dataset) if repository.admits(dataset, headers) else None
            if record is None:
                continue
            did = repository.publisher_did(record)
            found.append(ServiceExample(f"Links of an image of {dataset}", DATALINK_STANDARD, "links", {"ID": did}))
            found.append(_cutout(dataset, record, did))
            place = _place(record)
            if place is not None and record.pixel_scale is not None:
                radius = number(10 * record.pixel_scale / 3600)
                what = {"ID": did, "CIRCLE": f"{place} {radius}", "package": "tar", "PHASE": "RUN"}
                title = f"A job that cuts an image of {dataset}, and packs the results"
                found.append(ServiceExample(title, SODA_ASYNC, "async", what))
            if place is not None:
                found.append(
                    ServiceExample(
                        f"Images of {repository.name} around a place",
                        SIA_STANDARD,
                        "sia",
                        {"POS": f"CIRCLE {place} 0.01", "COLLECTION": repository.name},
                    )
                )
    return found


def _cutout(dataset: str, record: ImageRecord, did: str) -> ServiceExample:
    place = _place(record)
    if place is None or record.pixel_scale is None:
        what = {"PIXELS": "[1:20,1:20]"}
    else:
        what = {"CIRCLE": f"{place} {number(10 * record.pixel_scale / 3600)}"}
    return ServiceExample(f"A cutout of an image of {dataset}", SODA_SYNC, "sync", {"ID": did, **what})


def _place(record: ImageRecord) -> str | None:
    """Return longitude and latitude of an image's middle, ICRS degrees."""
    place = middle(record)
    return None if place is None else f"{number(place[0])} {number(place[1])}"


def examples_document(examples: list[ServiceExample]) -> bytes:
    """Write the page: XHTML with RDFa."""
    root = etree.Element("html", {"xmlns": "http://www.w3.org/1999/xhtml"})
    etree.SubElement(etree.SubElement(root, "head"), "title").text = "Examples of requests"
    body = etree.SubElement(root, "body")
    etree.SubElement(body, "h1").text = "Examples of requests"
    division = etree.SubElement(body, "div", {"vocab": _VOCABULARY})
    for at, example in enumerate(examples, 1):
        _write(division, f"example-{at}", example)
    return serialise(root)


def _write(parent: Element, identifier: str, example: ServiceExample) -> None:
    element = etree.SubElement(parent, "div", {"id": identifier, "resource": f"#{identifier}", "typeof": "example"})
    etree.SubElement(element, "h2", {"property": "name"}).text = clean(example.title)
    line = etree.SubElement(element, "p")
    etree.SubElement(line, "span", {"property": "capability"}).text = example.standard_id
    for name, value in example.parameters.items():
        line = etree.SubElement(element, "p")
        pair = etree.SubElement(line, "span", {"property": "generic-parameter", "typeof": "keyval"})
        key = etree.SubElement(pair, "span", {"property": "key"})
        key.text, key.tail = name, " = "
        etree.SubElement(pair, "span", {"property": "value"}).text = clean(value)
