"""Requests of v1 worth trying: those that datasets declare, and those for images that are there."""

from collections.abc import Mapping
from urllib.parse import urlencode

from imageserv.core.repository import Repository
from imageserv.vo.samples import middle, sample
from imageserv.vo.urls import Urls

Example = tuple[str, str, str]
"""Dataset, title, URL."""


def declared(urls: Urls, repository: Repository) -> list[Example]:
    """Return the requests that a repository's datasets think worth trying: the images of their demos answer them."""
    return [
        _example(urls, repository, plugin.name, example.title, example.query)
        for plugin in repository.datasets.values()
        for example in plugin.declaration.examples
    ]


def present(urls: Urls, repository: Repository, headers: Mapping[str, str]) -> list[Example]:
    """Return requests for an image of each dataset that a client with these headers may have. Reads the registry."""
    found: list[Example] = []
    for plugin in repository.datasets.values():
        record = sample(repository, plugin.name, headers)
        if record is None:
            continue
        queries: dict[str, Mapping[str, object]] = {
            "An image by its data id": record.data_id,
            "The same by its science id": {"sid": record.science_id},
        }
        if (place := middle(record)) is not None:
            band_key = plugin.declaration.band_key
            where = {"ra": place[0], "dec": place[1]} | ({} if band_key is None else {band_key: record.band})
            size = {"width": 20, "height": 20, "unit": "pixel"}  # any limit allows that
            queries["The image closest to a position"] = where
            queries["A cutout at a position, of 20 by 20 pixels"] = where | size
        found += [_example(urls, repository, plugin.name, title, query) for title, query in queries.items()]
    return found


def _example(urls: Urls, repository: Repository, dataset: str, title: str, query: Mapping[str, object]) -> Example:
    return dataset, title, f"{urls.v1(repository.name)}?{urlencode({'ds': dataset, **query}, safe=',/')}"
