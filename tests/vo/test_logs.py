"""Lines of the log."""

import json
import logging
import logging.config
import time
from datetime import datetime
from typing import Any

import pytest

from imageserv.vo import logs


def line(record: logging.LogRecord) -> dict[str, Any]:
    text = logs.JsonFormatter().format(record)
    assert "\n" not in text and text.isascii()
    parsed: dict[str, Any] = json.loads(text)
    return parsed


def test_a_record_is_one_line_of_json() -> None:
    record = logging.LogRecord("a.b", logging.WARNING, "file", 1, "say %s\n%d", ("étoile", 2), None)
    record.created, record.msecs = 0.25, 250.0
    assert line(record) == {
        "time": "1970-01-01T00:00:00.250Z",
        "level": "warning",
        "logger": "a.b",
        "message": "say étoile\n2",
    }


def test_facts_stand_beside_the_message() -> None:
    record = logging.makeLogRecord({"name": "a", "levelname": "INFO", "msg": "", "facts": {"status": 200, "x": object}})
    facts = line(record)
    assert (facts["status"], facts["x"]) == (200, str(object))
    assert "message" not in facts


def test_tracebacks_are_kept() -> None:
    try:
        raise ZeroDivisionError("a reason")
    except ZeroDivisionError as error:
        info = (ZeroDivisionError, error, error.__traceback__)
    assert "a reason" in line(logging.LogRecord("a", logging.ERROR, "file", 1, "x", None, info))["traceback"]


def test_requests_are_logged_and_libraries_only_warn(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    handlers, level, ours = root.handlers[:], root.level, logging.getLogger("imageserv").level
    try:
        logging.config.dictConfig(logs.CONFIG)
        logs.requests.info("", extra={"facts": {"status": 200}})
        logging.getLogger("uvicorn.error").info("Started")
    finally:
        root.handlers, root.level = handlers, level
        logging.getLogger("imageserv").setLevel(ours)
    (written,) = capsys.readouterr().err.splitlines()
    assert json.loads(written)["status"] == 200


def test_a_request_is_reported_with_the_moment(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="imageserv")
    before = time.time()
    logs.report({"status": 200})
    after = time.time()
    (record,) = caplog.records
    line = json.loads(logs.JsonFormatter().format(record))
    assert before - 0.001 <= datetime.fromisoformat(line.pop("time")).timestamp() <= after
    assert line == {"level": "info", "logger": "imageserv.requests", "status": 200}
