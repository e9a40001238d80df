"""A new model in the place of the old while the stream runs: loaded beside it, checked, warmed, swapped in between
batches. Whatever is wrong with the new one, the old one stays.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence

import numpy as np
import structlog

from model.artifact import MANIFEST, WEIGHTS, Artifact, ArtifactError, Manifest, load, read_manifest, resolve
from model.predictor import Predictor
from stream.telemetry import Telemetry

log = structlog.get_logger()

LOOK_S = 2.0
# What windows are made of, and what subscribers were promised: a model that differs here is not a newer one.
WINDOWS = ("steps", "channels", "window")
ANSWERS = ("targets", "quantiles", "eol_soh")

Swap = Callable[[Predictor, Callable[[Exception], None]], Awaitable[None]]


class Reloader:
    """Watches an artifact's folder, and listens to `request`.

    ``warmed`` makes a predictor of an artifact, ready to answer; it and all reading run on a thread. ``swap`` is
    `stream.runner.ModelRunner.swap`. A folder that changed is read when it looked the same twice: until then it may
    still be being copied.
    """

    def __init__(
        self, path: str, manifest: Manifest, warmed: Callable[[Artifact], Predictor], swap: Swap, telemetry: Telemetry
    ) -> None:
        self.path = path
        self.manifest = manifest
        self.warmed = warmed
        self.swap = swap
        self.telemetry = telemetry
        self._asked = asyncio.Event()
        self._seen: object = None
        self._tried: object = None

    def request(self) -> None:
        """Reads the folder at once, changed or not."""
        self._asked.set()

    async def run(self) -> None:
        """Looks again and again until cancelled."""
        while True:
            try:
                await asyncio.wait_for(self._asked.wait(), LOOK_S)
            except TimeoutError:
                await self._look()
            else:
                self._asked.clear()
                await self.reload()

    async def _look(self) -> None:
        seen = await asyncio.to_thread(_look_of, self.path)
        settled, self._seen = seen == self._seen, seen
        if settled and seen is not None and seen != self._tried:
            self._tried = seen
            await self.reload()

    async def reload(self) -> None:
        """Loads what lies in the folder, and lets it answer if it can; says what came of it."""
        try:
            manifest = await asyncio.to_thread(read_manifest, resolve(self.path))
            if manifest.sha256 == self.manifest.sha256:
                return self._ended("unchanged", model=manifest.model_id)
            if reason := incompatible(self.manifest, manifest):
                return self._ended("refused", model=manifest.model_id, reason=reason)
            artifact = await asyncio.to_thread(load, self.path)
            predictor = await asyncio.to_thread(self._proved, artifact)
        except ArtifactError as error:
            return self._ended("refused", reason=str(error))
        except Exception as error:  # noqa: BLE001 - whatever is wrong with a new model must not end what runs
            return self._ended("failed", reason=repr(error))
        former = self.manifest
        await self.swap(predictor, lambda error: self._restored(former, error))
        self._answers(artifact.manifest)
        return self._ended("ok", model=artifact.model_id, former=former.model_id)

    def _proved(self, artifact: Artifact) -> Predictor:
        """The artifact's predictor, warm, once it gave finite answers to windows that show nothing, and to zeros."""
        manifest = artifact.manifest
        predictor = self.warmed(artifact)
        windows = np.full((2, manifest.window, len(manifest.channels)), np.nan, np.float32)
        windows[1] = 0
        if not np.isfinite(predictor.predict(windows, 2)).all():
            raise ValueError(f"{artifact.model_id} gives answers that are not finite")
        return predictor

    def _restored(self, former: Manifest, error: Exception) -> None:
        self._answers(former)
        self._ended("failed", model=former.model_id, reason=f"the new model failed on its first batch: {error!r}")

    def _answers(self, manifest: Manifest) -> None:
        self.manifest = manifest
        self.telemetry.model_is(manifest.model_id)

    def _ended(self, result: str, **details: str) -> None:
        self.telemetry.model_reloads.labels(result).inc()
        if result in ("refused", "failed"):
            log.error(f"new model {result}: the former one stays", **details)
        else:
            log.info("model swapped" if result == "ok" else "model unchanged", **details)


def incompatible(old: Manifest, new: Manifest, fields: Sequence[str] = WINDOWS + ANSWERS) -> str | None:
    """Why ``new`` cannot take the place of ``old`` in a running stream; nothing where it can."""
    for name in fields:
        was, would_be = getattr(old, name), getattr(new, name)
        if was != would_be:
            return f"{name} is {would_be}, but the stream runs with {was}: start a service of its own for it"
    return None


def _look_of(path: str) -> tuple[bytes, int, int] | None:
    """What changes when an artifact does; nothing while it is not there."""
    folder = resolve(path)
    try:
        weights = (folder / WEIGHTS).stat()
        return hashlib.sha256((folder / MANIFEST).read_bytes()).digest(), weights.st_mtime_ns, weights.st_size
    except OSError:
        return None
