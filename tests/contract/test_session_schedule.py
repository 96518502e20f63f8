"""What every session schedule must do, run on every one there is."""

from __future__ import annotations

import pytest

from infra.stores import SessionSchedule, Stores

NOW = 1_700_000_000_000
LEASED = NOW + 30_000


@pytest.fixture
def schedule(stores: Stores) -> SessionSchedule:
    return stores.sessions


async def test_nothing_is_due_at_first(schedule: SessionSchedule) -> None:
    assert await schedule.lease(NOW, LEASED, 10) == (None, [])


async def test_viewers_are_due_at_their_time_those_that_wait_longest_first(
    schedule: SessionSchedule,
) -> None:
    await schedule.touch(["late"], NOW + 2, 5, NOW)
    await schedule.touch(["early"], NOW + 1, 5, NOW)
    assert (await schedule.lease(NOW, LEASED, 10)).viewer_ids == []
    assert (await schedule.lease(NOW + 1, LEASED, 10)).viewer_ids == ["early"]
    assert (await schedule.lease(NOW + 2, LEASED, 10)).viewer_ids == ["late"]
    # Both leases have ended.
    assert (await schedule.lease(LEASED, LEASED + 1, 1)).viewer_ids == ["early"]
    assert (await schedule.lease(LEASED, LEASED + 1, 10)).viewer_ids == ["late"]


async def test_a_touch_puts_off_what_was_planned(schedule: SessionSchedule) -> None:
    await schedule.touch(["v", "w"], NOW, 5, NOW)
    await schedule.touch(["v"], NOW + 10, 5, NOW)
    assert (await schedule.lease(NOW, LEASED, 10)).viewer_ids == ["w"]


async def test_who_is_released_is_due_again_at_her_time_or_never(
    schedule: SessionSchedule,
) -> None:
    await schedule.touch(["again", "never"], NOW, 5, NOW)
    assert sorted((await schedule.lease(NOW, LEASED, 10)).viewer_ids) == ["again", "never"]
    await schedule.release(LEASED, {"again": NOW + 1, "never": None})
    assert (await schedule.lease(NOW + 1, LEASED, 10)).viewer_ids == ["again"]
    assert (await schedule.lease(LEASED - 1, LEASED, 10)).viewer_ids == []


@pytest.mark.parametrize("due_ms", [NOW + 1, None])
async def test_who_was_touched_while_leased_stays_as_she_is(
    schedule: SessionSchedule, due_ms: int | None
) -> None:
    await schedule.touch(["v"], NOW, 5, NOW)
    await schedule.lease(NOW, LEASED, 10)
    await schedule.touch(["v"], NOW + 100, 6, NOW)
    await schedule.release(LEASED, {"v": due_ms, "unknown": due_ms})
    assert (await schedule.lease(NOW + 99, LEASED, 10)).viewer_ids == []
    assert (await schedule.lease(NOW + 100, LEASED, 10)).viewer_ids == ["v"]


async def test_the_clock_keeps_the_newest_event_time_and_when_it_came(
    schedule: SessionSchedule,
) -> None:
    await schedule.touch(["v"], NOW, 500, 1000)
    await schedule.touch(["v"], NOW, 400, 2000)
    await schedule.touch(["v"], NOW, 500, 3000)
    assert (await schedule.lease(0, LEASED, 10)).clock == (500, 1000)
    await schedule.touch(["v"], NOW, 501, 4000)
    assert (await schedule.lease(0, LEASED, 10)).clock == (501, 4000)


async def test_forgetting_forgets_viewers_and_time(schedule: SessionSchedule) -> None:
    await schedule.touch(["v"], NOW, 500, NOW)
    await schedule.forget()
    assert await schedule.lease(NOW, LEASED, 10) == (None, [])
