"""What can happen to the disk under a broker."""

from __future__ import annotations

import os
import random
import resource
from pathlib import Path

RAFT_LOG = "__cluster_metadata-0"  # the one log that Kafka writes through before it answers


def fill(pid: int, data: Path, chance: random.Random) -> int:
    """One of the broker's logs may grow a little, those that are longer not at all. Returns the limit in bytes.

    As on a full disk, a write is cut short or fails; it is the kernel's limit on file sizes, and needs no privileges.
    """
    limit = chance.choice(sorted(size for log in data.glob("*/*.log") if (size := log.stat().st_size)))
    limit += chance.randint(0, 4096)
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (limit, hard))
    return limit


def lose_unwritten(data: Path, chance: random.Random) -> int:
    """As after a power failure: each log of a dead broker ends somewhere earlier, and nothing of it is in memory.

    Returns the bytes that were lost. A broker that replicates answers before its disk has what it was given.
    """
    lost = 0
    for log in sorted(data.glob("*/*.log")):
        size = log.stat().st_size
        if size and log.parent.name != RAFT_LOG:
            kept = chance.randint(size // 2, size)
            os.truncate(log, kept)
            lost += size - kept
    for file in data.rglob("*"):
        if file.is_file():
            descriptor = os.open(file, os.O_RDONLY)
            try:
                os.fsync(descriptor)
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(descriptor)
    return lost
