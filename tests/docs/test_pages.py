"""Every page that shows commands or code is followed by somebody who does what it says."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
RUN = re.compile(r"^ *```(console|python)$", re.MULTILINE)
PAGES = sorted(str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md") if RUN.search(page.read_text("utf-8")))

PROGRAMS = re.compile(r"^\$ (curl|stilts) ", re.MULTILINE)
"""What pages use that Debian has and PyPI has not."""


@pytest.mark.parametrize("page", PAGES)
def test_a_page_does_what_it_says(page: str, follow: Callable[[Path], None]) -> None:
    for program in set[str](PROGRAMS.findall((DOCS / page).read_text("utf-8"))):
        if shutil.which(program) is None:
            pytest.skip(f"no {program} on this machine (Debian's package of that name)")
    follow(DOCS / page)
