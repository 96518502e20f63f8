"""Write the methods of ``models/igql/builder.py`` from the operators, one for each.

``python docs/generate_builder.py`` writes them; a unit test says when they are out of date.
"""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import indent, wrap
from typing import Final

from models.igql.library import operators
from models.igql.registry import Kind, Operator, Parameter, SetType

BUILDER: Final = Path(__file__).parent.parent / "models" / "igql" / "builder.py"
#: Characters of a line, inside a class whose body is indented by four.
WIDTH: Final = 100 - 4

_SECTION: Final = re.compile(
    r"(    # generated from the operators of (\w+)\n)(.*?)(    # end\n)", re.DOTALL
)
_CLASSES: Final = {
    SetType.VIEWER: "ViewerQuery",
    SetType.ACCOUNTS: "AccountsQuery",
    SetType.MEDIA: "MediaQuery",
}
#: Section → the sets whose queries have its methods.
_SETS: Final = {
    "everything": tuple(SetType),
    "accounts": (SetType.ACCOUNTS, SetType.MEDIA),
    "viewer": (SetType.VIEWER,),
    "media": (SetType.MEDIA,),
}
_TYPES: Final = {
    Kind.COUNT: "int",
    Kind.NUMBER: "float",
    Kind.FLAG: "bool",
    Kind.TEXT: "Text",
    Kind.NAME: "str",
    Kind.COLUMN: "str",
}


def module(current: str) -> str:
    """The module with every section as the operators are now."""
    return _SECTION.sub(lambda m: m[1] + methods(m[2]) + m[4], current)


def methods(section: str) -> str:
    """What the class of a section has, each method with its decorator, indented by four."""
    parts = [_method(op, section) for op in operators if section in _sections(op)]
    return "".join(indent(part, "    ") + "\n" for part in parts)


def _sections(op: Operator) -> set[str]:
    if _stays(op, "everything"):
        return {"everything"}
    taken = {of for of in SetType if op.given(of)}
    # Media give their authors where accounts are wanted, so they have what accounts have.
    if SetType.ACCOUNTS in taken:
        taken.discard(SetType.MEDIA)
    return {of.value for of in taken}


def _stays(op: Operator, section: str) -> bool:
    """Whether it gives the set that it is called on, whichever of the section's classes that is."""
    return all(op.given(of) is of for of in _SETS[section])


def _method(op: Operator, section: str) -> str:
    given, body = "Self", "return self"
    if not _stays(op, section):
        of = op.given(SetType(section))
        assert of is not None, f"{op.name} is among the {section}, which it does not take"
        given = _CLASSES[of]
        body = f"return {given}(self.tree)"
    said = f'"""{op.summary.rstrip(".")}.'
    # Three more for the quotes that close it.
    lines = wrap(said, WIDTH - 4 - 3)
    lines = [*lines, '"""'] if len(lines) > 1 else [f'{said}"""']
    inside = "".join(f"    {line}\n" for line in (*lines, body))
    return f"@_operator\n{_head(op, given)}\n{inside}"


def _head(op: Operator, given: str) -> str:
    kinds = [parameter.kind for parameter in op.parameters]
    # A binding may have any name, also "self".
    parts = ["self", *["/"] * (Kind.BINDINGS in kinds), *map(_parameter, op.parameters)]
    end = f") -> {given}:"
    line = ", ".join(parts)
    if len(f"def {op.name}({line}{end}") <= WIDTH:
        return f"def {op.name}({line}{end}"
    if 4 + len(line) <= WIDTH:
        return f"def {op.name}(\n    {line}\n{end}"
    return f"def {op.name}(\n" + "".join(f"    {part},\n" for part in parts) + end


def _parameter(parameter: Parameter) -> str:
    if parameter.kind is Kind.PREDICATES:
        return f"*{parameter.name}: Condition"
    if parameter.kind is Kind.BINDINGS:
        return f"**{parameter.name}: str"
    if parameter.kind is Kind.CHOICE:
        choices = ", ".join(map(_quoted, parameter.choices))
        of = f"Literal[{choices}]"
    else:
        of = _TYPES[parameter.kind]
    if parameter.required:
        return f"{parameter.name}: {of}"
    if parameter.default is None:
        return f"{parameter.name}: {of} | None = None"
    return f"{parameter.name}: {of} = {_quoted(parameter.default)}"


def _quoted(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)


def main() -> None:
    """Rewrite the module."""
    BUILDER.write_text(module(BUILDER.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
