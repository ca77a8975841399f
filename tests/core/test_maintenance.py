"""What an operator announces: read from a file, right or wrong, and when it is on."""

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imageserv.core.maintenance import Maintenance, announced

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def test_nothing_is_announced_without_a_file(tmp_path: Path) -> None:
    assert announced(None) is None
    assert announced(tmp_path / "maintenance.toml") is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", Maintenance(note="maintenance")),
        ("note = 'new disks'", Maintenance(note="new disks")),
        ("note = ''", Maintenance(note="maintenance")),
        ("down_at = 2026-05-01T12:00:00Z", Maintenance(NOON, note="maintenance")),
        ("down_at = 2026-05-01T14:00:00+02:00", Maintenance(NOON, note="maintenance")),
        ("down_at = 2026-05-01T12:00:00", Maintenance(NOON, note="maintenance")),  # UTC
        ("down_at = 2026-05-01", Maintenance(NOON - timedelta(hours=12), note="maintenance")),
        ("back_at = 2026-05-01T12:00:00Z\nnote = 'x'", Maintenance(None, NOON, "x")),
    ],
)
def test_what_a_file_says(tmp_path: Path, text: str, expected: Maintenance) -> None:
    path = tmp_path / "maintenance.toml"
    path.write_text(text)
    assert announced(path) == expected


@pytest.mark.parametrize(
    "content",
    [
        b"down_at = 'tomorrow'",
        b"down_at = 12:00:00",
        b"back_at = 5",
        b"no toml",
        b"note = '\xff'",
        b"\xff",
        b"down_at = 0001-01-01T00:00:00+05:00",
    ],
)
def test_a_file_that_says_it_wrongly_is_maintenance_at_once(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "soon.toml"
    path.write_bytes(content)
    found = announced(path)
    assert found is not None and found.is_on(NOON)
    assert found == Maintenance(note="maintenance (soon.toml cannot be read)")


def test_what_is_no_file_is_maintenance_at_once(tmp_path: Path) -> None:
    found = announced(tmp_path)
    assert found is not None and found.is_on(NOON)


@given(
    *[st.none() | st.datetimes(timezones=st.just(timezone(timedelta(hours=3)))) for _ in range(2)],
    st.datetimes(timezones=st.just(UTC)),
)
def test_is_on_from_the_one_moment_until_before_the_other(
    down: datetime | None, back: datetime | None, now: datetime
) -> None:
    begun = down is None or (now - down).total_seconds() >= 0
    over = back is not None and (now - back).total_seconds() >= 0
    assert Maintenance(down, back).is_on(now) == (begun and not over)


def test_the_very_moments() -> None:
    pause = Maintenance(NOON, NOON + timedelta(hours=1))
    moments = [NOON - timedelta(seconds=1), NOON, NOON + timedelta(minutes=59), NOON + timedelta(hours=1)]
    assert [pause.is_on(moment) for moment in moments] == [False, True, True, False]
