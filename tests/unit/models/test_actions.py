"""The table of actions: persisted numbers, one home, and every part of the system read off it."""

from __future__ import annotations

import ast
import base64
import json
import re

import msgspec
import numpy as np
import pytest

from models.actions import (
    ACTION_NAMES,
    HEAD_NAMES,
    HEADS,
    MEDIA_EVENT_TOPICS,
    SIGNS,
    STRONG_HEADS,
    TOPIC_CODES,
    VIEWS,
    Action,
    action_in,
    undo_kind,
)
from models.events import Media, MediaEvent, parse_event
from models.explore.experiment import parse
from models.explore.grid import Probabilities
from models.feature_schema import DENSE_NAMES
from models.features.assembly import assemble
from models.features.candidates import Candidates
from models.ig2vec.sentences import sentence
from models.rankers.value import Weights, value
from models.viewers.context import ViewerContext
from models.viewers.state import (
    FoldConfig,
    ViewerState,
    counters,
    decode,
    digest,
    encode,
    entries,
    fold_media_event,
    suppressed_media,
)
from models.world import World
from tests.paths import FIXTURES, ROOT
from tests.viewers import seen_media

NOW = 1_700_000_000_000


def test_codes_that_are_persisted_stay_for_ever() -> None:
    # Written down once more on purpose: stored state, offsets and sessions hold these numbers.
    assert {action.word: action.value for action in Action} == {
        "like": 0, "save": 1, "see_fewer": 2, "view": 3, "long_view": 4, "share": 5, "comment": 6,
    }  # fmt: skip
    assert TOPIC_CODES == {
        "events.like": 0, "events.save": 1, "events.see_fewer": 2, "events.view": 3,
        "events.follow": 4, "events.share": 5, "events.comment": 6,
    }  # fmt: skip


def test_codes_count_up_without_a_gap_and_topics_have_one_code() -> None:
    assert [action.value for action in Action] == list(range(len(Action)))
    assert max(Action) < 128  # The eighth bit of a record's flags is that of an undo.
    for action in Action:
        assert TOPIC_CODES[action.row.topic] == action.row.topic_code
    assert len(set(TOPIC_CODES.values())) == len(TOPIC_CODES)
    assert all(action.row.rate > 0 for action in HEADS)


def test_state_written_by_an_older_release_reads_on_unchanged() -> None:
    """Written by 0.1 before there were shares and comments, caps of 8 and 6, both logs cut."""
    config = FoldConfig(max_strong=8, max_views=6)
    lines = (FIXTURES / "upgrade" / "viewer_states_0_1.jsonl").read_text().splitlines()
    assert len(lines) == 8
    for line in lines:
        told = json.loads(line)
        raw = base64.b64decode(told["state"])
        state = decode(raw)
        assert encode(state) == raw
        counted = {
            author: {Action(code).word: counter.count for code, counter in of_author.items()}
            for author, of_author in counters(state, config.half_life_ms).items()
        }
        assert counted == told["counts"]
        assert sorted(suppressed_media(state)) == told["suppressed"]
        assert len(seen_media(state)) == told["seen"]
        assert f"{digest(told['viewer_id'], state, config):064x}" == told["digest"]
        # And what is new goes on top of it.
        share = MediaEvent("new", told["viewer_id"], "m", NOW)
        assert fold_media_event(state, Action.SHARE, share, "a", config)
        assert entries(decode(encode(state)))[-1].action == Action.SHARE


@pytest.fixture
def world() -> World:
    world = World()
    world.apply_media([Media(f"m{n}", f"a{n}", NOW - n) for n in range(6)])
    return world


@pytest.mark.parametrize("action", STRONG_HEADS)
def test_an_action_goes_all_the_way(action: Action, world: World) -> None:
    """From the record on its topic to state, counts, features, sentences and the value."""
    record = {"event_id": "e", "viewer_id": "v", "media_id": "m1", "author_id": "a1", "ts": NOW}
    event = parse_event(action.row.topic, json.dumps(record).encode(), NOW)
    assert isinstance(event, MediaEvent)
    assert action_in(action.row.topic, event.long) is action
    state = ViewerState()
    assert fold_media_event(state, action, event, "a1", FoldConfig())
    assert [e.action for e in entries(state)] == [action]
    assert state.strong.size == 1 and state.views.size == 0

    world.apply_events([(action, event)])
    rows = world.catalog.media_rows(["m1", "m2"])
    counts_nx = world.popularity.decayed_media(rows, NOW)
    assert counts_nx[0].tolist() == [float(other is action) for other in Action]
    assert np.sign(world.popularity.score(rows, NOW)[0]) == np.sign(action.row.popularity)

    viewer = ViewerContext.from_state("v", state, world, NOW)
    features = assemble(viewer, Candidates.of(rows), world, NOW)
    for name in (f"viewer_author_{action.word}", f"media_{action.word}s", f"author_{action.word}s"):
        assert features.column(name)[0] > 0.0 == features.column(name)[1]
    assert features.column(f"media_{action.word}_rate")[0] > 0.0
    liked = len(viewer.positives(9)) == 1
    assert liked == (action.row.polarity > 0) != (len(viewer.see_fewers(9)) == 1)

    words = sentence([("a1", action), ("a2", Action.LIKE), ("a3", Action.LIKE)])
    expected = {"word": 1, "repeated_word": 2, "hard_negative": 0}[action.row.ig2vec]
    assert words.count("a1") == expected

    sure_nh = (np.array([HEADS]) == action).astype(np.float64)
    assert value(sure_nh, Weights()).tolist() == [action.row.polarity * (action.row.worth or 0.0)]


def test_an_undo_of_a_share_takes_back_the_share_alone() -> None:
    state, config = ViewerState(), FoldConfig()
    for at, action in enumerate((Action.SHARE, Action.COMMENT, Action.LIKE)):
        fold_media_event(state, action, MediaEvent(f"e{at}", "v", "m", NOW + at), "a", config)
    fold_media_event(
        state, Action.SHARE, MediaEvent("u", "v", "m", NOW + 9, undo=True), "a", config
    )
    assert [e.action for e in entries(state)] == [Action.COMMENT, Action.LIKE]
    assert len({undo_kind(action) for action in Action}) == len(MEDIA_EVENT_TOPICS)
    assert len({undo_kind(action) for action in VIEWS}) == 1


def test_weights_of_every_head_are_read_from_an_experiment_and_told_by_name() -> None:
    for head in HEADS:
        told = {"arms": {"one": {"weights": {head.word: 7.5}}}}
        weights = parse(json.dumps(told).encode()).arm("one").weights
        assert weights is not None
        expected_h = [7.5 if other is head else other.row.worth for other in HEADS]
        assert weights.worth_h().tolist() == expected_h
        assert json.loads(msgspec.json.encode(weights))[head.word] == 7.5
    assert tuple(head.row.polarity for head in HEADS) == SIGNS


def test_a_document_from_before_there_was_a_head_says_0_of_it() -> None:
    text = b'{"like": 0.5, "save": 0.25, "see_fewer": 0.125}'
    told = msgspec.json.decode(text, type=Probabilities).by_head()
    assert tuple(told) == HEAD_NAMES
    assert (told["like"], told["save"], told["see_fewer"], told["share"]) == (0.5, 0.25, 0.125, 0.0)


def test_every_action_is_counted_in_the_features() -> None:
    for name in ACTION_NAMES:
        assert {f"viewer_author_{name}", f"author_{name}s", f"media_{name}s"} <= set(DENSE_NAMES)
    assert {f"media_{name}_rate" for name in HEAD_NAMES} <= set(DENSE_NAMES)


def test_no_module_but_the_table_lists_actions() -> None:
    found = {
        str(path.relative_to(ROOT)): named
        for folder in ("models", "infra", "streams", "docs")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if path not in (ROOT / "models" / "actions.py", GENERATED)
        and path.parent not in (EXAMPLES, SIMULATED)
        and len(named := _actions_named(ast.parse(path.read_text()))) > CHOSEN.get(path.name, 2)
    }
    assert found == {}


#: Made of the OpenAPI document, which is made of the table.
GENERATED = ROOT / "infra" / "client" / "generated.py"
#: Answers as examples, which the tests of the documentation compare with what is answered.
EXAMPLES = ROOT / "infra" / "http"
#: Simulated viewers do each for reasons of its own.
SIMULATED = ROOT / "models" / "simulation"
#: Two actions may be a choice; three are a list. Features of a pass are chosen one by one, and so
#: are weightings that estimates and searches are tried on, and what the docs have pictures of.
CHOSEN = {"feature_schema.py": 3, "estimates.py": 3, "tune.py": 3, "take_pictures.py": 4}


@pytest.mark.parametrize(
    "text",
    [
        "('like', 'save', 'see_fewer')",
        "{'share': 1, 'comment': 2, 'like': 3}",
        "{1: 'share', 2: 'comment', 3: 'like'}",
        "{1: Action.VIEW, 2: Action.LONG_VIEW, 3: Action.LIKE}",
        "x in (actions.Action.LIKE, actions.Action.SAVE, actions.Action.VIEW)",
        "a = Action.LIKE\nb = Action.SAVE\nc = Action.SHARE",
        "if x is Action.LIKE: pass\nelif x is Action.SAVE: pass\nelif x is Action.VIEW: pass",
        "match x:\n case Action.LIKE: pass\n case Action.SAVE: pass\n case Action.VIEW: pass",
        "f('like', 'save', 'view')",
        "x == 'like' or x == 'save' or x == 'share'",
        "'like save view'.split()",
        "re.compile('(like|save|see_fewer)')",
        "('events.like', 'events.save', 'events.share')",
        "Weights(like=1.0, save=2.0, see_fewer=3.0)",
        "class W:\n like: float\n save: float\n share: float",
        "def f(like, save, share): pass",
    ],
)
def test_a_list_of_actions_is_found(text: str) -> None:
    assert len(_actions_named(ast.parse(text))) == 3


def _actions_named(tree: ast.AST) -> set[str]:
    """Words of actions that code names, by member, text or name; docstrings may."""
    told = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    words: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str(text)) if id(node) not in told:
                words.update(re.findall(r"\w+", text))
            case ast.Attribute(value=ast.Name(id="Action") | ast.Attribute(attr="Action")):
                words.add(node.attr.lower())
            case ast.arg(arg=str(name)) | ast.keyword(arg=str(name)):
                words.add(name)
            case ast.AnnAssign(target=ast.Name(id=name)):
                words.add(name)
    return words & set(ACTION_NAMES)
