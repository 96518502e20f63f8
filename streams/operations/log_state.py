"""What the broker tells of the log: records by topic, and how far each role is behind."""

from __future__ import annotations

from typing import Final

from infra.http.operations import GroupLag, LogState, RoleState, TopicRecords
from infra.log_positions import LogPositions
from infra.topics import TOPICS
from streams.topology import EXAMPLES_GROUP, FLOWS, LEARNER, LETTERS_GROUP, RANKER, WORKER

#: Role and group → topics that the group commits as it handles them. Impressions are committed
#: when the time for their labels is over, and letters only where there were some: that these are
#: behind says nothing.
READ: Final = {
    (flow.role, flow.group): tuple(
        dict.fromkeys(
            topic
            for other in FLOWS
            if (other.role, other.group) == (flow.role, flow.group)
            for topic in other.reads
        )
    )
    for flow in FLOWS
    if flow.group not in (None, EXAMPLES_GROUP, LETTERS_GROUP)
}
GROUPS: Final = {group: topics for (_, group), topics in READ.items() if group is not None}
#: Under a steady stream something is always on its way.
SOME_RECORDS: Final = 1_000


def log_state(positions: LogPositions) -> LogState:
    """Records and lag, topic by topic."""
    return LogState(
        topics=[TopicRecords(topic, positions.records(topic)) for topic in TOPICS],
        lag=[
            GroupLag(role, group or "", topic, positions.lag(group or "", topic))
            for (role, group), topics in READ.items()
            for topic in topics
        ],
    )


def role_states(log: LogState | None, *, caught_up: bool) -> list[RoleState]:
    """What can be said of each role from the ranker that answers.

    Args:
        caught_up: whether this ranker has read all it follows.
    """
    told = "answers; has read all there is" if caught_up else "answers; is still reading the log"
    states = [RoleState(RANKER, "up", told)]
    for role in (WORKER, LEARNER):
        if log is None:
            states.append(RoleState(role, "unknown", "Kafka does not tell"))
            continue
        behind = sum(of.records for of in log.lag if of.role == role)
        # Nobody who works leaves much; whoever has nothing to do cannot be told from who is away.
        says = f"{behind:,} records behind" if behind else "nothing waits for it"
        states.append(RoleState(role, "behind" if behind > SOME_RECORDS else "keeps_up", says))
    return states
