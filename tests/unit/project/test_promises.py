"""What operations.md and security.md promise was tried: every test and fault they name exists."""

import ast
import re

import pytest

from tests.chaos.faults import ALL
from tests.paths import ROOT

OPERATIONS = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
SECURITY = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
#: Sections of security.md that claim nothing: whom Freshgrid has to trust.
NO_CLAIMS = {"What is trusted"}
#: What it says that no test can try, each for the reason that stands there.
UNTRIED = ("What was learned", "A worker that stands still", "**Known holes**")
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
FILE = re.compile(r"`(tests/[\w/]+\.py)`")
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


def claims(text: str = SECURITY) -> list[str]:
    """The points and the rows of limits of security.md, each whole."""
    found = []
    for section in text.split("\n## ")[1:]:
        title, _, body = section.partition("\n")
        if title in NO_CLAIMS:
            continue
        found += re.findall(r"^- (.+?)(?=\n- |\n\n|\Z)", body, re.M | re.S)
        if title == "Limits":
            found += [line for line in body.splitlines() if line.startswith("| ")][1:]
    return found


def test_every_claim_of_security_names_a_test_that_exists() -> None:
    assert len(claims()) >= 15
    untried = [
        claim
        for claim in claims()
        if not (named_tests(claim) or FILE.findall(claim)) and not claim.startswith(UNTRIED)
    ]
    assert untried == []
    named = set(named_tests(SECURITY))
    assert len(named) >= 25
    assert {(file, name) for file, name in named if name not in defined(file)} == set()
    assert [file for file in FILE.findall(SECURITY) if not (ROOT / file).is_file()] == []


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
