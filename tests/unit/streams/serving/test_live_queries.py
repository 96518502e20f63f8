"""Queries from files: hot reload, and versions that are refused."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from infra.config import Settings
from infra.errors import SettingsError
from infra.metrics import QUERIES_REFUSED
from models.igql.library import operators
from models.queries import explore_plan
from streams.serving.live_queries import LiveQueries


def live(path: Path | str = "") -> LiveQueries:
    return LiveQueries(Settings(explore_query=str(path)), operators)


def test_without_a_setting_the_bundled_query_is_live() -> None:
    queries = live()
    assert queries.versions() == {"explore": explore_plan().version}
    assert queries.of().name == "explore"
    assert not queries.reload()


def test_a_changed_file_goes_live_and_a_broken_one_is_refused_once(tmp_path: Path) -> None:
    file = tmp_path / "mine.igql"
    file.write_text("user.popular()")
    queries = live(file)
    first = queries.of().plan.version
    assert not queries.reload()
    refused = QUERIES_REFUSED._value.get()
    file.write_text("user.populr()")
    assert not queries.reload() and not queries.reload()
    assert QUERIES_REFUSED._value.get() == refused + 1
    assert queries.of().plan.version == first
    file.write_text("user.fresh()  # again right")
    assert queries.reload()
    assert queries.of().plan.version not in ("", first)
    # Another spelling is the same query.
    file.write_text("user . fresh ( )")
    assert not queries.reload()
    file.unlink()
    assert not queries.reload()
    assert queries.of().name == "mine"


def test_followers_are_told_of_a_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.serving.live_queries.LOOK_S", 0.001)
    file = tmp_path / "mine.igql"
    file.write_text("user.popular()")
    queries, told = live(file), asyncio.Event()

    async def change() -> None:
        following = asyncio.ensure_future(queries.follow(told.set))
        file.write_text("user.fresh()")
        await asyncio.wait_for(told.wait(), 10)
        following.cancel()

    asyncio.run(change())


def test_one_of_several_queries_is_the_default(tmp_path: Path) -> None:
    (tmp_path / "explore.igql").write_text("user.popular()")
    (tmp_path / "another.igql").write_text("user.fresh()")
    queries = live(tmp_path)
    assert queries.names() == ["another", "explore"]
    assert queries.of().name == queries.of("explore").name == "explore"
    assert queries.of("another").plan.version == queries.versions()["another"]
    with pytest.raises(KeyError):
        queries.of("a third")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "there is no *.igql in"),
        ({"a": "user.popular()", "b": "user.fresh()"}, "names another explore.igql"),
        ({"a": "user.popular("}, "query 'a' is wrong:\nline 1, column"),
    ],
)
def test_at_the_start_nothing_wrong_is_taken(
    tmp_path: Path, files: dict[str, str], message: str
) -> None:
    for name, text in files.items():
        (tmp_path / f"{name}.igql").write_text(text)
    with pytest.raises(SettingsError) as error:
        live(tmp_path)
    assert message in str(error.value)


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(SettingsError, match=r"EXPLORE_QUERY='nowhere\.igql' cannot be read"):
        live("nowhere.igql")
