"""The benchmark of a start on a small world: its keys, and that both starts end alike."""

from infra.config import Settings
from streams.bench import start


def test_both_starts_end_in_the_same_world() -> None:
    figures = start.run(Settings(), media=300, events=2000)
    assert figures["snapshot_equal"] is True
    wanted = {"start_s", "start_s_full", "snapshot_mib", "stall_ms", "copy_ms", "peak_mib"}
    assert wanted <= set(figures)
