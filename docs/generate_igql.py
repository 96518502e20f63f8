"""Fill in what ``docs/igql.md`` takes from the code: grammar, tables and every message.

``python docs/generate_igql.py`` rewrites the page; a unit test says when it is out of date.
A block ``igql`` or ``python`` with a block ``text`` below it is run, and ``text`` is what it says.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from models.igql.builder import blend, user
from models.igql.checker import check, load
from models.igql.environment import Column
from models.igql.errors import IgqlError
from models.igql.expressions import column, text
from models.igql.grammar import GRAMMAR
from models.igql.library import operators
from models.igql.registry import LAST, Kind, Operator, Parameter, SetType
from models.igql.tree import Chain
from models.igql.wording import wanted
from models.queries import environment

PAGE: Final = Path(__file__).parent / "igql.md"
ENVIRONMENT: Final = environment()
#: A block that is run, and the block that has what it says.
EXAMPLE: Final = re.compile(
    r"^(```(igql|python)\n((?:(?!```).)*)```\n\n```text\n)((?:(?!```).)*)(```\n)", re.DOTALL | re.M
)
_SECTION: Final = re.compile(r"(<!-- generated: (\w+) -->\n)(.*?)(<!-- end -->\n)", re.DOTALL)


def page(current: str) -> str:
    """The page with everything generated as the code has it now."""
    filled = _SECTION.sub(lambda m: m[1] + "\n" + SECTIONS[m[2]]() + "\n" + m[4], current)
    return EXAMPLE.sub(lambda m: m[1] + said(m[2], m[3]) + "\n" + m[5], filled)


def said(language: str, source: str) -> str:
    """What a block says: its error, its warnings, or that it is right."""
    try:
        checked = load(source, ENVIRONMENT) if language == "igql" else _run(source)
    except IgqlError as error:
        return str(error)
    return "\n".join(checked.warnings) or "right"


def _run(source: str) -> Any:
    names: dict[str, Any] = {"user": user, "blend": blend, "column": column, "text": text}
    exec(source, names)
    query = names["query"]
    assert isinstance(query, Chain)
    return check(query, ENVIRONMENT)


def grammar() -> str:
    """The rules as the page shows them: without what only the parser's actions need."""
    shown = []
    for line in GRAMMAR.strip().splitlines():
        rule = re.sub(r"\s+-> \w+$", "", line).removeprefix("?")
        if rule.startswith("%"):
            continue
        name, mark, said = re.split(r"\s*([:|])", rule, maxsplit=1) if rule else ("", "", "")
        shown.append(f"{name:<11} {mark}{said}".rstrip())
    return "```ebnf\n" + "\n".join(shown) + "\n```"


def _operators() -> str:
    by_set = {of: [op for op in operators if op.takes is of] for of in SetType}
    parts = []
    for of, found in by_set.items():
        parts.append(f"### Operators of {_set(of)}")
        parts.extend(_operator(op) for op in found)
    return "\n\n".join(parts)


def _operator(op: Operator) -> str:
    takes = ", ".join(_set(of) for of in (op.takes, *op.keeps))
    gives = "the same" if op.keeps else _set(op.gives)
    marks = [f"{takes} → {gives}"]
    if op.source:
        marks.append("a source")
    if op.removes_only:
        marks.append("only removes rows")
    if op.gives_way is not None:
        last = op.gives_way.order >= LAST
        marks.append("gives way " + ("before an empty grid" if last else "before a short grid"))
    head = f"**`{op.name}`** ({'; '.join(marks)}). {op.summary.rstrip('.')}."
    if not op.parameters:
        return head
    rows = "\n".join(f"| `{p.name}` | {_takes(p)} | {_default(p)} |" for p in op.parameters)
    return f"{head}\n\n| parameter | takes | default |\n|---|---|---|\n{rows}"


def _takes(parameter: Parameter) -> str:
    if parameter.kind is Kind.PREDICATES:
        return "any number of predicates, without a name; all must hold"
    if parameter.kind is Kind.BINDINGS:
        return "any number of `new_name=column`"
    if parameter.kind is Kind.COLUMN and parameter.column_types:
        return "a column that is " + " or ".join(of.value for of in parameter.column_types)
    choices = ENVIRONMENT.names.get(parameter.names, ())
    return wanted(parameter, choices)


def _default(parameter: Parameter) -> str:
    if parameter.required and parameter.kind is not Kind.BINDINGS:
        return "required"
    return "" if parameter.default is None else f"`{parameter.default}`"


def _columns() -> str:
    parts = []
    for of in SetType:
        rows = "\n".join(_column(found) for found in ENVIRONMENT.columns[of])
        parts.append(
            f"Of {_set(of)}:\n\n| column | is | values | meaning |\n|---|---|---|---|\n{rows}"
        )
    return "\n\n".join(parts)


def _column(found: Column) -> str:
    values = ""
    if found.name == "source":
        values = ", ".join(f"`{op.name}`" for op in operators if op.source)
    elif found.high < float("inf"):
        values = f"{found.low:g} to {found.high:g}"
    elif found.low > float("-inf"):
        values = f"at least {found.low:g}"
    return f"| `{found.name}` | {found.type.value} | {values} | {found.meaning} |"


def _set(of: SetType) -> str:
    return "the viewer" if of is SetType.VIEWER else of.value


SECTIONS: Final[dict[str, Callable[[], str]]] = {
    "grammar": grammar,
    "operators": _operators,
    "columns": _columns,
}


def main() -> None:
    """Rewrite the page."""
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
