"""ig2vec learns company, goes on learning, and is the same every time."""

from __future__ import annotations

import gzip
import json
from collections import defaultdict

import msgspec
import numpy as np
import pytest

from models.actions import Action
from models.ig2vec.model import Ig2Vec, Ig2VecConfig, Ig2VecError
from models.ig2vec.sentences import sentences
from models.ig2vec.topic_probe import probe
from tests.paths import FIXTURES

KUAIRAND = FIXTURES / "kuairand.jsonl.gz"
DAY = 24 * 3600 * 1000
T = 1_652_500_000_000
SMALL = Ig2VecConfig(dimension=8, window=4, min_count=1, sample=0.0)


def worlds(count: int, seed: int = 0, groups: str = "abc") -> list[list[str]]:
    """Sentences within one of some groups of eight accounts each."""
    rng = np.random.default_rng(seed)
    return [
        [f"{groups[n % len(groups)]}{m}" for m in rng.integers(0, 8, 5).tolist()]
        for n in range(count)
    ]


def similarity(model: Ig2Vec, a: str, b: str) -> float:
    _, (left_d, right_d) = model.vectors([a, b])
    return float(left_d @ right_d)


@pytest.fixture(scope="module")
def fitted() -> tuple[dict[str, np.ndarray], dict[str, object]]:
    return Ig2Vec.fit(worlds(300), SMALL).save_arrays()


@pytest.fixture
def model(fitted: tuple[dict[str, np.ndarray], dict[str, object]]) -> Ig2Vec:
    return Ig2Vec.load_arrays(*fitted)


def test_accounts_in_one_company_are_near(model: Ig2Vec) -> None:
    ids, vectors_nd = model.vectors()
    assert len(ids) == len(model) == 24
    assert vectors_nd.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors_nd, axis=1), 1, rtol=1e-5)
    similar_nn = vectors_nd @ vectors_nd.T
    np.fill_diagonal(similar_nn, -1)
    assert all(ids[near][0] == ids[n][0] for n, near in enumerate(similar_nn.argmax(axis=1)))


def test_equal_input_and_seed_give_equal_vectors() -> None:
    def learn(seed: int) -> Ig2Vec:
        model = Ig2Vec.fit(worlds(60), msgspec.structs.replace(SMALL, seed=seed))
        model.update(worlds(20, seed=1, groups="abd"))
        return model

    one, two, other = learn(1), learn(1), learn(2)
    assert one.vectors()[0] == two.vectors()[0]
    assert one.vectors()[1].tobytes() == two.vectors()[1].tobytes()
    assert one.space_id == two.space_id != other.space_id


def test_an_update_reports_exactly_what_changed(model: Ig2Vec) -> None:
    before = dict(zip(*model.vectors(), strict=True))
    changed = model.update([["a0", "a1", "new1", "a2"], ["b0", "new2"]])
    after = dict(zip(*model.vectors(), strict=True))
    assert set(changed) == {
        a for a in after if a not in before or not np.array_equal(before[a], after[a])
    }
    assert {"new1", "new2"} <= set(changed) <= {"a0", "a1", "a2", "b0", "new1", "new2"}
    assert len(changed) == len(set(changed))
    assert changed == [a for a in model.vectors()[0] if a in set(changed)]


def test_a_new_account_starts_in_its_company_and_stays_there(model: Ig2Vec) -> None:
    space = model.space_id
    model.update([["a0", "a1", "newcomer", "a2", "a3"]])
    near = np.mean([similarity(model, "newcomer", f"a{n}") for n in range(8)])
    far = np.mean([similarity(model, "newcomer", f"b{n}") for n in range(8)])
    assert near > 0.5
    assert near > far + 0.3
    assert model.space_id == space


def test_updates_move_an_account_to_its_new_company(model: Ig2Vec) -> None:
    before = similarity(model, "a0", "b1")
    for seed in range(20):
        model.update([["a0" if w == "b0" else w for w in s] for s in worlds(30, seed, "b")])
    assert similarity(model, "a0", "b1") > before + 0.2


@pytest.mark.parametrize("parts", [1, 2, 5])
def test_rows_that_are_read_shrink_by_the_words_read_since_however_they_are_cut(parts: int) -> None:
    still = msgspec.structs.replace(SMALL, update_alpha=0.0, shrink_passes=2.0)
    model = Ig2Vec.fit(worlds(30), still)
    before, _ = model.save_arrays()
    total = before["counts"].sum()
    for part in range(parts):
        # a0 is read first and last, a1 last only.
        a0, a1 = ("a0" if part in (0, parts - 1) else "b0"), ("a1" if part == parts - 1 else "b1")
        model.update([[a0, a1] * (30 // parts)], counted=[])
    after, _ = model.save_arrays()
    rows = [model.vectors()[0].index(account) for account in ("a0", "a1")]
    for name in ("learning", "contexts"):
        expected_2d = before[name][rows] * np.exp(-60 / (2.0 * total))
        np.testing.assert_allclose(after[name][rows], expected_2d, rtol=1e-5)
        unread = model.vectors()[0].index("b5")
        np.testing.assert_array_equal(after[name][unread], before[name][unread])


def test_a_small_batch_does_not_thin_out_its_own_words() -> None:
    """gensim's own update would drop most of these words as too frequent within the batch."""
    config = msgspec.structs.replace(SMALL, sample=0.02)
    model = Ig2Vec.fit(worlds(2000), config)
    assert set(model.update([["a0", "a1"]])) == {"a0", "a1"}


def test_accounts_are_admitted_once_they_were_seen_often_enough() -> None:
    model = Ig2Vec.fit([*worlds(60), ["a0", "rare"]], msgspec.structs.replace(SMALL, min_count=3))
    assert "rare" not in model
    assert "rare" not in model.update([["a0", "rare"]])
    restored = Ig2Vec.load_arrays(*model.save_arrays())
    assert "rare" in restored.update([["a1", "rare"]])
    assert "rare" not in model.update([["a1", "other"]])


def test_memory_of_waiting_accounts_is_bounded() -> None:
    config = msgspec.structs.replace(SMALL, min_count=3, max_waiting=10)
    model = Ig2Vec.fit([["a", "b"], ["a", "b"], ["a", "b"], ["c", "c"]], config)
    model.update([[f"once-{n}", "a"] for n in range(15)])
    arrays, _ = model.save_arrays()
    # Of 17 actions, 10 counters lose at most one each: the account that was seen most is left.
    assert arrays["waiting_counts"].tolist() == [1]
    assert "c" not in model.update([["c", "a"]])
    assert "c" in model.update([["c", "a"]])


def test_negatives_follow_the_counts_of_fit_and_updates() -> None:
    model = Ig2Vec.fit([["a", "b"]] * 3, msgspec.structs.replace(SMALL, ns_exponent=1.0))
    model.update([["a", "c"], ["a", "c"]])
    counts = dict(zip(model.vectors()[0], model.save_arrays()[0]["counts"].tolist(), strict=True))
    assert counts == {"a": 5, "b": 3, "c": 2}
    table = model.save_arrays()[0]["negatives"] / (2**31 - 1)
    assert table.tolist() == pytest.approx(np.cumsum(list(counts.values())) / 10)


def test_a_small_change_of_the_counts_leaves_the_table_of_negatives(model: Ig2Vec) -> None:
    before = model.save_arrays()[0]["negatives"]
    model.update([["a0", "new"]])
    arrays = model.save_arrays()[0]
    assert np.array_equal(arrays["negatives"], before)
    assert len(arrays["counts"]) == len(before) + 1
    model.update(worlds(10))
    assert len(model.save_arrays()[0]["negatives"]) == len(before) + 1


def test_counts_halve_with_time() -> None:
    config = msgspec.structs.replace(SMALL, ns_exponent=1.0, count_half_life_ms=DAY)
    model = Ig2Vec.fit([["a", "b"]] * 4, config, now_ms=T)
    model.update([["a", "c"]] * 2, now_ms=T + DAY)
    arrays, _ = model.save_arrays()
    assert arrays["counts"].tolist() == [4, 2, 2]
    assert (arrays["negatives"] / (2**31 - 1)).tolist() == pytest.approx([0.5, 0.75, 1])
    assert arrays["seen"].tolist() == [T + DAY, T, T + DAY]


def test_accounts_that_vanish_are_forgotten_and_may_come_back() -> None:
    config = msgspec.structs.replace(SMALL, min_count=2)
    model = Ig2Vec.fit(worlds(300), config, now_ms=T)
    model.update(worlds(20, 1, "ab"), now_ms=T + DAY)
    before = dict(zip(*model.vectors(), strict=True))
    gone = model.expire(T + 1)
    assert set(gone) == {f"c{n}" for n in range(8)}
    assert model.expire(T + 1) == []
    after = dict(zip(*model.vectors(), strict=True))
    assert list(after) == [account for account in before if account not in gone]
    assert all(np.array_equal(before[account], vector_d) for account, vector_d in after.items())
    arrays, _ = model.save_arrays()
    assert all(len(arrays[name]) == 16 for name in ("counts", "seen", "contexts", "negatives"))
    assert "c1" not in model.update([["a0", "c1"]], now_ms=T + DAY)
    assert "c1" in model.update([["a0", "c1"]], now_ms=T + DAY)


def test_everybody_may_vanish() -> None:
    model = Ig2Vec.fit(worlds(30), SMALL, now_ms=T)
    assert len(model.expire(T + DAY)) == 24
    model = Ig2Vec.load_arrays(*model.save_arrays())
    assert len(model) == 0
    assert model.vectors()[1].shape == (0, 8)
    assert set(model.update([["x", "y"]], now_ms=T + DAY)) == {"x", "y"}


def test_there_is_a_most_of_accounts_and_expiry_makes_room() -> None:
    config = msgspec.structs.replace(SMALL, max_accounts=20)
    model = Ig2Vec.fit([*worlds(300, 0, "ab"), ["c0", "c1", "c2", "c3", "c4"]], config, now_ms=T)
    # The most frequent get the rows.
    assert len(model) == 20
    assert not {"x", "y"} & set(model.update([["x", "y"], ["a0", "b0"]], now_ms=T + 1))
    [gone] = model.expire(T)
    assert gone not in ("a0", "b0")
    assert len({"x", "y"} & set(model.update([["x", "y"]], now_ms=T + 2))) == 1


def test_an_unwanted_account_leaves_the_company_of_the_session() -> None:
    """Against the same sessions without hard negatives."""

    def company(weight: float) -> tuple[float, float]:
        as_learned = {"average_passes": 0.0, "shrink_passes": 0.0}
        config = msgspec.structs.replace(SMALL, hard_negative_weight=weight, **as_learned)
        model = Ig2Vec.fit(worlds(300), config)
        for seed in range(10):
            pairs = [(f"a{n}", "a0") for n in range(1, 8)]
            rest = [[word for word in words if word != "a0"] for words in worlds(10, seed, "a")]
            changed = model.update(rest, hard_negatives=[*pairs, ("a1", "unknown")])
            assert ("a0" in changed) == (weight > 0)
        near = [similarity(model, "a0", f"a{n}") for n in range(1, 8)]
        return float(np.mean(near)), similarity(model, "a1", "a2")

    (ignored, others_before), (pushed, others) = company(0.0), company(3.0)
    assert pushed < ignored - 0.05
    # The company itself stays together.
    assert others > others_before - 0.05


def test_a_fit_takes_hard_negatives_too() -> None:
    """Of an account in the company of both a and b, which viewers of a do not want."""

    def leaning(pairs: list[tuple[str, str]]) -> float:
        between = [[f"{group}{n}", "between", f"{group}{n + 1}"] for group in "ab" for n in (1, 3)]
        config = msgspec.structs.replace(SMALL, hard_negative_weight=3.0)
        model = Ig2Vec.fit(worlds(60) + between, config, hard_negatives=pairs)
        near_a, near_b = (
            np.mean([similarity(model, "between", f"{group}{n}") for n in range(8)])
            for group in "ab"
        )
        return float(near_a - near_b)

    assert leaning([(f"a{n}", "between") for n in range(8)]) < leaning([]) - 0.1


def test_an_account_that_very_many_do_not_want_stays_finite(model: Ig2Vec) -> None:
    changed = model.update([], hard_negatives=[("a1", "a0"), ("b1", "a0")] * 5_000)
    assert set(changed) == {"a0", "a1", "b1"}
    vectors_nd = model.save_arrays()[0]["vectors"]
    assert np.abs(vectors_nd).max() < 10


def test_saving_between_updates_changes_nothing() -> None:
    """At every step, with growth, decay, expiry and hard negatives on the way."""
    config = msgspec.structs.replace(SMALL, min_count=2, max_waiting=5, sample=0.02)

    def learn(reload: bool) -> list[object]:
        model = Ig2Vec.fit(worlds(60), config, now_ms=T)
        told: list[object] = []
        for step in range(1, 7):
            groups = "abdef"[step % 3 : step % 3 + 3]
            pairs = [("a1", f"{groups[0]}2")]
            now_ms = T + step * 20 * DAY
            told.append(model.update(worlds(9, step, groups), hard_negatives=pairs, now_ms=now_ms))
            told.append(model.expire(now_ms - 50 * DAY))
            if reload:
                arrays, meta = model.save_arrays()
                model = Ig2Vec.load_arrays(arrays, json.loads(json.dumps(meta)))
        arrays, meta = model.save_arrays()
        return [*told, meta, {name: array.tobytes() for name, array in arrays.items()}]

    straight = learn(reload=False)
    assert straight == learn(reload=False) == learn(reload=True)
    assert any(straight[1:12:2]), "nothing expired on the way"


def test_a_loaded_model_learns_on_exactly_as_the_saved_one(model: Ig2Vec) -> None:
    model.update(worlds(20, seed=4, groups="ad"))
    arrays, meta = model.save_arrays()
    loaded = Ig2Vec.load_arrays(arrays, json.loads(json.dumps(meta)))
    assert loaded.space_id == model.space_id
    more = worlds(20, seed=5, groups="be")
    assert loaded.update(more) == model.update(more)
    assert loaded.vectors()[0] == model.vectors()[0]
    assert loaded.vectors()[1].tobytes() == model.vectors()[1].tobytes()


def test_saved_arrays_do_not_change_with_the_model(model: Ig2Vec) -> None:
    arrays, _ = model.save_arrays()
    before = {name: array.copy() for name, array in arrays.items()}
    model.update(worlds(10))
    assert all(np.array_equal(before[name], array) for name, array in arrays.items())


def test_vectors_of_some_accounts_leave_out_the_unknown(model: Ig2Vec) -> None:
    ids, vectors_nd = model.vectors(["b1", "unknown", "a0"])
    assert ids == ["b1", "a0"]
    assert vectors_nd.shape == (2, 8)
    everyone = dict(zip(*model.vectors(), strict=True))
    np.testing.assert_array_equal(vectors_nd[1], everyone["a0"])
    assert model.vectors([])[1].shape == (0, 8)


def test_nothing_to_learn_from(model: Ig2Vec) -> None:
    with pytest.raises(Ig2VecError, match="no account among 2 has 5 actions"):
        Ig2Vec.fit([["a", "b"]], Ig2VecConfig(min_count=5))
    with pytest.raises(Ig2VecError, match="no account among 0"):
        Ig2Vec.fit([])
    before = model.vectors()[1].tobytes()
    assert model.update([]) == model.update([[]]) == []
    assert model.vectors()[1].tobytes() == before


def test_one_endless_session_is_learned_whole(model: Ig2Vec) -> None:
    endless = [f"x{n}" for n in range(12_000)]
    assert len(model.update([endless])) == 12_000
    assert np.isfinite(model.vectors()[1]).all()


def test_one_endless_session_does_not_outweigh_the_others(model: Ig2Vec) -> None:
    """A viewer who went through 10,000 accounts, all groups among them."""
    rng = np.random.default_rng(3)
    everyone = [f"{group}{n}" for group in "abc" for n in range(8)]
    endless = [
        (str(account), int(Action.LIKE))
        for account in rng.permutation([*everyone * 100, *(f"x{n}" for n in range(7_600))])
    ]
    model.update(sentences([endless]))
    for group, other in ("ab", "bc", "ca"):
        assert similarity(model, f"{group}1", f"{group}2") > 0.5
        assert similarity(model, f"{group}1", f"{other}2") < 0.5


@pytest.mark.parametrize(
    "odd", ["", " ", "a\x00b", "e\u0301", "\u00e9", "👩‍👩‍👧", "عربي", "\u202e", "x" * 10_000]
)
def test_odd_ids_are_ids_as_they_are(model: Ig2Vec, odd: str) -> None:
    model.update([["a0", odd, "a1"]])
    loaded = Ig2Vec.load_arrays(*model.save_arrays())
    assert model.vectors([odd])[0] == loaded.vectors([odd])[0] == [odd]
    assert len(loaded) == 25


def test_a_world_of_one_account() -> None:
    model = Ig2Vec.fit([["only", "only"]], SMALL)
    assert model.vectors()[0] == ["only"]
    before_1d = model.vectors()[1]
    assert np.isfinite(before_1d).all()
    model.update([["only"]])
    np.testing.assert_allclose(model.vectors()[1], before_1d, rtol=1e-5)
    assert Ig2Vec.load_arrays(*model.save_arrays()).vectors()[0] == ["only"]


def test_a_table_of_negatives_that_does_not_fit_is_refused(model: Ig2Vec) -> None:
    arrays, meta = model.save_arrays()
    right = arrays["negatives"]
    for wrong in (right[:0], np.append(right, right[-1:]), right[::-1].copy()):
        with pytest.raises(Ig2VecError, match="negatives"):
            Ig2Vec.load_arrays(arrays | {"negatives": wrong}, meta)
    del arrays["negatives"]
    with pytest.raises(Ig2VecError, match="negatives"):
        Ig2Vec.load_arrays(arrays, meta)


@pytest.mark.parametrize("lost", ["ids", "vectors", "counts", "contexts", "seen"])
def test_arrays_of_something_else_are_refused(model: Ig2Vec, lost: str) -> None:
    arrays, meta = model.save_arrays()
    with pytest.raises(Ig2VecError):
        Ig2Vec.load_arrays({name: a for name, a in arrays.items() if name != lost}, meta)
    with pytest.raises(Ig2VecError):
        Ig2Vec.load_arrays(arrays | {lost: arrays[lost][:-1].copy()}, meta)
    with pytest.raises(Ig2VecError):
        Ig2Vec.load_arrays(arrays, {})


def test_real_sessions_say_more_about_topics_than_chance() -> None:
    topics: dict[str, str | None] = {}
    engaged: dict[str, list[tuple[str, int]]] = defaultdict(list)
    codes = {"events.like": Action.LIKE, "events.save": Action.SAVE}
    with gzip.open(KUAIRAND, "rt") as file:
        for record in map(json.loads, file):
            if record["topic"] == "catalog.accounts":
                topics[record["account_id"]] = record.get("topics", [None])[0]
            elif record["topic"] in codes or record.get("long"):
                action = codes.get(record["topic"], Action.LONG_VIEW)
                engaged[record["viewer_id"]].append((record["author_id"], action))
    model = Ig2Vec.fit(sentences(engaged.values()), Ig2VecConfig(epochs=10, min_count=3))
    ids, vectors_nd = model.vectors()
    score = probe(vectors_nd, [topics[account] for account in ids])
    assert score.low > score.random_f1
    assert score.low > score.majority_f1
