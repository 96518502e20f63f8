"""What an execution did, node by node."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from models.igql.planner import Mix, Node, OperatorNode, Plan, Sieve, Viewers, inputs


@dataclass(slots=True)
class StepReport:
    """One node.

    Attributes:
        rows_in, rows_out: of all viewers.
        microseconds: of this node alone, filters included.
        fetched: rows that came before filters and cuts.
        dropped: rows that each filter took out.
        notes: what went otherwise than one might expect.
        failed: it, or a filter of it, raised.
    """

    node: Node
    rows_in: int = 0
    rows_out: int = 0
    microseconds: float = 0.0
    fetched: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    failed: bool = False


@dataclass(frozen=True, slots=True)
class PlanReport:
    """One execution of a plan for a batch of viewers.

    Attributes:
        steps: by node, inputs before what reads them; none of what stood in for nothing.
    """

    plan: Plan
    steps: Mapping[Node, StepReport]
    viewers: int
    microseconds: float

    def dropped(self) -> dict[str, int]:
        """Rows that each filter took out, over all nodes."""
        total: Counter[str] = Counter()
        for step in self.steps.values():
            total.update(step.dropped)
        return dict(total)

    def failures(self) -> list[str]:
        """What is noted of the nodes that failed."""
        return [note for step in self.steps.values() if step.failed for note in step.notes]

    def lines(self) -> list[str]:
        """The plan as an indented tree, what runs last on top."""
        found = [f"{'rows in':>9}{'out':>8}{'µs':>9}  query {self.plan.version}"]
        for node, depth, again in self._walk():
            step, indent = self.steps.get(node), "  " * depth
            if step is None:
                found.append(f"{'':>26}  {indent}{describe(node)} (not needed)")
                continue
            if again:
                found.append(f"{'':>26}  {indent}{describe(node)} (as above)")
                continue
            found.append(
                f"{step.rows_in:>9}{step.rows_out:>8}{step.microseconds:>9.0f}  "
                f"{indent}{describe(node)}"
            )
            found.extend(
                f"{'':>26}  {indent}  − {count} by {name}" for name, count in step.dropped.items()
            )
            found.extend(f"{'':>26}  {indent}  ! {note}" for note in step.notes)
        return found

    def document(self) -> dict[str, Any]:
        """The plan for scripts: nodes by number, inputs before what reads them."""
        numbers = {node: number for number, node in enumerate(self.steps)}
        return {
            "version": self.plan.version,
            "viewers": self.viewers,
            "microseconds": round(self.microseconds, 1),
            "steps": [
                {
                    "step": numbers[node],
                    "what": describe(node),
                    "inputs": [numbers[below] for below in inputs(node) if below in numbers],
                    "rows_in": step.rows_in,
                    "rows_out": step.rows_out,
                    "microseconds": round(step.microseconds, 1),
                    "fetched": step.fetched,
                    "dropped": step.dropped,
                    "notes": step.notes,
                    "failed": step.failed,
                }
                for node, step in self.steps.items()
            ],
        }

    def _walk(self) -> Iterator[tuple[Node, int, bool]]:
        """Nodes from the root, with their depth and whether they were there before."""
        seen: set[Node] = set()
        waiting = [(self.plan.root, 0)]
        while waiting:
            node, depth = waiting.pop()
            yield node, depth, node in seen
            if node not in seen:
                seen.add(node)
                waiting.extend((below, depth + 1) for below in reversed(inputs(node)))


def describe(node: Node) -> str:
    """A node of a plan as one line: operator and arguments."""
    match node:
        case Viewers():
            return "user"
        case Mix(branches=branches):
            return f"blend({', '.join(f'{weight:g}' for weight, _ in branches)})"
        case Sieve():
            return "filters"
        case OperatorNode(operator=operator, arguments=arguments):
            given = ", ".join(
                f"{name}={_value(value)}" for name, value in arguments.items() if value is not None
            )
            return f"{operator.name}({given})"


def _value(value: object) -> str:
    if isinstance(value, tuple):
        return "{" + ", ".join(f"{name}={of}" for name, of in value) + "}"
    return f"{value:g}" if isinstance(value, float) else str(value)
