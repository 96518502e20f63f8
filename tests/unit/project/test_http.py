"""What is made of the HTTP API's routes is current, and the client stands by itself."""

from __future__ import annotations

import ast
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from infra.client import generated
from infra.http.scopes import RULES, refusals_of
from tests.paths import ROOT

CLIENT = ROOT / "infra" / "client"
MADE = {"generate_http": ROOT / "docs", "generate_clients": CLIENT}


@pytest.fixture(scope="module")
def openapi() -> dict[str, Any]:
    made: dict[str, Any] = runpy.run_path(str(ROOT / "docs" / "http_document.py"))["document"]()
    return made


@pytest.mark.parametrize("generator", MADE)
def test_what_is_made_of_the_routes_is_current(generator: str) -> None:
    texts = runpy.run_path(str(ROOT / "docs" / f"{generator}.py"))["texts"]()
    stand = {name: (MADE[generator] / name).read_text() for name in texts}
    assert texts == stand, f"run python docs/{generator}.py"


def test_every_operation_has_a_description_and_an_example(openapi: dict[str, Any]) -> None:
    bare = []
    for path, methods in openapi["paths"].items():
        for method, told in methods.items():
            [content] = told["responses"][min(told["responses"])]["content"].values()
            if not told.get("description") or "example" not in content:
                bare.append(f"{method.upper()} {path}")
    assert bare == []


def test_every_answer_may_be_a_problem(openapi: dict[str, Any]) -> None:
    for methods in openapi["paths"].values():
        for told in methods.values():
            for status, answer in told["responses"].items():
                if int(status) >= 400:
                    shared = answer.get("$ref", "").rpartition("/")[2]
                    answer = openapi["components"]["responses"].get(shared, answer)
                    assert list(answer["content"]) == ["application/problem+json"]


def test_every_route_tells_how_the_table_of_routes_lets_it_be_refused(
    openapi: dict[str, Any],
) -> None:
    """And no route tells what the table does not: 401, 403 and 429 are the door's alone."""
    rules = {(method, path.replace(":path}", "}")): rule for (method, path), rule in RULES.items()}
    bodied = 0
    for path, methods in openapi["paths"].items():
        for method, told in methods.items():
            expected = refusals_of(method.upper(), rules[method.upper(), path])
            assert {401, 403, 429, 503} <= expected
            assert expected <= {int(status) for status in told["responses"]}, (method, path)
            bodied += 413 in expected
    assert 0 < bodied < len(rules)


def test_both_clients_have_every_call(openapi: dict[str, Any]) -> None:
    calls, waiting = (
        {name for name in vars(of) if not name.startswith("_")}
        for of in (generated.Calls, generated.AsyncCalls)
    )
    assert calls == waiting
    names = {told["operationId"] for m in openapi["paths"].values() for told in m.values()}
    by_hand = {"explore_named", "live", "live_named", "import_lines"}
    assert calls == names - by_hand - {"export_media", "export_accounts"}


def test_the_client_imports_httpx_and_nothing_of_ours() -> None:
    for file in CLIENT.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            else:
                continue
            tops = {name.partition(".")[0] for name in names}
            assert tops <= {*sys.stdlib_module_names, "httpx"}, (file, tops)


def test_the_client_can_be_had_without_the_rest(tmp_path: Path) -> None:
    package = tmp_path / "freshgrid" / "client"
    package.mkdir(parents=True)
    for file in CLIENT.glob("*.py"):
        (package / file.name).write_text(file.read_text())
    code = "from freshgrid.client import AsyncClient, Client; Client('http://x').close()"
    subprocess.run([sys.executable, "-P", "-c", code], check=True, cwd=tmp_path,
                   env={"PYTHONPATH": str(tmp_path)})  # fmt: skip
