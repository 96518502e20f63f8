"""The documentation names what the code has, its links resolve and its example runs."""

import itertools
import re
import runpy
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import Counter as MetricCounter
from prometheus_client.metrics import MetricWrapperBase

from infra import metrics, redis_access, redis_store
from infra.config import Settings
from infra.redis_experiments import EXPERIMENT_KEY, HISTORY_KEY
from infra.redis_schedule import SCHEDULE, STREAM_CLOCK
from infra.redis_work import WORK_KEY
from infra.topics import TOPICS
from models.actions import TOPIC_CODES, Action, action_in
from models.events import FollowEvent, MediaEvent, Relation
from models.examples.candidate_sets import DISTILLATION_VIEWERS
from models.explore.grid import GridDocument, GridItem, ItemStages
from models.feature_schema import DENSE_NAMES, SPARSE_NAMES
from models.viewers import action_log
from models.viewers import state as viewer_state
from models.viewers.decayed_counter import DecayedCounter
from models.viewers.state import (
    FoldConfig,
    ViewerState,
    counters,
    encode,
    entries,
    fold_follow_event,
    fold_media_event,
    related_authors,
    settle,
    suppressed_media,
)
from streams import cli
from streams.dead_letter import DeadLetter
from streams.local.stack import EMBEDDED_KAFKA
from streams.log.dead_letters import Redriven
from tests.paths import ROOT

PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
CONTRACTS = (ROOT / "docs" / "contracts.md").read_text()
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
TRANSPORT = (ROOT / "docs" / "transport.md").read_text()
README = (ROOT / "README.md").read_text()
T = 1_652_500_000_000


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_resolve(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        found = (page.parent / name).resolve() if name else page
        assert found.exists(), target
        assert found.is_relative_to(ROOT), target
        if anchor:
            assert anchor in _anchors(found.read_text()), target


def _anchors(text: str) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    return {
        re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        for title in re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
    }


def test_every_setting_is_documented_with_its_default() -> None:
    told = OPERATIONS + TRANSPORT
    rows = dict(re.findall(r"^\| `([A-Z_]+)` \| `([^`]*)`", told, flags=re.MULTILINE))
    defaults = {name.upper(): field.default for name, field in Settings.model_fields.items()}
    assert rows == {
        name: f"{default:g}" if isinstance(default, float) else str(default)
        for name, default in defaults.items()
    }


def test_every_metric_is_documented() -> None:
    rows = re.findall(
        r"^\| `(freshgrid_\w+?)(_total)?(?:\{([\w,]+)\})?` \|", OPERATIONS, re.MULTILINE
    )
    documented = {
        name: (bool(total), tuple(labels.split(",")) if labels else ())
        for name, total, labels in rows
    }
    own = [m for m in vars(metrics).values() if isinstance(m, MetricWrapperBase)]
    expected = {m._name: (isinstance(m, MetricCounter), tuple(m._labelnames)) for m in own}
    expected["freshgrid_lag_records"] = (False, ("topic", "partition"))
    assert documented == expected


def test_the_embedded_profile_is_documented() -> None:
    for name, value in EMBEDDED_KAFKA.items():
        shown = f"{value:g}" if isinstance(value, float) else str(value)
        assert f"`{name.upper()}={shown}`" in OPERATIONS


def test_every_key_of_redis_is_documented() -> None:
    section = CONTRACTS.partition("### Keys")[2].partition("###")[0]
    keys = re.findall(r"^\| `([^`]+)` \|", section, flags=re.MULTILINE)
    documented = {re.sub("VIEWER|MEDIA|SERIES|LOG", "1", key) for key in keys}
    assert documented == {
        redis_store.viewer_key("1"),
        redis_store.grid_key("1"),
        redis_store._pages_key("1", "1"),
        redis_store._damaged_key("1"),
        redis_store._author_key("1"),
        redis_store._parked_key("1"),
        EXPERIMENT_KEY,
        HISTORY_KEY,
        redis_access.KEYS,
        redis_access.SECRET,
        redis_store.PARKED,
        redis_store.CATALOG_READ,
        redis_store._letters_sent_key("1"),
        SCHEDULE,
        STREAM_CLOCK,
        WORK_KEY,
    }


def test_every_command_is_in_the_readme() -> None:
    table = README.partition("| command | does |")[2].partition("\n\n")[0]
    names = [command.callback.__name__ for command in cli.app.registered_commands]
    commands = {name.replace("_", "-") for name in names}
    assert commands | {"inspect"} <= set(re.findall(r"[\w-]+", table))


def test_the_example_of_the_api_runs(capsys: pytest.CaptureFixture[str]) -> None:
    [snippet] = re.findall(r"<!-- snippet: api -->\n```python\n(.*?)```", README, re.DOTALL)
    exec(snippet, {})
    assert "media_id='m3'" in capsys.readouterr().out


def test_every_room_and_page_is_in_the_layout_of_the_readme() -> None:
    rows = dict(re.findall(r"^\| `(\w+)/` \| (.*) \|$", README, flags=re.MULTILINE))
    rooms = {
        (place, file.parent.name)
        for place in ("streams", "models")
        for file in (ROOT / place).glob("*/__init__.py")
    }
    rooms |= {("tests", file.name) for file in (ROOT / "tests").iterdir() if file.is_dir()}
    rooms |= {("docs", f"docs/{page.name}") for page in (ROOT / "docs").glob("*.md")}
    missing = {
        room: place
        for place, room in rooms
        if not room.startswith(("_", "."))
        and not re.search(rf"[`(]{re.escape(room)}/?[`)]", rows[place])
    }
    assert missing == {}


def test_every_topic_is_documented() -> None:
    named = set(re.findall(r"`((?:events|catalog|explore)\.\w+)`", CONTRACTS))
    assert named == set(TOPICS)


@pytest.mark.parametrize("array", [viewer_state._Rest, DecayedCounter])
def test_arrays_are_documented_field_by_field(array: Any) -> None:
    rows = "\n".join(re.findall(r"^\| (\d+ \| `\w+`) \|", CONTRACTS, flags=re.MULTILINE))
    assert "\n".join(f"{i} | `{f}`" for i, f in enumerate(array.__struct_fields__)) in rows


@pytest.mark.parametrize("described", [GridDocument, GridItem, ItemStages, DeadLetter, Redriven])
def test_fields_of_documents_are_named(described: Any) -> None:
    named = set(re.findall(r'[`"](\w+)[`"]', CONTRACTS))
    assert set(described.__struct_fields__) <= named


def test_layouts_of_bytes_are_as_documented() -> None:
    rows = re.findall(r"^\| (\d+) \| (\d*) \| `?(\w*)", CONTRACTS, flags=re.MULTILINE)
    sizes = [(int(at), int(size)) for at, size, _ in rows if size]
    header = sizes[: sizes.index((23, 6)) + 1]
    record = sizes[len(header) :]
    assert header == list(itertools.accumulate(header, lambda a, b: (a[0] + a[1], b[1])))
    assert sum(size for _, size in header) == viewer_state.HEADER.size == 29
    assert sum(size for _, size in record) == action_log.HEAD.size == 17
    assert viewer_state.PLACE.size == 9
    assert f"up to {viewer_state.SLACK} records more than its cap" in CONTRACTS
    assert f"| `schema` | {viewer_state.SCHEMA} |" in CONTRACTS


def test_sizes_of_features_are_those_of_the_columns() -> None:
    """Sizes before compression follow from the columns; those after it were measured with them."""
    media_bytes = 4 * (len(DENSE_NAMES) + len(SPARSE_NAMES))
    ranking = (ROOT / "docs" / "ranking.md").read_text()
    told = re.findall(r"\(([\d.]+) kB before zlib\)", ranking)
    expected = [25 * media_bytes / 1000, 500 * media_bytes / 1000]
    assert [float(kb) for kb in told] == pytest.approx(expected, abs=0.05), "measure again"
    held_mb = DISTILLATION_VIEWERS * 500 * media_bytes / 1e6
    assert OPERATIONS.count(f"({held_mb:.0f} MB") == 2


def test_codes_are_as_documented() -> None:
    """The documented numbers are the code's: what they are stands in files for ever."""
    rows = re.findall(
        r"^\| (?:`(\w+)` )?\| [^|]+ \| `([\w.]+)`[^|]* \| (\d+|–) \| (\d+) \|", CONTRACTS, re.M
    )
    actions = {name: int(code) for name, _, code, _ in rows if name}
    assert actions == {action.word: action.value for action in Action}
    assert {topic: int(code) for _, topic, _, code in rows} == TOPIC_CODES


def test_pages_of_actions_are_up_to_date() -> None:
    texts = runpy.run_path(str(ROOT / "docs" / "generate_actions.py"))["texts"]()
    assert texts == {name: (ROOT / "docs" / name).read_text() for name in texts}, "make generate"


def test_the_table_of_rights_is_up_to_date() -> None:
    made = runpy.run_path(str(ROOT / "docs" / "generate_transport.py"))
    assert made["text"]() == made["PAGE"].read_text(), "make generate"
    assert made["users"]() == made["USERS"].read_text(), "make generate"


def test_reasons_of_dead_letters_are_documented() -> None:
    files = (
        "models/events.py", "models/explore/impressions.py", "streams/ingest.py",
        "streams/dead_letter.py",
    )  # fmt: skip
    code = "".join((ROOT / file).read_text() for file in files)
    raised = set(re.findall(r'InvalidEventError\(\s*"(\w+)"', code))
    raised |= set(re.findall(r'_REASON: Final = "(\w+)"', code))
    # A topic that the worker does not read cannot bring an unknown action.
    raised.discard("unknown_action")
    table = CONTRACTS.partition("| `error` | the record |")[2].partition("\n\n")[0]
    assert raised == set(re.findall(r"^\| `(\w+)` \|", table, flags=re.MULTILINE))


def test_the_example_reads_a_state_as_the_code_does() -> None:
    [snippet] = re.findall(r"<!-- snippet: python -->\n```python\n(.*?)```", CONTRACTS, re.DOTALL)
    example: dict[str, Any] = {}
    exec(snippet, example)
    state, at_ms, config = _state(), T + 100_000_000, FoldConfig()
    read = example["read_viewer"]((1).to_bytes(4, "big") + encode(state), at_ms)
    assert read["liked"] == ["m1"]
    assert read["viewed"] == ["m3"]
    assert [*read["liked"], *read["viewed"], *read["suppressed"]] == [
        entry.media_id for entry in entries(state)
    ]
    assert set(read["suppressed"]) == suppressed_media(state) == {"m4"}
    assert set(read["followed"]) == related_authors(state, Relation.FOLLOW) == {"a9"}
    for author, of_author in counters(state, config.half_life_ms).items():
        for code, counter in of_author.items():
            if counter.count:
                shown = read["authors"][author][Action(code).word]
                assert (shown["count"], shown["last_ts"]) == (counter.count, counter.last_ts)
                decayed = counter.decayed(at_ms, config.half_life_ms)
                assert shown["decayed"] == pytest.approx(decayed, rel=1e-5)
    assert repr(read["authors"]["a1"]["like"]["decayed"]) in CONTRACTS


def test_the_example_reads_what_fell_out_of_the_logs() -> None:
    [snippet] = re.findall(r"<!-- snippet: python -->\n```python\n(.*?)```", CONTRACTS, re.DOTALL)
    example: dict[str, Any] = {}
    exec(snippet, example)
    whole, cut = _state(), _state()
    settle(cut, FoldConfig(max_strong=1, max_views=0))
    assert cut.authors and cut.suppressed and cut.older.size
    read = [example["read_viewer"](bytes(4) + encode(state), T) for state in (whole, cut)]
    for found in read:
        del found["liked"], found["viewed"]
        for author in found["authors"].values():
            for counter in author.values():
                counter["decayed"] = pytest.approx(counter["decayed"], rel=1e-5)
    cut_authors = read[1]["authors"]
    # Where everything was undone the residue keeps an empty counter.
    read[1]["authors"] = {
        author: {name: counter for name, counter in of_author.items() if counter["count"]}
        for author, of_author in cut_authors.items()
        if any(counter["count"] for counter in of_author.values())
    }
    assert read[0] == read[1]


def _state() -> ViewerState:
    state, config = ViewerState(), FoldConfig()

    def fold(topic: str, event_id: str, media_id: str, ts: int, **fields: Any) -> None:
        event = MediaEvent(event_id, "v1", media_id, ts, **fields)
        author_id = media_id.replace("m", "a")
        assert fold_media_event(state, action_in(topic, event.long), event, author_id, config)

    fold("events.like", "e1", "m1", T)
    fold("events.like", "e2", "m2", T + 1000)
    fold("events.like", "e2", "m2", T + 2000, undo=True)
    fold("events.view", "e3", "m3", T + 3000, long=True)
    fold("events.see_fewer", "e4", "m4", T + 4000)
    fold("events.see_fewer", "e5", "m5", T + 5000)
    fold("events.see_fewer", "e5", "m5", T + 6000, undo=True)
    fold_follow_event(state, FollowEvent("e6", "v1", "a9", Relation.FOLLOW, T), config)
    return state
