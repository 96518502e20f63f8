"""Who is let in: keys by their hashes, tokens by their signature, and nobody else."""

from __future__ import annotations

import base64
import json
import random
import time

import jwt
import pytest

from infra.access.guard import Guard, open_access
from infra.access.keys import SCOPES, ApiKey, new_key
from infra.access.rates import BURST_S, Rates
from infra.access.tokens import AUDIENCE, Tokens
from infra.config import Settings
from infra.errors import SettingsError
from infra.memory_store import MemoryAccess

SECRET = b"s" * 32
FORGED = 10_000


async def guard_with(*keys: ApiKey, api_key: str = "") -> tuple[Guard, MemoryAccess]:
    store = MemoryAccess()
    for key in keys:
        await store.add(key)
    guard = Guard(store, Tokens(SECRET), api_key)
    await guard.refresh()
    return guard, store


async def test_a_key_is_good_for_its_scopes_until_it_is_revoked() -> None:
    made = new_key("backend", ["events", "read"], 0)
    guard, store = await guard_with(made.key)
    caller = guard.caller(made.text.encode())
    assert caller is not None
    assert (caller.scopes, caller.viewer_id) == ({"read", "events"}, None)
    assert await store.revoke(made.key.key_id)
    await guard.refresh()
    assert guard.caller(made.text.encode()) is None


async def test_nothing_of_a_key_is_stored() -> None:
    made = new_key("backend", SCOPES, 0)
    _, store = await guard_with(made.key)
    secret = made.text.rpartition("_")[2]
    assert secret not in repr(await store.keys())


async def test_a_key_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    made = new_key("backend", ["read"], 0, expires_ms=int(time.time() * 1000) + 60_000)
    guard, _ = await guard_with(made.key)
    assert guard.caller(made.text.encode()) is not None
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 61)
    assert guard.caller(made.text.encode()) is None


@pytest.mark.parametrize("scopes", [[], ["write"], ["read", "all"]])
def test_a_key_has_scopes_that_exist(scopes: list[str]) -> None:
    with pytest.raises(SettingsError, match="read, events, admin"):
        new_key("backend", scopes, 0)


async def test_a_token_is_of_one_viewer_and_ends_with_its_key() -> None:
    made = new_key("backend", SCOPES, 0)
    guard, store = await guard_with(made.key)
    token = guard.tokens.issue("ann", SCOPES, made.key.key_id).encode()
    caller = guard.caller(token)
    assert caller is not None
    assert (caller.viewer_id, caller.scopes) == ("ann", {"read", "events"})
    await store.revoke(made.key.key_id)
    await guard.refresh()
    assert guard.caller(token) is None


async def test_forged_tokens_and_keys_are_refused() -> None:
    """Every kind of forgery, ten thousand in all; those of other secrets are well made."""
    made = new_key("backend", SCOPES, 0)
    guard, _ = await guard_with(made.key)
    good = guard.tokens.issue("ann", SCOPES, made.key.key_id)
    drawn = random.Random(0)
    assert [one for one in forgeries(good, made.text, drawn) if guard.caller(one)] == []


def forgeries(token: str, key: str, drawn: random.Random) -> list[bytes]:
    head, claims, signature = token.split(".")
    now = int(time.time())
    said = {"aud": AUDIENCE, "sub": "ann", "scope": "read", "iat": now, "exp": now + 60}

    def part(what: dict[str, object]) -> str:
        return base64.urlsafe_b64encode(json.dumps(what).encode()).decode().rstrip("=")

    made = [
        f"{part({'alg': 'none', 'typ': 'JWT'})}.{claims}.",
        f"{head}.{part(said | {'sub': 'bob'})}.{signature}",
        jwt.encode(said | {"exp": now - 1}, SECRET, "HS256"),
        jwt.encode(said | {"exp": now + 10**9}, SECRET, "HS256"),
        jwt.encode(said | {"aud": "else"}, SECRET, "HS256"),
        jwt.encode(said | {"key": "00000000"}, SECRET, "HS256"),
        jwt.encode({k: v for k, v in said.items() if k != "exp"}, SECRET, "HS256"),
        jwt.encode(said | {"sub": "x" * 129}, SECRET, "HS256"),
    ]
    while len(made) < FORGED:
        text = drawn.choice([token, key])
        at = drawn.randrange(len(text) - 2)
        other = drawn.choice([c for c in "ABCDxyz019_-" if c != text[at]])
        made += [
            text[:at] + other + text[at + 1 :],
            jwt.encode(said, drawn.randbytes(32), "HS256"),
            f"fgk_{drawn.randbytes(4).hex()}_{base64.urlsafe_b64encode(drawn.randbytes(32)).decode()}",
        ]
    return [one.encode() for one in made]


@pytest.mark.parametrize(
    ("fields", "required"),
    [
        ({}, False),
        ({"require_keys": True}, True),
        ({"api_key": "k" * 32}, True),
        ({"http_host": "0.0.0.0", "api_key": "k" * 32}, True),
        ({"http_host": "::", "api_key": "k" * 32}, True),
    ],
)
async def test_keys_are_asked_for_beyond_loopback(
    fields: dict[str, object], required: bool
) -> None:
    access = await open_access(Settings(**fields), MemoryAccess())
    assert access.required is required


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.7", "ranker"])
async def test_without_a_key_nobody_else_is_listened_to(host: str) -> None:
    with pytest.raises(SettingsError, match="freshgrid keys create"):
        await open_access(Settings(http_host=host), MemoryAccess())


async def test_a_short_secret_is_refused_without_being_said() -> None:
    with pytest.raises(SettingsError, match="SIGNING_SECRET has 7 characters") as caught:
        await open_access(Settings(signing_secret="hunter2"), MemoryAccess())
    assert "hunter2" not in str(caught.value)


def test_a_rate_lets_through_what_it_says() -> None:
    now = 0.0
    rates = Rates(clock=lambda: now)
    taken = sum(rates.wait_s("ann", 10.0) == 0.0 for _ in range(1000))
    assert taken == 10 * BURST_S
    assert rates.wait_s("bob", 10.0) == 0.0
    for second in range(1, 101):
        now = float(second)
        taken += sum(rates.wait_s("ann", 10.0) == 0.0 for _ in range(50))
    assert taken == 10 * (BURST_S + 100)


def test_rates_are_kept_of_so_many_at_most() -> None:
    rates = Rates(most=100, clock=lambda: 0.0)
    for number in range(1000):
        rates.wait_s(f"{number}", 10.0)
    assert len(rates) <= 100
