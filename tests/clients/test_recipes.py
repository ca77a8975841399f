"""The recipes of the front page, run as a reader would who copies them."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from lxml import html

# The annotations of astropy and lxml tell little of what these give.
read_fits: Any = fits.open
parse_html: Any = html.fromstring


@pytest.fixture(scope="module")
def recipes(site: Any) -> dict[str, str]:
    """Give the text of each recipe, by the heading above it."""
    page = parse_html(site.client.get(f"{site.config.base_url}/").content)
    return {each.getprevious().text_content(): each.text_content() for each in page.iter("pre")}


def recipe(recipes: dict[str, str], word: str) -> str:
    (text,) = [text for title, text in recipes.items() if word.lower() in title.lower()]
    return text


def test_the_recipe_for_pyvo(recipes: dict[str, str], tmp_path: Path) -> None:
    code = recipe(recipes, "pyvo")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    # What hdus.info() prints of a cutout of some tens of pixels.
    assert re.search(r"PRIMARY .*\([1-9][0-9]?, [1-9][0-9]?\)", done.stdout)


def test_the_recipe_for_curl(site: Any, recipes: dict[str, str], tmp_path: Path) -> None:
    done = subprocess.run(
        ["bash", "-e", "-c", recipe(recipes, "curl")], capture_output=True, text=True, timeout=60, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("dataproduct_type,")
    (saved,) = tmp_path.iterdir()
    with read_fits(saved) as hdus:
        parent = str(hdus[0].header["CUTID"])
        name = next(name for name, did in site.dids.items() if did == parent)
        assert site.place(name, np.array(next(hdu.data for hdu in hdus if hdu.data is not None)))
    assert parent in done.stdout


def test_the_recipe_for_topcat(site: Any, recipes: dict[str, str], stilts: Callable[..., str], tmp_path: Path) -> None:
    del stilts  # it is there, so the recipe's own command can run, but for showing the table in a window
    code = recipe(recipes, "TOPCAT").replace("omode=topcat", "ofmt=csv")
    environment = {**os.environ, "JAVA_OPTS": f"-Duser.home={tmp_path}"}
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, timeout=120, env=environment)
    assert done.returncode == 0, done.stderr
    assert any(did in done.stdout for did in site.dids.values())
