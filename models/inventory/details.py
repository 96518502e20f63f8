"""What the catalogue says of media and accounts that no ranking reads: for those who look.

Apart from the catalogue's columns, so that who only ranks or learns does not hold it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from models.arrays.growing import GrowingColumns
from models.arrays.id_table import Ids
from models.arrays.stored import (
    ANY,
    Arrays,
    StoredArraysError,
    as_texts,
    part_of,
    prefixed,
    taken,
    texts,
)
from models.arrays.types import Rows
from models.events import Account, Media

#: Stands between the topics of a list: no topic is told apart by a control character.
_BETWEEN: Final = "\x1f"
LISTED: Final = 1
PRIVATE: Final = 2
DISABLED: Final = 4


class Details:
    """By the catalogue's rows: all topics, addresses of pictures, what accounts say of themselves.

    Lists of topics are few, and each is kept once.
    """

    def __init__(self) -> None:
        self._lists = Ids()
        self._languages = Ids()
        for names in (self._lists, self._languages):
            names.intern([""])  # Code 0: none.
        self._m = GrowingColumns(topics=(np.int32, 0), image_url=(object, None))
        self._a = GrowingColumns(topics=(np.int32, 0), language=(np.int32, 0), says=(np.uint8, 0))

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """All columns, copied; addresses and lists are texts (:mod:`models.arrays.stored`)."""
        return {
            "lists": self._lists.all_names,
            "languages": self._languages.all_names,
            **prefixed("media", self._m.to_arrays()),
            **prefixed("accounts", self._a.to_arrays()),
        }

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        """The details of :meth:`to_arrays`, once packed; the arrays are kept, not copied.

        Raises:
            StoredArraysError: these are not such arrays.
        """
        details = cls()
        details._lists = Ids.of(texts(arrays, "lists"))
        details._languages = Ids.of(texts(arrays, "languages"))
        if not len(details._lists) or not len(details._languages):
            raise StoredArraysError("the details have no code for no topics, or for no language")
        of_media = part_of(arrays, "media")
        urls = [url or None for url in texts(of_media, "image_url")]
        details._m.load(of_media | {"image_url": as_texts(urls)})
        details._a.load(part_of(arrays, "accounts"))
        lists, languages = len(details._lists), len(details._languages)
        for column, rows in (
            ("media.topics", lists), ("accounts.topics", lists), ("accounts.language", languages),
        ):  # fmt: skip
            taken(arrays, column, np.int32, ANY, rows=rows)
        return details

    def put_media(self, rows: Rows, media: Sequence[Media]) -> None:
        """Note what records say; `rows` are theirs."""
        if not len(rows):
            return
        self._m.grow(int(rows.max()) + 1)
        self._m["topics"][rows] = self._codes([record.topics for record in media])
        # One by one: NumPy would take a list of strings for characters.
        urls = self._m["image_url"]
        for row, record in zip(rows.tolist(), media, strict=True):
            urls[row] = record.image_url or None

    def put_accounts(self, rows: Rows, accounts: Sequence[Account]) -> None:
        """Note what records say; `rows` are theirs."""
        if not len(rows):
            return
        self._a.grow(int(rows.max()) + 1)
        self._a["topics"][rows] = self._codes([record.topics for record in accounts])
        self._a["language"][rows] = self._languages.intern([r.language or "" for r in accounts])
        self._a["says"][rows] = [
            LISTED | PRIVATE * record.private | DISABLED * record.disabled for record in accounts
        ]

    def forget_accounts(self, rows: Rows) -> None:
        """Accounts that were taken out of the catalogue."""
        known = rows[rows < len(self._a)]
        self._a["says"][known] = 0

    def media_topics(self, row: int) -> list[str]:
        """Topics of a media, none where the catalogue has not told of it."""
        return self._topics(self._m, row)

    def image_url(self, row: int) -> str | None:
        """Where the picture of a media is."""
        if row >= len(self._m):
            return None
        url: str | None = self._m["image_url"][row]
        return url

    def account_topics(self, row: int) -> list[str]:
        """Topics of an account, none for none told."""
        return self._topics(self._a, row)

    def account_language(self, row: int) -> str | None:
        """Language of an account, None for none told."""
        return (
            self._languages[int(self._a["language"][row])] or None if row < len(self._a) else None
        )

    def account_says(self, row: int) -> int:
        """Flags of an account: :data:`LISTED`, :data:`PRIVATE`, :data:`DISABLED`."""
        return int(self._a["says"][row]) if row < len(self._a) else 0

    def _topics(self, columns: GrowingColumns, row: int) -> list[str]:
        code = int(columns["topics"][row]) if row < len(columns) else 0
        return self._lists[code].split(_BETWEEN) if code else []

    def _codes(self, lists: Sequence[Sequence[str]]) -> Rows:
        return self._lists.intern([_BETWEEN.join(topics) for topics in lists])
