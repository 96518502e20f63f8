"""Accounts that unusually many viewers asked for fewer of are held back, and nobody else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import gammaln
from scipy.stats import nbinom

from models.actions import NEGATIVE, Action
from models.events import DAY_MS, Account, Media, MediaEvent
from models.inventory.held_back import HoldingConfig, chance_of
from models.inventory.viewer_marks import NOBODY, ForgottenMarks, pseudonym
from models.queries import CandidateQuery
from models.rankers.prior import PriorRankers
from models.viewers.context import ViewerContext
from models.viewers.state import FoldConfig, ViewerState, fold_media_event
from models.world import World, WorldConfig
from streams.local.scenario import FIXTURE
from streams.recorded.reading import read_dataset

NOW = 1_700_000_000_000
HANDFUL = HoldingConfig().handful


def world_of(accounts: int = 2_000) -> World:
    """Accounts of whom a0 and a1 have ten media each."""
    world = World()
    world.apply_accounts([Account(f"a{n}") for n in range(accounts)])
    world.apply_media([Media(f"m{n}", f"a{n // 10}", NOW - 1000) for n in range(20)])
    return world


def act(
    viewer: str,
    media: int = 0,
    action: Action = Action.SEE_FEWER,
    ts: int = NOW,
    undo: bool = False,
) -> tuple[Action, MediaEvent]:
    event_id = f"{viewer}:{media}:{action}:{ts}:{undo}"
    return action, MediaEvent(event_id, viewer, f"m{media}", ts, undo=undo)


def looks(count: int, media: int = 0) -> list[tuple[Action, MediaEvent]]:
    return [act(f"l{n}", media + n % 10, Action.VIEW) for n in range(count)]


def held(world: World, now_ms: int = NOW) -> list[str]:
    return world.catalog.author_ids(world.held_accounts(now_ms))


@pytest.mark.parametrize(
    ("viewers", "asking"), [(0, 6), (100, 6), (300, 11), (1_000, 25), (10_000, 206)]
)
def test_how_many_viewers_it_takes(viewers: int, asking: int) -> None:
    """As docs/operations.md says, in a log of 2,000 accounts."""
    world = world_of()
    world.apply_events(looks(viewers))
    world.apply_events([act(f"v{n}") for n in range(asking - 1)])
    assert held(world) == []
    world.apply_events([act("one more")])
    assert held(world) == ["a0"]


@given(st.integers(0, 400), st.floats(1e-4, 1e4), st.floats(0.05, 50.0))
def test_chances_are_those_of_the_negative_binomial(asked: int, mean: float, shape: float) -> None:
    expected = nbinom.sf(asked - 1, shape, shape / (shape + mean))
    chance = chance_of(float(asked), mean, HoldingConfig(shape=shape))
    assert chance == pytest.approx(expected, rel=1e-6, abs=1e-11)


def test_one_viewer_or_a_handful_is_never_enough() -> None:
    world = world_of()
    for ts in range(50):
        for media in range(10):
            world.apply_events([act(f"v{n}", media, ts=NOW - ts) for n in range(HANDFUL)])
    assert held(world) == []


def test_robots_that_like_it_do_not_save_it() -> None:
    world = world_of()
    world.apply_events(looks(1_000, 10))
    world.apply_events([act(f"r{n}", m, Action.LIKE) for n in range(500) for m in range(10)])
    world.apply_events([act(f"v{n}", n % 8) for n in range(HANDFUL + 1)])
    assert held(world) == ["a0"]


def test_where_no_views_are_sent_who_likes_is_a_viewer() -> None:
    world = world_of()
    world.apply_events([act(f"l{n}", n % 10, Action.LIKE) for n in range(970)])
    world.apply_events([act(f"v{n}") for n in range(24)])
    assert held(world) == []
    world.apply_events([act("one more")])
    assert held(world) == ["a0"]


def test_an_undo_and_time_release_it_and_the_next_wave_does_not_pass() -> None:
    world = world_of()
    world.apply_events([act(f"v{n}") for n in range(HANDFUL + 1)])
    assert held(world) == ["a0"]
    assert held(world, NOW + 3 * DAY_MS) == []
    world.apply_events([act("v0", ts=NOW + 1, undo=True)])
    assert held(world, NOW + 1) == []
    later = NOW + 3 * DAY_MS
    world.apply_events([act(f"w{n}", 1, ts=later) for n in range(HANDFUL)])
    assert held(world, later) == ["a0"]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 8), st.integers(0, 12), st.integers(0, 3), st.booleans()),
        max_size=60,
    ),
    st.randoms(use_true_random=False),
)
def test_order_and_repeats_decide_nothing(told: list[tuple[int, int, int, bool]], random) -> None:
    events = [act(f"v{v}", m, ts=NOW + ts, undo=undo) for v, m, ts, undo in told]
    one, other = world_of(30), world_of(30)
    one.apply_events(events)
    shuffled = [*events, *events]
    random.shuffle(shuffled)
    for event in shuffled:
        other.apply_events([event])
    assert held(one, NOW + 10) == held(other, NOW + 10)
    # By definition: of each viewer and account the newest, an undo after what it takes back.
    newest: dict[tuple[int, int], tuple[int, bool]] = {}
    for v, m, ts, undo in told:
        newest[v, m // 10] = max(newest.get((v, m // 10), (-1, False)), (ts, undo))
    asked = [sum(not undo for (_, a), (_, undo) in newest.items() if a == of) for of in (0, 1)]
    assert held(one, NOW + 10) == [f"a{of}" for of in (0, 1) if asked[of] > HANDFUL]


def test_it_survives_a_restart_and_a_viewer_who_is_forgotten() -> None:
    world = world_of()
    world.apply_events([act(f"v{n}") for n in range(HANDFUL)])
    forgotten = ForgottenMarks.of({pseudonym("v0"): NOW})

    def stored(of: ForgottenMarks) -> World:
        arrays, meta = world.to_arrays()
        return World.from_arrays(World.stored(arrays, of), meta, WorldConfig())

    again, without = stored(NOBODY), stored(forgotten)
    assert again.content_hash() == world.content_hash() != without.content_hash()
    for one in (again, without):
        one.apply_events([act("v1", 1, ts=NOW + 1)])
        assert held(one) == []
        one.apply_events([act("new", 1, ts=NOW + 1)])
        assert held(one) == ["a0"]


def test_only_who_chose_the_account_is_shown_its_media() -> None:
    world = world_of(30)
    world.apply_events([act(f"l{n}", m, Action.LIKE) for n in range(3) for m in range(20)])
    fan = ViewerState()
    action, event = act("fan", 0, Action.LIKE)
    fold_media_event(fan, action, event, "a0", FoldConfig())

    def shown(viewer_id: str, state: ViewerState) -> set[int]:
        viewer = ViewerContext.from_state(viewer_id, state, world, NOW)
        found = CandidateQuery().find([viewer], world, PriorRankers(), NOW, enough=20)
        return set(world.catalog.author_n[found.rows.row_n].tolist())

    assert shown("anybody", ViewerState()) == {0, 1}
    world.apply_events([act(f"v{n}") for n in range(HANDFUL + 1)])
    assert shown("anybody", ViewerState()) == {1}
    assert shown("fan", fan) == {0, 1}


def test_the_constants_are_those_of_the_bundled_log() -> None:
    log, config = read_dataset(FIXTURE).log, HoldingConfig()
    pair_n = log.author_m[log.media_n].astype(np.int64) * log.viewers + log.viewer_n
    asks_n = np.isin(log.action_n, NEGATIVE)
    viewers_a, asked_a = (
        np.bincount(np.unique(of) // log.viewers, minlength=log.authors)
        for of in (pair_n, pair_n[asks_n])
    )
    asked_a, viewers_a = asked_a[viewers_a > 0], viewers_a[viewers_a > 0]
    assert (viewers_a.sum(), asked_a.sum()) == (config.viewers, config.asked)

    def likelihood(shape: float) -> float:
        """The logarithm of that of the best mean rate."""
        rates = config.asked / config.viewers * np.linspace(0.7, 1.5, 81)[:, None]
        scale = shape / rates
        terms = (
            gammaln(shape + asked_a) - gammaln(shape) + shape * np.log(scale / (scale + viewers_a))
        )
        return float((terms + asked_a * np.log(viewers_a / (scale + viewers_a))).sum(axis=1).max())

    # One rate for all is the best; twice the fall is a χ² of one degree of freedom.
    falls = [likelihood(1e4) - likelihood(shape) for shape in (config.shape - 0.01, config.shape)]
    assert falls[0] > 1.92 > falls[1]
    # Nobody in it would be held back.
    assert asked_a.max() <= config.handful
