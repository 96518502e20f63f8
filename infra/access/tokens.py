"""Tokens of one viewer: short-lived JSON Web Tokens (HS256) that a browser may hold.

A backend asks for one with its key, or signs it itself with the signing secret: it is a plain JWT.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Final, NamedTuple

import jwt

from infra.access.keys import Scope
from models.events import MAX_ID_BYTES

AUDIENCE: Final = "freshgrid"
_ALGORITHM: Final = "HS256"
#: What a token may be good for; what changes what is served is for keys.
TOKEN_SCOPES: Final[tuple[Scope, ...]] = ("read", "events")
DEFAULT_S: Final = 15 * 60
MOST_S: Final = 24 * 3600
#: Bytes of a token at most: what is longer is not looked at.
MOST_BYTES: Final = 2_048


class Claims(NamedTuple):
    """What a token says.

    Attributes:
        key_id: of the key that it was asked for with; empty where the secret alone signed it.
        expires_s: epoch seconds.
    """

    viewer_id: str
    scopes: tuple[Scope, ...]
    key_id: str
    expires_s: int


class Tokens:
    """Signs and reads tokens.

    Args:
        secret: 32 bytes or more, the same in every process that answers.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def issue(
        self, viewer_id: str, scopes: Collection[str], key_id: str, lives_s: int = DEFAULT_S
    ) -> str:
        """A token of one viewer.

        Args:
            scopes: those of :data:`TOKEN_SCOPES` among them are what it is good for.
            lives_s: seconds, :data:`MOST_S` at most.
        """
        now_s = int(time.time())
        claims = {
            "aud": AUDIENCE,
            "sub": viewer_id,
            "scope": " ".join(scope for scope in TOKEN_SCOPES if scope in scopes),
            "key": key_id,
            "iat": now_s,
            "exp": now_s + min(lives_s, MOST_S),
        }
        return jwt.encode(claims, self._secret, _ALGORITHM)

    def read(self, text: bytes) -> Claims | None:
        """What a token says; None for one that was not signed by us, is over, or says nonsense."""
        if len(text) > MOST_BYTES or text.count(b".") != 2:
            return None
        try:
            claims = jwt.decode(
                text,
                self._secret,
                [_ALGORITHM],
                audience=AUDIENCE,
                options={"require": ["exp", "iat", "sub", "aud"]},
            )
        except jwt.InvalidTokenError:
            return None
        viewer_id, key_id, granted = claims["sub"], claims.get("key", ""), claims.get("scope", "")
        if not (isinstance(key_id, str) and isinstance(granted, str)):
            return None
        if not 0 < len(viewer_id.encode()) <= MAX_ID_BYTES:
            return None
        # Whoever has the secret might sign one for ever.
        if claims["exp"] - claims["iat"] > MOST_S:
            return None
        words = granted.split()
        scopes = tuple(scope for scope in TOKEN_SCOPES if scope in words)
        return Claims(viewer_id, scopes, key_id, int(claims["exp"]))
