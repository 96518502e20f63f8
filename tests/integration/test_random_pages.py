"""Pages in random order and what came of them, as they stand in a real log."""

from __future__ import annotations

import time

import msgspec

from infra.batch_sender import send_in_batches
from infra.kafka import Message, prepare_cluster
from infra.topics import IMPRESSIONS_TOPIC
from models.actions import Action
from models.evaluation.random_orders import RandomOrders
from models.events import Media, MediaEvent
from models.explore.grid import to_json
from models.explore.impressions import impression_of, stored_grid
from models.explore.pipeline import ExploreConfig, explore
from models.explore.randomisation import RandomisationConfig
from models.explore.treatment import Treatment
from models.viewers.context import ViewerContext
from models.viewers.state import ViewerState
from models.world import World
from streams.recorded.random_pages import random_pages
from tests.integration.conftest import Broker

CONFIG = ExploreConfig(size=5, randomisation=RandomisationConfig(share=0.5))


async def test_the_log_has_what_other_orders_are_judged_by(broker: Broker) -> None:
    await prepare_cluster(broker.settings)
    now_ms = int(time.time() * 1000)
    world = World()
    world.apply_media([Media(f"m{n}", f"a{n}", now_ms - n) for n in range(60)])
    messages, random = [], 0
    for number in range(60):
        viewer_id = f"v{number}"
        viewer = ViewerContext.from_state(viewer_id, ViewerState(), world, now_ms)
        grid = explore(viewer, world, Treatment(), CONFIG, now_ms)
        page = stored_grid(grid, world)
        messages.append(Message(IMPRESSIONS_TOPIC, viewer_id, impression_of(to_json(page), now_ms)))
        random += grid.pool is not None
        like = MediaEvent(
            f"e{number}", viewer_id, page.items[1].media_id, now_ms + 1, "a",
            request_id=page.request_id,
        )  # fmt: skip
        messages.append(Message("events.like", viewer_id, msgspec.json.encode(like)))
    await send_in_batches(broker.settings, messages)
    found = await random_pages(broker.settings, now_ms - 60_000)
    pages = found.pages()
    assert 10 < random < 50
    assert (len(pages), found.skipped) == (random, 0)
    assert all(page.done == {Action.LIKE: {1}} for page in pages)
    assert {page.order.chance for page in pages} == {1 / 50}
    assert len(RandomOrders(pages)) == random
