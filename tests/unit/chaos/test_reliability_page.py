"""The page says what the reports say, misses included."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chaos.reliability_page import Seen, page, quantile


def report(**changes: Any) -> dict[str, Any]:
    """A chaos run of two faults."""
    kind = {"injected": 2, "recovery_s": [0.5, 2.0], "served": 999, "failed": 0, "crashed": 0}
    return {
        "broker": "apache", "seed": 1, "seconds": 60.0, "sent": 100, "resent": 3, "in_log": 103,
        "dead_letters": 4, "dead_letters_expected": 4, "dead_letters_again": 1, "lost": 0,
        "double": 0, "hash_equal": True, "lookups_served_between": 50,
        "lookups_failed_between": 0, "cores": 2, "load": 1.5, "notes": [], "differences": [],
        "faults": {"Redis READONLY": kind, "worker killed": {**kind, "injected": 1}},
        **changes,
    }  # fmt: skip


def row(text: str, name: str) -> list[str]:
    [line] = [line for line in text.splitlines() if line.startswith(f"| {name} |")]
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def test_runs_add_up() -> None:
    text = page(Seen([report(), report(seed=2)], [], []))
    assert row(text, "faults injected") == ["6", "≥ 300", "**missed**"]
    assert row(text, "lost") == ["0", "0", "✓"]
    assert row(text, "recovery, p99") == ["2.00 s", "≤ 10 s", "✓"]
    # Those of the worker do not count here.
    assert row(text, "lookups of ready grids during faults of Redis and Kafka")[0] == "1998"
    assert row(text, "Redis READONLY") == ["4", "0.50", "2.00", "1998", "0", "0"]
    assert "did not hold" not in text


def test_misses_are_said() -> None:
    stuck = {name: value for name, value in report(seed=3).items() if name not in ("lost",)}
    kind = {"injected": 1, "recovery_s": [12.0], "served": 1, "failed": 9, "crashed": 1}
    bad = report(
        lost=2, hash_equal=False, differences=["viewer v count: 1 instead of 2"],
        notes=["worker ended with exit code 1: why (log: /somewhere)"],
        faults={"Redis hangs": kind},
    )  # fmt: skip
    text = page(Seen([bad, {**stuck, "stuck": "after 90 s still not: the like"}], [], []))
    assert row(text, "lost") == ["2", "0", "**missed**"]
    assert row(text, "processes that ended by themselves") == ["1", "0", "**missed**"]
    assert row(text, "runs whose state has the hash of the log")[0] == "0 of 2"
    assert "seed 1 on apache: viewer v count: 1 instead of 2" in text
    assert "seed 3 on apache: after 90 s still not: the like" in text
    assert "/somewhere" not in text


def test_bad_input_and_soak_have_a_row_each() -> None:
    bad = {
        "broker": "apache", "malformed": 1000, "good": 50, "lettered": 1001, "lost": 0,
        "double": 0, "crashed": 0, "records_per_s": 123.4,
    }  # fmt: skip
    soak = {
        "minutes": 5.0, "events_per_s": 99.5, "faults": 5, "freshness_p50_s": 0.1,
        "freshness_p99_s": 0.9, "lost": 0, "double": 0, "memory_mib_per_h": {"worker": 3.0},
        "files_per_h": {"worker": 0.0},
    }  # fmt: skip
    text = page(Seen([], [bad], [soak]))
    assert row(text, "apache") == ["1000", "50", "1001", "0", "0", "0", "123"]
    assert row(text, "5")[1:] == ["5", "0.10 / 0.90 s", "0", "0", "worker +3", "worker +0"]


@pytest.mark.parametrize(
    ("share", "value"), [(0.5, 5.0), (0.99, 10.0), (1.0, 10.0), (0.01, 1.0), (0.91, 10.0)]
)
def test_quantiles_are_values_that_were_seen(share: float, value: float) -> None:
    assert quantile(range(1, 11), share) == value
    assert quantile([], share) == 0
