"""Plans grow with their load, name what breaks, and are of figures that are there."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from streams.planning.figures import SHIPPED, Figures, FiguresError, read_figures
from streams.planning.sizing import Assumptions, Load, Plan, plan
from tests.paths import ROOT

FIGURES = Figures(
    fold_per_core_s=60_000, store_per_core_s=120_000, broker_per_core_s=300_000,
    close_per_core_s=10_000, grids_per_core_s=500, pages_per_core_s=5_000,
    follow_per_core_s=100_000, learn_pages_per_s=4_000, learn_events_per_s=None, event_bytes=150,
    page_record_bytes=14_000, viewer_bytes=700, state_bytes=500, grid_bytes=16_000,
    media_bytes=300, worker_bytes=200 * 2**20, machine="one of a test",
)  # fmt: skip
ASSUMED = Assumptions()


def planned(viewers: int = 10**6, media: int = 10**6, events_per_s: float = 1000.0) -> Plan:
    return plan(Load(viewers=viewers, media=media, events_per_s=events_per_s), FIGURES, ASSUMED)


def used(found: Plan, name: str) -> float:
    [limit] = [limit for limit in found.limits if name in limit.name]
    return limit.used


def test_workers_are_what_events_and_sessions_take() -> None:
    sessions = 10**8 * ASSUMED.sessions_per_viewer / 86_400 * ASSUMED.peak
    cores = (30_000 / 60_000 + sessions / 10_000) / ASSUMED.busy
    worker = planned(viewers=10**8, events_per_s=30_000).roles["worker"]
    assert worker.cores == pytest.approx(cores)
    assert worker.processes is not None
    assert cores <= worker.processes < cores + 1


def test_rankers_divide_grids_and_none_helps_against_following() -> None:
    few, many = planned(events_per_s=10_000), planned(events_per_s=50_000)
    assert few.roles["ranker"].processes == 5  # 2 s of work a second, of the 0.5 of each
    assert few.feasible
    # 0.5 of the 0.6 goes into following.
    assert many.roles["ranker"].processes in (104, 105)
    beyond = planned(events_per_s=70_000)
    assert beyond.roles["ranker"].processes is None
    assert used(beyond, "reads every event") == pytest.approx(0.7 / 0.6)
    assert not beyond.feasible


def test_what_is_used_most_is_named_first() -> None:
    by_media = planned(media=10**9)
    assert "every media" in by_media.limits[0].name
    assert by_media.limits[0].used == pytest.approx(2 * 300e9 / 2**30 / 64)
    by_viewers = planned(viewers=10**8)
    assert "holds everybody" in by_viewers.limits[0].name
    shares = [limit.used for limit in by_viewers.limits]
    assert shares == sorted(shares, reverse=True)
    assert all(limit.moved_by for limit in by_viewers.limits)


def test_more_of_anything_costs_no_less() -> None:
    small = planned()
    for larger in (planned(viewers=10**7), planned(media=10**7), planned(events_per_s=9000)):
        assert larger.month > small.month
        assert larger.partitions >= small.partitions
    assert small.partitions & (small.partitions - 1) == 0


def test_a_limit_that_is_measured_counts() -> None:
    load = Load(viewers=10**6, media=10**6, events_per_s=10_000)
    measured = msgspec.structs.replace(FIGURES, learn_events_per_s=9_000)
    assert used(plan(load, measured, ASSUMED), "examples of every event") > 1
    assert plan(load, FIGURES, ASSUMED).feasible


def test_figures_are_the_last_of_each_benchmark(tmp_path: Path) -> None:
    path = tmp_path / "figures.jsonl"
    more = {"bench": "learner", "figures": {"pages_per_s": 7, "record_bytes": 9}}
    path.write_bytes(SHIPPED.read_bytes() + json.dumps(more).encode())
    assert read_figures(path).learn_pages_per_s == 7
    path.write_text(json.dumps(more))
    with pytest.raises(FiguresError, match="has no events of the benchmark ingest: append what"):
        read_figures(path)
    path.write_text("some figures\n")
    with pytest.raises(FiguresError, match=r"figures.jsonl:1 is not what `freshgrid bench"):
        read_figures(path)


def test_the_page_is_current() -> None:
    made = runpy.run_path(str(ROOT / "docs" / "generate_scaling.py"))
    assert made["text"]() == made["PAGE"].read_text(), "make generate"


def test_the_command_says_what_breaks_first() -> None:
    command = [sys.executable, "-m", "streams.cli", "plan", "--viewers", "1000000"]
    done = subprocess.run(
        [*command, "--media", "1000000", "--events-per-s", "100", "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["load"] == {"viewers": 10**6, "media": 10**6, "events_per_s": 100.0}
    assert told["plan"]["limits"][0]["moved_by"]
