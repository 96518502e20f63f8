"""The table of contents is whole, and names what there is."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys

import pytest

from infra import topics
from infra.topics import TOPICS
from models import actions, events
from streams import cli, topology
from streams.recorded.experiment_report import ACTIONS
from streams.topology import COMMAND, FLOWS, OUTSIDE, ROLES, flow, followed, topics_of
from tests.paths import ROOT

CONTRACTS = (ROOT / "docs" / "contracts.md").read_text()


def test_every_topic_has_who_writes_it_and_who_reads_it() -> None:
    named = {value for name, value in vars(topics).items() if name.endswith("_TOPIC")}
    assert named <= set(TOPICS)
    ends = topics_of(FLOWS)
    assert ends.keys() == TOPICS.keys()
    assert [topic for topic, of in ends.items() if not of["written_by"] or not of["read_by"]] == []


def test_no_flow_names_a_topic_that_there_is_not() -> None:
    assert {topic for flow in FLOWS for topic in (*flow.reads, *flow.writes)} == set(TOPICS)


def test_every_key_is_stored_by_some_flow() -> None:
    section = CONTRACTS.partition("### Keys")[2].partition("###")[0]
    documented = set(re.findall(r"^\| `([^`]+)` \|", section, flags=re.MULTILINE))
    assert {key for flow in FLOWS for key in flow.stores} == documented


def test_flows_are_where_the_table_says() -> None:
    assert len({flow.name for flow in FLOWS}) == len(FLOWS)
    assert {flow.role for flow in FLOWS} == {*ROLES, OUTSIDE, COMMAND}
    assert [flow.code for flow in FLOWS if not (ROOT / flow.code).exists()] == []


SOURCES = {
    path.relative_to(ROOT).as_posix(): path.read_text()
    for path in (ROOT / "streams").rglob("*.py")
    if "bench" not in path.parts
}
ROLE_FILES = {f"streams/roles/{role}.py" for role in ROLES}
#: Parts that flows share, and what composes them.
SHARED = {
    "streams/learning/example_intake.py",
    "streams/learning/promotion.py",
    "streams/letters.py",
    "streams/log/dead_letters.py",
    "streams/log/fold.py",
    "streams/log/replay.py",
    "streams/log/whole_log.py",
    "streams/local/scenario.py",
    "streams/rights/forget.py",
    "streams/snapshots.py",
    *ROLE_FILES,
}
#: What topics carry: whoever calls something there that names a topic reads it or writes it.
CARRIED = {
    "streams/dead_letter.py",
    "streams/records.py",
    "streams/rights/forgotten.py",
    "streams/serving/world_feed.py",
    "streams/versions.py",
}
#: These read records of files: recordings, fixtures and archives.
FILES = {
    "streams/log/spark_fold.py",
    "streams/local/bundled.py",
    "streams/serving/catalogue_export.py",
    *(f"streams/recorded/{name}.py" for name in ("records", "examples", "recording")),
}
TOPIC_NAMES = {
    name: topic
    for module in (topics, actions, events)
    for name, topic in vars(module).items()
    if name.endswith("_TOPIC")
    # What is looked up by topic there.
    and isinstance(topic, str)
}


def named_topics(source: str, carried: dict[tuple[str, str], set[str]]) -> set[str]:
    """Topics that a module names, by itself or by what it calls of what is carried."""
    tree = ast.parse(source)
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    imported = {
        alias.asname or alias.name: (node.module or "", alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    found = {TOPIC_NAMES[name] for name in names & TOPIC_NAMES.keys()}
    return found.union(*(carried.get(imported[name], ()) for name in names & imported.keys()))


def carried_topics() -> dict[tuple[str, str], set[str]]:
    """Module and function of what is carried → the topics that it or what it calls there names."""
    found: dict[tuple[str, str], set[str]] = {}
    for file in CARRIED:
        module = file.removesuffix(".py").replace("/", ".")
        functions = {
            node.name: {name.id for name in ast.walk(node) if isinstance(name, ast.Name)}
            for node in ast.parse(SOURCES[file]).body
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        for function in functions:
            called, waiting = set(), [function]
            while waiting:
                name = waiting.pop()
                called.add(name)
                waiting += (functions.get(name, set()) & functions.keys()) - called
            names = set().union(*(functions[name] for name in called))
            found[module, function] = {TOPIC_NAMES[name] for name in names & TOPIC_NAMES.keys()}
    return found


def test_whoever_opens_a_client_stands_in_the_table() -> None:
    client = re.compile(
        r"\b(LogReader|Follower|kafka_consumer|kafka_producer|Outbox|batch_sender|"
        r"send_in_batches|started_producer)\("
    )
    found = {name for name, text in SOURCES.items() if client.search(text)}
    assert found - SHARED - CARRIED <= {flow.code for flow in FLOWS}


def test_whoever_names_a_topic_reads_or_writes_it_by_the_table() -> None:
    carried = carried_topics()
    assert carried["streams.versions", "announce"] == {"explore.versions"}
    assert carried["streams.dead_letter", "dead_letter_of"] == {"explore.dead_letters"}
    table: dict[str, set[str]] = {}
    for of in FLOWS:
        table.setdefault(of.code, set()).update(of.reads, of.writes)
    named = {file: named_topics(source, carried) for file, source in SOURCES.items()}
    aside = SHARED | CARRIED | FILES | {"streams/topology.py"}
    given = {"streams/local/scenario.py", "streams/log/whole_log.py"}
    assert all(named[file] for file in aside - given)
    missing = {
        file: found - table.get(file, set())
        for file, found in named.items()
        if file not in aside and not found <= table.get(file, set())
    }
    assert missing == {}


@pytest.mark.parametrize("role", ["learner", "ranker"])
def test_whoever_a_role_hands_records_to_reads_them_by_the_table(role: str) -> None:
    tree = ast.parse(SOURCES[f"streams/roles/{role}.py"])
    modules = {
        alias.name: f"{(node.module or '').replace('.', '/')}.py"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    parts = {
        target.id: modules[node.value.func.id]
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Call)
        and isinstance(node.value.func, ast.Name)
        for target in node.targets
        if isinstance(target, ast.Name) and modules.get(node.value.func.id) in SOURCES
    }
    parts |= {
        node.target.id: modules[node.annotation.id]
        for node in ast.walk(tree)
        if isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and isinstance(node.annotation, ast.Name)
        and modules.get(node.annotation.id) in SOURCES
    }
    handed = {
        node.func.value.id
        for function in ast.walk(tree)
        if getattr(function, "name", None) in {"handle", "tell"}
        for node in ast.walk(function)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
    }
    receivers = {parts[name] for name in handed & parts.keys()}
    assert "streams/serving/world_feed.py" in receivers
    followers = {of.code for of in FLOWS if of.role == role and of.reads and of.group is None}
    # Grids that are kept are told whom to forget by who read it.
    assert receivers - {"streams/versions.py", "streams/serving/kept_grids.py"} <= followers


def test_the_table_in_short_is_of_the_table() -> None:
    lines = re.findall(r"^    (.*\S)$", topology.__doc__ or "", flags=re.MULTILINE)
    told: set[str] = set()
    for line in lines:
        reads, names, *rest = (part.strip() for part in line.split("─▶"))
        flows = [flow(name) for name in names.split(", ")]
        written = " ".join(rest)
        for topic in in_full(reads):
            assert all(topic in of.reads for of in flows), line
        for topic in in_full(written):
            assert all(topic in of.writes for of in flows), line
        assert ("store" in written) <= all(of.stores for of in flows), line
        told |= in_full(reads) | in_full(written)
    # Besides those of actions.
    assert told | {"events.follow"} == set(TOPICS)


def in_full(short: str) -> set[str]:
    """The topics of a cell; ``events.*`` are those of all actions."""
    whole = re.sub(r"(?<=, )\.", "explore.", short)
    found: set[str] = set()
    for name in re.findall(r"(?:events|catalog|explore)\.[a-z_*]+", whole):
        if name == "events.*":
            found |= set(actions.MEDIA_EVENT_TOPICS)
        else:
            found |= {t for t in TOPICS if t == name or (name == "catalog.*" and t[:8] == name[:8])}
    return found


def test_commands_are_those_of_the_command_line() -> None:
    single = {command.callback.__name__ for command in cli.app.registered_commands}
    names = {name.replace("_", "-") for name in single}
    names |= {group.name for group in cli.app.registered_groups}
    assert {flow.name.partition(" ")[0] for flow in FLOWS if flow.role == COMMAND} <= names


@pytest.mark.parametrize("role", ROLES)
def test_what_is_followed_is_followed_once(role: str) -> None:
    assert len(set(followed(role))) == len(followed(role))
    assert "explore.forgotten" in followed(role)


def test_the_report_on_experiments_reads_the_actions_it_counts() -> None:
    assert {f"events.{name}" for name in ACTIONS} <= set(flow("experiments").reads)


def freshgrid(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "streams.cli", "topology", *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def test_the_command_tells_of_one_topic() -> None:
    done = freshgrid("explore.touched", "--json")
    told = json.loads(done.stdout)
    assert told["topic"] == "explore.touched"
    assert [end["flow"] for end in told["written_by"]] == [
        "ingest", "hand-over", "rebuild", "replay", "restore",
    ]  # fmt: skip
    assert [(end["flow"], end["group"]) for end in told["read_by"]] == [
        ("sessions", "freshgrid-worker"),
        ("ranking", "freshgrid-ranking"),
        ("backup", None),
        ("restore", None),
        ("viewer export", None),
    ]
    shown = freshgrid("explore.touched").stdout
    assert "freshgrid-ranking" in shown and "streams/ingest.py" in shown


def test_the_command_tells_of_everything() -> None:
    told = json.loads(freshgrid("--json").stdout)
    assert [of["name"] for of in told["flows"]] == [flow.name for flow in FLOWS]
    assert told["topics"].keys() == TOPICS.keys()
    shown = freshgrid().stdout
    assert all(flow.code in shown and flow.name in shown for flow in FLOWS)


def test_an_unknown_topic_is_refused_with_the_nearest() -> None:
    done = freshgrid("explore.touchd")
    assert done.returncode == 2
    assert "'explore.touchd'" in done.stderr and "explore.touched" in done.stderr
