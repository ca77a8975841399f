"""Pages for people, written from the declarations by which requests are read; nothing in them comes from elsewhere."""

from collections.abc import Iterable, Sequence

from lxml import etree

from imageserv.core.dali.documents import Element, clean
from imageserv.core.dali.parameters import Parameter
from imageserv.core.dataset import Key, type_names
from imageserv.core.manager import DatasetPlugin
from imageserv.core.repository import Repository
from imageserv.core.service import Service

from .v1.documents import Urls, examples
from .v1.parameters import OPTIONAL, UNIT_ALIASES, accepted, declare

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
body { color: #222; background: #fff; }
h1, h2, h3 { line-height: 1.2; }
a { color: #0b57a4; }
code { font-size: 0.9em; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: 0.3rem 0.6rem; border-bottom: 1px solid #ccc; }
@media (prefers-color-scheme: dark) {
  body { color: #ddd; background: #161616; }
  a { color: #8ab4f8; }
  th, td { border-color: #444; }
}
"""

_STATUSES = (
    ("200", "the answer, or 206 for a part of a stored file, or 304 for what the client has already"),
    ("400", "the client can mend the request: the message says how"),
    ("404", "no such repository, dataset or image, or a cutout without a pixel"),
    ("413", "more than a published limit"),
    ("500", "a fault of the service; its log has the id that the answer gives"),
    ("503", "the repository cannot be read at present, or the service is busy"),
)


def front(urls: Urls, service: Service) -> str:
    """Write the page at ``/``: the repositories, their datasets, and requests to try."""
    return _page(
        "ImageServ",
        _tag("p", "Astronomical images and cutouts of them, as FITS files, by position or by id."),
        _tag(
            "p",
            "How to ask: ",
            _link(f"{urls.base}/docs", "the parameters"),
            ". For programs: ",
            _link(urls.v1("capabilities"), "capabilities"),
            ", ",
            _link(urls.v1("availability"), "availability"),
            ", ",
            _link(urls.v1("openapi.json"), "OpenAPI"),
            ", ",
            _link(urls.v1("schema"), "the schema of JSON requests"),
            ".",
        ),
        *(section for repository in service.repositories.values() for section in _repository(urls, repository)),
    )


def manual(urls: Urls, service: Service) -> str:
    """Write the page at ``/docs``: each dataset's parameters, and what is answered."""
    limits = service.config.limits
    return _page(
        "ImageServ: how to ask",
        _tag(
            "p",
            "GET or POST (a form, or JSON that follows ",
            _link(urls.v1("schema"), "this schema"),
            "). Names of parameters are compared without case; an image is named by exactly one of a position,"
            " a data id and a science id. Positions are ICRS. With width and height the answer is a cutout, its pixels"
            " those of the stored image, clipped at the image's edge; without them it is the stored file.",
        ),
        *(
            section
            for repository in service.repositories.values()
            for plugin in repository.datasets.values()
            for section in _parameters(urls, repository, plugin)
        ),
        _tag("h2", "Answers"),
        _table(("status", "meaning"), _STATUSES),
        _tag(
            "p",
            f"A cutout has at most {limits.max_pixels} pixels in all its planes, a request's body at most"
            f" {limits.max_request_bytes} bytes. Errors are JSON, or a VOTable if XML is asked for (Accept or"
            " RESPONSEFORMAT). The headers X-ImageServ-Parent, -Requested, -Delivered, -Clipped, -Coverage and"
            " -Candidates, and cards in a cutout's primary header, say what was asked and what was delivered.",
        ),
    )


def _repository(urls: Urls, repository: Repository) -> list[Element]:
    elements = [_tag("h2", repository.name), _tag("p", _tag("code", urls.v1(repository.name)))]
    requests = examples(urls, repository)
    for plugin in repository.datasets.values():
        elements += [_tag("h3", plugin.name), _tag("p", plugin.declaration.description)]
        links = [
            _tag("li", f"{title}: ", _tag("a", _tag("code", url.removeprefix(urls.base)), href=url))
            for ds, title, url in requests
            if ds == plugin.name
        ]
        if links:
            elements.append(_tag("ul", *links))
    return elements


def _parameters(urls: Urls, repository: Repository, plugin: DatasetPlugin) -> list[Element]:
    dataset = plugin.declaration
    rows = [
        (parameter.name, _values(parameter, dataset.key(parameter.name)), parameter.description)
        for parameter in declare(dataset)
    ]
    sets = [
        (what, " or ".join(", ".join(map(_needed, names)) for names in alternatives))
        for what, alternatives in accepted(dataset).items()
    ]
    return [
        _tag("h2", f"{repository.name}, ds={plugin.name}"),
        _tag("p", _tag("code", urls.v1(repository.name))),
        _table(("parameter", "values", "meaning"), rows),
        _tag("p", "These go together:"),
        _table(("for", "give"), sets),
    ]


def _needed(name: str) -> str:
    return f"{name} (optional)" if name in OPTIONAL else name


def _values(parameter: Parameter, key: Key | None) -> str:
    """Describe the values of a parameter in a few words."""
    if key is not None and (key.parts or key.type is int):
        form = ",".join(part.name for part in key.parts) or type_names[key.type]
        return form + (
            f", {key.minimum} to {key.maximum}" if key.minimum is not None and key.maximum is not None else ""
        )
    if parameter.name == "unit":
        return ", ".join((*parameter.options, *UNIT_ALIASES))
    kind = {"double": "number", "long": "integer"}.get(parameter.datatype, "text")
    return ", ".join(parameter.options) or " ".join(filter(None, (kind, parameter.unit)))


def _link(url: str, text: str) -> Element:
    return _tag("a", text, href=url)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Element:
    return _tag(
        "table",
        _tag("thead", _tag("tr", *(_tag("th", name) for name in head))),
        _tag("tbody", *(_tag("tr", *(_tag("td", cell) for cell in row)) for row in rows)),
    )


def _page(title: str, *content: Element) -> str:
    head = _tag(
        "head",
        _tag("meta", charset="utf-8"),
        _tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        _tag("title", title),
        _tag("style", _STYLE),
    )
    page = _tag("html", head, _tag("body", _tag("h1", title), *content), lang="en")
    return etree.tostring(page, method="html", encoding="unicode", doctype="<!DOCTYPE html>")


def _tag(name: str, /, *content: str | Element, **attributes: str) -> Element:
    """Make an element of text and elements, in order."""
    element = etree.Element(name, {key: clean(value) for key, value in attributes.items()})
    for part in content:
        if not isinstance(part, str):
            element.append(part)
        elif len(element):
            element[-1].tail = (element[-1].tail or "") + clean(part)
        else:
            element.text = (element.text or "") + clean(part)
    return element
