"""The service: all repositories of one configuration."""

from collections.abc import Mapping

from .config import Config
from .errors import NotFoundFault
from .fits.opened import OpenImages
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
        opened = OpenImages(packed_bytes=config.cache_bytes)
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

    @property
    def default(self) -> Repository:
        """The repository that the configuration marks as default."""
        return next(repository for repository in self.repositories.values() if repository.default)

    def close(self) -> None:
        """Close all repositories."""
        for repository in self.repositories.values():
            repository.close()


def open_service(config: Config) -> Service:
    """Open all repositories of a configuration; raises what `Repository` raises."""
    return Service(config)
