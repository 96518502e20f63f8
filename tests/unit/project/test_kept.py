"""Modules that share a stack are one group: one process runs them, and what is shared ends then."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from tests import kept
from tests.conftest import pytest_xdist_make_scheduler
from tests.paths import ROOT

SHARING = ("tests/integration/test_explore.py", "tests/integration/test_http.py")
ALONE = "tests/integration/test_versions.py"


def item(module: str) -> Any:
    return SimpleNamespace(nodeid=f"{module}::test_something[a::b]")


def test_modules_that_share_are_there() -> None:
    assert [module for module in kept.GROUPS if not (ROOT / module).is_file()] == []


def test_what_is_kept_is_started_once_and_ends_with_its_group(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # This process may keep something itself.
    monkeypatch.setattr(kept, "_kept", {})
    monkeypatch.setattr(kept, "_opened", ExitStack())
    happened: list[str] = []

    @contextmanager
    def stack() -> Iterator[str]:
        happened.append("started")
        yield "a stack"
        happened.append("ended")

    first, second = SHARING
    assert kept.kept(first, "stack", stack) == "a stack"
    kept.end_before(item(first), item(first))
    kept.end_before(item(second), item(first))
    assert kept.kept(second, "stack", stack) == "a stack"
    assert happened == ["started"]
    kept.end_before(item(ALONE), item(second))
    assert happened == ["started", "ended"]
    kept.kept(first, "stack", stack)
    kept.end_before(None, item(first))
    assert happened == ["started", "ended"] * 2


def test_a_group_is_dealt_out_whole_and_the_long_ones_first() -> None:
    pytest.importorskip("xdist")
    option = SimpleNamespace(loadscopereorder=True)
    values = {"dist": "loadfile", "tx": ["popen"]}
    config: Any = SimpleNamespace(getvalue=values.__getitem__, option=option)
    scheduler = pytest_xdist_make_scheduler(config, None)
    scopes = {scheduler._split_scope(item(module).nodeid) for module in (*SHARING, ALONE)}
    assert scopes == {"explored", ALONE}
    assert option.loadscopereorder is False
    values["dist"] = "load"
    assert pytest_xdist_make_scheduler(config, None) is None
