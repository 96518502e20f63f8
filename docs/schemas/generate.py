"""Write the JSON Schemas in this folder from the types that the code reads and writes.

``python docs/schemas/generate.py`` writes them; a unit test says when they are out of date.
"""

from __future__ import annotations

import json
from inspect import cleandoc
from pathlib import Path
from typing import Any, Final

import msgspec

from models.events import MAX_ID_BYTES, MIN_TS_MS, Account, FollowEvent, Media, MediaEvent
from models.examples.candidate_log import LoggedCandidates
from models.examples.from_pages import LabelledPage
from models.explore.compact import CompactPage
from models.explore.impressions import Impression, Page, StoredGrid
from models.viewers.forgotten import Forgotten
from streams.dead_letter import DeadLetter
from streams.log.dead_letters import Redriven
from streams.packing import Touched
from streams.serving.world_feed import Embedding
from streams.sessions import ClosedSession
from streams.versions import Version

FOLDER: Final = Path(__file__).parent

#: File name → what it describes.
TYPES: Final[dict[str, type]] = {
    "media_event": MediaEvent,
    "follow_event": FollowEvent,
    "media": Media,
    "account": Account,
    "touched": Touched,
    "session": ClosedSession,
    "embedding": Embedding,
    "version": Version,
    "dead_letter": DeadLetter,
    "redriven": Redriven,
    "forgotten": Forgotten,
    "grid": StoredGrid,
    "page": Page,
    "compact_page": CompactPage,
    "impression": Impression,
    "labelled_page": LabelledPage,
    "logged_candidates": LoggedCandidates,
}

_IDS: Final = ("event_id", "viewer_id", "media_id", "author_id", "account_id", "request_id")
#: Checks beyond the types (``models/events.py``), for what producers send. The limit of an id is
#: in bytes of UTF-8, which JSON Schema cannot say: as many characters is the closest it comes.
_LIMITS: Final[dict[str, dict[str, Any]]] = {
    **{name: {"maxLength": MAX_ID_BYTES} for name in _IDS},
    "ts": {"minimum": MIN_TS_MS},
    "created_ts": {"minimum": 0},
}
_PRODUCED: Final = (MediaEvent, FollowEvent, Media, Account)


def schema(described: type) -> dict[str, Any]:
    """The JSON Schema of one type."""
    found = msgspec.json.schema(described)
    for definition in found["$defs"].values():
        # Python 3.13 removes the indentation of docstrings itself, older ones do not.
        definition["description"] = cleandoc(definition["description"])
    if described in _PRODUCED:
        for name, field in found["$defs"][described.__name__]["properties"].items():
            for branch in field.get("anyOf", [field]):
                if branch.get("type") != "null":
                    branch.update(_LIMITS.get(name, {}))
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found}


def texts() -> dict[str, str]:
    """File name → content of every schema."""
    return {
        f"{name}.schema.json": json.dumps(schema(described), indent=2) + "\n"
        for name, described in TYPES.items()
    }


def main() -> None:
    """Write every schema."""
    for name, text in texts().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
