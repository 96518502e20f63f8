"""Rules of the source that neither ruff nor import-linter knows."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.paths import ROOT

#: A docstring of fewer words says what the name says.
LEAST_WORDS = 5

Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def sources() -> list[Path]:
    return sorted(
        file for top in ("streams", "models", "infra") for file in ROOT.glob(f"{top}/**/*.py")
    )


def public(tree: ast.Module) -> Iterator[tuple[str, Documented]]:
    """The module, its public classes and functions, and their public members, with names."""
    waiting: list[tuple[str, Documented]] = [("", tree)]
    while waiting:
        name, node = waiting.pop()
        yield name, node
        if isinstance(node, ast.Module | ast.ClassDef):
            waiting.extend(
                (f"{name}.{child.name}", child)
                for child in node.body
                if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
                and not child.name.startswith("_")
            )


def terse(tree: ast.Module) -> list[str]:
    """What has a docstring that says nothing the name does not."""
    found = ((name, ast.get_docstring(node)) for name, node in public(tree))
    return [
        f"{name or 'the module'}: {text!r}"
        for name, text in found
        if text is not None and len(text.split()) < LEAST_WORDS
    ]


def test_public_docstrings_inform() -> None:
    found = {
        str(file.relative_to(ROOT)): names
        for file in sources()
        if (names := terse(ast.parse(file.read_text(encoding="utf-8"))))
    }
    assert found == {}, (
        f"say in {LEAST_WORDS} words or more what the name does not: shape, unit, error"
    )


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ('"""Some module."""', ["the module: 'Some module.'"]),
        (
            'class A:\n  """In as many words as needed."""\n  def f(self): "Gives f."',
            [".A.f: 'Gives f.'"],
        ),
        ('def _f():\n  """Private."""\nclass _A:\n  def f(self): "Private too."\ndef g(): ...', []),
    ],
)
def test_what_is_terse(source: str, names: list[str]) -> None:
    assert terse(ast.parse(source)) == names


def sentences(text: str) -> int:
    """Sentences of a docstring: an end of one stands before white space or at the end."""
    return len(re.findall(r"[.!?](?=\s|$)", text))


def test_packages_say_what_they_are_for_and_what_they_must_not_know() -> None:
    packages = [file.parent for file in sources() if file.name == "__init__.py"]
    assert {ROOT / "streams", ROOT / "models", ROOT / "infra"} <= set(packages)
    found = [
        str(package.relative_to(ROOT))
        for package in packages
        if sentences(
            ast.get_docstring(ast.parse((package / "__init__.py").read_text("utf-8"))) or ""
        )
        < 2
    ]
    assert found == [], "say in two sentences what is for this room, and what it must not know"


@pytest.mark.parametrize(
    ("text", "count"),
    [("", 0), ("One, e.g.: ``a.b``.", 1), ("What it is.\n\nIt knows no other.", 2)],
)
def test_how_many_sentences(text: str, count: int) -> None:
    assert sentences(text) == count


def imported(tree: ast.Module) -> set[str]:
    """Top-level packages that a module imports, at its head or later."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names


def test_only_the_command_line_knows_typer() -> None:
    cli = ROOT / "streams" / "cli"
    using = {file for file in sources() if "typer" in imported(ast.parse(file.read_text("utf-8")))}
    assert using
    assert {file for file in using if cli not in file.parents} == set()
