"""Item weights from the learner's log to a ranker's world: published, followed, refused."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from infra.artifacts import ArtifactError, ArtifactStore
from infra.config import Settings
from infra.metrics import VERSIONS
from models.events import Media
from models.explore.treatment import Treatment
from models.item_to_item.fit import ItemToItem, ItemToItemConfig
from models.item_to_item.sums import Histories
from models.item_to_item.weights import ItemWeightsError
from models.world import World
from streams.learning.item_publishing import ItemPublishing
from streams.learning.version_list import _USABLE
from streams.serving.live_items import LiveItems, stored_items
from streams.versions import IG2VEC, ITEMS, Version, earlier, listed, version_message, versions
from tests.unit.streams.test_versions import Outbox, Record


class Told(Outbox):
    """Keeps what is sent, and reads it as a follower would."""

    def told(self):
        return versions(self.records())

    def records(self):
        return [Record(m.key.encode(), m.value) for m in self.sent]


class Learner:
    """What a learner has to do with item weights."""

    def __init__(self, store, live=None, **settings):
        self.world, self.outbox = World(), Told()
        self.items = ItemToItem(ItemToItemConfig(first=1, shrink=1.0))
        self.publishing = ItemPublishing(
            Settings(**({"items_every_s": 1e-9} | settings)), store, self.outbox, live
        )

    def like(self, viewers, media_ids):
        for viewer in viewers:
            rows = self.world.catalog.intern_media(media_ids)
            n = len(rows)
            self.items.log.add(np.full(n, viewer), rows, np.ones(n, np.int8))
        self.items.refit()

    async def offer(self):
        return await self.publishing.offer(self.items, self.world.catalog)


@pytest.fixture
def store(tmp_path):
    return ArtifactStore(str(tmp_path))


def put_media(world, *ids):
    world.apply_media([Media(media_id=of, author_id="a", created_ts=1) for of in ids])


def alike(world, liked, other):
    weights = world.item_weights
    rows = world.catalog.media_rows([liked, other])
    slot_n, all_of_it = weights.slots_of(rows), [slice(0, len(rows))]
    return float(weights.likeness(Histories.of([rows[:1]]), slot_n, all_of_it).sum_n[1])


async def test_weights_reach_a_world_whose_rows_are_others(store):
    learner = Learner(store)
    learner.like(range(5), ["x", "y"])
    learner.like(range(5, 10), ["z", "w"])
    assert await learner.offer()
    world = World()
    put_media(world, "w", "unrelated", "y", "x")
    assert Treatment().versions(world)["items"] == ""
    assert await LiveItems(store, world).apply(learner.outbox.records())
    [told] = learner.outbox.told()
    assert (told.kind, told.previous, told.metrics["media"]) == (ITEMS, "", 4.0)
    assert "20 likes" in told.reason
    assert Treatment().versions(world)["items"] == world.item_weights.version == told.version
    learner.world.item_weights = learner.items.weights
    learned = alike(learner.world, "x", "y")
    assert alike(world, "x", "y") == pytest.approx(learned, rel=1e-3)
    assert alike(world, "x", "w") == 0.0


async def test_media_the_catalogue_does_not_know_are_not_there_until_it_does(store):
    learner = Learner(store)
    learner.like(range(5), ["x", "y"])
    await learner.offer()
    world = World()
    put_media(world, "x")
    await LiveItems(store, world).apply(learner.outbox.records())
    [row] = world.catalog.media_rows(["y"])
    assert world.catalog.deleted_n[row]
    put_media(world, "y")
    [row_now] = world.catalog.media_rows(["y"])
    assert row_now == row
    assert not world.catalog.deleted_n[row]
    assert alike(world, "x", "y") > 0.0
    # One that vanishes keeps its row, and is not there.
    world.delete_media(["y"])
    assert world.catalog.deleted_n[row]


async def test_only_what_is_new_is_published_and_not_too_often(store):
    learner = Learner(store, items_every_s=1e9)
    assert not await learner.offer()
    learner.items.refit()
    assert not await learner.offer()
    learner.like(range(5), ["x", "y"])
    assert await learner.offer()
    assert not await learner.offer()
    learner.like(range(5, 9), ["x", "z"])
    assert not await learner.offer()
    assert len(learner.outbox.told()) == 1


async def test_nothing_is_published_of_media_that_nobody_shares(store):
    learner = Learner(store)
    learner.like([1], ["x", "y"])
    assert learner.items.weights is not None
    assert not await learner.offer()
    assert store.list(ITEMS) == []


async def test_a_restart_on_the_same_log_says_nothing_new(store):
    learner = Learner(store)
    learner.like(range(5), ["x", "y"])
    await learner.offer()
    [live] = learner.outbox.told()
    again = Learner(store, live)
    again.like(range(5), ["x", "y"])
    assert not await again.offer()
    again.like(range(3), ["x", "z"])
    assert await again.offer()
    [newer] = again.outbox.told()
    assert newer.previous == live.version
    assert list(earlier(store, newer)) == [live.version]


async def test_a_rollback_holds_until_the_next_fit(store):
    learner = Learner(store)
    learner.like(range(5), ["x", "y"])
    await learner.offer()
    learner.like(range(5), ["x", "z"])
    await learner.offer()
    first, _ = learner.outbox.told()
    learner.publishing.told(msgspec.structs.replace(first, announced_ms=9))
    learner.publishing.told(Version(IG2VEC, "other", 9))
    assert not await learner.offer()
    learner.like(range(5), ["x", "w"])
    assert await learner.offer()
    assert learner.outbox.told()[-1].previous == first.version


async def test_what_is_damaged_is_refused_and_a_late_starter_takes_the_one_before(
    store, tmp_path, caplog
):
    learner = Learner(store)
    learner.like(range(5), ["x", "y"])
    await learner.offer()
    world = World()
    following = LiveItems(store, world)
    assert await following.apply(learner.outbox.records())
    learner.like(range(5), ["x", "z"])
    await learner.offer()
    first, second = learner.outbox.told()
    file = tmp_path / ITEMS / second.version / "near.npy"
    file.write_bytes(file.read_bytes()[:-1])
    counter = VERSIONS.labels(ITEMS, "damaged")._value
    before = counter.get()
    assert not await following.apply(learner.outbox.records()[-1:])
    assert world.item_weights.version == first.version
    assert counter.get() == before + 1
    assert "near.npy has" in caplog.text
    late = World()
    assert await LiveItems(store, late).apply(learner.outbox.records())
    assert late.item_weights.version == first.version
    gone = version_message(Version(ITEMS, "0" * 24, 3))
    assert not await LiveItems(store, World()).apply([Record(b"items", gone.value)])
    assert "no item weights can be loaded" in caplog.text
    assert not await following.apply([])


def test_arrays_that_do_not_belong_together_are_no_item_weights(store):
    learner = Learner(store)
    learner.like(range(5), ["x", "y"])
    arrays = learner.items.weights.to_arrays(["x", "y"])
    stored_items(store.get(ITEMS, store.put(ITEMS, arrays, {})))
    for wrong in (
        {"near": arrays["near"] + 9},
        {"weight": arrays["weight"][1:]},
        {"weight": np.full_like(arrays["weight"], np.nan)},
        {"ends": arrays["ends"][::-1].copy()},
        {"id_ends": arrays["id_ends"] + 1},
        learner.items.weights.to_arrays(["x", "x"]),
        {"ids": arrays["ids"][:1]},
    ):
        artifact = store.get(ITEMS, store.put(ITEMS, {**arrays, **wrong}, {}))
        with pytest.raises(ItemWeightsError):
            _USABLE[ITEMS](artifact)
    without = {name: of for name, of in arrays.items() if name != "weight"}
    with pytest.raises(ItemWeightsError, match="have no weight"):
        _USABLE[ITEMS](store.get(ITEMS, store.put(ITEMS, without, {})))


async def test_the_list_of_versions_knows_the_kind(store):
    learner = Learner(store)
    learner.like(range(5), ["x", "y"])
    await learner.offer()
    [live] = learner.outbox.told()
    [row] = listed(store, {ITEMS: live})
    assert (row["kind"], row["live"], row["decision"]) == (ITEMS, True, None)
    assert row["figures"] == {"media": 2.0, "neighbours": 2.0}


async def test_what_the_store_does_not_take_is_offered_again(store, tmp_path, caplog):
    learner = Learner(store)
    learner.like(range(5), ["x", "y"])
    write_note, full = store.write_note, True

    def written(*arguments):
        if full:
            raise ArtifactError("no room")
        write_note(*arguments)

    store.write_note = written
    assert not await learner.offer()
    assert learner.outbox.told() == []
    assert "no room" in caplog.text
    full = False
    assert await learner.offer()
    assert len(learner.outbox.told()) == 1
