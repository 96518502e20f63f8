"""``docs/reliability.md`` out of what runs saw. Pure: reports in, text out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from tests.chaos.faults import ALL

Report = dict[str, Any]

#: What is promised of a fault of these parts: lookups of ready grids that fail, at most.
WITHOUT_LOOKUPS_LOST: Final = ("Redis", "Kafka")
MOST_FAILED: Final = 0.001
MOST_RECOVERY_S: Final = 10.0
LEAST_FAULTS: Final = 300
LEAST_KINDS: Final = 15

HEAD: Final = (
    "# Reliability: what was seen\n\n"
    "`make reliability` writes this page from what its runs saw, and nothing else: it breaks "
    "things until FAULTS=300 faults were\ninjected and then sends BAD=1000000 malformed records; "
    "`make soak MINUTES=30` runs at half of the peak rate with a fault a\nminute. What is "
    "promised, and by which test: [operations](operations.md#promises).\n"
)


class Seen(NamedTuple):
    """Reports that were kept: of chaos runs, of bad input, of soaks."""

    runs: Sequence[Report]
    bad_inputs: Sequence[Report]
    soaks: Sequence[Report]


def quantile(values: Iterable[float], share: float) -> float:
    """The smallest of the values that at least this share of them does not exceed; 0 for none."""
    ordered = sorted(values)
    if not ordered:
        return 0.0
    return ordered[max(0, -(-int(share * 1000) * len(ordered) // 1000) - 1)]


def page(seen: Seen) -> str:
    """The page, in Markdown."""
    parts = [HEAD]
    if seen.runs:
        parts += [_totals(seen.runs), _faults(seen.runs), _misses(seen.runs)]
    else:
        parts.append("No chaos run was kept.\n")
    parts += [_bad_input(seen.bad_inputs), _soak(seen.soaks)]
    return "\n".join(part for part in parts if part)


def _totals(runs: Sequence[Report]) -> str:
    judged = [run for run in runs if "lost" in run]
    by_kind = _by_kind(runs)
    recoveries = [s for of in by_kind.values() for s in of["recovery_s"]]
    server_kinds = [of for name, of in by_kind.items() if _part(name) in WITHOUT_LOOKUPS_LOST]
    asked = sum(of["served"] + of["failed"] for of in server_kinds)
    failed = sum(of["failed"] for of in server_kinds)
    injected = sum(of["injected"] for of in by_kind.values())
    crashed = sum(of["crashed"] for of in by_kind.values())
    p99_s = quantile(recoveries, 0.99)
    rows = [
        ("faults injected", injected, f"≥ {LEAST_FAULTS}", injected >= LEAST_FAULTS),
        ("kinds of faults", len(by_kind), f"≥ {LEAST_KINDS}", len(by_kind) >= LEAST_KINDS),
        ("events and catalogue records sent", _sum(judged, "sent"), "", None),
        ("sent again, since nobody acknowledged them", _sum(judged, "resent"), "", None),
        ("events in the logs, copies included", _sum(judged, "in_log"), "", None),
        ("bad records among them, and bad stored states", _sum(judged, "dead_letters_expected"),
         "", None),
        ("of these lettered", _sum(judged, "dead_letters"), "all",
         _sum(judged, "dead_letters") == _sum(judged, "dead_letters_expected")),
        ("further letters of the same, after a crash", _sum(judged, "dead_letters_again"), "",
         None),
        ("lost", _sum(judged, "lost"), "0", not _sum(judged, "lost")),
        ("double", _sum(judged, "double"), "0", not _sum(judged, "double")),
        ("runs whose state has the hash of the log",
         f"{sum(run['hash_equal'] for run in judged)} of {len(runs)}", "all",
         sum(run["hash_equal"] for run in judged) == len(runs)),
        ("processes that ended by themselves", crashed, "0", not crashed),
        ("recovery, p50", f"{quantile(recoveries, 0.5):.2f} s", "", None),
        ("recovery, p99", f"{p99_s:.2f} s", f"≤ {MOST_RECOVERY_S:g} s", p99_s <= MOST_RECOVERY_S),
        ("lookups of ready grids during faults of Redis and Kafka", asked, "", None),
        ("of these failed", f"{failed} ({failed / asked if asked else 0:.2%})",
         f"≤ {MOST_FAILED:.1%}", failed <= MOST_FAILED * asked),
        ("lookups between faults, failed",
         f"{_sum(runs, 'lookups_failed_between')} of "
         f"{_sum(runs, 'lookups_served_between') + _sum(runs, 'lookups_failed_between')}",
         "0", not _sum(runs, "lookups_failed_between")),
    ]  # fmt: skip
    brokers = ", ".join(sorted({run["broker"] for run in runs}))
    text = (
        f"\n## Faults\n\nRuns: {len(runs)} ({brokers}), {_sum(runs, 'seconds') / 60:.0f} minutes, "
        f"on {_machine(runs)}; "
        "one process of each role, 20 lookups a second of ready grids. Recovery is the time from "
        "healing until a like that is sent then is in its viewer's grid. Lookups of a fault are "
        "those from its beginning to its recovery.\n\n"
        "| what | seen | wanted | |\n|---|---|---|---|\n"
    )
    marks = {True: "✓", False: "**missed**", None: ""}
    return text + "".join(f"| {a} | {b} | {c} | {marks[ok]} |\n" for a, b, c, ok in rows)


def _faults(runs: Sequence[Report]) -> str:
    lines = [
        "\n| fault | times | recovery p50, s | longest, s | lookups | failed | ended by themselves "
        "|\n|---|---|---|---|---|---|---|\n"
    ]
    for name, of in _by_kind(runs).items():
        lines.append(
            f"| {name} | {of['injected']} | {quantile(of['recovery_s'], 0.5):.2f} | "
            f"{max(of['recovery_s'], default=0):.2f} | {of['served'] + of['failed']} | "
            f"{of['failed']} | {of['crashed']} |\n"
        )
    lines.append("\nWhat they do:\n\n")
    names = set(_by_kind(runs))
    for fault in ALL:
        if fault.name in names:
            may = f" Lookups may fail: {fault.excuses}." if fault.excuses else ""
            lines.append(f"- **{fault.name}**: {fault.does}{may}\n")
    return "".join(lines)


def _misses(runs: Sequence[Report]) -> str:
    """What did not hold, run by run."""
    lines = []
    for run in runs:
        where = f"seed {run['seed']} on {run['broker']}"
        if "stuck" in run:
            lines.append(f"- {where}: {run['stuck']}\n")
        lines += [f"- {where}: {text}\n" for text in run.get("differences", ())]
        lines += [f"- {where}: {_short(text)}\n" for text in run.get("notes", ())]
    return "\nWhat did not hold:\n\n" + "".join(lines) if lines else ""


def _bad_input(reports: Sequence[Report]) -> str:
    if not reports:
        return ""
    lines = [
        "\n## Bad input\n\n| broker | malformed | good among them | lettered | good ones lost | "
        "double | processes that ended | records a second |\n|---|---|---|---|---|---|---|---|\n"
    ]
    lines += [
        f"| {of['broker']} | {of['malformed']} | {of['good']} | {of['lettered']} | {of['lost']} | "
        f"{of['double']} | {of['crashed']} | {of['records_per_s']:.0f} |\n"
        for of in reports
    ]
    return "".join(lines)


def _soak(reports: Sequence[Report]) -> str:
    if not reports:
        return ""
    lines = [
        "\n## Soak\n\n| minutes | events a second | faults | freshness p50 / p99 | lost | double | "
        "memory, MiB an hour | file descriptors an hour |\n|---|---|---|---|---|---|---|---|\n"
    ]
    for of in reports:
        memory = ", ".join(f"{role} {s:+.0f}" for role, s in of["memory_mib_per_h"].items())
        files = ", ".join(f"{role} {s:+.0f}" for role, s in of["files_per_h"].items())
        lines.append(
            f"| {of['minutes']:g} | {of['events_per_s']:.0f} | {of['faults']} | "
            f"{of['freshness_p50_s']:.2f} / {of['freshness_p99_s']:.2f} s | {of['lost']} | "
            f"{of['double']} | {memory} | {files} |\n"
        )
    return "".join(lines)


def _by_kind(runs: Sequence[Report]) -> dict[str, Report]:
    """Fault → what all runs saw of it together, in the order in which faults are listed."""
    found: defaultdict[str, Report] = defaultdict(
        lambda: {"injected": 0, "recovery_s": [], "served": 0, "failed": 0, "crashed": 0}
    )
    for run in runs:
        for name, of in run["faults"].items():
            for figure in found[name]:
                found[name][figure] += of[figure]
    order = [fault.name for fault in ALL]
    return dict(sorted(found.items(), key=lambda item: order.index(item[0])))


def _machine(runs: Sequence[Report]) -> str:
    """What the runs had to themselves, or not."""
    cores = sorted({run["cores"] for run in runs})
    loads = sorted(run["load"] for run in runs if "load" in run)
    shared = f", load average {loads[0]:.1f} to {loads[-1]:.1f}, other programs' included"
    return f"{' or '.join(map(str, cores))} cores{shared if loads else ''}"


def _part(name: str) -> str:
    return next(fault.part for fault in ALL if fault.name == name)


def _sum(runs: Iterable[Report], figure: str) -> Any:
    return round(sum(run[figure] for run in runs))


def _short(text: str) -> str:
    return text.partition(" (log:")[0]
