"""The service as it is deployed: ended by anything, and started again."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable

from stream.settings import Settings
from tests.service import StreamProcess


class Pod:
    """``cyclecast stream`` under a supervisor that starts it again whenever it ends unasked; then without a fault."""

    def __init__(self, settings: Settings, fault: str | None, on_death: Callable[[Pod, int], None]) -> None:
        self.settings = settings
        self.fault = fault
        self.wanted = True
        self.code: int | None = None
        self.log = ""
        self._process: StreamProcess | None = None
        self._on_death = on_death

    @property
    def pid(self) -> int | None:
        """Of the process, if there is one at this moment."""
        return None if self._process is None else self._process.pid

    async def run(self) -> None:
        """Until it is no longer wanted."""
        while self.wanted:
            async with StreamProcess(self.settings, fault=self.fault) as self._process:
                if not self.wanted:  # asked while it was not there
                    self._process.send(signal.SIGTERM)
                self.code = await self._process.ended(None)
            self.log += self._process.log
            if self.wanted:
                self._on_death(self, self.code)
            self.fault = None

    def kill(self, *, for_good: bool) -> None:
        """SIGKILL: this life ends by that, and not by its fault."""
        self.wanted = not for_good
        self.fault = None
        self.send(signal.SIGKILL)

    def leave(self) -> None:
        """SIGTERM: it drains, and is not started again."""
        self.wanted = False
        self.send(signal.SIGTERM)

    def send(self, number: signal.Signals) -> None:
        """Sends a signal to the process, if there is one at this moment."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send(number)
