"""Checking: what the planner is given, what scopes know, and that every mistake is told at once."""

from collections.abc import Sequence
from typing import Any

import pytest

from models.igql.builder import user
from models.igql.checked import CheckedBlend, CheckedCall, CheckedQuery
from models.igql.checker import check, load
from models.igql.contradictions import contradiction
from models.igql.environment import Column, Environment, Limits
from models.igql.errors import (
    MOST_ERRORS,
    IgqlArgumentError,
    IgqlError,
    IgqlLimitError,
    IgqlNameError,
    IgqlSyntaxError,
    IgqlTypeError,
    nearest,
)
from models.igql.library import operators
from models.igql.parser import parse
from models.igql.registry import ColumnType, Cost, Kind, Parameter, SetType, count, named
from models.igql.tree import AllOf, Call, Chain, Comparison, Name, Number, User
from models.queries import environment
from tests.paths import ROOT

ENVIRONMENT = environment()
PAGE = (ROOT / "docs" / "igql.md").read_text()
DEFAULT = (
    "blend(1: user.liked(30).account_nn().posted_media(), 3: user.popular(200))"
    ".filter(media_age_hours < 72, nsfw=0.1, spam < 0.5).diversify_by(seed).take(50)"
)


def errors(text: str, environment: Environment = ENVIRONMENT) -> Sequence[IgqlError]:
    with pytest.raises(IgqlError) as caught:
        load(text, environment)
    return caught.value.errors


def calls(query: CheckedQuery) -> list[str]:
    return [call.operator.name for call in query.chain.calls]


def test_authors_are_put_in_between_media_and_accounts() -> None:
    query = load("user.liked().account_nn().posted_media()", ENVIRONMENT)
    assert calls(query) == ["liked", "authors", "account_nn", "posted_media"]
    authors = query.chain.calls[1]
    assert authors.inserted and authors.takes is SetType.MEDIA
    assert authors.gives is SetType.ACCOUNTS
    assert not any(call.inserted for call in query.chain.calls if call is not authors)


def test_what_keeps_its_set_needs_no_authors() -> None:
    query = load(
        "user.let(a=user_id).followed().let(b=user_id).take(5).posted_media()", ENVIRONMENT
    )
    assert calls(query) == ["let", "followed", "let", "take", "posted_media"]
    assert [call.gives for call in query.chain.calls] == [
        SetType.VIEWER, SetType.ACCOUNTS, SetType.ACCOUNTS, SetType.ACCOUNTS, SetType.MEDIA,
    ]  # fmt: skip


def test_every_parameter_has_its_value() -> None:
    query = load(DEFAULT, ENVIRONMENT)
    filtered, grouped, taken = query.chain.calls
    young = Comparison(Name("media_age_hours"), "<", Number(72))
    clean = Comparison(Name("spam"), "<", Number(0.5))
    assert filtered.arguments == {
        "predicates": AllOf((young, clean)),
        "non_recommendable_model_threshold": None,
        "nsfw": 0.1,
        "spam": None,
        "misinformation": None,
        "language": None,
        "max_age_hours": None,
    }
    assert grouped.arguments == {"column": "seed", "method": "round_robin", "strength": 0.5}
    assert taken.arguments == {"count": 50}
    assert query.tree == parse(DEFAULT) and query.text == DEFAULT


def test_bindings_are_pairs_in_their_order() -> None:
    query = load("user.liked().let(b=seed, a=media_id).diversify_by(a)", ENVIRONMENT)
    assert query.chain.calls[1].arguments == {"bindings": (("b", "seed"), ("a", "media_id"))}


def test_weights_sum_to_one() -> None:
    head = load(DEFAULT, ENVIRONMENT).chain.head
    assert isinstance(head, CheckedBlend)
    assert [branch.weight for branch in head.branches] == [0.25, 0.75]


def test_cost_adds_up_over_calls_and_branches() -> None:
    query = load(DEFAULT, ENVIRONMENT)
    head = query.chain.head
    assert isinstance(head, CheckedBlend)
    inner = [branch.query for branch in head.branches]
    every: list[CheckedCall] = [*query.chain.calls, *(c for part in inner for c in part.calls)]
    assert query.chain.cost.microseconds == pytest.approx(sum(c.cost.microseconds for c in every))
    assert query.chain.cost.rows == 50
    assert query.chain.calls[0].cost.rows <= sum(part.cost.rows for part in inner)


def test_a_query_above_the_limits_names_its_dearest_operator() -> None:
    dear = Environment(operators, limits=Limits(microseconds=500.0))
    [error] = errors("user.liked(300).account_nn().posted_media().take(5)", dear)
    assert isinstance(error, IgqlLimitError)
    assert error.message.startswith("the query may take ")
    assert "above the limit of 0.5 ms; account_nn takes most" in error.message
    assert (error.line, error.column) == (1, 17)

    small = Environment(operators, limits=Limits(rows=100.0))
    [error] = errors("blend(1: user.popular(5), 1: user.fresh(101)).take(3)", small)
    assert error.message.startswith("fresh may give 101 rows, above the limit of 100")


def test_all_mistakes_are_told_in_the_order_of_the_text() -> None:
    found = errors(
        "blend(-1: user.popular(0), 1: user.fresh().filter(nsf < 2)\n"
        ".rank(ranking_model=best)).take(count=many, count=3)"
    )
    assert [type(error).__name__ for error in found] == [
        "IgqlBranchError", "IgqlArgumentError", "IgqlNameError", "IgqlNameError",
        "IgqlArgumentError", "IgqlArgumentError",
    ]  # fmt: skip
    places = [(error.line, error.column) for error in found]
    assert places == sorted(places)


def test_one_message_has_them_all() -> None:
    with pytest.raises(IgqlError) as caught:
        load("user.popular(0).take()", ENVIRONMENT)
    assert str(caught.value) == "\n".join([*map(str, caught.value.errors), "2 mistakes"])
    assert (caught.value.line, caught.value.column) == (1, 14)


def test_a_text_wrong_all_over_is_not_checked_to_its_end() -> None:
    with pytest.raises(IgqlError) as caught:
        load("user.popular()" + ".filter(nsf < 1)" * 500, ENVIRONMENT)
    assert len(caught.value.errors) == MOST_ERRORS
    assert str(caught.value).endswith("20 mistakes, and the rest is not checked")


def test_behind_an_unknown_operator_only_what_is_sure_is_said() -> None:
    found = errors("user.zzz().filter(anything < 1).diversify_by(whatever).take(0)")
    assert [error.message.partition(" ")[0] for error in found] == ["zzz", "count"]
    [error] = errors("blend(1: user.lett(a=user_id).popular()).diversify_by(a)")
    assert error.message == "lett is no operator of the viewer; did you mean let?"


def test_a_misspelt_operator_is_taken_for_the_one_that_was_meant() -> None:
    found = errors("user.likd().take(5).fresh()")
    assert [type(error) for error in found] == [IgqlNameError, IgqlTypeError]


def test_columns_bound_in_every_branch_are_there_behind_the_blend() -> None:
    branch = "user.let(me=user_id).popular({})"
    load(f"blend(1: {branch.format(1)}, 1: {branch.format(2)}).diversify_by(me)", ENVIRONMENT)
    [error] = errors(f"blend(1: {branch.format(1)}, 1: user.fresh()).diversify_by(me)")
    assert "bound in some branches" in error.message


def test_a_bound_name_is_free_in_another_branch() -> None:
    load("blend(1: user.let(me=user_id).popular(), 1: user.let(me=user_id).fresh())", ENVIRONMENT)


@pytest.mark.parametrize(
    "filters",
    [
        # A ranker gives another score, so both may hold of one media.
        ".filter(score > 2).rank().filter(score < 1)",
        ".filter(nsfw < 0.5 or spam < 0.5).filter(nsfw > 0.5)",
        ".filter(nsfw >= 0.5, nsfw <= 0.5)",
        ".filter(nsfw == 0.5, nsfw != 0.4)",
        '.filter(language != "ru", language != "en")',
        ".filter(nsfw >= 1 or nsfw <= 0)",
        ".filter(rank == 0)",
    ],
)
def test_what_may_pass_is_no_contradiction(filters: str) -> None:
    load(f"user.popular(){filters}", ENVIRONMENT)


@pytest.mark.parametrize(
    "filters",
    [
        ".filter(nsfw < 0.5).exclude_seen().rank().take(5).filter(nsfw > 0.5)",
        ".filter(nsfw == 0.5, nsfw != 0.5)",
        ".filter(nsfw != 0.5).filter(nsfw == 0.5)",
        ".filter(nsfw > 0.5, nsfw <= 0.5)",
        ".filter(not nsfw <= 1)",
        ".filter(nsfw == 1.5)",
        ".filter((nsfw < 0.2 or nsfw < 0.3) and (spam < 0.5 or spam > 0.6) and nsfw > 0.4)",
        ".filter(not not (nsfw < 0.2 and not nsfw < 0.2))",
    ],
)
def test_what_cannot_pass_is_refused(filters: str) -> None:
    [error] = errors(f"user.popular(){filters}")
    assert error.message.startswith("nothing passes ")


def test_a_chain_filters_media_of_its_own() -> None:
    # The media that co_engaged brings are others than those that were filtered.
    load("user.liked().filter(nsfw < 0.1).authors().posted_media().filter(nsfw > 0.2)", ENVIRONMENT)


def test_knowledge_grows_with_what_is_known() -> None:
    known: dict[str, Any] = {}
    assert contradiction([Comparison(Name("a"), "<", Number(1))], {}, known) is None
    found = contradiction([Comparison(Name("a"), ">=", Number(1))], {}, known)
    assert found is not None and found.reason == "nothing passes both a < 1 and a >= 1"


def test_a_tree_without_text_is_told_in_its_canonical_text() -> None:
    with pytest.raises(IgqlArgumentError) as caught:
        check(user.popular(20_000).take(3).build(), ENVIRONMENT)
    assert str(caught.value) == (
        "line 2, column 10: max_num_to_retrieve is a whole number from 1 to 10000, not 20000\n"
        "  .popular(20000)\n"
        "           ^^^^^"
    )


@pytest.mark.parametrize("value", [float("inf"), float("nan"), 1e300, 10**400])
def test_numbers_that_no_text_has_are_refused(value: float) -> None:
    with pytest.raises(IgqlError):
        check(user.popular().filter(nsfw=value).build(), ENVIRONMENT)


def test_a_tree_that_says_what_no_text_says_is_refused() -> None:
    smuggled = Chain(User(), (Call("popular().rank"),))
    with pytest.raises(IgqlSyntaxError):
        check(smuggled, ENVIRONMENT)


def test_what_user_code_registers_is_checked_like_the_rest() -> None:
    mine = operators.copy()

    @mine.register(
        takes=SetType.VIEWER,
        gives=SetType.MEDIA,
        parameters=(
            count("within_km", default=10, most=500),
            Parameter("city", Kind.TEXT, required=True),
            Parameter("open_now", Kind.FLAG, default=False),
            named("map", "map", default="streets"),
        ),
        cost=lambda rows, arguments: Cost(rows * 100, 50.0),
        source=True,
    )
    def nearby(execution: Any, viewers: Any, arguments: Any) -> Any:
        """Media posted near the viewer."""

    environment = Environment(
        mine,
        names={"map": ("streets", "hills")},
        columns={
            **ENVIRONMENT.columns,
            SetType.MEDIA: (Column("km", ColumnType.NUMBER, "distance", low=0.0),),
        },
    )
    query = load('user.nearby(city="Oslo", open_now=true).filter(km < 5)', environment)
    assert query.chain.calls[0].arguments == {
        "within_km": 10, "city": "Oslo", "open_now": True, "map": "streets",
    }  # fmt: skip
    messages = [
        error.message
        for error in errors("user.nearby(1.5, Oslo, 1, map=hill).filter(kms < 5)", environment)
    ]
    assert messages == [
        "within_km is a whole number from 1 to 500, not 1.5",
        'city is a text in quotes, not Oslo; write "Oslo"',
        "open_now is true or false, not 1; write true",
        "hill is no map; did you mean hills?",
        "kms is no column of media; did you mean km?",
    ]
    [error] = errors("user.nearby()", environment)
    assert error.message == "nearby needs city: a text in quotes"
    for message in (*messages[1:4], error.message):
        assert f"`{message}`" in PAGE
    # The registry that was copied is as it was.
    assert errors('user.nearby(city="Oslo")')[0].message.startswith("nearby is no operator")


def test_names_that_are_not_loaded_are_told() -> None:
    [error] = errors("user.popular().rank()", Environment(operators, names={}))
    assert error.message == "default is no model: no model is loaded here"
    assert f"`{error.message}`" in PAGE


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("acount_nn", "account_nn"),
        ("media_nn", "account_nn"),
        ("ACCOUNT_NN", "account_nn"),
        ("posted", "posted_media"),
        ("media", "posted_media"),
        ("xyz", None),
        ("_", None),
        ("a" * 5000, None),
    ],
)
def test_the_nearest_name(name: str, meant: str | None) -> None:
    assert nearest(name, ["posted_media", "account_nn", "liked"]) == meant
