"""What pytest loads wherever ImageServ is installed: the fixtures of `imageserv.core.testing`.

Nothing is imported before a test asks for it.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .testing.archive import Archive
    from .testing.service import LiveService

pytest.register_assert_rewrite("imageserv.core.testing")


@pytest.fixture(scope="class")
def imageserv_archive(
    request: pytest.FixtureRequest, survey: Path, tmp_path_factory: pytest.TempPathFactory
) -> "Iterator[Archive]":
    """Give the files below the fixture `survey`, ingested by the plugin that the test class names."""
    from .testing.archive import Archive

    contract: Any = request.cls
    archive = Archive(contract.plugin, contract.options, survey, tmp_path_factory.mktemp("imageserv"))
    yield archive
    archive.close()


@pytest.fixture(scope="class")
def imageserv_service(imageserv_archive: "Archive") -> "Iterator[LiveService]":
    """Give a service of the same files, a process of its own."""
    from .testing.service import LiveService

    with LiveService(imageserv_archive) as service:
        yield service


@pytest.fixture(scope="session")
def imageserv_serve(
    tmp_path_factory: pytest.TempPathFactory,
) -> "Iterator[Callable[..., LiveService]]":
    """Serve files by a plugin, until the session ends: ``imageserv_serve("toy", root, {"files": "..."})``."""
    from .testing.archive import Archive
    from .testing.service import LiveService

    with ExitStack() as stack:

        def serve(plugin: str, root: Path, options: Mapping[str, object] | None = None) -> LiveService:
            archive = Archive(plugin, options or {}, root, tmp_path_factory.mktemp("imageserv"))
            stack.callback(archive.close)
            return stack.enter_context(LiveService(archive))

        yield serve
