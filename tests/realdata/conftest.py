"""Where the real images are: IMAGESERV_TEST_DATA, or ../shared/data beside the checkout."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Give the folder of real images; without it the tests that need it are skipped, and listed."""
    folder = Path(os.environ.get("IMAGESERV_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("no real images: set IMAGESERV_TEST_DATA to their folder")
    return folder
