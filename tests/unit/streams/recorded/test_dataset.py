"""What strangers' files become, and what is said of files that cannot be used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from infra.errors import FreshgridError
from models.actions import Action
from streams.recorded.numbered import OWN
from streams.recorded.reading import read_dataset

T0 = 1_600_000_000_000
MAPPING = """
[events]
path = "log.csv"
ts = "when"
ts_unit = "s"
viewer = "user"
media = "item"
action = "what"

[actions]
thumb = "like"
seen = "view"
"""
LOG = """when,user,item,what
1600000002,7,12,thumb
1600000001,7,11,seen
1600000003,8,11,thumb
"""


def folder(tmp_path: Path, mapping: str = MAPPING, **files: str) -> Path:
    (tmp_path / "set.toml").write_text(mapping)
    for name, text in {"log": LOG, **files}.items():
        (tmp_path / f"{name}.csv").write_text(text)
    return tmp_path / "set.toml"


def refusal(path: Path, mapping: Path | None = None) -> str:
    with pytest.raises(FreshgridError) as refused:
        read_dataset(path, mapping)
    return str(refused.value)


def test_a_mapping_tells_columns_units_and_actions(tmp_path: Path) -> None:
    data = read_dataset(folder(tmp_path))
    log = data.log
    assert data.name == "set"
    assert log.ts_n.tolist() == [T0 + 1000, T0 + 2000, T0 + 3000]
    assert [data.viewer_ids[v] for v in log.viewer_n] == ["7", "7", "8"]
    assert [data.media_ids[m] for m in log.media_n] == ["11", "12", "11"]
    assert log.action_n.tolist() == [Action.VIEW, Action.LIKE, Action.LIKE]
    assert log.created_m[log.media_n[0]] == T0 + 1000
    # The same with the mapping beside the data, by a folder and by the file itself.
    for where in (tmp_path, tmp_path / "log.csv"):
        assert read_dataset(where, tmp_path / "set.toml").log.ts_n.tolist() == log.ts_n.tolist()


def test_media_without_an_author_are_their_own(tmp_path: Path) -> None:
    data = read_dataset(folder(tmp_path))
    assert [data.author_ids[a] for a in data.log.author_m] == [
        f"{OWN}{media}" for media in data.media_ids
    ]
    assert len({data.record(m).author_id for m in range(data.log.media)}) == 2


def test_events_without_an_author_can_be_dropped(tmp_path: Path) -> None:
    mapping = 'missing_author = "drop"\n' + MAPPING.replace('"what"', '"what"\nauthor = "by"')
    lines = LOG.splitlines()
    text = "\n".join([lines[0] + ",by", lines[1] + ",4", *(f"{line}," for line in lines[2:])])
    data = read_dataset(folder(tmp_path, mapping, log=text))
    assert (data.media_ids, data.author_ids, len(data.log)) == (["12"], ["4"], 1)
    nobody = "\n".join([lines[0] + ",by", *(f"{line}," for line in lines[1:])])
    said = refusal(folder(tmp_path, mapping, log=nobody))
    assert 'missing_author = "own"' in said


def test_ratings_become_actions_by_steps(tmp_path: Path) -> None:
    mapping = """
[events]
path = "log.csv"
ts = "when"
ts_unit = "s"
viewer = "user"
media = "item"
rating = "stars"
[[ratings]]
at_least = 4
action = "like"
[[ratings]]
at_least = 1
action = "see_fewer"
[[ratings]]
at_least = 3
action = "view"
"""
    text = "when,user,item,stars\n" + "".join(
        f"160000000{n},1,{n},{stars}\n" for n, stars in enumerate((0.5, 1, 3, 3.9, 5))
    )
    log = read_dataset(folder(tmp_path, mapping, log=text)).log
    assert log.action_n.tolist() == [Action.SEE_FEWER, Action.VIEW, Action.VIEW, Action.LIKE]


def test_every_event_can_be_a_view_too(tmp_path: Path) -> None:
    log = read_dataset(
        folder(tmp_path, MAPPING.replace("[actions]", "viewed = true\n[actions]"))
    ).log
    assert log.action_n.tolist() == [
        Action.VIEW, Action.VIEW, Action.LIKE, Action.VIEW, Action.LIKE,
    ]  # fmt: skip


def test_tables_with_our_names_need_no_mapping(tmp_path: Path) -> None:
    parquet.write_table(
        pa.table(
            {
                "ts": [T0, T0 + 1, T0 + 2], "viewer_id": [1, 1, 2], "media_id": [5, 6, 5],
                "author_id": [9, None, 9], "action": ["view", "view", "like"],
                "long_view": [True, False, False], "ts_real": [False, True, True],
            }
        ),
        tmp_path / "events.parquet",
    )  # fmt: skip
    parquet.write_table(
        pa.table({"media_id": [5, 7], "author_id": [9, 3], "created_ts": [T0 - 5, None],
                  "tags": ["a,b", None]}),
        tmp_path / "media.parquet",
    )  # fmt: skip
    data = read_dataset(tmp_path)
    log = data.log
    assert log.action_n.tolist() == [Action.LONG_VIEW, Action.VIEW, Action.LIKE]
    assert data.real_from_ms == T0 + 1
    assert data.record(data.media_ids.index("5")).topics == ("a", "b")
    assert log.created_m[data.media_ids.index("5")] == T0 - 5
    # Nobody met it and nobody says when it came: it is never in the inventory.
    assert log.created_m[data.media_ids.index("7")] == np.iinfo(np.int64).max
    media = data.catalogue(0, T0 + 10)
    assert [one.media_id for one in media] == ["5", "6"]


def test_records_of_the_log_are_read_with_their_undos(tmp_path: Path) -> None:
    lines = [
        '{"topic":"catalog.media","media_id":"m1","author_id":"a1","created_ts":1}',
        *(
            f'{{"topic":"events.like","event_id":"e{n}","viewer_id":"v","media_id":"m{m}",'
            f'"author_id":"a{m}","ts":{T0 + n},"undo":{undo}}}'
            for n, m, undo in ((0, 1, "false"), (1, 2, "false"), (2, 2, "true"))
        ),
    ]
    path = tmp_path / "log.jsonl"
    path.write_text("\n".join(lines))
    log = read_dataset(path).log
    assert log.of((Action.LIKE,)).tolist() == [True, False, False]
    assert "leave out --mapping" in refusal(path, path)


def test_equal_times_keep_the_order_of_the_file(tmp_path: Path) -> None:
    text = "when,user,item,what\n" + "".join(f"1600000000,{n},{n},thumb\n" for n in range(5))
    data = read_dataset(folder(tmp_path, log=text))
    assert [data.viewer_ids[v] for v in data.log.viewer_n] == list("01234")


def test_what_cannot_be_used_is_said_with_its_remedy(tmp_path: Path) -> None:
    said = refusal(folder(tmp_path, MAPPING.replace('"item"', '"film"')))
    assert "no column 'film'" in said
    assert "when, user, item, what" in said
    assert "log2.csv" in refusal(folder(tmp_path, MAPPING.replace("log.csv", "log2.csv")))
    assert "'thumb'" in refusal(folder(tmp_path, MAPPING.replace("thumb =", "thumbs =")))
    assert "docs/evaluation.md" in refusal(folder(tmp_path, MAPPING.replace("ts_unit", "unit")))
    assert "exactly one of" in refusal(folder(tmp_path, MAPPING.replace('action = "what"', "")))
    assert 'ts_unit = "s"' in refusal(folder(tmp_path, MAPPING.replace('"s"', '"ms"')))
    assert "no events" in refusal(folder(tmp_path, log="when,user,item,what\n"))
    said = refusal(folder(tmp_path, log=LOG + "1600000004,,12,seen\n"))
    assert "without a viewer (row 3)" in said
    said = refusal(folder(tmp_path, log=LOG + f"1600000004,{'x' * 200},12,seen\n"))
    assert "at most 128" in said
    (tmp_path / "empty").mkdir()
    assert "docs/datasets" in refusal(tmp_path / "empty")
