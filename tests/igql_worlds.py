"""Small random worlds and viewers for tests of IGQL."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.actions import Action
from models.events import Account, FollowEvent, Integrity, Media, MediaEvent, Relation
from models.inventory.co_engagement import CoEngagementConfig
from models.item_to_item.fit import ItemToItemConfig, fit_item_weights
from models.item_to_item.histories import PositivePairs
from models.item_to_item.weights import ItemWeights
from models.viewers.context import ViewerContext
from models.viewers.state import FoldConfig, ViewerState, fold_follow_event, fold_media_event
from models.world import World, WorldConfig

NOW = 1_700_000_000_000
DAY = 86_400_000
FOLD = FoldConfig(max_strong=40, max_views=40)


def random_world(seed: int, media: int, accounts: int, viewers: int) -> World:
    """Hidden accounts, deleted media, risky ones, accounts without vectors; item weights."""
    rng = np.random.default_rng(seed)
    counts = CoEngagementConfig(neighbours=6, support=1.0)
    world = World(WorldConfig(co_engagement=counts, image_dimension=4))
    world.apply_accounts([Account(f"a{i}", private=rng.random() < 0.1) for i in range(accounts)])
    world.apply_media(
        [
            Media(
                f"m{i}",
                f"a{rng.integers(accounts)}",
                NOW - int(rng.integers(0, 90)) * DAY,
                Integrity(*(rng.random(3) ** 2 * 0.4).tolist()),
                topics=(f"t{rng.integers(3)}",),
                language=str(rng.choice(["en", "de"])),
                image_embedding=tuple(rng.normal(size=4)) if rng.random() < 0.7 else None,
                deleted=rng.random() < 0.1,
            )
            for i in range(media)
        ]
    )
    known = [f"a{i}" for i in range(accounts) if rng.random() < 0.9]
    world.apply_embeddings("s", known, rng.normal(size=(len(known), 4)).astype(np.float32))
    events = []
    for i in range(10 * viewers):
        row = int(rng.integers(max(media, 1)))
        event = MediaEvent(f"w{i}", f"w{i % viewers}", f"m{row}", NOW - int(rng.integers(DAY)))
        events.append((Action(int(rng.integers(len(Action)))), event))
    world.apply_events(events)
    if media:
        world.item_weights = random_weights(rng, media)
    return world


def random_weights(rng: np.random.Generator, media: int) -> ItemWeights:
    """Weights of a catalogue with so many media, as if twice as many viewers liked four each."""
    liked = rng.integers(media, size=(2 * media, 4))
    pairs = np.array([(viewer, row) for viewer, rows in enumerate(liked) for row in set(rows)])
    config = ItemToItemConfig(shrink=2.0, neighbours=8)
    return fit_item_weights(PositivePairs(pairs[:, 0], pairs[:, 1].astype(np.int32)), config)


def random_viewers(world: World, seed: int, count: int) -> list[ViewerContext]:
    """Viewers with from no to many actions, follows and blocks; some on unknown media."""
    rng = np.random.default_rng(seed)
    media, accounts = world.catalog.media_count, world.catalog.account_count
    found = []
    for number in range(count):
        name, state = f"v{number}", ViewerState()
        for i in range(int(rng.choice([0, 1, 5, 40]))):
            row = int(rng.integers(media + 2))
            author = world.catalog.author_of(f"m{row}") or f"a{rng.integers(accounts + 1)}"
            ts = NOW - int(rng.integers(1, 30 * DAY))
            event = MediaEvent(f"{name}-{i}", name, f"m{row}", ts, author)
            fold_media_event(state, Action(int(rng.integers(len(Action)))), event, author, FOLD)
        for i in range(int(rng.choice([0, 2]))):
            kind = list(Relation)[int(rng.integers(3))]
            of = f"a{rng.integers(accounts)}"
            fold_follow_event(state, FollowEvent(f"{name}-f{i}", name, of, kind, NOW - i), FOLD)
        found.append(ViewerContext.from_state(name, state, world, NOW, FOLD))
    return found


def media_of(world: World, rows: Sequence[int]) -> list[str]:
    """Ids of media rows."""
    return world.catalog.media_ids(np.asarray(rows, np.int32))
