"""What an execution did, node by node."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import msgspec

from models.igql.planner import Mix, Node, Plan, Sieve, Step, Viewers


class StepReport(msgspec.Struct):
    """One node.

    Attributes:
        what: the operator and its arguments, as text.
        rows_in, rows_out: of all viewers.
        microseconds: of this node alone, filters included.
        fetched: rows that came before filters and cuts, where that is more than went out.
        dropped: rows that each filter took out.
        notes: what went otherwise than one might expect.
        inputs: the nodes before it. One that is used twice appears twice, computed once.
    """

    what: str
    rows_in: int = 0
    rows_out: int = 0
    microseconds: float = 0.0
    fetched: int = 0
    dropped: dict[str, int] = {}
    notes: list[str] = []
    inputs: list[StepReport] = []


class PlanReport(msgspec.Struct):
    """One execution of a plan for a batch of viewers."""

    root: StepReport
    version: str
    viewers: int
    microseconds: float

    def steps(self) -> Iterator[StepReport]:
        """Every node once, inputs first."""
        seen: set[int] = set()

        def walk(step: StepReport) -> Iterator[StepReport]:
            if id(step) in seen:
                return
            seen.add(id(step))
            for below in step.inputs:
                yield from walk(below)
            yield step

        return walk(self.root)

    def dropped(self) -> dict[str, int]:
        """Rows that each filter took out, over all nodes."""
        total: Counter[str] = Counter()
        for step in self.steps():
            total.update(step.dropped)
        return dict(total)

    def lines(self) -> list[str]:
        """The plan as an indented tree, what runs last on top."""
        found = [f"{'rows in':>9}{'out':>8}{'µs':>9}  query {self.version}"]

        def show(step: StepReport, depth: int, seen: set[int]) -> None:
            indent = "  " * depth
            again = id(step) in seen
            times = " " * 26 if again else (
                f"{step.rows_in:>9}{step.rows_out:>8}{step.microseconds:>9.0f}"
            )
            found.append(f"{times}  {indent}{step.what}{' (as above)' if again else ''}")
            if again:
                return
            seen.add(id(step))
            for name, count in step.dropped.items():
                found.append(f"{'':>26}  {indent}  − {count} by {name}")
            found.extend(f"{'':>26}  {indent}  ! {note}" for note in step.notes)
            for below in step.inputs:
                show(below, depth + 1, seen)

        show(self.root, 0, set())
        return found


def describe(node: Node) -> str:
    """A node as text."""
    match node:
        case Viewers():
            return "user"
        case Mix(branches=branches):
            return f"blend({', '.join(f'{weight:g}' for weight, _ in branches)})"
        case Sieve():
            return "filters"
        case Step(operator=operator, arguments=arguments):
            given = ", ".join(
                f"{name}={_value(value)}" for name, value in arguments.items() if value is not None
            )
            return f"{operator.name}({given})"


def _value(value: object) -> str:
    if isinstance(value, tuple):
        return "{" + ", ".join(f"{name}={of}" for name, of in value) + "}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def tree(plan: Plan, reports: dict[int, StepReport]) -> StepReport:
    """Put the reports of a plan's nodes, by their identity, together."""
    from models.igql.planner import inputs

    for node in plan.nodes():
        reports[id(node)].inputs = [reports[id(below)] for below in inputs(node)]
    return reports[id(plan.root)]
