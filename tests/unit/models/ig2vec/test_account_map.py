"""Maps of accounts: what is alike lies together, and one map lies on the one before."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.ig2vec.account_map import AccountMap, first_places, laid_on, places_on
from models.ig2vec.quality import AccountVectors

projection = pytest.importorskip("models.ig2vec.projection")
GROUPS, EACH = 4, 40
NAN = float("nan")


def ids(count: int, start: int = 0) -> list[str]:
    return [f"a{number}" for number in range(start, start + count)]


def vectors(seed: int = 0, noise: float = 0.15) -> AccountVectors:
    """Groups of accounts: the nth is of the group n % GROUPS."""
    random = np.random.default_rng(7)
    middles_gd = random.normal(size=(GROUPS, 16))
    own_nd = np.random.default_rng(seed).normal(size=(GROUPS * EACH, 16))
    raw_nd = np.tile(middles_gd, (EACH, 1)) + noise * own_nd
    unit_nd = raw_nd / np.linalg.norm(raw_nd, axis=1, keepdims=True)
    return AccountVectors(ids(GROUPS * EACH), unit_nd.astype(np.float32))


def on_map(names: list[str], places: list[tuple[float, float]]) -> AccountMap:
    places_n2 = np.array(places, np.float32).reshape(-1, 2)
    return AccountMap(names, places_n2, np.full_like(places_n2, NAN))


@pytest.fixture(scope="module")
def first() -> AccountMap:
    return projection.drawn(vectors(), None, None)


def test_who_is_alike_lies_together(first: AccountMap) -> None:
    distance_nn = np.linalg.norm(first.places_n2[:, None] - first.places_n2[None], axis=2)
    np.fill_diagonal(distance_nn, np.inf)
    nearest = distance_nn.argmin(axis=1)
    assert (nearest % GROUPS == np.arange(len(nearest)) % GROUPS).mean() > 0.95
    assert np.isnan(first.before_n2).all()


def test_what_did_not_change_hardly_moves_and_what_did_does(first: AccountMap) -> None:
    names, vectors_nd = vectors()
    changed_nd = vectors_nd.copy()
    # One account goes over to the next group.
    changed_nd[0] = vectors_nd[1]
    then = projection.drawn(AccountVectors(names, changed_nd), first, first)
    moved_n = np.linalg.norm(then.places_n2 - then.before_n2, axis=1)
    assert moved_n.argmax() == 0
    assert np.median(moved_n) < moved_n[0] / 4
    np.testing.assert_array_equal(then.before_n2, first.places_n2)


def test_new_accounts_begin_in_their_company(first: AccountMap) -> None:
    known = AccountMap(first.ids[8:], first.places_n2[8:], first.before_n2[8:])
    then = projection.drawn(vectors(), known, known)
    assert np.isnan(then.before_n2[:8]).all()
    distance_nn = np.linalg.norm(then.places_n2[:8, None] - then.places_n2[None, 8:], axis=2)
    assert (distance_nn.argmin(axis=1) % GROUPS == np.arange(8) % GROUPS).mean() > 0.7


def test_another_fit_is_drawn_anew(first: AccountMap) -> None:
    names, vectors_nd = vectors()
    mixed_nd = vectors_nd[np.random.default_rng(1).permutation(len(names))]
    group_n = (mixed_nd @ vectors_nd[:GROUPS].T).argmax(axis=1)
    then = projection.drawn(AccountVectors(names, mixed_nd), first, None)
    distance_nn = np.linalg.norm(then.places_n2[:, None] - then.places_n2[None], axis=2)
    np.fill_diagonal(distance_nn, np.inf)
    assert (group_n[distance_nn.argmin(axis=1)] == group_n).mean() > 0.9


@pytest.mark.parametrize("count", [1, 2, 3, 19, 21, 40])
def test_any_number_of_accounts_has_a_map(count: int) -> None:
    names, vectors_nd = vectors()
    few = AccountVectors(names[:count], vectors_nd[:count])
    one = projection.drawn(few, None, None)
    assert np.isfinite(projection.drawn(few, one, one).places_n2).all()


def test_equal_vectors_have_a_map() -> None:
    same_nd = np.tile(vectors().vectors_nd[:1], (60, 1))
    assert np.isfinite(
        projection.drawn(AccountVectors(ids(60), same_nd), None, None).places_n2
    ).all()


@given(
    turn=st.floats(0, 6.2),
    scale=st.floats(0.1, 10),
    mirror=st.booleans(),
    away=st.tuples(st.floats(-50, 50), st.floats(-50, 50)),
    seed=st.integers(0, 100),
)
def test_a_map_that_only_lies_otherwise_is_laid_back(
    turn: float, scale: float, mirror: bool, away: tuple[float, float], seed: int
) -> None:
    was_n2 = np.random.default_rng(seed).normal(size=(20, 2)).astype(np.float32)
    turned_22 = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    other_n2 = (was_n2 * (1, -1 if mirror else 1)) @ turned_22 * scale + away
    partly_n2 = was_n2.copy()
    partly_n2[15:] = np.nan
    laid_n2 = laid_on(other_n2.astype(np.float32), partly_n2)
    np.testing.assert_allclose(laid_n2, was_n2, atol=0.01)


def test_a_map_does_not_shrink_however_often_it_is_drawn() -> None:
    random = np.random.default_rng(0)
    was_n2 = random.normal(size=(500, 2)).astype(np.float32)
    begun = was_n2.std()
    for _ in range(50):
        was_n2 = laid_on((was_n2 + random.normal(size=was_n2.shape)).astype(np.float32), was_n2)
    assert was_n2.std() == pytest.approx(begun, rel=0.05)


def test_company_is_the_nearest_that_are_known() -> None:
    was_n2 = np.array([[NAN, NAN], [1, 1], [3, 3], [NAN, NAN]], np.float32)
    near_nk = np.array([[1, 3, 2], [0, 2, 3], [1, 0, 3], [0, 0, 0]])
    begin_n2 = first_places(was_n2, near_nk, np.zeros((4, 2), np.float32))
    # The last knows nobody: it begins in the middle.
    np.testing.assert_allclose(begin_n2, [[2, 2], [1, 1], [3, 3], [2, 2]])
    nobody_n2 = np.full((4, 2), NAN, np.float32)
    guess_n2 = np.arange(8, dtype=np.float32).reshape(4, 2)
    np.testing.assert_array_equal(first_places(nobody_n2, near_nk, guess_n2), guess_n2)


def test_places_are_found_by_id() -> None:
    earlier = on_map(["a", "b"], [(1, 2), (3, 4)])
    found_n2 = places_on(earlier, ["b", "new", "a"])
    np.testing.assert_array_equal(found_n2, np.array([[3, 4], [NAN, NAN], [1, 2]], np.float32))
    assert np.isnan(places_on(None, ["a"])).all()


def test_a_stored_map_is_read_and_what_is_none_refused() -> None:
    one = on_map(["é", "b"], [(1, 2), (3, 4)])
    again = AccountMap.of_arrays(one.arrays())
    assert again.ids == ["é", "b"]
    np.testing.assert_array_equal(again.places_n2, one.places_n2)
    with pytest.raises(ValueError, match="'places' is missing"):
        AccountMap.of_arrays({name: of for name, of in one.arrays().items() if name != "places"})
    with pytest.raises(ValueError, match="shape"):
        AccountMap.of_arrays(one.arrays() | {"places": one.places_n2[:1]})
    with pytest.raises(ValueError, match="no number"):
        AccountMap.of_arrays(one.arrays() | {"places": one.places_n2 * np.float32(NAN)})
