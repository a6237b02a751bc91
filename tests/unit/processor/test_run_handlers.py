"""Whatever handlers do gives an outcome, in time."""

import asyncio

import pytest

from ringback.contract.status import AttemptOutcome
from ringback.handlers import Event, PermanentFailure
from services.processor.attempt import handlers as module
from services.processor.attempt.handlers import are_abandoned, run_handlers
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
    result = await run_handlers([one, two], given, "connection", timeout_s=5, span=untraced())

    assert result.outcome is AttemptOutcome.COMPLETED
    assert seen == [("one", given, "connection"), ("two", given, "connection")]


async def test_the_first_error_ends_the_attempt() -> None:
    """The handlers after it do not run."""

    async def fails(_: Event) -> None:
        await asyncio.sleep(0)
        raise KeyError("account")

    async def never(_: Event) -> None:
        await asyncio.sleep(0)
        pytest.fail("ran after a failure")

    result = await run_handlers([fails, never], event(), timeout_s=5, span=untraced())

    assert (result.outcome, result.error_class) == (AttemptOutcome.FAILED, "KeyError")
    assert result.error_message == "'account'"


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (PermanentFailure("never"), AttemptOutcome.PERMANENT, "never"),
        (ValueError(), AttemptOutcome.FAILED, "The handler raised without a message."),
        (TimeoutError("its own"), AttemptOutcome.FAILED, "its own"),
        (asyncio.CancelledError(), AttemptOutcome.FAILED, "The handler cancelled itself."),
        (ExceptionGroup("two", [ValueError("a")]), AttemptOutcome.FAILED, "two (1 sub-exception)"),
    ],
)
async def test_an_error_is_an_outcome(
    error: BaseException, kind: AttemptOutcome, message: str
) -> None:
    """The outcome has the class and the text of the error."""

    async def fails(_: Event) -> None:
        await asyncio.sleep(0)
        raise error

    result = await run_handlers([fails], event(), timeout_s=5, span=untraced())

    assert (result.outcome, result.error_message) == (kind, message)
    assert result.error_class == type(error).__qualname__


async def test_an_error_that_cannot_be_printed_is_an_outcome() -> None:
    """The outcome names its class."""

    class UnprintableError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    async def fails(_: Event) -> None:
        await asyncio.sleep(0)
        raise UnprintableError

    result = await run_handlers([fails], event(), timeout_s=5, span=untraced())

    assert result.outcome is AttemptOutcome.FAILED
    assert result.error_message == "The handler raised without a message."


async def test_a_handler_is_cut_at_its_timeout_and_may_clean_up() -> None:
    """It is cancelled, and awaited while it cleans up."""
    cleaned: list[bool] = []

    async def hangs(_: Event) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.01)
            cleaned.append(True)

    result = await run_handlers([hangs], event(), timeout_s=SOON_S, span=untraced())

    assert (result.outcome, result.error_class) == (AttemptOutcome.FAILED, "timeout")
    assert result.error_message == "The handlers did not end within 0.05 s."
    assert cleaned == [True]


async def test_an_error_after_the_timeout_is_still_a_timeout() -> None:
    """An error that a handler raises while it is being cut is ignored."""

    async def fails_late(_: Event) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            raise ValueError("late")

    result = await run_handlers([fails_late], event(), timeout_s=SOON_S, span=untraced())

    assert result.error_class == "timeout"


async def test_a_handler_that_ignores_its_cancellation_is_left_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The attempt ends; the handler counts as abandoned until it ends in any way."""
    monkeypatch.setattr(module, "_CANCEL_WAIT_S", SOON_S)
    let_go = asyncio.Event()

    async def stubborn(_: Event) -> None:
        while not let_go.is_set():
            try:
                await let_go.wait()
            except asyncio.CancelledError:
                continue
        raise ValueError("at last")

    result = await run_handlers([stubborn], event(), timeout_s=SOON_S, span=untraced())
    was_abandoned = are_abandoned()
    let_go.set()

    await eventually(lambda: not are_abandoned())
    assert result.error_class == "timeout"
    assert was_abandoned


async def test_to_be_cancelled_from_outside_cancels_the_handler_and_is_no_outcome() -> None:
    """Work that our shutdown interrupts is not an attempt."""
    began, cancelled = asyncio.Event(), asyncio.Event()

    async def hangs(_: Event) -> None:
        began.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    attempt = asyncio.create_task(run_handlers([hangs], event(), timeout_s=60, span=untraced()))
    await began.wait()
    attempt.cancel()

    with pytest.raises(asyncio.CancelledError):
        await attempt
    assert cancelled.is_set()
