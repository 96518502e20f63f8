"""What viewers did lately, and what an update reads of it."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from models.actions import Action
from models.ig2vec.histories import Histories, HistoriesConfig, Step

viewers = st.sampled_from("uvwxyz")
authors = st.sampled_from(["a", "b", "c", "d", "e", "f"])
visits = st.lists(st.tuples(viewers, st.lists(authors, min_size=1, max_size=5)), max_size=30)


def likes(authors: str | list[str], ts_ms: int = 1) -> list[Step]:
    return [Step(author, Action.LIKE, ts_ms) for author in authors]


def test_a_session_of_one_account_is_learned_in_its_viewers_company() -> None:
    histories = Histories(HistoriesConfig(rehearsal=0, company=2))
    histories.add("v", likes("abc"))
    histories.take_new()
    assert histories.lesson() == ([], [], [])
    histories.add("v", likes("d"))
    assert histories.lesson() == ([["b", "c", "d"]], ["d"], [])
    assert histories.lesson() == ([], [], [])


def test_rehearsal_reads_other_viewers_as_often_as_asked_but_counts_only_what_is_new() -> None:
    histories = Histories(HistoriesConfig(rehearsal=10))
    for n in range(50):
        histories.add(f"w{n}", likes([f"a{n}", f"b{n}"]))
    histories.take_new()
    histories.add("v", likes("xyz"))
    lesson = histories.lesson()
    assert lesson.words == ["x", "y", "z"]
    assert ["x", "y", "z"] in lesson.sentences
    assert 30 <= sum(map(len, lesson.sentences)) - 3 <= 32


def test_see_fewers_are_no_words_and_push_apart() -> None:
    histories = Histories(HistoriesConfig(rehearsal=0))
    histories.add("v", [*likes("ab"), Step("c", Action.SEE_FEWER, 2)])
    assert histories.lesson() == ([["a", "b"]], ["a", "b"], [("b", "c"), ("a", "c")])


def test_what_is_older_than_the_window_is_left_out() -> None:
    histories = Histories(HistoriesConfig(rehearsal=0))
    histories.add("v", [*likes("ab", 1), *likes("cd", 5)])
    # Event times that are younger than the window is long.
    assert histories.corpus(since_ms=-5) == [["a", "b", "c", "d"]]
    assert histories.corpus(since_ms=1) == [["a", "b", "c", "d"]]
    assert histories.corpus(since_ms=5) == [["c", "d"]]
    assert histories.lesson(since_ms=5) == ([["c", "d"]], ["c", "d"], [])


def test_a_sentence_grows_with_its_viewer() -> None:
    histories = Histories()
    histories.add("v", likes("ab"))
    assert histories.corpus() == [["a", "b"]]
    histories.add("v", likes("c"))
    assert histories.corpus() == [["a", "b", "c"]]


def test_what_a_fit_took_in_vain_is_new_again() -> None:
    histories = Histories(HistoriesConfig(rehearsal=0, max_viewers=2))
    histories.add("u", likes("ab"))
    histories.add("v", likes("cd"))
    taken = histories.take_new()
    histories.add("v", likes("e"))
    histories.add("w", likes("fg"))
    histories.put_back(taken)
    assert sorted(histories.lesson().words) == ["c", "d", "e", "f", "g"]


def test_rehearsal_is_bounded() -> None:
    histories = Histories(HistoriesConfig(max_rehearsed=10))
    histories.add("v", likes("ab" * 50))
    assert sum(map(len, histories.lesson().sentences)) == 200


@given(st.integers(1, 12), st.integers(1, 30), st.integers(0, 5))
def test_nobody_is_rehearsed_again_before_the_others_had_their_turn(
    others: int, lessons: int, seed: int
) -> None:
    histories = Histories(HistoriesConfig(rehearsal=1, company=0, seed=seed))
    for n in range(others):
        histories.add(f"w{n}", likes([f"a{n}", f"b{n}"]))
    histories.take_new()
    turns: Counter[str] = Counter({f"a{n}": 0 for n in range(others)})
    for _ in range(lessons):
        histories.add("v", likes("x"))
        turns.update(words[0] for words in histories.lesson().sentences if words != ["x"])
        assert max(turns.values()) - min(turns.values()) <= 1


@given(st.lists(st.integers(0, 30), min_size=1, max_size=40), st.integers(1, 5))
def test_rehearsal_goes_on_while_viewers_come_and_go(visits: list[int], max_viewers: int) -> None:
    histories = Histories(HistoriesConfig(rehearsal=50, company=0, max_viewers=max_viewers))
    for n in visits:
        histories.add(f"w{n}", likes([f"a{n}", f"b{n}"]))
        lesson = histories.lesson()
        # Far more words are wanted than there are: as many histories are read as there are.
        assert len(lesson.sentences) == 1 + len(histories)
        held = {word for words in histories.corpus() for word in words}
        assert {word for words in lesson.sentences for word in words} <= held


def test_lessons_are_the_same_for_the_same_seed() -> None:
    def lessons(seed: int) -> list[list[list[str]]]:
        histories = Histories(HistoriesConfig(seed=seed))
        for n in range(20):
            histories.add(f"w{n}", likes([f"a{n}", f"b{n}"]))
        return [histories.lesson().sentences]

    assert lessons(1) == lessons(1)
    assert lessons(1) != lessons(2)


@settings(max_examples=60)
@given(visits, st.integers(1, 4), st.integers(1, 6))
def test_bounds_hold_and_the_newest_stay(
    visits: list[tuple[str, list[str]]], max_viewers: int, max_steps: int
) -> None:
    config = HistoriesConfig(max_viewers=max_viewers, max_steps=max_steps, rehearsal=2)
    histories = Histories(config)
    expected: dict[str, list[str]] = {}
    for viewer, of_visit in visits:
        histories.add(viewer, likes(of_visit))
        expected[viewer] = (expected.pop(viewer, []) + of_visit)[-max_steps:]
        expected = dict(list(expected.items())[-max_viewers:])
        assert len(histories) == len(expected)
        assert histories.accounts == len({of for steps in expected.values() for of in steps})
    lesson = histories.lesson()
    # All is new, runs of one account are one word.
    runs = [
        author
        for of_viewer in expected.values()
        for n, author in enumerate(of_viewer)
        if n == 0 or of_viewer[n - 1] != author
    ]
    assert Counter(lesson.words) == Counter(runs)
    known = {author for of_viewer in expected.values() for author in of_viewer}
    assert {word for words in lesson.sentences for word in words} <= known
    assert not histories.lesson().words
