"""Write what ``transport.md`` says of rights, and the users of Redis, from the table of flows.

``python docs/generate_transport.py`` writes both; a unit test says when they are out of date.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from streams.access_lists import IDENTITIES, kafka_rights, redis_rights

PAGE: Final = Path(__file__).with_name("transport.md")
#: Users of Redis as `aclfile` has them, but for their passwords.
USERS: Final = PAGE.parents[1] / "infra" / "compose" / "secure" / "redis_users.in"
_SECTION: Final = re.compile(
    r"(<!-- generated from the flows -->\n)(.*?)(<!-- end -->\n)", re.DOTALL
)


def text() -> str:
    """The page with the table as it is now."""
    current = PAGE.read_text(encoding="utf-8")
    return _SECTION.sub(lambda m: m[1] + _table() + m[3], current)


def users() -> str:
    """A line for each identity; ``#NAME`` stands for the digest of its password."""
    rules_of = {of: rights.rules() for of in IDENTITIES if (rights := redis_rights(of))}
    told = (
        f"user {of} {' '.join([*rules[:2], f'#{of}', *rules[2:]])}"
        for of, rules in rules_of.items()
    )
    return "\n".join(["user default off", *told, ""])


def _table() -> str:
    head = "\n| identity | Kafka | Redis |\n|---|---|---|\n"
    return head + "".join(f"| `{of}` | {_kafka(of)} | {_redis(of)} |\n" for of in IDENTITIES) + "\n"


def _kafka(identity: str) -> str:
    by_operation: dict[str, list[str]] = {}
    for right in kafka_rights(identity):
        name = f"`{right.name}{'*' if right.prefixed else ''}`"
        by_operation.setdefault(f"{right.operation} of {right.resource}s", []).append(name)
    return "; ".join(f"{what} {', '.join(of)}" for what, of in by_operation.items()) or "nothing"


def _redis(identity: str) -> str:
    rights = redis_rights(identity)
    if rights is None:
        return "nothing"
    parts = (
        ("keys", rights.keys),
        ("keys to read", rights.read_only),
        ("channels", rights.channels),
        ("commands", rights.commands),
    )
    told = [f"{what} {', '.join(f'`{one}`' for one in of)}" for what, of in parts if of]
    return "; ".join(told).replace("|", "\\|")


def main() -> None:
    """Write both files."""
    USERS.write_text(users(), encoding="utf-8")
    PAGE.write_text(text(), encoding="utf-8")


if __name__ == "__main__":
    main()
