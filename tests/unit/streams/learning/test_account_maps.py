"""Maps are drawn of what is live, stored beside it, kept for a day, and found again."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import pytest

from infra.artifacts import ArtifactError, ArtifactStore
from models.arrays.packed_ids import pack_ids
from streams.account_maps import MAPS, about_maps, map_of, map_shown, stored_map
from streams.learning import account_maps as module
from streams.learning.account_maps import AccountMaps, MapDrawingError, Order
from streams.versions import IG2VEC, Version

drawing = pytest.importorskip("streams.learning.map_drawing")
HOUR_MS = 3_600_000


@pytest.fixture
def artifacts(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(str(tmp_path / "artifacts"))


def a_version(artifacts: ArtifactStore, seed: int = 0, accounts: int = 10) -> str:
    """Stores account vectors as a release without maps did."""
    blob, ends_n = pack_ids([f"a{number}" for number in range(accounts)])
    vectors_nd = np.random.default_rng(seed).normal(size=(accounts, 8)).astype(np.float32)
    return artifacts.put(IG2VEC, {"ids": blob, "ends": ends_n, "vectors": vectors_nd}, {})


def live(version: str, space: str = "space") -> Version:
    return Version(IG2VEC, version, 1, space=space)


def test_an_old_version_gets_a_map_and_movement_is_told_from_the_day_before(
    artifacts: ArtifactStore,
) -> None:
    old = a_version(artifacts)
    assert map_of(artifacts, old) is None
    assert map_shown(artifacts, old) is None
    names = [drawing.draw(artifacts, a_version(artifacts, n), n * HOUR_MS) for n in range(28)]
    assert map_of(artifacts, old) == names[0] == map_shown(artifacts, old)
    first, second, last = (stored_map(artifacts, names[at]) for at in (0, 1, 27))
    assert (first.about.before_ms, second.about.before_ms) == (None, 0)
    assert last.about.before_ms == 3 * HOUR_MS
    np.testing.assert_array_equal(
        last.accounts.before_n2, stored_map(artifacts, names[3]).accounts.places_n2
    )


def test_maps_of_stored_versions_and_of_a_day_are_kept(artifacts: ArtifactStore) -> None:
    version = a_version(artifacts)
    first = drawing.draw(artifacts, version, 0)
    others = [drawing.draw(artifacts, version, n) for n in range(1, drawing.KEEP + 3)]
    # Drawn of the version again and again: the last one is its map, and the first is no longer.
    assert first not in artifacts.list(MAPS)
    assert len(about_maps(artifacts)) == drawing.KEEP
    assert map_of(artifacts, version) == others[-1]


def test_of_a_version_without_a_map_the_newest_is_shown(artifacts: ArtifactStore) -> None:
    drawn, later = a_version(artifacts, 0), a_version(artifacts, 1)
    name = drawing.draw(artifacts, drawn, 0)
    newest = drawing.draw(artifacts, later, 1)
    assert map_shown(artifacts, a_version(artifacts, 2)) == newest
    assert map_shown(artifacts, drawn) == name


def test_a_damaged_map_is_left_out(artifacts: ArtifactStore) -> None:
    first = drawing.draw(artifacts, a_version(artifacts, 0), 0)
    (Path(artifacts.url) / MAPS / first / "places.npy").write_bytes(b"")
    with pytest.raises(ArtifactError):
        stored_map(artifacts, first)
    then = stored_map(artifacts, drawing.draw(artifacts, a_version(artifacts, 1), 1))
    assert then.about.before_ms is None
    assert np.isnan(then.accounts.before_n2).all()


class Drawer:
    """Notes what is ordered."""

    def __init__(self) -> None:
        self.ordered: list[str] = []
        self.fails = False

    async def __call__(self, order: Order) -> str:
        self.ordered.append(order.ig2vec)
        if self.fails:
            raise MapDrawingError("no memory")
        return "map"


async def test_a_map_is_drawn_of_each_space_and_of_what_it_becomes_every_so_often(
    artifacts: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    drawer = Drawer()
    versions = [a_version(artifacts, number) for number in range(5)]
    shown: list[Version | None] = [None]
    maps = AccountMaps(artifacts, lambda: shown[0], 60, drawer)
    await maps.look()
    shown[0] = live(versions[0], space="")
    await maps.look()
    assert drawer.ordered == []
    for version, space in ((0, "one"), (1, "one"), (2, "two")):
        shown[0] = live(versions[version], space)
        await maps.look()
    # Version 1 is version 0 learned on: its map waits.
    assert drawer.ordered == [versions[0], versions[2]]
    now, shown[0] = 61.0, live(versions[3], "two")
    drawer.fails = True
    await maps.look()
    await maps.look()
    assert drawer.ordered[2:] == [versions[3]]
    now, drawer.fails = 61.0 + module.AGAIN_S, False
    await maps.look()
    assert drawer.ordered[3:] == [versions[3]]
    # What has its map already is not drawn again.
    drawing.draw(artifacts, versions[4], 0)
    shown[0] = live(versions[4], "three")
    await maps.look()
    assert len(drawer.ordered) == 4


async def test_it_is_drawn_by_a_process_of_its_own(artifacts: ArtifactStore) -> None:
    version = a_version(artifacts)
    name = await module._drawn_apart(Order(artifacts.url, version))
    assert stored_map(artifacts, name).about.ig2vec == version


async def test_why_it_could_not_be_drawn_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    fails = "import sys; sys.stdin.read(); sys.exit('first\\nwhy')"
    monkeypatch.setattr(module, "_DRAWING", (sys.executable, "-c", fails))
    with pytest.raises(MapDrawingError, match=r"^why$"):
        await module._drawn_apart(Order("nowhere", "v"))
    monkeypatch.setattr(module, "_DRAWING", (sys.executable, "-c", "import time; time.sleep(60)"))
    monkeypatch.setattr(module, "LIMIT_S", 0.05)
    with pytest.raises(MapDrawingError, match=r"no answer within 0\.05 s"):
        await module._drawn_apart(Order("nowhere", "v"))
