"""The closed loop: the product, its rivals and chance in a simulated world."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from infra.config import Settings
from infra.errors import SettingsError
from models.events import HOUR_MS, parse_account, parse_event, parse_media
from models.simulation.config import SimulationConfig, Wave
from models.simulation.world import SimulatedWorld
from streams.simulated.estimates import Trial, small_world
from streams.simulated.feed import records
from streams.simulated.figures import figures_of
from streams.simulated.loop import Grids, Outcome, simulate
from streams.simulated.policy import RandomPolicy
from streams.simulated.product import ProductPolicy, Variant
from streams.simulated.report import ABLATIONS, selected, spread
from streams.simulated.rivals import RIVALS, RivalPolicy

CONFIG = SimulationConfig(
    viewers=20, accounts=20, days=1, sessions_per_day=2.0, rounds=2.0, slot_ms=HOUR_MS,
    spam=Wave(day=0.6, accounts=2, media=3, robots=3), late=0.1, doubled=0.1,
)  # fmt: skip
SIZE = 10


@pytest.fixture(scope="module")
def world() -> SimulatedWorld:
    return SimulatedWorld.of(CONFIG)


def product(world: SimulatedWorld, **of: object) -> Outcome:
    settings = Settings(grid_size=SIZE)
    variant = Variant(trained=False, **of)
    policy = ProductPolicy(world, settings, variant)
    return simulate(world, policy, size=SIZE, delay_ms=variant.delay_ms, oracle_every=1)


def test_runs_are_the_same_each_time_and_shown_once(world: SimulatedWorld) -> None:
    a, b = product(world), product(world)
    assert np.array_equal(a.grids.media_gk, b.grids.media_gk)
    assert np.array_equal(a.events.number_n, b.events.number_n)
    looked = a.grids.looked_gk
    assert a.steps == looked.sum() > 0
    shown = a.grids.media_gk >= 0
    assert shown.any()
    assert not (looked & ~shown).any()


def test_nothing_is_shown_before_it_is_posted_or_after_it_is_gone(world: SimulatedWorld) -> None:
    library = world.library
    for outcome in (product(world), simulate(world, RandomPolicy(world, SIZE), size=SIZE)):
        media_gk = outcome.grids.media_gk
        g_n, k_n = np.nonzero(media_gk >= 0)
        media_n, ts_n = media_gk[g_n, k_n], outcome.grids.ts_g[g_n]
        assert (library.created_ms_m[media_n] < ts_n).all()
        assert (library.deleted_ms_m[media_n] > ts_n).all()


def test_nobody_is_better_than_the_oracle(world: SimulatedWorld) -> None:
    grids = product(world).grids
    assert (grids.value_g <= grids.oracle_g + 1e-9).mean() > 0.99


def test_a_delayed_product_repeats_nothing_that_the_client_knows(world: SimulatedWorld) -> None:
    grids = product(world, delay_ms=48 * HOUR_MS).grids
    for viewer in np.unique(grids.viewer_g):
        of = grids.viewer_g == viewer
        looked = grids.media_gk[of][grids.looked_gk[of]]
        assert len(np.unique(looked)) == len(looked)


@pytest.mark.parametrize("name", RIVALS)
def test_rivals_serve_what_is_there_and_was_not_shown(name: str, world: SimulatedWorld) -> None:
    policy = RivalPolicy(world, SIZE, RIVALS[name])
    grids = simulate(world, policy, size=SIZE, warm_days=0.2).grids
    assert (grids.media_gk >= 0).all()
    figures = figures_of(world, grids, 0.2)
    assert figures["repeat_rate"] < 0.1
    assert msgspec.json.encode(figures)


def test_events_of_a_world_are_records_that_producers_may_send(world: SimulatedWorld) -> None:
    now_ms = CONFIG.end_ms
    topics = set()
    for topic, key, value in records(world, SIZE):
        topics.add(topic)
        if topic == "catalog.media":
            assert parse_media(value, now_ms).media_id == key
        elif topic == "catalog.accounts":
            assert parse_account(value).account_id == key
        else:
            assert parse_event(topic, value, now_ms).viewer_id == key
    assert {"catalog.media", "catalog.accounts", "events.view", "events.like"} <= topics


def test_each_ablation_takes_one_thing_away() -> None:
    fields = Variant.__struct_fields__
    for name, variant in ABLATIONS.items():
        changed = [f for f in fields if getattr(variant, f) != getattr(Variant(), f)]
        assert len(changed) == (0 if name == "freshgrid" else 1), name


def test_intervals_over_seeds() -> None:
    assert spread([1.0, 2.0, 3.0])["mean"] == 2.0
    assert spread([1.0]) == {"mean": 1.0, "low": None, "high": None}
    assert spread([None])["mean"] is None


def test_estimates_from_random_orders_are_near_the_truth() -> None:
    trial = Trial(small_world(7), 1_000)
    found = trial.run(1)
    assert set(found) == set(trial.truth)
    held = [of["doubly_robust"].holds(trial.truth[name]) for name, of in found.items()]
    assert sum(held) >= 3


def test_variants_are_chosen_by_name_beside_the_first() -> None:
    found = selected(ABLATIONS, ["no_holding_back"], trained=False)
    assert found == {
        "freshgrid": Variant(trained=False),
        "no_holding_back": Variant(trained=False, holding=False),
    }
    with pytest.raises(SettingsError, match="no variant 'hourli'"):
        selected(ABLATIONS, ["hourli"], trained=True)


def test_a_wave_of_spam_is_over_sooner_where_accounts_are_held_back() -> None:
    config = SimulationConfig(
        viewers=80, accounts=30, days=1, rounds=3.0, slot_ms=HOUR_MS,
        spam=Wave(day=0.4, accounts=1, media=20, robots=40),
    )  # fmt: skip
    world = SimulatedWorld.of(config)
    held, free = (
        figures_of(world, product(world, holding=holding).grids, 0.0) for holding in (True, False)
    )
    assert held["spam_see_fewers"] > 6
    assert held["spam_share"] < free["spam_share"] / 2


def test_a_first_like_is_judged_beside_the_same_grid_without_it(world: SimulatedWorld) -> None:
    settings = Settings(grid_size=SIZE)
    grids, served = [], []

    class Watched(ProductPolicy):
        def without_first_like(self, viewer_g, now_ms, shown_vm):
            found = super().without_first_like(viewer_g, now_ms, shown_vm)
            grids.extend((now_ms, v) for v in found)
            # Deciding what to show does not remember it: asked again, nobody is new to it.
            assert not super().without_first_like(viewer_g, now_ms, shown_vm)
            return found

        def serve(self, viewer_g, now_ms, shown_vm):
            served.extend((now_ms, v) for v in viewer_g.tolist())
            return super().serve(viewer_g, now_ms, shown_vm)

    of = simulate(world, Watched(world, settings, Variant(trained=False)), size=SIZE).grids
    asked_g = ~np.isnan(of.unliked_g)
    told = list(zip(of.ts_g[asked_g].tolist(), of.viewer_g[asked_g].tolist(), strict=True))
    assert sorted(told) == sorted(grids)
    assert told
    assert set(grids) <= set(served)
    joined_ms_v = world.viewers.joined_ms_v
    assert (joined_ms_v[of.viewer_g[asked_g]] > CONFIG.start_ms).all()
    # Each newcomer once.
    assert len({v for _, v in grids}) == len(grids)


def test_a_drift_is_judged_beside_viewers_who_did_not_change() -> None:
    config = SimulationConfig(
        viewers=4, accounts=5, days=2, drift_day=1.0, newcomers=0.0, spam=None
    )
    world = SimulatedWorld.of(config)
    sudden_v = np.array([True, True, False, False])
    world = replace(world, viewers=replace(world.viewers, sudden_v=sudden_v))

    def grids(value: dict[tuple[bool, int], float]) -> Grids:
        """Of each viewer one grid before and one after 0, 3, 6 … actions."""
        rows = [(v, since) for v in range(4) for since in (-1, 0, 3, 6)]
        viewer_g, drift_g = np.array(rows).T
        none_gk, zero_g = np.zeros((len(rows), 1)), np.zeros(len(rows), np.int64)
        worth_g = np.array([value[bool(sudden_v[v]), since] for v, since in rows])
        return Grids(
            ts_g=zero_g + config.start_ms, viewer_g=viewer_g, media_gk=none_gk.astype(np.int32),
            looked_gk=none_gk > 0, value_g=worth_g, oracle_g=np.ones(len(rows)),
            unliked_g=np.full(len(rows), np.nan), engaged_g=zero_g, see_fewer_g=zero_g,
            drift_g=drift_g,
        )  # fmt: skip

    tired = {(False, -1): 0.8, (False, 0): 0.8, (False, 3): 0.4, (False, 6): 0.2}
    # Half of what it was, as of those who did not change: all is recovered by then.
    changed = {(True, -1): 0.6, (True, 0): 0.3, (True, 3): 0.28, (True, 6): 0.1}
    assert figures_of(world, grids(tired | changed), 0.0)["actions_to_recover"] == 3
    worse = {(True, -1): 0.6, (True, 0): 0.3, (True, 3): 0.2, (True, 6): 0.1}
    assert figures_of(world, grids(tired | worse), 0.0)["actions_to_recover"] is None
