"""Whether the service can answer: a look at each repository, at each time of asking."""

import asyncio
import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from imageserv.core.errors import ImageServError
from imageserv.core.repository import Repository
from imageserv.core.service import Service

_PATIENCE = 10.0  # seconds that a file system is waited for

_log = logging.getLogger(__name__)


class Health:
    """Looks after the repositories of a service.

    Attributes
    ----------
    started
        When this process began to serve.
    """

    def __init__(self, service: Service) -> None:
        self._repositories = service.repositories
        self.started = datetime.now(UTC)
        # A thread of its own: a file system that hangs must not look like a busy service, nor make it one.
        self._doctor = ThreadPoolExecutor(1, thread_name_prefix="availability")

    def close(self) -> None:
        """Let go of the thread."""
        self._doctor.shutdown(wait=False, cancel_futures=True)

    async def faults(self) -> Mapping[str, str | None]:
        """Look whether each repository can be read, and say why not; None for those that can."""
        found = await asyncio.gather(*map(self._fault, self._repositories.values()))
        return dict(zip(self._repositories, found, strict=True))

    async def _fault(self, repository: Repository) -> str | None:
        look = asyncio.get_running_loop().run_in_executor(self._doctor, repository.check)
        try:
            await asyncio.wait_for(look, _PATIENCE)
        except TimeoutError:
            return f"{repository.name} has not answered for {_PATIENCE:g} s"
        except ImageServError as fault:
            return fault.message
        except Exception:  # whatever a file system or a database comes up with: availability answers
            _log.exception("%s cannot be checked", repository.name)
            return f"{repository.name} cannot be read"
        return None
