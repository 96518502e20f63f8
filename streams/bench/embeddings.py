"""How good account vectors are that learn from a stream, beside fits on everything, and how fast.

Days of recorded events: a first part is fitted, each later day is learned as the learner would,
session after session. At the end the probe scores the vectors beside those of a full fit on the
window that ends there (the reference), and of gensim as it comes. All are measured on the same
labelled accounts: those that one of them knows and that `tune` did not choose on, an account that
one does not know as a zero vector there. Only one thread works, and times are CPU times.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import numpy as np
from gensim.models import Word2Vec
from msgspec import Meta

from infra.config import Settings
from models.events import DAY_MS
from models.ig2vec.config import Ig2VecConfig
from models.ig2vec.gate import QualityFigures
from models.ig2vec.histories import Histories
from models.ig2vec.model import Ig2Vec
from models.ig2vec.quality import AccountVectors, split_topics
from streams.bench.progress import say
from streams.local.scenario import FIXTURE
from streams.recorded.evaluate_embeddings import measured
from streams.recorded.recording import Recording, read_recording

SEEDS: Final = 3
#: Sessions learned in one update; in the stream an update takes what closed within 2 s.
BATCH_SESSIONS: Final = 2_000


class SeedRun(msgspec.Struct, kw_only=True):
    """What one seed gave. Times are CPU seconds.

    Attributes:
        start: the vectors of the first fit, which every incremental one began as.
        gap: macro-F1 of the full fit less that of the incremental vectors.
        fit_s: of a fit on the window that ends at a day, the mean of the first and the last day.
        update_s: of all updates of a day, the mean over days.
        words: that updates read a day; `new_words` were new among them.
    """

    seed: int
    full: QualityFigures
    incremental: QualityFigures
    start: QualityFigures
    default: QualityFigures
    gap: float
    fit_s: float
    update_s: float
    words: float
    new_words: float
    tokens_per_s: float
    gensim_tokens_per_s: float


def run(
    settings: Settings,
    *,
    data: Annotated[
        Path, Meta(description="Recorded events: a fixture, or a folder of KuaiRand-Pure.")
    ] = FIXTURE,
    seeds: Annotated[int, Meta(ge=1, description="Runs, each with a seed of its own.")] = SEEDS,
    first_days: Annotated[
        int | None, Meta(ge=1, description="Days fitted before the stream begins.")
    ] = None,
) -> dict[str, Any]:
    """Learn the recording day by day, and fit it as a whole; means over seeds.

    Without `first_days`, what came before times are real is fitted before the stream begins, or
    half of the days where all are real.
    """
    recording = read_recording(data)
    first_ms = min(steps[0].ts_ms for steps in recording.steps.values())
    days = list(range(first_ms, recording.end_ms, DAY_MS))
    if first_days is not None:
        stream_ms = first_ms + first_days * DAY_MS
    elif recording.stream_from_ms > first_ms:
        stream_ms = recording.stream_from_ms
    else:
        stream_ms = days[len(days) // 2]
    _, topics = split_topics(recording.topics)
    runs = []
    for n in range(seeds):
        say(f"seed {n + 1} of {seeds} …")
        runs.append(_run_seed(settings, recording, topics, stream_ms, Ig2VecConfig().seed + n))
    return {
        **{f"probe_f1_{name}": _mean(runs, name) for name in ("full", "incremental", "default")},
        "probe_f1_random": float(np.mean([each.full.random_f1 for each in runs])),
        "probe_f1_start": _mean(runs, "start"),
        "gap": float(np.mean([each.gap for each in runs])),
        "gap_spread": float(np.std([each.gap for each in runs], ddof=1)) if seeds > 1 else None,
        "cpu_share": float(np.mean([each.update_s / each.fit_s for each in runs])),
        "tokens_per_s": round(np.median([each.tokens_per_s for each in runs])),
        "gensim_tokens_per_s": round(np.median([each.gensim_tokens_per_s for each in runs])),
        "accounts": runs[0].full.accounts,
        "topics": runs[0].full.topics,
        "stream_days": round((recording.end_ms - stream_ms) / DAY_MS, 1),
        "fitted_days": round((stream_ms - first_ms) / DAY_MS, 1),
        "runs": [msgspec.to_builtins(each) for each in runs],
    }


def _mean(runs: list[SeedRun], name: str) -> float:
    return float(np.mean([getattr(each, name).macro_f1 for each in runs]))


def _run_seed(
    settings: Settings, recording: Recording, topics: dict[str, str], stream_ms: int, seed: int
) -> SeedRun:
    config = Ig2VecConfig(seed=seed)
    started = time.process_time()
    histories = recording.histories(stream_ms)
    model = _fit(histories, config)
    first_fit_s = time.process_time() - started
    start = AccountVectors(*model.vectors())

    update_s, words, new_words, days = 0.0, 0, 0, 0
    for day_ms in range(stream_ms, recording.end_ms, DAY_MS):
        sessions = recording.sessions(day_ms, day_ms + DAY_MS, settings.session_gap_ms)
        started = time.process_time()
        for first in range(0, len(sessions), BATCH_SESSIONS):
            for viewer, session in sessions[first : first + BATCH_SESSIONS]:
                histories.add(viewer, session)
            lesson = histories.lesson()
            model.update(
                lesson.sentences,
                counted=lesson.words,
                hard_negatives=lesson.hard_negatives,
                now_ms=day_ms,
            )
            words += sum(map(len, lesson.sentences))
            new_words += len(lesson.words)
        update_s += time.process_time() - started
        days += 1

    started = time.process_time()
    full = _fit(histories, config)
    fit_s = (first_fit_s + time.process_time() - started) / 2
    default, _ = _gensim(histories.corpus(), seed, {})
    _, gensim_per_s = _gensim(histories.corpus(), seed, _same_work(config))
    sets = [AccountVectors(*full.vectors()), AccountVectors(*model.vectors()), start, default]
    figures = measured(sets, topics)
    return SeedRun(
        seed=seed,
        full=figures[0],
        incremental=figures[1],
        start=figures[2],
        default=figures[3],
        gap=figures[0].macro_f1 - figures[1].macro_f1,
        fit_s=fit_s,
        update_s=update_s / days,
        words=words / days,
        new_words=new_words / days,
        tokens_per_s=words * config.update_epochs / update_s,
        gensim_tokens_per_s=gensim_per_s,
    )


def _fit(histories: Histories, config: Ig2VecConfig) -> Ig2Vec:
    return Ig2Vec.fit(histories.corpus(), config, hard_negatives=histories.hard_negatives())


def _same_work(config: Ig2VecConfig) -> dict[str, Any]:
    """What makes gensim work as much per word as we do; epochs only repeat it."""
    return {
        "vector_size": config.dimension,
        "window": config.window,
        "negative": config.negative,
        "ns_exponent": config.ns_exponent,
        "sample": config.sample,
        "min_count": config.min_count,
    }


def _gensim(
    corpus: list[list[str]], seed: int, options: dict[str, Any]
) -> tuple[AccountVectors, float]:
    """gensim's own full training, by default with its default settings, and its words per second.

    Counted are all words of the corpus in each epoch, and all of the call's CPU time.
    """
    started = time.process_time()
    model = Word2Vec(corpus, sg=1, workers=1, seed=seed, **options)
    taken_s = time.process_time() - started
    vectors_nd = model.wv.get_normed_vectors()
    words = sum(map(len, corpus)) * model.epochs
    return AccountVectors(model.wv.index_to_key, vectors_nd), words / taken_s
