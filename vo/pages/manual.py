"""The page at ``/docs``: what there is to read."""

from imageserv.core.service import Service
from imageserv.vo.urls import Urls

from . import ivoa, v1
from .html import link, page, tag


def manual(urls: Urls, service: Service) -> dict[str, str]:
    """Write the pages of the manual, by their paths."""
    pages = {f"/docs/{name}": write(urls, service) for name, (_, write) in ivoa.PAGES.items()}
    pages["/docs/v1"] = v1.manual(urls, service)
    titles = {**{name: title for name, (title, _) in ivoa.PAGES.items()}, "v1": "The image API, version 1"}
    pages["/docs"] = page(
        "ImageServ: how to ask",
        tag("ul", *(tag("li", link(f"{urls.base}/docs/{name}", title)) for name, title in titles.items())),
        tag("p", "To begin with, ", link(f"{urls.base}/", "the start page"), " has recipes to copy."),
    )
    return pages
