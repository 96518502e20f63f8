"""Plans beside each other, as a table of Markdown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from streams.planning.sizing import Assumptions, Limit, Load, Plan

#: What ``docs/scaling.md`` carries the figures to: viewers of a day, media.
SIZES: Final = (
    (1_000_000, 10_000_000),
    (100_000_000, 10_000_000),
    (100_000_000, 1_000_000_000),
    (1_000_000_000, 10_000_000),
    (1_000_000_000, 1_000_000_000),
)
#: What a viewer of a day sends, for who knows no rate of events: 60 views and a few more.
EVENTS_OF_VIEWER: Final = 64


def load_of(viewers: int, media: int, assumed: Assumptions) -> Load:
    """The load of so many viewers a day, at the busiest time."""
    per_s = viewers * EVENTS_OF_VIEWER / 86_400 * assumed.peak
    return Load(viewers=viewers, media=media, events_per_s=round(per_s, 1))


def rows_of(load: Load, found: Plan) -> list[tuple[str, str]]:
    """Name and value of everything in a plan, for a person."""
    roles = [
        (
            f"{name}: processes, cores, GiB",
            f"{'none suffices' if role.processes is None else f'{role.processes:,}'}, "
            f"{_short(role.cores)}, {_short(role.memory_gib)}",
        )
        for name, role in found.roles.items()
    ]
    first = found.limits[0]
    return [
        ("viewers a day", f"{load.viewers:,}"),
        ("media", f"{load.media:,}"),
        ("events/s", _short(load.events_per_s)),
        ("PARTITIONS", f"{found.partitions:,}"),
        *roles,
        ("Kafka in, out, MB/s", f"{_short(found.kafka_in_mb_s)}, {_short(found.kafka_out_mb_s)}"),
        ("Redis in, out, MB/s", f"{_short(found.redis_in_mb_s)}, {_short(found.redis_out_mb_s)}"),
        ("Kafka's disks, GiB", _short(found.disk_gib)),
        ("money a month", _short(found.month)),
        ("breaks first", f"{first.name}: {share(first)}"),
        ("moved by", first.moved_by),
    ]


def share(limit: Limit) -> str:
    """How much of a limit is used."""
    if limit.used > 1:
        return f"{limit.used:,.1f} × what there is"
    return f"{limit.used:.1%} used, enough for {1 / limit.used:,.1f} × this"


def table(loads: Sequence[Load], planned: Callable[[Load], Plan]) -> str:
    """Plans of some loads in Markdown, a column for each load, named A, B, …"""
    columns = [rows_of(load, planned(load)) for load in loads]
    names = [name for name, _ in columns[0]]
    lines = ["| " + " | ".join(["", *(f"{n}" for n in "ABCDEFGH"[: len(loads)])]) + " |"]
    lines.append("|" + "---|" * (len(loads) + 1))
    for at, name in enumerate(names):
        lines.append("| " + " | ".join([name, *(column[at][1] for column in columns)]) + " |")
    return "\n".join(lines) + "\n"


def limits_table(loads: Sequence[Load], planned: Callable[[Load], Plan]) -> str:
    """Every limit by load: how much of it is used."""
    plans = [planned(load) for load in loads]
    names = list(dict.fromkeys(limit.name for found in plans for limit in found.limits))
    lines = ["| limit | " + " | ".join("ABCDEFGH"[: len(loads)]) + " | moved by |"]
    lines.append("|" + "---|" * (len(loads) + 2))
    for name in names:
        of = [next(limit for limit in found.limits if limit.name == name) for found in plans]
        used = [f"{limit.used:,.2f}" for limit in of]
        lines.append("| " + " | ".join([name, *used, of[0].moved_by]) + " |")
    return "\n".join(lines) + "\n"


def _short(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
