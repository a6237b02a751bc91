"""Whatever handlers do gives a result, in time; their modules are imported in order."""

import asyncio
from pathlib import Path

import pytest

from ringback.contract.status import AttemptOutcome
from ringback.handlers import Event, PermanentFailure, handles
from ringback.runtime.process.lifecycle import CannotStartError
from services.processor.attempt.handlers import (
    HandlerSet,
    has_abandoned_handlers,
    import_handlers,
    run_handlers,
)
from tests.support.eventually import eventually
from tests.unit.processor.events import event, untraced

SOON_S = 0.05
HEAD = "from ringback.handlers import handles\n"


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
    result = await run_handlers([one, two], given, "connection", timeout_s=60, span=untraced())

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
    """The result has its class and its text, cut and cleaned; later handlers do not run."""

    async def fail(_: Event) -> None:
        await asyncio.sleep(0)
        raise error

    async def never(_: Event) -> None:
        await asyncio.sleep(0)
        pytest.fail("ran after a failure")

    result = await run_handlers([fail, never], event(), timeout_s=60, span=untraced())

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

    result = await run_handlers([hang], event(), timeout_s=SOON_S, span=untraced())

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
        [stubborn], event(), timeout_s=SOON_S, cancel_wait_s=SOON_S, span=untraced()
    )
    was_abandoned = has_abandoned_handlers()
    release.set()

    await eventually(lambda: not has_abandoned_handlers())
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

    attempt = asyncio.create_task(run_handlers([hang], event(), timeout_s=60, span=untraced()))
    await began.wait()
    attempt.cancel()

    with pytest.raises(asyncio.CancelledError):
        await attempt
    assert cancelled.is_set()


@handles("a", "b")
async def of_two(_: Event) -> None:
    """Do nothing."""


@handles("*")
async def of_all(_: Event) -> None:
    """Do nothing."""


@handles("a", transaction=True)
async def in_transaction(_: Event, __: object) -> None:
    """Do nothing."""


async def undeclared(_: Event) -> None:
    """Do nothing."""


def test_a_type_gets_its_handlers_in_the_order_of_their_declaration() -> None:
    """Plain and transactional handlers are separate; `*` matches every type."""
    handlers = HandlerSet([of_all, in_transaction, of_two], [lambda _: ()])

    selection = handlers.for_type("a")

    assert selection.plain == (of_all, of_two)
    assert selection.transactional == (in_transaction,)
    assert len(selection.effects_of) == 1
    assert handlers.for_type("c").plain == (of_all,)
    assert handlers.for_type("c").transactional == ()
    with pytest.raises(TypeError, match="not declared"):
        HandlerSet([undeclared])


def test_modules_are_imported_in_order_and_each_handler_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Imported handlers and objects that answer any question with an error do no harm."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "order_one.py").write_text(
        HEAD + "@handles('a')\nasync def second(e): ...\n@handles('a')\nasync def first(e): ...\n"
    )
    (tmp_path / "order_two.py").write_text(
        HEAD + "from order_one import first\n@handles('*')\nasync def third(e): ...\n"
        "class Proxy:\n    def __getattr__(self, name):\n        raise RuntimeError(name)\n"
        "request = Proxy()\n"
    )

    found = import_handlers(" order_one,, order_two ,")

    assert [handler.__name__ for handler in found] == ["second", "first", "third"]
    assert import_handlers("") == import_handlers(" , ") == []


@pytest.mark.parametrize(
    ("name", "source", "sentence"),
    [
        ("absent_module", None, "cannot be imported: ModuleNotFoundError: No module named"),
        ("broken_module", "1 / 0", "cannot be imported: ZeroDivisionError: division by zero"),
        ("leaving_module", "raise SystemExit('x')", "cannot be imported: SystemExit: x"),
        ("empty_module", "", r"has no function with @handles\(…\)."),
        ("sync_module", HEAD + "@handles('a')\ndef f(e): ...", "must be declared with async def"),
        ("bare_module", HEAD + "@handles\nasync def f(e): ...", "takes the event types"),
        ("typeless_module", HEAD + "@handles()\nasync def f(e): ...", "takes the event types"),
    ],
)
def test_a_module_that_cannot_be_used_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, source: str | None, sentence: str
) -> None:
    """The error names the module and the problem."""
    monkeypatch.syspath_prepend(tmp_path)
    if source is not None:
        (tmp_path / f"{name}.py").write_text(source)

    with pytest.raises(CannotStartError, match=sentence) as raised:
        import_handlers(name)

    assert str(raised.value).startswith(f"RINGBACK_HANDLERS names {name}, which ")
