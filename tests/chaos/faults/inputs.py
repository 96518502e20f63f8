"""Poison where Freshgrid reads what it wrote itself."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Final

from infra.redis_store import viewer_key
from infra.stores import NO_PARTITION
from tests.chaos.faults.fault import Fault, fault
from tests.chaos.scene import Scene
from tests.contract.test_damaged_states import DAMAGED
from tests.poison import LETTERED, POISON


@fault("poison in internal topics", "input", lasts_s=(0.5, 1.0))
def internal_topics(scene: Scene) -> Iterator[None]:
    """A bad record in each topic of Freshgrid's own."""
    for topic in LETTERED:
        key = f"poison-internal-{scene.number()}"
        scene.poison(topic, key, scene.rng.choice(POISON))
    yield


@fault("poison in a stored viewer", "input", lasts_s=(0.5, 1.0))
def stored_viewer(scene: Scene) -> Iterator[None]:
    """Somebody's stored value is no state, and then she likes something."""
    viewer = f"damaged-{scene.number()}"
    value = scene.rng.choice(list(DAMAGED.values()))
    with scene.redis.client() as client:
        client.set(viewer_key(viewer), value)
    scene.workload.letters.add((viewer_key(viewer), NO_PARTITION, zlib.crc32(value)))
    scene.like(viewer)
    yield


FAULTS: Final[tuple[Fault, ...]] = (internal_topics, stored_viewer)
