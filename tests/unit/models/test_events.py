"""Every kind of bad input has its reason; good input is read whole."""

from __future__ import annotations

import json
import re

import pytest

from models.actions import Action, action_in
from models.events import InvalidEventError, Relation, parse_account, parse_event, parse_media

NOW = 1_760_000_000_000
GOOD = {"event_id": "e1", "viewer_id": "v1", "media_id": "m1", "ts": NOW - 1000}


def body(**changes: object) -> bytes:
    return json.dumps({k: v for k, v in {**GOOD, **changes}.items() if v is not ...}).encode()


@pytest.mark.parametrize(
    ("value", "reason", "says"),
    [
        (None, "empty", "no value"),
        (b"\xff\xfe{", "bad_json", "JSON"),
        (b'{"event_id": "\xff"}', "bad_utf8", "UTF-8"),
        (b"{", "bad_json", "JSON"),
        (b"[]", "bad_field", "object"),
        (b"null", "bad_field", "object"),
        (body(media_id=...), "bad_field", "media_id"),
        (body(viewer_id=7), "bad_field", "viewer_id"),
        (body(viewer_id=""), "bad_field", "viewer_id"),
        (body(viewer_id="é" * 65), "bad_id", "130 bytes"),
        (body(media_id="m" * 129), "bad_id", "129 bytes"),
        (body(author_id=""), "bad_field", "author_id"),
        (body(event_id="x" * 129), "bad_id", "event_id"),
        (body(ts="now"), "bad_field", "ts"),
        (body(ts=1.5), "bad_field", "ts"),
        (body(ts=1_760_000_000), "bad_ts", "seconds"),
        (body(ts=-1), "bad_ts", "-1"),
        (body(ts=NOW + 365 * 24 * 3_600_000), "bad_ts", "hours ahead"),
        (body(undo="yes"), "bad_field", "undo"),
        (body(padding="x" * 70_000), "oversize", "65536"),
    ],
)
def test_bad_input_is_refused_with_a_reason(value: bytes | None, reason: str, says: str) -> None:
    with pytest.raises(InvalidEventError, match=re.escape(says)) as caught:
        parse_event("events.like", value, NOW)
    assert caught.value.reason == reason


def test_an_id_of_128_bytes_is_fine() -> None:
    event = parse_event("events.like", body(viewer_id="é" * 64), NOW)
    assert event.viewer_id == "é" * 64


def test_an_unknown_topic_is_an_unknown_action() -> None:
    with pytest.raises(InvalidEventError, match="events\\.poke"):
        parse_event("events.poke", body(), NOW)


def test_a_request_id_that_is_empty_names_no_page() -> None:
    assert parse_event("events.like", body(request_id=""), NOW).request_id == ""  # type: ignore[union-attr]


def test_unknown_fields_are_ignored() -> None:
    assert parse_event("events.save", body(schema=2, colour="red"), NOW).event_id == "e1"


def test_a_long_view_is_an_action_of_its_own() -> None:
    short = parse_event("events.view", body(dwell_ms=10), NOW)
    long = parse_event("events.view", body(long=True), NOW)
    assert action_in("events.view", short.long) is Action.VIEW  # type: ignore[arg-type]
    assert action_in("events.view", long.long) is Action.LONG_VIEW  # type: ignore[arg-type]


def test_a_follow_names_its_kind() -> None:
    value = {"event_id": "e", "viewer_id": "v", "author_id": "a", "kind": "block", "ts": NOW}
    event = parse_event("events.follow", json.dumps(value).encode(), NOW)
    assert event.kind is Relation.BLOCK  # type: ignore[union-attr]
    with pytest.raises(InvalidEventError, match="kind"):
        parse_event("events.follow", json.dumps({**value, "kind": "poke"}).encode(), NOW)


def test_catalogue_records_are_checked() -> None:
    media = parse_media(
        b'{"media_id": "m", "author_id": "a", "created_ts": 1, "integrity": {"nsfw": 0.25}}',
        NOW,
    )
    assert media.integrity.nsfw == 0.25
    with pytest.raises(InvalidEventError, match="nsfw"):
        parse_media(
            b'{"media_id":"m","author_id":"a","created_ts":1,"integrity":{"nsfw":1.25}}', NOW
        )
    with pytest.raises(InvalidEventError, match="created_ts"):
        parse_media(b'{"media_id": "m", "author_id": "a", "created_ts": -5}', NOW)
    assert parse_account(b'{"account_id": "a", "private": true}').private
    with pytest.raises(InvalidEventError, match="account_id"):
        parse_account(b"{}")
