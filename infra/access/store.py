"""The port to where keys are stored; adapters as those of :mod:`infra.stores`."""

from __future__ import annotations

from typing import Protocol

from infra.access.keys import ApiKey


class AccessStore(Protocol):
    """The API keys, by their hashes, and the secret that tokens and cursors are signed with."""

    async def keys(self) -> list[ApiKey]:
        """All keys, the oldest first; what cannot be read is left out."""
        ...

    async def add(self, key: ApiKey) -> None:
        """Add a key, or replace the one of its id."""
        ...

    async def revoke(self, key_id: str) -> bool:
        """Take a key away; returns whether there was one."""
        ...

    async def secret(self, proposed: bytes) -> bytes:
        """The signing secret that all processes share: `proposed` where there is none yet."""
        ...
