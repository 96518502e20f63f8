"""Every time and every number of every topic has bounds: one table, and nothing left out of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from typing import Any, Final

import msgspec
import pytest

from infra.topics import (
    CANDIDATES_TOPIC,
    DEAD_LETTERS_TOPIC,
    EMBEDDINGS_TOPIC,
    EXAMPLES_TOPIC,
    FORGOTTEN_TOPIC,
    IMPRESSIONS_TOPIC,
    SESSIONS_TOPIC,
    TOPICS,
    TOUCHED_TOPIC,
    VERSIONS_TOPIC,
)
from models.actions import EVENT_TOPICS, FOLLOW_TOPIC
from models.events import (
    ACCOUNTS_TOPIC,
    DAY_MS,
    MAX_AHEAD_MS,
    MEDIA_TOPIC,
    MIN_TS_MS,
    InvalidEventError,
    decode_value,
    parse_account,
    parse_event,
    parse_media,
)
from models.examples.candidate_log import CandidateLog
from models.examples.from_pages import parse_labelled_page
from models.explore.impressions import parse_impression
from models.viewers.forgotten import Forgotten
from streams.dead_letter import DeadLetter
from streams.log.dead_letters import Redriven
from streams.records import parse_session, parse_touched
from streams.rights.forgotten import parse_forgotten
from streams.serving.world_feed import parse_embedding
from streams.versions import parse_version
from tests.unit.streams.test_internal_topics import NOW, READERS

#: The smallest and the largest that is taken; None where only a finite number is asked for.
Bounds = tuple[float, float] | None

AHEAD: Final = NOW + MAX_AHEAD_MS
EVENT: Final = (MIN_TS_MS, AHEAD)
TIME: Final = (0, AHEAD)
COUNT: Final = (0, 2**31 - 1)
RANK: Final = (-1, 2**31 - 1)
OFFSET: Final = (0, 2**63 - 1)
SHARE: Final = (0.0, 1.0)
DATE: Final = (0, 253_402_300_799_000)

_event = {"event_id": "e", "viewer_id": "v", "media_id": "m", "ts": NOW, "dwell_ms": 5}
_follow = {"event_id": "e", "viewer_id": "v", "author_id": "a", "kind": "follow", "ts": NOW}
_media: Final[dict[str, Any]] = {
    "media_id": "m", "author_id": "a", "created_ts": NOW,
    "integrity": {"nsfw": 0.0, "spam": 0.0, "misinformation": 0.0}, "image_embedding": [0.5],
}  # fmt: skip
_mark = Redriven("events.like", 0, 1, NOW, 0, 2)


def _letter(value: bytes) -> Any:
    return decode_value(msgspec.json.Decoder(DeadLetter), value)


def _redriven(value: bytes) -> Any:
    return decode_value(msgspec.json.Decoder(Redriven), value)


def _internal(topic: str) -> Any:
    return json.loads(READERS[topic].good(1) or b"")


def _pooled(item: dict[str, Any]) -> dict[str, Any]:
    named = {name: item[name] for name in ("media_id", "author_id")}
    return {**named, "group": 0, "personal": True, "age_ms": 5, "expected": {"like": 0.5}}


#: What is read → how, a good record, and the bounds of its numbers by path.
TABLE: Final[dict[str, tuple[Any, Any, dict[str, Bounds]]]] = {
    **{
        topic: (
            partial(parse_event, topic),
            _event,
            {"ts": EVENT, "dwell_ms": (0, 7 * DAY_MS)},
        )
        for topic in EVENT_TOPICS
        if topic != FOLLOW_TOPIC
    },
    FOLLOW_TOPIC: (partial(parse_event, FOLLOW_TOPIC), _follow, {"ts": EVENT}),
    MEDIA_TOPIC: (
        parse_media,
        _media,
        {
            "created_ts": TIME,
            **{f"integrity.{name}": SHARE for name in _media["integrity"]},
            # A vector of no use is left out, with a warning, and its media is taken.
            "image_embedding.0": None,
        },
    ),
    ACCOUNTS_TOPIC: (lambda value, now_ms: parse_account(value), {"account_id": "a"}, {}),
    TOUCHED_TOPIC: (parse_touched, _internal(TOUCHED_TOPIC), {"ts": TIME}),
    SESSIONS_TOPIC: (
        parse_session,
        _internal(SESSIONS_TOPIC),
        {
            "started_ts": (0, NOW - 9),
            "ended_ts": (NOW, AHEAD),
            "steps.0.2": (NOW - 9, NOW),
            "steps.1.2": (NOW - 9, NOW),
        },
    ),
    EMBEDDINGS_TOPIC: (parse_embedding, _internal(EMBEDDINGS_TOPIC), {}),
    VERSIONS_TOPIC: (
        parse_version,
        {**_internal(VERSIONS_TOPIC), "accounts": 1, "metrics": {"auc": 0.5}},
        {"announced_ms": TIME, "accounts": COUNT, "metrics.auc": None},
    ),
    IMPRESSIONS_TOPIC: (
        parse_impression,
        {
            **_internal(IMPRESSIONS_TOPIC),
            "dropped": {"seen": 3},
            "randomised": {"pool": list(map(_pooled, _internal(IMPRESSIONS_TOPIC)["items"]))},
        },
        {
            "served_ms": TIME, "generated_at_ms": TIME, "reflects_ts": TIME,
            "page": (0, 999), "candidates": COUNT, "dropped.seen": COUNT, "schema": (1, 1),
            "items.*.position": COUNT,
            "items.*.value": None,
            "items.*.propensity": (5e-324, 1.0),
            "items.*.probabilities.*": SHARE,
            "items.*.stages.source_rank": RANK,
            "items.*.stages.candidate_rank": RANK,
            "items.*.stages.first_rank": RANK,
            "items.*.stages.second_rank": RANK,
            "items.*.stages.first_score": None,
            "items.*.stages.second_score": None,
            "items.*.stages.penalty": None,
            "randomised.pool.*.group": (-1, 2**31 - 1),
            "randomised.pool.*.age_ms": COUNT,
            "randomised.pool.*.expected.*": None,
        },
    ),
    EXAMPLES_TOPIC: (
        parse_labelled_page,
        {**_internal(EXAMPLES_TOPIC), "labels": {"like": [2]}, "seen": [2]},
        {
            "served_ms": TIME, "first_position": (1, 32_764), "propensities.*": (5e-324, 1.0),
            "seen.*": (0, 3), "labels.like.0": (0, 3),
        },
    ),
    CANDIDATES_TOPIC: (
        lambda value, now_ms: CandidateLog(3).add(value, now_ms),
        _internal(CANDIDATES_TOPIC),
        # As many as there are features of.
        {"ranked_ms": TIME, "candidates": (3, 3)},
    ),
    FORGOTTEN_TOPIC: (
        parse_forgotten,
        msgspec.to_builtins(Forgotten.of("v", NOW, allowed=True)),
        {"group": COUNT, "changed_ms": TIME, "allowed_ms": TIME},
    ),
    DEAD_LETTERS_TOPIC: (
        lambda value, now_ms: _letter(value),
        _internal(DEAD_LETTERS_TOPIC),
        # -1: of no record, but of something in Redis.
        {"partition": (-1, COUNT[1]), "offset": OFFSET, "size": OFFSET, "first_seen": DATE},
    ),
    f"{DEAD_LETTERS_TOPIC}, a mark": (
        lambda value, now_ms: _redriven(value),
        msgspec.to_builtins(_mark),
        {
            "partition": COUNT, "offset": OFFSET, "sent_partition": COUNT,
            "sent_offset": OFFSET, "redriven_ms": DATE,
        },
    ),
}  # fmt: skip


def numbers(value: Any, path: str = "") -> Iterator[str]:
    """The path of every number in a record."""
    if isinstance(value, bool):
        return
    if isinstance(value, int | float):
        yield path.removesuffix(".")
    parts = value.items() if isinstance(value, dict) else ()
    parts = enumerate(value) if isinstance(value, list) else parts
    for name, part in parts:
        yield from numbers(part, f"{path}{name}.")


def bounds_of(table: dict[str, Bounds], path: str) -> Bounds | str:
    for pattern, bounds in table.items():
        wanted, found = pattern.split("."), path.split(".")
        if len(wanted) == len(found) and all(
            one in ("*", other) for one, other in zip(wanted, found, strict=True)
        ):
            return bounds
    return "not in the table"


def changed(record: Any, path: str, number: float) -> bytes:
    copy = json.loads(json.dumps(record))
    *way, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    inner = copy
    for part in way:
        inner = inner[part]
    inner[last] = number
    return json.dumps(copy).encode()


CASES: Final = [
    pytest.param(name, path, id=f"{name} {path}")
    for name, (_, record, _) in TABLE.items()
    for path in numbers(record)
]


def test_every_topic_is_in_the_table() -> None:
    assert {name.partition(",")[0] for name in TABLE} == TOPICS.keys()
    for name, (parse, record, _) in TABLE.items():
        fields = {field.name for field in msgspec.structs.fields(parse_result(parse, record))}
        optional = {"topics", "language", "image_url", "deleted", "private", "disabled", "undo"}
        optional |= {"author_id", "request_id", "long", "viewed", "trace", "metrics", "reason"}
        assert fields - optional <= set(record) | {"space", "previous"}, name


def parse_result(parse: Any, record: Any) -> Any:
    """What a record is read as; where that is no record, one without fields."""
    result = parse(json.dumps(record).encode(), NOW)
    return type(result) if isinstance(result, msgspec.Struct) else msgspec.defstruct("Other", [])


@pytest.mark.parametrize(("name", "path"), CASES)
def test_a_number_is_taken_within_its_bounds_and_not_beyond(name: str, path: str) -> None:
    parse, record, table = TABLE[name]
    bounds = bounds_of(table, path)
    assert not isinstance(bounds, str), bounds
    if bounds is None:
        for number in (-1e300, 0, 1e300):
            parse(changed(record, path, number), NOW)
        return
    low, high = bounds
    for number in (low, high):
        parse(changed(record, path, number), NOW)
    beyond = [-0.001, 1.001, 1e300, -1e300]
    if isinstance(low, int):
        beyond = [low - 1, high + 1, -(2**63), 2**63, 2**70]
    for number in beyond:
        with pytest.raises(InvalidEventError):
            parse(changed(record, path, number), NOW)
