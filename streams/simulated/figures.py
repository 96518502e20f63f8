"""What a run in a simulated world says: value beside the oracle's, hard cases, fairness, health."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from models.evaluation.exposure import WEEK_MS, topic_entropy
from models.events import DAY_MS, MINUTE_MS
from models.simulation.marginals import gini
from models.simulation.world import SimulatedWorld
from streams.simulated.loop import Grids

#: Of the share before their drift, viewers have recovered from so much of it on.
_RECOVERED: Final = 0.9
#: Share of the exposure that a wave may have when it counts as over.
_OVER: Final = 0.01
#: Actions of a viewer since her interests changed, from and to.
_SINCE_DRIFT: Final = ((0, 3), (3, 6), (6, 10), (10, 20), (20, 40), (40, 1 << 40))
_NEW_MS: Final = DAY_MS


def figures_of(world: SimulatedWorld, grids: Grids, warm_days: float) -> dict[str, Any]:
    """All figures of the grids after the warm-up; null where there is nothing to tell."""
    served = grids.take(grids.ts_g >= world.config.at(warm_days))
    return {
        "grids": len(served),
        "value_per_grid": _rounded(served.value_g.mean()) if len(served) else None,
        "oracle_share": oracle_share(served),
        "oracle_share_by_day": [
            oracle_share(served.take((served.ts_g - world.config.start_ms) // DAY_MS == day))
            for day in range(int(warm_days), world.config.days)
        ],
        **_cold(world, served),
        **_drift(world, served),
        **_spam(world, served),
        **_health(world, served),
    }


def oracle_share(grids: Grids) -> float | None:
    """Value served over the oracle's, of the grids that the oracle was asked for."""
    asked_g = ~np.isnan(grids.oracle_g)
    best = float(grids.oracle_g[asked_g].sum())
    return _rounded(float(grids.value_g[asked_g].sum()) / best) if best > 0 else None


def _cold(world: SimulatedWorld, grids: Grids) -> dict[str, Any]:
    """Newcomers by what they had done, and what their first like changes."""
    newcomer_v = world.viewers.joined_ms_v > world.config.start_ms
    new = grids.take(newcomer_v[grids.viewer_g])
    first = new.engaged_g == 0
    few = (new.engaged_g > 0) & (new.engaged_g <= 5)
    # Beside the grid of the same moment without it: from one grid to the next viewers also tire.
    gain_n = (new.value_g - new.unliked_g)[~np.isnan(new.unliked_g)]
    return {
        "oracle_share_newcomers_first": oracle_share(new.take(first)),
        "oracle_share_newcomers_few": oracle_share(new.take(few)),
        "first_like_gain": _rounded(gain_n.mean()) if len(gain_n) else None,
        "first_likes": len(gain_n),
    }


def _drift(world: SimulatedWorld, grids: Grids) -> dict[str, Any]:
    """Viewers whose interests changed at once: before, and by what they have done since.

    Beside viewers who were there and did not change: who does more has also seen more of what is
    good, which lowers the share of both.
    """
    viewers = world.viewers
    sudden_g = viewers.sudden_v[grids.viewer_g]
    there_g = viewers.joined_ms_v[grids.viewer_g] <= world.config.start_ms
    before, since = _around_drift(grids.take(sudden_g))
    others_before, others_since = _around_drift(grids.take(there_g & ~sudden_g))
    recovered: int | None = None
    for (low, _), share, others in zip(_SINCE_DRIFT, since, others_since, strict=True):
        if recovered is not None or not before or not others_before:
            break
        if share is not None and others is not None:
            kept, usual = share / before, others / others_before
            recovered = low if kept >= _RECOVERED * usual else None
    names = [f"{low}+" for low, _ in _SINCE_DRIFT]
    return {
        "oracle_share_before_drift": before,
        "oracle_share_since_drift": dict(zip(names, since, strict=True)),
        "oracle_share_before_drift_others": others_before,
        "oracle_share_since_drift_others": dict(zip(names, others_since, strict=True)),
        "actions_to_recover": recovered,
    }


def _around_drift(grids: Grids) -> tuple[float | None, list[float | None]]:
    """Share of the oracle's value before the change, and by actions since."""
    since_g = grids.drift_g
    return oracle_share(grids.take(since_g < 0)), [
        oracle_share(grids.take((since_g >= low) & (since_g < high))) for low, high in _SINCE_DRIFT
    ]


def _spam(world: SimulatedWorld, grids: Grids) -> dict[str, Any]:
    """The wave: its share of looks, and minutes from its first see-fewer until it is over."""
    wave = world.config.spam
    if wave is None or not len(grids):
        return {"spam_minutes": None, "spam_share": None}
    spam_gk = world.library.spam_m[np.maximum(grids.media_gk, 0)] & grids.looked_gk
    since_g = grids.ts_g >= world.config.at(wave.day)
    looks, spam = grids.looked_gk[since_g].sum(), spam_gk[since_g].sum()
    angry_g = since_g & spam_gk.any(axis=1) & (grids.see_fewer_g > 0)
    minutes: float | None = None
    if angry_g.any():
        first_ms = int(grids.ts_g[angry_g].min())
        after = grids.ts_g > first_ms
        ticks, at_n = np.unique(grids.ts_g[after], return_inverse=True)
        looks_n = np.bincount(at_n, grids.looked_gk[after].sum(axis=1))
        spam_n = np.bincount(at_n, spam_gk[after].sum(axis=1))
        # From then on, all that is left counts together.
        rest_n = np.cumsum(spam_n[::-1])[::-1] / np.cumsum(looks_n[::-1])[::-1]
        over = np.flatnonzero((rest_n < _OVER) & (spam_n < _OVER * np.maximum(looks_n, 1)))
        minutes = float(ticks[over[0]] - first_ms) / MINUTE_MS if len(over) else None
    return {
        "spam_minutes": minutes,
        "spam_share": _rounded(spam / max(looks, 1)),
        "spam_see_fewers": int(angry_g.sum()),
    }


def _health(world: SimulatedWorld, grids: Grids) -> dict[str, Any]:
    """Who is shown: concentration, new media and accounts, variety, repeats, see-fewers."""
    library, accounts = world.library, world.accounts
    g_n, k_n = np.nonzero(grids.looked_gk)
    media_n = grids.media_gk[g_n, k_n]
    if not len(media_n):
        return {}
    author_n, ts_n, viewer_n = library.author_m[media_n], grids.ts_g[g_n], grids.viewer_g[g_n]
    joined_n = accounts.joined_ms_a[author_n]
    new_n = (joined_n > world.config.start_ms) & (ts_n - joined_n < 2 * _NEW_MS)
    shown = np.bincount(author_n, minlength=len(accounts.topic_a))[~accounts.spam_a]
    topic_n, week_n = library.topic_m[media_n], (ts_n - world.config.start_ms) // WEEK_MS
    _, looks_v = np.unique(viewer_n, return_counts=True)
    there = int(library.available(int(ts_n.max())).sum())
    again = len(media_n) - len(np.unique(viewer_n * len(library) + library.original_m[media_n]))
    return {
        "gini_accounts": _rounded(gini(shown)),
        "new_accounts_share": _rounded(new_n.mean()),
        "new_media_share": _rounded((ts_n - library.created_ms_m[media_n] < _NEW_MS).mean()),
        "topic_entropy_bits": _rounded(topic_entropy(viewer_n, topic_n)),
        "topic_entropy_by_week": [
            _rounded(topic_entropy(viewer_n[week_n == week], topic_n[week_n == week]))
            for week in np.unique(week_n)
        ],
        "see_fewer_rate": _rounded(grids.see_fewer_g.sum() / len(media_n), 5),
        "repeat_rate": _rounded(again / len(media_n)),
        "media_shown_share": _rounded(len(np.unique(media_n)) / there),
        "seen_share_90": _rounded(np.percentile(looks_v, 90) / there),
    }


def _rounded(value: Any, places: int = 4) -> float:
    return round(float(value), places)
