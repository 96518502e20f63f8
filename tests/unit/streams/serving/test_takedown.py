"""What must not be shown is gone from ready grids and further pages, and nothing else changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest

from models.events import Account, Integrity, Media
from models.explore.impressions import StoredGrid, unpack_features
from models.explore.stamp import Stamp
from models.world import World
from streams.clock import now_ms
from streams.serving.takedown import Takedown
from tests.unit.models.explore.test_impressions import T0, catalogue
from tests.unit.streams.serving.test_lookup import SETTINGS, Service


@pytest.fixture
def service(tmp_path: Path) -> Service:
    return Service(catalogue(), tmp_path)


def takedown_of(service: Service) -> Takedown:
    world = service.explorer._world
    return Takedown(service.store, service.explorer, world, service.ranking.later)


async def stored(service: Service, viewer_id: str = "v") -> StoredGrid:
    json = await service.store.grid(viewer_id)
    assert json is not None
    return msgspec.json.decode(json, type=StoredGrid)


def shown(page: StoredGrid) -> list[str]:
    return [item.media_id for item in page.items]


FORBIDDEN: dict[str, Callable[[World, str, str], object]] = {
    "flagged": lambda world, media, author: world.apply_media(
        [Media(media, author, T0, Integrity(nsfw=0.99))]
    ),
    "deleted": lambda world, media, author: world.delete_media([media]),
    "private": lambda world, media, author: world.apply_accounts([Account(author, private=True)]),
    "disabled": lambda world, media, author: world.apply_accounts([Account(author, disabled=True)]),
    "account deleted": lambda world, media, author: world.remove_accounts([author]),
}


async def test_an_account_that_is_held_back_leaves_the_grids_made_before(service: Service) -> None:
    await service.ranking.make_now(["v"])
    item = (await stored(service)).items[0]
    world, takedown = service.explorer._world, takedown_of(service)
    held = world.catalog.author_rows([item.author_id])
    takedown.hold(held)
    assert await takedown.sweep()
    left = await stored(service)
    assert item.author_id not in {one.author_id for one in left.items} and left.items
    assert service.ranking.waits("v")
    # What is made from now on may show it to who chose the account: no sweep takes that out.
    await asyncio.sleep(0.002)
    await service.ranking.make_now(["v"])
    assert item.media_id in shown(await stored(service))
    takedown.hold(held)
    assert await takedown.sweep()
    assert item.media_id in shown(await stored(service))


@pytest.mark.parametrize("how", FORBIDDEN)
async def test_it_leaves_every_ready_grid_and_every_stored_page(service: Service, how: str) -> None:
    viewers = [f"v{n}" for n in range(100)]
    await service.ranking.make_now(viewers)
    before = {viewer: await stored(service, viewer) for viewer in viewers}
    item = before["v0"].items[3]
    first = await service.page(viewer_id="v0")
    second = await service.page(first.next, "v0")
    beside = second.items[2]
    world = service.explorer._world
    for of in (item, beside):
        FORBIDDEN[how](world, of.media_id, of.author_id)
    takedown = takedown_of(service)
    assert await takedown.sweep()
    gone = {item.media_id, beside.media_id}
    if how in ("private", "disabled", "account deleted"):
        gone = {
            one.media_id
            for page in before.values()
            for one in page.items
            if one.author_id in (item.author_id, beside.author_id)
        } | gone
    for viewer, page in before.items():
        after = await stored(service, viewer)
        assert shown(after) == [media for media in shown(page) if media not in gone]
        assert [one.position for one in after.items] == list(range(len(after.items)))
        assert after.compact and after.compact.media_ids == shown(after)
        assert (after.request_id, after.next) == (page.request_id, page.next)
        assert service.ranking.waits(viewer) == (shown(after) != shown(page))
        # What is left is as it was: nothing is ranked, and what is learned from is whole or none.
        if shown(after) == shown(page):
            assert after == page
            assert unpack_features(after.features, 10, after.versions["features"])
        else:
            assert (after.features, after.versions["features"]) == ("", "")
    again = await service.page(first.next, "v0")
    assert beside.media_id not in [one.media_id for one in again.items]
    assert len(again.items) < len(second.items)
    # HTTP answers what is stored; ranked again, the grid is full.
    assert item.media_id not in [one.media_id for one in (await service.page(viewer_id="v0")).items]
    await service.ranking.make_now(["v0"])
    assert len(shown(await stored(service, "v0"))) == 10


async def test_grids_of_before_a_start_are_looked_after(service: Service, tmp_path: Path) -> None:
    await service.ranking.make_now(["v"])
    media = shown(await stored(service))[0]
    started = Service(service.explorer._world, tmp_path, service.store)
    started.explorer._world.delete_media([media])
    takedown = takedown_of(started)
    running = asyncio.ensure_future(takedown.run())
    async with asyncio.timeout(5):
        while media in shown(await stored(service)):
            await asyncio.sleep(0.01)
    running.cancel()
    assert started.ranking.waits("v")


async def test_a_grid_that_is_stored_while_its_media_is_taken_down_is_looked_at_again(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    await service.ranking.make_now(["v"])
    media = shown(await stored(service))[0]
    takedown, save = takedown_of(service), service.store.save_grids
    await asyncio.sleep(0.002)

    async def late(names: list[str], grids: list[bytes]) -> None:
        # Between making and storing the media is deleted, and everything stored is looked through.
        service.explorer._world.delete_media([media])
        assert not await takedown.sweep()
        assert media not in shown(await stored(service))
        await save(names, grids)

    monkeypatch.setattr(service.store, "save_grids", late)
    await service.ranking.make_now(["v"])
    assert media in shown(await stored(service))
    assert await takedown.sweep()
    assert media not in shown(await stored(service))


async def test_a_newer_grid_is_not_replaced(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    await service.ranking.make_now(["v"])
    media = shown(await stored(service))[0]
    takedown, read = takedown_of(service), service.store.grids_of
    service.explorer._world.delete_media([media])

    async def overtaken(names: list[str]) -> list[bytes | None]:
        found = await read(names)
        await asyncio.sleep(0.002)
        await service.ranking.make_now(["v"])
        return found

    monkeypatch.setattr(service.store, "grids_of", overtaken)
    assert not await takedown.sweep()
    assert len(shown(await stored(service))) == 10
    monkeypatch.undo()
    assert await takedown.sweep()


async def test_a_grid_of_the_release_before_is_looked_after(service: Service) -> None:
    await service.ranking.make_now(["v"])
    old = msgspec.to_builtins(await stored(service))
    for name in ("request_id", "page", "next", "stamp", "relaxed"):
        del old[name]
    await service.store.save_grids(["w"], [msgspec.json.encode(old)])
    takedown = takedown_of(service)
    await takedown.find_ready()
    media = old["items"][0]["media_id"]
    service.explorer._world.delete_media([media])
    takedown.look(now_ms())
    await takedown.sweep()
    assert media not in shown(await stored(service, "w"))


async def test_looking_costs_no_more_than_a_stamp_says(service: Service) -> None:
    """Nothing is read from the store while nothing is forbidden."""
    await service.ranking.make_now([f"v{n}" for n in range(50)])
    takedown = takedown_of(service)

    async def none(_: object) -> list[bytes | None]:
        raise AssertionError("read")

    service.store.grids_of = none  # type: ignore[method-assign]
    assert await takedown.sweep()
    json = await service.store.grid("v0")
    assert json is not None and Stamp.of(json) is not None
    assert len(service.explorer.ready) == 50
    assert SETTINGS.grid_ttl_s > 0


async def test_grids_of_a_ranker_that_is_gone_are_looked_after_once_its_viewers_came_over(
    tmp_path: Path,
) -> None:
    world = catalogue()
    gone = Service(world, tmp_path)
    stays = Service(world, tmp_path, gone.store)
    await stays.ranking.make_now(["both"])
    takedown = takedown_of(stays)
    running = asyncio.ensure_future(takedown.run())
    await until(lambda: not takedown._search.is_set())
    # Made elsewhere since: one that is not known here, and one that was another grid before.
    [made] = await gone.ranking.make_now(["new"])
    media = made.document.items[0].media_id
    await asyncio.sleep(0.002)  # A stamp tells milliseconds.
    await gone.ranking.make_now(["both"])
    stays.explorer.ready.take_out("both", world.catalog.media_rows([media]))
    world.delete_media([media])
    takedown.look(now_ms())
    await until(lambda: not takedown._wake.is_set())
    assert media in shown(await stored(stays, "new"))
    takedown.search()

    async def free() -> bool:
        both = [await stored(stays, name) for name in ("new", "both")]
        return all(media not in shown(page) for page in both)

    async with asyncio.timeout(10):
        while not await free():
            await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


async def test_what_is_ready_at_the_start_is_told(service: Service) -> None:
    """Who keeps grids for a store that is away has some from its start."""
    await service.ranking.make_now(["v", "w"])
    told: dict[str, bytes] = {}
    world, again = service.explorer._world, service.ranking.later
    await Takedown(service.store, service.explorer, world, again, told.__setitem__).find_ready()
    assert told == {name: await service.store.grid(name) for name in ("v", "w")}


async def test_a_ranker_that_begins_knows_what_is_ready_and_waits_for_no_store_that_is_away(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    await service.ranking.make_now(["v", "w"])
    found: set[str] = set()
    takedown = Takedown(
        service.store,
        service.explorer,
        service.explorer._world,
        service.ranking.later,
        lambda viewer_id, _: found.add(viewer_id),
    )
    looks = 0
    grids = service.store.grids

    async def counted() -> AsyncIterator[list[tuple[str, bytes]]]:
        nonlocal looks
        looks += 1
        if looks == 1:
            await asyncio.Event().wait()
        async for some in grids():
            yield some

    monkeypatch.setattr(service.store, "grids", counted)
    async with asyncio.timeout(20):
        await takedown.begin(within_s=0.01)
    assert not found
    # What the first look did not see is looked for behind, and found but once.
    async with asyncio.timeout(20):
        running = asyncio.ensure_future(takedown.run())
        while found != {"v", "w"}:
            await asyncio.sleep(0)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert looks == 2

    takedown.search()
    await takedown.begin(within_s=20)
    running = asyncio.ensure_future(takedown.run())
    for _ in range(20):
        await asyncio.sleep(0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert looks == 3
