"""Notices a second learner: two would share the sessions, and replace each other's versions.

Learners of an installation are members of one consumer group, so whoever is alone has all
partitions of ``explore.sessions``.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable
from typing import Final

from infra.metrics import OTHER_LEARNERS

#: A member that died, or that is joining, keeps partitions for some time: so many looks are waited.
LOOKS: Final = 3
#: A second learner that stays is told of again after so long.
TELL_EVERY_S: Final = 600.0

logger = logging.getLogger(__name__)


async def watch_for_another(
    assigned: Callable[[], int], partitions: Callable[[], int], every_s: float
) -> None:
    """Say in log and metrics while another learner has some of the partitions, until cancelled.

    Args:
        assigned: tells how many partitions this learner has now.
        partitions: tells how many there are now.
        every_s: seconds from one look to the next; as long as a member that died is waited for.
    """
    missing, told_s = 0, -math.inf
    while True:
        await asyncio.sleep(every_s)
        missing = missing + 1 if assigned() < partitions() else 0
        other = missing >= LOOKS
        OTHER_LEARNERS.set(other)
        if other and time.monotonic() - told_s >= TELL_EVERY_S:
            told_s = time.monotonic()
            logger.error(
                "another learner runs: it has %d of %d partitions of explore.sessions, and each "
                "replaces the versions that the other makes live; stop one of them",
                partitions() - assigned(), partitions(),
            )  # fmt: skip
