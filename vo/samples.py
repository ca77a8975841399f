"""Images of this very service, to write examples with."""

from collections.abc import Mapping

from imageserv.core.errors import UnavailableFault
from imageserv.core.record import ImageRecord
from imageserv.core.repository import Repository
from imageserv.core.sky.caps import vector_to_degrees


def sample(repository: Repository, dataset: str, headers: Mapping[str, str]) -> ImageRecord | None:
    """Return an image that a client with these headers may have; None if there is none. Reads a registry."""
    try:
        return repository.registry.sample(dataset) if repository.admits(dataset, headers) else None
    except UnavailableFault:  # availability tells of it
        return None


def middle(record: ImageRecord) -> tuple[float, float] | None:
    """Return right ascension and declination of an image's middle, ICRS degrees, to 5 decimals; None if it has none."""
    if record.footprint is None:
        return None
    ra, dec = vector_to_degrees(record.footprint.center.tolist())
    return round(ra, 5), round(dec, 5)
