"""What is not as it should be, told from the figures: worst first, each with what to do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from infra.http.operations import Check, GridFigures, LogState, Memory, Trouble
from streams.operations.log_state import SOME_RECORDS

ALL_WELL: Final = "All well."
#: Of the memory that the store may use.
FULL: Final = 0.9
FILLING: Final = 0.75
#: Records behind that a role does not work off in seconds.
MANY_RECORDS: Final = 100_000
#: Viewers who wait for a grid.
MANY_WAIT: Final = 10_000
#: From an event to its grid, of half of the events.
SLOW_MS: Final = 5_000
#: Of the media that the final pass likes best, cut before; and of how many it can be told.
LOST: Final = 0.1
LEAST_BEST: Final = 1_000


def troubles(
    log: LogState | None,
    grids: GridFigures,
    memory: Memory | None,
    dead_letters: int | None,
    checks: Sequence[Check],
    refused: str | None,
    *,
    caught_up: bool,
) -> list[Trouble]:
    """What is wrong, worst first.

    Args:
        dead_letters: not redriven yet.
        refused: why weights and arms that stand in the store are not served here.
        caught_up: whether this ranker has read all that it follows.
    """
    found = [
        *(Trouble("wrong", check.what, *_check(check)) for check in checks if not check.ok),
        *_of_memory(memory),
        *_of_log(log),
        *_of_grids(grids),
    ]
    if log is None:
        says, remedy = "Kafka does not tell how far its log goes", "freshgrid doctor checks it"
        found.append(Trouble("look", "log", says, remedy))
    if memory is None:
        says, remedy = "Redis does not tell of its memory", "freshgrid doctor checks it"
        found.append(Trouble("look", "memory", says, remedy))
    if not caught_up:
        found.append(
            Trouble("look", "reading", "This ranker is still reading the log", "wait a moment")
        )
    if dead_letters:
        records = "1 record" if dead_letters == 1 else f"{dead_letters} records"
        says = f"{records} could not be applied"
        remedy = "look at their reasons, mend their producer, edit and redrive them"
        found.append(Trouble("look", "dead_letters", says, remedy))
    if refused is not None:
        says = f"Weights or arms in the store are not served, the last good ones are: {refused}"
        remedy = "freshgrid experiments history shows those of before"
        found.append(Trouble("look", "experiment", says, remedy))
    return sorted(found, key=lambda trouble: trouble.severity == "look")


def headline(found: Sequence[Trouble]) -> str:
    """One or two sentences: all is well, or the worst and what to do about it."""
    if not found:
        return ALL_WELL
    first = found[0]
    more = f" {len(found) - 1} more below." if len(found) > 1 else ""
    return f"{first.says}. {first.remedy[:1].upper()}{first.remedy[1:]}.{more}"


def _check(check: Check) -> tuple[str, str]:
    """What a check says, parted into what is so and what to do."""
    says, _, remedy = check.says.partition("; ")
    return says, remedy or "freshgrid doctor checks it again"


def _of_memory(memory: Memory | None) -> Iterator[Trouble]:
    if memory is None or memory.limit_bytes is None:
        return
    share = memory.used_bytes / memory.limit_bytes
    if share >= FILLING:
        says = f"Redis is {share:.0%} full"
        remedy = "raise its maxmemory: one that is full takes no events"
        yield Trouble("wrong" if share >= FULL else "look", "redis_full", says, remedy)


def _of_log(log: LogState | None) -> Iterator[Trouble]:
    by_role: dict[str, int] = {}
    for of in log.lag if log is not None else ():
        by_role[of.role] = by_role.get(of.role, 0) + of.records
    for role, records in by_role.items():
        if records > SOME_RECORDS:
            says = f"The {role} is {records:,} records behind"
            remedy = f"look whether a {role} runs; if one does and this grows, start another"
            if role == "learner":
                remedy = "look whether the learner runs, and at its log; there must be one alone"
            yield Trouble("wrong" if records > MANY_RECORDS else "look", "lag", says, remedy)


def _of_grids(grids: GridFigures) -> Iterator[Trouble]:
    if grids.waiting > MANY_WAIT:
        says = f"{grids.waiting:,} viewers wait for a new grid"
        remedy = "start another ranker; readers get the last grid meanwhile"
        yield Trouble("wrong", "grids_wait", says, remedy)
    slow = grids.event_to_grid
    if slow is not None and slow.p50_ms > SLOW_MS:
        says = f"Half of the events take more than {slow.p50_ms / 1000:.1f} s to their grids"
        remedy = "look at the lag below, and whether the clock of the producers is right"
        yield Trouble("look", "slow", says, remedy)
    if grids.failed:
        says = f"Since this ranker started, {grids.failed:,} grids could not be made"
        yield Trouble("look", "grids_fail", says, "its log names the viewers and the errors")
    best = grids.funnel.best
    for ranking_pass, lost in grids.funnel.lost.items():
        if best >= LEAST_BEST and lost / best > LOST:
            says = (
                f"The {ranking_pass} pass cuts {lost / best:.0%} of what the final pass likes best"
            )
            remedy = "look at the refusals of rankers among the versions, or keep more media"
            yield Trouble("look", "funnel", says, remedy)
