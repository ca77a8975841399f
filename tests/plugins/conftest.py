from collections.abc import Callable
from pathlib import Path

import pytest

from imageserv.core.candidate import CandidateFile
from imageserv.core.config import Limits
from imageserv.core.fits.files import FileStore, UnpackedCache

Candidate = Callable[[Path, str], CandidateFile]


@pytest.fixture(scope="session")
def candidate(tmp_path_factory: pytest.TempPathFactory) -> Candidate:
    """Make the file below a root that ingest would show to a plugin."""
    cache = UnpackedCache(tmp_path_factory.mktemp("cache"), 10**9, 10**9)
    return lambda root, path: CandidateFile(FileStore(root, cache), path, Limits())
