"""What operations.md promises was tried: every test and every fault that it names exists."""

import ast
import re

import pytest

from tests.chaos.faults import ALL
from tests.paths import ROOT

OPERATIONS = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
FAULTS = re.compile(r'chaos ((?:"[^"]+"(?:, )?)+)')
EVERY_FAULT = "every fault of `make chaos`"


def promises(text: str = OPERATIONS) -> list[str]:
    """The rows of the table of promises."""
    section = text.partition("\n## Promises\n")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")]
    return rows[1:]


def named_tests(row: str) -> list[tuple[str, str]]:
    """File and function of each test that a row names."""
    return TEST.findall(row)


def faults_of(row: str) -> list[str]:
    """Names of the faults that a row names."""
    return [name for found in FAULTS.findall(row) for name in re.findall('"([^"]+)"', found)]


def defined(path: str) -> set[str]:
    """The test functions of a file."""
    file = ROOT / path
    if not file.exists():
        return set()
    tree = ast.parse(file.read_text(encoding="utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.walk(tree) if isinstance(node, functions)}


def test_every_promise_names_what_tried_it() -> None:
    assert len(promises()) >= 20
    untried = [
        row
        for row in promises()
        if not named_tests(row) and not faults_of(row) and EVERY_FAULT not in row
    ]
    assert untried == []


def test_every_named_test_exists() -> None:
    named = {test for row in promises() for test in named_tests(row)}
    assert {(file, name) for file, name in named if name not in defined(file)} == set()


def test_every_fault_tries_a_promise_and_is_a_fault() -> None:
    named = {name for row in promises() for name in faults_of(row)}
    assert named == {fault.name for fault in ALL}


@pytest.mark.parametrize(
    ("row", "tests", "faults"),
    [
        ("| kept | `tests/a.py::test_b`, chaos \"one\", \"two\" |", [("tests/a.py", "test_b")],
         ["one", "two"]),
        ("| kept | nothing |", [], []),
    ],
)  # fmt: skip
def test_how_a_row_is_read(row: str, tests: list[tuple[str, str]], faults: list[str]) -> None:
    assert (named_tests(row), faults_of(row)) == (tests, faults)
