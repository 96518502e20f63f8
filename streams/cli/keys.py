"""``freshgrid keys``: who may ask over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.cli.common import Json, console, load_settings, show

if TYPE_CHECKING:
    from infra.access.keys import ApiKey

keys = typer.Typer(no_args_is_help=True, help="API keys: who may ask over HTTP, and for what.")


@keys.command("create")
def create(
    name: Annotated[str, typer.Argument(help="By which people know it.")],
    scope: Annotated[list[str], typer.Option(help="read, events or admin; once for each.")],
    days: Annotated[
        float | None, typer.Option(help="Valid for so many days; until revoked by default.")
    ] = None,
    per_second: Annotated[
        float | None, typer.Option(help="Requests per second, 2000 by default.")
    ] = None,
    json: Json = False,
) -> None:
    """Make a key and print it, this once: only its hash is stored."""
    import asyncio

    from infra.access.keys import new_key
    from infra.errors import SettingsError
    from streams.clock import now_ms

    if days is not None and not days > 0:
        raise SettingsError(f"--days {days:g} is no time to come; leave it out for no end")
    now = now_ms()
    until = None if days is None else now + int(days * 86_400_000)
    made = new_key(name, scope, now, expires_ms=until, per_s=per_second)
    asyncio.run(_store(made.key))
    report = {"key": made.text, **_told(made.key)}
    # The one place that says a key: past the mask of all output.
    _say_unmasked(report, as_json=json)


@keys.command("list")
def list_keys(json: Json = False) -> None:
    """All keys: name, scopes, until when; never the keys themselves."""
    import asyncio

    report = [_told(key) for key in asyncio.run(_stored())]
    if json:
        show({"keys": report}, as_json=True)
        return
    from rich.table import Table

    from streams.log.dead_letters import time_text

    table = Table(box=None, pad_edge=False)
    for column in ("id", "name", "scopes", "created (UTC)", "until", "requests/s"):
        table.add_column(column)
    for key in report:
        table.add_row(
            key["id"],
            key["name"],
            ", ".join(key["scopes"]),
            time_text(key["created_ms"]),
            "it is revoked" if key["expires_ms"] is None else time_text(key["expires_ms"]),
            f"{key['per_second']:g}",
        )
    console().print(table if report else "there are no keys yet; freshgrid keys create makes one")


@keys.command("revoke")
def revoke(key_id: Annotated[str, typer.Argument(help="From list.")], json: Json = False) -> None:
    """Take a key away, and every token asked for with it: within two seconds everywhere."""
    import asyncio

    from infra.errors import SettingsError

    if not asyncio.run(_revoke(key_id)):
        raise SettingsError(f"there is no key {key_id!r}; freshgrid keys list has them all")
    show({"revoked": key_id}, as_json=json)


def _told(key: ApiKey) -> dict[str, Any]:
    from infra.access.keys import RATE

    return {
        "id": key.key_id,
        "name": key.name,
        "scopes": list(key.scopes),
        "created_ms": key.created_ms,
        "expires_ms": key.expires_ms,
        "per_second": key.per_s or RATE,
    }


def _say_unmasked(report: dict[str, Any], *, as_json: bool) -> None:
    import sys

    import msgspec

    out: Any = sys.__stdout__
    if as_json:
        text = msgspec.json.encode(report).decode()
    else:
        text = (
            f"{report['key']}\n\nkey {report['id']} ({report['name']}), good for "
            f"{', '.join(report['scopes'])}; keep it now, it is not stored. Send it as\n"
            "Authorization: Bearer KEY"
        )
    out.write(text + "\n")
    out.flush()


async def _store(key: ApiKey) -> None:
    from infra.open_stores import open_stores

    async with open_stores(load_settings()) as stores:
        await stores.access.add(key)


async def _stored() -> list[ApiKey]:
    from infra.open_stores import open_stores

    async with open_stores(load_settings()) as stores:
        return await stores.access.keys()


async def _revoke(key_id: str) -> bool:
    from infra.open_stores import open_stores

    async with open_stores(load_settings()) as stores:
        return await stores.access.revoke(key_id)
