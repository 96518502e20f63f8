"""Bodies of events: cut into records, bounded, and answered record by record."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import httpx
import pytest

from infra.http.bodies import MOST_BYTES, MOST_RECORDS
from infra.http.events import events_routes
from infra.kafka import Message
from models.actions import FOLLOW_TOPIC, MEDIA_EVENT_TOPIC_OF
from streams.clock import now_ms
from streams.serving.intake import Intake
from tests.http import client_of

NDJSON = "application/x-ndjson"


class Broker:
    """Keeps what it is sent."""

    def __init__(self) -> None:
        self.records = list[Message]()

    async def send(self, messages: Iterable[Message], traceparent: str = "") -> None:
        self.records += messages


def event(**fields: Any) -> dict[str, Any]:
    like = {"action": "like", "event_id": "e", "viewer_id": "v", "media_id": "m", "ts": now_ms()}
    return {**like, **fields}


def relation(**fields: Any) -> dict[str, Any]:
    block = {"kind": "block", "event_id": "f", "viewer_id": "w", "author_id": "a", "ts": now_ms()}
    return {**block, **fields}


async def post(
    body: bytes, kind: str = "application/json", broker: Broker | None = None
) -> httpx.Response:
    intake = Intake((broker or Broker()).send)
    async with client_of(events_routes(intake)) as client:
        return await client.post("/v1/events", content=body, headers={"Content-Type": kind})


def lines(*events: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(one).encode() + b"\n" for one in events)


@pytest.mark.parametrize("form", ["one", "array", "lines", "lines with blanks"])
async def test_every_form_of_body_reaches_its_topic_as_it_came(form: str) -> None:
    broker = Broker()
    events = [event(), relation()] if form != "one" else [event()]
    body, kind = {
        "one": (json.dumps(events[0]).encode(), "application/json"),
        "array": (json.dumps(events).encode(), "application/json; charset=utf-8"),
        "lines": (lines(*events), NDJSON),
        "lines with blanks": (b"\r\n\n" + lines(*events).replace(b"\n", b"\r\n\r\n"), NDJSON),
    }[form]
    answer = await post(body, kind, broker)
    assert (answer.status_code, answer.json()) == (202, {"accepted": len(events), "refused": []})
    topics = [MEDIA_EVENT_TOPIC_OF["like"], FOLLOW_TOPIC]
    assert [(r.topic, r.key) for r in broker.records] == list(zip(topics, "vw", strict=True))[
        : len(events)
    ]
    assert [json.loads(r.value or b"") for r in broker.records] == events


@pytest.mark.parametrize("action", MEDIA_EVENT_TOPIC_OF)
async def test_every_action_has_its_topic(action: str) -> None:
    broker = Broker()
    assert (await post(lines(event(action=action)), NDJSON, broker)).status_code == 202
    assert [record.topic for record in broker.records] == [MEDIA_EVENT_TOPIC_OF[action]]


async def test_bad_records_are_told_and_the_good_ones_taken() -> None:
    broker = Broker()
    bad = [
        b'{"action": "like"', b"7", b'{"action": "\xff"}', lines(event(ts=1_700_000_000)).strip(),
        lines(event(action="lik")).strip(), lines(event(media_id="")).strip(),
        lines(relation(kind="befriend")).strip(), lines(event(viewer_id="v" * 129)).strip(),
        lines(event(action=None)).strip(),
    ]  # fmt: skip
    answer = await post(b"\n".join([*bad, lines(event())]), NDJSON, broker)
    assert answer.status_code == 202
    told = answer.json()
    assert told["accepted"] == len(broker.records) == 1
    assert [(one["index"], one["reason"]) for one in told["refused"]] == list(
        enumerate(
            ["bad_json", "bad_field", "bad_utf8", "bad_ts", "unknown_action", "bad_field",
             "bad_field", "bad_id", "unknown_action"]
        )
    )  # fmt: skip
    assert "like, save" in told["refused"][4]["detail"]


async def test_nothing_good_is_a_problem_with_every_place() -> None:
    answer = await post(lines(event(ts=1), event(action="x")), NDJSON)
    assert answer.status_code == 422
    told = answer.json()
    assert told["type"] == "urn:freshgrid:problem:invalid"
    assert [(one["pointer"], one["reason"]) for one in told["errors"]] == [
        ("#/0", "bad_ts"), ("#/1", "unknown_action"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"", "application/json", 400),
        (b" \n ", NDJSON, 400),
        (b"[]", "application/json", 400),
        (b"[{]", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b"{}", "text/plain", 415),
        (b" " * (MOST_BYTES + 1), NDJSON, 413),
        (b"{}\n" * (MOST_RECORDS + 1), NDJSON, 413),
    ],
    ids=["empty", "blank", "no records", "broken", "deep", "another type", "large", "many"],
)
async def test_a_body_that_is_none_is_refused(body: bytes, kind: str, status: int) -> None:
    broker = Broker()
    answer = await post(body, kind, broker)
    assert (answer.status_code, answer.json()["status"]) == (status, status)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert not broker.records
