"""Logs: one JSON object a line, on standard error."""

import json
import logging
import time
from collections.abc import Mapping
from typing import Any

requests = logging.getLogger("imageserv.requests")
"""Where each request is reported, with its facts as ``extra={"facts": {...}}``."""


_encode = json.JSONEncoder(default=str).encode


def report(facts: Mapping[str, Any]) -> None:
    """Report a request. Logger's own way looks for the line of code that reports, which is always this one."""
    if requests.isEnabledFor(logging.INFO):
        extra = {"facts": facts}
        requests.handle(requests.makeRecord(requests.name, logging.INFO, __file__, 0, "", (), None, extra=extra))


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

CONFIG: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": f"{__name__}.JsonFormatter"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
    "root": {"level": "WARNING", "handlers": ["stderr"]},
    "loggers": {"imageserv": {"level": "INFO"}},
}
"""For `logging.config.dictConfig`; each worker applies it."""
