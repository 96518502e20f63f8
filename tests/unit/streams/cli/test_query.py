"""``freshgrid query`` and the route that it asks."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from typer.testing import CliRunner

from infra.config import Settings
from infra.errors import SettingsError, UnreachableError
from models.explore.stamp import Stamp
from streams.cli import app
from streams.cli.query import QueryError, ask, check_files, table
from streams.serving.live_versions import LiveVersions
from tests.explorers import explorer_of
from tests.http import reading
from tests.igql_worlds import random_world
from tests.paths import ROOT


def test_wrong_files_are_told_with_their_places(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.igql", tmp_path / "bad.igql"
    good.write_text("user.popular()")
    bad.write_text("user\n.populr().take(0)")
    assert check_files(Settings(), [good]) == []
    [wrong] = check_files(Settings(), [good, bad])
    assert wrong.startswith(f"{bad}:2:2\n")
    assert "did you mean popular?" in wrong and "take" in wrong
    with pytest.raises(SettingsError, match="cannot be read"):
        check_files(Settings(), [tmp_path / "none.igql"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--check"], "--check takes FILES"),
        (["-e", "user.popular()"], "--viewer ID"),
        (["--viewer", "v"], "give one FILE or -e TEXT"),
        (["README.md", "README.md", "--viewer", "v"], "give one FILE or -e TEXT"),
    ],
)
def test_wrong_usage_is_said(
    arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    result = CliRunner().invoke(app, ["query", *arguments])
    assert isinstance(result.exception, SettingsError)
    assert message in str(result.exception)


def test_check_ends_with_an_error_for_ci(tmp_path: Path) -> None:
    file = tmp_path / "bad.igql"
    file.write_text("user.popular(")
    result = CliRunner().invoke(app, ["query", "--check", str(file)])
    assert isinstance(result.exception, QueryError) and result.exception.exit_code == 1
    file.write_text("user.popular()")
    result = CliRunner().invoke(app, ["query", "--check", str(file), "--json"])
    assert msgspec.json.decode(result.output) == {"checked": 1}


class Reader:
    """The part of the lookup that answers queries."""

    def __init__(self) -> None:
        self.explorer = explorer_of(random_world(1, 80, 20, 5), Settings())

    async def query(self, viewer_id: str, text: str) -> bytes:
        return msgspec.json.encode(await self.explorer.query(viewer_id, text))

    async def explain(self, viewer_id: str, media_id: str | None) -> bytes:
        raise NotImplementedError

    async def page(self, viewer_id: str, cursor: str | None) -> bytes:
        raise NotImplementedError

    def status(self) -> dict[str, Any]:
        raise NotImplementedError


async def answers(*bodies: dict[str, str]) -> list[httpx.Response]:
    async with reading(Reader()) as client:
        return [await client.post("/v1/query", json=body) for body in bodies]


def test_the_route_answers_candidates_and_plan_or_every_mistake() -> None:
    right, wrong, nobody = asyncio.run(
        answers(
            {"viewer_id": "new", "query": "user.popular(7).exclude_seen()"},
            {"viewer_id": "new", "query": "user.populr()"},
            {"viewer_id": "", "query": "user.popular()"},
        )
    )
    found = right.json()
    assert len(found["candidates"]) == 7
    assert found["candidates"][0]["source"] == "popular"
    assert found["candidates"][0]["seed"] is None
    assert found["plan"]["steps"][0]["what"] == "user"
    assert found["plan"]["version"] == found["version"]
    lines = table(found)
    assert len(lines) == 8 and "popular" in lines[1]
    assert wrong.status_code == 400
    assert "did you mean popular?" in wrong.json()["detail"]
    assert nobody.status_code == 422


def test_without_a_ranker_the_way_out_is_said() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(UnreachableError, match=r"no ranker answers at .* `freshgrid ranker`"):
        ask(Settings(http_port=port), "user.popular()", "v")


def test_a_grid_is_outdated_by_another_query(tmp_path: Path) -> None:
    file = tmp_path / "mine.igql"
    file.write_text("user.popular()")
    settings = Settings(explore_query=str(file))
    explorer = explorer_of(random_world(1, 80, 20, 5), settings)
    [(_, state, *_)] = asyncio.run(explorer._store.load(["v"]))
    [grid] = explorer.make(["v"], [state], 1_700_000_000_000)
    document = grid.document
    versions = document.versions
    assert versions["arm"] == "control" and len(versions["query"]) == 12
    live = LiveVersions(
        explorer._world,
        explorer._treatment_of,
        lambda _: versions["arm"],
    )
    stamp = Stamp.of(grid.json)
    assert stamp is not None
    assert stamp.live == live.of("v", 0).digest
    file.write_text("user.fresh()")
    assert explorer._queries.reload()
    assert stamp.live != live.of("v", 1000).digest
