"""The index of ready grids finds what a look at every grid would find."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.events import Account, Integrity, Media
from models.explore import ready_index
from models.explore.ready_index import ReadyIndex
from models.inventory.availability import UNBOUNDED, IntegrityBounds, may_be_shown
from models.world import World

MEDIA, ACCOUNTS = 30, 6
BOUNDS = [UNBOUNDED, IntegrityBounds(risk=0.2), IntegrityBounds(nsfw=0.5, spam=0.3)]
RISKS = st.sampled_from([0.0, 0.1, 0.25, 0.4, 0.9])

grids = st.lists(
    st.tuples(
        st.integers(0, 12),
        st.lists(st.integers(0, MEDIA - 1), max_size=9),
        st.sampled_from(BOUNDS),
        st.integers(0, 50),
    ),
    max_size=60,
)


@given(
    grids,
    st.lists(st.tuples(RISKS, RISKS, st.booleans()), min_size=MEDIA, max_size=MEDIA),
    st.lists(st.sampled_from(["", "private", "disabled"]), min_size=ACCOUNTS, max_size=ACCOUNTS),
)
def test_it_finds_what_a_look_at_every_grid_finds(grids, media, accounts):
    world = World()
    world.apply_media(
        [
            Media(f"m{n}", f"a{n % ACCOUNTS}", 1, Integrity(nsfw=nsfw, spam=spam), deleted=deleted)
            for n, (nsfw, spam, deleted) in enumerate(media)
        ]
    )
    world.apply_accounts(
        [Account(f"a{n}", **({kind: True} if kind else {})) for n, kind in enumerate(accounts)]
    )
    index, known, now = ReadyIndex(1_000_000), {}, 0
    for viewer, numbers, bounds, later in grids:
        now += later
        index.note(f"v{viewer}", np.array(numbers, np.int32), bounds, now)
        known[f"v{viewer}"] = numbers, bounds

    def shows(number: int, bounds: IntegrityBounds) -> bool:
        nsfw, spam, deleted = media[number]
        safe = max(nsfw, spam) <= bounds.risk and nsfw <= bounds.nsfw and spam <= bounds.spam
        return safe and not deleted and not accounts[number % ACCOUNTS]

    expected = {
        viewer: [number for number in numbers if not shows(number, bounds)]
        for viewer, (numbers, bounds) in known.items()
    }
    found = {v: rows.tolist() for some in index.forbidden(world.catalog) for v, rows in some}
    assert found == {viewer: gone for viewer, gone in expected.items() if gone}
    assert len(index) == len(known)
    for viewer, gone in found.items():
        index.take_out(viewer, np.array(gone, np.int32))
    assert not any(index.forbidden(world.catalog))


@given(st.lists(st.integers(0, 40), min_size=1, max_size=200))
def test_grids_that_ended_give_their_places(viewers):
    index = ReadyIndex(10)
    for now, viewer in enumerate(viewers):
        index.note(f"v{viewer}", np.zeros(1, np.int32), UNBOUNDED, now)
        assert index.made_ms(f"v{viewer}") == now
    # At most as many again as are alive, and the room that it begins with.
    assert len(index) <= 40
    recent = {f"v{viewer}" for viewer in viewers[-10:]}
    assert all(index.made_ms(viewer) is not None for viewer in recent)


def test_slices_are_all_of_it(monkeypatch):
    monkeypatch.setattr(ready_index, "SLICE", 3)
    world, index = World(), ReadyIndex(1000)
    world.apply_media([Media("m0", "a", 1), Media("m1", "a", 1, deleted=True)])
    for n in range(10):
        index.note(f"v{n}", world.catalog.media_rows(["m0", "m1"]), UNBOUNDED, n)
    found = [viewer for some in index.forbidden(world.catalog) for viewer, _ in some]
    assert found == [f"v{n}" for n in range(10)]
    assert may_be_shown(world.catalog, np.array([0, 1, -1], np.int32), UNBOUNDED).tolist() == [
        True, False, False,
    ]  # fmt: skip
