"""The catalogue in memory: media and accounts as columns with stable rows.

Posts of an author are a doubly linked list through the media rows, newest first: linking and
unlinking is O(1) for live traffic, and reading the newest posts of many authors is one gather per
step for all of them at once.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from models.arrays.growing import GrowingColumns, TopRows
from models.arrays.id_table import Ids, hash_id
from models.arrays.stored import Arrays, StoredArraysError, part_of, prefixed, taken, texts
from models.arrays.types import UNKNOWN, Rows
from models.events import Account, Media

#: A batch of at least this many media, and this share of all, rebuilds the links by one sort.
_BULK = 2048
_BULK_SHARE = 8


class Catalog:
    """Media and accounts by row. A row is stable for the life of the object.

    Columns end in ``_n`` (media rows) or ``_a`` (account rows). They are views: read them, do
    not keep them over an update. A media or account that is only referred to has a row too, so
    behaviour that arrives before the catalogue finds its place; such a media is ``deleted``.
    """

    def __init__(self) -> None:
        self._media = Ids()
        self._accounts = Ids()
        self._topics = Ids()
        self._languages = Ids()
        for names in (self._topics, self._languages):
            names.intern([""])  # Code 0: none.
        self._m = GrowingColumns(
            author=(np.int32, UNKNOWN),
            created_ts=(np.int64, 0),
            nsfw=(np.float32, 0.0),
            spam=(np.float32, 0.0),
            misinformation=(np.float32, 0.0),
            risk=(np.float32, 0.0),
            deleted=(np.bool_, True),
            topic=(np.int32, 0),
            language=(np.int32, 0),
            hash=(np.int32, 0),
            older=(np.int32, UNKNOWN),
            newer=(np.int32, UNKNOWN),
            fresh_key=(np.float64, -np.inf),
        )
        self._a = GrowingColumns(
            hidden=(np.bool_, False),
            gone=(np.bool_, False),
            topic=(np.int32, 0),
            hash=(np.int32, 0),
            newest=(np.int32, UNKNOWN),
            oldest=(np.int32, UNKNOWN),
        )
        self._topic_hash = GrowingColumns(hash=(np.int32, 0))
        self._language_hash = GrowingColumns(hash=(np.int32, 0))
        self._topic_hash.grow(1)
        self._language_hash.grow(1)
        self._newest = TopRows()
        self._live = 0

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """All columns, copied, and the ids, which are texts (:mod:`models.arrays.stored`)."""
        names = {name: ids.all_names for name, ids in self._tables_of_ids().items()}
        columns = [prefixed(name, of.to_arrays()) for name, of in self._tables().items()]
        return dict(names) | {k: v for part in columns for k, v in part.items()}

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        """The catalogue of :meth:`to_arrays`, once packed; the arrays are kept, not copied.

        Raises:
            StoredArraysError: these are not such arrays.
        """
        catalog = cls()
        tables, ids = catalog._tables(), {}
        for name, table in tables.items():
            table.load(part_of(arrays, name))
            ids[name] = Ids.of(texts(arrays, f"{name}_ids", len(table)))
        catalog._media, catalog._accounts = ids["media"], ids["accounts"]
        catalog._topics, catalog._languages = ids["topics"], ids["languages"]
        counts = {name: len(table) for name, table in tables.items()}
        for column, of in (
            ("media.author", "accounts"), ("media.older", "media"), ("media.newer", "media"),
            ("media.topic", "topics"), ("media.language", "languages"),
            ("accounts.newest", "media"), ("accounts.oldest", "media"),
            ("accounts.topic", "topics"),
        ):  # fmt: skip
            taken(arrays, column, np.int32, counts[column.partition(".")[0]], rows=counts[of])
        if not counts["topics"] or not counts["languages"]:
            raise StoredArraysError("the catalogue has no code for no topic, or for no language")
        catalog._live = int(np.count_nonzero(~catalog.deleted_n))
        return catalog

    def _tables(self) -> dict[str, GrowingColumns]:
        return {
            "media": self._m,
            "accounts": self._a,
            "topics": self._topic_hash,
            "languages": self._language_hash,
        }

    def _tables_of_ids(self) -> dict[str, Ids]:
        return {
            "media_ids": self._media,
            "accounts_ids": self._accounts,
            "topics_ids": self._topics,
            "languages_ids": self._languages,
        }

    # Sizes and columns.

    @property
    def media_count(self) -> int:
        """Number of media rows, deleted ones included."""
        return len(self._media)

    @property
    def live_media_count(self) -> int:
        """Number of media that are not deleted."""
        return self._live

    @property
    def account_count(self) -> int:
        """Number of account rows, those only referred to included."""
        return len(self._accounts)

    @property
    def author_n(self) -> Rows:
        """Account row of each media's author, −1 for a media only referred to."""
        return self._m["author"]

    @property
    def created_ts_n(self) -> NDArray[np.int64]:
        """When each media was posted, epoch ms."""
        return self._m["created_ts"]

    @property
    def nsfw_n(self) -> NDArray[np.float32]:
        """Integrity score in [0, 1]."""
        return self._m["nsfw"]

    @property
    def spam_n(self) -> NDArray[np.float32]:
        """Integrity score in [0, 1]."""
        return self._m["spam"]

    @property
    def misinformation_n(self) -> NDArray[np.float32]:
        """Integrity score in [0, 1]."""
        return self._m["misinformation"]

    @property
    def risk_n(self) -> NDArray[np.float32]:
        """The highest of the integrity scores."""
        return self._m["risk"]

    @property
    def deleted_n(self) -> NDArray[np.bool_]:
        """Whether each media is gone."""
        return self._m["deleted"]

    @property
    def topic_n(self) -> NDArray[np.int32]:
        """Topic code of each media (its first topic), 0 for none."""
        return self._m["topic"]

    @property
    def language_n(self) -> NDArray[np.int32]:
        """Language code of each media, 0 for none."""
        return self._m["language"]

    @property
    def media_hash_n(self) -> NDArray[np.int32]:
        """Stable 31-bit hash of each media id."""
        return self._m["hash"]

    @property
    def account_hash_a(self) -> NDArray[np.int32]:
        """Stable 31-bit hash of each account id."""
        return self._a["hash"]

    @property
    def topic_hash_t(self) -> NDArray[np.int32]:
        """Stable hash of each topic code, 0 for none."""
        return self._topic_hash["hash"]

    @property
    def language_hash_l(self) -> NDArray[np.int32]:
        """Stable hash of each language code, 0 for none."""
        return self._language_hash["hash"]

    @property
    def account_topic_a(self) -> NDArray[np.int32]:
        """Topic code of each account (its first human label), 0 for none."""
        return self._a["topic"]

    @property
    def hidden_account_a(self) -> NDArray[np.bool_]:
        """Whether each account is private or disabled: nothing of it is recommended."""
        return self._a["hidden"]

    @property
    def gone_account_a(self) -> NDArray[np.bool_]:
        """Whether each account is disabled or deleted: it is nobody's neighbour either."""
        return self._a["gone"]

    # Ids and rows.

    def media_rows(self, ids: Collection[str]) -> Rows:
        """Rows of media, −1 for an unknown id."""
        return self._media.rows(ids)

    def media_ids(self, rows: Rows) -> list[str]:
        """The ids of known media, in the order of `rows`."""
        return self._media.names(rows)

    def media_rows_of(self, hash_n: NDArray[np.int32]) -> Rows:
        """Rows of media whose ids have one of these hashes (:attr:`media_hash_n`).

        Looks at all hashes there are: 2 ms for a million media.
        """
        marks = np.zeros(1 << 16, np.bool_)
        marks[hash_n & 0xFFFF] = True
        near_n = marks.take(self.media_hash_n & 0xFFFF).nonzero()[0]
        found: Rows = near_n[np.isin(self.media_hash_n[near_n], hash_n)].astype(np.int32)
        return found

    def author_rows(self, ids: Collection[str]) -> Rows:
        """Rows of accounts, −1 for an unknown id."""
        return self._accounts.rows(ids)

    def author_ids(self, rows: Rows) -> list[str]:
        """The ids of known accounts, in the order of `rows`."""
        return self._accounts.names(rows)

    def account_id(self, row: int) -> str:
        """Id of one account row."""
        return self._accounts[row]

    def topic_name(self, code: int) -> str:
        """Name of a topic code, empty for 0."""
        return self._topics[code]

    def topic_code(self, name: str) -> int:
        """Code of a topic, −1 for one that nothing has."""
        return self._topics.row(name)

    def language_code(self, name: str) -> int:
        """Code of a language, −1 for one that nothing has."""
        return self._languages.row(name)

    def language_name(self, code: int) -> str:
        """Name of a language code, empty for 0."""
        return self._languages[code]

    def author_of(self, media_id: str) -> str | None:
        """Id of a media's author, None if the media is not known (deleted ones still are)."""
        row = self._media.row(media_id)
        author = int(self.author_n[row]) if row != UNKNOWN else UNKNOWN
        return None if author == UNKNOWN else self._accounts[author]

    def intern_accounts(self, ids: Sequence[str]) -> Rows:
        """Rows of accounts, new ones for ids not seen before."""
        known = len(self._accounts)
        rows = self._accounts.intern(ids)
        if len(self._accounts) > known:
            self._a.grow(len(self._accounts))
            self._a["hash"][known:] = [
                hash_id(self._accounts[row]) for row in range(known, len(self._accounts))
            ]
        return rows

    def intern_media(self, ids: Sequence[str]) -> Rows:
        """Rows of media, new ones (deleted until the catalogue brings them) for unknown ids."""
        known = len(self._media)
        rows = self._media.intern(ids)
        if len(self._media) > known:
            self._m.grow(len(self._media))
            self._m["hash"][known:] = [
                hash_id(self._media[row]) for row in range(known, len(self._media))
            ]
        return rows

    # Updates.

    def upsert_media(self, media: Sequence[Media]) -> Rows:
        """Insert or replace media; one with ``deleted`` set is deleted. Returns their rows.

        Of several records with one id in the batch the last one counts.
        """
        newest = {record.media_id: record for record in media}
        records = list(newest.values())
        if not records:
            return np.empty(0, np.int32)
        rows = self.intern_media(list(newest))
        authors = self.intern_accounts([record.author_id for record in records])
        bulk = len(records) >= max(_BULK, len(self._media) // _BULK_SHARE)
        if not bulk:
            self._unlink(rows)
        m = self._m
        m["author"][rows] = authors
        m["created_ts"][rows] = [record.created_ts for record in records]
        m["nsfw"][rows] = [record.integrity.nsfw for record in records]
        m["spam"][rows] = [record.integrity.spam for record in records]
        m["misinformation"][rows] = [record.integrity.misinformation for record in records]
        m["risk"][rows] = np.maximum.reduce(
            [m["nsfw"][rows], m["spam"][rows], m["misinformation"][rows]]
        )
        m["topic"][rows] = self._codes(
            self._topics, self._topic_hash, [r.topics[0] if r.topics else "" for r in records]
        )
        m["language"][rows] = self._codes(
            self._languages, self._language_hash, [r.language or "" for r in records]
        )
        self._set_deleted(rows, np.array([record.deleted for record in records], np.bool_))
        if bulk:
            self._relink_all()
        else:
            self._link(rows[~m["deleted"][rows]])
        return rows

    def delete_media(self, ids: Sequence[str]) -> Rows:
        """Delete media; unknown ids are ignored. Returns the rows of the known ones."""
        rows: Rows = np.unique(self._media.rows(ids))
        rows = rows[rows != UNKNOWN]
        self._unlink(rows)
        self._set_deleted(rows, np.ones(len(rows), np.bool_))
        return rows

    def upsert_accounts(self, accounts: Sequence[Account]) -> Rows:
        """Insert or replace accounts; the last record of an id counts. Returns their rows."""
        newest = {record.account_id: record for record in accounts}
        records = list(newest.values())
        rows = self.intern_accounts(list(newest))
        if len(rows):
            self._a["hidden"][rows] = [record.private or record.disabled for record in records]
            self._a["gone"][rows] = [record.disabled for record in records]
            self._a["topic"][rows] = self._codes(
                self._topics, self._topic_hash, [r.topics[0] if r.topics else "" for r in records]
            )
        return rows

    def delete_accounts(self, ids: Sequence[str]) -> Rows:
        """Delete accounts until a record brings them back; returns their rows."""
        rows = self.intern_accounts(ids)
        self._a["hidden"][rows] = True
        self._a["gone"][rows] = True
        return rows

    # Reads.

    def posted_by(self, author_rows: Rows, per_author: int) -> tuple[Rows, NDArray[np.int64]]:
        """Newest live posts of each author.

        Args:
            author_rows: known account rows; duplicates are answered twice.
            per_author: most posts of each.

        Returns:
            media rows, ordered by author position and then newest first (equal times: the later
            row first), and for each the position of its author in `author_rows`.
        """
        older, current = self._m["older"], self._a["newest"].take(author_rows)
        position = np.arange(len(author_rows))
        media: list[Rows] = []
        positions: list[NDArray[np.int64]] = []
        for _ in range(per_author):
            live = current != UNKNOWN
            if not live.all():
                current, position = current[live], position[live]
            if not len(current):
                break
            media.append(current)
            positions.append(position)
            current = older.take(current)
        if not media:
            return np.empty(0, np.int32), np.empty(0, np.int64)
        # Each author's first posts came first, then all second ones: put an author's together.
        position_n = np.concatenate(positions)
        count_a = np.bincount(position_n)
        begin_a = count_a.cumsum() - count_a
        step_n = np.arange(len(media)).repeat([len(rows) for rows in media])
        found = np.empty(len(position_n), np.int32)
        found[begin_a.take(position_n) + step_n] = np.concatenate(media)
        return found, np.arange(len(count_a)).repeat(count_a)

    def posts_before(self, media_row: int, k: int) -> Rows:
        """Up to k live posts of the same author, the newest of those posted before this one."""
        older, found = self._m["older"], list[int]()
        row = int(older[media_row])
        while row != UNKNOWN and len(found) < k:
            found.append(row)
            row = int(older[row])
        return np.array(found, np.int32)

    def gone_accounts(self, ids: Collection[str]) -> list[str]:
        """Those of the accounts that are disabled or deleted."""
        names = list(ids)
        rows = self._accounts.rows(names)
        gone_a = self.gone_account_a
        return [n for n, row in zip(names, rows, strict=True) if row != UNKNOWN and gone_a[row]]

    def labelled_accounts(self, limit: int) -> dict[str, str]:
        """Account → topic of up to `limit` accounts with one, chosen by the hash of their id."""
        rows = np.flatnonzero(self.account_topic_a > 0).astype(np.int32)
        if len(rows) > limit:
            rows = rows[np.argsort(self.account_hash_a[rows], kind="stable")[:limit]]
        topics = self._topics.names(self.account_topic_a[rows])
        return dict(zip(self.author_ids(rows), topics, strict=True))

    def newest(self, k: int) -> Rows:
        """Up to k live media rows, newest first (equal times: lower row first)."""
        return self._newest.best(self._m["fresh_key"], k)

    # Inside.

    @staticmethod
    def _codes(names: Ids, hashes: GrowingColumns, values: list[str]) -> Rows:
        known = len(names)
        codes = names.intern(values)
        if len(names) > known:
            hashes.grow(len(names))
            hashes["hash"][known:] = [hash_id(names[row]) for row in range(known, len(names))]
        return codes

    def _set_deleted(self, rows: Rows, deleted: NDArray[np.bool_]) -> None:
        m = self._m
        self._live += int(m["deleted"][rows].sum()) - int(deleted.sum())
        m["deleted"][rows] = deleted
        # A key above 0 also for a post of the epoch itself.
        m["fresh_key"][rows] = np.where(deleted, -np.inf, m["created_ts"][rows] + 1.0)
        self._newest.touch(rows)

    def _unlink(self, rows: Rows) -> None:
        m, a = self._m, self._a
        older, newer, author = m["older"], m["newer"], m["author"]
        newest, oldest = a["newest"], a["oldest"]
        for row in rows[~m["deleted"][rows]].tolist():
            down, up, of = older[row], newer[row], author[row]
            if up == UNKNOWN:
                newest[of] = down
            else:
                older[up] = down
            if down == UNKNOWN:
                oldest[of] = up
            else:
                newer[down] = up
            older[row] = newer[row] = UNKNOWN

    def _link(self, rows: Rows) -> None:
        m, a = self._m, self._a
        older, newer, author, created = m["older"], m["newer"], m["author"], m["created_ts"]
        newest, oldest = a["newest"], a["oldest"]
        for row in rows.tolist():
            of, key = author[row], (created[row], row)
            # Backfills arrive oldest last: try the old end before walking from the new one.
            end = oldest[of]
            if end != UNKNOWN and (created[end], end) > key:
                up, down = end, np.int32(UNKNOWN)
            else:
                up, down = np.int32(UNKNOWN), newest[of]
                while down != UNKNOWN and (created[down], down) > key:
                    up, down = down, older[down]
            older[row], newer[row] = down, up
            if up == UNKNOWN:
                newest[of] = row
            else:
                older[up] = row
            if down == UNKNOWN:
                oldest[of] = row
            else:
                newer[down] = row

    def _relink_all(self) -> None:
        m, a = self._m, self._a
        m["older"][:] = m["newer"][:] = UNKNOWN
        a["newest"][:] = a["oldest"][:] = UNKNOWN
        rows = np.flatnonzero(~m["deleted"]).astype(np.int32)
        author = m["author"][rows]
        order = np.lexsort((-rows, -m["created_ts"][rows], author))
        rows, author = rows[order], author[order]
        same = author[1:] == author[:-1]
        m["older"][rows[:-1][same]] = rows[1:][same]
        m["newer"][rows[1:][same]] = rows[:-1][same]
        first = np.append(True, ~same)[: len(rows)]
        last = np.append(~same, True)[: len(rows)]
        a["newest"][author[first]] = rows[first]
        a["oldest"][author[last]] = rows[last]
