"""Workers that come and go while nothing crashes: every poison record has one letter."""

from __future__ import annotations

import asyncio
import json
from collections import Counter

import pytest

from infra.batch_sender import send_in_batches
from infra.kafka import Message
from infra.topics import DEAD_LETTERS_TOPIC
from tests.integration.conftest import Pipeline

POISON = 200
#: Good records beside each bad one: enough that work is under way while partitions move.
GOOD = 400
#: Nobody is taken for dead because the machine is busy: that is a crash, and another promise.
PATIENT_S = "30"


@pytest.mark.timeout(240)
def test_partitions_that_move_leave_one_letter_a_record(pipeline: Pipeline) -> None:
    assert pipeline.stop_worker() == 0
    other = Pipeline(pipeline.settings)
    messages = []
    for number in range(POISON):
        viewer = f"mover-{number % 97}"
        for _ in range(GOOD):
            event = json.dumps(pipeline.event(viewer, "m", author_id="a")).encode()
            messages.append(Message("events.like", viewer, event))
        messages.append(Message("events.like", viewer, b"poison"))
    asyncio.run(send_in_batches(pipeline.settings, messages))
    pipeline.start_worker(SESSION_TIMEOUT_S=PATIENT_S)
    # Partitions move to the other and back while the backlog is folded.
    other.start_worker(SESSION_TIMEOUT_S=PATIENT_S)
    assert other.stop_worker() == 0
    other.producer.close()

    def places() -> Counter[tuple[str, int, int]]:
        letters = map(json.loads, (record.value for record in pipeline.records(DEAD_LETTERS_TOPIC)))
        return Counter((of["topic"], of["partition"], of["offset"]) for of in letters)

    pipeline.wait(lambda: len(places()) == POISON)
    assert places().total() == POISON
