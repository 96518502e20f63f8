"""Sessions become sentences of accounts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from models.actions import POSITIVE, Action
from models.ig2vec.sentences import SentenceConfig, hard_negatives, sentence, sentences

LIKE, SAVE, FEWER, VIEW, LONG = (
    Action.LIKE,
    Action.SAVE,
    Action.SEE_FEWER,
    Action.VIEW,
    Action.LONG_VIEW,
)


def test_likes_saves_and_long_views_are_words_in_order() -> None:
    session = [("a", LONG), ("b", VIEW), ("c", LIKE), ("d", FEWER), ("a", SAVE)]
    assert sentence(session) == ["a", "c", "a", "a"]


def test_runs_collapse_by_setting_and_the_strongest_action_counts() -> None:
    session = [("a", LONG), ("a", SAVE), ("a", LIKE), ("b", LIKE), ("a", LIKE)]
    assert sentence(session) == ["a", "a", "b", "a"]
    assert sentence(session, SentenceConfig(repeats=1)) == ["a", "b", "a"]
    apart = SentenceConfig(collapse_runs=False)
    assert sentence(session, apart) == ["a", "a", "a", "a", "b", "a"]


def test_what_comes_between_does_not_break_a_run() -> None:
    assert sentence([("a", LIKE), ("c", VIEW), ("a", LIKE), ("b", LIKE)]) == ["a", "b"]


def test_an_account_to_see_fewer_of_is_no_word() -> None:
    assert sentence([("a", LIKE), ("b", LIKE), ("c", LONG), ("a", FEWER)]) == ["b", "c"]
    assert sentence([("a", LIKE), ("b", LIKE), ("a", FEWER)]) == []


def test_sessions_about_one_account_say_nothing() -> None:
    assert sentence([("a", SAVE), ("a", SAVE)]) == []
    assert sentence([]) == []
    assert sentence([("a", LIKE)], SentenceConfig(min_accounts=1)) == ["a"]
    made = sentences([[("a", LIKE)], [("a", LIKE), ("b", LIKE)], []])
    assert list(made) == [["a", "b"]]


def test_a_session_of_ten_thousand_accounts_counts_as_a_busy_one() -> None:
    endless = [(f"a{n}", SAVE) for n in range(10_000)]
    words = sentence(endless)
    assert words == [f"a{n}" for n in range(9_750, 10_000) for _ in range(2)]
    pairs = hard_negatives([*endless, ("x", FEWER), ("y", FEWER)])
    assert pairs == [(f"a{n}", "y") for n in range(9_999, 9_499, -1)]
    assert len(hard_negatives([("a", LIKE), *((f"x{n}", FEWER) for n in range(10_000))])) == 500
    # What is left of it may say too little.
    assert sentence([("a", LIKE), ("b", SAVE)], SentenceConfig(max_words=2)) == []


def test_hard_negatives_are_what_the_session_wanted_against_what_it_did_not() -> None:
    session = [("a", LIKE), ("x", FEWER), ("b", SAVE), ("c", VIEW), ("a", LONG), ("y", FEWER)]
    assert hard_negatives(session) == [("a", "y"), ("b", "y"), ("a", "x"), ("b", "x")]
    assert hard_negatives([("a", LIKE), ("b", LONG)]) == []
    assert hard_negatives([("x", LIKE), ("x", FEWER)]) == hard_negatives([]) == []


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(list(Action)))))
def test_hard_negatives_pair_no_account_with_itself_or_twice(
    session: list[tuple[str, int]],
) -> None:
    pairs = hard_negatives(session)
    unwanted = {a for a, action in session if action == FEWER}
    wanted = set(sentence(session, SentenceConfig(min_accounts=1)))
    assert len(pairs) == len(set(pairs))
    assert set(pairs) == {(a, b) for a in wanted for b in unwanted}


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(list(Action)))), st.integers(1, 3)
)
def test_every_wanted_account_and_no_other(session: list[tuple[str, int]], weight: int) -> None:
    unwanted = {a for a, action in session if action == FEWER}
    wanted = {a for a, action in session if action in POSITIVE} - unwanted
    words = sentence(session, SentenceConfig(repeats=weight))
    assert set(words) == (wanted if len(wanted) >= 2 else set())
