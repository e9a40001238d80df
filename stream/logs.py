"""Logs: JSON lines on stderr for machines, colours where a person watches."""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog

# What both structlog's own events and those of libraries (aiokafka, uvicorn) get.
_SHARED: tuple[Any, ...] = (
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
)


def configure_logs(level: str, *, console: bool | None = None) -> None:
    """Sends every log event of this process to stderr; ``console``, for people, is the default on a terminal."""
    pretty = sys.stderr.isatty() if console is None else console
    if pretty:
        render: tuple[Any, ...] = (structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),)
    else:
        render = (structlog.processors.format_exc_info, structlog.processors.JSONRenderer())
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_SHARED,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # The client tells every failed attempt to connect as an error; `stream.kafka.client` tells the first one.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    for part in ("consumer", "producer", "coordinator", "conn"):
        logging.getLogger(f"aiokafka.{part}").setLevel(max(logging.WARNING, root.level))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_SHARED,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.processors.StackInfoRenderer(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
