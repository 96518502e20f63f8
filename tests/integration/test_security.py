"""Keys at a real ranker, a viewer who is forgotten, and secrets that nothing says."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.client import Client, ProblemError
from infra.supervisor import free_port
from infra.topics import FORGOTTEN_TOPIC, VIEWER_TOPICS
from streams.clock import now_ms
from streams.log.rebuild import replay_log_offline
from streams.rights.export import is_of
from tests.integration.conftest import DEADLINE_S, Explore

#: Marked, so that each can be found in whatever is said.
API_KEY = "marked-api-key-5b0b4a10-5b0b4a10-5b0b4a10"
SIGNING = "marked-signing-secret-9f1d2c33-9f1d2c33"


@pytest.fixture(scope="module", autouse=True)
def signed_by_all() -> Iterator[None]:
    """Every ranker of the stack signs with this secret, as those of one installation must."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SIGNING_SECRET", SIGNING)
        yield


def env_of(explore: Explore, **more: str) -> dict[str, str]:
    """The environment of a process of the stack; what comes from a file comes from nowhere else."""
    env = explore.env(**more)
    return {name: value for name, value in env.items() if f"{name}_FILE" not in more}


def run(explore: Explore, *arguments: str, code: int = 0, **env: str) -> str:
    command = [sys.executable, "-m", "streams.cli", *arguments]
    done = subprocess.run(command, env=env_of(explore, **env), capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


class Keyed:
    """Another ranker of the stack, beyond loopback, with its secrets in files."""

    def __init__(self, explore: Explore, folder: Path) -> None:
        files = {"API_KEY": API_KEY, "SIGNING_SECRET": SIGNING}
        for name, secret in files.items():
            (folder / name).write_text(secret + "\n")
        self.env = {f"{name}_FILE": str(folder / name) for name in files}
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.log = folder / "ranker.log"
        env = env_of(
            explore, HTTP_HOST="0.0.0.0", HTTP_PORT=str(port), LOG_LEVEL="DEBUG", **self.env
        )
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "streams.app", "ranker"],
                env=env, stdout=subprocess.PIPE, stderr=log, text=True,
            )  # fmt: skip
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n", self.log.read_text()
        self.http = httpx.Client(base_url=self.url, trust_env=False, timeout=30)

    def close(self) -> None:
        self.http.close()
        self.process.terminate()
        with self.process:
            assert self.process.wait(DEADLINE_S) == 0


@pytest.fixture(scope="module")
def keyed(explore: Explore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keyed]:
    started = Keyed(explore, tmp_path_factory.mktemp("keyed"))
    yield started
    started.close()


def created(explore: Explore, name: str, *scopes: str) -> dict[str, Any]:
    options = [word for scope in scopes for word in ("--scope", scope)]
    told = run(explore, "keys", "create", name, *options, "--json")
    made: dict[str, Any] = json.loads(told.splitlines()[-1])
    return made


def test_without_keys_nobody_else_is_listened_to(explore: Explore) -> None:
    command = [sys.executable, "-m", "streams.app", "ranker"]
    env = explore.env(HTTP_HOST="0.0.0.0", HTTP_PORT=str(free_port()))
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=DEADLINE_S)
    assert done.returncode == 2
    assert "freshgrid keys create" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_key_opens_within_seconds_and_not_after_it_is_revoked(
    explore: Explore, keyed: Keyed
) -> None:
    assert keyed.http.get("/healthz").status_code == 200
    assert keyed.http.get("/v1/explore/ann").status_code == 401
    made = created(explore, "a test", "read")
    headers = {"Authorization": f"Bearer {made['key']}"}

    def status() -> int:
        return keyed.http.get("/v1/explore/ann", headers=headers).status_code

    explore.wait(lambda: status() == 200)
    assert keyed.http.put("/v1/weights", json={}, headers=headers).status_code == 403
    listed = run(explore, "keys", "list", "--json")
    assert made["id"] in listed
    assert made["key"] not in listed
    run(explore, "keys", "revoke", made["id"])
    revoked = time.monotonic()
    explore.wait(lambda: status() == 401)
    assert time.monotonic() - revoked < 5


def test_a_browser_has_a_token_of_its_viewer(explore: Explore, keyed: Keyed) -> None:
    viewer = explore.known_viewer()
    with Client(keyed.url, key=API_KEY) as backend:
        token = backend.create_token({"viewer_id": viewer, "seconds": 60})
    with Client(keyed.url, key=token["token"]) as browser:
        item = browser.explore(viewer)["items"][0]
        event = {"action": "like", "event_id": "by token", "media_id": item["media_id"],
                 "author_id": item["author_id"], "ts": now_ms()}  # fmt: skip
        with browser.live(viewer) as grids:
            assert next(grids)["viewer_id"] == viewer
            assert browser.send_events(event | {"viewer_id": viewer})["accepted"] == 1
            assert next(grids)["viewer_id"] == viewer
        for refused in (
            lambda: browser.explore("somebody"),
            lambda: browser.send_events(event | {"viewer_id": "somebody"}),
            lambda: browser.status(),
        ):
            with pytest.raises(ProblemError) as caught:
                refused()
            assert caught.value.status in (403, 422)


def test_made_up_viewers_leave_nothing_in_redis(explore: Explore) -> None:
    before = explore.redis.dbsize()
    for number in range(50):
        page = explore.page(f"made-up-{number}").raise_for_status().json()
        assert page["viewer_id"] == f"made-up-{number}"
        assert page["items"]
    assert not list(explore.redis.scan_iter("*made-up-*"))
    assert explore.redis.dbsize() <= before + 1


def places_of(explore: Explore, viewer: str) -> dict[str, set[tuple[int, int]]]:
    """Where each topic names a viewer."""
    return {
        topic: {
            (r.partition, r.offset)
            for r in explore.records(topic)
            if is_of(topic, r.key, r.value, viewer) or viewer.encode() in (r.value or b"")
        }
        for topic in (*VIEWER_TOPICS, FORGOTTEN_TOPIC)
    }


def in_redis(explore: Explore, viewer: str) -> list[bytes]:
    """Keys of Redis that name a viewer, in the key or in what they hold."""
    found, name = [], viewer.encode()
    read = {b"string": "get", b"hash": "hgetall", b"zset": "zrange", b"list": "lrange"}
    for key in explore.redis.scan_iter():
        how = read[explore.redis.type(key)]
        span = (0, -1) if how.endswith("range") else ()
        if name in key or name in repr(getattr(explore.redis, how)(key, *span)).encode():
            found.append(key)
    return found


def test_a_forgotten_viewer_is_nowhere_and_does_not_come_back(explore: Explore) -> None:
    viewer, media = explore.new_viewer(), explore.post("somebody")
    like = explore.event(viewer, media, author_id="somebody")
    explore.act("events.like", like)
    page = explore.page(viewer).json()
    assert explore.page(viewer, page["next"]).status_code == 200
    explore.send("events.like", explore.event(viewer, "a media that never comes"), viewer)
    explore.send("events.like", b"{bad", viewer)
    explore.wait(lambda: places_of(explore, viewer)["explore.dead_letters"])
    explore.wait(lambda: len(places_of(explore, viewer)["explore.impressions"]) >= 2)
    told = [json.loads(line) for line in run(explore, "viewer", "export", viewer).splitlines()]
    kinds = {one.get("topic") or one.get("key") or one["of"] for one in told}
    assert {"state", f"viewer:{{{viewer}}}", f"grid:{{{viewer}}}", "events.like",
            "explore.impressions", "explore.dead_letters", "explore.touched"} <= kinds  # fmt: skip
    assert "parked:{a media that never comes}" in kinds

    report = json.loads(run(explore, "viewer", "forget", viewer, "--json").splitlines()[-1])
    assert report["deleted"] >= 4
    assert report["kept_until_ms"].keys() == set(VIEWER_TOPICS)
    assert in_redis(explore, viewer) == []
    before = places_of(explore, viewer)

    # Whatever comes after is refused: over HTTP, and where it stands in the log it goes nowhere.
    body = {"action": "like", **explore.event(viewer, media, author_id="somebody")}
    assert explore.http.post("/v1/events", json=body).json()["errors"][0]["reason"] == "forgotten"
    sent = explore.send("events.like", like | {"event_id": "later", "ts": now_ms()}, viewer)
    explore.send("events.like", b"{bad, later", viewer)
    other = explore.known_viewer()
    assert explore.page(viewer).json()["next"] is None
    assert explore.page(other).status_code == 200
    assert in_redis(explore, viewer) == []
    after = places_of(explore, viewer)
    new = {topic: places - before[topic] for topic, places in after.items()}
    assert {at[1] for at in new.pop("events.like")} >= {sent}
    assert {topic: places for topic, places in new.items() if places} == {}

    # A rebuild folds the log without it.
    folded = asyncio.run(replay_log_offline(explore.settings))
    states = run(explore, "viewer", "export", viewer).splitlines()
    assert json.loads(states[0])["value"]["authors"] == {}
    assert folded["viewers"] > 0

    run(explore, "viewer", "allow", viewer)
    again = {"action": "like", **explore.event(viewer, media, author_id="somebody")}

    def taken() -> bool:
        answer = explore.http.post("/v1/events", json=again | {"ts": now_ms()})
        return answer.status_code == 202

    explore.wait(taken)
    assert explore.wait(lambda: explore.inspect(viewer)["authors"])["somebody"]["like"] == 1


def test_nothing_says_a_secret(explore: Explore, keyed: Keyed) -> None:
    made = created(explore, "marked", "admin")
    secret = made["key"].rpartition("_")[2]
    said = [
        run(explore, "keys", "list", **keyed.env),
        run(explore, "keys", "create", "x", "--scope", "none", code=2, **keyed.env),
        run(explore, "viewer", "export", "nobody", **keyed.env),
    ]
    doctor = subprocess.run(
        [sys.executable, "-m", "streams.cli", "doctor"],
        env=env_of(explore, **keyed.env), capture_output=True, text=True,
    )  # fmt: skip
    said.append(doctor.stdout + doctor.stderr)
    for key in (API_KEY, made["key"], "wrong-" + SIGNING):
        headers = {"Authorization": f"Bearer {key}"}
        for path in ("/v1/status", "/v1/operations", "/healthz", "/readyz", f"/v1/{key}"):
            answer = keyed.http.get(path, headers=headers)
            said.append(answer.text + repr(answer.headers))
    said.append(keyed.log.read_text())
    said += [path.read_text() for path in explore.stack.run_dir.glob("*.log")]
    for marked in (API_KEY, SIGNING, secret):
        assert not [text for text in said if marked in text], marked
    assert os.environ.get("API_KEY") is None
