"""Values that no topic of Freshgrid's own takes."""

from __future__ import annotations

from typing import Final

from infra.topics import DEAD_LETTERS_TOPIC, TOPICS

INTERNAL: Final = sorted(topic for topic in TOPICS if topic.startswith("explore."))
#: What is wrong in these has a dead letter; what is wrong among dead letters is passed over.
LETTERED: Final = [topic for topic in INTERNAL if topic != DEAD_LETTERS_TOPIC]
POISON: Final = [
    b"{",
    b"\xff",
    b'{"x":' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    b'{"kind":"rankers","version":"v1","announced_ms":1,"previous":"../../etc"}',
    b'{"viewer_id":"v","request_id":"r","served_ms":1,"feature_version":"","features":"",'
    b'"media_ids":["m"],"first_position":1,"propensities":[1.0],"seen":[7],"labels":{}}',
]
