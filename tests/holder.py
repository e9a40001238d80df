"""Who keeps no state: for tests of a source alone."""

from __future__ import annotations

from collections.abc import Collection

from stream.seams import Partition


class NoState:
    """Takes partitions and gives them back."""

    def held(self, _: Partition) -> int | None:
        return None

    async def free(self, partitions: Collection[Partition], within_s: float | None = None) -> Collection[Partition]:
        return partitions

    async def acquire(self, _: Partition) -> int | None: ...

    async def restore(self, _: Partition, committed: int) -> int | None:
        return committed

    async def release(self, _: Collection[Partition]) -> None: ...

    def discard(self, _: Collection[Partition]) -> None: ...
