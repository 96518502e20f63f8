"""What takes long to start and serves the tests of several modules: kept from one to the next.

Modules that share are a group. One process runs all of it (tests/conftest.py has pytest-xdist do
so), and what was started for it ends once a test of another group comes.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Any, Final

import pytest

#: Module → the group that it shares with; all others are alone. Who shares leaves settings, weights
#: and versions as they were, and counts on no viewer or media being the only one.
GROUPS: Final = {
    **dict.fromkeys(
        (f"tests/browser/test_{name}.py" for name in ("explore", "map", "operations", "workbench")),
        "looked at",
    ),
    **dict.fromkeys(
        (
            f"tests/integration/test_{name}.py"
            for name in ("explore", "http", "http_examples", "producing")
        ),
        "explored",
    ),
}

_kept: dict[str, Any] = {}
_opened = ExitStack()


def group_of(nodeid: str) -> str:
    """Of a test or its module."""
    module = nodeid.partition("::")[0]
    return GROUPS.get(module, module)


def kept(module: str, what: str, start: Callable[[], AbstractContextManager[Any]]) -> Any:
    """What was started for the group of a module, or is now.

    Args:
        what: of several things that a group keeps.
    """
    name = f"{what} of {group_of(module)}"
    if name not in _kept:
        _kept[name] = _opened.enter_context(start())
    return _kept[name]


def end_before(following: pytest.Item | None, last: pytest.Item) -> None:
    """End what the group of the last test has kept, unless the following one is of the same."""
    if _kept and (following is None or group_of(following.nodeid) != group_of(last.nodeid)):
        _kept.clear()
        _opened.close()
