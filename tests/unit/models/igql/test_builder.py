"""The builder has the operators of the registry, and makes the trees of the text."""

import inspect
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.igql import builder
from models.igql.builder import AccountsQuery, AnyQuery, MediaQuery, ViewerQuery, blend, user
from models.igql.errors import IgqlArgumentError, IgqlError, IgqlTypeError
from models.igql.expressions import column, text
from models.igql.library import operators
from models.igql.parser import parse
from models.igql.registry import Kind, Operator, SetType
from tests.paths import ROOT

CLASSES: dict[SetType, type[Any]] = {
    SetType.VIEWER: ViewerQuery,
    SetType.ACCOUNTS: AccountsQuery,
    SetType.MEDIA: MediaQuery,
}
#: What is no operator.
OTHERS = {"build", "call", "tree"}


def test_the_methods_are_up_to_date() -> None:
    generate = runpy.run_path(str(ROOT / "docs" / "generate_builder.py"))
    current = Path(builder.__file__).read_text(encoding="utf-8")
    assert generate["module"](current) == current, "run make generate"


@pytest.mark.parametrize("operator", operators, ids=lambda operator: operator.name)
def test_every_operator_has_a_method_with_its_parameters(operator: Operator) -> None:
    for taken in (operator.takes, *operator.keeps):
        method = getattr(CLASSES[taken], operator.name)
        _, *parameters = inspect.signature(method).parameters.values()
        declared = []
        for parameter in operator.parameters:
            kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
            default = inspect.Parameter.empty if parameter.required else parameter.default
            if parameter.kind is Kind.PREDICATES:
                kind, default = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.empty
            elif parameter.kind is Kind.BINDINGS:
                kind = inspect.Parameter.VAR_KEYWORD
            elif any(p.kind is Kind.PREDICATES for p in operator.parameters):
                kind = inspect.Parameter.KEYWORD_ONLY
            declared.append((parameter.name, kind, default))
        assert [(p.name, p.kind, p.default) for p in parameters] == declared

        gives = operator.given(taken)
        assert gives is not None
        returned = inspect.signature(method).return_annotation
        given = CLASSES[taken].__name__ if returned == "Self" else returned
        assert given == CLASSES[gives].__name__


@pytest.mark.parametrize("taken", CLASSES)
def test_every_method_is_an_operator(taken: SetType) -> None:
    fitting = {operator.name for operator in operators if operator.given(taken)}
    if taken is SetType.MEDIA:
        # Media give their authors where accounts are wanted.
        fitting |= {op.name for op in operators if op.given(SetType.ACCOUNTS)}
    methods = {name for name in dir(CLASSES[taken]) if not name.startswith("_")}
    assert methods - OTHERS == fitting


def test_the_seven_lines_make_the_tree_of_their_text() -> None:
    query = (
        user.let(seed_id="user_id")
        .liked(max_num_to_retrieve=30)
        .account_nn(embedding_config="default")
        .posted_media(max_media_per_account=10)
        .filter(non_recommendable_model_threshold=0.2)
        .rank(ranking_model="default")
        .diversify_by("seed_id", method="round_robin")
    )
    assert query.build() == parse(str(query))
    assert str(query).count("\n") == 8


def test_what_was_left_out_is_left_out_and_positions_stay() -> None:
    assert user.liked(30).take(5).build() == parse("user.liked(30).take(5)")
    assert user.liked().build() == parse("user.liked()")
    assert user.popular().filter(nsfw=None, spam=0.5).build() == parse(
        "user.popular().filter(spam=0.5)"
    )


def test_predicates_join_as_in_the_text() -> None:
    young = (column("media_age_hours") < 72) & (column("rank") >= 1) & (column("score") != 0)
    other = ~((column("language") == "ru") | (column("nsfw") > 0.1) | (column("spam") <= 1))
    assert user.popular().filter(young, other).build() == parse(
        "user.popular().filter(media_age_hours < 72 and rank >= 1 and score != 0, "
        'not (language == "ru" or nsfw > 0.1 or spam <= 1))'
    )


def test_a_blend_is_that_of_the_text() -> None:
    near = user.liked(30).account_nn().posted_media()
    query = blend((0.5, near), (1, blend((1, user.popular())))).take(50)
    assert query.build() == parse(
        "blend(0.5: user.liked(30).account_nn().posted_media(), "
        "1: blend(1: user.popular())).take(50)"
    )


def test_numbers_of_numpy_are_numbers() -> None:
    query = user.popular(np.int64(30)).filter(nsfw=np.float32(0.5))  # type: ignore[arg-type]
    assert query.build() == parse("user.popular(30).filter(nsfw=0.5)")


def test_other_operators_are_called_by_name() -> None:
    query = user.call("nearby", 30, city=text("Åbo"), open=True).posted_media()
    assert isinstance(user.call("nearby"), AnyQuery)
    assert query.build() == parse('user.nearby(30, city="Åbo", open=true).posted_media()')


def test_queries_are_values() -> None:
    start = user.liked()
    start.take(5)
    assert start == user.liked()
    assert start != start.take(5)
    assert len({start, user.liked()}) == 1


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: user.posted_media(), IgqlTypeError, "stands behind accounts or media"),  # type: ignore[attr-defined]
        (lambda: user.build(), IgqlTypeError, "build stands behind media"),  # type: ignore[attr-defined]
        (lambda: user.likd(), IgqlTypeError, "did you mean liked?"),  # type: ignore[attr-defined]
        (lambda: blend((1.0, user.followed())), IgqlTypeError, "gives media, not accounts"),
        (lambda: blend((1.0, 3)), IgqlTypeError, "gives media, not 3"),
        (lambda: blend(), IgqlArgumentError, "blend has no branches"),
        (lambda: blend((True, user.popular())), IgqlArgumentError, "a weight is a number"),
        (lambda: user.popular(limit=3), IgqlArgumentError, "unexpected keyword argument 'limit'"),  # type: ignore[call-arg]
        (lambda: user.popular([3]), IgqlArgumentError, "is a list"),
        (lambda: user.let(a="a b"), IgqlArgumentError, "'a b' is no name"),
        (lambda: user.let(a="true"), IgqlArgumentError, "true is a word of the language"),
        (lambda: user.call("no name"), IgqlArgumentError, "'no name' is no name"),
        (lambda: column("x") < None, IgqlArgumentError, "None is a NoneType"),
        (lambda: 0 < column("x") < 1, IgqlArgumentError, "join conditions by"),
    ],
)
def test_what_types_forbid_is_an_igql_error(
    make: Any, error: type[IgqlError], message: str
) -> None:
    with pytest.raises(error) as caught:
        make()
    assert message in str(caught.value)


def test_what_looks_for_attributes_still_can() -> None:
    assert not hasattr(user, "posted_media")
    assert hasattr(user, "liked")
    assert "ViewerQuery" in repr(builder.user)
