"""One record through the Kafka module of Testcontainers. Argument: confluent's image."""

import sys

from kafka import KafkaConsumer, KafkaProducer
from kafka.admin import KafkaAdminClient, NewTopic
from testcontainers.community.kafka import KafkaContainer

TOPIC = "greetings"
PATIENCE_MS = 30_000


def echo(servers: str, value: str) -> str:
    """The record as it comes back to a member of a group."""
    admin = KafkaAdminClient(bootstrap_servers=servers)
    admin.create_topics([NewTopic(TOPIC, num_partitions=1, replication_factor=1)])
    admin.close()
    producer = KafkaProducer(bootstrap_servers=servers)
    producer.send(TOPIC, value.encode()).get(timeout=PATIENCE_MS / 1000)
    producer.close()
    consumer = KafkaConsumer(
        TOPIC,
        bootstrap_servers=servers,
        group_id="readers",
        auto_offset_reset="earliest",
        consumer_timeout_ms=PATIENCE_MS,
    )
    received = next(consumer).value.decode()
    consumer.close()
    return received


def main() -> None:
    for container in [KafkaContainer(sys.argv[1]).with_kraft(), KafkaContainer(sys.argv[1])]:
        with container:
            print(f"KafkaContainer: {echo(container.get_bootstrap_server(), 'hello from Python')}")


main()
