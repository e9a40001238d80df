"""The network between a pod and the broker stalls and breaks: every prediction is readable exactly once."""

from __future__ import annotations

from tests.chaos.stage import Stage
from tests.kafka.cluster import KafkaNode
from tests.kafka.proxy import Proxy

WAYS = {"there": (True, False), "back": (False, True), "both ways": (True, True)}


async def test_committed_output_equals_clean_run_after_stalls_and_cuts_of_the_network(
    stage: Stage, node: KafkaNode
) -> None:
    async with Proxy(*node.detour) as network:
        stage.pods(None)
        stage.pods(None, through=network)
        await stage.feed(over_s=20)
        for way in stage.chance.sample(sorted(WAYS), 2):
            there, back = WAYS[way]
            with stage.fault(f"stall {way}"):
                network.stall(there=there, back=back)
                await stage.pause(1, 6)  # the session ends after 3 s
                network.flow()
            await stage.progress()
        with stage.fault("stall both ways, then cut"):
            network.stall(there=True, back=True)
            await stage.pause(0, 4)
            network.cut()
            network.flow()
        await stage.progress()
        await stage.agrees()
