"""Whatever bytes arrive, a parser returns a record that can be folded or names a reason."""

from __future__ import annotations

import json
from functools import partial

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from models.actions import EVENT_TOPICS, Action, action_in
from models.events import FollowEvent, InvalidEventError, parse_account, parse_event, parse_media
from models.viewers.state import (
    FoldConfig,
    ViewerState,
    decode,
    encode,
    fold_follow_event,
    fold_media_event,
)

NOW = 1_760_000_000_000
GOOD = {"event_id": "e1", "viewer_id": "v1", "media_id": "m1", "author_id": "a1", "ts": NOW}

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=200),
    st.sampled_from(["\ud800", "\udfff\ud800", "\x00", "é" * 65, "follow", ""]),
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner)
)
fields = st.sampled_from([*GOOD, "kind", "undo", "long", "dwell_ms", "request_id", "created_ts"])
mutated = st.dictionaries(fields, values, max_size=4).map(lambda d: json.dumps({**GOOD, **d}))
texts = st.one_of(
    st.binary(max_size=300),
    mutated.map(lambda text: text.encode("utf-8", "surrogatepass")),
    mutated.map(lambda text: text.encode()[:-3]),
)
DEEP = b'{"x": ' + b"[" * 30_000 + b"]" * 30_000 + b"}"


@given(value=texts, topic=st.sampled_from([*EVENT_TOPICS, "events.poke"]))
@example(value=DEEP, topic="events.like")
@example(value=b"[" * 60_000, topic="events.like")
@example(value=json.dumps({**GOOD, "viewer_id": "\ud800"}).encode(), topic="events.like")
@example(value=json.dumps({**GOOD, "ts": 10**400}).encode(), topic="events.like")
def test_an_event_is_folded_or_refused(value: bytes, topic: str) -> None:
    try:
        event = parse_event(topic, value, NOW)
    except InvalidEventError as error:
        assert error.reason
        assert str(error)
        return
    state = ViewerState()
    event.viewer_id.encode()
    if isinstance(event, FollowEvent):
        assert fold_follow_event(state, event, FoldConfig())
    else:
        action = action_in(topic, event.long)
        assert isinstance(action, Action)
        assert fold_media_event(state, action, event, event.author_id or "a", FoldConfig())
    assert decode(encode(state)) == state


@pytest.mark.parametrize("parse", [partial(parse_media, now_ms=NOW), parse_account])
@given(value=texts)
@example(value=DEEP)
def test_a_catalogue_record_is_read_or_refused(parse, value: bytes) -> None:  # type: ignore[no-untyped-def]
    try:
        parse(value)
    except InvalidEventError as error:
        assert error.reason
