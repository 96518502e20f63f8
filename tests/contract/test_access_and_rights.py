"""Keys and the signing secret, and what is held of one viewer, in every store there is."""

from __future__ import annotations

from infra.access.keys import new_key
from infra.stores import ParkedRecord, Stores, Versioned
from models.viewers.state import ViewerState

#: Ids that look alike, or that a pattern would take for more.
VIEWERS = ("ann", "ann}", "{ann}", "a*", "ab", "ann}:x", "[a]b", "a\\b", "ä")


async def test_keys_are_added_listed_and_revoked(stores: Stores) -> None:
    first, second = new_key("first", ["read"], 1), new_key("second", ["admin"], 2, expires_ms=9)
    for made in (second, first):
        await stores.access.add(made.key)
    assert await stores.access.keys() == [first.key, second.key]
    assert await stores.access.revoke(first.key.key_id)
    assert not await stores.access.revoke(first.key.key_id)
    assert await stores.access.keys() == [second.key]


async def test_everybody_has_the_secret_that_came_first(stores: Stores) -> None:
    assert await stores.access.secret(b"one") == b"one"
    assert await stores.access.secret(b"two") == b"one"


async def fill(stores: Stores) -> None:
    names = list(VIEWERS)
    await stores.viewers.commit(names, [Versioned(b"", ViewerState()) for _ in names])
    await stores.viewers.save_grids(names, [f"grid of {name}".encode() for name in names])
    await stores.viewers.park(
        [ParkedRecord("events.like", 0, n, "m{1}", f"by {v}".encode(), 1, v)
         for n, v in enumerate(names[:3])]
    )  # fmt: skip
    for name in names:
        await stores.viewers.add_page(name, "5e", 0, f"page of {name}".encode())
    await stores.sessions.touch(names, 10, 5, 5)


async def test_all_of_a_viewer_is_found_and_forgotten_and_nobody_elses(stores: Stores) -> None:
    await fill(stores)
    before = {name: await stores.rights.held(name) for name in VIEWERS}
    for name in VIEWERS:
        kinds = 5 if name in VIEWERS[:3] else 4
        assert len(before[name]) == kinds, (name, before[name])
    for at, name in enumerate(VIEWERS):
        assert await stores.rights.forget(name) == len(before[name])
        assert await stores.rights.held(name) == {}
        assert await stores.rights.forget(name) == 0
        for other in VIEWERS[at + 1 :]:
            assert await stores.rights.held(other) == before[other]
