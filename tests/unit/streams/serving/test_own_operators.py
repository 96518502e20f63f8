"""Operators of user code: from a module into a served grid, or refused at the start."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from infra.config import Settings, settings
from infra.errors import SettingsError
from infra.memory_store import MemoryStore
from models.explore.treatment import Treatment
from models.igql.library import operators
from models.igql.registry import Cost, Registry, RegistryError, SetType
from models.world import World
from streams.cli import app
from streams.cli.query import QueryError
from streams.ranking import Ranking
from streams.serving.explorer import Explorer
from streams.serving.live_queries import LiveQueries
from streams.serving.own_operators import ENTRY_POINTS, load_operators
from streams.training import Training
from tests.igql_worlds import random_world
from tests.paths import ROOT

#: The module that the guide shows.
[GUIDE] = [
    block
    for block in re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "igql.md").read_text(), re.S)
    if "@mine" in block
]
PLAIN = """
from models.igql.library import operators
from models.igql.registry import Cost, Registry, SetType, count

mine = Registry()

def cost(rows, arguments):
    return Cost(10.0, 10.0)

def kernel(execution, viewers, arguments):
    \"\"\"Nothing.\"\"\"
    return execution.nothing
"""
SOURCE = "takes=SetType.VIEWER, gives=SetType.MEDIA, source=True, cost=cost"
AS_SOURCE = f"mine.register({SOURCE}, name={{name!r}})(kernel)"

Write = Callable[..., None]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Writes modules of user code where they can be imported, and forgets them afterwards."""
    folder = tmp_path / "user_code"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    before = set(sys.modules)

    def write_module(name: str, *lines: str) -> None:
        path = folder.joinpath(*name.split(".")).with_suffix(".py")
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text("\n".join(lines))

    yield write_module
    for name in set(sys.modules) - before:
        if (file := getattr(sys.modules[name], "__file__", None)) and str(folder) in file:
            del sys.modules[name]


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    """A package that names a module of operators."""
    info = folder / "regional-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: regional\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{ENTRY_POINTS}]\nours = {module}\n")
    monkeypatch.syspath_prepend(str(folder))


def given(names: str) -> Settings:
    return Settings(igql_operators=names)


def named(registry: Registry) -> set[str]:
    return {one.name for one in registry} - {one.name for one in operators}


async def sources_served(config: Settings, world: World) -> set[str]:
    """Sources of the grid of a new viewer, as a ranker makes and stores it."""
    store, queries = MemoryStore(config), LiveQueries(config, load_operators(config))
    explorer = Explorer(config, world, store, queries, lambda _: Treatment(query=queries.of()))
    await Ranking(store, explorer).make_now(["new"])
    stored = msgspec.json.decode(await store.grid("new") or b"")
    assert len(stored["items"]) == config.grid_size
    return {item["source"] for item in stored["items"]}


async def test_a_grid_is_served_with_an_operator_of_user_code(write: Write, tmp_path: Path) -> None:
    write("regional.operators", GUIDE)
    query = tmp_path / "mine.igql"
    query.write_text('blend(1: user.popular_in(language="de"), 1: user.fresh()).take(40)')
    config = Settings(igql_operators="regional.operators", explore_query=str(query), grid_size=20)
    assert await sources_served(config, random_world(1, 300, 60, 40)) == {"popular_in", "fresh"}


def test_the_modules_of_the_setting_and_of_packages_are_loaded_once_each(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert named(load_operators(Settings())) == set()
    write("first", PLAIN, AS_SOURCE.format(name="a"))
    write("second", PLAIN, AS_SOURCE.format(name="b"), "from first import mine as theirs")
    assert named(load_operators(given(" first, second,"))) == {"a", "b"}
    install(tmp_path / "installed", monkeypatch, "first")
    assert named(load_operators(Settings())) == {"a"}
    assert named(load_operators(given("second,first"))) == {"a", "b"}
    # The built-in ones stay what they are.
    assert operators.get("a") is None


REFUSED = {
    "missing": ("", "missing", "the module missing, which is not there .*PYTHONPATH"),
    "missing.inside": ("", "missing.inside", "the module missing.inside, which is not there"),
    "raises": ("1 / 0", "own", r"cannot be imported: ZeroDivisionError\(.*correct it"),
    "exits": ("raise SystemExit(0)", "own", r"cannot be imported: SystemExit\(0\)"),
    "lacks": ("import no_such_package", "own", "cannot be imported: ModuleNotFoundError"),
    "syntax": ("def", "own", "cannot be imported: SyntaxError"),
    "nothing": ("x = 1", "own", "declares no operator; register them at its top level in a copy"),
    "empty": (PLAIN, "own", "the module own, which declares no operator"),
    "built-in name": (
        PLAIN + AS_SOURCE.format(name="popular"), "own",
        "the module own, whose operator popular is built in; give it another name",
    ),
    "same name": (
        PLAIN + AS_SOURCE.format(name="a"), "other,own",
        "the module own, whose operator a the module other declares too; give it another name",
    ),
    "built-in registry": (
        PLAIN + AS_SOURCE.format(name="a").replace("mine", "operators"), "own",
        "operator 'a' is added to the built-in ones: add it to a copy",
    ),
    "no docstring": (
        PLAIN + AS_SOURCE.format(name="a").replace("kernel", "lambda e, v, a: v"), "own",
        "operator 'a' has no docstring",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_a_broken_module_is_refused_with_its_reason(write: Write, what: str) -> None:
    text, names, said = REFUSED[what]
    write("own", text)
    write("other", PLAIN, AS_SOURCE.format(name="a"))
    with pytest.raises(SettingsError, match=said) as caught:
        load_operators(given(names))
    assert str(caught.value).startswith(f"IGQL_OPERATORS={names!r} names the module ")
    assert caught.value.exit_code == 2


def test_a_broken_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, "nowhere.at.all")
    with pytest.raises(
        SettingsError, match=r"^the entry point 'ours' of freshgrid\.igql_operators"
    ):
        load_operators(Settings())


async def test_whoever_runs_queries_refuses_a_broken_module(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("own", "raise RuntimeError('no model')")
    with pytest.raises(SettingsError, match="no model"):
        Training(given("own"), World(), None, None)
    file = tmp_path / "mine.igql"
    file.write_text("user.popular()")
    for arguments in (["--check", str(file)], [str(file), "--viewer", "v"]):
        result = query(monkeypatch, "own", *arguments)
        assert isinstance(result.exception, SettingsError) and "no model" in str(result.exception)


def query(monkeypatch: pytest.MonkeyPatch, names: str, *arguments: str):
    monkeypatch.setenv("IGQL_OPERATORS", names)
    settings.cache_clear()
    try:
        return CliRunner().invoke(app, ["query", *arguments])
    finally:
        settings.cache_clear()


def test_the_command_knows_own_operators(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("regional.operators", GUIDE)
    right, wrong = tmp_path / "right.igql", tmp_path / "wrong.igql"
    right.write_text('user.popular_in(language="de")')
    wrong.write_text("user.popular_in()")
    result = query(monkeypatch, "regional.operators", "--check", str(right), "--json")
    assert msgspec.json.decode(result.output) == {"checked": 1}
    assert isinstance(query(monkeypatch, "", "--check", str(right)).exception, QueryError)
    for arguments in (["--check", str(wrong)], [str(wrong), "--viewer", "v"]):
        result = query(monkeypatch, "regional.operators", *arguments)
        assert isinstance(result.exception, QueryError)
        assert "popular_in needs language" in str(result.exception)


# Declarations.

WRONG = {
    "limit": ({"limit": "most"}, "limit of operator 'own' is 'most', which is no count"),
    "depth": ({"depth": "most"}, "depth of operator 'own' is 'most'"),
    "type": ({"takes": "viewer"}, "takes or gives 'viewer': give a SetType"),
    "removes": ({"removes_only": True}, "only removes rows, yet turns viewer into media"),
    "source": ({"gives": SetType.VIEWER, "source": True}, "is a source, yet brings nothing in"),
    "cost": ({"cost": Cost(1.0, 1.0)}, r"the cost \(rows, arguments\) cannot be called so"),
    "cost of one": ({"cost": lambda rows: Cost(rows, 1.0)}, "the cost .* cannot be called so"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_declaration_is_refused(what: str) -> None:
    changed, said = WRONG[what]
    declared = {
        "takes": SetType.VIEWER, "gives": SetType.MEDIA, "cost": lambda rows, _: Cost(rows, 1.0)
    }  # fmt: skip
    with pytest.raises(RegistryError, match=said):

        @Registry().register(**{**declared, **changed})
        def own(execution, rows, arguments):
            """One's own."""


def test_a_kernel_that_cannot_be_called_is_refused() -> None:
    with pytest.raises(RegistryError, match=r"the kernel \(execution, set, arguments\) cannot be"):

        @Registry().register(
            takes=SetType.VIEWER, gives=SetType.MEDIA, cost=lambda rows, _: Cost(rows, 1.0)
        )
        def own(execution, rows):
            """One's own."""
