"""The benchmark of queries on a small world: its keys, and that both ways give the same."""

import pytest

from infra.config import Settings
from streams.bench import igql


def test_every_figure_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"ACCOUNTS": 300, "MEDIA": 3000, "EVENTS": 600, "PLAIN": 2}.items():
        monkeypatch.setattr(igql, name, value)
    figures = igql.run(Settings(), viewers=32)
    assert figures["candidates"] == 500
    wanted = {
        "p50_ms", "p99_ms", "batch32_speedup", "growth_100k_1m", "speedup_over_python",
        "candidates",
    }  # fmt: skip
    assert wanted <= set(figures)
    assert all(value > 0 for value in figures.values())
