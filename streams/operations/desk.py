"""The overview of an installation from one ranker, looked at anew at most every other second."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, Protocol

from infra.config import Settings
from infra.doctor import findings
from infra.http.operations import Check, LogState, Memory, Operations
from infra.kafka import partition_counts
from infra.log_positions import log_positions
from infra.looked_at import LookedAt
from infra.open_stores import store_memory
from infra.stores import WorkBoard
from infra.topics import TOPICS
from streams.clock import now_ms
from streams.operations.log_state import GROUPS, log_state, role_states
from streams.operations.process_figures import grid_figures
from streams.operations.repairs import Repairs
from streams.operations.troubles import headline, troubles
from streams.operations.work import under_way

#: Who asks again sooner gets the same answer: however many pages are open, it is looked once.
FRESH_S: Final = 2.0
#: The checks open connections of their own.
SELDOM_S: Final = 10.0
#: For the store to tell of itself.
MEMORY_LIMIT_S: Final = 2.0


class Ranker(Protocol):
    """The ranker that is asked."""

    def status(self) -> dict[str, Any]:
        """How the ranker is doing."""
        ...


class OperationsDesk:
    """Puts together what can be known from a ranker.

    Args:
        refused: why the experiment that stands in the store is not served, None if it is.
        board: where long work tells how far it is.
    """

    def __init__(
        self,
        settings: Settings,
        ranker: Ranker,
        repairs: Repairs,
        refused: Callable[[], str | None],
        board: WorkBoard,
    ) -> None:
        self._settings, self._ranker, self._repairs = settings, ranker, repairs
        self._refused = refused
        self._log = LookedAt(self._look_at_log, FRESH_S)
        self._work = LookedAt(lambda: under_way(board, now_ms()), FRESH_S)
        self._memory = LookedAt(self._look_at_memory, FRESH_S)
        self._checks = LookedAt(self._look_at_checks, SELDOM_S)

    async def overview(self) -> Operations:
        """What can be known now; what does not answer within some seconds is not."""
        log, work, memory, checks, letters = await asyncio.gather(
            self._log.value(),
            self._work.value(),
            self._memory.value(),
            self._checks.value(),
            self._repairs.waiting(),
        )
        status = self._ranker.status()
        caught_up = bool(status["caught_up"])
        roles = role_states(log, caught_up=caught_up)
        grids = grid_figures(int(status["waiting_viewers"]))
        found = troubles(
            log, grids, memory, letters, checks or [], self._refused(), caught_up=caught_up
        )
        return Operations(
            at_ms=now_ms(),
            headline=headline(found),
            troubles=found,
            roles=roles,
            log=log,
            grids=grids,
            memory=memory,
            dead_letters=letters,
            work=work or [],
            checks=checks or [],
        )

    async def _look_at_log(self) -> LogState:
        topics = await partition_counts(self._settings, tuple(TOPICS))
        return log_state(await log_positions(self._settings, topics, GROUPS))

    async def _look_at_memory(self) -> Memory:
        told = await asyncio.to_thread(store_memory, self._settings, MEMORY_LIMIT_S)
        return Memory(*told)

    async def _look_at_checks(self) -> list[Check]:
        found = await asyncio.to_thread(lambda: list(findings(self._settings)))
        return [Check(finding.what, finding.ok, finding.text) for finding in found]
