"""How far consumer groups are behind, by what the broker told."""

from __future__ import annotations

from infra.log_positions import LogPositions, PartitionPosition


def test_lag_is_what_the_log_holds_and_the_group_has_not_committed() -> None:
    positions = LogPositions(
        {
            ("likes", 0): PartitionPosition(0, 10),
            # The beginning was deleted.
            ("likes", 1): PartitionPosition(100, 130),
            ("saves", 0): PartitionPosition(0, 7),
        },
        {"worker": {("likes", 0): 4, ("likes", 1): 20, ("saves", 0): 7}},
    )
    assert positions.records("likes") == 140
    assert positions.lag("worker", "likes") == 6 + 30
    assert positions.lag("worker", "saves") == 0
    # A group that never committed has everything before it.
    assert positions.lag("nobody", "likes") == 10 + 30
