"""Logs: one JSON object a line, on standard error."""

import json
import logging
import time
from collections.abc import Mapping
from typing import Any

requests = logging.getLogger("imageserv.requests")
"""Where each request is reported; the record has its facts as `facts`."""


_encode = json.JSONEncoder(default=str).encode


class _Report(logging.LogRecord):
    """A record without where in the program it was made, which is always here."""

    def __init__(self, facts: Mapping[str, Any]) -> None:
        self.__dict__.update(_ALIKE)
        self.created = time.time()
        self.msecs = self.created % 1 * 1000
        self.facts = facts


def report(facts: Mapping[str, Any]) -> None:
    """Report a request."""
    if requests.isEnabledFor(logging.INFO):
        requests.handle(_Report(facts))


class JsonFormatter(logging.Formatter):
    """Writes a record as one line of JSON: time (UTC), level, logger, the message, facts, and a traceback if any."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, Any] = {
            "time": f"{moment}.{int(record.msecs):03}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        if message := record.getMessage():
            line["message"] = message
        line |= getattr(record, "facts", {})
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return _encode(line)


# No line tells of threads, processes and tasks, so no record need ask.
logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False

_ALIKE = vars(logging.LogRecord(requests.name, logging.INFO, __file__, 0, "", (), None))
"""What all reports have in common."""

CONFIG: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": f"{__name__}.JsonFormatter"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
    "root": {"level": "WARNING", "handlers": ["stderr"]},
    "loggers": {"imageserv": {"level": "INFO"}},
}
"""For `logging.config.dictConfig`; each worker applies it."""
