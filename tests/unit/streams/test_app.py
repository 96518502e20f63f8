"""On which event loop a role runs."""

from __future__ import annotations

import asyncio
import sys

import pytest

from streams.app import loop_of


def test_rankers_run_on_uvloop_and_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    uvloop = pytest.importorskip("uvloop")
    factory = loop_of("ranker")
    assert factory is uvloop.new_event_loop
    assert loop_of("worker") is None
    assert loop_of("learner") is None
    # Where it is not installed, Python's does.
    monkeypatch.setitem(sys.modules, "uvloop", None)
    with asyncio.Runner(loop_factory=loop_of("ranker")) as runner:
        assert isinstance(runner.get_loop(), asyncio.BaseEventLoop)
