"""The page at ``/``."""

from collections.abc import Mapping

from imageserv.core.dali.documents import Element
from imageserv.core.repository import Repository
from imageserv.core.service import Service
from imageserv.vo.urls import Urls
from imageserv.vo.v1.examples import present

from .html import code, link, page, tag
from .recipes import recipes


def front(urls: Urls, service: Service, headers: Mapping[str, str]) -> str:
    """Write the page: what is here in plain words, how to get an image, and requests to try. Reads registries."""
    names = ", ".join(service.repositories)
    ready = recipes(urls, service, headers)
    return page(
        "ImageServ",
        tag(
            "p",
            f"Astronomical images of {names}, and cutouts of them, as FITS files: by position, by identifier, for"
            " programs and people. Nothing is resampled: a cutout has the image's own pixels, and its WCS is right.",
        ),
        *([tag("h2", "Get one")] if ready else []),
        *(element for name, text in ready for element in (tag("h3", name), code(text))),
        *(
            [
                tag(
                    "p",
                    "In TOPCAT itself: VO, Simple Image Access (SIA) Query, with the SIA URL ",
                    tag("code", urls.vo("sia")),
                    " and SIA version 2.",
                )
            ]
            if ready
            else []
        ),
        tag("h2", "Two ways to ask"),
        tag(
            "ul",
            tag(
                "li",
                "The protocols of the Virtual Observatory, for clients such as pyvo, TOPCAT, Aladin and Firefly: ",
                link(f"{urls.base}/docs/sia", "search (SIA2)"),
                ", ",
                link(f"{urls.base}/docs/links", "links (DataLink)"),
                ", ",
                link(f"{urls.base}/docs/soda", "cutouts (SODA)"),
                ", ",
                link(f"{urls.base}/docs/jobs", "many cutouts as jobs (UWS)"),
                ", ",
                link(f"{urls.base}/docs/vosi", "the rest (VOSI, DALI)"),
                ". The base URL is ",
                tag("code", urls.vo("").rstrip("/")),
                ".",
            ),
            tag(
                "li",
                "The image API, version 1, one URL for each repository: ",
                link(f"{urls.base}/docs/v1", "its parameters"),
                ". For programs: ",
                link(urls.v1("capabilities"), "capabilities"),
                ", ",
                link(urls.v1("availability"), "availability"),
                ", ",
                link(urls.v1("openapi.json"), "OpenAPI"),
                ", ",
                link(urls.v1("schema"), "the schema of JSON requests"),
                ".",
            ),
        ),
        *(
            section
            for repository in service.repositories.values()
            for section in _repository(urls, repository, headers)
        ),
    )


def _repository(urls: Urls, repository: Repository, headers: Mapping[str, str]) -> list[Element]:
    elements = [tag("h2", repository.name), tag("p", tag("code", urls.v1(repository.name)))]
    examples = present(urls, repository, headers)
    for plugin in repository.datasets.values():
        elements += [tag("h3", plugin.name), tag("p", plugin.declaration.description)]
        items = [
            tag("li", f"{title}: ", tag("a", tag("code", url.removeprefix(urls.base)), href=url))
            for ds, title, url in examples
            if ds == plugin.name
        ]
        if items:
            elements.append(tag("ul", *items))
    return elements
