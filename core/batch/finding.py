"""From what a job says of an image to the image, if the job's owner may have it."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from imageserv.core.errors import ImageServError, NotFoundFault, UsageFault
from imageserv.core.manager import DatasetPlugin
from imageserv.core.record import ImageRecord
from imageserv.core.repository import Repository
from imageserv.core.selection import ByPosition, Selection
from imageserv.core.service import Service

Admits = Callable[[Repository, str], None]
"""Raises AuthenticationFault or AuthorizationFault if the job's owner may not have images of a dataset, by its name."""


@dataclass(frozen=True, slots=True)
class Found:
    """An image, and where it is."""

    repository: Repository
    selection: Selection

    @property
    def record(self) -> ImageRecord:
        """What the registry knows of the image."""
        return self.selection.record

    @property
    def dataset(self) -> DatasetPlugin:
        """The image's dataset."""
        return self.repository.datasets[self.record.dataset]


class Finder:
    """Finds images of a service; asks once for each dataset whether the owner may have them.

    All methods raise UnavailableFault if a registry cannot be read, and any
    other fault if the image cannot be given: there is none, or not for this owner.
    """

    def __init__(self, service: Service, admits: Admits) -> None:
        self._service = service
        self._admits = admits
        self._refused: dict[tuple[str, str], ImageServError | None] = {}
        self._homes = {
            home_number(repository.name, dataset): (repository, dataset)
            for repository in service.repositories.values()
            for dataset in repository.datasets
        }

    def by_did(self, publisher_did: str) -> Found:
        """Return the image of a publisher DID."""
        repository, record = self._service.find(publisher_did)
        return self._found(repository, record, 1)

    def by_science_id(self, home: int, science_id: int, candidates: int) -> Found:
        """Return an image that was found before, in the dataset of that `home_number`."""
        repository, dataset = self._homes.get(home, (None, ""))
        record = None if repository is None else repository.registry.by_science_id(dataset, science_id)
        if repository is None or record is None:
            raise NotFoundFault(f"the image with the science id {science_id} is no longer there")
        return self._found(repository, record, candidates)

    def closest(self, collection: str | None, ds: str | None, ra: float, dec: float, bands: Mapping[str, str]) -> Found:
        """Return the image of a place, as the image API chooses it.

        Parameters
        ----------
        collection
            The repository; the service's default for None.
        ds
            The dataset; may be left out where the repository has but one.
        bands
            Values of the keys, in lower case, by which datasets tell images of one place apart.
        """
        repository = self._service.default if collection is None else self._service.repository(collection)
        plugin = choose_dataset(repository, ds)
        self._admit(repository, plugin.name)
        key = plugin.declaration.band_key
        chosen = None
        if key is not None:
            band, declared = bands.get(key.lower()), plugin.declaration.key(key)
            if band is None or declared is None:
                raise UsageFault(f"{key} is missing: {plugin.name} has images of several at one place", parameter=key)
            chosen = str(declared.parse(band))
        return Found(repository, repository.select(plugin, ByPosition(ra, dec, chosen)))

    def _found(self, repository: Repository, record: ImageRecord, candidates: int) -> Found:
        self._admit(repository, record.dataset)
        return Found(repository, Selection(record, candidates, repository.publisher_did(record)))

    def _admit(self, repository: Repository, dataset: str) -> None:
        key = (repository.name, dataset)
        if key not in self._refused:
            try:
                self._admits(repository, dataset)
                self._refused[key] = None
            except ImageServError as fault:
                self._refused[key] = fault
        refusal = self._refused[key]
        if refusal is not None:
            raise refusal.with_traceback(None)


def home_number(repository: str, dataset: str) -> int:
    """Return a number for a dataset of a repository: the same for every process, whatever else is configured."""
    digest = hashlib.blake2b(f"{repository} {dataset}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def choose_dataset(repository: Repository, ds: str | None) -> DatasetPlugin:
    """Return a dataset by its name, or the only one.

    Raises
    ------
    NotFoundFault
        Raised if there is none of that name.
    UsageFault
        Raised if there are several and no name.
    """
    if ds is not None:
        return repository.dataset(ds)
    if len(repository.datasets) > 1:
        names = ", ".join(repository.datasets)
        raise UsageFault(f"ds is missing: it names the dataset of {repository.name}, one of {names}", parameter="ds")
    return next(iter(repository.datasets.values()))
