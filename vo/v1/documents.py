"""Availability and capabilities: one model each, as JSON and as VOSI's XML."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any
from urllib.parse import urlencode

from imageserv.core.dali.vosi import Availability, Capability, Interface
from imageserv.core.dataset import Dataset
from imageserv.core.repository import Repository
from imageserv.core.service import Service
from imageserv.core.sky.footprint import vectors_to_degrees
from imageserv.vo.urls import Urls

from .nested import key_schema
from .parameters import accepted

VERSIONS = ("v1",)
"""The versions of the API that are served."""

FORMATS = {"json": ("application/json",), "xml": ("text/xml", "application/xml")}
"""The formats of these documents, by their short names."""


def availability_json(urls: Urls, faults: Mapping[str, str | None]) -> dict[str, Any]:
    """Write the availability document as v1 has it.

    Parameters
    ----------
    faults
        For each repository why it cannot be read, None if it can.
    """
    reasons = [reason for reason in faults.values() if reason]
    return {
        "Status": "; ".join(reasons) or "imageREST_v1 is accepting queries.",
        "available": str(not reasons).lower(),
        "versions": list(VERSIONS),
        "repositories": [
            {"name": name, "url": urls.v1(name), "available": str(reason is None).lower()}
            for name, reason in faults.items()
        ],
    }


def availability_model(urls: Urls, faults: Mapping[str, str | None]) -> Availability:
    """Return the same for VOSI."""
    document = availability_json(urls, faults)
    notes = tuple(f"{entry['name']}: {entry['url']}" for entry in document["repositories"])
    return Availability(document["available"] == "true", (document["Status"], *notes))


def capabilities_json(urls: Urls, service: Service) -> dict[str, Any]:
    """Write the capabilities document as v1 has it: three entries fixed by the specification, and ours."""
    return {
        "availability": {"url": urls.relative("availability")},
        "query": {"url": urls.relative(service.default.name), "interface": ["DAX"]},
        "capabilities": {"url": urls.relative("capabilities")},
        "repositories": [_repository(urls, repository) for repository in service.repositories.values()],
        "limits": asdict(service.config.limits),
    }


def capabilities_model(urls: Urls, service: Service) -> list[Capability]:
    """Return the same for VOSI, each repository a capability without a standard."""
    return [
        *(
            Capability((Interface(urls.v1(name), "full", version="1.1"),), f"ivo://ivoa.net/std/VOSI#{name}")
            for name in ("capabilities", "availability")
        ),
        *(
            Capability(
                (Interface(urls.v1(repository.name), "base", result_type="application/fits"),),
                description=f"Images and cutouts of {repository.name}: {', '.join(repository.datasets)}",
            )
            for repository in service.repositories.values()
        ),
    ]


def examples(urls: Urls, repository: Repository) -> list[tuple[str, str, str]]:
    """Return the requests that a repository's datasets think worth trying: dataset, title, URL."""
    return [
        (
            plugin.name,
            example.title,
            f"{urls.v1(repository.name)}?{urlencode({'ds': plugin.name, **example.query}, safe=',/')}",
        )
        for plugin in repository.datasets.values()
        for example in plugin.declaration.examples
    ]


def requests(urls: Urls, repository: Repository, headers: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Return requests for an image of each dataset that a client may have: dataset, title, URL. Reads the registry."""
    found: list[tuple[str, str, str]] = []
    for plugin in repository.datasets.values():
        record = repository.registry.sample(plugin.name) if repository.admits(plugin.name, headers) else None
        if record is None:
            continue
        ways: dict[str, Mapping[str, object]] = {
            "An image by its data id": record.data_id,
            "The same by its science id": {"sid": record.science_id},
        }
        if record.footprint is not None:
            ra, dec = (round(float(value), 5) for value in vectors_to_degrees(record.footprint.center))
            band_key = plugin.declaration.band_key
            place = {"ra": ra, "dec": dec} | ({} if band_key is None else {band_key: record.band})
            ways["The image closest to a position"] = place
            ways["A cutout at a position, of 20 by 20 pixels"] = place | {
                "width": 20,
                "height": 20,
                "unit": "pixel",
            }
        found += [
            (
                plugin.name,
                title,
                f"{urls.v1(repository.name)}?{urlencode({'ds': plugin.name, **query}, safe=',/')}",
            )
            for title, query in ways.items()
        ]
    return found


def _repository(urls: Urls, repository: Repository) -> dict[str, Any]:
    return {
        "name": repository.name,
        "url": urls.v1(repository.name),
        "default": repository.default,
        "datasets": [_dataset(plugin.name, plugin.declaration) for plugin in repository.datasets.values()],
    }


def _dataset(name: str, dataset: Dataset) -> dict[str, Any]:
    return {
        "name": name,
        "description": dataset.description,
        "keys": [{"name": key.name, **key_schema(key)} for key in dataset.keys],
        "filters": [{"name": band.name, "em_min": band.em_min, "em_max": band.em_max} for band in dataset.bands],
        "planes": list(dataset.planes),
        "accepted": accepted(dataset),
    }
