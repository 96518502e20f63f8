"""The least that each identity must be allowed at Kafka and at Redis.

Topics, groups and keys come from the table of flows (:mod:`streams.topology`); here stands what
that table does not say: keys that are only read, commands, and channels. What comes out is tried by
running each role with just these rights.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from infra.kafka_rights import Allowed
from infra.topics import TOPICS
from streams.topology import COMMAND, FLOWS, LEARNER, OUTSIDE, RANKER, WORKER

#: Groups of Freshgrid's own.
GROUPS: Final = "freshgrid-"
#: First words of all topics.
TOPIC_PREFIXES: Final = tuple(sorted({f"{topic.partition('.')[0]}." for topic in TOPICS}))
#: Asks Redis for the ready grids, and nothing else: a product's backend.
READER: Final = "reader"
IDENTITIES: Final = (WORKER, LEARNER, RANKER, COMMAND, OUTSIDE, READER)

#: What connections say of themselves, and what is asked of a server before it is used.
_CONNECTION: Final = ("client|setinfo", "info", "ping", "select")
#: `WAIT` follows what is written where REDIS_WAIT_REPLICAS asks for it.
_FUNCTIONS: Final = ("fcall", "function|load", "wait")
#: Changes of the weights and arms are transactions, told to all rankers.
_EXPERIMENT: Final = (
    *("exec", "get", "lpush", "lrange", "ltrim", "multi", "publish", "set", "unwatch", "watch"),
)
_WORKER: Final = (
    *(
        "del",
        "exists",
        "expire",
        "get",
        "getrange",
        "hgetall",
        "hmget",
        "hset",
        "llen",
        "lrange",
        "lrem",
    ),
    *("persist", "rpush", "set", "ttl", "unlink", "zadd", "zcard", "zrangebyscore", "zrem"),
    *("zmscore", "zscore"),
)
_RANKER: Final = (
    *("expire", "get", "getrange", "lindex", "llen", "lrange", "publish", "rpush", "set"),
    # SCAN: the grids that were ready when it started.
    *("scan", "strlen", "subscribe", "unsubscribe"),
    # Keys of the API, and what is stored of a viewer who is to be forgotten.
    *("hgetall", "lrem", "unlink", "zrange", "zrem", "zscore"),
)
#: `rebuild` folds into a draft beside the state; `backup` and `restore` take keys as they are.
_COPIES: Final = ("copy", "dump", "pttl", "restore")
#: `freshgrid keys`.
_KEYS: Final = ("hdel", "hgetall", "hset")
_COMMANDS: Final = {
    WORKER: (*_CONNECTION, *_FUNCTIONS, *_WORKER),
    LEARNER: (),
    RANKER: (*_CONNECTION, *_FUNCTIONS, *_RANKER, *_EXPERIMENT),
    COMMAND: (*_CONNECTION, *_FUNCTIONS, *_WORKER, *_RANKER, *_EXPERIMENT, *_COPIES, *_KEYS),
    OUTSIDE: (),
    READER: ("client|setinfo", "get"),
}
_READ_ONLY: Final = {
    # How far long work is.
    RANKER: ("access:{freshgrid}:keys", "work:{freshgrid}"),
    READER: ("grid:{VIEWER}",),
}
_CHANNELS: Final = {
    RANKER: ("experiment:{explore}:changed", "grid:{VIEWER}:changed", "grid:changed"),
    COMMAND: ("experiment:{explore}:changed",),
}


class RedisRights(NamedTuple):
    """What Redis allows: patterns of keys and channels, names of commands."""

    keys: tuple[str, ...]
    read_only: tuple[str, ...]
    channels: tuple[str, ...]
    commands: tuple[str, ...]

    def rules(self) -> list[str]:
        """As ``ACL SETUSER`` takes them, after the name and the password."""
        return [
            "reset", "on",
            *(f"~{pattern}" for pattern in self.keys),
            *(f"%R~{pattern}" for pattern in self.read_only),
            *(f"&{pattern}" for pattern in self.channels),
            *(f"+{name}" for name in self.commands),
        ]  # fmt: skip


def kafka_rights(identity: str) -> list[Allowed]:
    """What an identity needs of Kafka; nobody needs a right of the cluster."""
    flows = [flow for flow in FLOWS if flow.role == identity]
    reads = {topic for flow in flows for topic in flow.reads}
    writes = {topic for flow in flows for topic in flow.writes}
    if identity in (OUTSIDE, READER):
        return [Allowed("topic", topic, False, "Write") for topic in sorted(writes)]
    return [
        # Each looks whether all topics are there, and how many partitions they have.
        *(Allowed("topic", prefix, True, "Describe") for prefix in TOPIC_PREFIXES),
        *(Allowed("topic", topic, False, "Read") for topic in sorted(reads)),
        *(Allowed("topic", topic, False, "Write") for topic in sorted(writes)),
        *_of_groups(identity),
        *(
            Allowed("topic", prefix, True, operation)
            for prefix in TOPIC_PREFIXES
            # `freshgrid topology --create`.
            for operation in (("Create",) if identity == COMMAND else ())
        ),
    ]


def _of_groups(identity: str) -> Iterator[Allowed]:
    groups = {flow.group for flow in FLOWS if flow.role == identity and flow.group is not None}
    for group in sorted(groups):
        yield Allowed("group", group, False, "Read")
    if identity == RANKER:
        # It tells operators how far all groups are.
        yield Allowed("group", GROUPS, True, "Describe")
    if identity == COMMAND:
        # `rebuild` and `replay` hold the workers' group while they write.
        yield Allowed("group", GROUPS, True, "Read")


def redis_rights(identity: str) -> RedisRights | None:
    """What an identity needs of Redis; None for one that does not use it."""
    commands = tuple(dict.fromkeys(sorted(_COMMANDS[identity])))
    if not commands:
        return None
    stored = {key for flow in FLOWS if flow.role == identity for key in flow.stores}
    drafts = {f"draft:{key}" for key in stored if identity == COMMAND}
    return RedisRights(
        tuple(sorted(map(_pattern, stored | drafts))),
        tuple(map(_pattern, _READ_ONLY.get(identity, ()))),
        tuple(map(_pattern, _CHANNELS.get(identity, ()))),
        commands,
    )


def _pattern(key: str) -> str:
    """A key of the table as a pattern: names in capitals stand for anything."""
    return re.sub(r"\b[A-Z]+\b", "*", key)
