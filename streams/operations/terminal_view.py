"""The overview of an installation as a frame on a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple

from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from infra.http.operations import Operations
from infra.recent import Spread

#: Where a figure cannot be known.
UNKNOWN: Final = "–"
_STYLES: Final[Mapping[str, str]] = {
    "wrong": "bold red", "look": "yellow",
    "up": "green", "keeps_up": "green", "behind": "yellow", "unknown": "dim",
}  # fmt: skip
_MIB: Final = 1 << 20


class Look(NamedTuple):
    """What a ranker told.

    Attributes:
        url: of the ranker.
        versions: live ones by kind.
    """

    url: str
    told: Operations
    versions: Mapping[str, str | None]


def frame(before: Look, now: Look) -> RenderableType:
    """One frame; rates are of the time between two looks."""
    told = now.told
    looked = datetime.fromtimestamp(told.at_ms / 1000, UTC)
    wrong = Text(told.headline, style=_STYLES["wrong"] if told.troubles else "green")
    return Group(
        Text(f"{now.url}, {looked:%H:%M:%S} UTC", style="dim"),
        wrong,
        *(Text(f"  {one.says}: {one.remedy}", _STYLES[one.severity]) for one in told.troubles),
        "",
        Columns(
            [_roles(told), _topics(before.told, told), _lag(told), _grids(told), _live(now)],
            padding=(1, 4),
        ),
    )


def rates(before: Operations, now: Operations) -> dict[str, float]:
    """Records a second by topic, between two looks; none where Kafka did not tell both times."""
    seconds = (now.at_ms - before.at_ms) / 1000
    if before.log is None or now.log is None or seconds <= 0:
        return {}
    earlier = {of.topic: of.records for of in before.log.topics}
    # A topic that was made anew begins at none.
    return {
        of.topic: max(of.records - earlier.get(of.topic, of.records), 0) / seconds
        for of in now.log.topics
    }


def _roles(told: Operations) -> Table:
    table = _table("role", "state", "")
    for of in told.roles:
        table.add_row(of.role, Text(of.state.replace("_", " "), _STYLES[of.state]), of.says)
    return table


def _topics(before: Operations, told: Operations) -> Table:
    table = _table("topic", "records/s", "records")
    by_topic = rates(before, told)
    for of in () if told.log is None else told.log.topics:
        rate = by_topic.get(of.topic)
        table.add_row(of.topic, UNKNOWN if rate is None else f"{rate:,.1f}", f"{of.records:,}")
    return table


def _lag(told: Operations) -> Table:
    table = _table("lag: group", "topic", "records")
    waiting = [] if told.log is None else [of for of in told.log.lag if of.records]
    for of in sorted(waiting, key=lambda of: -of.records):
        table.add_row(of.group, of.topic, f"{of.records:,}")
    if not waiting:
        table.add_row(UNKNOWN if told.log is None else "nothing waits", "", "")
    return table


def _grids(told: Operations) -> Table:
    grids, table = told.grids, _table("grids", "")
    table.add_row("made, failed, waiting", f"{grids.made:,}, {grids.failed:,}, {grids.waiting:,}")
    table.add_row("event → grid, p50, p99", _spread(grids.event_to_grid))
    table.add_row("making one, p50, p99", _spread(grids.making))
    items = sum(grids.by_source.values())
    for source, count in grids.by_source.items():
        table.add_row(f"from {source}", f"{count / items:.1%}")
    return table


def _live(now: Look) -> Table:
    told, table = now.told, _table("live", "")
    for kind, version in now.versions.items():
        table.add_row(kind, version or "none")
    letters = told.dead_letters
    table.add_row("dead letters", UNKNOWN if letters is None else f"{letters:,}")
    table.add_row("Redis memory", ", ".join(_memory(told)))
    return table


def _memory(told: Operations) -> Iterator[str]:
    if told.memory is None:
        yield UNKNOWN
        return
    yield f"{told.memory.used_bytes / _MIB:,.0f} MiB"
    if told.memory.limit_bytes:
        yield f"{told.memory.used_bytes / told.memory.limit_bytes:.0%} of what it may"


def _spread(spread: Spread | None) -> str:
    # Nobody did anything in the last minute.
    return UNKNOWN if spread is None else f"{spread.p50_ms:.1f} ms, {spread.p99_ms:.1f} ms"


def _table(*heads: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for head in heads:
        is_figure = head.startswith("records")
        table.add_column(head, justify="right" if is_figure else "left", overflow="fold")
    return table
