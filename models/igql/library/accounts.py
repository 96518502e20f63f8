"""From media to their authors, from accounts to accounts near them, and to what these posted."""

from __future__ import annotations

from typing import Final

import numpy as np

from models.account_index.space import NEIGHBOURS
from models.arrays.types import UNKNOWN
from models.igql.execution import Execution
from models.igql.library.registered import operators
from models.igql.registry import Arguments, Cost, SetType, count, named
from models.igql.sets import ColumnSet, best_of_each, first_of_each

#: Neighbours of one seed at most: farther ones are hardly like it.
MOST_PER_SEED: Final = NEIGHBOURS


@operators.register(
    takes=SetType.MEDIA,
    gives=SetType.ACCOUNTS,
    cost=lambda rows, _: Cost(rows, 10.0 + 0.02 * rows),
)
def authors(execution: Execution, media: ColumnSet, arguments: Arguments) -> ColumnSet:
    """The distinct authors of media, in order; each is a seed where the media has none."""
    author_n = execution.authors(media)
    # What a viewer acted on may be known by its author before the catalogue brings it.
    author_n = np.where(author_n == UNKNOWN, media.seed_n, author_n)
    known = (author_n != UNKNOWN).nonzero()[0]
    first = known.take(first_of_each(media.viewer_n.take(known), author_n.take(known)))
    author_n, seed_n = author_n.take(first), media.seed_n.take(first)
    seed_n = np.where(seed_n == UNKNOWN, author_n, seed_n)
    return media.derive(first, SetType.ACCOUNTS, author_n, seed_n=seed_n)


@operators.register(
    takes=SetType.ACCOUNTS,
    gives=SetType.ACCOUNTS,
    parameters=(
        named("embedding_config", "embedding"),
        count("max_num_to_retrieve", default=400, most=5000),
    ),
    cost=lambda rows, arguments: Cost(
        min(arguments["max_num_to_retrieve"], rows * MOST_PER_SEED),
        40.0 + 15.0 * rows + 0.1 * arguments["max_num_to_retrieve"],
    ),
    source=True,
)
def account_nn(execution: Execution, seeds: ColumnSet, arguments: Arguments) -> ColumnSet:
    """The accounts nearest to the seeds by vector; score is the cosine.

    Each seed of a viewer gives its part of ``max_num_to_retrieve``. A seed is not its own
    neighbour, and an account near several seeds is kept once, under the one it is nearest to.
    """
    space = execution.world.space
    if space is None or not len(space):
        execution.note("no account has a vector yet")
        return ColumnSet.empty(SetType.ACCOUNTS)
    most = arguments["max_num_to_retrieve"]
    seeds_v = np.bincount(seeds.viewer_n)
    each_n = np.minimum(-(-most // np.maximum(seeds_v, 1)), MOST_PER_SEED)[seeds.viewer_n]
    near_nk, cosine_nk = space.neighbours_of(seeds.row_n, int(each_n.max(initial=0)))
    # Each seed gives as many as its viewer's share, however many others' seeds give.
    usable_nk = (near_nk != UNKNOWN) & (np.arange(near_nk.shape[1]) < each_n[:, None])
    seed_at = usable_nk.nonzero()[0]
    if not len(seed_at):
        execution.note("no seed has a vector")
        return ColumnSet.empty(SetType.ACCOUNTS)
    account_n, cosine_n = near_nk[usable_nk], cosine_nk[usable_nk]
    viewer_n, viewers = seeds.viewer_n.take(seed_at), len(execution.viewers)
    best = best_of_each(viewer_n, account_n, cosine_n, most, viewers)
    return seeds.derive(
        seed_at.take(best),
        SetType.ACCOUNTS,
        account_n.take(best),
        score_n=cosine_n.take(best),
    )


@operators.register(
    takes=SetType.ACCOUNTS,
    gives=SetType.MEDIA,
    parameters=(count("max_media_per_account", default=10, most=1000),),
    cost=lambda rows, arguments: Cost(
        rows * arguments["max_media_per_account"],
        30.0 + 0.1 * rows * arguments["max_media_per_account"],
    ),
    depth="max_media_per_account",
)
def posted_media(execution: Execution, accounts: ColumnSet, arguments: Arguments) -> ColumnSet:
    """The newest posts of each account, under the account's seed and score."""
    media_n, at_n = execution.world.catalog.posted_by(
        accounts.row_n, arguments["max_media_per_account"]
    )
    found = accounts.derive(at_n, SetType.MEDIA, media_n)
    execution.know_authors(found, accounts.row_n.take(at_n))
    return found
