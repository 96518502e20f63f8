"""What the first two passes keep of the final pass's best: ``freshgrid bench funnel``.

On recorded events, without any server: account vectors are fitted, examples built, all three
passes trained, and the passes measured on the candidate sets of viewers that neither of the
earlier ones was distilled from. Of the media that the final pass values most among all candidates
(25 of 500), a share is among the 150 best of the first pass, and a share among the 50 best of the
second. Viewers are drawn with replacement for the confidence intervals. Imports torch and gensim.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from infra.config import Settings
from models.actions import FOLLOW_TOPIC, MEDIA_EVENT_TOPICS, action_in
from models.arrays.types import Float
from models.evaluation.metrics import rank_in_group
from models.events import (
    ACCOUNTS_TOPIC,
    MEDIA_TOPIC,
    FollowEvent,
    parse_account,
    parse_event,
    parse_media,
)
from models.examples.candidate_sets import candidate_sets
from models.examples.examples import CandidateSets
from models.examples.from_events import ExampleBuilder
from models.examples.waiting_events import Observed
from models.explore.impressions import pack_features
from models.explore.treatment import Treatment
from models.ig2vec.model import Ig2Vec
from models.training.rankers import TrainingConfig, split_sets, train_rankers, value_of
from models.viewers.state import ViewerState
from models.world import World
from streams.bench.progress import say
from streams.clock import now_ms
from streams.local.scenario import FIXTURE
from streams.log.replay import read_fixture
from streams.recorded.recording import read_recording

#: Viewers whose candidates are ranked; a quarter of them is only measured on.
VIEWERS: Final = 400
#: Share of them without history.
NEW_SHARE: Final = 0.1
DRAWS: Final = 2_000


def run(
    settings: Settings,
    *,
    data: Annotated[Path, Meta(description="Recorded events: a fixture.")] = FIXTURE,
    viewers: Annotated[
        int, Meta(ge=1, description="Viewers whose candidates are ranked.")
    ] = VIEWERS,
) -> dict[str, Any]:
    """Train all passes on the events, and rank the candidates of viewers that taught none."""
    world, observed = _read(data)
    ids, vectors_nd = Ig2Vec.fit(read_recording(data).histories().corpus()).vectors()
    world.apply_embeddings("bench", ids, vectors_nd)
    say(f"{len(ids)} account vectors, {len(observed)} events")
    builder = ExampleBuilder(world)
    builder.observe(observed, now_ms())
    builder.flush()
    examples = builder.take()
    known = list(builder.viewers())[-round(viewers * (1 - NEW_SHARE)) :]
    new = [(f"new-{number}", ViewerState()) for number in range(viewers - len(known))]
    end_ms = observed[-1][1].ts
    sets = candidate_sets([*known, *new], world, Treatment(), end_ms)
    say(f"{len(examples)} examples, {len(sets)} candidates of {viewers} viewers")

    config = TrainingConfig(threads=settings.training_threads)
    rankers = train_rankers(examples, sets, config)
    held = sets.take(split_sets(sets, config)[1])
    teacher_n = value_of(rankers.final, held, config)
    keep1, keep2, top = config.cuts
    first_n, second_n = rankers.first.score(held.features), rankers.second.score(held.features)
    passed_n = rank_in_group(first_n, held.groups_n) < keep1
    shares = {
        "survive_pass1": _shares(held, teacher_n, first_n, top, keep1),
        "survive_pass2": _shares(held, teacher_n, second_n, top, keep2),
        "survive_funnel": _shares(
            held, teacher_n, np.where(passed_n, second_n, -np.inf), top, keep2
        ),
    }
    figures: dict[str, Any] = {name: round(float(g.mean()), 4) for name, g in shares.items()}
    figures |= {f"{name}_ci95": _interval(share_g) for name, share_g in shares.items()}
    return figures | {
        "held_out_viewers": len(np.unique(held.groups_n)),
        "candidates_per_viewer": round(len(held) / max(len(np.unique(held.groups_n)), 1), 1),
        "packed_kb_per_viewer": round(_packed_bytes(held) / 1000, 1),
        "examples": len(examples),
        "auc_like": round(rankers.metrics["auc_like"], 4),
        "cuts": list(config.cuts),
        "data": data.name,
    }


def _read(path: Path) -> tuple[World, list[Observed]]:
    """A world with the recording's catalogue, and its events in order of time."""
    media, accounts, observed, now = [], [], list[Observed](), now_ms()
    for line in read_fixture(path):
        if line.topic == MEDIA_TOPIC:
            media.append(parse_media(line.value, now_ms()))
        elif line.topic == ACCOUNTS_TOPIC:
            accounts.append(parse_account(line.value))
        elif line.topic in (*MEDIA_EVENT_TOPICS, FOLLOW_TOPIC):
            event = parse_event(line.topic, line.value, now)
            action = None if isinstance(event, FollowEvent) else action_in(line.topic, event.long)
            observed.append((action, event))
    world = World()
    world.apply_accounts(accounts)
    world.apply_media(media)
    observed.sort(key=lambda one: one[1].ts)
    return world, observed


def _shares(
    sets: CandidateSets, teacher_n: Float, score_n: NDArray[np.floating], top: int, keep: int
) -> NDArray[np.float64]:
    """Of each viewer's `top` by the final pass, the share within `keep` by a pass."""
    wanted_n = rank_in_group(teacher_n, sets.groups_n) < top
    kept_n = wanted_n & (rank_in_group(score_n, sets.groups_n) < keep)
    _, group_n = np.unique(sets.groups_n, return_inverse=True)
    share_g: NDArray[np.float64] = np.bincount(group_n, kept_n) / np.bincount(group_n, wanted_n)
    return share_g


def _packed_bytes(sets: CandidateSets) -> float:
    """Mean size of a viewer's features in the log."""
    rows = [np.flatnonzero(sets.groups_n == group) for group in np.unique(sets.groups_n)]
    return float(np.mean([len(pack_features(sets.features.take(of))) for of in rows]))


def _interval(share_g: NDArray[np.float64]) -> list[float]:
    drawn = np.random.default_rng(7).integers(0, len(share_g), (DRAWS, len(share_g)))
    low, high = np.percentile(share_g[drawn].mean(axis=1), [2.5, 97.5])
    return [round(float(low), 4), round(float(high), 4)]
