"""What a process made that nobody takes over from is touched, once and not without end."""

import asyncio
import json
from collections.abc import Iterable

import pytest

from infra.kafka import Message
from streams.serving import handover
from streams.serving.handover import Handover


async def handed(made: Iterable[tuple[str, int]], *, needed: bool) -> list[tuple[str, int]]:
    sent: list[Message] = []
    told = asyncio.Event()

    async def send(messages):
        sent.extend(messages)
        told.set()

    over = Handover(send, lambda: needed)
    for viewer, reflects_ts in made:
        over.made(viewer, json.dumps({"items": [], "reflects_ts": reflects_ts}).encode())
    running = asyncio.ensure_future(over.run())
    if needed:
        await asyncio.wait_for(told.wait(), 10)
    else:
        await asyncio.sleep(0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert {message.topic for message in sent} <= {"explore.touched"}
    return [(message.key, json.loads(message.value)["ts"]) for message in sent]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handover, "STORED_AFTER_S", 0.0)


async def test_each_viewer_is_touched_once_at_the_newest_time() -> None:
    made = [("a", 1_700_000_000_001), ("b", 1_700_000_000_002), ("a", 1_700_000_000_003)]
    assert sorted(await handed(made, needed=True)) == [made[2], made[1]]


async def test_who_holds_a_partition_hands_nothing_over() -> None:
    assert await handed([("a", 1_700_000_000_001)], needed=False) == []


async def test_who_did_nothing_has_no_time_to_be_touched_at() -> None:
    assert await handed([("a", 0), ("b", 1_700_000_000_001)], needed=True) == [
        ("b", 1_700_000_000_001)
    ]


async def test_while_kafka_is_away_a_bounded_number_waits(monkeypatch) -> None:
    monkeypatch.setattr(handover, "MAX_WAITING", 2)
    made = [(name, 1_700_000_000_000 + n) for n, name in enumerate("abc", 1)]
    assert await handed(made, needed=True) == made[1:]
