"""Made-up streams are distributed as the fixture is, in time order, and the same on every run."""

from collections import Counter
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from infra.kafka import Message
from models.actions import EVENT_TOPICS, FOLLOW_TOPIC
from models.events import parse_event
from streams.bench.population import TOPICS, Population, viewer_name
from streams.clock import now_ms
from streams.local.scenario import FIXTURE
from streams.log.replay import read_fixture


@pytest.fixture(scope="module")
def population() -> Population:
    return Population()


def values(messages: list[Message]) -> list[dict[str, Any]]:
    return [msgspec.json.decode(message.value) for message in messages]


def test_every_event_is_valid_and_keyed_by_its_viewer(population: Population) -> None:
    for message in population.stream(500, 5_000):
        event = parse_event(message.topic, message.value, now_ms())
        assert event.viewer_id == message.key


def test_follows_are_made_as_well_where_they_are_asked_for() -> None:
    everything = Population(EVENT_TOPICS)
    messages = list(everything.stream(4_000, len(everything.templates)))
    assert FOLLOW_TOPIC in {message.topic for message in messages} <= set(EVENT_TOPICS)
    for message in messages:
        parse_event(message.topic, message.value, now_ms())


def test_the_same_arguments_give_the_same_events(population: Population) -> None:
    first = list(population.stream(300, 2_000))
    assert list(population.stream(300, 2_000)) == first
    assert list(population.stream(300, 2_000, seed=8)) != first


def test_event_ids_are_unique_and_as_long_as_the_fixtures(population: Population) -> None:
    first = values(list(population.stream(300, 3_000)))
    second = values(list(population.stream(300, 3_000, first_event=3_000)))
    ids = {value["event_id"] for value in first + second}
    assert len(ids) == 6_000
    assert {len(name) for name in ids} == {len("kr-430721a76265")}


def test_times_never_go_back_and_begin_where_asked(population: Population) -> None:
    ts = [value["ts"] for value in values(list(population.stream(300, 3_000, start_ts=10**12)))]
    assert all(earlier <= later for earlier, later in pairwise(ts))
    assert ts[0] >= 10**12
    assert ts[-1] - 10**12 == pytest.approx(population.lasts(300, 3_000), rel=0.2)


def test_one_lap_of_whole_copies_is_the_fixture_for_each_of_them(population: Population) -> None:
    """Every event of the fixture comes once per copy, with its own viewer's clone."""
    copies = 2
    viewers = copies * len(population.fixture_viewers)
    messages = list(population.stream(viewers, copies * len(population.templates)))
    made = Counter(_content(message.topic, message.key, message.value) for message in messages)
    number_of = {name: number for number, name in enumerate(population.fixture_viewers)}
    expected: Counter[tuple[str, ...]] = Counter()
    for line in read_fixture(FIXTURE):
        if line.topic in TOPICS:
            for copy in range(copies):
                number = number_of[line.key.decode()] + copy * len(number_of)
                expected[_content(line.topic, viewer_name(number), line.value)] += 1
    assert made == expected


def _content(topic: str, viewer_id: str, value: bytes) -> tuple[str, ...]:
    event = msgspec.json.decode(value)
    kept = {name: event[name] for name in event if name not in ("event_id", "viewer_id", "ts")}
    return topic, viewer_id, msgspec.json.encode(kept, order="sorted").decode()


def test_copies_interleave(population: Population) -> None:
    viewers = 5 * len(population.fixture_viewers)
    messages = list(population.stream(viewers, 20_000))
    copy = [
        (int(message.key[1:]) - int(viewer_name(0)[1:])) // len(population.fixture_viewers)
        for message in messages[:1000]
    ]
    assert min(Counter(copy)[number] for number in range(5)) > 100


def test_a_viewers_events_keep_their_distances(population: Population) -> None:
    """But for the jump from the end of the fixture to its beginning."""
    messages = list(population.stream(len(population.fixture_viewers), len(population.templates)))
    busiest, _ = Counter(message.key for message in messages).most_common(1)[0]
    number = int(busiest[1:]) - int(viewer_name(0)[1:])
    made = [value["ts"] for value in values([m for m in messages if m.key == busiest])]
    real = [template.ts for template in population.templates if template.viewer == number]
    gaps = Counter(later - earlier for earlier, later in pairwise(real))
    missing = Counter(later - earlier for earlier, later in pairwise(made)) - gaps
    assert missing.total() <= 1


def test_viewers_of_a_part_of_a_population_are_spread_over_it(population: Population) -> None:
    keys = {message.key for message in population.stream(100, 1_000, every=50)}
    assert keys <= {viewer_name(number * 50) for number in range(100)}
    assert len(keys) > 60


def test_a_small_population_goes_round(population: Population) -> None:
    events = 3 * len(population.templates)
    messages = list(population.stream(len(population.fixture_viewers), events))
    assert len(messages) == events
    assert len({message.value for message in messages}) == events
