"""A gap between offsets is a loss where the log begins behind it, and else none."""

from __future__ import annotations

import logging

import pytest
from aiokafka.errors import KafkaConnectionError

from infra.metrics import RECORDS_EXPIRED
from infra.retention import NextOffsets
from models.events import MEDIA_TOPIC

PLACE = ("events.like", 3)


def lost() -> float:
    return RECORDS_EXPIRED.labels(PLACE[0])._value.get()


@pytest.mark.parametrize(
    ("place", "first", "begins", "missing"),
    [
        (PLACE, 10, 0, 0),  # nothing between
        (PLACE, 15, 0, 0),  # markers of transactions
        (PLACE, 15, 15, 5),
        (PLACE, 15, 13, 3),  # and a marker
        (PLACE, 7, 7, 0),  # delivered again
        ((MEDIA_TOPIC, 0), 15, 15, 0),  # compacted
    ],
)
async def test_what_is_missing_is_told_from_a_gap(
    place: tuple[str, int], first: int, begins: int, missing: int,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    async def oldest() -> int:
        return begins

    before = lost()
    offsets = NextOffsets("group g")
    offsets.begin({place: 10})
    await offsets.came(place, first, 20, oldest)
    assert lost() - before == missing
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert len(said) == (missing > 0)
    if said:
        assert f"deleted offsets 10 to {9 + missing} before group g read them: {missing}" in said[0]


async def test_the_first_records_and_a_broker_that_does_not_tell_miss_nothing() -> None:
    async def away() -> int:
        raise KafkaConnectionError

    before = lost()
    offsets = NextOffsets("group g")
    await offsets.came(PLACE, 100, 110, away)
    await offsets.came(PLACE, 120, 130, away)
    assert lost() == before
