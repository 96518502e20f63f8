"""``freshgrid acls``: what each identity must be allowed at Kafka and Redis."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Annotated

import typer

from infra.errors import SettingsError
from infra.kafka_rights import allow
from streams.access_lists import IDENTITIES, kafka_rights, redis_rights
from streams.cli.common import Json, load_settings, show


def acls(
    identity: Annotated[
        str | None, typer.Argument(help=f"{', '.join(IDENTITIES)}; all without it.")
    ] = None,
    principal: Annotated[
        str | None, typer.Option(help="Its name at Kafka and Redis, if another.")
    ] = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Give the rights at Kafka, as who may, and end.")
    ] = False,
    json: Json = False,
) -> None:
    """The least rights of each identity, as kafka-acls.sh and ACL SETUSER take them."""
    if identity is not None and identity not in IDENTITIES:
        near = get_close_matches(identity, IDENTITIES, n=1) or IDENTITIES
        raise SettingsError(f"there is no identity {identity!r}; name {', '.join(near)}")
    if principal is not None and identity is None:
        raise SettingsError("--principal is the name of one identity; say of which")
    chosen = IDENTITIES if identity is None else (identity,)
    if apply:
        rights_of = {f"User:{principal or one}": kafka_rights(one) for one in chosen}
        show({"rights": allow(load_settings(), rights_of)}, as_json=json)
        return
    for one in chosen:
        rules = redis_rights(one)
        if json:
            rights = [right._asdict() for right in kafka_rights(one)]
            show({"identity": one, "kafka": rights, "redis": rules and rules.rules()}, as_json=True)
            continue
        name = principal or one
        print(f"# {one}")
        for right in kafka_rights(one):
            prefixed = " --resource-pattern-type prefixed" if right.prefixed else ""
            print(
                f"kafka-acls.sh --bootstrap-server $SERVER --add --allow-principal User:{name} "
                f"--operation {right.operation} --{right.resource} {right.name}{prefixed}"
            )
        if rules is not None:
            # In quotes: a shell would take the patterns for its own.
            quoted = " ".join(f"'{rule}'" for rule in rules.rules())
            print(f'valkey-cli ACL SETUSER {name} {quoted} ">$PASSWORD"')
