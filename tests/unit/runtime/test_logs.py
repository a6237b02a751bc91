"""Tests for ringback.runtime.observability.logs. Each line is what a log collector would get."""

import asyncio
import logging
import os
import resource
import tempfile
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

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


@pytest.fixture
def stream() -> Iterator[TextIO]:
    with tempfile.TemporaryFile("w+", encoding="utf-8") as file:
        yield file


def configure(
    stream: TextIO,
    level: Literal["debug", "info", "warning", "error"] = "info",
    shape: Literal["json", "console"] = "json",
) -> None:
    logs.configure("gateway", LogSettings(log_level=level, log_format=shape), stream)


def fail() -> None:
    raise ValueError("no such door")


def lines(stream: TextIO) -> list[dict[str, Any]]:
    stream.seek(0)
    return [orjson.loads(line) for line in stream]


def test_a_line_is_a_json_object(stream: TextIO) -> None:
    """Time, level, event and service are on every line, beside the fields of the event."""
    configure(stream)

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


def test_lines_of_libraries_are_written_in_the_same_format(stream: TextIO) -> None:
    """From warnings on, with the name of the service, from any thread."""
    configure(stream, "debug")
    library = logging.getLogger("library")

    library.info("chatter")
    thread = threading.Thread(target=lambda: library.warning("a %s", "warning"))
    thread.start()
    thread.join()

    [line] = lines(stream)
    assert (line["event"], line["level"], line["service"]) == ("a warning", "warning", "gateway")
    assert "ts" in line


def test_an_exception_is_part_of_its_line(stream: TextIO) -> None:
    """A stack of many lines would be many events for a collector."""
    configure(stream)

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
    stream: TextIO, shape: Literal["json", "console"], strange: object
) -> None:
    """A log line must not break the work that it reports."""
    configure(stream, shape=shape)

    structlog.get_logger().info("strange.value", value=strange)
    logging.getLogger("library").warning("strange %s", strange)

    stream.seek(0)
    assert len(stream.read().splitlines()) >= 2


def test_lost_connections_are_not_logged_twice(stream: TextIO) -> None:
    """Our connection logs it in one line; the library's stacks are left out."""
    configure(stream)

    logging.getLogger("aiormq.connection").error("Unexpected connection close")
    logging.getLogger("aio_pika.robust_connection").warning("reconnecting")

    assert lines(stream) == []


@pytest.fixture
def pipe() -> Iterator[tuple[int, TextIO]]:
    """A pipe to which the lines are written: the end to read from, and the other one."""
    read_end, write_end = os.pipe()
    with os.fdopen(write_end, "w") as stream:
        logs.configure("gateway", LogSettings(), stream)
        yield read_end, stream
    os.close(read_end)


def log_more_than_fits(count: int = 2000) -> None:
    for number in range(count):
        structlog.get_logger().info("webhook.accepted", number=number, text="x" * 1000)


async def read_to(read_end: int, event: str) -> list[dict[str, Any]]:
    """The lines up to one with this event."""
    text = b""
    while f'"{event}"'.encode() not in text or not text.endswith(b"\n"):
        text += await asyncio.to_thread(os.read, read_end, 100_000)
    return [orjson.loads(line) for line in text.splitlines()]


async def test_a_log_that_nobody_reads_stops_no_work(pipe: tuple[int, TextIO]) -> None:
    """Lines wait for the reader up to a limit. More are dropped and counted; none is cut."""
    log_more_than_fits()
    await asyncio.sleep(0)  # Let the loop write.
    log_more_than_fits()

    found = await read_to(pipe[0], "log.lines_dropped")

    numbers = [line["number"] for line in found if line["event"] == "webhook.accepted"]
    assert numbers[:100] == list(range(100))
    [dropped] = [line["count"] for line in found if line["event"] == "log.lines_dropped"]
    assert dropped > 0
    assert len(numbers) + dropped == 4000


async def test_a_log_whose_reader_is_gone_stops_no_work() -> None:
    read_end, write_end = os.pipe()
    with os.fdopen(write_end, "w") as stream:
        logs.configure("gateway", LogSettings(), stream)
        os.close(read_end)

        log_more_than_fits()
        await asyncio.sleep(0)  # Let the loop write.
        await asyncio.to_thread(log_more_than_fits, 1)


async def test_lines_of_one_iteration_keep_their_order(pipe: tuple[int, TextIO]) -> None:
    """Also those of libraries among them."""
    structlog.get_logger().info("first")
    logging.getLogger("library").warning("second")
    structlog.get_logger().info("third")

    found = await read_to(pipe[0], "third")

    assert [line["event"] for line in found] == ["first", "second", "third"]


async def test_lines_are_written_before_a_process_ends_within_its_loop(stream: TextIO) -> None:
    """A processor that has to leave a handler behind ends without another iteration."""
    writer = logs.configure("gateway", LogSettings(), stream)
    await asyncio.sleep(0)
    structlog.get_logger().info("processor.stopped")

    writer.write_now()

    assert [line["event"] for line in lines(stream)] == ["processor.stopped"]


def test_a_line_after_a_full_disk_is_whole(stream: TextIO) -> None:
    """Of the line that the disk had no room for, the beginning may remain."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    writer = logs.LineWriter(stream)
    for _ in range(2):
        writer.write("x" * 59 + "\n")
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        writer.write_now()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    writer.write("next\n")
    writer.write_now()

    stream.seek(0)
    assert [len(line) for line in stream] == [60, 41, 5]
