"""Dead letters from the command line: seen, repaired, sent again, and applied once."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from typing import Any

import pytest

from infra.topics import DEAD_LETTERS_TOPIC
from models.actions import Action
from streams.operations.repairs import Repairs
from tests.integration.commands import freshgrid, refusal, report_of
from tests.integration.conftest import Pipeline

SECONDS_TO_MS = r"""sed -E 's/"ts": ([0-9]{10}),/"ts": \1000,/'"""


def died(pipeline: Pipeline, viewer: str) -> list[dict[str, Any]]:
    """The letters about a viewer's records, as ``list`` shows them, newest first."""
    listed = report_of(pipeline.settings, "dead-letters", "list", "--limit", "1000")
    return [letter for letter in listed["dead_letters"] if letter["key"] == viewer]


def in_seconds(pipeline: Pipeline, viewer: str, media: str, **fields: Any) -> dict[str, Any]:
    """An event whose producer sends seconds instead of milliseconds."""
    event = pipeline.event(viewer, media, author_id="a", **fields)
    event["ts"] //= 1000
    return {**event, "schema": 1}


def sent_to(pipeline: Pipeline, viewer: str, topic: str = "events.like") -> int:
    return sum(record.key == viewer.encode() for record in pipeline.records(topic))


def dead_letter_of(pipeline: Pipeline, viewer: str) -> dict[str, Any]:
    pipeline.wait(lambda: [d for d in pipeline.dead_letters() if d.get("key") == viewer])
    [letter] = died(pipeline, viewer)
    return letter


def test_an_edited_letter_is_applied_exactly_once_however_often_it_is_sent(pipeline):
    settings, viewer = pipeline.settings, pipeline.new_viewer()
    pipeline.send("events.like", in_seconds(pipeline, viewer, "m1"), viewer)
    letter = dead_letter_of(pipeline, viewer)
    assert (letter["error"], letter["topic"], letter["redriven_ms"]) == (
        "bad_ts", "events.like", None,
    )  # fmt: skip
    command = ("dead-letters", "redrive", letter["id"], "--edit-command", SECONDS_TO_MS)

    tried = report_of(settings, *command, "--dry-run")
    assert tried["dry_run"]
    assert json.loads(tried["sent"][0]["value"])["ts"] > 10**12
    assert sent_to(pipeline, viewer) == 1

    for times in (1, 2):
        report = report_of(settings, *command)
        assert (report["redriven"], report["refused"]) == (1, [])
        assert sent_to(pipeline, viewer) == 1 + times
    pipeline.send("events.save", pipeline.event(viewer, "m2", author_id="a"), viewer)
    pipeline.wait(lambda: set(pipeline.liked(viewer)) == {"m1", "m2"})
    # Behind both copies in the partition: whatever they do is done.
    pipeline.send("events.like", pipeline.event(viewer, "m3", author_id="b"), viewer)
    pipeline.wait(lambda: "m3" in pipeline.liked(viewer))
    assert pipeline.counters(viewer)["a"][Action.LIKE].count == 1

    [letter] = died(pipeline, viewer)
    assert letter["redriven_ms"] is not None
    shown = report_of(settings, "dead-letters", "show", letter["id"])
    assert len(shown["redriven"]) == 2
    assert json.loads(shown["value"])["media_id"] == "m1"
    # The log folded again knows the letter, its marks and the copies.
    hashed = report_of(settings, "replay", "--from-offset", "0", "--offline", "--state-hash")
    assert hashed["dead"] >= 1


def test_over_http_the_newest_are_told_and_mended_like_new_ones(pipeline, monkeypatch):
    viewer = pipeline.new_viewer()
    for media in ("h1", "h2", "h3"):
        pipeline.send("events.like", in_seconds(pipeline, viewer, media), viewer)
    pipeline.wait(lambda: len(died(pipeline, viewer)) == 3)
    repairs = Repairs(pipeline.settings)

    async def mend() -> None:
        listed = (await repairs.dead_letters())["dead_letters"]
        waiting = await repairs.waiting()
        letter = next(one["id"] for one in listed if one["key"] == viewer)
        shown = await repairs.dead_letter(letter)
        with pytest.raises(ValueError, match="it would die again"):
            await repairs.redrive(letter, shown["value"])
        event = json.loads(shown["value"])
        mended = json.dumps({**event, "ts": event["ts"] * 1000})
        assert (await repairs.redrive(letter, mended))["topic"] == "events.like"
        assert await repairs.waiting() == waiting - 1
        for nowhere in ("0:999999", "99:0", "x"):
            with pytest.raises(LookupError):
                await repairs.redrive(nowhere, None)

    asyncio.run(mend())
    pipeline.wait(lambda: len(pipeline.liked(viewer)) == 1)
    # One record of each partition: the mark of the one that was sent again, or a letter.
    monkeypatch.setattr("streams.operations.repairs.NEWEST", 1)
    few = asyncio.run(repairs.dead_letters())
    assert few["total"] <= pipeline.settings.partitions


def test_filters_take_what_was_not_redriven_yet(pipeline):
    settings = pipeline.settings
    viewers = [pipeline.new_viewer() for _ in range(3)]
    for viewer in viewers:
        pipeline.send("events.view", in_seconds(pipeline, viewer, "m"), viewer)
    pipeline.send("events.view", b"no JSON", viewers[0])
    pipeline.wait(lambda: len([d for d in pipeline.dead_letters() if d.get("key") in viewers]) == 4)
    listed = report_of(settings, "dead-letters", "list", "--topic", "events.view", "--limit", "2")
    assert listed["by_error"] == {"bad_ts": 3, "bad_json": 1}
    assert (listed["total"], listed["redriven"], len(listed["dead_letters"])) == (4, 0, 2)
    [bad_json] = report_of(
        settings, "dead-letters", "list", "--topic", "events.view", "--error", "bad_json"
    )["dead_letters"]
    after = str(bad_json["first_seen"] + 1)
    assert report_of(
        settings, "dead-letters", "list", "--topic", "events.view", "--error", "bad_json",
        "--since", after,
    )["total"] == 0  # fmt: skip

    command = ("dead-letters", "redrive", "--topic", "events.view", "--edit-command", SECONDS_TO_MS)
    report = report_of(settings, *command, code=1)
    assert report["redriven"] == 3
    assert [(r["id"], r["error"]) for r in report["refused"]] == [(bad_json["id"], "bad_json")]
    assert "would die again" in report["refused"][0]["message"]
    for viewer in viewers:
        pipeline.wait(lambda viewer=viewer: pipeline.counters(viewer).get("a"))
    again = report_of(settings, *command, "--error", "bad_ts")
    assert again == {"redriven": 0, "dry_run": False, "sent": [], "refused": []}
    # For a person: a table, and the counts.
    shown = freshgrid(settings, "dead-letters", "list", "--topic", "events.view")
    assert bad_json["id"] in shown.stdout
    assert "4 dead letters, 3 of them redriven: 3 bad_ts, 1 bad_json" in shown.stdout


def test_a_letter_that_holds_a_part_is_completed_from_the_log(pipeline):
    viewer = pipeline.new_viewer()
    event = {**pipeline.event(viewer, "m1", author_id="a"), "padding": "x" * 1_000_000}
    pipeline.send("events.like", event, viewer)
    letter = dead_letter_of(pipeline, viewer)
    assert report_of(pipeline.settings, "dead-letters", "show", letter["id"])["truncated"]
    script = "import json,sys; e=json.load(sys.stdin); del e['padding']; json.dump(e, sys.stdout)"
    edit = f'{sys.executable} -c "{script}"'
    report_of(pipeline.settings, "dead-letters", "redrive", letter["id"], "--edit-command", edit)
    pipeline.wait(lambda: pipeline.liked(viewer) == ["m1"])


def test_a_part_whose_original_is_gone_is_refused(pipeline):
    viewer = pipeline.new_viewer()
    letter = {
        "topic": "events.like", "partition": 0, "offset": 10**9, "error": "oversize",
        "message": "too large", "first_seen": 1, "size": 300_000, "key": viewer,
        "value_base64": base64.b64encode(b"{").decode(), "truncated": True,
    }  # fmt: skip
    pipeline.send(DEAD_LETTERS_TOPIC, letter, viewer)
    sent = report_of(
        pipeline.settings, "dead-letters", "redrive", died(pipeline, viewer)[0]["id"], code=1
    )
    [refused] = sent["refused"]
    assert refused["error"] == "truncated"
    assert "holds 1 of 300000 bytes" in refused["message"]
    assert "events.like[0] offset 1000000000" in refused["message"]


def test_a_key_that_is_no_text_is_sent_as_it_was(pipeline):
    viewer, key = pipeline.new_viewer(), b"\xff\xfe"
    event = in_seconds(pipeline, viewer, "m1")
    pipeline.producer.send("events.like", key=key, value=json.dumps(event).encode()).get(60)
    pipeline.wait(lambda: [d for d in pipeline.dead_letters() if d.get("key") == r"\xff\xfe"])
    [letter] = died(pipeline, r"\xff\xfe")
    report_of(
        pipeline.settings, "dead-letters", "redrive", letter["id"], "--edit-command", SECONDS_TO_MS
    )
    pipeline.wait(lambda: pipeline.liked(viewer) == ["m1"])
    assert [r.key for r in pipeline.records("events.like")].count(key) == 2


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        ("echo oh no >&2; exit 3", "ended with exit code 3: oh no"),
        ("true", "would die again: the record has no value"),
        (f"{SECONDS_TO_MS} | sed s/m1//", "media_id"),
    ],
)
def test_what_an_edit_breaks_is_refused_and_nothing_is_sent(pipeline, edit, message):
    viewer = pipeline.new_viewer()
    pipeline.send("events.like", in_seconds(pipeline, viewer, "m1"), viewer)
    letter_id = dead_letter_of(pipeline, viewer)["id"]
    done = freshgrid(
        pipeline.settings, "dead-letters", "redrive", letter_id, "--edit-command", edit
    )
    assert (done.returncode, done.stdout) == (1, "")
    refused, summary = done.stderr.splitlines()
    assert refused.startswith(f"{letter_id} refused, ")
    assert message in refused
    assert summary == "0 redriven, 1 refused"
    assert sent_to(pipeline, viewer) == 1
    [letter] = died(pipeline, viewer)
    assert letter["redriven_ms"] is None


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("show", "0:999999999"), 1, "there is no dead letter 0:999999999"),
        (("redrive", "99:0"), 1, "there is no dead letter 99:0"),
        (("show", "first"), 2, "'first' is no id of a dead letter"),
        (("redrive",), 2, "which dead letters?"),
        (("redrive", "0:0", "--all"), 2, "not both"),
        (("list", "--since", "yesterday"), 2, "--since 'yesterday' is no time"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(pipeline, arguments, code, message):
    assert message in refusal(pipeline.settings, "dead-letters", *arguments, code=code)
