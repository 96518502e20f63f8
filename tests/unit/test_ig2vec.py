"""ig2vec learns company, goes on learning, and is the same every time."""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from pathlib import Path

import msgspec
import numpy as np
import pytest

from models.events import Action
from models.ig2vec import Ig2Vec, Ig2VecConfig, Ig2VecError
from models.sentences import sentences
from models.topic_probe import probe

KUAIRAND = Path(__file__).parent.parent / "fixtures" / "kuairand.jsonl.gz"
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
    for seed in range(10):
        model.update([["a0" if w == "b0" else w for w in s] for s in worlds(30, seed, "b")])
    assert similarity(model, "a0", "b1") > before + 0.2


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
    model.update([[f"once-{n}", "a"] for n in range(50)])
    arrays, _ = model.save_arrays()
    assert len(arrays["waiting_counts"]) <= 10
    # The account that was seen most is still remembered.
    assert "c" in model.update([["c", "a"]])


def test_negatives_follow_the_counts_of_fit_and_updates() -> None:
    model = Ig2Vec.fit([["a", "b"]] * 3, msgspec.structs.replace(SMALL, ns_exponent=1.0))
    model.update([["a", "c"], ["a", "c"]])
    counts = dict(zip(model.vectors()[0], model.save_arrays()[0]["counts"].tolist(), strict=True))
    assert counts == {"a": 5, "b": 3, "c": 2}
    table = model._model.cum_table / model._model.cum_table[-1]
    assert table.tolist() == pytest.approx(np.cumsum(list(counts.values())) / 10)


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


@pytest.mark.parametrize("lost", ["ids", "vectors", "counts", "contexts"])
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
