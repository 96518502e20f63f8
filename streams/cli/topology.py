"""``freshgrid topology``: who writes and who reads which topic."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Annotated, Any

import typer

from infra.errors import SettingsError
from streams.cli.common import Json, load_settings, show
from streams.topology import FLOWS, Flow, topics_of


def topology(
    topic: Annotated[str | None, typer.Argument(help="Only this topic.")] = None,
    create: Annotated[
        bool, typer.Option("--create", help="Create the topics that are missing, and end.")
    ] = False,
    json: Json = False,
) -> None:
    """Every flow: the topics that it reads and writes, what it stores, the file to read."""
    if create:
        import asyncio

        from infra.kafka import prepare_cluster

        found = asyncio.run(prepare_cluster(load_settings()))
        show({"log_id": found.log_id, "partitions": found.partitions}, as_json=json)
        return
    topics = topics_of(FLOWS)
    if topic is None:
        if json:
            show({"flows": [flow._asdict() for flow in FLOWS], "topics": topics}, as_json=True)
            return
        for flow in FLOWS:
            _print_flow(flow)
        return
    if topic not in topics:
        near = get_close_matches(topic, topics, n=1) or topics
        raise SettingsError(f"there is no topic {topic!r}; did you mean {' or '.join(near)}?")
    if json:
        show({"topic": topic, **topics[topic]}, as_json=True)
        return
    print(f"{topic} ({topics[topic]['kept']})")
    for what, ends in (("written by", "written_by"), ("read by", "read_by")):
        for end in topics[topic][ends]:
            print(f"  {what:<10} {_named(end)}")


def _named(end: dict[str, Any]) -> str:
    group = f", group {end['group']}" if end.get("group") else ""
    return f"{end['role']} {end['flow']} ({end['code']}{group})"


def _print_flow(flow: Flow) -> None:
    print(f"{flow.role} {flow.name} ({flow.code})")
    how = f"group {flow.group}" if flow.group else "whole"
    for what, names in (
        (f"reads ({how})", flow.reads),
        ("writes", flow.writes),
        ("stores", flow.stores),
    ):
        if names:
            print(f"  {what:<33} {', '.join(names)}")
