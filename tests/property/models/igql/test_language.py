"""Laws of the language: texts of trees read back, checking raises nothing but IgqlError."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.igql.checker import check
from models.igql.contradictions import contradiction
from models.igql.environment import COLUMNS
from models.igql.errors import IgqlError
from models.igql.formatter import format_query
from models.igql.parser import MAX_MAGNITUDE, parse
from models.igql.registry import RESERVED, SetType
from models.igql.tree import (
    AllOf,
    AnyOf,
    Argument,
    Blend,
    Branch,
    Call,
    Chain,
    Comparison,
    Flag,
    Name,
    Not,
    Number,
    Predicate,
    Text,
    User,
)
from tests.fuzz import igql as fuzz

ENVIRONMENT = fuzz.ENVIRONMENT
COLUMN_NAMES = [column.name for column in COLUMNS[SetType.MEDIA]]
OPERATORS = [operator.name for operator in ENVIRONMENT.registry]
PARAMETERS = sorted({p.name for op in ENVIRONMENT.registry for p in op.parameters})

any_name = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,20}", fullmatch=True).filter(
    lambda name: name not in RESERVED
)
numbers = st.builds(
    Number,
    st.integers(-(10**15), 10**15) | st.floats(-MAX_MAGNITUDE, MAX_MAGNITUDE, allow_nan=False),
)
texts = st.builds(Text, st.text(max_size=20))
flags = st.builds(Flag, st.booleans())
names = st.builds(Name, st.sampled_from(COLUMN_NAMES) | any_name)
comparisons = st.builds(
    Comparison,
    names,
    st.sampled_from(["<", "<=", ">", ">=", "==", "!="]),
    numbers | texts | flags,
)


def joined(inner: st.SearchStrategy[Predicate]) -> st.SearchStrategy[Predicate]:
    parts = st.lists(inner, min_size=2, max_size=3).map(tuple)
    return st.builds(Not, inner) | st.builds(AllOf, parts) | st.builds(AnyOf, parts)


predicates = st.recursive(comparisons, joined, max_leaves=4)
arguments = st.builds(
    Argument, st.sampled_from(PARAMETERS) | any_name, numbers | texts | flags | names
) | st.builds(Argument, st.none(), numbers | texts | flags | names | predicates)
calls = st.builds(
    Call, st.sampled_from(OPERATORS) | any_name, st.lists(arguments, max_size=3).map(tuple)
)
call_lists = st.lists(calls, max_size=3).map(tuple)
chains = st.recursive(
    st.builds(Chain, st.just(User()), call_lists),
    lambda inner: st.builds(
        Chain,
        st.builds(
            Blend,
            st.lists(st.builds(Branch, numbers, inner), min_size=1, max_size=3).map(tuple),
        ),
        call_lists,
    ),
    max_leaves=3,
)


@settings(max_examples=50)
@given(chains)
def test_the_text_of_a_tree_reads_back(tree: Chain) -> None:
    text = format_query(tree)
    assert parse(text) == tree
    assert format_query(parse(text)) == text


@settings(max_examples=50)
@given(chains)
def test_blanks_comments_and_trailing_commas_mean_nothing(tree: Chain) -> None:
    text = format_query(tree)
    lines = [f"  {line}  # user.nothing(" for line in text.split("\n")]
    assert parse("\r\n".join(lines)) == tree


@settings(max_examples=50)
@given(chains)
def test_checking_a_tree_raises_igql_errors_only(tree: Chain) -> None:
    try:
        check(tree, ENVIRONMENT)
    except IgqlError as error:
        for one in error.errors:
            # Every mistake points into the canonical text.
            assert one.span is not None
            assert one.line <= len(one.text.split("\n"))
            assert "^" in str(one)


@settings(max_examples=200)
@given(
    st.recursive(
        st.builds(
            Comparison,
            st.builds(Name, st.sampled_from(["a", "b"])),
            st.sampled_from(["<", "<=", ">", ">=", "==", "!="]),
            st.builds(Number, st.integers(0, 3)),
        ),
        joined,
        max_leaves=8,
    )
)
def test_what_is_called_contradictory_lets_no_row_through(predicate: Predicate) -> None:
    if contradiction([predicate], {}, {}) is None:
        return
    halves = [value / 2 for value in range(-2, 9)]
    assert not any(holds(predicate, {"a": a, "b": b}) for a in halves for b in halves)


def holds(predicate: Predicate, row: dict[str, float]) -> bool:
    match predicate:
        case Comparison(left=left, sign=sign, right=Number(value=right)):
            value = row[left.value]
            return {
                "<": value < right,
                "<=": value <= right,
                ">": value > right,
                ">=": value >= right,
                "==": value == right,
                "!=": value != right,
            }[sign]
        case Not(of=of):
            return not holds(of, row)
        case AllOf(parts=parts):
            return all(holds(part, row) for part in parts)
        case AnyOf(parts=parts):
            return any(holds(part, row) for part in parts)
    pytest.fail(f"not generated: {predicate}")


@pytest.mark.parametrize("seed", range(4))
def test_any_text_is_a_query_or_an_igql_error(seed: int) -> None:
    outcomes = fuzz.run(500, seed)
    # Some of everything, or the texts have become one-sided.
    assert set(outcomes) >= {"ran", "refused by the checker", "IgqlSyntaxError", "IgqlLimitError"}
