"""Wall-clock time, for the processes; `models` takes time as an argument. Times a person gives."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from infra.errors import SettingsError
from models.events import MIN_TS_MS


def now_ms() -> int:
    """The clock of this machine in epoch milliseconds."""
    return time.time_ns() // 1_000_000


def parse_time(option: str, text: str) -> int:
    """A time given to `option`, as epoch ms or ISO 8601 (UTC unless it says otherwise), in ms.

    Raises:
        SettingsError: it is neither.

    >>> parse_time("--since", "2023-11-14T22:13:20Z")
    1700000000000
    """
    if text.isdecimal():
        if int(text) < MIN_TS_MS:
            raise SettingsError(f"{option} {text} is before 2010; epoch times are in milliseconds")
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise SettingsError(
            f"{option} {text!r} is no time; use epoch milliseconds or ISO 8601, "
            "for instance 2026-01-31T12:00:00Z"
        ) from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1000)
