"""Three brokers of Apache Kafka, each a controller as well, so that one of them may be lost."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Self

from infra.embedded import HOST
from tests.kafka.apache_kafka import ApacheKafka, lasting_port, new_cluster_id

NODES: Final = 3
#: Three of them beside everything else on a small machine.
HEAP: Final = "-Xmx256m"
#: What Freshgrid asks of a cluster; groups and their offsets must outlive a broker as well.
REPLICATED: Final = {
    "offsets.topic.replication.factor": "3",
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
    "min.insync.replicas": "2",
    # Of 10 s: nobody else leads a lost broker's partitions before.
    "controller.quorum.election.timeout.ms": "500",
    "controller.quorum.fetch.timeout.ms": "1000",
}


class KafkaCluster:
    """A context manager: formats the brokers, starts them together, and ends them.

    Attributes:
        brokers: each can be killed and started again.
        bootstrap_servers: of all of them.
    """

    def __init__(self, folder: Path) -> None:
        controllers = [lasting_port() for _ in range(NODES)]
        ports = [lasting_port() for _ in range(NODES)]
        voters = ",".join(f"{at + 1}@{HOST}:{port}" for at, port in enumerate(controllers))
        cluster_id = new_cluster_id()
        self.brokers = [
            ApacheKafka(
                folder / f"node-{at + 1}",
                port,
                {
                    **REPLICATED,
                    "node.id": str(at + 1),
                    "controller.quorum.voters": voters,
                    "listeners": f"PLAINTEXT://{HOST}:{port},CONTROLLER://{HOST}:{controller}",
                },
                cluster_id=cluster_id,
                heap=HEAP,
            )
            for at, (port, controller) in enumerate(zip(ports, controllers, strict=True))
        ]
        self.bootstrap_servers = ",".join(broker.bootstrap_servers for broker in self.brokers)

    def __enter__(self) -> Self:
        for broker in self.brokers:
            broker.begin()
        for broker in self.brokers:
            broker.wait_ready()
        return self

    def __exit__(self, *_: object) -> None:
        # What they hold ends with them: nobody waits for three brokers to hand over to each other.
        for broker in self.brokers:
            if broker.pid is not None:
                broker.kill()
