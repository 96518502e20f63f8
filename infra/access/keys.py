"""API keys: random, named, of some scopes, stored as a hash alone.

A key has 256 random bits, so a plain SHA-256 of it cannot be turned back, and is cheap enough for
every request. The text of a key is shown once, when it is made.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from hashlib import sha256
from typing import Final, Literal, NamedTuple, get_args

import msgspec

from infra.errors import SettingsError

#: What a key may be good for: asking, sending what producers send, changing what is served.
Scope = Literal["read", "events", "admin"]
SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)
#: Begins every key, so that one in a text can be found and masked.
PREFIX: Final = "fgk_"
#: Requests per second of a key that has no number of its own.
RATE: Final = 2_000.0
MOST_NAME: Final = 64


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key as it is stored.

    Attributes:
        key_id: 8 hexadecimal digits, a part of the key: names it in lists, logs and tokens.
        name: by which people know it.
        digest: SHA-256 of the key, hexadecimal.
        expires_ms: not valid from then on, epoch ms; null: until revoked.
        per_s: requests per second; null for :data:`RATE`.
    """

    key_id: str
    name: str
    digest: str
    scopes: list[Scope]
    created_ms: int
    expires_ms: int | None = None
    per_s: float | None = None


class NewKey(NamedTuple):
    """A key that was just made, and its text, which is stored nowhere."""

    key: ApiKey
    text: str


def digest_of(text: str) -> str:
    """What is stored of a key."""
    return sha256(text.encode()).hexdigest()


def new_key(
    name: str,
    scopes: Iterable[str],
    now_ms: int,
    *,
    expires_ms: int | None = None,
    per_s: float | None = None,
) -> NewKey:
    """Make a key.

    Raises:
        SettingsError: it has no name, no scope, or one that does not exist.
    """
    given = set(scopes)
    if unknown := sorted(given - set(SCOPES)):
        raise SettingsError(f"scope {unknown[0]!r} is none; take some of {', '.join(SCOPES)}")
    if not given:
        raise SettingsError(f"a key without a scope opens nothing; take of {', '.join(SCOPES)}")
    if not name.strip() or len(name) > MOST_NAME:
        raise SettingsError(f"a key's name has 1 to {MOST_NAME} characters; this has {len(name)}")
    if per_s is not None and not per_s > 0:
        raise SettingsError(f"{per_s:g} requests per second are none; take a positive number")
    key_id = secrets.token_hex(4)
    text = f"{PREFIX}{key_id}_{secrets.token_urlsafe(32)}"
    key = ApiKey(
        key_id=key_id,
        name=name.strip(),
        digest=digest_of(text),
        scopes=[scope for scope in SCOPES if scope in given],
        created_ms=now_ms,
        expires_ms=expires_ms,
        per_s=per_s,
    )
    return NewKey(key, text)
