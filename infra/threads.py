"""One thread for BLAS and OpenMP: a process that ranks is one of several on its machine.

Libraries read these variables when they are loaded, so :func:`use_one_thread` comes before the
first import of NumPy.
"""

from __future__ import annotations

import os
from typing import Final

ONE_THREAD: Final = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"
)


def use_one_thread() -> None:
    """Let this process compute as one of the stack does, unless its environment says otherwise."""
    for name, value in ONE_THREAD.items():
        os.environ.setdefault(name, value)
