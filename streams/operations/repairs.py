"""Dead letters sent again and versions made live, by the code of the commands."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final

from infra.config import Settings
from infra.errors import FreshgridError, SettingsError, UnreachableError
from infra.looked_at import LookedAt
from streams.learning.version_list import promote, rollback
from streams.log.dead_letters import (
    DeadLetterId,
    NoSuchDeadLetterError,
    Wanted,
    list_dead_letters,
    show_dead_letter,
)
from streams.log.redrive import redrive

#: Records of each partition of the dead letters that are looked at: each may have 350 kB.
NEWEST: Final = 100
#: Dead letters that are listed.
LISTED: Final = 50
#: How long a count of them holds.
COUNT_FRESH_S: Final = 4.0

Told = dict[str, Any]


class Repairs:
    """Mends one thing at a time; what has begun goes on if whoever asked leaves."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._mending: asyncio.Task[Told] | None = None
        self._waiting = LookedAt(self._count, COUNT_FRESH_S)

    async def waiting(self) -> int | None:
        """Dead letters not redriven yet, of the newest; None where Kafka does not tell."""
        return await self._waiting.value()

    async def _count(self) -> int:
        told = await self.dead_letters()
        return int(told["total"] - told["redriven"])

    async def dead_letters(self) -> Told:
        """The newest dead letters, newest first, of the newest records of their topic."""
        told = await list_dead_letters(self._settings, Wanted(), LISTED, NEWEST)
        return {**told, "newest": NEWEST}

    async def dead_letter(self, dead_letter_id: str) -> Told:
        """One of them with its record.

        Raises:
            LookupError: there is none.
        """
        try:
            place = DeadLetterId.parse(dead_letter_id)
            return await show_dead_letter(self._settings, place, NEWEST)
        except (NoSuchDeadLetterError, SettingsError) as error:
            raise LookupError(str(error)) from error

    async def redrive(self, dead_letter_id: str, value: str | None) -> Told:
        """Send its record to its topic again, edited where `value` is given.

        Raises:
            LookupError: there is none.
            ValueError: it would die again, or cannot be sent.
        """
        try:
            place = DeadLetterId.parse(dead_letter_id)
            edited = None if value is None else value.encode()
            told = await self._alone(redrive(self._settings, [place], value=edited))
        except (NoSuchDeadLetterError, SettingsError) as error:
            raise LookupError(str(error)) from error
        self._waiting.forget()
        for refused in told["refused"]:
            raise ValueError(refused["message"])
        [sent] = told["sent"]
        return dict(sent)

    async def promote(self, kind: str, version: str, why: str) -> Told:
        """Make a stored version live.

        Raises:
            ValueError: it cannot be.
        """
        return await self._versions(promote(self._settings, kind, version, why))

    async def rollback(self, kind: str, to: str | None) -> Told:
        """Make the version live that was before, or the one named.

        Raises:
            ValueError: there is none, or it cannot be loaded.
        """
        return await self._versions(rollback(self._settings, kind, to))

    async def _versions(self, change: Coroutine[Any, Any, Told]) -> Told:
        try:
            return await self._alone(change)
        except UnreachableError:
            raise
        except FreshgridError as error:
            raise ValueError(str(error)) from error

    async def _alone(self, change: Coroutine[Any, Any, Told]) -> Told:
        """Mend something unless something else is being mended.

        Raises:
            ValueError: something is.
        """
        if self._mending is not None and not self._mending.done():
            change.close()
            raise ValueError("something else is being mended; try again in some seconds")
        self._mending = asyncio.ensure_future(change)
        # A space of vectors that was half sent when the request's time was over would be of no use.
        return await asyncio.shield(self._mending)
