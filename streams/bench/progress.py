"""What a benchmark is at, for a person: one line on stderr for each step."""

from __future__ import annotations

import sys


def say(text: str) -> None:
    """Print what the benchmark does now to stderr, at once."""
    print(text, file=sys.stderr, flush=True)
