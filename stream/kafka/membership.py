"""A member's place in the consumer group where it has a name of its own (``kafka.instance_id``): a static member."""

from __future__ import annotations

from typing import Any

from aiokafka.errors import BrokerResponseError, KafkaError, kafka_errors

from stream.errors import Fatal


class FencedInstanceId(BrokerResponseError):  # type: ignore[misc]  # noqa: N818 - Kafka's own word
    """Another process joined the group under this one's name. The client does not know the code."""

    errno = 82
    message = "FENCED_INSTANCE_ID"


kafka_errors.setdefault(FencedInstanceId.errno, FencedInstanceId)


def keep_name(consumer: Any) -> None:
    """Lets a static member whom the broker does not recognize join under its old member id before it takes a new one.

    The client's heartbeats do not carry the instance id, so that they hear the same answer whether a member's session
    ran out or another took its place. The client would join anew in both cases; in the second it would throw the
    other out, and be thrown out by it, for ever. Asked under the old member id, a join tells the two apart: the broker
    has forgotten it (then it may join anew), or it is fenced, which `cannot_go_on` explains.
    """
    coordinator = consumer._coordinator
    forget = coordinator.reset_generation

    def reset_generation() -> None:
        if coordinator._heartbeat_task is None:  # while joining: this is the answer
            forget()
        else:
            coordinator.generation = -1
            coordinator.request_rejoin()

    coordinator.reset_generation = reset_generation


def cannot_go_on(error: KafkaError, group: str, instance_id: str | None) -> Fatal:
    """What a consumer's error means to a person. The client wraps what the broker said, as text."""
    if FencedInstanceId.__name__ in repr(error):
        return Fatal(
            f"another process joined group {group!r} as kafka.instance_id {instance_id!r} and took this one's place: "
            "give each process a name of its own"
        )
    return Fatal(f"the consumer of group {group!r} cannot go on: {error!r}")
