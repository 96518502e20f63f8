"""Text → tree: what trees come out, where things stand, and what is too much."""

import pytest

from models.igql.errors import IgqlError, IgqlLimitError, IgqlSyntaxError, locate
from models.igql.formatter import format_query
from models.igql.parser import parse
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
    Span,
    Text,
    User,
)
from tests.paths import ROOT

PAGE = (ROOT / "docs" / "igql.md").read_text()
SEVEN_LINES = """user
.let(seed_id=user_id)
.liked(max_num_to_retrieve=30)
.account_nn(embedding_config=default)
.posted_media(max_media_per_account=10)
.filter(non_recommendable_model_threshold=0.2)
.rank(ranking_model=default)
.diversify_by(seed_id, method=round_robin)
"""


def test_the_seven_lines_are_canonical() -> None:
    tree = parse(SEVEN_LINES)
    assert [call.operator for call in tree.calls] == [
        "let", "liked", "account_nn", "posted_media", "filter", "rank", "diversify_by",
    ]  # fmt: skip
    assert format_query(tree) == SEVEN_LINES


def test_values_keep_their_types() -> None:
    [call] = parse('user.f(1, -1.5, .5, 2e3, true, "é\\n\\u00e9", name, x=false)').calls
    assert [argument.value for argument in call.arguments] == [
        Number(1), Number(-1.5), Number(0.5), Number(2000.0), Flag(True), Text("é\né"),
        Name("name"), Flag(False),
    ]  # fmt: skip
    assert isinstance(call.arguments[0].value, Number)
    assert isinstance(call.arguments[0].value.value, int)
    assert call.arguments[-1] == Argument("x", Flag(False))


def test_not_binds_closest_and_or_last() -> None:
    a, b, c = (Comparison(Name(name), "<", Number(1)) for name in "abc")
    [call] = parse("user.filter(not a < 1 and b < 1 or c < 1, not (a < 1 or b < 1))").calls
    assert [argument.value for argument in call.arguments] == [
        AnyOf((AllOf((Not(a), b)), c)),
        Not(AnyOf((a, b))),
    ]


def test_blends_nest() -> None:
    popular = Chain(User(), (Call("popular"),))
    inner = Chain(
        Blend((Branch(Number(1), popular),)), (Call("take", (Argument(None, Number(5)),)),)
    )
    assert parse("blend(.5: user.popular(), 2: blend(1: user.popular(),).take(5))") == Chain(
        Blend((Branch(Number(0.5), popular), Branch(Number(2), inner)))
    )


def test_words_of_the_language_may_be_parts_of_names() -> None:
    [call] = parse("user.users(trueish, notable < 1)").calls
    assert call.operator == "users"
    assert call.arguments[0].value == Name("trueish")


def test_spans_are_lines_and_columns_from_one() -> None:
    [first, second] = parse("user # here\n .liked(\n30).take( n=5 )").calls
    assert first.span == Span(2, 3, 2, 8)
    assert first.arguments[0].span == Span(3, 1, 3, 3)
    assert second.arguments[0].span == Span(3, 11, 3, 14)


def test_an_error_tells_its_place() -> None:
    with pytest.raises(IgqlSyntaxError) as caught:
        parse("user\n.liked(30 40)")
    error = caught.value
    assert (error.line, error.column, error.end_column) == (2, 11, 13)
    assert error.errors == (error,)


@pytest.mark.parametrize(
    "text",
    [
        " " * 70_000,
        "user" + ".popular()" * 2000,
        f'user.popular().filter(language == "{"x" * 300}")',
    ],
)
def test_a_text_that_is_too_long_is_refused_as_the_page_says(text: str) -> None:
    with pytest.raises(IgqlLimitError) as caught:
        parse(text)
    assert f"`{caught.value.message}`" in PAGE


@pytest.mark.parametrize(
    "text",
    [
        "user.f(" + "(" * 33 + "a < 1" + ")" * 33 + ")",
        "user.f(" + "not " * 33 + "a < 1)",
        "user.f(" + "not (" * 17 + "a < 1" + ")" * 17 + ")",
        "blend(1: " * 33 + "user" + ")" * 33,
        "(" * 4000,
    ],
)
def test_deep_nesting_is_refused(text: str) -> None:
    with pytest.raises(IgqlError):
        parse(text)


def test_as_deep_as_allowed_is_read_and_written() -> None:
    text = "blend(1: " * 16 + "user.f(" + "not (" * 7 + "not a < 1" + ")" * 8 + ")" * 16
    assert parse(format_query(parse(text))) == parse(text)


@pytest.mark.parametrize("number", ["9" * 33, "1e400", "-1e16", "0." + "0" * 40 + "1", "٣", "0x10"])
def test_huge_and_odd_numbers_are_refused(number: str) -> None:
    with pytest.raises(IgqlError):
        parse(f"user.popular({number})")


@pytest.mark.parametrize("text", ['"\ud800"', '"\\ud83d\\ude00"', '"\x00"', '"\\x41"', '"\n"'])
def test_texts_have_no_characters_that_cannot_be_printed(text: str) -> None:
    with pytest.raises(IgqlSyntaxError) as caught:
        parse(f"user.f({text})")
    str(caught.value).encode()


def test_a_tree_nested_too_deep_has_no_text() -> None:
    query = Chain(User())
    for _ in range(40):
        query = Chain(Blend((Branch(Number(1), query),)))
    with pytest.raises(IgqlLimitError, match="nested deeper than 32"):
        format_query(query)


def test_a_long_line_is_shown_around_the_mistake() -> None:
    text = "user" + ".popular()" * 50 + "!" + ".popular()" * 50
    with pytest.raises(IgqlSyntaxError) as caught:
        parse(text)
    _, line, carets = str(caught.value).split("\n")
    assert line.startswith("  …") and line.endswith("…")
    assert len(line) < 130
    assert line[carets.index("^")] == "!"


def test_carets_stand_below_what_tabs_and_controls_shift() -> None:
    _, line, carets = locate("wrong", "\tuser\t.x\x07y", Span(1, 8, 1, 9)).split("\n")
    assert line[carets.index("^")] == "x"
    assert "\t" not in line and "\x07" not in line
