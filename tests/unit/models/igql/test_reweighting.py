"""Other weights in the text of a query."""

from __future__ import annotations

import pytest

from models.igql.parser import parse
from models.igql.reweighting import outer_blend, reweighted
from models.queries import explore_text, planned


def test_weights_change_and_nothing_else_does() -> None:
    text = explore_text()
    weights = [0.5, 0.1, 0.1, 0.1, 0.1, 0.05, 0.04, 0.01]
    found = reweighted(text, weights)
    blend = outer_blend(parse(found))
    assert blend is not None
    assert [branch.weight.value for branch in blend.branches] == weights
    planned(found)
    was = outer_blend(parse(text))
    assert was is not None
    assert reweighted(found, [branch.weight.value for branch in was.branches]) == text


def test_weights_of_one_line_and_of_inner_blends() -> None:
    text = "# ünï\nblend(1: blend(2: user.popular(), 3: user.fresh()), 70: user.fresh()).take(5)"
    assert reweighted(text, [0.25, 0.75]) == (
        "# ünï\nblend(0.25: blend(2: user.popular(), 3: user.fresh()), 0.75: user.fresh()).take(5)"
    )


@pytest.mark.parametrize(
    ("text", "branches"), [("user.popular()", 0), ("blend(1: user.popular())", 1)]
)
def test_a_blend_of_another_size_is_refused(text: str, branches: int) -> None:
    with pytest.raises(ValueError, match=f"2 weights for a blend of {branches} branches"):
        reweighted(text, [0.5, 0.5])
