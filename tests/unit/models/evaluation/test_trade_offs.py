"""Settings that trade goals against each other: what no other beats, what is chosen, the search."""

from models.evaluation.trade_offs import Goals, Knob, Tried, best, front, search

GOALS = Goals(more=("worth", "variety"), at_most={"see_fewer": 0.5})


def tried(worth: float, variety: float, see_fewer: float = 0.0) -> Tried:
    figures = {"worth": worth, "variety": variety, "see_fewer": see_fewer}
    kept = all(of <= 0 for of in GOALS.excess(figures))
    return Tried(knobs={"x": worth}, figures=figures, kept=kept)


def test_the_front_is_what_no_other_that_keeps_the_limits_beats() -> None:
    a, b, beaten, too_much = tried(3, 1), tried(1, 3), tried(1, 1), tried(9, 9, 0.6)
    assert front([beaten, b, too_much, a], GOALS) == [a, b]
    assert best([beaten, b, too_much, a], GOALS) is a
    assert best([too_much], GOALS) is None
    assert front([a, a], GOALS) == [a, a]


def test_limits_are_kept_on_both_sides() -> None:
    goals = Goals(more=("a", "b"), at_most={"a": 2.0}, at_least={"b": 1.0})
    assert goals.excess({"a": 1.5, "b": 1.25}) == [-0.5, -0.25]
    assert max(goals.excess({"a": 2.5, "b": 2.0})) == 0.5


def test_a_search_begins_at_the_start_and_comes_near_the_best() -> None:
    def figures(setting: dict[str, float]) -> dict[str, float]:
        x, y = setting["x"], setting["y"]
        return {"worth": -((x - 0.7) ** 2) - (y - 0.2) ** 2, "variety": 0.1 * y, "see_fewer": y}

    knobs = {"x": Knob(low=0.0, high=1.0), "y": Knob(low=0.01, high=1.0, log=True)}
    told: list[int] = []
    found = search(
        knobs, {"x": 5.0, "y": 0.5}, figures, GOALS, 60, 3, lambda done, of: told.append(done)
    )
    assert found[0].knobs == {"x": 1.0, "y": 0.5}
    assert told == list(range(1, 61))
    chosen = best(found, GOALS)
    assert chosen is not None
    assert chosen.figures["worth"] > -0.02
    assert chosen.figures["see_fewer"] <= 0.5
    again = search(knobs, {"x": 5.0, "y": 0.5}, figures, GOALS, 60, 3, lambda done, of: None)
    assert again == found
