"""Logs are one JSON object a line, at the level that is set, and hold no colours for machines."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from stream.logs import configure_logs


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def test_events_of_ours_and_of_libraries_are_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("info", console=False)
    structlog.get_logger("stream.here").info("partition restored", partition=3)
    logging.getLogger("some.library").warning("odd %s", "thing")
    try:
        raise ValueError("broken")
    except ValueError:
        structlog.get_logger("stream.here").exception("failed")
    out, err = capsys.readouterr()
    ours, theirs, failure = map(json.loads, err.splitlines())
    assert out == ""
    assert (ours["event"], ours["partition"], ours["level"], ours["logger"]) == (
        "partition restored",
        3,
        "info",
        "stream.here",
    )
    assert (theirs["event"], theirs["level"]) == ("odd thing", "warning")
    assert "ValueError: broken" in failure["exception"]


def test_what_is_below_the_level_is_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("warning", console=False)
    structlog.get_logger("stream.here").info("quiet")
    logging.getLogger("some.library").info("quiet")
    structlog.get_logger("stream.here").warning("loud")
    assert [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()] == ["loud"]


def test_a_loop_of_failed_connections_is_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("info", console=False)
    logging.getLogger("aiokafka").error("Unable connect to %s", "x:1")
    logging.getLogger("aiokafka.consumer.group_coordinator").error("Heartbeat failed")
    assert [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()] == ["Heartbeat failed"]


def test_people_get_text_without_colours_where_no_terminal_is(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("info", console=True)
    structlog.get_logger("stream.here").info("hello", n=1)
    err = capsys.readouterr().err
    assert "hello" in err
    assert "\x1b[" not in err
