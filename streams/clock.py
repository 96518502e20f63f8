"""Wall-clock time, for the processes; `models` takes time as an argument."""

from __future__ import annotations

import time


def now_ms() -> int:
    """Epoch time in milliseconds."""
    return time.time_ns() // 1_000_000
