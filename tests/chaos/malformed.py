"""Malformed records of every topic, made from good ones: none of them is what its topic takes."""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any, Final

from infra.kafka import Message
from models.events import InvalidEventError
from streams.clock import now_ms
from tests.poison import LETTERED
from tests.unit.streams.test_bounds import TABLE

#: Topics whose bad records become dead letters.
TOPICS: Final = sorted(
    topic for topic in TABLE if topic in LETTERED or not topic.startswith("explore.")
)
#: Different values of a topic; more are copies of these at other offsets.
KINDS: Final = 500
#: Keys of a topic, so that all partitions have some.
KEYS: Final = 64

#: What stands where something else should.
ODD: Final[tuple[Any, ...]] = (
    None, True, "", "x" * 200, "\udc80".encode("utf-8", "surrogatepass").decode("latin-1"),
    -1, 0, 2**31, 2**63, 2**70, 1e308, -1e-9, [], [[]], {}, {"x": 1}, ["x"] * 100,
)  # fmt: skip


def malformed(rng: Random, topic: str) -> list[bytes]:
    """Values that the topic's reader refuses."""
    read, good, _ = TABLE[topic]
    made: dict[bytes, None] = {}
    while len(made) < KINDS:
        value = rng.choice(MAKERS)(rng, good)
        try:
            read(value, now_ms())
        except InvalidEventError:
            made[value] = None
    return list(made)


def messages(rng: Random, count: int) -> list[Message]:
    """As many malformed records over all topics; their keys are those of :func:`places`."""
    values = {topic: malformed(rng, topic) for topic in TOPICS}
    return [
        Message(topic, f"malformed-{rng.randrange(KEYS)}", rng.choice(values[topic]))
        for topic in rng.choices(TOPICS, k=count)
    ]


def places() -> set[tuple[str, str]]:
    """(topic, key) of all malformed records; no other record has these."""
    return {(topic, f"malformed-{number}") for topic in TOPICS for number in range(KEYS)}


def _encode(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _cut(rng: Random, good: Any) -> bytes:
    text = _encode(good)
    return text[: rng.randrange(1, len(text))]


def _flipped(rng: Random, good: Any) -> bytes:
    text = bytearray(_encode(good))
    for _ in range(rng.randint(1, 4)):
        text[rng.randrange(len(text))] ^= 1 << rng.randrange(8)
    return bytes(text)


def _random(rng: Random, _: Any) -> bytes:
    return rng.randbytes(rng.randint(1, 60))


def _nested(rng: Random, _: Any) -> bytes:
    depth = rng.randint(1, 5000)
    return b'{"x":' + b"[" * depth + b"]" * depth + b"}"


def _lacking(rng: Random, good: Any) -> bytes:
    return _encode({k: v for k, v in good.items() if k != rng.choice(list(good))})


def _odd(rng: Random, good: Any) -> bytes:
    changed = {**good, rng.choice(list(good)): rng.choice(ODD)}
    return _encode(changed)


def _other(rng: Random, _: Any) -> bytes:
    return _encode(rng.choice([*ODD, [1, 2], "text"]))


MAKERS: Final[tuple[Callable[[Random, Any], bytes], ...]] = (
    _cut, _flipped, _random, _nested, _lacking, _odd, _other,
)  # fmt: skip
