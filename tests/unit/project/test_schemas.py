"""The published schemas are those of the code, and the AsyncAPI document describes its topics."""

import json
import runpy
from typing import Any

import pytest

from infra.topics import TOPICS
from models.actions import EVENT_TOPICS
from streams.log.replay import KEY_FIELD
from tests.paths import FIXTURES, ROOT

yaml = pytest.importorskip("yaml", reason="needs PyYAML")

DOCS = ROOT / "docs"
SCHEMAS = DOCS / "schemas"
FIXTURE = FIXTURES / "tiny.jsonl"


@pytest.fixture(scope="module")
def asyncapi() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((DOCS / "asyncapi.yaml").read_text())
    return loaded


def test_the_schemas_are_up_to_date() -> None:
    texts = runpy.run_path(str(SCHEMAS / "generate.py"))["texts"]()
    assert texts == {path.name: path.read_text() for path in SCHEMAS.glob("*.json")}, (
        "run python docs/schemas/generate.py"
    )


def test_the_channels_are_the_topics_of_the_code(asyncapi: dict[str, Any]) -> None:
    channels = asyncapi["channels"].values()
    policies = {
        channel["address"]: channel["bindings"]["kafka"]["topicConfiguration"]["cleanup.policy"]
        for channel in channels
    }
    assert policies == {topic: [config["cleanup.policy"]] for topic, config in TOPICS.items()}


def test_every_reference_exists(asyncapi: dict[str, Any]) -> None:
    references = list(_references(asyncapi))
    assert references
    for reference in references:
        file, _, pointer = reference.partition("#")
        found = json.loads((DOCS / file).read_text()) if file else asyncapi
        for part in filter(None, pointer.split("/")):
            found = found[part.replace("~1", "/").replace("~0", "~")]


def test_every_channel_has_a_message_and_an_operation(asyncapi: dict[str, Any]) -> None:
    assert all(channel["messages"] for channel in asyncapi["channels"].values())
    used = {operation["channel"]["$ref"] for operation in asyncapi["operations"].values()}
    assert used == {f"#/channels/{name}" for name in asyncapi["channels"]}


def test_what_the_fixture_sends_has_the_fields_of_the_schemas(asyncapi: dict[str, Any]) -> None:
    """Every field that real records carry is published, and every required one is there."""
    by_topic = {}
    for channel in asyncapi["channels"].values():
        message, *_ = channel["messages"].values()
        file = asyncapi["components"]["messages"][message["$ref"].split("/")[-1]]["payload"]["$ref"]
        by_topic[channel["address"]] = _type(json.loads((DOCS / file).read_text()))
    topics = set()
    for line in FIXTURE.read_text().splitlines():
        record = json.loads(line)
        topic = record.pop("topic")
        described = by_topic[topic]
        assert set(described["required"]) <= record.keys() <= described["properties"].keys()
        topics.add(topic)
    assert topics == {*EVENT_TOPICS, *KEY_FIELD} & topics
    assert len(topics) > 3


def _type(schema: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = schema["$defs"][schema["$ref"].rpartition("/")[2]]
    return found


def _references(node: Any) -> Any:
    if isinstance(node, dict):
        for name, value in node.items():
            if name == "$ref":
                yield value
            else:
                yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)
