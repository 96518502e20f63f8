"""How often Python looks for cycles in a worker."""

from __future__ import annotations

import gc


def tune_garbage_collection() -> None:
    """Look for cycles rarely, and not among what is there for good.

    Records come and go by the thousand without being part of any cycle. Collecting at every 700
    allocations, as Python does by default, takes a fifth of a busy worker's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
