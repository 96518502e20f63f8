"""What all tests share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings

from tests.kept import end_before, group_of

# How long an example takes says what else the machine does, not whether the code is right.
settings.register_profile("freshgrid", deadline=None)
settings.load_profile("freshgrid")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Where files are dealt out (``--dist loadfile``), groups of them are.

    In the order of collection: those that take minutes (browser, integration) before those that
    take seconds. By the number of their tests, as is usual, the long ones would be the last, and
    one process would wait for the other.
    """
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class LoadGroups(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid)

    config.option.loadscopereorder = False
    return LoadGroups(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """What a group has kept ends after everything that may use it."""
    try:
        return (yield)
    finally:
        end_before(nextitem, item)
