"""Runs plans: many viewers at once, column by column, and always to an end.

A source that fails or is over its budget costs its own rows, is counted and after a while left out
(:mod:`models.igql.breaker`); an order that fails leaves the order as it was; a filter that fails
lets nothing through. What happened is in the report.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.arrays.types import NO_ROWS, Rows
from models.features.candidates import Candidates
from models.igql.blending import blend, filled, short
from models.igql.breaker import Breaker
from models.igql.execution import Execution, Scratch
from models.igql.fetching import fetch, sift
from models.igql.plan_report import PlanReport, StepReport
from models.igql.planner import Mix, Node, OperatorNode, Plan, Sieve, Viewers
from models.igql.predicates import candidates
from models.igql.registry import Arguments
from models.igql.sets import ColumnSet, concatenate
from models.rankers.protocol import Rankers
from models.viewers.context import ViewerContext
from models.world import World

#: Viewers of one run: codes of viewers are sorted by counting 16-bit numbers.
_MOST_VIEWERS: Final = 1 << 15


class ExecutorConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Budgets.

    Attributes:
        source_ms: what one source may take of one execution for one viewer; more is counted as
            slow, and nothing is fetched again.
        strikes: executions running that may be slow or fail before a source rests.
        rest_s: how long it rests before it is tried again.
    """

    source_ms: float = 50.0
    strikes: int = 3
    rest_s: float = 5.0


@dataclass(frozen=True, slots=True)
class Executed:
    """What a plan gave for a batch of viewers."""

    rows: ColumnSet
    report: PlanReport
    execution: Execution
    _found: Mapping[Node, ColumnSet]
    _relaxed: Mapping[int, tuple[str, ...]] = field(default_factory=dict)

    def relaxed(self, viewer: int = 0) -> tuple[str, ...]:
        """The exclusions that gave way for a viewer, in order."""
        return self._relaxed.get(viewer, ())

    def counts(self) -> list[int]:
        """How many media each viewer was given."""
        counts: list[int] = np.diff(self.rows.bounds(len(self.execution.viewers))).tolist()
        return counts

    def with_other(self, viewer: int, other: Executed, gave_way: tuple[str, ...]) -> Executed:
        """The same with what another run gave one of the viewers, alone in that."""
        relaxed = {**self._relaxed, viewer: gave_way}
        if len(self.execution.viewers) == 1:
            return replace(other, _relaxed=relaxed)
        theirs = replace(other.rows, viewer_n=np.full_like(other.rows.viewer_n, viewer))
        rows = concatenate([self.rows.where(self.rows.viewer_n != viewer), theirs])
        return replace(self, rows=rows, _relaxed=relaxed)

    def candidates(self, viewer: int = 0) -> Candidates:
        """One viewer's media, best first."""
        bounds = self.rows.bounds(len(self.execution.viewers))
        span = slice(int(bounds[viewer]), int(bounds[viewer + 1]))
        return candidates(self.execution, self.rows, span)

    def all_candidates(self) -> tuple[Candidates, NDArray[np.int64]]:
        """The media of all viewers, and where each viewer's begin (viewers + 1)."""
        found = candidates(self.execution, self.rows, slice(None))
        return found, self.rows.bounds(len(self.execution.viewers))

    def nodes(self) -> Mapping[Node, ColumnSet]:
        """What each node of the plan gave, inputs before what reads them."""
        return self._found


class Executor:
    """Runs plans against worlds; keeps its breakers and tables between runs.

    Args:
        clock: monotonic seconds; without one nothing is ever slow and reports have no times.
        tell: called with a source and ``slow``, ``failed`` or ``skipped``, whenever it was.
    """

    def __init__(
        self,
        config: ExecutorConfig | None = None,
        clock: Callable[[], float] | None = None,
        tell: Callable[[str, str], None] | None = None,
    ) -> None:
        self.config = config or ExecutorConfig()
        self.breakers: dict[str, Breaker] = {}
        self._clock = clock or _no_clock
        self.tell = tell or _nobody
        self._scratch = Scratch()

    def run(
        self,
        plan: Plan,
        viewers: Sequence[ViewerContext],
        world: World,
        rankers: Rankers,
        now_ms: int,
        served: Sequence[Rows] | None = None,
    ) -> Executed:
        """Run a plan for viewers of one arm.

        Args:
            rankers: of their arm, which ``rank`` sorts by.
            served: for each viewer the media rows not to be given again.

        Raises:
            ValueError: `served` is not of every viewer, or there are more than 32,768 of them.
        """
        if len(viewers) > _MOST_VIEWERS:
            raise ValueError(f"{len(viewers)} viewers at once; run at most {_MOST_VIEWERS}")
        if served is None:
            served = [NO_ROWS] * len(viewers)
        elif len(served) != len(viewers):
            raise ValueError(f"{len(served)} lists of served media for {len(viewers)} viewers")
        execution = Execution(world, viewers, rankers, now_ms, served, plan.sources, self._scratch)
        started = self._clock()
        run = _Run(self, plan, execution)
        rows = run.node(plan.root)
        report = PlanReport(plan, run.reports, len(viewers), (self._clock() - started) * 1e6)
        return Executed(rows, report, execution, run._found)

    def breaker(self, source: str) -> Breaker:
        """The breaker of a source."""
        found = self.breakers.get(source)
        if found is None:
            found = self.breakers[source] = Breaker(self.config.strikes, self.config.rest_s)
        return found


def _no_clock() -> float:
    return 0.0


def _nobody(source: str, outcome: str) -> None:
    pass


def _nothing(step: OperatorNode, rows: ColumnSet) -> ColumnSet:
    """The empty set of the type that a step gives for such rows."""
    return ColumnSet.empty(step.operator.given(rows.type) or step.operator.gives)


class _Run:
    """One execution; a node that is used twice is computed once."""

    def __init__(self, executor: Executor, plan: Plan, execution: Execution) -> None:
        self.reports: dict[Node, StepReport] = {}
        self._executor = executor
        self._plan = plan
        self._execution = execution
        self._found: dict[Node, ColumnSet] = {}
        self._clock = executor._clock

    def node(self, node: Node) -> ColumnSet:
        found = self._found.get(node)
        if found is None:
            report = StepReport(node)
            found = self._found[node] = self._compute(node, report)
            report.rows_out = len(found)
            self.reports[node] = report
        return found

    def _compute(self, node: Node, report: StepReport) -> ColumnSet:
        execution = self._execution
        match node:
            case Viewers():
                return ColumnSet.viewers(len(execution.viewers))
            case OperatorNode():
                return self._step(node, self.node(node.input), report)
            case Sieve():
                rows = self.node(node.input)
                started = self._clock()
                keep_n, dropped = sift(execution, rows, node.filters)
                found = rows.where(keep_n)
                report.dropped = dropped
                self._close(report, rows, started)
                return found
            case Mix():
                weighted = [
                    (weight, self.node(branch)) for weight, branch in node.branches if weight
                ]
                started = self._clock()
                viewers, parts = len(execution.viewers), [part for _, part in weighted]
                if not any(map(len, parts)):
                    execution.note("no branch with a weight brought anything")
                found = blend(viewers, parts, [weight for weight, _ in weighted], node.cut)
                microseconds = (self._clock() - started) * 1e6
                # Those of weight 0 are asked only where somebody is short of media.
                if len(weighted) < len(node.branches) and short(viewers, found, node.cut):
                    others = [self.node(branch) for weight, branch in node.branches if not weight]
                    started = self._clock()
                    standing_in = blend(viewers, others, [1.0] * len(others))
                    found = filled(viewers, found, standing_in, node.cut)
                    microseconds += (self._clock() - started) * 1e6
                    parts += others
                report.rows_in, report.microseconds = sum(map(len, parts)), microseconds
                report.notes, execution.notes = execution.notes, []
                return found

    def _step(self, step: OperatorNode, rows: ColumnSet, report: StepReport) -> ColumnSet:
        execution, operator = self._execution, step.operator
        if not len(rows):
            return _nothing(step, rows)
        started = self._clock()
        breaker = self._executor.breaker(operator.name) if operator.source else None
        if breaker is not None and not breaker.closed(started):
            execution.note(f"{operator.name} rests after being slow or failing")
            self._executor.tell(operator.name, "skipped")
            self._close(report, rows, started)
            return _nothing(step, rows)
        budget_s = self._executor.config.source_ms / 1e3 * len(execution.viewers)
        late = started + budget_s
        try:
            found = fetch(execution, step, rows, self._kernel(step), lambda: self._clock() <= late)
        except Exception as error:  # Whatever user code raises.
            execution.fail(operator.name, error)
            if breaker is not None:
                breaker.raised(self._clock())
                self._executor.tell(operator.name, "failed")
            left = _nothing(step, rows)
            if breaker is None and rows.type is left.type:
                keep_n, dropped = sift(execution, rows, step.filters)
                left, report.dropped = rows.where(keep_n), dropped
            self._close(report, rows, started)
            return left
        ended = self._clock()
        if breaker is not None and ended > late:
            breaker.was_slow(ended)
            self._executor.tell(operator.name, "slow")
            execution.note(f"{operator.name} took {(ended - started) * 1e3:.0f} ms")
        elif breaker is not None:
            breaker.went_well()
        report.dropped, report.fetched = found.dropped, found.came
        if found.came and not len(found.rows):
            execution.note("filters let nothing through")
        self._close(report, rows, started)
        return found.rows

    def _kernel(self, step: OperatorNode) -> Callable[[ColumnSet, Arguments], ColumnSet]:
        execution, operator = self._execution, step.operator
        code = self._plan.source_codes.get(operator.name) if operator.source else None

        def run(rows: ColumnSet, arguments: Arguments) -> ColumnSet:
            found: ColumnSet = operator.kernel(execution, rows, arguments)
            if found.type is not operator.given(rows.type):
                raise TypeError(f"{operator.name} gave {found.type.value}, which it does not say")
            if code is not None:
                found = found.from_source(code)
            return found

        return run

    def _close(self, report: StepReport, rows: ColumnSet, started: float) -> None:
        report.rows_in = len(rows)
        report.microseconds = (self._clock() - started) * 1e6
        report.notes, self._execution.notes = self._execution.notes, []
        report.failed, self._execution.failed = self._execution.failed, False
