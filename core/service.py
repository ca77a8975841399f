"""The service: all repositories of one configuration."""

from collections.abc import Mapping

from .config import Config
from .errors import NotFoundFault
from .fits.openimages import OpenImages, allow_files
from .identifiers import split_did
from .record import ImageRecord
from .repository import Repository


class Service:
    """All repositories of a configuration.

    Parameters
    ----------
    config
        As `imageserv.core.config.load` gives it.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        opened = OpenImages(
            most=config.open_images,
            memory=config.open_images_bytes,
            packed_bytes=config.cache_bytes,
            tile_bytes=config.tile_cache_bytes,
        )
        self.repositories: Mapping[str, Repository] = {
            name: Repository(repository, config, opened=opened) for name, repository in config.repositories.items()
        }

    def repository(self, name: str) -> Repository:
        """Return a repository by its db id.

        Raises
        ------
        NotFoundFault
            Raised if there is none of that name.
        """
        try:
            return self.repositories[name]
        except KeyError:
            raise NotFoundFault(
                f"no repository {name!r}; there are {', '.join(self.repositories)}", parameter="db"
            ) from None

    def find(self, publisher_did: str) -> tuple[Repository, ImageRecord]:
        """Return the image of an IVOA identifier, compared without case.

        Raises
        ------
        NotFoundFault
            Raised if it names no image here.
        UnavailableFault
            Raised if its repository's registry cannot be read.
        """
        parts = split_did(publisher_did)
        if parts is not None and parts[0].lower() == self.config.authority.lower():
            for repository in self.repositories.values():
                if repository.name.lower() == parts[1].lower():
                    record = repository.by_did(parts[2])
                    if record is not None:
                        return repository, record
        raise NotFoundFault(f"there is no image {publisher_did[:300]!r} here", parameter="ID")

    @property
    def default(self) -> Repository:
        """The repository that the configuration marks as default."""
        return next(repository for repository in self.repositories.values() if repository.default)

    def close(self) -> None:
        """Close all repositories."""
        for repository in self.repositories.values():
            repository.close()


def open_service(config: Config) -> Service:
    """Open all repositories of a configuration; raises what `Repository` raises.

    The process may then open as many files as there may be open images, as far as its hard limit goes.
    """
    allow_files(config.open_images)
    return Service(config)
