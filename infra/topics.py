"""The topics: their names, and how long Kafka keeps what they hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from models.actions import EVENT_TOPICS
from models.events import ACCOUNTS_TOPIC, MEDIA_TOPIC

SESSIONS_TOPIC: Final = "explore.sessions"
EMBEDDINGS_TOPIC: Final = "explore.embeddings"
TOUCHED_TOPIC: Final = "explore.touched"
IMPRESSIONS_TOPIC: Final = "explore.impressions"
EXAMPLES_TOPIC: Final = "explore.examples"
CANDIDATES_TOPIC: Final = "explore.candidates"
VERSIONS_TOPIC: Final = "explore.versions"
DEAD_LETTERS_TOPIC: Final = "explore.dead_letters"
FORGOTTEN_TOPIC: Final = "explore.forgotten"

#: Some 100 years. Where partitions were added, a deleted key may have an older record in the
#: partition that it was in before: once its tombstone was gone, that one would count again.
FOR_EVER_MS: Final = 100 * 365 * 86_400_000
COMPACT: Final = {
    "cleanup.policy": "compact",
    "delete.retention.ms": str(FOR_EVER_MS),
    # Which of two partitions has the newer record is told by one clock, not by producers'.
    "message.timestamp.type": "LogAppendTime",
}
DELETE: Final = {"cleanup.policy": "delete"}
#: Of a partition only the newest 8 to 12 MiB: the learner reads them all when it starts.
NEWEST: Final = DELETE | {"retention.bytes": str(8 << 20), "segment.bytes": str(4 << 20)}

#: Topic → the configuration that it is created with.
TOPICS: Final[Mapping[str, Mapping[str, str]]] = {
    **dict.fromkeys(EVENT_TOPICS, DELETE),
    MEDIA_TOPIC: COMPACT,
    ACCOUNTS_TOPIC: COMPACT,
    SESSIONS_TOPIC: DELETE,
    EMBEDDINGS_TOPIC: COMPACT,
    TOUCHED_TOPIC: DELETE,
    IMPRESSIONS_TOPIC: DELETE,
    EXAMPLES_TOPIC: DELETE,
    CANDIDATES_TOPIC: NEWEST,
    VERSIONS_TOPIC: COMPACT,
    DEAD_LETTERS_TOPIC: DELETE,
    FORGOTTEN_TOPIC: COMPACT,
}

#: Topics whose records are about viewers, and name them.
VIEWER_TOPICS: Final = (
    *EVENT_TOPICS,
    TOUCHED_TOPIC,
    SESSIONS_TOPIC,
    IMPRESSIONS_TOPIC,
    EXAMPLES_TOPIC,
    CANDIDATES_TOPIC,
    DEAD_LETTERS_TOPIC,
)

#: Topics that keep the newest record of each key.
COMPACTED: Final = frozenset(
    topic for topic, config in TOPICS.items() if config["cleanup.policy"] == "compact"
)
