"""The chaos workload is what it says: equal for equal seeds, difficult, and right about itself."""

from __future__ import annotations

import json
from collections import Counter, defaultdict

import pytest

from models.actions import EVENT_TOPICS, action_in
from models.events import MEDIA_TOPIC, InvalidEventError, MediaEvent, parse_event, parse_media
from tests.chaos.workload import Workload, make_workload

NOW_MS = 1_800_000_000_000
EVENTS = 4000


@pytest.fixture(scope="module")
def workload() -> Workload:
    return make_workload(7, EVENTS)


def parsed(workload: Workload):
    """(position, topic, event) of every valid record of an event topic."""
    for position, (topic, key, value) in enumerate(workload.records):
        if topic in EVENT_TOPICS and (topic, key) not in workload.poison:
            yield position, topic, parse_event(topic, value, NOW_MS)


def test_equal_seeds_make_equal_workloads_and_others_do_not(workload: Workload) -> None:
    assert make_workload(7, EVENTS) == workload
    assert make_workload(8, EVENTS).records != workload.records


def test_it_has_as_many_events_as_asked_for_on_every_topic(workload: Workload) -> None:
    topics = Counter(message.topic for message in workload.records)
    late_media = workload.made["media while events flow"]
    assert len(workload.records) - late_media == EVENTS
    assert set(EVENT_TOPICS) <= set(topics)
    assert set(workload.made) == {
        "late", "without author", "follow, block or mute", "undo before its action",
        "undo after its action", "retry at once", "retry much later", "poison",
        "media while events flow",
    }  # fmt: skip
    assert min(workload.made.values()) >= 8


def test_exactly_the_poison_is_refused(workload: Workload) -> None:
    reasons = Counter()
    for topic, key, value in (*workload.catalogue, *workload.records):
        try:
            if topic in EVENT_TOPICS:
                parse_event(topic, value, NOW_MS)
            elif topic == MEDIA_TOPIC:
                parse_media(value, NOW_MS)
        except InvalidEventError as error:
            reasons[error.reason] += 1
            assert (topic, key) in workload.poison
        else:
            assert (topic, key) not in workload.poison
    assert reasons.total() == len(workload.poison)
    assert set(reasons) >= {"bad_utf8", "bad_json", "bad_field", "oversize"}


def test_retries_are_copies(workload: Workload) -> None:
    copies = Counter(workload.records)
    retries = workload.made["retry at once"] + workload.made["retry much later"]
    assert copies.total() - len(copies) == retries


def test_every_author_left_out_is_in_the_catalogue_sometimes_only_later(workload: Workload) -> None:
    known = {json.loads(m.value)["media_id"] for m in workload.catalogue if m.topic == MEDIA_TOPIC}
    comes = {
        json.loads(m.value)["media_id"]: position
        for position, m in enumerate(workload.records)
        if m.topic == MEDIA_TOPIC and (m.topic, m.key) not in workload.poison
    }
    lacking = [
        (position, event.media_id)
        for position, _, event in parsed(workload)
        if isinstance(event, MediaEvent) and event.author_id is None
    ]
    waiting = [(position, media) for position, media in lacking if media not in known]
    assert all(media in comes for _, media in waiting)
    assert any(position < comes[media] for position, media in waiting)
    assert any(position > comes[media] for position, media in waiting)


def test_it_counts_as_a_count_of_distinct_events_does(workload: Workload) -> None:
    """Once more, from the records alone: an undo takes back the only action of its group."""
    authors = {
        record["media_id"]: record["author_id"]
        for record in (
            json.loads(m.value)
            for m in (*workload.catalogue, *workload.records)
            if m.topic == MEDIA_TOPIC and (m.topic, m.key) not in workload.poison
        )
    }
    done, undone = {}, Counter()
    for _, topic, event in parsed(workload):
        if isinstance(event, MediaEvent):
            done[topic, event.event_id, event.undo] = (topic, event)
    for topic, event in done.values():
        if event.undo:
            undone[event.viewer_id, event.media_id, topic] += 1
    counts: defaultdict[str, Counter[tuple[str, int]]] = defaultdict(Counter)
    for topic, event in done.values():
        if not event.undo and not undone[event.viewer_id, event.media_id, topic]:
            author = event.author_id or authors[event.media_id]
            counts[event.viewer_id][author, action_in(topic, event.long)] += 1
    assert set(undone.values()) == {1}
    assert {v: e.counts for v, e in workload.expected.items() if e.counts} == dict(counts)
