"""Item weights against what they stand for, in plain Python and with dense matrices."""

from __future__ import annotations

from collections import defaultdict
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.item_to_item.appeal import Appeal
from models.item_to_item.fit import ItemToItem, ItemToItemConfig, fit_item_weights
from models.item_to_item.histories import PositiveLog, PositivePairs
from models.item_to_item.sums import Histories, by_counting, by_sorting
from models.item_to_item.weights import ItemWeights, ItemWeightsError, stored_ids

VIEWERS, MEDIA = 6, 9
#: (viewer, media, whether it is an undo).
Positive = tuple[int, int, bool]
positives = st.lists(
    st.tuples(st.integers(0, VIEWERS - 1), st.integers(0, MEDIA - 1), st.booleans()), max_size=60
)
histories = st.lists(st.integers(-2, MEDIA + 2), max_size=8)


def add(log: PositiveLog, done: list[Positive]) -> None:
    # Hashes of viewers may be below 0 and far apart.
    log.add(
        np.array([(viewer - 2) * 10**17 for viewer, _, _ in done], np.int64),
        np.array([media for _, media, _ in done], np.int32),
        np.array([-1 if undo else 1 for *_, undo in done], np.int8),
    )


def standing(done: list[Positive], each: int) -> dict[int, set[int]]:
    """Viewer → the newest `each` media that were done to more often than taken back."""
    balance: dict[tuple[int, int], int] = defaultdict(int)
    last: dict[tuple[int, int], int] = {}
    for place, (viewer, media, undo) in enumerate(done):
        balance[viewer, media] += -1 if undo else 1
        last[viewer, media] = place
    found: dict[int, set[int]] = {}
    for viewer in range(VIEWERS):
        liked = [media for media in range(MEDIA) if balance[viewer, media] > 0]
        newest = sorted(liked, key=lambda media: -last[viewer, media])[:each]
        if newest:
            found[viewer] = set(newest)
    return found


def by_viewer(pairs: PositivePairs) -> list[set[int]]:
    found: dict[int, set[int]] = {}
    for viewer, media in zip(pairs.viewer_n.tolist(), pairs.media_n.tolist(), strict=True):
        assert media not in found.setdefault(viewer, set())
        found[viewer].add(media)
    return [found[viewer] for viewer in sorted(found)]


@given(
    done=positives, each=st.integers(1, MEDIA), batch=st.integers(1, 20), most=st.integers(1, 80)
)
def test_pairs_are_the_newest_of_each_viewer_that_stand(
    done: list[Positive], each: int, batch: int, most: int
) -> None:
    log = PositiveLog(most)
    for start in range(0, len(done), batch):
        add(log, done[start : start + batch])
        assert len(log) <= 2 * most
    assert log.added == len(done)
    expected = standing(done[-most:], each)
    assert by_viewer(log.pairs(each)) == [expected[viewer] for viewer in sorted(expected)]


@given(done=positives, seed=st.integers(0, 99))
def test_who_came_between_decides_nothing(done: list[Positive], seed: int) -> None:
    """Viewers may be read in another order, as long as each one's positives keep theirs."""
    order = np.random.default_rng(seed).permutation([viewer for viewer, _, _ in done])
    left = {viewer: iter([one for one in done if one[0] == viewer]) for viewer in range(VIEWERS)}
    mixed = [next(left[viewer]) for viewer in order.tolist()]
    one, other = PositiveLog(), PositiveLog()
    add(one, done)
    add(other, mixed)
    assert by_viewer(one.pairs(3)) == by_viewer(other.pairs(3))


def pairs_of(liked: list[set[int]]) -> PositivePairs:
    pairs = [(viewer, media) for viewer, rows in enumerate(liked) for media in sorted(rows)]
    table = np.array(pairs, np.int64).reshape(-1, 2)
    return PositivePairs(table[:, 0], table[:, 1].astype(np.int32))


tastes = st.lists(st.sets(st.integers(0, MEDIA - 1)), max_size=12)


def dense(weights: ItemWeights) -> NDArray[np.float64]:
    """Weights by media rows, (from, to)."""
    full_mm = np.zeros((MEDIA, MEDIA))
    for row in range(MEDIA):
        near, weight = weights.neighbours_of(row)
        assert len(set(near.tolist())) == len(near)
        full_mm[row, near] = weight
    return full_mm


def weighed(liked: list[set[int]], config: ItemToItemConfig) -> NDArray[np.float64]:
    """Weights of the media that enough viewers liked, (from, to), in the scale of cosines."""
    ones_vm = np.array([[media in rows for media in range(MEDIA)] for rows in liked], float)
    ones_vm = ones_vm.reshape(-1, MEDIA)
    count_m = ones_vm.sum(axis=0)
    both_mm = ones_vm.T @ ones_vm
    np.fill_diagonal(both_mm, 0.0)
    kept_m = count_m >= config.viewers
    both_mm *= np.outer(kept_m, kept_m)
    found_mm = both_mm / (np.outer(count_m, count_m**config.power) + config.shrink)
    cosines_mm = both_mm / (np.sqrt(np.outer(count_m, count_m)) + 50)
    scaled_mm: NDArray[np.float64] = found_mm * (cosines_mm.sum() / (found_mm.sum() or 1.0))
    return scaled_mm


@given(
    liked=tastes,
    shrink=st.sampled_from([0.5, 5.0, 50.0]),
    power=st.sampled_from([0.0, 0.7, 1.0]),
    viewers=st.integers(1, 3),
)
def test_a_fit_is_the_dense_one_where_neighbours_are_unbounded(
    liked: list[set[int]], shrink: float, power: float, viewers: int
) -> None:
    config = ItemToItemConfig(shrink=shrink, power=power, viewers=viewers)
    weights = fit_item_weights(pairs_of(liked), config)
    np.testing.assert_allclose(dense(weights), weighed(liked, config), rtol=1e-5)
    assert len(set(weights.media_s.tolist())) == len(weights)


@given(liked=tastes, neighbours=st.integers(1, 4))
def test_of_bounded_neighbours_the_heaviest_are_kept(
    liked: list[set[int]], neighbours: int
) -> None:
    config = ItemToItemConfig(shrink=1.0, neighbours=neighbours)
    full_mm = weighed(liked, config)
    kept_mm = dense(fit_item_weights(pairs_of(liked), config))
    for full_m, kept_m in zip(full_mm, kept_mm, strict=True):
        there = kept_m > 0
        assert there.sum() == min(neighbours, (full_m > 0).sum())
        np.testing.assert_allclose(kept_m[there], full_m[there], rtol=1e-5)
        assert kept_m[there].min(initial=np.inf) >= full_m[~there].max(initial=0.0) - 1e-6


@given(liked=tastes, most=st.integers(1, 4), entries=st.integers(1, 12))
def test_memory_is_bounded(liked: list[set[int]], most: int, entries: int) -> None:
    config = ItemToItemConfig(shrink=1.0, viewers=1, media=most, entries=entries)
    weights = fit_item_weights(pairs_of(liked), config)
    assert len(weights) <= most
    # Each has one neighbour at least, however little there is.
    assert len(weights.to_arrays([""] * len(weights))["near"]) <= max(entries, len(weights))
    count_m = np.bincount([media for rows in liked for media in rows], minlength=MEDIA)
    left_out = np.setdiff1d(np.arange(MEDIA), weights.media_s)
    assert count_m[weights.media_s].min(initial=99) >= count_m[left_out].max(initial=0) or (
        len(weights) < most
    )


def everything(weights: ItemWeights, history: NDArray[np.int32]) -> NDArray[np.float32]:
    """Likeness of all slots, by all ways to add it up."""
    histories, slots = Histories.of([history]), np.arange(len(weights), dtype=np.int32)
    found = weights.likeness(histories, slots, [slice(0, len(slots))])
    likeness_s = found.sum_n.astype(np.float32)
    links = weights.links(histories)
    for sums in (weights.summed(histories), by_sorting(links), by_counting(links, len(weights))):
        np.testing.assert_array_equal(likeness_s[sums.slot_k], sums.sum_k)
        assert np.delete(likeness_s, sums.slot_k).max(initial=0.0) == 0.0
        assert (np.diff(sums.slot_k) > 0).all() and not sums.viewer_k.any()
    assert found.highest_v == likeness_s.max(initial=0.0)
    return likeness_s


@st.composite
def fitted(draw: st.DrawFn) -> ItemWeights:
    liked = draw(st.lists(st.sets(st.integers(0, MEDIA - 1), min_size=2), min_size=2, max_size=12))
    return fit_item_weights(pairs_of(liked), ItemToItemConfig(shrink=1.0, viewers=1))


@given(weights=fitted(), history=histories)
def test_likeness_is_the_sum_of_weights_from_a_history(
    weights: ItemWeights, history: list[int]
) -> None:
    known = [row for row in history if 0 <= row < MEDIA]
    expected_m = dense(weights)[known].sum(axis=0)
    likeness_s = everything(weights, np.array(history, np.int32))
    assert likeness_s.dtype == np.float32
    np.testing.assert_allclose(likeness_s, expected_m[weights.media_s], rtol=1e-6)


@given(weights=fitted(), history=histories)
def test_the_closest_is_the_heaviest_of_a_history(weights: ItemWeights, history: list[int]) -> None:
    full_mm = dense(weights)
    links = weights.links(Histories.of([np.array(history, np.int32)]))
    for sums in (by_sorting(links), by_counting(links, len(weights))):
        rows = weights.media_s[sums.slot_k].tolist()
        for row, place in zip(rows, sums.closest_k.tolist(), strict=True):
            added = [full_mm[one, row] if 0 <= one < MEDIA else 0.0 for one in history]
            assert place == added.index(max(added))


@given(
    weights=fitted(),
    many=st.lists(histories, max_size=4),
    recent=st.integers(0, 3),
    at_once=st.sampled_from([0, 1 << 17]),
)
def test_histories_of_many_viewers_give_what_each_gives(
    weights: ItemWeights, many: list[list[int]], recent: int, at_once: int
) -> None:
    media_v = [np.array(history, np.int32) for history in many]
    histories = Histories.of(media_v)
    with patch("models.item_to_item.weights._AT_ONCE", at_once):
        sums = weights.summed(histories)
    slots = np.arange(-1, len(weights), dtype=np.int32)
    spans = [slice(at * len(slots), (at + 1) * len(slots)) for at in range(len(many))]
    found = weights.likeness(histories, np.tile(slots, len(many)), spans, recent)
    begin = 0
    for at, (media, span) in enumerate(zip(media_v, spans, strict=True)):
        alone, mine = weights.summed(Histories.of([media])), sums.viewer_k == at
        np.testing.assert_array_equal(sums.slot_k[mine], alone.slot_k)
        np.testing.assert_array_equal(sums.sum_k[mine], alone.sum_k)
        np.testing.assert_array_equal(sums.closest_k[mine] - begin, alone.closest_k)
        begin += len(media)
        assert found.sum_n[span][0] == found.recent_n[span][0] == 0.0
        likeness_s = found.sum_n[span][1:].astype(np.float32)
        np.testing.assert_array_equal(likeness_s, everything(weights, media))
        assert found.highest_v[at] == likeness_s.max(initial=0.0)
        recent_s = found.recent_n[span][1:].astype(np.float32)
        np.testing.assert_array_equal(recent_s, everything(weights, media[:recent]))


def stored(weights: ItemWeights) -> dict[str, NDArray[np.generic]]:
    return weights.to_arrays([f"m{row}" for row in weights.media_s.tolist()])


@given(weights=fitted(), history=histories, moved=st.integers(0, 5))
def test_stored_weights_are_read_back_for_another_catalogue(
    weights: ItemWeights, history: list[int], moved: int
) -> None:
    arrays = stored(weights)
    ids = stored_ids(arrays)
    assert ids == [f"m{row}" for row in weights.media_s.tolist()]
    media_s = np.array([int(name[1:]) + moved for name in ids], np.int32)
    again = ItemWeights.from_arrays(arrays, media_s, "items-1")
    assert (again.version, len(again)) == ("items-1", len(weights))
    # Stored are half floats.
    there = np.array([row for row in history if row >= 0], np.int32)
    after, before = everything(again, there + moved), everything(weights, there)
    np.testing.assert_allclose(after, before, rtol=1e-3)
    for name, array in stored(again).items():
        if not name.startswith("id"):
            np.testing.assert_array_equal(array, arrays[name])


def test_weights_stored_before_there_was_an_appeal_have_none() -> None:
    pairs = pairs_of([{0, 1}, {0, 1}])
    weights = fit_item_weights(
        pairs, ItemToItemConfig(), Appeal(1.5, -0.5, (0.25, 0.0, -2.0), (1, 0, 0))
    )
    arrays = stored(weights)
    assert ItemWeights.from_arrays(arrays, weights.media_s, "").appeal == weights.appeal
    del arrays["appeal"]
    assert ItemWeights.from_arrays(arrays, weights.media_s, "").appeal is None


@given(weights=fitted(), what=st.integers(0, 10))
def test_damaged_arrays_are_refused(weights: ItemWeights, what: int) -> None:
    arrays = stored(weights)
    assume(len(arrays["near"]) > 1)
    media_s = weights.media_s
    if what < 3:
        name = ("near", "weight", "ends")[what]
        arrays[name] = arrays[name][:-1]
    elif what == 3:
        del arrays["weight"]
    elif what == 4:
        arrays["near"] = np.full_like(arrays["near"], len(weights))
    elif what == 5:
        arrays["weight"] = np.full_like(arrays["weight"], np.nan)
    elif what == 6:
        arrays["weight"] = -arrays["weight"]  # type: ignore[operator]
    elif what == 7:
        arrays["near"] = arrays["near"][:, None]
    elif what == 8:
        arrays["appeal"] = np.ones(3)
    elif what == 9:
        arrays["appeal"] = np.full(8, np.nan)
    else:
        media_s = media_s[:-1]
    with pytest.raises(ItemWeightsError, match="fit them anew"):
        ItemWeights.from_arrays(arrays, media_s, "")


@pytest.mark.parametrize("damage", ["ids", "id_ends", "cut"])
def test_weights_without_their_ids_are_refused(damage: str) -> None:
    arrays = stored(fit_item_weights(pairs_of([{0, 1}, {0, 1}]), ItemToItemConfig()))
    if damage == "cut":
        arrays["ids"] = arrays["ids"][:-1]
    else:
        del arrays[damage]
    with pytest.raises(ItemWeightsError, match="without ids"):
        stored_ids(arrays)


@given(done=positives, batch=st.integers(1, 7))
def test_when_a_fit_is_due_depends_on_the_positives_alone(done: list[Positive], batch: int) -> None:
    config = ItemToItemConfig(first=10, growth=0.5, viewers=1)
    items = ItemToItem(config)
    assert not items.refit_if_due() and not items.refit()
    fitted_at = 0
    for start in range(0, len(done), batch):
        add(items.log, done[start : start + batch])
        added = items.log.added
        due = added - fitted_at >= max(config.first, config.growth * added)
        before = items.weights
        assert items.refit_if_due() is due
        assert (items.weights is before) is not due
        fitted_at = added if due else fitted_at
    assert items.refit() is (items.log.added > fitted_at)
    assert not items.refit()


def test_what_was_all_taken_back_leaves_no_weights() -> None:
    items = ItemToItem()
    add(items.log, [(0, 1, False), (0, 2, False), (0, 1, True), (0, 2, True)])
    assert items.refit()
    assert items.weights is not None and len(items.weights) == 0
    history = np.array([1, 2], np.int32)
    assert len(everything(items.weights, history)) == 0
    assert len(items.weights.summed(Histories.of([history])).closest_k) == 0
    again = ItemWeights.from_arrays(items.weights.to_arrays([]), history[:0], "")
    assert len(again) == 0
