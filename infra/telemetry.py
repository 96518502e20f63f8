"""Logging: one format, text or JSON, on stderr, so that stdout stays free for results."""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Final

from infra.errors import SettingsError

FORMAT: Final = "%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s: %(message)s"
#: ISO 8601, without milliseconds and zone.
TIME: Final = "%Y-%m-%dT%H:%M:%S"
#: For people, and for what collects logs.
FORMATS: Final = ("text", "json")
LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

#: What a group of a fresh broker meets in its first seconds, and its client tries again.
NOT_YET: Final = "GroupCoordinatorNotAvailableError"
#: Beyond this it is worth a warning, now and then.
PATIENCE_S: Final = 10.0


class NotYet(logging.Filter):
    """Keeps back what a client says of a broker that is just not ready, for as long as is normal.

    Once it lasts, a warning comes through every :data:`PATIENCE_S`.
    """

    def __init__(self) -> None:
        super().__init__()
        self._told_s: float | None = None
        self._last_s = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to let the record through; one of these becomes a warning."""
        if NOT_YET not in record.getMessage():
            return True
        now_s = time.monotonic()
        if self._told_s is None or now_s - self._last_s > PATIENCE_S:
            self._told_s = now_s
        self._last_s = now_s
        if now_s - self._told_s < PATIENCE_S:
            return False
        self._told_s = now_s
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        return True


class JsonLines(logging.Formatter):
    """A record as a line of JSON: `time`, `level`, `logger`, `message`, and `error` if one is told.

    `error` holds the traceback, so that a record is one line whatever went wrong.
    """

    def format(self, record: logging.LogRecord) -> str:
        """One line, without its end."""
        told = {
            "time": f"{self.formatTime(record, TIME)}.{record.msecs:03.0f}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            told["error"] = self.formatException(record.exc_info)
        # Escaped: a name of a file need not be Unicode, and is said all the same.
        return json.dumps(told)


def configure_logging(level: str, form: str = "text") -> None:
    """Send every logger of this process to stderr from `level` on.

    Args:
        form: one of :data:`FORMATS`.

    Raises:
        SettingsError: `level` is no level of :mod:`logging`, or there is no such format.
    """
    if form not in FORMATS:
        raise SettingsError(f"LOG_FORMAT {form!r} is unknown; use one of {', '.join(FORMATS)}")
    if level.upper() not in LEVELS:
        raise SettingsError(f"LOG_LEVEL {level!r} is unknown; use one of {', '.join(LEVELS)}")
    formatter = JsonLines() if form == "json" else logging.Formatter(FORMAT, datefmt=TIME)
    formatter.converter = time.gmtime  # lines of machines in different zones must sort
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    # force: Faust and pytest install handlers of their own.
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    handler.addFilter(NotYet())
