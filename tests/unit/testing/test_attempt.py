"""An attempt in a test has the outcome that a processor would record, and the same next step."""

import asyncio
import subprocess  # ruff: ignore[suspicious-subprocess-import]
import sys
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ringback.contract.status import AttemptOutcome
from ringback.handlers import Event, PermanentFailure, handles, on_start, on_stop
from ringback.outgoing import Unavailable, destination
from ringback.services.processor.attempt.handlers import HandlersError
from ringback.testing import Effect, attempt, attempt_sync, reset_destinations, sample, started

HANG = {"message": {"type": "hang", "call": {"id": "call-1"}}}


@handles("hang")
async def succeed(event: Event) -> None:
    await asyncio.sleep(0)
    assert (event.call_id, event.max_attempts) == ("call-1", 4)


@handles("hang")
async def fail(event: Event) -> None:
    await asyncio.sleep(0)
    raise ValueError(f"call {event.call_id}")


@handles("hang")
async def give_up(_: Event) -> None:
    await asyncio.sleep(0)
    raise PermanentFailure("never")


@handles("hang", transaction=True)
async def write(event: Event, connection: Any) -> None:
    async with connection.transaction():
        await connection.execute("INSERT INTO calls VALUES ($1)", event.call_id)
    with suppress(ZeroDivisionError):
        async with connection.transaction():
            await connection.execute("INSERT INTO undone VALUES (1)")
            await connection.execute("INSERT INTO undone VALUES ($1)", 1 // (event.attempt - 1))
    assert await connection.fetchrow("SELECT 1") is None


@handles("hang", transaction=True)
async def write_and_fail(_: Event, connection: Any) -> None:
    await connection.execute("INSERT INTO calls VALUES (1)")
    raise ValueError


async def test_a_handler_completes_a_sample_a_file_or_an_object(tmp_path: Path) -> None:
    path = tmp_path / "hang.json"
    path.write_text('{"message": {"type": "hang", "call": {"id": "call-1"}}}')

    for webhook in (HANG, path, path.read_bytes()):
        result = await attempt(succeed, webhook)

        assert result.outcome == "completed"
        assert (result.error, result.retry_in_s, result.is_dead_letter) == (None, None, False)
    with pytest.raises(ValueError, match=r"No handler takes the type end-of-call-report\."):
        await attempt(succeed, sample("end-of-call-report"))
    with pytest.raises(ValueError, match=r"The body has no message\.type\."):
        await attempt(succeed, {})


@pytest.mark.parametrize(
    ("handler", "number", "outcome", "retry_in_s"),
    [
        (fail, 1, AttemptOutcome.FAILED, 2),
        (fail, 3, AttemptOutcome.FAILED, 8),
        (fail, 4, AttemptOutcome.FAILED, None),
        (give_up, 1, AttemptOutcome.PERMANENT, None),
    ],
)
async def test_a_failure_tells_its_error_and_what_follows(
    handler: Any, number: int, outcome: AttemptOutcome, retry_in_s: float | None
) -> None:
    """It is tried again after the delay of the schedule, or is a dead letter."""
    result = await attempt(handler, HANG, attempt=number)

    assert (result.outcome, result.retry_in_s) == (outcome, retry_in_s)
    assert result.is_dead_letter is (retry_in_s is None)
    assert result.error is not None
    assert result.error_class == type(result.error).__name__
    assert result.error_message == str(result.error)


async def test_statements_count_only_if_the_attempt_completes() -> None:
    """Savepoints that were rolled back do not count either. A plain handler runs first."""
    done = await attempt([write, succeed], HANG)
    failed = await attempt(write_and_fail, HANG)
    refused = await attempt([write, fail], HANG)

    assert done.effects == (
        Effect("INSERT INTO calls VALUES ($1)", ("call-1",)),
        Effect("SELECT 1"),
    )
    assert (failed.effects, failed.outcome) == ((), "failed")
    assert (refused.effects, refused.error_message) == ((), "call call-1")


async def test_credentials_of_the_event_are_not_in_the_recorded_error() -> None:
    @handles("hang")
    async def quote(event: Event) -> None:
        await asyncio.sleep(0)
        raise ValueError(event.message["serverUrlSecret"])

    result = await attempt(quote, {"message": {"type": "hang", "serverUrlSecret": "s3cr3t-value"}})

    assert result.error_message is not None
    assert "s3cr3t" not in result.error_message
    assert str(result.error) == "s3cr3t-value"


async def test_a_handler_is_cut_at_its_timeout() -> None:
    @handles("hang")
    async def hangs(_: Event) -> None:
        await asyncio.Event().wait()

    result = await attempt(hangs, HANG, timeout_s=0.05)

    assert (result.error_class, result.retry_in_s) == ("timeout", 2)


def test_a_test_may_be_a_plain_function() -> None:
    assert attempt_sync(succeed, HANG).outcome == "completed"


def test_an_unknown_sample_is_refused_with_the_names_of_all() -> None:
    with pytest.raises(KeyError, match=r"no sample 'end-of-call'.* end-of-call-report,"):
        sample("end-of-call")


async def test_a_module_runs_with_its_hooks() -> None:
    """Its handlers of the type run, after its start hooks; a failing hook is an error."""
    seen: list[str] = []
    module = ModuleType("of_test")

    @on_start
    def opened() -> None:
        seen.append("start")

    @on_stop
    async def closed() -> None:
        await asyncio.sleep(0)
        seen.append("stop")

    @handles("hang")
    async def used(_: Event) -> None:
        await asyncio.sleep(0)
        seen.append("handler")

    vars(module).update(opened=opened, used=used, closed=closed)
    async with started(module):
        await attempt(module, HANG)
    assert seen == ["start", "handler", "stop"]

    @on_start
    def broken() -> None:
        raise OSError

    vars(module).update(opened=broken)
    with pytest.raises(HandlersError, match="broken failed"):
        async with started(module):
            pytest.fail("began")


def test_it_needs_no_package_of_a_server() -> None:
    """What a plain `pip install ringback` lacks is not imported, by the plugin neither."""
    program = (
        "import sys\n"
        "lacking = ['aio_pika', 'aiormq', 'aiohttp', 'asyncpg', 'cyclopts', 'opentelemetry',\n"
        "  'prometheus_client', 'pydantic', 'rich', 'slack_sdk', 'structlog', 'uvloop']\n"
        "sys.modules.update(dict.fromkeys(lacking))\n"
        "import ringback.testing.plugin, ringback.vapi\n"
        "from ringback.testing import attempt_sync, sample\n"
        "from ringback.handlers import handles\n"
        "@handles('hang')\n"
        "async def handler(event): ...\n"
        "print(attempt_sync(handler, sample('hang')).outcome)\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120
    )

    assert (done.stdout, done.stderr) == ("completed\n", "")


def test_the_fixtures_are_those_functions(attempt: Any, sample: Any, attempt_sync: Any) -> None:
    assert attempt_sync(succeed, HANG).outcome == "completed"
    assert b"hang" in sample("hang")
    assert asyncio.iscoroutinefunction(attempt)


crm = destination("crm-of-the-tests", open_s=30)


@handles("hang")
async def call_the_crm(_: Event) -> None:
    async with crm:
        raise ConnectionResetError


@pytest.mark.parametrize("number", [1, 2])
async def test_a_destination_that_fails_costs_four_attempts_and_then_none(number: int) -> None:
    """Each test begins with closed breakers, as a new processor does."""
    del number
    results = [await attempt(call_the_crm, HANG) for _ in range(6)]

    assert [one.outcome for one in results] == [AttemptOutcome.FAILED] * 4 + [None] * 2
    assert isinstance(results[4].error, Unavailable)
    assert isinstance(results[4].error.failure, ConnectionResetError)
    assert isinstance(results[5].error, Unavailable)
    assert results[5].retry_in_s == pytest.approx(results[5].error.retry_after_s, abs=0.1)
    assert not results[5].is_dead_letter


def test_breakers_can_be_closed_without_pytest() -> None:
    for _ in range(5):
        attempt_sync(call_the_crm, HANG)

    reset_destinations()

    assert attempt_sync(call_the_crm, HANG).outcome is AttemptOutcome.FAILED
