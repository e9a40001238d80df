"""The only broker dies: nothing can be done for a while, and then everything goes on."""

from __future__ import annotations

from tests.chaos.stage import Stage
from tests.kafka.cluster import KafkaNode


async def test_committed_output_equals_clean_run_after_the_only_broker_was_killed(
    stage: Stage, node: KafkaNode
) -> None:
    stage.pods(None)
    await stage.feed(over_s=12)
    await stage.pause(0, 2)
    async with stage.down(node):
        await stage.pause(0.5, 5)
    await stage.progress()
    await stage.agrees()
