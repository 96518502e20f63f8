"""When retention has taken what stands in topics now."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any, Final

from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError

from infra.config import Settings
from infra.kafka import ADMIN_TIMEOUT_MS
from infra.kafka_clients import kafka_admin
from infra.kafka_waiting import connect

#: A broker looks for what is to go every five minutes, and deletes files a minute later.
_LOOKS_MS: Final = 6 * 60_000
RETENTION: Final = "retention.ms"
SEGMENT: Final = "segment.ms"

logger = logging.getLogger(__name__)


async def kept_until(
    settings: Settings, topics: Iterable[str], now_ms: int
) -> dict[str, int | None]:
    """Topic → when the last record that stands in it now is gone, epoch ms.

    A record goes with its segment, which takes records for ``segment.ms`` and is deleted
    ``retention.ms`` after the newest of them. None where the topic keeps for ever, or the broker
    does not say.
    """
    names = list(topics)
    admin = kafka_admin(settings, request_timeout_ms=ADMIN_TIMEOUT_MS)
    try:
        await connect(admin)
        resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
        answers: list[Any] = await admin.describe_configs(resources)
    except (KafkaError, OSError) as error:
        logger.warning("Kafka does not tell how long topics keep records: %s", error)
        return dict.fromkeys(names)
    finally:
        await admin.close()
    found = {
        resource[3]: {entry[0]: entry[1] for entry in resource[4]}
        for answer in answers
        for resource in answer.resources
    }
    return {name: _until_ms(found.get(name, {}), now_ms) for name in names}


def _until_ms(config: dict[str, str | None], now_ms: int) -> int | None:
    try:
        retention, segment = int(config[RETENTION] or -1), int(config[SEGMENT] or -1)
    except (KeyError, ValueError):
        return None
    if retention < 0 or segment < 0 or config.get("cleanup.policy") == "compact":
        return None
    return now_ms + segment + retention + _LOOKS_MS
