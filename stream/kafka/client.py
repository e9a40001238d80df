"""How this process reaches the broker: addresses, encryption, identity, and patience while it is away."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator
from ssl import SSLError
from typing import Any, Protocol, TypeVar

import structlog
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    NodeNotReadyError,
    RequestTimedOutError,
)
from aiokafka.helpers import create_ssl_context

from stream.errors import Retry
from stream.settings import KafkaSettings

log = structlog.get_logger()

RETRY_S = 1.0
STOP_S = 10.0


class Client(Protocol):
    """A consumer, a producer or an admin client: started once, stopped once."""

    async def start(self) -> None:
        """Connects."""


Started = TypeVar("Started", bound=Client)
Result = TypeVar("Result")

# Another node may answer, or the same one a moment later.
AWAY = (KafkaConnectionError, NodeNotReadyError, RequestTimedOutError, KafkaTimeoutError, OSError)


def connection(settings: KafkaSettings) -> dict[str, Any]:
    """The keyword arguments that every client of ``aiokafka`` takes to reach the broker."""
    security = settings.security
    arguments: dict[str, Any] = {
        "bootstrap_servers": settings.bootstrap,
        "security_protocol": security.protocol,
        "request_timeout_ms": 30_000,
    }
    if security.protocol in ("SSL", "SASL_SSL"):
        arguments["ssl_context"] = create_ssl_context(
            cafile=security.ca_file and str(security.ca_file),
            certfile=security.cert_file and str(security.cert_file),
            keyfile=security.key_file and str(security.key_file),
        )
    if security.protocol.startswith("SASL"):
        arguments["sasl_mechanism"] = security.sasl_mechanism
        arguments["sasl_plain_username"] = security.username
        arguments["sasl_plain_password"] = security.password and security.password.get_secret_value()
    return arguments


async def patiently(
    attempt: Callable[[], Awaitable[Result]], bootstrap: str, patience_s: float | None = None
) -> Result:
    """What ``attempt`` returns. Tries again while a broker is away; after ``patience_s``, if given, raises `Retry`."""
    loop = asyncio.get_running_loop()
    begin_s = loop.time()
    waiting = False
    while True:
        try:
            return await attempt()
        except AWAY as error:
            if patience_s is not None and loop.time() - begin_s >= patience_s:
                raise Retry(_told(error, bootstrap)) from error
            if not waiting:
                log.warning("waiting for the broker", bootstrap=bootstrap, error=str(error))
                waiting = True
            await asyncio.sleep(RETRY_S)


def _told(error: Exception, bootstrap: str) -> str:
    if isinstance(error, SSLError):  # of files here: what a broker says of them comes as an error of the connection
        return f"kafka.security.ca_file, cert_file or key_file cannot be used ({error}); give files in PEM form"
    why = "" if "Unable to bootstrap" in str(error) else f" ({error})"  # that only tells the address again
    return (
        f"no Kafka broker answers at {bootstrap}{why}; start one (`cyclecast broker`, or docker compose up), "
        "or name another with --bootstrap HOST:PORT"
    )


async def started(make: Callable[[], Started], bootstrap: str, patience_s: float | None = None) -> Started:
    """A started client; see `patiently` for what happens while the broker is away."""

    async def start() -> Started:
        client = make()
        try:
            await client.start()
        except BaseException:
            await stopped(client)
            raise
        return client

    return await patiently(start, bootstrap, patience_s)


async def stopped(client: Any) -> None:
    """Ends a client, whatever state it and its broker are in.

    A consumer waits for the fetches that it cancels, and while its broker is away hears of the cancelling itself: that
    is not meant for who ends it.
    """
    end = getattr(client, "stop", None) or client.close
    ending = asyncio.ensure_future(end())
    try:
        await asyncio.wait([ending], timeout=STOP_S)
    finally:
        ending.cancel()
    await asyncio.wait([ending])
    error = asyncio.CancelledError() if ending.cancelled() else ending.exception()
    if isinstance(error, KafkaError | asyncio.CancelledError):
        log.warning("a client did not end cleanly", error=repr(error))
    elif error is not None:
        raise error


@contextlib.contextmanager
def quiet_sender() -> Iterator[None]:
    """The client logs a broker's refusal as an error of its own; here it is an answer."""
    logger = logging.getLogger("aiokafka.producer.sender")
    logger.disabled = True
    try:
        yield
    finally:
        logger.disabled = False
