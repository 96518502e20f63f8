"""What running roles read, write and store is what the table of contents says."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator

import pytest

from infra.topics import DEAD_LETTERS_TOPIC, EXAMPLES_TOPIC, SESSIONS_TOPIC
from models.actions import MEDIA_EVENT_TOPIC_OF, MEDIA_EVENT_TOPICS
from streams.topology import FLOWS, RANKER, ROLES
from tests.integration.commands import freshgrid
from tests.integration.recording import noted


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory):
    """Role → the file in which it notes what it does."""
    folder = tmp_path_factory.mktemp("notes")
    return {role: folder / role for role in ROLES}


@pytest.fixture(scope="module")
def argv_of(notes) -> Callable[[str], tuple[str, ...]]:
    def recording(role: str) -> tuple[str, ...]:
        module = "tests.integration.recording"
        return (sys.executable, "-m", module, str(notes[role]), "role", role)

    return recording


@pytest.fixture(scope="module", autouse=True)
def everything_soon() -> Iterator[None]:
    """Pages are labelled at once, every grid is sampled."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LABEL_WINDOW_MS", "500")
        patch.setenv("LABEL_LATE_MS", "100")
        patch.setenv("SAMPLED_GRIDS_PER_MINUTE", "1e9")
        yield


def table(role: str, *, asked: bool = False) -> set[tuple[str, ...]]:
    """What the table says of a role, as it is noted; or what it does only when it is asked to."""
    flows = [flow for flow in FLOWS if flow.role == role and flow.asked == asked]
    return {
        *(("reads", topic, flow.group) for flow in flows for topic in flow.reads),
        *(("writes", topic) for flow in flows for topic in flow.writes),
        *(("stores", key) for flow in flows for key in flow.stores),
    }


def test_roles_do_what_the_table_says(explore, notes) -> None:
    viewer, media, author = explore.new_viewer(), "unheard-of", "somebody"
    explore.act("events.like", explore.event(viewer, media, author_id=author))
    first = explore.page(viewer).raise_for_status().json()
    explore.page(viewer, first["next"]).raise_for_status()
    explore.http.put("/v1/weights", json={"who": "test", "weights": {"like": 1.0}})
    actions = [
        {"action": action, **explore.event(viewer, media)} for action in MEDIA_EVENT_TOPIC_OF
    ]
    follow = {"kind": "follow", **explore.event(viewer, media, author_id=author)}
    assert explore.http.post("/v1/events", json=[*actions, follow]).status_code == 202
    post = {"media_id": "put", "author_id": author, "created_ts": 1}
    assert explore.http.put("/v1/catalogue/media", json=post).status_code == 202
    put = explore.http.put("/v1/catalogue/accounts", json={"account_id": "put"})
    assert put.status_code == 202
    # Each event waits for its media, and comes back.
    for topic in MEDIA_EVENT_TOPICS:
        waiting = f"late-{topic}"
        explore.send(topic, explore.event(viewer, waiting), viewer)
        explore.wait(lambda waiting=waiting: explore.redis.exists(f"parked:{{{waiting}}}"))
        explore.post(author, media_id=waiting)
    for topic in ("events.like", SESSIONS_TOPIC):
        explore.send(topic, b"garbage")
    explore.redis.set("viewer:{damaged}", b"garbage")
    explore.act("events.like", explore.event("damaged", media, author_id=author))
    explore.wait(lambda: explore.records(EXAMPLES_TOPIC))

    explore.wait(lambda: all(table(role) <= noted(notes[role]) for role in ROLES))
    assert {role: noted(notes[role]) for role in ROLES} == {role: table(role) for role in ROLES}

    # Operators look, and send again what could not be applied.
    assert explore.http.get("/v1/operations").json()["log"] is not None
    letters = explore.http.get("/v1/dead-letters").json()["dead_letters"]
    [letter] = [one["id"] for one in letters if one["topic"] == "events.like"]
    mended = json.dumps(explore.event(viewer, media, author_id=author))
    path = f"/v1/dead-letters/{letter}/redrive"
    assert explore.http.post(path, json={"value": mended}).status_code == 200
    more = noted(notes[RANKER]) - table(RANKER)
    assert {("reads", DEAD_LETTERS_TOPIC, None), ("writes", DEAD_LETTERS_TOPIC)} <= more
    assert more <= table(RANKER, asked=True)


@pytest.mark.parametrize(
    "arguments",
    [
        ("experiments",),
        ("weights", "set", "like=2"),
        ("inspect", "index"),
        ("versions", "rollback", "rankers"),
        ("send", "like", "--viewer", "v", "--media", "m", "--author", "a"),
        ("evaluate", "rankers"),
    ],
    ids=" ".join,
)
def test_commands_do_what_the_table_says(explore, arguments: tuple[str, ...]) -> None:
    freshgrid(explore.settings, *arguments)
