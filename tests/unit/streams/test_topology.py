"""The table of contents is whole, and names what there is."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from infra import topics
from infra.topics import TOPICS
from streams import cli
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


#: Parts that flows share, and what composes them.
SHARED = {
    "streams/log/dead_letters.py",
    "streams/log/fold.py",
    "streams/log/replay.py",
    "streams/versions.py",
    "streams/local/scenario.py",
    *(f"streams/roles/{role}.py" for role in ROLES),
}


def test_whoever_reads_or_sends_stands_in_the_table() -> None:
    client = re.compile(
        r"\b(LogReader|Follower|AIOKafkaConsumer|AIOKafkaProducer|Outbox|batch_sender|"
        r"send_in_batches|sync_producer|live_versions)\("
    )
    files = {
        path.relative_to(ROOT).as_posix(): path.read_text()
        for path in (ROOT / "streams").rglob("*.py")
        if "bench" not in path.parts
    }
    found = {name for name, text in files.items() if client.search(text)}
    assert found - SHARED <= {flow.code for flow in FLOWS}
    assert found >= SHARED


def test_commands_are_those_of_the_command_line() -> None:
    single = {command.callback.__name__ for command in cli.app.registered_commands}
    names = {name.replace("_", "-") for name in single}
    names |= {group.name for group in cli.app.registered_groups}
    assert {flow.name.partition(" ")[0] for flow in FLOWS if flow.role == COMMAND} <= names


@pytest.mark.parametrize("role", ROLES)
def test_what_is_followed_is_followed_once(role: str) -> None:
    assert len(set(followed(role))) == len(followed(role))
    assert bool(followed(role)) == (role != "worker")


def test_the_report_on_experiments_reads_the_actions_it_counts() -> None:
    assert {f"events.{name}" for name in ACTIONS} <= set(flow("experiments").reads)


def freshgrid(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "streams.cli", "topology", *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def test_the_command_tells_of_one_topic() -> None:
    done = freshgrid("explore.touched", "--json")
    told = json.loads(done.stdout)
    assert told["topic"] == "explore.touched"
    assert [end["flow"] for end in told["written_by"]] == ["ingest", "rebuild", "replay"]
    assert [(end["flow"], end["group"]) for end in told["read_by"]] == [
        ("sessions", "freshgrid-worker"),
        ("ranking", "freshgrid-ranking"),
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
