"""Write what ``contracts.md`` and ``asyncapi.yaml`` say of actions, from the table of actions.

``python docs/generate_actions.py`` writes it; a unit test says when it is out of date.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Final

from models.actions import ACTION_NAMES, FOLLOW_TOPIC, MEDIA_EVENT_TOPICS, TOPIC_CODES, Action

DOCS: Final = Path(__file__).parent

#: A part of a page between two comments, Markdown's or YAML's.
_SECTION: Final = re.compile(
    r"( *(?:<!--|#) generated from the actions: (\w+)(?: -->)?\n)"
    r"(.*?)( *(?:<!--|#) end(?: -->)?\n)",
    re.DOTALL,
)
_POLARITY: Final = {1: "wants more", 0: "neither", -1: "wants less"}


def texts() -> dict[str, str]:
    """File name → the page with everything generated as the table has it now."""
    return {name: _page(name) for name in ("contracts.md", "asyncapi.yaml")}


def _page(name: str) -> str:
    current = (DOCS / name).read_text(encoding="utf-8")
    filled = _SECTION.sub(lambda m: m[1] + _SECTIONS[m[2]]() + m[4], current)
    # The lists in the examples of other languages.
    names = json.dumps(ACTION_NAMES)
    filled = re.sub(r"^ACTIONS = \(.*\)$", f"ACTIONS = ({names[1:-1]})", filled, flags=re.M)
    return re.sub(r"^const ACTIONS = .*;$", f"const ACTIONS = {names};", filled, flags=re.M)


def _actions() -> str:
    head = "| action | the viewer | topic | action code | topic code | log | says | weight |\n"
    rows = [
        f"| `{action.word}` | {row.meaning} | `{row.topic}`{', `long` true' * row.long} | "
        f"{action.value} | {row.topic_code} | `{row.log}` | {_POLARITY[row.polarity]} | "
        f"{'–' if row.worth is None else f'{row.worth:g}'} |\n"
        for action in Action
        for row in (action.row,)
    ]
    follow = (
        f"| | followed, blocked or muted an author | `{FOLLOW_TOPIC}` | – | "
        f"{TOPIC_CODES[FOLLOW_TOPIC]} | – | | – |\n"
    )
    return "\n" + head + "|---|---|---|---|---|---|---|---|\n" + "".join(rows) + follow + "\n"


def _channels() -> str:
    return "".join(
        f"  {_camel(topic)}:\n"
        f"    address: {topic}\n"
        f"    description: A viewer {_meanings(topic)}, or took that back.\n"
        "    messages: {mediaEvent: {$ref: '#/components/messages/mediaEvent'}}\n"
        "    bindings: {kafka: {topicConfiguration: {cleanup.policy: [delete]}}}\n"
        for topic in MEDIA_EVENT_TOPICS
    )


def _operations() -> str:
    return "".join(
        f"  receive{_camel(topic)[0].upper()}{_camel(topic)[1:]}: "
        f"{{action: receive, channel: {{$ref: '#/channels/{_camel(topic)}'}}}}\n"
        for topic in MEDIA_EVENT_TOPICS
    )


def _meanings(topic: str) -> str:
    return "; where `long` is true, ".join(
        action.row.meaning
        for action in sorted(Action, key=lambda action: action.row.long)
        if action.row.topic == topic
    )


def _camel(topic: str) -> str:
    first, *others = topic.removeprefix("events.").split("_")
    return first + "".join(word.capitalize() for word in others)


_SECTIONS: Final = {"actions": _actions, "channels": _channels, "operations": _operations}


def main() -> None:
    """Write both pages."""
    for name, text in texts().items():
        (DOCS / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
