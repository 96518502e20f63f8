"""The catalogue as people look at it: records of the world in memory, browsed in bounded steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from infra.http.catalogue import (
    AccountList,
    AccountProfile,
    AccountRecord,
    Browse,
    MediaList,
    MediaRecord,
    Neighbour,
)
from models.actions import ACTION_NAMES
from models.arrays.types import NO_ROWS, UNKNOWN, Mask, Rows
from models.events import Integrity
from models.inventory.details import DISABLED, LISTED, PRIVATE, Details
from models.world import World
from streams.clock import now_ms

#: Rows whose columns one request compares: a millisecond.
MOST_COMPARED: Final = 1 << 20
#: Rows whose ids one request looks at: some milliseconds.
MOST_NAMED: Final = 1 << 15
#: Newest posts of an account among which the most popular ones are looked for.
MOST_POPULAR_OF: Final = 500


class Directory:
    """Looks up accounts and media of a world that keeps their details."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._details = world.details or Details()

    def profile(
        self, account_id: str, posts: int, popular: bool, neighbours: int
    ) -> AccountProfile:
        """An account with its newest or most popular posts and its nearest accounts.

        Raises:
            LookupError: nobody ever told of it.
        """
        world, catalog = self._world, self._world.catalog
        row = _known(catalog.author_rows([account_id]), "account", account_id, "catalog.accounts")
        media, _ = catalog.posted_by(row, MOST_POPULAR_OF if popular else posts)
        if popular:
            order = np.argsort(-world.popularity.score(media, now_ms()), kind="stable")
            media = media[order[:posts]]
        near, scores = NO_ROWS, np.empty(0, np.float32)
        if world.space is not None and neighbours:
            near_qk, scores_qk = world.space.neighbours_of(row, neighbours)
            found_k = near_qk[0] != UNKNOWN
            near, scores = near_qk[0][found_k], scores_qk[0][found_k]
        pairs = zip(self.account_records(near), scores.tolist(), strict=True)
        return AccountProfile(
            account=self.account_records(row)[0],
            posts=self.media_records(media),
            neighbours=[Neighbour(account, score) for account, score in pairs],
        )

    def media(self, media_id: str) -> MediaRecord:
        """One media, deleted or not.

        Raises:
            LookupError: nobody ever told of it.
        """
        rows = self._world.catalog.media_rows([media_id])
        return self.media_records(_known(rows, "media", media_id, "catalog.media"))[0]

    def accounts_of(self, ids: Sequence[str]) -> AccountList:
        """Those of these accounts that are known, in this order."""
        rows = self._world.catalog.author_rows(list(dict.fromkeys(ids)))
        return AccountList(self.account_records(rows[rows != UNKNOWN]))

    def media_of(self, ids: Sequence[str]) -> MediaList:
        """Those of these media that are known, in this order."""
        rows = self._world.catalog.media_rows(list(dict.fromkeys(ids)))
        return MediaList(self.media_records(rows[rows != UNKNOWN]))

    def browse_accounts(self, browse: Browse) -> AccountList:
        """Accounts that are not gone, those first that were told of last.

        Raises:
            LookupError: nobody ever told of the id to go on after.
        """
        catalog = self._world.catalog
        topic = None if browse.topic is None else catalog.topic_code(browse.topic)

        def fit(span: slice) -> Mask:
            here_n: Mask = ~catalog.gone_account_a[span]
            return here_n if topic is None else here_n & (catalog.account_topic_a[span] == topic)

        end = catalog.account_count
        if browse.after is not None:
            end = int(_known(catalog.author_rows([browse.after]), "account", browse.after, "")[0])
        rows, rest = _descend(end, fit, catalog.author_ids, browse)
        return AccountList(
            self.account_records(rows), None if rest is None else catalog.account_id(rest)
        )

    def browse_media(self, browse: Browse) -> MediaList:
        """Media that are not deleted, the newest of an author or those told of last first.

        Raises:
            LookupError: nobody ever told of the author, or of the id to go on after.
        """
        catalog = self._world.catalog
        topic = None if browse.topic is None else catalog.topic_code(browse.topic)
        after = None
        if browse.after is not None:
            after = int(_known(catalog.media_rows([browse.after]), "media", browse.after, "")[0])

        def fit(span: slice | Rows) -> Mask:
            live_n: Mask = ~catalog.deleted_n[span]
            return live_n if topic is None else live_n & (catalog.topic_n[span] == topic)

        if browse.author is None:
            end = catalog.media_count if after is None else after
            rows, rest = _descend(end, fit, catalog.media_ids, browse)
        else:
            rows, rest = self._posts(browse, browse.author, after, fit)
        return MediaList(
            self.media_records(rows), None if rest is None else catalog.media_ids(_one(rest))[0]
        )

    def _posts(
        self, browse: Browse, author: str, after: int | None, fit: Callable[[Rows], Mask]
    ) -> tuple[Rows, int | None]:
        catalog = self._world.catalog
        of = _known(catalog.author_rows([author]), "account", author, "catalog.accounts")
        if after is None:
            looked, _ = catalog.posted_by(of, MOST_NAMED)
        elif catalog.author_n[after] != of[0] or catalog.deleted_n[after]:
            raise LookupError(
                f"media {browse.after!r} is no post of {author!r} any more; begin again without "
                "`after`"
            )
        else:
            looked = catalog.posts_before(after, MOST_NAMED)
        at = np.flatnonzero(fit(looked))
        if browse.prefix:
            names = catalog.media_ids(looked[at])
            at = at[[name.startswith(browse.prefix) for name in names]]
        if len(at) > browse.limit:
            found = looked[at[: browse.limit]]
            return found, int(found[-1])
        return looked[at], int(looked[-1]) if len(looked) == MOST_NAMED else None

    def media_records(self, rows: Rows) -> list[MediaRecord]:
        """What is known of media, by their rows."""
        world, catalog, details, now = self._world, self._world.catalog, self._details, now_ms()
        author_n = catalog.author_n[rows]
        known_n = author_n != UNKNOWN
        hidden_n = ~known_n
        hidden_n[known_n] = catalog.hidden_account_a[author_n[known_n]]
        deleted_n = catalog.deleted_n[rows]
        columns = zip(
            rows.tolist(),
            catalog.media_ids(rows),
            author_n.tolist(),
            catalog.created_ts_n[rows].tolist(),
            catalog.language_n[rows].tolist(),
            zip(
                catalog.nsfw_n[rows].tolist(),
                catalog.spam_n[rows].tolist(),
                catalog.misinformation_n[rows].tolist(),
                strict=True,
            ),
            deleted_n.tolist(),
            (~deleted_n & ~hidden_n).tolist(),
            _counts(world.popularity.decayed_media(rows, now)),
            world.popularity.score(rows, now).tolist(),
            strict=True,
        )
        return [
            MediaRecord(
                media_id=media_id,
                author_id=None if author == UNKNOWN else catalog.account_id(author),
                created_ts=created_ts,
                topics=details.media_topics(row),
                language=catalog.language_name(language) or None,
                integrity=Integrity(*integrity),
                image_url=details.image_url(row),
                deleted=deleted,
                available=available,
                counts=counts,
                score=score,
            )
            for row, media_id, author, created_ts, language, integrity, deleted, available, counts,
            score in columns
        ]  # fmt: skip

    def account_records(self, rows: Rows) -> list[AccountRecord]:
        """What is known of accounts, by their rows."""
        world, catalog, details = self._world, self._world.catalog, self._details
        _, has_vector_n = world.vectors_of(rows)
        columns = zip(
            rows.tolist(),
            catalog.author_ids(rows),
            catalog.gone_account_a[rows].tolist(),
            has_vector_n.tolist(),
            _counts(world.popularity.decayed_authors(rows, now_ms())),
            strict=True,
        )
        records = []
        for row, account_id, gone, has_vector, counts in columns:
            says = details.account_says(row)
            records.append(
                AccountRecord(
                    account_id=account_id,
                    topics=details.account_topics(row),
                    language=details.account_language(row),
                    private=bool(says & PRIVATE),
                    disabled=bool(says & DISABLED),
                    deleted=gone and not says & DISABLED,
                    listed=bool(says & LISTED),
                    has_vector=has_vector,
                    counts=counts,
                )
            )
        return records


def _counts(counts_na: NDArray[np.float64]) -> list[dict[str, float]]:
    return [dict(zip(ACTION_NAMES, row, strict=True)) for row in counts_na.tolist()]


def _one(row: int) -> Rows:
    return np.array([row], np.int32)


def _known(rows: Rows, what: str, name: str, topic: str) -> Rows:
    """The row of one id.

    Raises:
        LookupError: it has none.
    """
    if rows[0] == UNKNOWN:
        remedy = f"send it to {topic} first" if topic else "begin again without `after`"
        raise LookupError(f"nobody ever told of {what} {name!r}; {remedy}")
    return rows


def _descend(
    end: int,
    fit: Callable[[slice], Mask],
    names_of: Callable[[Rows], list[str]],
    browse: Browse,
) -> tuple[Rows, int | None]:
    """Rows below `end` that fit, the highest first; and the one to go on after, if any may follow.

    Args:
        fit: which of a span of rows have what is looked for.
    """
    step = MOST_NAMED if browse.prefix else MOST_COMPARED
    begin = max(end - step, 0)
    rows = (np.flatnonzero(fit(slice(begin, end)))[::-1] + begin).astype(np.int32)
    if browse.prefix:
        rows = rows[np.array([n.startswith(browse.prefix) for n in names_of(rows)], np.bool_)]
    if len(rows) > browse.limit:
        rows = rows[: browse.limit]
        return rows, int(rows[-1])
    return rows, begin if begin else None
