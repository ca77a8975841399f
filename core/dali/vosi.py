"""VOSI 1.1: what a service says of its state and of its interfaces.

Neither ``queryType`` nor ``param`` is written: both are optional, and pyvo
warns its users of a second ``queryType`` and of any ``param``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from lxml import etree

from .documents import Element, clean, serialise

_AVAILABILITY = "http://www.ivoa.net/xml/VOSIAvailability/v1.0"
_CAPABILITIES = "http://www.ivoa.net/xml/VOSICapabilities/v1.0"
_XSI = "http://www.w3.org/2001/XMLSchema-instance"
_PREFIXES = {
    "vosi": _CAPABILITIES,
    "vr": "http://www.ivoa.net/xml/VOResource/v1.0",
    "vs": "http://www.ivoa.net/xml/VODataService/v1.1",
    "xsi": _XSI,
}
_TYPES = {"ParamHTTP": "vs:ParamHTTP", "WebBrowser": "vr:WebBrowser"}


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether a service accepts queries (VOSI 1.1 section 3.2).

    Parameters
    ----------
    available
        Whether it does, at this moment.
    notes
        Sentences for people.
    up_since
        When it started to, with its time zone.
    down_at, back_at
        When it will stop to, and when it will start again, with their time zones.
    """

    available: bool
    notes: tuple[str, ...] = ()
    up_since: datetime | None = None
    down_at: datetime | None = None
    back_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Interface:
    """One way to reach a capability (VOResource 1.1 section 3.2.2).

    Parameters
    ----------
    url
        The access URL, absolute.
    use
        ``full``: the URL as it stands; ``base``: parameters follow a ``?``.
    version
        Of the standard that it follows.
    type
        ``ParamHTTP`` for programs, ``WebBrowser`` for people.
    result_type
        Media type of the answer; only of a ``ParamHTTP``.
    """

    url: str
    use: Literal["full", "base"]
    version: str = "1.0"
    type: Literal["ParamHTTP", "WebBrowser"] = "ParamHTTP"
    result_type: str | None = None


@dataclass(frozen=True, slots=True)
class Capability:
    """One thing that a service does (VOResource 1.1 section 3.2.2).

    Parameters
    ----------
    interfaces
        Clients take the first that they understand.
    standard_id
        The IVOA identifier of the standard; None if it follows none.
    description
        One sentence for people.
    """

    interfaces: tuple[Interface, ...]
    standard_id: str | None = None
    description: str = ""


def availability_xml(availability: Availability) -> bytes:
    """Write the availability document (VOSI 1.1 section 3.2; the namespace is the schema's, the prose has another)."""
    root = etree.Element(f"{{{_AVAILABILITY}}}availability", nsmap={"vosi": _AVAILABILITY})
    _child(root, f"{{{_AVAILABILITY}}}available", str(availability.available).lower())
    for name, text in _moments(availability).items():
        _child(root, f"{{{_AVAILABILITY}}}{name}", text)
    for note in availability.notes:
        _child(root, f"{{{_AVAILABILITY}}}note", note)
    return serialise(root)


def availability_json(availability: Availability) -> dict[str, Any]:
    """Return the same facts as JSON values, by the names of the XML elements."""
    return {"available": availability.available, **_moments(availability), "note": list(availability.notes)}


def _moments(availability: Availability) -> dict[str, str]:
    moments = {"upSince": availability.up_since, "downAt": availability.down_at, "backAt": availability.back_at}
    return {
        name: moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"
        for name, moment in moments.items()
        if moment is not None
    }


def capabilities_xml(capabilities: Sequence[Capability]) -> bytes:
    """Write the capabilities document (VOSI 1.1 section 3.1): the root is in its namespace, what it holds in none."""
    root = etree.Element(f"{{{_CAPABILITIES}}}capabilities", nsmap=_PREFIXES)
    for capability in capabilities:
        _write_capability(root, capability)
    return serialise(root)


def capabilities_json(capabilities: Sequence[Capability]) -> dict[str, Any]:
    """Return the same facts as JSON values, by the names of the XML elements and attributes."""
    return {
        "capabilities": [
            _without_none(
                standardID=capability.standard_id,
                description=capability.description or None,
                interfaces=[
                    _without_none(
                        type=_TYPES[interface.type],
                        role="std" if capability.standard_id else None,
                        version=interface.version,
                        accessURL={"use": interface.use, "url": interface.url},
                        resultType=interface.result_type,
                    )
                    for interface in capability.interfaces
                ],
            )
            for capability in capabilities
        ]
    }


def _without_none(**facts: object) -> dict[str, object]:
    return {name: value for name, value in facts.items() if value is not None}


def _write_capability(root: Element, capability: Capability) -> None:
    element = etree.SubElement(root, "capability")
    if capability.standard_id:
        element.set("standardID", capability.standard_id)
    if capability.description:
        _child(element, "description", capability.description)
    for interface in capability.interfaces:
        child = etree.SubElement(element, "interface", {f"{{{_XSI}}}type": _TYPES[interface.type]})
        if capability.standard_id:
            child.set("role", "std")
        child.set("version", interface.version)
        _child(child, "accessURL", interface.url).set("use", interface.use)
        if interface.result_type:
            _child(child, "resultType", interface.result_type)


def _child(parent: Element, tag: str, text: str) -> Element:
    element = etree.SubElement(parent, tag)
    element.text = clean(text)
    return element
