"""Rights at Kafka: access control lists, as whoever runs the cluster gives them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from infra.config import Settings


class Allowed(NamedTuple):
    """One right at Kafka.

    Attributes:
        resource: ``topic`` or ``group``.
        prefixed: `name` is the beginning of names.
        operation: as Kafka calls it.
    """

    resource: str
    name: str
    prefixed: bool
    operation: str


def allow(settings: Settings, rights_of: Mapping[str, Sequence[Allowed]]) -> int:
    """Add rights to those that principals have, from any host; returns how many were asked for.

    Adding one that is there changes nothing.

    Args:
        rights_of: principal, as Kafka writes it (``User:worker``) → rights.

    Raises:
        SettingsError: the settings of the connection cannot be used.
        UnreachableError: no broker answers, or these settings are not those of who may do that.
    """
    # Imported here: the command line knows of rights without connecting anywhere.
    from kafka.admin import (
        ACL,
        ACLOperation,
        ACLPermissionType,
        ACLResourcePatternType,
        ResourcePattern,
        ResourceType,
    )
    from kafka.errors import KafkaError

    from infra.errors import UnreachableError, reason_of
    from infra.kafka_clients import plain_admin
    from infra.refusals import kafka_unreachable

    lists = [
        ACL(
            principal=principal,
            host="*",
            operation=ACLOperation[right.operation.upper()],
            permission_type=ACLPermissionType.ALLOW,
            resource_pattern=ResourcePattern(
                ResourceType[right.resource.upper()],
                right.name,
                ACLResourcePatternType["PREFIXED" if right.prefixed else "LITERAL"],
            ),
        )
        for principal, rights in rights_of.items()
        for right in rights
    ]
    try:
        admin = plain_admin(settings)
        try:
            failed = admin.create_acls(lists)["failed"]
        finally:
            admin.close()
    except (KafkaError, OSError) as error:
        raise kafka_unreachable(settings, "takes no rights", error) from error
    if failed:
        # The client names kinds of errors here, and raises none.
        [refusal, *_] = failed
        raise UnreachableError(
            f"Kafka at {settings.kafka_bootstrap_servers} lets "
            f"{settings.kafka_username or 'this client'} give no rights ({reason_of(refusal())}); "
            "come as one of its super.users, or as who has Alter of the cluster"
        )
    return len(lists)
