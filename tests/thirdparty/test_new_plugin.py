"""``imageserv new-plugin``, step by step as the README that it writes has them."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

CLI = [sys.executable, "-m", "imageserv.vo.cli"]


def run(*command: str, cwd: Path, path: Path | None = None) -> str:
    ended = subprocess.run(
        command,
        cwd=cwd,
        env=os.environ | ({} if path is None else {"PYTHONPATH": str(path)}),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_a_new_plugin_works_at_once(tmp_path: Path, install_wheel: Callable[[Path], Path]) -> None:
    said = run(*CLI, "new-plugin", "deep-survey", cwd=tmp_path)
    assert said.startswith("imageserv-deep-survey: ")
    folder = tmp_path / "imageserv-deep-survey"
    site = install_wheel(folder)

    run(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--junitxml=report.xml", cwd=folder, path=site)
    (suite,) = ElementTree.parse(folder / "report.xml").iter("testsuite")
    assert int(suite.get("tests", "0")) > 50
    assert (suite.get("failures"), suite.get("errors"), suite.get("skipped")) == ("0", "0", "0")

    run(sys.executable, "tests/samples.py", "data", cwd=folder)
    assert "deep-survey" in run(*CLI, "ingest", "--config", "imageserv.toml", cwd=folder, path=site)
    assert "nothing wrong" in run(*CLI, "check", "--config", "imageserv.toml", cwd=folder, path=site)
    query = "deep-survey?ds=deep-survey&visit=42&chip=7&band=r&ra=150&dec=2&width=9&height=7&unit=pixel"
    run(*CLI, "cutout", "--config", "imageserv.toml", query, "-o", "cutout.fits", cwd=folder, path=site)
    assert (folder / "cutout.fits").stat().st_size % 2880 == 0
