"""What the viewers of one arm are served by: what an experiment names, loaded and resolved.

Apart from the experiment itself, which whoever reads the store knows and nobody has to load
queries and rankers for.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from models.explore.experiment import CONTROL
from models.queries import CandidateQuery
from models.rankers.prior import PriorRankers
from models.rankers.protocol import Rankers
from models.rankers.value import Weights
from models.world import World


@dataclass(frozen=True, slots=True)
class Treatment:
    """What the viewers of one arm are served by, all of it resolved.

    The defaults serve where nothing was trained and nobody set anything.

    Attributes:
        arm: its name.
        rankers: the three passes; IGQL's ``rank`` sorts by the first of them.
        weights: of the value.
        query: what finds the candidates.
        feed, author_penalty, exploration_share: see :class:`models.explore.experiment.Arm`.
    """

    arm: str = CONTROL
    rankers: Rankers = field(default_factory=PriorRankers)
    weights: Weights = field(default_factory=Weights)
    query: CandidateQuery = field(default_factory=CandidateQuery)
    feed: bool = False
    author_penalty: float | None = None
    exploration_share: float | None = None

    def versions(self, world: World) -> dict[str, str]:
        """What a grid of this arm is made of and by now, by name; outdated if any has changed."""
        return {
            "ig2vec": world.space_name,
            "rankers": self.rankers.version,
            "items": "" if world.item_weights is None else world.item_weights.version,
            "weights": self.weights.version,
            "arm": self.arm,
            "mode": self._mode(),
            "query": self.query.plan.version,
        }

    def _mode(self) -> str:
        """``feed``, or ``diverse`` and what the arm sets of that."""
        if self.feed:
            return "feed"
        own = {
            "author_penalty": self.author_penalty,
            "exploration_share": self.exploration_share,
        }
        return " ".join(
            ["diverse", *(f"{name}={of:g}" for name, of in own.items() if of is not None)]
        )
