"""Many waits of one length: who is late is called, in order, and nobody else."""

from __future__ import annotations

import asyncio

from infra.http.overdue import Overdue


async def test_who_waits_too_long_is_called_and_who_does_not_is_not() -> None:
    overdue, late = Overdue(0.02), asyncio.Queue[str]()
    first = overdue.begin(lambda: late.put_nowait("first"))
    overdue.begin(lambda: late.put_nowait("second"))
    first.over()
    overdue.begin(lambda: late.put_nowait("third"))
    assert [await asyncio.wait_for(late.get(), 5) for _ in range(2)] == ["second", "third"]
    assert late.empty()


async def test_who_is_called_may_wait_again() -> None:
    overdue, over = Overdue(0.01), asyncio.Event()
    overdue.begin(lambda: overdue.begin(over.set) and None)
    await asyncio.wait_for(over.wait(), 5)


async def test_what_is_over_is_not_kept() -> None:
    overdue = Overdue(60.0)
    for _ in range(100):
        overdue.begin(lambda: None).over()
    assert len(overdue._waits) == 1
