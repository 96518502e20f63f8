"""The default query: which 500 media a viewer's grid is chosen from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

import msgspec
import numpy as np

from models.candidates import (
    Accounts,
    Candidates,
    account_nn,
    authors_of,
    blend,
    concatenate,
    diversify_by,
    engaged,
    exclude_deleted,
    exclude_followed,
    exclude_media,
    exclude_own_accounts,
    exclude_seen,
    exclude_suppressed,
    filter_integrity,
    followed,
    fresh,
    liked,
    popular,
    posted_media,
    saved,
    take,
)
from models.columns import Rows
from models.viewer_context import ViewerContext
from models.world import World

#: Names the query in grids and impressions.
QUERY_VERSION: Final = "default-1"
#: A global source is asked for this many times what is wanted (beside what the viewer knows
#: already), and for four times as much again where filters took more.
_OVER_FETCH: Final = 1.25


class QueryConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes and shares of the default query.

    Attributes:
        size: candidates wanted.
        seeds: most seed accounts, newest likes and saves first.
        accounts: accounts near the seeds wanted in all; each seed gives its part of them.
        neighbours: fewest and most accounts near each seed, however many seeds there are.
        posts: newest posts of each account.
        near_share, popular_share, fresh_share: shares of the blend.
        nsfw, spam, misinformation: highest integrity scores let through.
        followed: whether posts of followed accounts may appear (they are the home feed's).
    """

    size: int = 500
    seeds: int = 40
    accounts: int = 800
    neighbours: tuple[int, int] = (20, 200)
    posts: int = 10
    near_share: float = 0.5
    popular_share: float = 0.4
    fresh_share: float = 0.1
    nsfw: float = 0.2
    spam: float = 0.2
    misinformation: float = 0.2
    followed: bool = False


def default_query(
    viewer: ViewerContext, world: World, config: QueryConfig, now_ms: int, served: Rows
) -> tuple[Candidates, Counter[str]]:
    """Candidates of one grid and how many media each filter dropped.

    Near the accounts the viewer engaged with, popular, and fresh; for a viewer without history
    popular across topics, and fresh.

    Args:
        served: media rows already shown, e.g. on earlier pages.
    """
    dropped: Counter[str] = Counter()
    seeds = seed_accounts(viewer, config.seeds)

    def allowed(found: Candidates) -> Candidates:
        steps: list[tuple[str, Callable[[Candidates], Candidates]]] = [
            ("deleted", lambda c: exclude_deleted(c, world)),
            (
                "integrity",
                lambda c: filter_integrity(
                    c, world, config.nsfw, config.spam, config.misinformation
                ),
            ),
            ("served", lambda c: exclude_media(c, world, served)),
            ("seen", lambda c: exclude_seen(c, viewer, world)),
            ("suppressed", lambda c: exclude_suppressed(c, viewer, world)),
            ("own_accounts", lambda c: exclude_own_accounts(c, viewer, world, seeds)),
        ]
        if not config.followed:
            steps.append(("followed", lambda c: exclude_followed(c, viewer, world)))
        for name, step in steps:
            before = len(found)
            found = step(found)
            dropped[name] += before - len(found)
        return found

    def fill(source: Callable[[int], Candidates], wanted: int) -> Candidates:
        asked = int(_OVER_FETCH * wanted) + len(served) + len(viewer.seen)
        while True:
            before = dropped.copy()
            found = source(asked)
            kept = allowed(found)
            if len(kept) >= wanted or len(found) < asked:
                return take(kept, wanted)
            # A wider fetch meets the same media again: count its drops once.
            dropped.clear()
            dropped.update(before)
            asked *= 4

    fewest, most = config.neighbours
    each = min(max(config.accounts // max(len(seeds), 1), fewest), most)
    near = allowed(posted_media(account_nn(seeds, world, each), world, config.posts))
    near = take(diversify_by(near, near.seed_n), config.size)
    # Global sources are asked for the whole size: they stand in where the others run short.
    everybody = fill(lambda k: popular(world, now_ms, k), config.size)
    newest = fill(lambda k: fresh(world, k), config.size)
    if not len(seeds):
        everybody = diversify_by(everybody, world.catalog.topic_n[everybody.media_n])
    blended = blend(
        [
            (near.ranked(), config.near_share),
            (everybody.ranked(), config.popular_share),
            (newest.ranked(), config.fresh_share),
        ],
        config.size,
    )
    return blended, +dropped


def seed_accounts(viewer: ViewerContext, most: int) -> Accounts:
    """The accounts a query starts from: liked and saved, then viewed long, then followed.

    An account the viewer blocked or lately saw fewer of leads nowhere.
    """
    acted = authors_of(
        concatenate([liked(viewer, most), saved(viewer, most), engaged(viewer, most)])
    )
    rows = np.concatenate([acted.account_n, followed(viewer, most).account_n])
    _, first = np.unique(rows, return_index=True)
    rows = rows[np.sort(first)]
    unwanted = np.append(viewer.blocked, viewer.author_e[viewer.see_fewers(most)])
    rows = rows[~np.isin(rows, unwanted)][:most]
    return Accounts(rows, rows, np.ones(len(rows), np.float32))
