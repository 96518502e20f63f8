"""Others are asked once for many, and what they do not tell is not known."""

from __future__ import annotations

import asyncio

from infra.errors import UnreachableError
from infra.looked_at import STALE_S, LookedAt


class Asked:
    """Counts how often it is asked; may be slow, or away."""

    def __init__(self) -> None:
        self.times = 0
        self.answers = asyncio.Event()
        self.answers.set()
        self.away = False

    async def __call__(self) -> int:
        self.times += 1
        await self.answers.wait()
        if self.away:
            raise UnreachableError("nobody answers")
        return self.times


async def test_who_asks_again_at_once_gets_the_same() -> None:
    asked, now = Asked(), [0.0]
    seen = LookedAt(asked, 2.0, clock=lambda: now[0])
    assert await asyncio.gather(*(seen.value() for _ in range(20))) == [1] * 20
    now[0] = 1.9
    assert await seen.value() == 1
    now[0] = 2.0
    assert await seen.value() == 2
    seen.forget()
    assert await seen.value() == 3


async def test_who_does_not_answer_is_not_waited_for() -> None:
    asked, now = Asked(), [0.0]
    seen = LookedAt(asked, 2.0, limit_s=0.02, clock=lambda: now[0])
    asked.answers.clear()
    assert await seen.value() is None
    # It goes on behind, once.
    assert await seen.value() is None
    asked.answers.set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert (await seen.value(), asked.times) == (1, 1)
    asked.answers.clear()
    now[0] = 3.0
    # What was so a moment ago is told; what was so long ago is not.
    assert await seen.value() == 1
    now[0] = STALE_S + 1
    assert await seen.value() is None
    asked.answers.set()


async def test_who_is_away_is_asked_again() -> None:
    asked = Asked()
    seen = LookedAt(asked, 0.0)
    asked.away = True
    assert await seen.value() is None
    asked.away = False
    assert await seen.value() == 2
