"""A consumer group held by one process, so that none of its members can work meanwhile.

::

    FreshgridError
    └── GroupBusyError    the group has members, or got some

To ask a broker for a group's members is not enough: the embedded broker lists members long after
they ended, and a member may start right after the answer. So this process joins the group itself,
as one more member. Whoever lives has to join again and is seen; whoever died is given up, after
its session at the latest. A member that comes later is seen as well, since the group is balanced
anew. To try it while members work costs them two rebalances.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import KafkaError

from infra.config import Settings
from infra.errors import FreshgridError
from infra.kafka import Ends, Partition
from infra.kafka_clients import kafka_consumer
from infra.kafka_waiting import connect

LEAVE_TIMEOUT_S: Final = 10.0
#: Records are not taken through the group, so it must not expect that they are.
NEVER_POLLS_MS: Final = 24 * 3600 * 1000


class GroupBusyError(FreshgridError):
    """The group has members, or got some while it was held."""


class GroupHold:
    """Holds `group` inside ``async with``; members that died are waited for first.

    Raises:
        GroupBusyError: the group has members that live.
    """

    def __init__(self, settings: Settings, group: str, topics: Sequence[str]) -> None:
        self._settings = settings
        self._group = group
        self._topics = topics
        self._consumer: AIOKafkaConsumer | None = None
        self._watch = _Watch()

    async def __aenter__(self) -> Self:
        try:
            await self._join()
            if self._watch.members != 1:
                raise self._busy("has members")
            # What the group would deliver is read by others: fetching it here would be in vain.
            self._held().pause(*self._held().assignment())
        except BaseException:
            await self._leave()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        await self._leave()

    async def committed(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """The group's committed offsets; partitions without one are left out."""
        found = {}
        for partition in partitions:
            offset = await self._held().committed(TopicPartition(*partition))
            if offset is not None:
                found[partition] = offset
        return found

    async def commit(self, ends: Ends) -> None:
        """Commit offsets of the topics held.

        Raises:
            GroupBusyError: a member came meanwhile.
        """
        self.check()
        try:
            await self._held().commit({TopicPartition(*at): end for at, end in ends.items()})
        except KafkaError as error:
            raise self._busy("got members meanwhile") from error

    def check(self) -> None:
        """Raise GroupBusyError if a member came meanwhile."""
        if self._watch.rebalances != 1:
            raise self._busy("got members meanwhile")

    def _busy(self, what: str) -> GroupBusyError:
        return GroupBusyError(
            f"the consumer group {self._group} {what}: viewer state must not change under this "
            "command; stop all workers and run it again"
        )

    def _held(self) -> AIOKafkaConsumer:
        assert self._consumer is not None, "used inside async with"
        return self._consumer

    async def _join(self) -> None:
        settings = self._settings
        self._watch = _Watch()
        self._consumer = kafka_consumer(
            settings,
            group_id=self._group,
            enable_auto_commit=False,
            partition_assignment_strategy=[_assignor(self._watch)],
            session_timeout_ms=int(settings.session_timeout_s * 1000),
            heartbeat_interval_ms=int(settings.session_timeout_s * 250),
            rebalance_timeout_ms=int(settings.rebalance_timeout_s * 1000),
            max_poll_interval_ms=NEVER_POLLS_MS,
        )
        self._consumer.subscribe(self._topics, listener=self._watch)
        await connect(self._consumer)
        # A member that died on the embedded broker is given up during the join.
        patience = 2 * (settings.rebalance_timeout_s + settings.session_timeout_s)
        parts: list[asyncio.Future[Any]] = [
            asyncio.ensure_future(self._watch.assigned.wait()),
            asyncio.ensure_future(self._fetch_nothing()),
        ]
        done, _ = await asyncio.wait(parts, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
        for part in parts:
            part.cancel()
        for part in done:
            part.result()
        if not done:
            raise GroupBusyError(
                f"the consumer group {self._group} could not be joined within {patience:g} s; "
                "stop all workers and run this again"
            )

    async def _fetch_nothing(self) -> None:
        """Raise what goes wrong while joining: a consumer tells it only to who polls."""
        while True:
            await self._held().getmany(timeout_ms=100, max_records=1)

    async def _leave(self) -> None:
        if self._consumer is not None:
            # A member that does not get out in time is given up after the session timeout.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LEAVE_TIMEOUT_S):
                    await self._consumer.stop()
            self._consumer = None


class _Watch(ConsumerRebalanceListener):  # type: ignore[misc]
    """Sees assignments: how many members the group has, and whether it was disturbed since."""

    def __init__(self) -> None:
        self.assigned = asyncio.Event()
        self.members = 0  # stays 0 where another member leads
        self.rebalances = 0

    async def on_partitions_revoked(self, revoked: object) -> None:
        """Nothing is under way that would have to be finished."""

    async def on_partitions_assigned(self, assigned: object) -> None:
        """The group has agreed on something."""
        self.rebalances += 1
        self.assigned.set()


def _assignor(watch: _Watch) -> type[RoundRobinPartitionAssignor]:
    class Counting(RoundRobinPartitionAssignor):  # type: ignore[misc]
        """The protocol that the workers' group speaks: another one would not be let in."""

        @classmethod
        def assign(cls, cluster: Any, members: Mapping[str, Any]) -> Any:
            watch.members = len(members)
            return super().assign(cluster, members)

    return Counting
