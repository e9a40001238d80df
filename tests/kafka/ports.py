"""Ports for whoever goes down and comes back: nobody else is given one in between."""

from __future__ import annotations

import random
import socket

from stream.kafka.broker import HOST

BELOW_THOSE_GIVEN_UNASKED = range(10_000, 32_768)  # Linux gives those from 32768 on to whoever names none


def own_ports(count: int) -> list[int]:
    """Free TCP ports that are this process's until it ends, whether it listens on them or not.

    A UDP socket on the same number, which is left open, says to every other process that asks here: it is taken.
    """
    ports: list[int] = []
    chance = random.SystemRandom()  # not the tests' own: it begins alike in all processes that share them
    while len(ports) < count:
        port = chance.choice(BELOW_THOSE_GIVEN_UNASKED)
        with socket.socket(type=socket.SOCK_DGRAM) as mark, socket.socket() as probe:
            try:
                mark.bind((HOST, port))
                probe.bind((HOST, port))
            except OSError:
                continue
            mark.detach()
            ports.append(port)
    return ports
