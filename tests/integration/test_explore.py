"""The whole way of an event: Kafka → state → vectors → trained rankers → grid in Redis and HTTP."""

from __future__ import annotations

import base64
import itertools
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest

from infra.access.guard import signing_key
from infra.redis_access import SECRET as ACCESS_SECRET
from infra.supervisor import free_port
from infra.topics import EMBEDDINGS_TOPIC, IMPRESSIONS_TOPIC, SESSIONS_TOPIC
from models.actions import HEAD_NAMES
from models.explore.cursor import MAX_PAGES, Cursor
from models.explore.experiment import parse
from models.ig2vec.model import Ig2VecConfig
from models.rankers.value import Weights
from tests.paths import FIXTURES

TINY = FIXTURES / "tiny.jsonl"
RECORDS = [json.loads(line) for line in TINY.read_text().splitlines()]
CATALOGUE = {r["media_id"]: r["author_id"] for r in RECORDS if r["topic"] == "catalog.media"}
LIKES = Counter(r["viewer_id"] for r in RECORDS if r["topic"] == "events.like")
#: The viewer of the fixture with most likes.
FAN = max(sorted(LIKES), key=LIKES.__getitem__)
MINUTE_MS = 60_000


def ids(items):
    return [item["media_id"] for item in items]


# What a grid is.


def test_grids_come_from_the_trained_models_that_are_live(explore):
    versions = explore.status()["versions"]
    assert versions["rankers"].startswith("rankers-")
    assert versions["ig2vec"]
    answer = explore.page(FAN).json()
    # Few likes in the fixture: no item weights.
    assert (versions.pop("items"), answer["versions"]["items"]) == (None, "")
    assert {name: answer["versions"][name] for name in versions} == versions
    assert len(answer["items"]) == 25
    assert [item["position"] for item in answer["items"]] == list(range(25))
    assert len(set(ids(answer["items"]))) == 25
    assert all(CATALOGUE[item["media_id"]] == item["author_id"] for item in answer["items"])


def value_terms(explore, viewer: str, item: dict[str, Any]) -> dict[str, float]:
    """What the value of an item in a viewer's grid is made of, by head."""
    asked = {"viewer_id": viewer, "media_id": item["media_id"]}
    told = explore.http.get("/v1/explain", params=asked).raise_for_status().json()["media"]["value"]
    terms = {name: told[name] for name in HEAD_NAMES}
    assert sum(terms.values()) - told["penalty"] == pytest.approx(told["value"])
    # It is ranked anew, a moment later.
    assert told["value"] == pytest.approx(item["value"], rel=0.05)
    return terms


def test_a_grid_is_in_order_of_value(explore):
    items = explore.page(FAN).json()["items"]
    drawn = [item for item in items if item["propensity"] < 1.0]
    assert len(drawn) <= 1
    assert not any(item["position"] < 5 for item in drawn)
    items = [item for item in items if item["propensity"] == 1.0]
    predicted_nh = np.array([list(item["probabilities"].values()) for item in items])
    assert list(items[0]["probabilities"]) == list(HEAD_NAMES)
    # Trained heads tell items apart, a prior would not.
    assert (np.ptp(predicted_nh[:, :2], axis=0) > 0).all()
    value_n = np.array([item["value"] for item in items])
    terms = value_terms(explore, FAN, items[0])
    assert all(terms[name] > 0 for name in ("like", "save", "share"))
    assert terms["see_fewer"] < 0
    # Diversity moves items a little; the best stays first and the better half in front.
    assert value_n[0] == value_n.max()
    assert value_n[:12].mean() > value_n[13:].mean()
    for item in items:
        assert item["stages"]["candidate_rank"] < 500
        assert item["stages"]["first_rank"] < 150
        assert item["stages"]["second_rank"] < 50


def test_redis_and_http_give_the_same_grid(explore):
    served = explore.page(FAN).json()
    stored = explore.stored_grid(FAN)
    assert stored.pop("features")
    assert stored.pop("compact")["media_ids"] == ids(stored["items"])
    assert len(stored.pop("stamp")) == 36
    assert stored == served


def test_what_the_viewer_has_seen_is_not_shown_again(explore):
    seen = {r["media_id"] for r in RECORDS if r.get("viewer_id") == FAN and "media_id" in r}
    assert seen
    assert not seen & explore.reach(FAN).keys()


def test_an_unknown_viewer_gets_a_cold_start_grid(explore):
    answer = explore.page(explore.new_viewer())
    assert answer.status_code == 200
    grid = answer.json()
    assert len(grid["items"]) == 25
    assert grid["reflects_ts"] == 0
    assert {item["source"] for item in grid["items"]} <= {"popular", "fresh"}


@pytest.mark.parametrize(
    "viewer",
    ["зритель-🦊", "a/b", "/", "%2F", "a b?c=d#e&f", "{a}:{b}", '"\\', "x" * 128, "ü" * 64],
)
def test_any_id_that_events_may_carry_has_a_grid(explore, viewer):
    grid = explore.page(viewer).raise_for_status().json()
    assert (grid["viewer_id"], len(grid["items"])) == (viewer, 25)
    after = explore.act(
        "events.like", explore.event(viewer, grid["items"][0]["media_id"], author_id="a")
    )
    assert after["viewer_id"] == viewer
    following = explore.page(viewer, explore.page(viewer).json()["next"])
    assert following.raise_for_status().json()["viewer_id"] == viewer


@pytest.mark.parametrize("viewer", ["", "x" * 129, "ü" * 65])
def test_an_id_that_no_event_may_carry_is_refused(explore, viewer):
    assert explore.page(viewer).status_code == 422


# Pages.


def test_pages_never_repeat_and_end_with_the_inventory(explore):
    viewer = explore.new_viewer()
    shown, cursors, cursor = [], [], None
    while True:
        page = explore.page(viewer, cursor).raise_for_status()
        answer = page.json()
        shown += ids(answer["items"])
        if answer["next"] is None:
            break
        cursors.append((answer["next"], page))
        cursor = answer["next"]
    assert len(cursors) >= 8
    assert len(shown) == len(set(shown))
    assert set(shown) >= CATALOGUE.keys()
    # The series is still there, page by page.
    for (cursor, _), (_, page) in itertools.pairwise(cursors):
        assert explore.page(viewer, cursor).content == page.content


def test_a_like_between_pages_changes_no_page_and_repeats_nothing(explore):
    viewer = explore.new_viewer()
    first = explore.page(viewer).json()
    second = explore.page(viewer, first["next"])
    liked, unshown = second.json()["items"][0], explore.reach(FAN)
    shown = [*ids(first["items"]), *ids(second.json()["items"])]
    explore.act("events.like", explore.event(viewer, liked["media_id"]))
    later = next(media for media in unshown if media not in shown)
    explore.act("events.like", explore.event(viewer, later))
    assert explore.page(viewer, first["next"]).content == second.content
    cursor = second.json()["next"]
    while cursor is not None:
        answer = explore.page(viewer, cursor).json()
        shown += ids(answer["items"])
        cursor = answer["next"]
    assert len(shown) == len(set(shown))
    assert later not in shown  # liked elsewhere meanwhile: seen
    # A new series starts from what is known now.
    assert not {liked["media_id"], later} & explore.reach(viewer).keys()


def test_two_requests_at_once_for_one_page_get_the_same(explore):
    viewer = explore.new_viewer()
    cursor = explore.page(viewer).json()["next"]
    answers = []

    def ask():
        url = f"{explore.stack.endpoints.http}/v1/explore/{viewer}"
        answers.append(httpx.get(url, params={"cursor": cursor}, trust_env=False).content)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(answers)) == 1
    assert len(answers) == 4


def test_a_bad_cursor_is_one_clear_sentence(explore):
    viewer = explore.new_viewer()
    good = explore.page(viewer).json()["next"]
    stored = explore.redis.get(ACCESS_SECRET)
    key = signing_key(stored, "cursors")
    cursor = Cursor.parse(good, viewer, key)

    def encoded(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).decode()

    bad = {
        "garbage": "not given by this service",
        "é": "not given by this service",
        "": "not given by this service",
        encoded(b"\xff\xfe"): "not given by this service",
        encoded(b'["a", 1, "b"]'): "not given by this service",
        good + "=": "not given by this service",
        cursor._replace(number=0).text(viewer, key): "not given by this service",
        cursor._replace(number=MAX_PAGES + 1).text(viewer, key): "not given by this service",
        cursor._replace(number=2).text(viewer, key): "expired",
        cursor._replace(series="0" * 24, number=2).text(viewer, key): "expired",
        cursor._replace(viewer=cursor.viewer ^ 1).text(viewer, key): "not one of viewer",
    }
    for text, sentence in bad.items():
        answer = explore.page(viewer, text)
        assert answer.status_code == 400, text
        assert sentence in answer.json()["detail"]
        assert "start without a cursor" in answer.json()["detail"]
    assert explore.page(explore.new_viewer(), good).status_code == 400
    assert explore.page(viewer, good).status_code == 200


def test_every_page_served_is_an_impression(explore):
    viewer = explore.known_viewer()
    first = explore.page(viewer)
    second = explore.page(viewer, first.json()["next"])

    def logged():
        records = explore.records(IMPRESSIONS_TOPIC)
        found = [json.loads(r.value) for r in records if r.key == viewer.encode()]
        return found if len(found) >= 2 else None

    for page, log in zip((first, second), explore.wait(logged), strict=True):
        assert log.items() >= page.json().items()
        assert set(log) - set(page.json()) == {"features", "stamp", "served_ms"}
    impression = first.json()
    assert impression["viewer_id"] == viewer
    assert impression["page"] == 0
    assert impression["request_id"] != second.json()["request_id"]
    # Asked for again, it is the same impression.
    assert explore.page(viewer).json()["request_id"] == impression["request_id"]
    assert impression["generated_at_ms"] > 0
    assert impression["versions"].keys() >= {"ig2vec", "rankers", "features", "query"}
    assert impression["items"][0].keys() >= {"position", "source", "seed", "probabilities"}


# What viewers do.


def test_a_live_like_changes_the_grid_in_redis(explore):
    viewer = explore.new_viewer()
    before = explore.page(viewer).json()
    liked = before["items"][0]
    event = explore.event(viewer, liked["media_id"], author_id=liked["author_id"])
    after = explore.act("events.like", event)
    assert after["reflects_ts"] == event["ts"]
    assert ids(after["items"]) != ids(before["items"])
    assert liked["media_id"] not in explore.reach(viewer)
    # Its author's other posts belong to the home feed.
    assert liked["author_id"] not in {item["author_id"] for item in after["items"]}
    assert ids(explore.page(viewer).json()["items"]) == ids(after["items"])


def test_a_first_like_brings_accounts_near_its_author(explore):
    embedded = {r.key.decode().partition(":")[2] for r in explore.records(EMBEDDINGS_TOPIC)}
    media, author = next((m, a) for m, a in CATALOGUE.items() if a in embedded)
    viewer = explore.new_viewer()
    grid = explore.act("events.like", explore.event(viewer, media, author_id=author))
    near = [item for item in grid["items"] if item["source"] == "account_nn"]
    assert near
    assert {item["seed"] for item in near} == {author}
    assert {item["author_id"] for item in near} <= embedded - {author}


def test_see_fewer_hides_the_media_and_pushes_down_its_author(explore):
    author = "a-see-fewer"
    unwanted, *others = [explore.post(author) for _ in range(3)]
    viewer = explore.new_viewer()
    assert {unwanted, *others} <= explore.reach(viewer).keys()
    event = explore.event(viewer, unwanted, author_id=author)
    grid = explore.act("events.see_fewer", event)
    assert author not in {item["author_id"] for item in grid["items"]}
    after = explore.reach(viewer)
    assert unwanted not in after
    assert all(after[media]["stages"]["penalty"] > 0 for media in others if media in after)
    inspected = explore.inspect(viewer)
    assert inspected["suppressed"]["media"] == [unwanted]
    assert inspected["authors"][author]["see_fewer"] == 1

    undo = explore.event(viewer, unwanted, author_id=author, undo=True)
    grid = explore.act("events.see_fewer", undo)
    again = explore.reach(viewer)
    assert set(others) <= again.keys()
    assert all(again[media]["stages"]["penalty"] == 0 for media in others)
    inspected = explore.inspect(viewer)
    assert inspected["suppressed"]["media"] == []
    assert inspected["authors"][author]["see_fewer"] == 0
    assert unwanted in again


def test_a_see_fewer_shows_in_the_next_grid_and_can_be_taken_back(explore):
    viewer, author = explore.new_viewer(), "a-unwanted"
    unwanted, other = explore.post(author), explore.post(author)
    assert {unwanted, other} <= explore.reach(viewer).keys()
    event = explore.event(viewer, unwanted, author_id=author)
    sent = time.monotonic()
    after = explore.act("events.see_fewer", event)
    print(f"see_fewer_to_grid: {time.monotonic() - sent:.3f} s")
    assert author not in {item["author_id"] for item in after["items"]}
    reached = explore.reach(viewer)
    assert unwanted not in reached
    assert other not in reached or reached[other]["stages"]["penalty"] > 0
    explore.act("events.see_fewer", {**event, "ts": event["ts"] + 1, "undo": True})
    restored = explore.reach(viewer)
    assert unwanted in restored
    assert all(item["stages"]["penalty"] == 0 for item in restored.values())


def test_what_many_viewers_ask_for_fewer_of_is_shown_to_nobody_else(explore):
    author = "a-spam"
    media = explore.post(author)
    assert media in explore.reach(explore.new_viewer())
    for _ in range(6):
        explore.act(
            "events.see_fewer", explore.event(explore.new_viewer(), media, author_id=author)
        )
    explore.wait(lambda: media not in explore.reach(explore.new_viewer()))


@pytest.mark.parametrize("kind", ["block", "mute"])
def test_a_blocked_author_is_gone_until_the_block_is_taken_back(explore, kind):
    viewer, author = explore.new_viewer(), f"a-{kind}"
    posts = {explore.post(author) for _ in range(2)}
    assert posts <= explore.reach(viewer).keys()
    explore.act("events.follow", _relation(explore, viewer, author, kind))
    assert not posts & explore.reach(viewer).keys()
    assert explore.inspect(viewer)["suppressed"]["authors"] == [author]
    explore.act("events.follow", _relation(explore, viewer, author, kind, undo=True))
    assert posts <= explore.reach(viewer).keys()
    assert explore.inspect(viewer)["suppressed"]["authors"] == []


def test_posts_of_followed_authors_belong_to_the_home_feed(explore):
    viewer, author = explore.new_viewer(), "a-followed"
    post = explore.post(author)
    explore.act("events.follow", _relation(explore, viewer, author, "follow"))
    assert post not in explore.reach(viewer)
    assert explore.inspect(viewer)["followed"] == [author]


def _relation(explore, viewer, author, kind, **fields):
    event = explore.event(viewer, "", author_id=author, kind=kind, **fields)
    del event["media_id"]
    return event


def test_inspect_tells_what_is_stored(explore):
    viewer = explore.new_viewer()
    media = list(CATALOGUE)[:4]
    start = explore.event(viewer, "m")["ts"] - 40 * MINUTE_MS
    actions = [("like", 0, {}), ("save", 1, {}), ("view", 2, {"long": True}), ("view", 39, {})]
    for (action, minute, fields), media_id in reversed(list(zip(actions, media, strict=True))):
        event = explore.event(viewer, media_id, author_id="a", ts=start + minute * MINUTE_MS)
        explore.send(f"events.{action}", {**event, **fields}, viewer)
    explore.wait(lambda: sum(map(len, explore.inspect(viewer)["sessions"])) == 4)
    explore.wait(lambda: (explore.stored_grid(viewer) or {}).get("reflects_ts") == event_ts(start))
    found = explore.inspect_command(viewer)
    assert found == explore.inspect(viewer)
    assert found["viewer_id"] == viewer
    earlier, later = found["sessions"]
    assert ids(earlier) == media[:3]
    assert ids(later) == media[3:]
    assert [entry["action"] for entry in earlier] == ["like", "save", "view"]
    assert earlier[0] == {
        "media_id": media[0], "author_id": "a", "action": "like", "ts": start
    }  # fmt: skip
    author = found["authors"]["a"]
    counts = {name: author[name] for name in ("like", "save", "see_fewer", "view")}
    assert counts == {"like": 1, "save": 1, "see_fewer": 0, "view": 2}
    assert all(type(count) is int for count in counts.values())
    assert author["last_ts"] == event_ts(start)
    assert 0.9 < author["decayed"]["like"] <= 1.0
    assert found["suppressed"] == {"media": [], "authors": []}
    assert found["grid"] == explore.stored_grid(viewer)


def event_ts(start):
    return start + 39 * MINUTE_MS


def test_inspect_of_a_viewer_never_seen_has_empty_parts(explore):
    found = explore.inspect("nobody / никто")
    assert found["viewer_id"] == "nobody / никто"
    assert (found["sessions"], found["authors"], found["grid"]) == ([], {}, None)


# The catalogue.


def test_a_new_media_appears_and_a_deleted_one_disappears(explore):
    viewer = explore.new_viewer()
    kept, flagged, tombstoned = (explore.post(f"a-new-{number}") for number in range(3))
    assert {kept, flagged, tombstoned} <= explore.reach(viewer).keys()
    live = explore.status()["media"]
    gone = {"media_id": flagged, "author_id": "a-new-1", "created_ts": 1, "deleted": True}
    explore.send("catalog.media", gone, flagged)
    explore.send("catalog.media", None, tombstoned)
    explore.wait(lambda: explore.status()["media"] == live - 2)
    # In the fixture's viewer's next grid, and in any other.
    explore.act("events.view", explore.event(viewer, kept, author_id="a-new-0"))
    assert not {kept, flagged, tombstoned} & explore.reach(viewer).keys()
    reached = explore.reach(explore.new_viewer())
    assert kept in reached
    assert not {flagged, tombstoned} & reached.keys()


def test_media_above_an_integrity_threshold_never_appear(explore):
    bad = {
        explore.post("a-integrity", integrity={name: 0.21})
        for name in ("nsfw", "spam", "misinformation")
    }
    good = explore.post("a-integrity", integrity={"nsfw": 0.2, "spam": 0.2, "misinformation": 0.2})
    reached = explore.reach(explore.new_viewer())
    assert good in reached
    assert not bad & reached.keys()


def test_nothing_of_a_private_or_disabled_account_appears(explore):
    posts = {name: explore.post(f"a-{name}") for name in ("private", "disabled", "open")}
    for name in posts:
        account = {"account_id": f"a-{name}", "private": False, name: True}
        explore.send("catalog.accounts", account, f"a-{name}")

    def reached():
        return [n for n, media in posts.items() if media in explore.reach(explore.new_viewer())]

    explore.wait(lambda: reached() == ["open"])


# Weights and arms.


def command(explore, *args):
    """What ``freshgrid … --json`` prints."""
    line = [sys.executable, "-m", "streams.cli", *args, "--json"]
    done = subprocess.run(line, env=explore.env(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
def default_arms(explore, tmp_path):
    """Afterwards everything is as if nobody had set weights or arms."""
    yield
    file = tmp_path / "default.json"
    file.write_text(json.dumps({"arms": {"control": {"weights": {}}}}))
    command(explore, "experiments", "set", str(file))
    served = {"arms": {"control": msgspec.structs.asdict(Weights())}, "refused": None}
    explore.wait(lambda: explore.http.get("/v1/weights").json() == served)


def test_weights_go_live_without_a_restart(explore, default_arms):
    viewer = explore.known_viewer()
    before = explore.page(viewer).json()["versions"]["weights"]
    body = {"weights": dict.fromkeys(HEAD_NAMES, 0) | {"save": 1.5}, "who": "a test"}
    answer = explore.http.put("/v1/weights", json=body).raise_for_status().json()
    changed = time.monotonic()
    assert answer["new"] == dict.fromkeys(HEAD_NAMES, 0.0) | {"save": 1.5, "form": "linear"}

    def remade():
        grid = explore.stored_grid(viewer)
        return grid if grid["versions"]["weights"] != before else None

    # In the background; one that is asked for does not wait for that.
    explore.wait(lambda: explore.page(viewer).json()["versions"]["weights"] != before)
    print(f"weights_to_page: {time.monotonic() - changed:.3f} s")
    grid = explore.wait(remade)
    terms = value_terms(explore, viewer, grid["items"][0])
    assert terms["save"] > 0
    assert not any(terms[name] for name in HEAD_NAMES if name != "save")
    assert explore.http.get("/v1/weights").json()["arms"]["control"] == answer["new"]

    assert command(explore, "weights", "get")["arms"] == {"control": answer["new"]}
    told = command(explore, "weights", "set", "save=2", "form=log_linear", "--who", "somebody")
    history = command(explore, "weights", "history")["changes"]
    assert history[:2] == [told, answer]
    assert [(c["who"], c["arm"]) for c in history[:2]] == [
        ("somebody", "control"), ("a test", "control")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"weights": {"likes": 1}}, 400, "no weight 'likes'; weights are like, save, see_fewer"),
        ({"weights": {"like": -1}}, 400, "weight like is -1.0"),
        ({"weights": {"form": "x"}}, 400, "linear or log_linear"),
        ({"weights": {"like": 1}, "arm": "x"}, 400, "no arm 'x'"),
        ({"weights": {"like": [1]}}, 422, "number"),
    ],
)
def test_weights_that_cannot_be_are_refused_in_one_sentence(explore, body, status, said):
    before = explore.http.get("/v1/weights").json()
    answer = explore.http.put("/v1/weights", json=body)
    assert (answer.status_code, said in answer.text) == (status, True)
    assert explore.http.get("/v1/weights").json() == before
    change = [f"{name}={value}" for name, value in body["weights"].items()]
    line = [sys.executable, "-m", "streams.cli", "weights", "set", "--arm", body.get("arm", "")]
    done = subprocess.run([*line, "--", *change], env=explore.env(), capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("freshgrid: ") and done.stderr.count("\n") == 1


def test_what_somebody_writes_into_redis_does_not_stop_serving(explore, default_arms):
    explore.redis.set("experiment:{explore}", '{"arms": {"control": {"weights": {"like": -5}}}}')
    served = explore.wait(lambda: (w := explore.http.get("/v1/weights").json())["refused"] and w)
    assert "weight like is -5.0" in served["refused"]
    assert served["arms"]["control"] == msgspec.structs.asdict(Weights())
    assert len(explore.page(explore.new_viewer()).json()["items"]) == 25


def test_arms_get_what_they_say_and_the_report_tells_how_they_do(explore, default_arms, tmp_path):
    arms = {"saves": {"weights": {"like": 0, "save": 3}}, "feed": {"feed": True}}
    file = tmp_path / "arms.json"
    file.write_text(json.dumps({"arms": arms, "salt": "test"}))
    command(explore, "experiments", "set", str(file))
    explore.wait(lambda: explore.http.get("/v1/weights").json()["arms"].keys() == arms.keys())
    experiment = parse(file.read_bytes())
    seen = {name: [] for name in arms}
    while min(map(len, seen.values())) < 3:
        viewer = explore.new_viewer()
        grid = explore.page(viewer).json()
        assert grid["versions"]["arm"] == experiment.arm_of(viewer)
        seen[grid["versions"]["arm"]].append(grid)
    for grid in seen["feed"]:
        values = [item["value"] for item in grid["items"]]
        assert values == sorted(values, reverse=True)
        assert {item["propensity"] for item in grid["items"]} == {1.0}
        assert grid["versions"]["mode"] == "feed"
    grid = seen["feed"][0]
    viewer, item = grid["viewer_id"], grid["items"][3]
    explore.act(
        "events.like", explore.event(viewer, item["media_id"], request_id=grid["request_id"])
    )

    def reported():
        report = command(explore, "experiments")["arms"]
        return report if report["feed"].get("like", {}).get("count") else None

    report = explore.wait(reported)
    assert report["feed"]["viewers"] == len(seen["feed"])
    assert report["feed"]["impressions"] == sum(len(g["items"]) for g in seen["feed"])
    assert (report["feed"]["like"]["count"], report["saves"]["like"]["count"]) == (1, 0)
    assert report["feed"]["like"]["low"] < report["feed"]["like"]["rate"]
    assert report["feed"]["like"]["against_saves"]["difference"] > 0
    assert report["saves"]["arm"]["weights"]["save"] == 3.0
    # Earlier pages were of the arm that there was then.
    assert report["control"]["impressions"] > 0


# Learning while the stream runs.


def test_a_session_that_closes_is_learned(explore):
    viewer = explore.new_viewer()
    authors = [f"a-session-{number}" for number in range(3)]
    # As often as an account must be met before it gets a vector.
    order = authors * Ig2VecConfig().min_count
    start = explore.event(viewer, "m")["ts"] - 40 * MINUTE_MS
    steps = [[author, "like", start + at * 1000] for at, author in enumerate(order)]
    for at, (author, _, ts) in enumerate(steps):
        event = explore.event(viewer, f"m-session-{at}", author_id=author, ts=ts)
        explore.send("events.like", event, viewer)
    # 31 minutes after the last of them.
    later = steps[-1][2] + 31 * MINUTE_MS
    explore.act("events.like", explore.event(viewer, "m", author_id="a-next", ts=later))

    def closed():
        records = explore.records(SESSIONS_TOPIC)
        return [json.loads(r.value) for r in records if r.key == viewer.encode()]

    [session] = explore.wait(closed)
    assert session["steps"] == steps
    assert (session["started_ts"], session["ended_ts"]) == (start, steps[-1][2])

    def vectors():
        records = [json.loads(r.value) for r in explore.records(EMBEDDINGS_TOPIC) if r.value]
        told = {r["account_id"]: r for r in records if r["account_id"] in authors}
        return told if told.keys() == set(authors) else None

    spaces = {told["space"] for told in explore.wait(vectors).values()}
    assert spaces == {explore.status()["versions"]["ig2vec"]}
    # The ranker knows them: a like of one leads to the others, whatever the passes make of it.
    post, liker = explore.post(authors[1]), explore.new_viewer()
    explore.act("events.like", explore.event(liker, "m", author_id=authors[0]))
    asked = {"viewer_id": liker, "media_id": post}
    found = explore.http.get("/v1/explain", params=asked).raise_for_status().json()["media"]
    assert (found["source"], found["seed"]) == ("account_nn", authors[0])


def test_a_ranker_that_starts_later_knows_the_same_world(explore):
    port = free_port()
    ranker = subprocess.Popen(
        [sys.executable, "-m", "streams.app", "ranker"],
        env=explore.env(HTTP_PORT=str(port)),
        stdout=subprocess.PIPE,
        text=True,
    )
    with ranker:
        try:
            assert ranker.stdout is not None
            assert ranker.stdout.readline() == "ready\n"
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:
                status = http.get("/v1/status").json()
                known = {name: status[name] for name in ("media", "accounts", "versions")}
                expected = explore.status()
                assert known == {name: expected[name] for name in known}
                grid = http.get(f"/v1/explore/{FAN}").raise_for_status().json()
                assert len(grid["items"]) == 25
                cold = http.get("/v1/explore/nobody-yet").raise_for_status().json()
                assert len(cold["items"]) == 25
        finally:
            ranker.terminate()
        assert ranker.wait(30) == 0
    # The one that ran all along takes over what the other ranked.
    for _ in range(8):
        viewer = explore.new_viewer()
        explore.act("events.like", explore.event(viewer, next(iter(CATALOGUE)), author_id="a"))


# Operators of user code.

OWN = """
from models.igql.library import operators
from models.igql.registry import Cost, SetType, count

mine = operators.copy()

@mine.register(
    takes=SetType.VIEWER,
    gives=SetType.MEDIA,
    parameters=(count("most", default=60),),
    cost=lambda rows, arguments: Cost(arguments["most"], 50.0),
    source=True,
    limit="most",
)
def our_newest(execution, viewers, arguments):
    \"\"\"The newest media.\"\"\"
    return viewers.to_each(SetType.MEDIA, execution.world.catalog.newest(arguments["most"]))
"""


def test_an_operator_of_user_code_serves_and_a_broken_one_is_refused(explore, tmp_path):
    module, query = tmp_path / "our_operators.py", tmp_path / "ours.igql"
    module.write_text(OWN)
    query.write_text("user.our_newest().exclude_seen()")
    port = free_port()
    line = [sys.executable, "-m", "streams.app", "ranker"]
    env = explore.env(
        HTTP_PORT=str(port), EXPLORE_QUERY=str(query), IGQL_OPERATORS="our_operators",
        PYTHONPATH=str(tmp_path),
    )  # fmt: skip
    with subprocess.Popen(line, env=env, stdout=subprocess.PIPE, text=True) as ranker:
        try:
            assert ranker.stdout is not None
            assert ranker.stdout.readline() == "ready\n"
            viewer = explore.new_viewer()
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:
                grid = http.get(f"/v1/explore/{viewer}").raise_for_status().json()
            assert len(grid["items"]) == 25
            assert {item["source"] for item in grid["items"]} == {"our_newest"}
        finally:
            ranker.terminate()
        assert ranker.wait(30) == 0
    module.write_text(OWN.replace("our_newest", "popular"))
    for role in ("ranker", "learner"):
        done = subprocess.run([*line[:-1], role], env=env, capture_output=True, text=True)
        said = done.stderr.splitlines()[-1]
        assert (done.returncode, said.partition(":")[0]) == (2, f"freshgrid {role}")
        assert "operator 'popular' exists already: choose another name" in said


# What is loaded where.


def test_ingest_and_serving_import_no_training_library():
    # What the roles import before and after they start.
    code = """
import sys
import streams.app, streams.roles.worker, streams.roles.ranker
print(sorted({name.split(".")[0] for name in sys.modules} & {"torch", "gensim", "scipy"}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
