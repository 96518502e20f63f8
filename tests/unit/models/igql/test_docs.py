"""docs/igql.md says what the code says: grammar, operators and every message."""

import re
import runpy
from typing import Any

import pytest

from models.igql.builder import user
from models.igql.checker import load
from models.igql.errors import IgqlError
from models.igql.grammar import GRAMMAR
from models.igql.library import operators
from tests.paths import ROOT

DOCS = ROOT / "docs"
PAGE = (DOCS / "igql.md").read_text()
GENERATE = runpy.run_path(str(DOCS / "generate_igql.py"))
#: Language, source and, where there is one, what it says.
BLOCKS = re.findall(
    r"^```(igql|python)\n((?:(?!```).)*)```\n(?:\n```text\n((?:(?!```).)*)```\n)?",
    PAGE,
    re.DOTALL | re.MULTILINE,
)
MISTAKES = [(source, said) for language, source, said in BLOCKS if language == "igql" and said]
RIGHT = [source for language, source, said in BLOCKS if language == "igql" and not said]


def test_the_page_is_up_to_date() -> None:
    assert GENERATE["page"](PAGE) == PAGE, "run python docs/generate_igql.py"


def test_the_grammar_shown_is_the_parsers() -> None:
    shown = PAGE.partition("```ebnf\n")[2].partition("```")[0]
    rules = [re.sub(r"\s+-> \w+$", "", line).lstrip("?") for line in GRAMMAR.split("\n")]
    words = [line.split() for line in rules if line and not line.startswith("%")]
    assert [line.split() for line in shown.split("\n") if line] == words


@pytest.mark.parametrize(("source", "said"), MISTAKES, ids=[said for _, said in MISTAKES])
def test_each_mistake_gives_the_message_of_the_page(source: str, said: str) -> None:
    try:
        checked = load(source, GENERATE["ENVIRONMENT"])
    except IgqlError as error:
        assert str(error) + "\n" == said
    else:
        assert "\n".join(checked.warnings) + "\n" == said
        assert "warning: " in said


@pytest.mark.parametrize("source", RIGHT)
def test_the_other_queries_of_the_page_are_right(source: str) -> None:
    assert load(source, GENERATE["ENVIRONMENT"]).warnings == ()


def test_every_operator_is_described() -> None:
    for operator in operators:
        assert f"\n**`{operator.name}`** (" in PAGE
        for parameter in operator.parameters:
            assert f"\n| `{parameter.name}` |" in PAGE


def test_every_class_of_error_is_shown() -> None:
    shown = set()
    for source, _ in MISTAKES:
        try:
            load(source, GENERATE["ENVIRONMENT"])
        except IgqlError as error:
            shown |= {type(one) for one in error.errors}
    assert shown == set(IgqlError.__subclasses__()) - {_builder_error()}


def _builder_error() -> type[Any]:
    with pytest.raises(IgqlError) as caught:
        user.nearby()  # type: ignore[attr-defined]
    return caught.type
