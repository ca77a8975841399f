"""Progress on a terminal, and elsewhere."""

import sys

import pytest

from imageserv.vo import progress


def test_lines_come_now_and_then(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    moments = iter([0.0, 1.0, 6.0, 6.0, 7.0])
    monkeypatch.setattr("time.monotonic", lambda: next(moments))
    with progress.shown("files") as show:
        for done in (1, 2, 3):
            show(done, 3, f"file\x1b {done}")
    assert capsys.readouterr().err == "2 of 3 files: file\\x1b 2\n"


def test_a_terminal_gets_a_bar_for_each_count(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with progress.shown("files") as show:
        for total in (3, 2):
            for done in range(1, total + 1):
                show(done, total, "file")
    written = capsys.readouterr().err
    assert "3/3" in written
    assert "2/2" in written
