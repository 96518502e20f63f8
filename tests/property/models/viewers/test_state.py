"""The fold commutes: any order, any duplicates, the same state."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.actions import VIEWS, Action
from models.events import FollowEvent, MediaEvent, Relation
from models.viewers.action_columns import read_actions
from models.viewers.state import (
    SLACK,
    FoldConfig,
    StateError,
    ViewerState,
    combine,
    counters,
    decode,
    digest,
    encode,
    entries,
    first_times,
    fold_follow_event,
    fold_media_event,
    related_authors,
    sessions,
    settle,
    suppressed_media,
    unsent_sessions,
)
from tests.viewers import seen_media

HOUR = 3_600_000
CONFIG = FoldConfig(half_life_ms=24 * HOUR)
AUTHOR_OF = {f"m{i}": f"a{i % 3}" for i in range(6)}

media_events = st.builds(
    lambda action, number, media, ts, undo: (
        action,
        MediaEvent(
            event_id=f"{'u' if undo else 'e'}{number}",
            viewer_id="v",
            media_id=media,
            ts=1_700_000_000_000 + ts,
            undo=undo,
        ),
    ),
    action=st.sampled_from(list(Action)),
    number=st.integers(0, 10**6),
    media=st.sampled_from(sorted(AUTHOR_OF)),
    ts=st.integers(0, 40 * 24 * HOUR),
    undo=st.booleans(),
)
follow_events = st.builds(
    lambda number, author, kind, ts, undo: (
        None,
        FollowEvent(
            event_id=f"f{number}", viewer_id="v", author_id=author, kind=kind,
            ts=1_700_000_000_000 + ts, undo=undo,
        ),
    ),
    number=st.integers(0, 10**6),
    author=st.sampled_from(["a0", "a1"]),
    kind=st.sampled_from(list(Relation)),
    ts=st.integers(0, 1000),
    undo=st.booleans(),
)  # fmt: skip
histories = st.lists(
    st.one_of(media_events, follow_events), max_size=40, unique_by=lambda item: item[1].event_id
)


def fold(history, config=CONFIG, state=None):
    state = ViewerState() if state is None else state
    for action, event in history:
        if action is None:
            fold_follow_event(state, event, config)
        else:
            fold_media_event(state, action, event, AUTHOR_OF[event.media_id], config)
    return state


def digest_of(history, config=CONFIG):
    return digest("v", fold(history, config), config)


@given(history=histories, seed=st.integers(0, 10**6))
def test_any_order_with_any_duplicates_gives_the_same_state(history, seed):
    rng = random.Random(seed)
    shuffled = history + [item for item in history if rng.random() < 0.5]
    rng.shuffle(shuffled)
    assert digest_of(shuffled) == digest_of(history)


def long_history(size, seed):
    """More events than an action log holds, with its slack; times repeat."""
    rng = random.Random(seed)
    return [
        (
            rng.choice(list(Action)),
            MediaEvent(
                event_id=f"e{number}",
                viewer_id="v",
                media_id=rng.choice(sorted(AUTHOR_OF)),
                ts=1_700_000_000_000 + rng.randrange(50) * HOUR,
            ),
        )
        for number in range(size)
    ]


@given(
    size=st.integers(0, 4 * SLACK), seed=st.integers(0, 10**6), cap=st.sampled_from([1, 5, SLACK])
)
def test_caps_keep_the_newest_whatever_the_order(size, seed, cap):
    config = FoldConfig(half_life_ms=24 * HOUR, max_strong=cap, max_views=cap)
    history = long_history(size, seed)
    rng = random.Random(seed + 1)
    # What fell out of the action logs is still recognised when it comes again.
    copies = [item for item in history if rng.random() < 0.5]
    shuffled = rng.sample(history, len(history)) + rng.sample(copies, len(copies))
    assert digest_of(shuffled, config) == digest_of(history, config)
    state = fold(shuffled, config)
    assert state.strong.size <= cap + SLACK
    # Nothing that fell out is forgotten by the counters.
    assert sum(c.count for cs in counters(state, 1).values() for c in cs.values()) == size
    settle(state, config)
    assert state.strong.size == min(cap, sum(action not in VIEWS for action, _ in history))
    assert sum(c.count for cs in counters(state, 1).values() for c in cs.values()) == size
    assert seen_media(state) == {event.media_id for _, event in history}


@given(seed=st.integers(0, 10**6))
def test_what_an_undo_took_back_is_not_counted_when_it_falls_out(seed):
    config = FoldConfig(max_strong=1, max_views=1)
    history = long_history(16, seed)
    undos = [
        (action, MediaEvent(f"u-{e.event_id}", "v", e.media_id, e.ts, undo=True))
        for action, e in history
    ]
    state = fold(history + undos, config)
    settle(state, config)
    kept = [e for actions in (state.strong, state.views) for e in actions.entries()]
    assert len(kept) <= 2
    assert all(c.count == 0 for cs in counters(state, 1).values() for c in cs.values())
    assert suppressed_media(state) == set()


@given(history=histories)
def test_counts_equal_what_is_not_undone(history):
    state = fold(history)
    counted = {
        (author, action): counter.count
        for author, of_author in counters(state, CONFIG.half_life_ms).items()
        for action, counter in of_author.items()
        if counter.count
    }
    expected: dict[tuple[str, int], int] = {}
    for entry in entries(state):
        key = (entry.author_id, entry.action)
        expected[key] = expected.get(key, 0) + 1
    assert counted == expected


@given(history=histories)
def test_undoing_everything_leaves_nothing(history):
    actions = [item for item in history if item[0] is not None and not item[1].undo]
    undos = [
        (action, MediaEvent(event_id=e.event_id, viewer_id="v", media_id=e.media_id,
                            ts=e.ts, undo=True))
        for action, e in actions
    ]  # fmt: skip
    state = fold(undos + actions)
    assert entries(state) == []
    left = counters(state, CONFIG.half_life_ms)
    assert all(c.count == 0 and not c.weights for cs in left.values() for c in cs.values())
    assert suppressed_media(state) == set()


@given(history=histories, cap=st.integers(1, 3), offset=st.integers(0, 2**48 - 1))
def test_encoding_round_trips(history, cap, offset):
    config = FoldConfig(max_strong=cap, max_views=cap)
    state = fold(history, config)
    settle(state, config)
    state.applied = {b"\0\0\1": offset, b"\4\0\0": 7}
    state.sessions_sent = offset
    again = decode(encode(state))
    assert encode(again) == encode(state)
    assert digest("v", again, config) == digest("v", state, config)
    assert (again.applied, again.sessions_sent) == (state.applied, offset)


@given(history=st.lists(media_events, max_size=3), cut=st.integers(0, 60))
def test_bytes_that_are_no_state_are_refused(history, cut):
    data = encode(fold(history))
    for bad in (data[:cut], b"\x01" + data[1:], data + b"\xff"):
        if bad != data:
            with pytest.raises(StateError):
                decode(bad)


@given(history=histories)
def test_sessions_cut_exactly_at_the_gap(history):
    gap = 30 * 60 * 1000
    cut = sessions(fold(history), gap)
    assert [e for s in cut for e in s] == entries(fold(history))
    for session in cut:
        assert all(b.ts - a.ts < gap for a, b in itertools.pairwise(session))
    assert all(b[0].ts - a[-1].ts >= gap for a, b in itertools.pairwise(cut))


@given(history=histories)
def test_relations_and_suppressions_follow_the_newest_event(history):
    state = fold(history)
    for author in ("a0", "a1"):
        for kind in Relation:
            events = [
                e for a, e in history if a is None and (e.author_id, e.kind) == (author, kind)
            ]
            newest = max(((e.ts, e.undo) for e in events), default=(0, True))
            ties = {e.undo for e in events if e.ts == newest[0]}
            if len(ties) < 2:
                assert (author in related_authors(state, kind)) == (not newest[1])
    seen = {entry.media_id for entry in entries(state)}
    assert seen_media(state) == seen


@given(states=st.lists(st.tuples(st.uuids().map(str), histories), max_size=5))
def test_the_hash_of_all_viewers_ignores_their_order(states):
    digests = [digest(name, fold(history), CONFIG) for name, history in states]
    assert combine(digests) == combine(reversed(digests))


@given(histories, st.integers(0, 41 * 24 * HOUR), st.sampled_from([HOUR, 24 * HOUR, 10**12]))
def test_sessions_that_were_not_sent_are_found_without_the_others(history, sent, gap):
    state = fold(history)
    for sent_ts in (0, 1_700_000_000_000 + sent, *(s[-1].ts for s in sessions(state, gap))):
        state.sessions_sent = sent_ts
        expected = [of for of in sessions(state, gap) if of[-1].ts > sent_ts]
        assert unsent_sessions(state, gap) == expected


@given(history=histories, gap=st.sampled_from([HOUR, 24 * HOUR]))
def test_what_was_done_before_is_no_first_time(history, gap):
    state = fold(history)
    logged = state.strong.entries() + state.views.entries()
    for session in sessions(state, gap):
        done = {e[2:3] + e[4:] for e in logged if e.ts < session[0].ts and not e.undo}
        expected = []
        for entry in session:
            what = entry[2:3] + entry[4:]
            if what not in done:
                expected.append(entry)
            done.add(what)
        assert first_times(state, session) == expected


@given(
    history=st.lists(media_events | follow_events, max_size=12),
    cap=st.integers(1, 3),
    changes=st.lists(st.tuples(st.integers(0, 2**16), st.binary(max_size=3)), max_size=4),
)
def test_a_damaged_state_is_refused_or_as_good_as_any(history, cap, changes):
    config = FoldConfig(half_life_ms=24 * HOUR, max_strong=cap, max_views=cap)
    state = fold(history, config)
    settle(state, config)
    data = encode(state)
    for at, other in changes:
        at %= len(data)
        data = data[:at] + other + data[at + 2 :]
    try:
        found = decode(data)
    except StateError:
        return
    # What is read of it, and what is folded into it.
    for read in (entries, suppressed_media, seen_media, encode):
        read(found)
    related_authors(found, *Relation)
    read_actions([found])
    sessions(found, HOUR)
    counters(found, config.half_life_ms)
    fold(long_history(8, 1), config, found)
    digest("v", found, config)


@given(data=st.binary(max_size=200))
def test_any_bytes_are_refused_in_one_way(data):
    with pytest.raises(StateError):
        decode(b"\x02" + data[:3] + data)
        raise StateError("by chance they were a state")
