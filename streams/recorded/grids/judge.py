"""Grids and baselines' lists → figures with intervals."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.actions import Action
from models.evaluation.baselines.runs import BaselineLists
from models.evaluation.bootstrap import Bootstrap, Mean, Sums
from models.evaluation.event_log import EventLog
from models.evaluation.exposure import exposure
from models.evaluation.grid_metrics import (
    Lists,
    author_share,
    coverage,
    intra_list_diversity,
    list_figures,
    novelty,
    recall,
    share_held,
)
from models.evaluation.targets import Targets
from models.events import DAY_MS
from streams.recorded.grids.production import Made

#: Slices by positives that a viewer had before: name, from, to.
HISTORY: Final = (("0", 0, 1), ("1-4", 1, 5), ("5-19", 5, 20), ("20+", 20, 1 << 60))
#: A media is new for so long after it came into the inventory.
NEW_MS: Final = 7 * DAY_MS


class Judge:
    """Figures of lists for the same grids.

    Args:
        log: for what is known of media.
        targets: what the grids should have held.
        unwanted: what viewers saw fewer of afterwards, of the same grids.
        split_ms: the training period ends here.
        vectors_md: unit vectors of media, for diversity.
        size: places of a grid.
        seed: of the draws of viewers.
        topic_m: number of each media's topic, −1 for none.
    """

    def __init__(
        self,
        log: EventLog,
        targets: Targets,
        unwanted: Targets,
        split_ms: int,
        vectors_md: NDArray[np.floating],
        size: int,
        seed: int,
        topic_m: NDArray[np.integer],
    ) -> None:
        self.log, self.targets, self.size = log, targets, size
        self._topic_m = topic_m
        self._unwanted, self._split_ms, self._vectors_md = unwanted, split_ms, vectors_md
        self._bootstrap = Bootstrap(len(np.unique(targets.viewer_g)), seed)
        end = log.before(split_ms)
        positive_n = log.of()[:end]
        self._count_m = np.bincount(log.media_n[:end][positive_n], minlength=log.media)
        self._known_author_m = np.zeros(log.media, np.bool_)
        known_a = np.zeros(log.authors, np.bool_)
        known_a[log.author_m[log.media_n[:end][positive_n]]] = True
        self._known_author_m = known_a[log.author_m]
        newest_ms = int(targets.ts_g.max(initial=0))
        self.inventory = int((log.created_m < newest_ms).sum())

    def mean(self, value_g: NDArray[np.floating]) -> Mean:
        """The mean of a figure over the grids, with its interval."""
        return self._bootstrap.mean(Sums.of(value_g, self.targets.viewer_g))

    def ndcg(self, lists_gk: Lists) -> NDArray[np.float64]:
        """NDCG_g of each list of media against its grid's positives."""
        return list_figures(lists_gk, self.targets, self.size)["ndcg"]

    def ratio(self, lists_gk: Lists, against_gk: Lists) -> Mean:
        """Mean NDCG over that of other lists."""
        viewer_g = self.targets.viewer_g
        return self._bootstrap.ratio(
            Sums.of(self.ndcg(lists_gk), viewer_g), Sums.of(self.ndcg(against_gk), viewer_g)
        )

    def lists(self, lists_gk: Lists) -> dict[str, Any]:
        """Figures that every way to make lists has."""
        grid_gk = lists_gk[:, : self.size]
        figures: dict[str, Any] = {}
        for name, value_g in list_figures(grid_gk, self.targets, self.size).items():
            told(figures, name, self.mean(value_g))
        figures["coverage"] = coverage(grid_gk, self.inventory)
        for name, value_g in (
            ("novelty", novelty(grid_gk, self._count_m)),
            ("intra_list_diversity", intra_list_diversity(grid_gk, self._vectors_md)),
            ("author_share", author_share(grid_gk, self.log.author_m)),
            ("see_fewer_rate", share_held(grid_gk, self._unwanted)),
        ):
            figures[name] = self.mean(value_g).mean
        log, targets = self.log, self.targets
        figures["exposure"] = exposure(
            grid_gk, targets.viewer_g, targets.ts_g, author_m=log.author_m,
            created_m=log.created_m, known_author_m=self._known_author_m, topic_m=self._topic_m,
        )  # fmt: skip
        return figures

    def made(self, made: Made, sources: tuple[str, ...]) -> dict[str, Any]:
        """Figures of the product's grids."""
        figures = self.lists(made.grid_gk)
        for name, lists_gk in (
            ("recall_500", made.candidates_gk),
            ("recall_first", made.first_gk),
            ("recall_second", made.second_gk),
        ):
            told(figures, name, self.mean(recall(lists_gk, self.targets)))
        figures["candidates"] = float((made.candidates_gk >= 0).sum(axis=1).mean())
        by_source: dict[str, Any] = {}
        for code, name in enumerate(sources):
            of_gk = np.where(made.source_gk == code, made.candidates_gk, -1)
            if (of_gk >= 0).any():
                shown = (made.grid_source_gk == code) & (made.grid_gk >= 0)
                by_source[name] = {
                    "recall_500": self.mean(recall(of_gk, self.targets)).mean,
                    "share_of_candidates": float(
                        (of_gk >= 0).sum() / max((made.candidates_gk >= 0).sum(), 1)
                    ),
                    "share_of_grid": float(shown.sum() / max((made.grid_gk >= 0).sum(), 1)),
                }
        figures["sources"] = by_source
        prior = self.mean(self.ndcg(made.prior_gk))
        told(figures, "ndcg_prior", prior)
        told(figures, "ndcg_uncut", self.mean(self.ndcg(made.uncut_gk)))
        told(figures, "ndcg_feed", self.mean(self.ndcg(made.feed_gk)))
        told(figures, "feed_to_uncut", self.ratio(made.feed_gk, made.uncut_gk))
        told(figures, "grid_to_feed", self.ratio(made.grid_gk, made.feed_gk))
        return figures

    def baseline(self, lists: BaselineLists) -> dict[str, Any]:
        """Figures of a baseline, under the grid's own exclusions; under others by name."""
        figures = self.lists(lists.grid_gk)
        told(figures, "recall_500", self.mean(recall(lists.grid_gk, self.targets)))
        figures["ndcg_seen_exclusions"] = self.mean(self.ndcg(lists.seen_gk)).mean
        figures["recall_500_seen_exclusions"] = self.mean(recall(lists.seen_gk, self.targets)).mean
        figures["ndcg_no_exclusions"] = self.mean(self.ndcg(lists.all_gk)).mean
        return figures

    def slices(self, lists_gk: Lists, candidates_gk: Lists) -> dict[str, Any]:
        """NDCG and recall of slices of grids and of targets."""
        found: dict[str, Any] = {}
        targets = self.targets
        for name, low, high in HISTORY:
            of_g = (targets.history_g >= low) & (targets.history_g < high)
            found[f"history_{name}"] = self._slice(
                targets.take(of_g), lists_gk[of_g], candidates_gk[of_g]
            )
        age_p = targets.ts_g[targets.grid_p] - self.log.created_m[targets.media_p]
        known_p = self._known_author_m[targets.media_p]
        for name, of_p in (
            ("new_media", age_p < NEW_MS),
            ("new_authors", ~known_p),
            ("not_in_inventory", age_p <= 0),
        ):
            found[name] = self._slice(targets.only(of_p), lists_gk, candidates_gk)
        return found

    def _slice(self, targets: Targets, lists_gk: Lists, candidates_gk: Lists) -> dict[str, Any]:
        with_targets = int((targets.counts() > 0).sum())
        if not with_targets:
            return {"grids": 0, "targets": 0}
        bootstrap = Bootstrap(len(np.unique(targets.viewer_g)), 0)
        figures = list_figures(lists_gk, targets, self.size)
        out: dict[str, Any] = {"grids": with_targets, "targets": len(targets.media_p)}
        for name in ("ndcg", "recall"):
            told(out, name, bootstrap.mean(Sums.of(figures[name], targets.viewer_g)))
        of_candidates = Sums.of(recall(candidates_gk, targets), targets.viewer_g)
        out["recall_500"] = of_candidates.mean
        return out


def told(figures: dict[str, Any], name: str, mean: Mean) -> None:
    """Write a mean with its interval under a name."""
    figures[name], figures[f"{name}_low"], figures[f"{name}_high"] = mean.mean, mean.low, mean.high


def unwanted_targets(log: EventLog, targets: Targets) -> Targets:
    """What each grid's viewer saw fewer of from the time of the grid on."""
    pairs = np.flatnonzero(log.of((Action.SEE_FEWER,)))
    pairs = pairs[np.argsort(log.viewer_n[pairs], kind="stable")]
    begin_g = np.searchsorted(log.viewer_n[pairs], targets.viewer_g)
    end_g = np.searchsorted(log.viewer_n[pairs], targets.viewer_g, side="right")
    size_g = end_g - begin_g
    grid_p = np.repeat(np.arange(len(targets)), size_g)
    stop_g = np.cumsum(size_g)
    at = pairs[np.arange(int(size_g.sum())) + np.repeat(begin_g - stop_g + size_g, size_g)]
    late_p = log.ts_n[at] >= targets.ts_g[grid_p]
    return Targets(
        targets.viewer_g, targets.ts_g, grid_p[late_p], log.media_n[at[late_p]], targets.history_g
    )
