"""Where things are, as clients see it."""

from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote


@dataclass(frozen=True, slots=True)
class Urls:
    """Absolute URLs of what the service has.

    Parameters
    ----------
    base
        The configured base URL.
    path
        The configured path of the API.
    """

    base: str
    path: str

    def v1(self, name: str) -> str:
        """Return the URL of a document of v1, or of a repository."""
        return f"{self.base}{self.path}/v1/{name}"

    def relative(self, name: str) -> str:
        """Return the same as v1's capabilities have it: below the host, by the alias."""
        return f"{self.prefixes[-1]}/v1/{name}".lstrip("/")

    def vo(self, name: str) -> str:
        """Return the URL of a resource of the Virtual Observatory's protocols, all of them siblings."""
        return f"{self.base}{self.path}/vo/{name}"

    def links(self, publisher_did: str) -> str:
        """Return the URL of the links document of one image."""
        return f"{self.vo('links')}?ID={_quoted(publisher_did)}"

    def file(self, repository: str, identifier: str) -> str:
        """Return the URL of a whole image; the ending tells clients that name files by it what it is."""
        return self.vo(f"files/{repository}/{identifier}.fits")

    @property
    def prefixes(self) -> tuple[str, ...]:
        """The path and, last, its alias: the specification writes some rows without ``/api``."""
        alias = self.path.removeprefix("/api")
        return (self.path, alias) if alias != self.path and alias.startswith("/") else (self.path,)


@lru_cache(maxsize=4096)  # searches find the same images again
def _quoted(text: str) -> str:
    return quote(text, safe="")
