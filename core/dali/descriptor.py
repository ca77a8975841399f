"""Service descriptors: how a VOTable tells clients to call a service (DataLink 1.1 section 4)."""

from collections.abc import Iterable
from dataclasses import dataclass

from lxml import etree

from .documents import Element, clean
from .parameters import Parameter


@dataclass(frozen=True, slots=True)
class Input:
    """One input parameter of a service, as a descriptor has it.

    Parameters
    ----------
    parameter
        What the service declares.
    value
        A fixed value; empty for one that the user sets.
    ref
        The XML ID of the column that has the value.
    minimum, maximum
        Bounds of sensible values, as text; of a circle or polygon the maximum alone covers all (SODA 1.0 section 4.3).
    options
        The sensible values, where they are fewer than the parameter's own.
    """

    parameter: Parameter
    value: str = ""
    ref: str = ""
    minimum: str = ""
    maximum: str = ""
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A service that a document describes.

    Parameters
    ----------
    standard_id
        Of the standard that the service follows, empty for none.
    access_url
        Where it is: the one in its capabilities.
    name, description
        For people; the name is unique in a document.
    inputs
        What it takes.
    id
        The XML ID by which links name it.
    content_type
        Media type of what it answers.
    this
        Whether it is the service that wrote the document (DataLink 1.1 section 4.2).
    """

    standard_id: str
    access_url: str
    name: str
    description: str
    inputs: tuple[Input, ...]
    id: str = ""
    content_type: str = ""
    this: bool = False


def descriptor_element(descriptor: Descriptor) -> Element:
    """Write a descriptor as a RESOURCE of type ``meta``, to stand at the top of a VOTable."""
    attributes = {
        "type": "meta",
        "utype": "adhoc:this" if descriptor.this else "adhoc:service",
        "ID": descriptor.id,
        "name": descriptor.name,
    }
    resource = etree.Element("RESOURCE", {name: clean(value) for name, value in attributes.items() if value})
    etree.SubElement(resource, "DESCRIPTION").text = clean(descriptor.description)
    facts = {
        "standardID": descriptor.standard_id,
        "accessURL": descriptor.access_url,
        "contentType": descriptor.content_type,
    }
    for name, value in facts.items():
        if value:
            fact = etree.SubElement(resource, "PARAM", {"name": name, "datatype": "char", "arraysize": "*"})
            if name == "accessURL":
                fact.set("ucd", "meta.ref.url")
            fact.set("value", clean(value))
    group = etree.SubElement(resource, "GROUP", {"name": "inputParams"})
    group.extend(map(_param, descriptor.inputs))
    return resource


def _param(given: Input) -> Element:
    parameter = given.parameter
    attributes = {
        "name": parameter.name,
        "datatype": parameter.datatype,
        "arraysize": parameter.arraysize,
        "xtype": parameter.xtype,
        "unit": parameter.unit,
        "ucd": parameter.ucd,
        "ref": given.ref,
    }
    element = etree.Element("PARAM", {name: clean(value) for name, value in attributes.items() if value})
    # Empty for a parameter that the user sets: clients take anything else for a constant.
    element.set("value", clean(given.value))
    etree.SubElement(element, "DESCRIPTION").text = clean(parameter.description)
    values = [*_values("MIN", given.minimum), *_values("MAX", given.maximum)]
    if not given.value:
        values += [each for option in given.options or parameter.options for each in _values("OPTION", option)]
    if values:
        etree.SubElement(element, "VALUES").extend(values)
    return element


def _values(name: str, value: str) -> Iterable[Element]:
    return [etree.Element(name, {"value": clean(value)})] if value else []
