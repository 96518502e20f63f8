"""``python -m tests.chaos.skewed OFFSET_S ROLE``: a role whose clock is wrong by that much.

Every look of its Python code at the time of day is moved; clocks that only measure how long
something takes go right.
"""

from __future__ import annotations

import sys
import time
from typing import Final

if __name__ == "__main__":
    OFFSET_NS: Final = int(float(sys.argv.pop(1)) * 1e9)
    right_ns = time.time_ns
    time.time_ns = lambda: right_ns() + OFFSET_NS
    time.time = lambda: (right_ns() + OFFSET_NS) / 1e9

    from streams.app import main

    main()
