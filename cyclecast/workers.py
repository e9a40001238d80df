"""Several processes of one service: members of the same group, started, watched and ended together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from types import FrameType

import structlog

from stream.settings import Settings, environment_name

log = structlog.get_logger()

_LOOK_S = 0.1
_DRAIN_S = 60.0


class Workers:
    """``count`` processes of ``cyclecast stream``. One that fails ends the rest; a signal ends all, cleanly.

    SIGHUP, which asks for the newest model, is passed on.
    """

    def __init__(self, settings: Settings, count: int, arguments: Sequence[str]) -> None:
        self.settings = settings
        self.count = count
        self.arguments = arguments
        self._processes: list[subprocess.Popen[bytes]] = []
        self._signal: int | None = None

    def run(self) -> int:
        """Returns when all have ended: 0, or 1 where one failed."""
        before = {number: signal.signal(number, self._on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
        # Inherited: a worker that is still starting is not ended by it, and loads the newest model anyway.
        before[signal.SIGHUP] = signal.signal(signal.SIGHUP, signal.SIG_IGN)
        try:
            self._processes = [self._start(index) for index in range(self.count)]
            signal.signal(signal.SIGHUP, lambda number, _frame: self._send(number))
            log.info("workers started", pids=[process.pid for process in self._processes])
            failed = self._watch()
        finally:
            self._end()
            for number, handler in before.items():
                signal.signal(number, handler)
        return 1 if failed else 0

    def _start(self, index: int) -> subprocess.Popen[bytes]:
        port = self.settings.http.port
        own = {environment_name("http.port"): str(port + index if port else 0)}
        if (name := self.settings.kafka.instance_id) is not None:
            own[environment_name("kafka.instance_id")] = f"{name}-{index + 1}"
        command = [sys.executable, "-m", "cyclecast", "stream", *self.arguments]
        # A process group of their own: Ctrl-C in a terminal comes here first, and from here once to each.
        return subprocess.Popen(command, env=os.environ | own, stdin=subprocess.DEVNULL, process_group=0)  # noqa: S603

    def _watch(self) -> bool:
        """Whether one failed. Returns when one did, or when all are done."""
        told = False
        while any(process.poll() is None for process in self._processes):
            if self._signal is not None and not told:
                told = True
                self._send(signal.SIGTERM)
            if self._any_failed():
                return True
            time.sleep(_LOOK_S)
        return self._any_failed()

    def _any_failed(self) -> bool:
        # One that is asked to end while it still loads its libraries has no handler yet, and nothing to drain.
        fine = (None, 0) if self._signal is None else (None, 0, -signal.SIGTERM)
        failed = [process for process in self._processes if process.poll() not in fine]
        for process in failed:
            log.error("a worker failed, ending the others", pid=process.pid, status=process.returncode)
        return bool(failed)

    def _end(self) -> None:
        self._send(signal.SIGTERM)
        deadline_s = time.monotonic() + _DRAIN_S
        for process in self._processes:
            try:
                process.wait(max(deadline_s - time.monotonic(), 0.0))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _send(self, number: int) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.send_signal(number)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._signal = number
