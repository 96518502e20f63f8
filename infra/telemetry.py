"""Logging: one format, on stderr, so that stdout stays free for results."""

from __future__ import annotations

import logging
import sys
import time
from typing import Final

from infra.errors import SettingsError

FORMAT: Final = "%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s: %(message)s"
LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


def configure_logging(level: str) -> None:
    """Send every logger of this process to stderr from `level` on.

    Raises:
        SettingsError: `level` is no level of :mod:`logging`.
    """
    if level.upper() not in LEVELS:
        raise SettingsError(f"LOG_LEVEL {level!r} is unknown; use one of {', '.join(LEVELS)}")
    formatter = logging.Formatter(FORMAT, datefmt="%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime  # lines of machines in different zones must sort
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    # force: Faust and pytest install handlers of their own.
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
