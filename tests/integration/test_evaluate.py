"""Labels as the running log has them."""

import asyncio

import msgspec

from infra.batch_sender import send_in_batches
from infra.config import Settings
from infra.embedded import embedded_kafka
from infra.kafka import Message, prepare_cluster
from models.events import ACCOUNTS_TOPIC
from streams.recorded.evaluate_embeddings import logged_labels


def account(account_id: str, *topics: str) -> Message:
    value = msgspec.json.encode({"account_id": account_id, "topics": topics})
    return Message(ACCOUNTS_TOPIC, account_id, value)


def test_the_newest_label_of_each_account_counts_and_deleted_ones_have_none() -> None:
    records = [
        account("a", "cats", "dogs"),
        account("b", "cars"),
        account("c", "food"),
        account("d", "food"),
        Message(ACCOUNTS_TOPIC, "e", b"no account"),
        account("b", "boats"),
        account("c"),
        Message(ACCOUNTS_TOPIC, "d", None),
    ]
    with embedded_kafka() as kafka:
        settings = Settings(kafka_bootstrap_servers=kafka, partitions=2)
        asyncio.run(prepare_cluster(settings))
        assert asyncio.run(logged_labels(settings)) == {}
        asyncio.run(send_in_batches(settings, records))
        assert asyncio.run(logged_labels(settings)) == {"a": "cats", "b": "boats"}
