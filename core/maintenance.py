"""Maintenance, as its operator announces it: a small TOML file that exists as long as there is something to say."""

import tomllib
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Maintenance:
    """What is announced.

    Attributes
    ----------
    down_at, back_at
        When the service stops to accept queries, and when it starts again; with their time zones.
    note
        For people.
    """

    down_at: datetime | None = None
    back_at: datetime | None = None
    note: str = ""

    def is_on(self, now: datetime) -> bool:
        """Tell whether the service accepts no queries now."""
        return (self.down_at is None or self.down_at <= now) and (self.back_at is None or now < self.back_at)


def announced(path: Path | None) -> Maintenance | None:
    """Read what is announced; None if nothing is. A file that says it wrongly counts as maintenance at once.

    Keys: ``down_at`` and ``back_at`` (dates and times of TOML; UTC if they have no offset), ``note``.
    """
    if path is None:
        return None
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
        moments = {name: _moment(document[name]) for name in ("down_at", "back_at") if name in document}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, OverflowError):
        return Maintenance(note=f"maintenance ({path.name} cannot be read)")
    return Maintenance(**moments, note=str(document.get("note", "")) or "maintenance")


def _moment(value: object) -> datetime:
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day, tzinfo=UTC)
    if not isinstance(value, datetime):
        raise ValueError(f"{value!r} is no date and time")
    return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
