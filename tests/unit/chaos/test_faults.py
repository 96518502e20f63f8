"""Faults are enough, are told, and come in an order in which none hides another."""

from __future__ import annotations

import random

from tests.chaos.faults import ALL
from tests.chaos.injector import each_once, one_of_each_group, possible, with_kills
from tests.chaos.malformed import TOPICS, malformed
from tests.chaos.soak import LASTING, Look, longest_life, slope_per_h
from tests.unit.streams.test_bounds import TABLE


def test_there_are_many_kinds_and_each_says_what_it_does() -> None:
    names = [fault.name for fault in ALL]
    assert len(set(names)) == len(names) >= 30
    assert {fault.part for fault in ALL} == {
        "worker", "ranker", "learner", "Redis", "Kafka", "artifacts", "clock", "input",
    }  # fmt: skip
    assert all(len(fault.does.split()) >= 3 for fault in ALL)
    assert set(LASTING) <= set(names)


def test_a_round_has_each_fault_once_and_what_takes_from_the_log_last() -> None:
    for seed in range(20):
        rng = random.Random(seed)
        plan = with_kills(rng, each_once(rng, possible(durable=True)), 3)
        assert {fault.name for fault in plan} == {fault.name for fault in ALL}
        assert len(plan) == len(ALL) + 3
        assert [fault.last for fault in plan] == sorted(fault.last for fault in plan)


def test_a_short_round_has_one_of_each_group_and_equal_seeds_the_same() -> None:
    for durable in (True, False):
        faults = possible(durable)
        plan = one_of_each_group(random.Random(7), faults)
        groups = {(fault.part, fault.group) for fault in faults}
        assert sorted({(f.part, f.group) for f in plan}) == sorted(groups)
        assert len(plan) == len(groups)
        assert one_of_each_group(random.Random(7), faults) == plan


def test_what_is_malformed_is_refused_by_the_reader_of_its_topic() -> None:
    assert {topic for topic in TABLE if "dead_letters" not in topic} == set(TOPICS)
    for topic in TOPICS:
        assert len(set(malformed(random.Random(1), topic))) >= 100


def test_slopes_are_of_one_life_without_its_start() -> None:
    looks = [Look(1, 0.0, 10.0, 5), *(Look(2, float(s), 100 + s / 360, 7) for s in range(90))]
    life = longest_life(looks)
    assert [look.at_s for look in life] == [float(s) for s in range(30, 90)]
    assert round(slope_per_h([(look.at_s, look.memory_mib) for look in life]), 6) == 10.0
    assert slope_per_h([(look.at_s, look.files) for look in life]) == 0.0
    assert slope_per_h([(1.0, 5.0)]) == 0.0
