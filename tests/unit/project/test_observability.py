"""Alerts and dashboard ask for metrics that exist, in queries that Prometheus understands."""

from __future__ import annotations

import json
import re
import runpy
from collections.abc import Iterator
from typing import Any

import click
import promql_parser
import pytest
from prometheus_client import REGISTRY
from typer.main import get_command

import infra.metrics
from streams.cli import app
from tests.paths import ROOT

yaml = pytest.importorskip("yaml", reason="needs PyYAML")

FOLDER = ROOT / "infra" / "observability"
#: Of every process, by Prometheus' own client.
OF_PROCESSES = {"process_resident_memory_bytes", "up"}


def rules() -> list[dict[str, Any]]:
    loaded = yaml.safe_load((FOLDER / "alerts.yml").read_text("utf-8"))
    return [rule for group in loaded["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    loaded = json.loads((FOLDER / "grafana" / "freshgrid.json").read_text("utf-8"))
    return [panel for panel in loaded["panels"] if panel["type"] != "row"]


def queries() -> Iterator[tuple[str, str]]:
    yield from ((rule["alert"], rule["expr"]) for rule in rules())
    for panel in panels():
        for target in panel["targets"]:
            yield panel["title"], target["expr"].replace("$__rate_interval", "1m")


def exported() -> set[str]:
    """Names of all samples of Freshgrid's metrics."""
    assert infra.metrics.EVENTS is not None  # Registered when the module is imported.
    suffixes = {
        "counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count"),
    }  # fmt: skip
    known = {
        f"{family.name}{suffix}"
        for family in REGISTRY.collect()
        for suffix in suffixes.get(family.type, ("",))
    }
    return known | OF_PROCESSES | {"freshgrid_lag_records"}


@pytest.mark.parametrize(("name", "query"), list(queries()), ids=lambda text: text[:60])
def test_a_query_is_right_and_asks_for_what_is_exported(name: str, query: str) -> None:
    promql_parser.parse(query)
    asked = set(re.findall(r"\b(?:freshgrid_|process_)\w+|\bup\b", query))
    assert asked and asked <= exported(), f"{name}: {sorted(asked - exported())}"


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule["alert"]))
def test_an_alert_says_what_is_wrong_and_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert rule["annotations"].keys() == {"summary", "action"}
    for command in re.findall(r"freshgrid ((?:[a-z-]+ )?[a-z-]+)", rule["annotations"]["action"]):
        found: click.Command | None = get_command(app)
        for name in command.split():
            if isinstance(found, click.Group):
                found = found.commands.get(name)
        assert found is not None, f"no command: freshgrid {command}"


def test_the_dashboard_is_what_the_generator_writes() -> None:
    made = runpy.run_path(str(ROOT / "docs" / "generate_dashboard.py"))
    current = (FOLDER / "grafana" / "freshgrid.json").read_text("utf-8")
    assert current == made["text"](), "run: make generate"
    ids = [panel["id"] for panel in json.loads(current)["panels"]]
    assert len(set(ids)) == len(ids)


def test_prometheus_reads_the_roles_where_compose_lets_them_serve() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
    config = yaml.safe_load((FOLDER / "prometheus.yml").read_text("utf-8"))
    (job,) = config["scrape_configs"]
    (found,) = job["dns_sd_configs"]
    for role in found["names"]:
        assert compose["services"][role]["environment"]["METRICS_PORT"] == found["port"]
    mounted = str(compose["services"]["prometheus"]["volumes"])
    assert all(name in mounted for name in config["rule_files"])
