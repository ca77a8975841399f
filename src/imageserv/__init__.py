"""The development view of ImageServ: wheels are built without this file.

The four folders at the repository's top are the package. At run time this
file points at them, so tracebacks and breakpoints name the real files; type
checkers, which do not run it, follow the links beside it.
"""

from pathlib import Path

__path__ = [str(Path(__file__).resolve().parents[2])]
