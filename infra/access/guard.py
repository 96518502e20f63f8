"""Who asks: a key or a token of the request → a caller, from memory.

The keys are read from the store every second, so a revoked one is refused about a second later
by every process; no request waits for the store. Where it does not answer, the keys known last
stay: nobody can revoke one meanwhile either.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import secrets
import time
from collections.abc import Iterable
from hashlib import sha256
from typing import Final, NamedTuple

from infra.access.keys import RATE, SCOPES, ApiKey, Scope, digest_of
from infra.access.store import AccessStore
from infra.access.tokens import MOST_BYTES, Tokens
from infra.config import Settings
from infra.errors import SettingsError, UnreachableError
from infra.secrets import SECRET, remember

REFRESH_S: Final = 1.0
#: Characters of a secret or key that the settings give, at least.
LEAST_SECRET: Final = 32
#: Addresses that nobody else reaches.
LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
#: Tokens of which it is remembered that they are good.
MOST_TOKENS: Final = 10_000
#: Name of the key that the settings give.
OF_SETTINGS: Final = "API_KEY"

logger = logging.getLogger(__name__)


class Caller(NamedTuple):
    """Who asks.

    Attributes:
        name: for logs; begins with what it is.
        key_id: of the key, or of the key that the token was asked for with.
        viewer_id: the only viewer that may be asked for or acted as; None for no bound.
        per_s: requests per second.
        until_s: epoch seconds.
    """

    name: str
    scopes: frozenset[Scope]
    key_id: str = ""
    viewer_id: str | None = None
    per_s: float = RATE
    until_s: float = float("inf")


#: Whoever asks on this machine, where no keys are asked for.
ANYBODY: Final = Caller("anybody", frozenset(SCOPES), per_s=float("inf"))


def signing_key(secret: bytes, purpose: str) -> bytes:
    """A key for one purpose, made of the signing secret: none tells of another, or of the secret.

    Returns:
        32 bytes.
    """
    return hmac.digest(secret, purpose.encode(), sha256)


class Access(NamedTuple):
    """What a process needs that lets somebody in.

    Attributes:
        required: whether a key is asked for.
        cursor_key: what cursors are signed with, 32 bytes.
    """

    guard: Guard
    required: bool
    cursor_key: bytes


async def open_access(settings: Settings, store: AccessStore) -> Access:
    """Read keys and secret, and see that nobody is let in who should not be.

    Raises:
        SettingsError: other machines reach the address that is listened on, and there is no key;
            or a secret of the settings is too short to be one.
    """
    for name in ("api_key", "signing_secret"):
        value = getattr(settings, name)
        if value and len(value) < LEAST_SECRET:
            raise SettingsError(
                f"{name.upper()} has {len(value)} characters, and {LEAST_SECRET} random ones are "
                "the least; make one: openssl rand -hex 32"
            )
    secret = settings.signing_secret.encode()
    if not secret:
        secret = await store.secret(secrets.token_hex(32).encode())
        remember(secret.decode(), SECRET)
    guard = Guard(store, Tokens(secret), settings.api_key, settings.rate_per_address)
    await guard.refresh()
    is_reached = settings.http_host not in LOOPBACK
    if is_reached and not guard.has_keys:
        raise SettingsError(
            f"HTTP_HOST={settings.http_host} is reached from other machines, and nobody has a key: "
            "make one with `freshgrid keys create NAME --scope read --scope events`, or set "
            "API_KEY (or API_KEY_FILE); or listen on HTTP_HOST=127.0.0.1"
        )
    required = is_reached or settings.require_keys or bool(settings.api_key)
    return Access(guard, required, signing_key(secret, "cursors"))


class Guard:
    """Knows the callers.

    Args:
        api_key: a key with all scopes that the settings give; empty for none.
        per_viewer_s: requests per second of a token.
    """

    def __init__(
        self, store: AccessStore, tokens: Tokens, api_key: str = "", per_viewer_s: float = 50.0
    ) -> None:
        self._store = store
        self.tokens = tokens
        self._per_viewer_s = per_viewer_s
        self._of_settings = digest_of(api_key) if api_key else None
        self._by_digest: dict[str, Caller] = {}
        self._by_id: dict[str, Caller] = {}
        self._seen: dict[bytes, Caller] = {}

    @property
    def has_keys(self) -> bool:
        """Whether anybody could be let in."""
        return bool(self._by_digest)

    async def refresh(self) -> None:
        """Read the keys.

        Raises:
            UnreachableError: the store does not answer.
        """
        self._learn(await self._store.keys())

    async def follow(self) -> None:
        """Read the keys again and again, until cancelled."""
        while True:
            await asyncio.sleep(REFRESH_S)
            try:
                await self.refresh()
            except UnreachableError as error:
                logger.warning("the keys known last stay: %s", error)

    def _learn(self, keys: Iterable[ApiKey]) -> None:
        found = {
            key.digest: Caller(
                f"key {key.name} ({key.key_id})",
                frozenset(key.scopes),
                key.key_id,
                per_s=key.per_s or RATE,
                until_s=float("inf") if key.expires_ms is None else key.expires_ms / 1000,
            )
            for key in keys
        }
        if self._of_settings is not None:
            found[self._of_settings] = Caller(
                f"key {OF_SETTINGS}", frozenset(SCOPES), OF_SETTINGS, per_s=float("inf")
            )
        if found != self._by_digest:
            self._by_digest = found
            self._by_id = {caller.key_id: caller for caller in found.values()}
            self._seen.clear()

    def caller(self, credential: bytes) -> Caller | None:
        """Whose key or token this is; None for nobody's, or one whose time is over."""
        known = self._seen.get(credential)
        if known is None:
            known = self._look(credential)
            if known is None:
                return None
            if len(self._seen) >= MOST_TOKENS:
                self._seen.clear()
            self._seen[credential] = known
        return known if known.until_s > time.time() else None

    def _look(self, credential: bytes) -> Caller | None:
        if len(credential) > MOST_BYTES:
            return None
        if b"." not in credential:
            # By its hash: how long the comparison takes tells nothing of a key.
            return self._by_digest.get(digest_of(credential.decode("latin-1")))
        claims = self.tokens.read(credential)
        if claims is None:
            return None
        until_s = float(claims.expires_s)
        if claims.key_id:
            # A token ends with the key that it was asked for with.
            of = self._by_id.get(claims.key_id)
            if of is None:
                return None
            until_s = min(until_s, of.until_s)
        return Caller(
            f"viewer {claims.viewer_id}",
            frozenset(claims.scopes),
            claims.key_id,
            claims.viewer_id,
            self._per_viewer_s,
            until_s,
        )
