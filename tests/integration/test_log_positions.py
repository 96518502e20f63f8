"""How far the log goes and a group is, asked of real brokers beside a worker that reads."""

from __future__ import annotations

import asyncio

from infra.log_positions import LogPositions, log_positions
from streams.topology import WORKER_GROUP
from tests.integration.conftest import Pipeline

TOPIC = "events.like"
OTHER = "a-group-that-nobody-joined"


def test_records_and_lag_are_told_while_the_worker_works(pipeline: Pipeline) -> None:
    settings = pipeline.settings

    def asked() -> LogPositions:
        groups = {WORKER_GROUP: [TOPIC], OTHER: [TOPIC]}
        return asyncio.run(log_positions(settings, {TOPIC: settings.partitions}, groups))

    for number in range(30):
        viewer = pipeline.new_viewer()
        pipeline.send(TOPIC, pipeline.event(viewer, f"m{number}", author_id="a"), viewer)
        if number % 10 == 0:
            asked()
    pipeline.wait(lambda: asked().records(TOPIC) == 30 and asked().lag(WORKER_GROUP, TOPIC) == 0)
    # To ask commits nothing, nor makes anybody a member.
    told = asked()
    assert told.lag(OTHER, TOPIC) == 30
    assert told.committed[OTHER] == {}
    viewer = pipeline.new_viewer()
    pipeline.send(TOPIC, pipeline.event(viewer, "last", author_id="a"), viewer)
    pipeline.wait(lambda: pipeline.liked(viewer) == ["last"])
