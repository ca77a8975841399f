"""``python -m imageserv.vo.hand``: a process that computes for a worker; see `imageserv.core.jobs.hand`."""

import logging.config
import sys

from imageserv.core.errors import ImageServError
from imageserv.core.jobs.hand import serve

from . import logs

COMMAND: tuple[str, ...] = (sys.executable, "-m", __name__ if __name__ != "__main__" else "imageserv.vo.hand")
"""Starts one; the worker adds the arguments."""


def main() -> None:
    """Compute until the worker ends."""
    logging.config.dictConfig(logs.CONFIG)
    try:
        serve(sys.argv[1:])
    except ImageServError as fault:
        logging.getLogger("imageserv.hand").error("%s", fault)
        sys.exit(1)


if __name__ == "__main__":
    main()
