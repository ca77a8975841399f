"""Availability and capabilities: one model each, as JSON and as VOSI's XML."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from imageserv.core.dali.vosi import Availability, Capability, Interface
from imageserv.core.dataset import Dataset
from imageserv.core.repository import Repository
from imageserv.core.service import Service
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
