"""Tests for ringback.runtime.observability.logs. Each line is what a log collector would get."""

import io
import logging
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Literal

import orjson
import pytest
import structlog

from ringback.runtime.observability import logs
from ringback.runtime.process.settings import LogSettings

pytestmark = pytest.mark.usefixtures("as_before")


@pytest.fixture
def as_before() -> Iterator[None]:
    """Logging configuration is global; restore it for other tests."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def configured(
    level: Literal["debug", "info", "warning", "error"] = "info",
    shape: Literal["json", "console"] = "json",
) -> io.TextIOWrapper:
    """Logging to a stream as strict about its encoding as stdout."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    logs.configure("gateway", LogSettings(log_level=level, log_format=shape), stream)
    return stream


def fail() -> None:
    raise ValueError("no such door")


def lines(stream: io.TextIOWrapper) -> list[dict[str, Any]]:
    stream.seek(0)
    return [orjson.loads(line) for line in stream]


def test_a_line_is_a_json_object() -> None:
    """Time, level, event and service are on every line, beside the fields of the event."""
    stream = configured()

    structlog.get_logger().info("webhook.accepted", job_id="j-1", size_bytes=17)

    [line] = lines(stream)
    age = datetime.now(UTC) - datetime.fromisoformat(line.pop("ts"))
    assert 0 <= age.total_seconds() < 60
    assert line == {
        "level": "info",
        "event": "webhook.accepted",
        "service": "gateway",
        "job_id": "j-1",
        "size_bytes": 17,
    }


def test_lines_of_libraries_take_the_same_way() -> None:
    """From warnings on, with the name of the service, from any thread."""
    stream = configured("debug")
    library = logging.getLogger("library")

    library.info("chatter")
    thread = threading.Thread(target=lambda: library.warning("a %s", "warning"))
    thread.start()
    thread.join()

    [line] = lines(stream)
    assert (line["event"], line["level"], line["service"]) == ("a warning", "warning", "gateway")
    assert "ts" in line


def test_an_exception_is_part_of_its_line() -> None:
    """A stack of many lines would be many events for a collector."""
    stream = configured()

    try:
        fail()
    except ValueError:
        structlog.get_logger().exception("door.missing")
        logging.getLogger("library").exception("door missing")

    ours, theirs = lines(stream)
    assert "ValueError: no such door" in ours["exception"]
    assert "ValueError: no such door" in theirs["exception"]


@pytest.mark.parametrize("shape", ["json", "console"])
@pytest.mark.parametrize(
    "strange",
    [
        "\ud800",
        2**70,
        float("nan"),
        b"\xff",
        object(),
        {1: ValueError("x"), (1, 2): "\ud800", "set": {1}},
        datetime(1, 1, 1, tzinfo=UTC),
    ],
    ids=["surrogate", "large", "nan", "bytes", "object", "nested", "first_day"],
)
def test_no_value_makes_the_logging_fail(
    shape: Literal["json", "console"], strange: object
) -> None:
    """A log line must not break the work that it reports."""
    stream = configured(shape=shape)

    structlog.get_logger().info("strange.value", value=strange)
    logging.getLogger("library").warning("strange %s", strange)

    stream.seek(0)
    assert len(stream.read().splitlines()) >= 2


def test_lost_connections_are_not_told_twice() -> None:
    """Our connection logs it in one line; the library's stacks are left out."""
    stream = configured()

    logging.getLogger("aiormq.connection").error("Unexpected connection close")
    logging.getLogger("aio_pika.robust_connection").warning("reconnecting")

    assert lines(stream) == []
