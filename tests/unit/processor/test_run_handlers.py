"""Whatever handlers do gives a result, in time."""

import asyncio

import pytest

from ringback.contract.redaction.scrub import REDACTED
from ringback.contract.status import AttemptOutcome
from ringback.handlers import Event, PermanentFailure
from ringback.services.processor.attempt.result import AttemptResult
from ringback.services.processor.attempt.run_handlers import has_abandoned_handlers, run_handlers
from ringback.services.processor.spans import HandlerSpan
from tests.support.eventually import eventually
from tests.unit.processor.events import event, untraced

SOON_S = 0.05


async def test_handlers_run_in_turn_with_the_event_and_the_arguments() -> None:
    """They get the arguments, and their return completes the attempt."""
    seen: list[tuple[object, ...]] = []

    async def one(*arguments: object) -> None:
        await asyncio.sleep(0)
        seen.append(("one", *arguments))

    async def two(*arguments: object) -> None:
        await asyncio.sleep(0)
        seen.append(("two", *arguments))

    given = event()
    result = await run_handlers(
        [one, two], given, "connection", timeout_s=60, watch=HandlerSpan(untraced())
    )

    assert isinstance(result, AttemptResult)
    assert result.outcome is AttemptOutcome.COMPLETED
    assert seen == [("one", given, "connection"), ("two", given, "connection")]


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("error", "outcome", "message"),
    [
        (KeyError("account"), AttemptOutcome.FAILED, "'account'"),
        (PermanentFailure("never"), AttemptOutcome.PERMANENT, "never"),
        (ValueError(), AttemptOutcome.FAILED, "The handler raised without a message."),
        (UnprintableError(), AttemptOutcome.FAILED, "The handler raised without a message."),
        (ValueError("a\x00b\ud800" + "m" * 9_999), AttemptOutcome.FAILED, "a�b�" + "m" * 1_996),
        (
            ValueError("401 for url 'https://u:pw@maps.example/v1?key=AIza1&city=Bern'"),
            AttemptOutcome.FAILED,
            f"401 for url 'https://{REDACTED}@maps.example/v1?key={REDACTED}&city=Bern'",
        ),
        (TimeoutError("its own"), AttemptOutcome.FAILED, "its own"),
        (SystemExit(3), AttemptOutcome.FAILED, "3"),
        (KeyboardInterrupt(), AttemptOutcome.FAILED, "The handler raised without a message."),
        (asyncio.CancelledError(), AttemptOutcome.FAILED, "The handler cancelled itself."),
        (ExceptionGroup("two", [ValueError("a")]), AttemptOutcome.FAILED, "two (1 sub-exception)"),
    ],
)
async def test_the_first_error_ends_the_attempt(
    error: BaseException, outcome: AttemptOutcome, message: str
) -> None:
    """The result has its class and its text, cut and without secrets; later handlers do not run."""

    async def fail(_: Event) -> None:
        await asyncio.sleep(0)
        raise error

    async def never(_: Event) -> None:
        await asyncio.sleep(0)
        pytest.fail("ran after a failure")

    result = await run_handlers([fail, never], event(), timeout_s=60, watch=HandlerSpan(untraced()))

    assert isinstance(result, AttemptResult)
    assert (result.outcome, result.error_message) == (outcome, message)
    assert result.error_class == type(error).__qualname__


async def test_a_handler_is_cut_at_its_timeout_and_may_clean_up() -> None:
    """It is cancelled, and awaited while it cleans up; an error that it raises then is ignored."""
    cleaned: list[bool] = []

    async def hang(_: Event) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.01)
            cleaned.append(True)
            raise ValueError("late")

    result = await run_handlers(
        [hang], event(), timeout_s=SOON_S, cancel_wait_s=60, watch=HandlerSpan(untraced())
    )

    assert isinstance(result, AttemptResult)
    assert (result.outcome, result.error_class) == (AttemptOutcome.FAILED, "timeout")
    assert result.error_message == "The handlers did not end within 0.05 s."
    assert cleaned == [True]


async def test_a_handler_that_ignores_its_cancellation_is_left_behind() -> None:
    """The attempt ends; the handler counts as abandoned until it ends in any way."""
    release = asyncio.Event()

    async def stubborn(_: Event) -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        raise ValueError("at last")

    result = await run_handlers(
        [stubborn], event(), timeout_s=SOON_S, cancel_wait_s=SOON_S, watch=HandlerSpan(untraced())
    )
    was_abandoned = has_abandoned_handlers()
    release.set()

    await eventually(lambda: not has_abandoned_handlers())
    assert isinstance(result, AttemptResult)
    assert result.error_class == "timeout"
    assert was_abandoned


async def test_a_cancellation_from_outside_gives_no_result() -> None:
    """Work that our shutdown interrupts is not an attempt."""
    began, cancelled = asyncio.Event(), asyncio.Event()

    async def hang(_: Event) -> None:
        began.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    attempt = asyncio.create_task(
        run_handlers([hang], event(), timeout_s=60, watch=HandlerSpan(untraced()))
    )
    await began.wait()
    attempt.cancel()

    with pytest.raises(asyncio.CancelledError):
        await attempt
    assert cancelled.is_set()
