"""A plugin that was written for version 1 of the contract, built and installed as such, still does all it did."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

SOURCE = Path(__file__).parent / "veteran"

SUITE = """
import numpy as np
import pytest
from astropy.io import fits
from imageserv.core.testing import DatasetContract

@pytest.fixture(scope="session")
def survey(tmp_path_factory):
    root = tmp_path_factory.mktemp("survey")
    (root / "plates").mkdir()
    for count, (name, glass) in enumerate([("3-014", "RED"), ("4-015", "CLEAR")]):
        primary = fits.PrimaryHDU()
        primary.header.update({"FILTER": glass, "OBJECT": "M 1", "SCANNER": 3})
        hdus = fits.HDUList([primary])
        values = np.random.default_rng(count).permutation(40 * 60).reshape(40, 60)
        for plane in ("SCAN", "DUST"):
            hdus.append(fits.ImageHDU(values.astype("i2" if plane == "SCAN" else "u1"), name=plane))
            hdus[-1].header.update({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CDELT1": -1e-4, "CDELT2": 1e-4})
            hdus[-1].header.update({"CRPIX1": 30.5, "CRPIX2": 20.5, "CRVAL1": 0.001, "CRVAL2": 5.0 + count})
        hdus.append(fits.BinTableHDU.from_columns([fits.Column("note", "4A", array=["fine"])], name="LOG"))
        hdus.writeto(root / "plates" / f"{name}.fits")
    return root

class TestVeteran(DatasetContract):
    plugin = "veteran"
"""


@pytest.fixture(scope="module")
def installed(install_wheel: Callable[[Path], Path]) -> Path:
    """Give the folder where the plugin's wheel is installed."""
    return install_wheel(SOURCE)


def test_it_keeps_the_contract(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "test_veteran.py").write_text(SUITE)
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--junitxml=report.xml", "-W", "error", "."],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    (suite,) = ElementTree.parse(tmp_path / "report.xml").iter("testsuite")
    assert int(suite.get("tests", "0")) > 50
    assert suite.get("skipped") == "0"


def test_it_is_listed_with_its_distribution(installed: Path) -> None:
    listed = subprocess.run(
        [sys.executable, "-m", "imageserv.vo.cli", "plugins"],
        env=os.environ | {"PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    (line,) = [line.split() for line in listed.stdout.splitlines() if line.startswith("veteran")]
    assert line == ["veteran", "imageserv.dataset", "imageserv-veteran", "0.1.0", "imageserv_veteran:Veteran"]
