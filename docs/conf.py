"""How the documentation is built: ``tox -e docs``, or ``sphinx-build -W -b html docs build``."""

import re
import sys
from importlib.metadata import version as version_of
from pathlib import Path

from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).parent))

from declared import WRITERS

project = "ImageServ"
author = "the ImageServ authors"
copyright = author
version = release = version_of("imageserv")

extensions = ["myst_parser", "sphinx.ext.autodoc", "numpydoc", "sphinx_copybutton"]
root_doc = "index"
exclude_patterns = ["_build", "explanation/measured.md"]
default_role = "py:obj"
nitpicky = False
smartquotes_action = "q"  # quotation marks alone: "--" and "..." are what people type

myst_enable_extensions = ["colon_fence", "deflist", "attrs_block"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True}
python_use_unqualified_type_names = True
numpydoc_show_class_members = False

# A copied command has neither its prompt nor what it answers.
copybutton_prompt_text = "$ "
copybutton_line_continuation_character = "\\"

html_theme = "furo"
html_title = "ImageServ"
html_static_path = ["_static"]
html_css_files = ["imageserv.css"]
html_copy_source = False
html_show_sphinx = False

_DECLARED = re.compile(r"^```\{declared\} ([a-z0-9-]+)\n```$", re.MULTILINE)


def _write_declared(_app: Sphinx, _document: str, source: list[str]) -> None:
    """Put in what is written from ImageServ's own declarations."""
    source[0] = _DECLARED.sub(lambda match: WRITERS[match[1]](), source[0])


def _write_signature(
    _app: Sphinx, _kind: str, _name: str, _object: object, _options: object, signature: str | None, returns: str | None
) -> tuple[str | None, str | None]:
    """Write a default that is made anew as three dots: Sphinx leaves a signature that Python cannot read as it is."""
    written = None if signature is None else signature.replace("<factory>", "...").replace("mappingproxy({})", "...")
    return written, returns


def _skip_member(_app: Sphinx, _kind: str, _name: str, member: object, _skip: object, _options: object) -> bool | None:
    """Leave out the fields of named tuples, of which Python says no more than their numbers: their class tells."""
    return True if str(getattr(member, "__doc__", "")).startswith("Alias for field number") else None


def setup(app: Sphinx) -> None:
    """Tell Sphinx."""
    app.connect("autodoc-process-signature", _write_signature)
    app.connect("autodoc-skip-member", _skip_member)
    app.connect("source-read", _write_declared)
