"""The map as it is shown: of what is live, in whole numbers, without hidden accounts."""

from __future__ import annotations

import gzip
from pathlib import Path

import httpx
import msgspec
import numpy as np
import pytest

from infra.artifacts import ArtifactStore
from infra.errors import UnreachableError
from infra.http.account_map import SIDE, MapOfAccounts, account_map_routes
from infra.http.app import create_api
from models.events import Account
from models.ig2vec.account_map import AccountMap
from models.world import World
from streams.account_maps import MAP_NOTE, MAPS, About, MapNote
from streams.serving import atlas as module
from streams.serving.atlas import Atlas
from streams.versions import IG2VEC, Version, version_message
from tests.unit.streams.test_versions import Record


def put_map(artifacts: ArtifactStore, ig2vec: str, ids: list[str], shift: float = 0.0) -> str:
    places_n2 = np.array([(at + shift, 2 * at) for at in range(len(ids))], np.float32)
    before_n2 = places_n2 - 1
    before_n2[-1] = np.nan
    about = msgspec.to_builtins(About(ig2vec=ig2vec, made_ms=5, before_ms=2))
    name = artifacts.put(MAPS, AccountMap(ids, places_n2, before_n2).arrays(), about)
    artifacts.write_note(IG2VEC, ig2vec, MAP_NOTE, MapNote(name))
    return name


def told(version: str) -> list[Record]:
    return [Record(b"", version_message(Version(IG2VEC, version, 1_700_000_000_000)).value)]


@pytest.fixture
def artifacts(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(str(tmp_path / "artifacts"))


@pytest.fixture
def world() -> World:
    world = World()
    world.apply_accounts(
        [Account("a0", ("sea",)), Account("a1", ("sun", "sea")), Account("a2", private=True)]
    )
    return world


def atlas_of(world: World, artifacts: ArtifactStore, monkeypatch: pytest.MonkeyPatch) -> Atlas:
    monkeypatch.setattr(module, "FRESH_S", 0.0)
    return Atlas(world, artifacts)


async def shown(atlas: Atlas) -> MapOfAccounts:
    return msgspec.json.decode(gzip.decompress((await atlas.map()).body), type=MapOfAccounts)


async def test_places_are_whole_numbers_on_one_scale(world, artifacts, monkeypatch) -> None:
    name = put_map(artifacts, "v1", ["a0", "a1", "a2", "new"])
    atlas = atlas_of(world, artifacts, monkeypatch)
    atlas.told(told("v1"))
    found = await shown(atlas)
    assert (found.version, found.ig2vec, found.live) == (name, "v1", "v1")
    assert (found.made_ms, found.before_ms) == (5, 2)
    # Private accounts are in no grid, and not here.
    assert found.account_id == ["a0", "a1", "new"]
    assert [found.topics[code] for code in found.topic] == ["sea", "sun", ""]
    assert found.topics[0] == ""
    assert found.y == [0, round(SIDE / 3), SIDE]
    # The shorter axis lies in the middle.
    assert found.x == [round(SIDE * share) for share in (1 / 4, 1 / 4 + 1 / 6, 3 / 4)]
    assert found.moved_x == [round(SIDE / 6), round(SIDE / 6), 0]


async def test_what_is_live_now_is_shown(world, artifacts, monkeypatch) -> None:
    put_map(artifacts, "v1", ["a0", "a1"])
    newest = put_map(artifacts, "v2", ["a0", "a1"], shift=3.0)
    atlas = atlas_of(world, artifacts, monkeypatch)
    with pytest.raises(LookupError, match="freshgrid\\[map\\]"):
        await atlas.map()
    atlas.told(told("v1"))
    first = await atlas.map()
    assert (await atlas.map()).tag == first.tag
    # One without a map of its own, as after an upgrade: the newest there is.
    atlas.told(told("older"))
    assert (await shown(atlas)).version == newest
    atlas.told(told("v2"))
    assert (await atlas.map()).tag != first.tag
    world.apply_accounts([Account("a1", disabled=True)])
    assert (await shown(atlas)).account_id == ["a0"]


async def test_a_damaged_map_is_no_map_now(world, artifacts, monkeypatch) -> None:
    name = put_map(artifacts, "v1", ["a0", "a1"])
    (Path(artifacts.url) / MAPS / name / "places.npy").unlink()
    atlas = atlas_of(world, artifacts, monkeypatch)
    atlas.told(told("v1"))
    with pytest.raises(UnreachableError, match="ARTIFACTS_URL"):
        await atlas.map()


async def test_it_is_sent_compressed_once(world, artifacts, monkeypatch) -> None:
    put_map(artifacts, "v1", ["a0", "a1"])
    atlas = atlas_of(world, artifacts, monkeypatch)
    api = create_api(5.0, [account_map_routes(atlas)])
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(api), base_url="http://ranker"
    ) as client:
        nothing = await client.get("/v1/map")
        assert nothing.status_code == 404
        atlas.told(told("v1"))
        packed = await client.get("/v1/map")
        plain = await client.get("/v1/map", headers={"Accept-Encoding": "identity"})
        assert packed.headers["Content-Encoding"] == "gzip"
        assert "Content-Encoding" not in plain.headers
        assert packed.json() == plain.json()
        known = {"If-None-Match": packed.headers["ETag"]}
        same = await client.get("/v1/map", headers=known)
        assert (same.status_code, same.content) == (304, b"")
        world.apply_accounts([Account("a1", disabled=True)])
        assert (await client.get("/v1/map", headers=known)).status_code == 200
