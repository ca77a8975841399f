"""The page about version 1 of the image API."""

from imageserv.core.dali.documents import Element
from imageserv.core.dali.parameters import Parameter
from imageserv.core.dali.places import UNIT_ALIASES
from imageserv.core.dataset import Dataset, Key, type_names
from imageserv.core.manager import DatasetPlugin
from imageserv.core.repository import Repository
from imageserv.core.service import Service
from imageserv.vo.urls import Urls
from imageserv.vo.v1.parameters import OPTIONAL, accepted, declare

from .formats import tiles
from .html import link, page, table, tag

_STATUSES = (
    ("200", "the answer, or 206 for a part of a stored file, or 304 for what the client has already"),
    ("400", "the client can mend the request: the message says how"),
    ("404", "no such repository, dataset or image, or a cutout without a pixel"),
    ("413", "more than a published limit"),
    ("500", "a fault of the service; its log has the id that the answer gives"),
    ("503", "the repository cannot be read at present, or the service is busy"),
)


def manual(urls: Urls, service: Service) -> str:
    """Write the page: each dataset's parameters, and what is answered."""
    limits = service.config.limits
    return page(
        "The image API, version 1",
        tag(
            "p",
            "GET or POST (a form, or JSON that follows ",
            link(urls.v1("schema"), "this schema"),
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
        tag("h2", "Answers"),
        table(("status", "meaning"), _STATUSES),
        tag(
            "p",
            f"A cutout has at most {limits.max_pixels} pixels in all its planes, a request's body at most"
            f" {limits.max_request_bytes} bytes. Errors are JSON, or a VOTable if XML is asked for (Accept or"
            " RESPONSEFORMAT). The headers X-ImageServ-Parent, -Requested, -Delivered, -Clipped, -Coverage and"
            " -Candidates, and cards in a cutout's primary header, say what was asked and what was delivered.",
        ),
        tiles(),
    )


def _parameters(urls: Urls, repository: Repository, plugin: DatasetPlugin) -> list[Element]:
    dataset = plugin.declaration
    rows = [
        (parameter.name, _values(parameter, dataset.key(parameter.name)), parameter.description)
        for parameter in declare(dataset)
    ]
    sets = [
        (what, " or ".join(", ".join(_needed(dataset, name) for name in names) for names in alternatives))
        for what, alternatives in accepted(dataset).items()
    ]
    return [
        tag("h2", f"{repository.name}, ds={plugin.name}"),
        tag("p", tag("code", urls.v1(repository.name))),
        table(("parameter", "values", "meaning"), rows),
        tag("p", "These go together:"),
        table(("for", "give"), sets),
    ]


def _needed(dataset: Dataset, name: str) -> str:
    own = [parameter.name for parameter in dataset.parameters]
    return f"{name} (optional)" if name in (*OPTIONAL, *own) else name


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
