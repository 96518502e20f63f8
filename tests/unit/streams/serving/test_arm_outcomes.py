"""What came of the arms is found behind the answers, once at a time, and told as it was found."""

from __future__ import annotations

import asyncio
from typing import Any

from streams.serving.arm_outcomes import FRESH_S, ArmOutcomesDesk, OutcomesError


class Log:
    """Is read when it is let."""

    def __init__(self) -> None:
        self.reads, self.let = 0, asyncio.Event()

    async def read(self) -> dict[str, Any]:
        self.reads += 1
        await self.let.wait()
        if self.reads == 3:
            raise OutcomesError("Kafka is away")
        return {"arms": {"control": {"viewers": self.reads}}}


async def told_when_read(desk: ArmOutcomesDesk) -> dict[str, Any]:
    async with asyncio.timeout(5):
        while (told := desk.told())["reading_since_ms"] is not None:
            await asyncio.sleep(0)
    return told


async def test_nobody_waits_and_the_log_is_read_once_while_what_was_found_is_fresh() -> None:
    log, now_s = Log(), 1000.0
    desk = ArmOutcomesDesk(log.read, lambda: now_s)
    first = desk.told()
    assert first["outcomes"] is None and first["reading_since_ms"] > 0
    await asyncio.sleep(0)
    assert desk.told()["outcomes"] is None and log.reads == 1
    log.let.set()
    told = await told_when_read(desk)
    assert told["outcomes"]["arms"] == {"control": {"viewers": 1}} and log.reads == 1
    now_s += FRESH_S
    again = desk.told()
    assert again["reading_since_ms"] is not None
    assert again["outcomes"]["arms"] == {"control": {"viewers": 1}}
    assert (await told_when_read(desk))["outcomes"]["arms"] == {"control": {"viewers": 2}}


async def test_a_reading_that_fails_is_told_and_what_was_found_stays() -> None:
    log, now_s = Log(), 1000.0
    log.let.set()
    desk = ArmOutcomesDesk(log.read, lambda: now_s)
    for _ in range(2):
        await told_when_read(desk)
        now_s += FRESH_S
    desk.told()
    await asyncio.sleep(0)
    desk._reading and await asyncio.wait((desk._reading,), timeout=5)
    assert desk._problem == "Kafka is away" and desk._found is not None


async def test_what_is_being_read_ends_with_the_ranker() -> None:
    log = Log()
    desk = ArmOutcomesDesk(log.read)
    desk.told()
    await asyncio.sleep(0)
    await desk.close()
    assert desk._reading is not None and desk._reading.cancelled()
