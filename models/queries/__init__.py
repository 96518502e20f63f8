"""The queries that come with the package, and text → what runs.

A query that ranks by no trained model has ``ranking_model=source_score``; the embedding that
``account_nn`` takes is the live one. It must not know which arm a query runs for, nor where an
installation keeps its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from importlib.resources import files
from typing import Final

from models.arrays.types import Rows
from models.igql.checker import load
from models.igql.environment import Environment
from models.igql.executor import Executed, Executor
from models.igql.formatter import format_query
from models.igql.library import operators
from models.igql.library.ordering import MODELS
from models.igql.planner import Plan, plan
from models.igql.registry import Registry
from models.rankers.protocol import Rankers
from models.viewers.context import ViewerContext
from models.world import World

#: Name of the query that runs where nobody says otherwise.
EXPLORE: Final = "explore"


def environment(registry: Registry = operators) -> Environment:
    """What queries of this service are checked against."""
    return Environment(registry, names={"embedding": ("default",), "model": MODELS})


def planned(text: str, registry: Registry = operators) -> Plan:
    """Text → plan.

    Raises:
        IgqlError: the query is wrong; ``errors`` has every mistake.
    """
    query = load(text, environment(registry))
    return plan(query, registry, format_query(query.tree))


@cache
def explore_plan() -> Plan:
    """The plan of the query that comes with the package."""
    return planned(explore_text())


def explore_text() -> str:
    """The query that comes with the package."""
    return files(__name__).joinpath(f"{EXPLORE}.igql").read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True)
class CandidateQuery:
    """A named plan and what runs it. One thread at a time: the executor keeps tables."""

    plan: Plan = field(default_factory=explore_plan)
    executor: Executor = field(default_factory=Executor)
    name: str = EXPLORE

    def find(
        self,
        viewers: Sequence[ViewerContext],
        world: World,
        rankers: Rankers,
        now_ms: int,
        served: Sequence[Rows] | None = None,
        enough: int = 0,
    ) -> Executed:
        """Candidates of viewers; see :meth:`models.igql.executor.Executor.run`.

        Args:
            enough: for viewers of whom fewer are found the query's exclusions give way. Where that
                is only because of what was served, it is the end of what there is to scroll, and
                nothing gives way.
        """
        run = partial(self.executor.run, world=world, rankers=rankers, now_ms=now_ms)
        found = run(self.plan, viewers, served=served)
        if not self.plan.steps:
            return found
        for viewer, count in enumerate(found.counts()):
            if count >= enough:
                continue
            alone = viewers[viewer : viewer + 1]
            shown = None if served is None else served[viewer : viewer + 1]
            was_served = shown is not None and len(shown[0]) > 0
            if was_served:
                count = run(self.plan, alone).counts()[0]
            gave_way: list[str] = []
            plan, last = self.plan, None
            for step in self.plan.steps:
                if count >= enough or (step.when_empty and count):
                    break
                last, plan = run(step.plan, alone), step.plan
                count = last.counts()[0]
                gave_way.append(step.exclusion)
            if last is not None:
                last = run(plan, alone, served=shown) if was_served else last
                found = found.with_other(viewer, last, tuple(gave_way))
        return found
