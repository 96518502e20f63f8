"""Both protocols, from a data set to figures."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from infra.config import Settings
from models.actions import HEAD_NAMES, HEADS, VIEWS
from models.evaluation.baselines.ease import ease
from models.evaluation.baselines.item_knn import item_knn
from models.evaluation.baselines.popularity import (
    own_authors,
    popularity,
    recent_popularity,
    task_popularity,
)
from models.evaluation.baselines.protocol import Baseline, Parameters
from models.evaluation.baselines.runs import BaselineLists, BaselineRuns
from models.evaluation.event_log import Indices
from models.evaluation.shown import head_figures, media_rate, shown_in
from models.evaluation.targets import Targets, prequential_targets, static_targets
from models.events import DAY_MS
from models.examples.choices import Choices
from models.examples.examples import Examples
from models.feature_schema import FeatureMatrix
from models.item_to_item.weights import ItemWeights
from models.rankers.bundle import RankerBundle
from streams.clock import parse_time
from streams.recorded.dataset import Dataset, DatasetError
from streams.recorded.grids.production import (
    CANDIDATES,
    Learner,
    Made,
    Ranker,
    Vectors,
    recent_viewers,
    served,
    set_vectors,
    train,
)
from streams.recorded.grids.report_figures import Judge, told, unwanted_targets
from streams.recorded.grids.stages import BASELINES, EVERYTHING, EXAMPLES, RANKERS, Arrays, Stages
from streams.recorded.grids.task import Task, task_of

Protocol = Literal["static", "prequential"]
#: Told (stage, done, of how many).
Progress = Callable[[str, int, int], None]
#: Newest part of the events that is the test period unless somebody says otherwise.
TEST_SHARE: Final = 0.15
#: Media with rows in a nightly fit of EASE.
NIGHTLY_EASE: Final = 6_000
#: Viewers whose exposures calibration is measured on, at most.
SHOWN_VIEWERS: Final = 4_000


@dataclass(frozen=True, slots=True)
class Options:
    """One evaluation.

    Attributes:
        split: where the test period begins, as text; empty for what the data set says.
        cache: a folder of finished stages, None to keep nothing.
        small: leave out the baselines that take minutes.
    """

    protocol: Protocol = "static"
    task: str = "like"
    split: str = ""
    seed: int = 7
    cache: Path | None = None
    small: bool = False


@dataclass(slots=True)
class _Clock:
    seconds: dict[str, float] = field(default_factory=dict)

    def timed(self, name: str, make: Callable[[], Any]) -> Any:
        started = time.monotonic()
        made = make()
        self.seconds[name] = round(self.seconds.get(name, 0.0) + time.monotonic() - started, 1)
        return made


def _nobody(stage: str, done: int, total: int) -> None:
    pass


def evaluate_grids(
    data: Dataset, settings: Settings, options: Options, tell: Progress = _nobody
) -> dict[str, Any]:
    """Evaluate; see ``docs/evaluation.md`` for what the figures mean.

    Raises:
        DatasetError: there is nothing before the split, or nothing to find after it.
        TaskError: there is no such task.
        SettingsError: the split is no time.
    """
    run = _Run(data, settings, options, tell)
    figures = run.static() if options.protocol == "static" else run.prequential()
    return {
        "data": data.name,
        "protocol": options.protocol,
        "task": options.task,
        "figures": figures,
    }


def split_of(data: Dataset, split: str) -> int:
    """Where the test period begins, epoch ms.

    Raises:
        DatasetError: no event lies before it, or none after it.
        SettingsError: it is no time.
    """
    log = data.log
    text = split or data.split
    split_ms = (
        parse_time("--split", text) if text else int(log.ts_n[int(len(log) * (1 - TEST_SHARE))])
    )
    before = log.before(split_ms)
    if not before:
        same = " (all have the same time)" if log.ts_n[0] == log.ts_n[-1] else ""
        raise DatasetError(
            f"{data.name}: none of {len(log)} events lies before the split at {split_ms}{same}; "
            "give a later --split, or a log with times that say what came first"
        )
    if before == len(log):
        raise DatasetError(
            f"{data.name}: all {len(log)} events lie before the split at {split_ms}; "
            "give an earlier --split"
        )
    return split_ms


class _Run:
    def __init__(self, data: Dataset, settings: Settings, options: Options, tell: Progress) -> None:
        self._data, self._log, self._settings, self._tell = data, data.log, settings, tell
        self._options, self._clock = options, _Clock()
        self._task: Task = task_of(options.task)
        self._split_ms = split_of(data, options.split)
        self._stages = Stages(
            options.cache, [data.digest, self._split_ms, settings.model_dump(mode="json")]
        )
        self._notes: dict[str, str] = {}
        # What was live said of examples before they were learned.
        self._scored: list[tuple[NDArray[np.floating], Examples]] = []

    # Protocols.

    def static(self) -> dict[str, Any]:
        """One fit at the split, one grid a viewer."""
        targets = self._targets(static_targets)
        recent = np.array(recent_viewers(self._data, self._split_ms), np.int32)
        asked = self._shown_viewers()
        viewers = np.union1d(targets.viewer_g, np.union1d(recent, asked))
        ranker = Ranker(self._data, self._settings, self._task, viewers)
        vectors, items, bundle = self._learned(ranker)
        made_arrays = self._stage(
            "grids",
            EVERYTHING,
            [self._options.task],
            lambda: self._grids(ranker, vectors, items, bundle, targets, asked),
        )
        made = Made(**{name: made_arrays[name] for name in Made.__dataclass_fields__})
        figures = self._figures(targets, made, ranker.sources, vectors)
        figures["shown"] = msgspec.json.decode(str(made_arrays["shown"]))
        return figures

    def prequential(self) -> dict[str, Any]:
        """A grid just before each positive, while everything learns on."""
        targets = self._targets(prequential_targets)
        ranker = Ranker(self._data, self._settings, self._task, np.unique(targets.viewer_g))
        arrays = self._stage(
            "stream", EVERYTHING, [self._options.task, self._options.seed],
            lambda: self._streamed(ranker, targets),
        )  # fmt: skip
        made = Made(**{name: arrays[name] for name in Made.__dataclass_fields__})
        self._notes.update(msgspec.json.decode(str(arrays["notes"])))
        vectors = (
            ([str(i) for i in arrays["ids"]], arrays["vectors"]) if len(arrays["ids"]) else None
        )
        figures = self._figures(targets, made, ranker.sources, vectors)
        figures["shown"] = msgspec.json.decode(str(arrays["shown"]))
        return figures

    def _targets(self, of: Callable[..., Targets]) -> Targets:
        targets = of(self._log, self._task.positives, self._split_ms)
        if not len(targets):
            names = " or ".join(action.word for action in self._task.positives)
            raise DatasetError(
                f"{self._data.name}: no viewer has a {names} on a media not seen before in the "
                f"test period from {self._split_ms} on; give an earlier --split or another --task"
            )
        return targets

    def _stage(
        self, name: str, rooms: Any, settings: list[Any], make: Callable[[], Arrays]
    ) -> Arrays:
        found: Arrays = self._clock.timed(
            name, lambda: self._stages.run(name, rooms, settings, make)
        )
        return found

    # Static.

    def _learned(
        self, ranker: Ranker
    ) -> tuple[Vectors | None, ItemWeights | None, RankerBundle | None]:
        """Vectors, item weights and rankers from what is older than the split."""
        seed = self._options.seed

        def examples() -> Arrays:
            learner = self._learner_at_split()
            learner.finish()
            learner.fit(self._split_ms)
            return {
                **_examples_arrays(learner.examples),
                **_choices_arrays(learner.choices),
                **_items_arrays(learner.item_weights()),
                **_vectors_arrays(learner.vectors),
            }

        learned = self._stage("examples", EXAMPLES, [seed], examples)
        vectors, items = _vectors_of(learned), _items_of(learned)

        def rankers() -> Arrays:
            self._bring_to_split(ranker, vectors, items)
            return self._trained(ranker, _examples_of(learned), _choices_of(learned))

        trained = self._stage("rankers", RANKERS, [seed, self._options.task], rankers)
        meta = msgspec.json.decode(str(trained.pop("meta")))
        self._notes["rankers"] = meta["note"]
        if not trained:
            return vectors, items, None
        return vectors, items, RankerBundle.from_arrays(trained, meta["bundle"])

    def _bring_to_split(
        self, ranker: Ranker, vectors: Vectors | None, items: ItemWeights | None
    ) -> None:
        if ranker.world.space is None:
            self._tell("folding", 0, 1)
            ranker.advance(self._split_ms)
            set_vectors(ranker.world, vectors)
            ranker.world.item_weights = items

    def _learner_at_split(self) -> Learner:
        one = Learner(self._data, self._settings, self._options.seed)
        end = self._log.before(self._split_ms)
        for at in range(20_000, end + 20_000, 20_000):
            one.advance(min(int(self._log.ts_n[min(at, end) - 1]) + 1, self._split_ms))
            self._tell("observing", one.observed, end)
        one.advance(self._split_ms)
        return one

    def _trained(self, ranker: Ranker, examples: Examples, choices: Choices) -> Arrays:
        self._tell("training", 0, 1)
        sets, seed = ranker.candidate_sets(self._split_ms), self._options.seed
        try:
            bundle = train(examples, choices, sets, self._settings, seed)
            bundle = served(bundle, self._task, sets, self._settings, seed)
        except (ValueError, ArithmeticError) as error:
            note = {"note": f"prior: {error}"}
            return {"meta": np.array(msgspec.json.encode(note).decode())}
        arrays, meta = bundle.to_arrays()
        told_meta = {"note": bundle.version, "bundle": meta}
        return {**arrays, "meta": np.array(msgspec.json.encode(told_meta).decode())}

    def _grids(
        self,
        ranker: Ranker,
        vectors: Vectors | None,
        items: ItemWeights | None,
        bundle: RankerBundle | None,
        targets: Targets,
        asked: Indices,
    ) -> Arrays:
        self._bring_to_split(ranker, vectors, items)
        if bundle is not None:
            ranker.rankers = bundle
        parts = []
        for start in range(0, len(targets), 256):
            parts.append(ranker.make(targets.viewer_g[start : start + 256], self._split_ms))
            self._tell("grids", min(start + 256, len(targets)), len(targets))
        made = Made.joined(parts)
        arrays: Arrays = {name: getattr(made, name) for name in Made.__dataclass_fields__}
        shown = msgspec.json.encode(self._shown(ranker, asked)).decode()
        return {**arrays, "shown": np.array(shown)}

    def _shown_viewers(self) -> Indices:
        """Viewers who were shown something in the test period, whatever they did with it."""
        late = slice(self._log.before(self._split_ms), None)
        viewed_n = np.isin(self._log.action_n[late], VIEWS)
        viewers: Indices = np.unique(self._log.viewer_n[late][viewed_n])
        if len(viewers) > SHOWN_VIEWERS:
            rng = np.random.default_rng(self._options.seed)
            viewers = np.sort(viewers[rng.permutation(len(viewers))[:SHOWN_VIEWERS]])
        return viewers

    def _shown(self, ranker: Ranker, viewers: Indices) -> dict[str, Any]:
        """The heads on what the log shows these viewers in the test period."""
        shown = shown_in(self._log, viewers, self._split_ms)
        there_n = self._log.created_m[shown.media_n] < self._split_ms
        if not there_n.any():
            return {}
        viewer_n, media_n = shown.viewer_n[there_n], shown.media_n[there_n]
        asked, begin = np.unique(viewer_n, return_index=True)
        lists: list[Indices] = np.split(media_n, begin[1:])
        probability_nh = ranker.probabilities(asked, lists, self._split_ms)
        figures: dict[str, Any] = {}
        for h, head in enumerate(HEADS):
            label_n = shown.done_n[head][there_n]
            figures[head.word] = head_figures(label_n, probability_nh[:, h], viewer_n)
        action = self._task.positives[0]
        rate_m = media_rate(self._log, action, self._split_ms)
        of_rate = head_figures(shown.done_n[action][there_n], rate_m[media_n], viewer_n)
        figures["media_rate"] = {name: of_rate[name] for name in ("auc", "auc_within")}
        return figures

    # Prequential.

    def _streamed(self, ranker: Ranker, targets: Targets) -> Arrays:
        learner = self._learner_at_split()
        learner.fit(self._split_ms - self._settings.session_gap_ms)
        refused: list[str] = []
        self._notes["rankers"] = self._learn(ranker, learner, self._split_ms, refused)
        ranker.advance(self._split_ms)
        set_vectors(ranker.world, learner.vectors)
        ranker.world.item_weights = learner.item_weights()
        day = self._split_ms // DAY_MS
        parts, start = [], 0
        times = targets.ts_g
        while start < len(targets):
            now_ms = int(times[start])
            if now_ms // DAY_MS > day:
                day = now_ms // DAY_MS
                midnight_ms = day * DAY_MS
                ranker.advance(midnight_ms)
                learner.advance(midnight_ms)
                learner.fit(midnight_ms - self._settings.session_gap_ms)
                set_vectors(ranker.world, learner.vectors)
                ranker.world.item_weights = learner.item_weights()
                self._notes["rankers"] = self._learn(ranker, learner, midnight_ms, refused)
            stop = int(np.searchsorted(times, now_ms, side="right"))
            ranker.advance(now_ms)
            parts.append(ranker.make(targets.viewer_g[start:stop], now_ms))
            start = stop
            self._tell("grids", start, len(targets))
        made = Made.joined(parts)
        self._notes["refused"] = "; ".join(refused)
        return {
            **{name: getattr(made, name) for name in Made.__dataclass_fields__},
            **_vectors_arrays(learner.vectors),
            "notes": np.array(msgspec.json.encode(self._notes).decode()),
            "shown": np.array(msgspec.json.encode(self._progressive()).decode()),
        }

    def _progressive(self) -> dict[str, Any]:
        """The heads on each day's examples, by the rankers that were live before they were."""
        if not any(len(fresh) for _, fresh in self._scored):
            return {}
        examples = Examples.concatenate([fresh for _, fresh in self._scored])
        probability_nh = np.concatenate([scored_nh for scored_nh, _ in self._scored])
        order_n = np.argsort(examples.groups_n, kind="stable")
        examples, probability_nh = examples.take(order_n), probability_nh[order_n]
        return {
            head: head_figures(
                examples.label(head) > 0, probability_nh[:, h], examples.groups_n,
                examples.weights_n,
            )
            for h, head in enumerate(HEAD_NAMES)
        }  # fmt: skip

    def _learn(self, ranker: Ranker, learner: Learner, now_ms: int, refused: list[str]) -> str:
        """Train, or learn on where there are rankers; says what is live."""
        try:
            if learner.trained:
                fresh = learner.collect()
                self._scored.append((ranker.rankers.final.score(fresh.features), fresh))
                bundle, reason = learner.learn_on(fresh, now_ms)
                if bundle is None:
                    refused.append(reason)
            else:
                learner.collect()
                bundle = learner.train(now_ms)
            if bundle is not None:
                sets, seed = learner.candidate_sets(now_ms), self._options.seed
                ranker.rankers = served(bundle, self._task, sets, self._settings, seed)
        except (ValueError, ArithmeticError) as error:
            refused.append(str(error))
            if not learner.trained:
                return f"prior: {error}"
        return ranker.rankers.version

    # Baselines and figures.

    def _baselines(self, targets: Targets) -> dict[str, tuple[Parameters, BaselineLists]]:
        static = self._options.protocol == "static"
        runs = BaselineRuns(
            self._log, self._task.positives, self._size, CANDIDATES, self._options.seed
        )
        known = _baselines(self._task, static and not self._options.small, self._notes)
        found = {}
        for done, baseline in enumerate(known):
            self._tell(f"baseline {baseline.name}", done, len(known))

            def make(baseline: Baseline = baseline) -> Arrays:
                parameters = runs.tuned(baseline, self._split_ms, self._data.real_from_ms)
                if static:
                    lists = runs.static(baseline, parameters, targets, self._split_ms)
                else:
                    nightly = {"most": float(NIGHTLY_EASE)} if baseline.name == "ease" else {}
                    lists = runs.prequential(baseline, {**parameters, **nightly}, targets)
                return {
                    "parameters": np.array(msgspec.json.encode(dict(parameters)).decode()),
                    "seen": lists.seen_gk, "grid": lists.grid_gk, "all": lists.all_gk,
                }  # fmt: skip

            settings = [self._options.protocol, self._options.task, self._options.seed]
            arrays = self._stage(f"baseline-{baseline.name}", BASELINES, settings, make)
            lists = BaselineLists(arrays["seen"], arrays["grid"], arrays["all"])
            found[baseline.name] = msgspec.json.decode(str(arrays["parameters"])), lists
        return found

    @property
    def _size(self) -> int:
        return self._settings.grid_size

    def _figures(
        self, targets: Targets, made: Made, sources: tuple[str, ...], vectors: Vectors | None
    ) -> dict[str, Any]:
        baselines = self._baselines(targets)
        own = BaselineLists(made.popular_gk, made.popular_gk, made.popular_gk)
        baselines["own_popularity"] = {}, own
        self._tell("figures", 0, 1)
        started = time.monotonic()
        # A static split says nothing of a viewer without history that popularity does not: such
        # viewers are a slice of their own.
        headline_g = np.ones(len(targets), np.bool_)
        if self._options.protocol == "static" and (targets.history_g > 0).any():
            headline_g = targets.history_g > 0
        rows = np.flatnonzero(headline_g)
        vectors_md = self._media_vectors(vectors)
        judge = self._judge(targets.take(rows), vectors_md)
        everybody = self._judge(targets, vectors_md)
        head = Made(**{n: getattr(made, n)[rows] for n in Made.__dataclass_fields__})
        figures = judge.made(head, sources)
        told_of: dict[str, Any] = {}
        for name, (parameters, lists) in baselines.items():
            taken = BaselineLists(lists.seen_gk[rows], lists.grid_gk[rows], lists.all_gk[rows])
            told_of[name] = {"parameters": dict(parameters), **judge.baseline(taken)}
        best_name = max(told_of, key=lambda name: told_of[name]["ndcg"] or 0.0)
        best_gk = baselines[best_name][1].grid_gk[rows]
        figures |= {
            "best_baseline": told_of[best_name]["ndcg"],
            "best_baseline_name": best_name,
            "best_recall_500": max(one["recall_500"] or 0.0 for one in told_of.values()),
        }
        told(figures, "ratio", judge.ratio(head.grid_gk, best_gk))
        # Beside lists that may show what the query keeps for the home feed.
        freest = max(told_of, key=lambda name: told_of[name]["ndcg_seen_exclusions"] or 0.0)
        freest_gk = baselines[freest][1].seen_gk[rows]
        told(figures, "ratio_seen_exclusions", judge.ratio(head.grid_gk, freest_gk))
        figures["slices"] = everybody.slices(made.grid_gk, made.candidates_gk)
        figures["slices_best_baseline"] = everybody.slices(
            baselines[best_name][1].grid_gk[:, : self._size], baselines[best_name][1].grid_gk
        )
        figures["baselines"] = told_of
        figures |= {
            "viewers": len(np.unique(targets.viewer_g[rows])),
            "grids": len(rows),
            "positives": len(targets.take(rows).media_p),
            "split_ms": self._split_ms,
            "seed": self._options.seed,
            "notes": dict(self._notes),
            "reused": list(self._stages.reused),
        }
        self._clock.seconds["figures"] = round(time.monotonic() - started, 1)
        figures["seconds"] = dict(self._clock.seconds)
        return figures

    def _judge(self, targets: Targets, vectors_md: NDArray[np.floating]) -> Judge:
        return Judge(
            self._log, targets, unwanted_targets(self._log, targets), self._split_ms, vectors_md,
            self._size, self._options.seed,
        )  # fmt: skip

    def _media_vectors(self, vectors: Vectors | None) -> NDArray[np.float32]:
        """Unit vectors of the media's authors; zeros where there is none."""
        if vectors is None:
            return np.zeros((self._log.media, 1), np.float32)
        ids, vectors_nd = vectors
        number = {name: at for at, name in enumerate(self._data.author_ids)}
        of_ad = np.zeros((len(number), vectors_nd.shape[1]), np.float32)
        rows = [number[name] for name in ids]
        of_ad[rows] = vectors_nd / np.maximum(np.linalg.norm(vectors_nd, axis=1), 1e-9)[:, None]
        found: NDArray[np.float32] = of_ad[self._log.author_m]
        return found


def _baselines(task: Task, slow: bool, notes: dict[str, str]) -> list[Baseline]:
    found = [
        popularity(), recent_popularity(), task_popularity(task.positives), own_authors(),
        item_knn(), ease(),
    ]  # fmt: skip
    if not slow:
        return found
    from models.evaluation.baselines.item2vec import item2vec

    found.append(item2vec())
    try:
        from models.evaluation.baselines.factors import als, bpr
    except ImportError:
        notes["als, bpr"] = "left out: pip install 'freshgrid[evaluate]'"
    else:
        found += [als(), bpr()]
    return found


def _vectors_arrays(vectors: Vectors | None) -> Arrays:
    if vectors is None:
        return {"ids": np.zeros(0, "U1"), "vectors": np.zeros((0, 1), np.float32)}
    return {"ids": np.array(vectors[0]), "vectors": vectors[1]}


def _vectors_of(arrays: Arrays) -> Vectors | None:
    if not len(arrays["ids"]):
        return None
    return [str(name) for name in arrays["ids"]], arrays["vectors"]


def _choices_arrays(choices: Choices) -> Arrays:
    return {f"choices.{name}": getattr(choices, name) for name in Choices.__struct_fields__}


def _choices_of(arrays: Arrays) -> Choices:
    return Choices(**{name: arrays[f"choices.{name}"] for name in Choices.__struct_fields__})


def _items_arrays(items: ItemWeights | None) -> Arrays:
    if items is None:
        return {"items.media": np.zeros(0, np.int32)}
    return {"items.media": items.media_s, **_prefixed("items", items.to_arrays([]))}


def _items_of(arrays: Arrays) -> ItemWeights | None:
    media_s = arrays["items.media"]
    if not len(media_s):
        return None
    stored = {name.removeprefix("items."): array for name, array in arrays.items()}
    return ItemWeights.from_arrays(stored, media_s, "")


def _prefixed(prefix: str, arrays: Arrays) -> Arrays:
    return {f"{prefix}.{name}": array for name, array in arrays.items()}


def _examples_arrays(examples: Examples) -> Arrays:
    return {
        "dense": examples.features.dense_nf,
        "sparse": examples.features.sparse_ns,
        "labels": examples.labels_nh,
        "weights": examples.weights_n,
        "groups": examples.groups_n,
        "ts": examples.ts_n,
        "positions": examples.positions_n,
    }


def _examples_of(arrays: Arrays) -> Examples:
    return Examples(
        features=FeatureMatrix(arrays["dense"], arrays["sparse"]),
        labels_nh=arrays["labels"],
        weights_n=arrays["weights"],
        groups_n=arrays["groups"],
        ts_n=arrays["ts"],
        positions_n=arrays["positions"],
    )
