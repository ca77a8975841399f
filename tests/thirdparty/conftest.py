"""Wheels, built from source and installed beside what is there, as their users do it."""

import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def install_wheel(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    """Build the wheel of a distribution; give the folder where it is installed, for PYTHONPATH."""

    def install(source: Path) -> Path:
        folder = tmp_path_factory.mktemp(source.name)
        command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
        subprocess.run(command, cwd=source, check=True, timeout=120)
        (wheel,) = folder.glob("*.whl")
        with zipfile.ZipFile(wheel) as packed:
            packed.extractall(folder / "site")
        return folder / "site"

    return install
