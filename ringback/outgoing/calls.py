"""Calls of one destination: limited in number and time, counted by a breaker."""

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self
from weakref import WeakKeyDictionary

from ringback.contract.retry_schedule import LONGEST_DELAY_MS
from ringback.handlers import PermanentFailure
from ringback.runtime.outgoing import breaker
from ringback.runtime.outgoing.addresses import parse_networks
from ringback.runtime.outgoing.breaker import (
    BreakerRules,
    BreakerState,
    CircuitBreaker,
    Outcome,
    Permit,
)
from ringback.runtime.outgoing.outcome import outcome_of_error, outcome_of_status, status_of
from ringback.runtime.outgoing.retry_after import retry_after_s

if TYPE_CHECKING:
    import aiohttp

_BUSY_RETRY_S = 1.0
_MAX_OPEN_S = 30.0
"""A service that is back is noticed after this time at most."""
_MAX_RETRY_AFTER_S = 3600.0
_ASKS_TO_WAIT = frozenset({429, 503})


class Unavailable(Exception):  # ruff: ignore[error-suffix-on-exception-name]  # reads as a fact
    """A destination must not be called now.

    A handler that lets this through costs its webhook no attempt: the webhook waits, and it is
    processed again when the destination may be called.

    `failure` is the error of the call if it was made, and the breaker is open because of such
    errors. A webhook may itself cause them, so that after 20 of them it loses attempts.
    """

    def __init__(
        self, destination: str, retry_after_s: float, failure: Exception | None = None
    ) -> None:
        # An integer may be too large for the format.
        shown_s = min(max(0, retry_after_s), LONGEST_DELAY_MS / 1000)
        super().__init__(f"{destination} is unavailable; call it again in {shown_s:.1f} s")
        self.destination = destination
        self.retry_after_s = retry_after_s
        self.failure = failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The arguments of `destination`. Raises ValueError for one that is not valid."""

    base_url: str | None
    failure_ratio: float
    minimum: int
    window_s: float
    open_s: float
    timeout_s: float
    concurrency: int
    permanent: frozenset[int]
    failures: tuple[type[BaseException], ...]
    allow_networks: str
    max_answer_bytes: int

    def __post_init__(self) -> None:
        if not 0 < self.failure_ratio <= 1:
            raise ValueError(
                f"failure_ratio must be above 0 and at most 1, not {self.failure_ratio}"
            )
        for name in ("window_s", "open_s", "timeout_s", "minimum", "concurrency"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0, not {getattr(self, name)}")
        if self.base_url is not None and not re.match(r"https?://[^/]", self.base_url):
            raise ValueError(f"base_url must begin with https:// or http://, not {self.base_url}")
        try:
            parse_networks(self.allow_networks)
        except ValueError as exc:
            raise ValueError(f"allow_networks: {exc}") from None

    @property
    def scheme(self) -> str:
        return "https" if self.base_url is None else self.base_url.partition(":")[0]

    def differences(self, other: "Options") -> list[str]:
        return [
            f"{one.name}={getattr(self, one.name)!r}, not {getattr(other, one.name)!r}"
            for one in fields(self)
            if getattr(self, one.name) != getattr(other, one.name)
        ]


class Watch(Protocol):
    """Observes the destinations of a process, for metrics and logs."""

    def declared(self, destination: "Destination") -> None: ...

    def refused(self, destination: "Destination") -> None: ...

    def ended(self, destination: "Destination", outcome: Outcome, seconds: float) -> None: ...

    def changed(self, destination: "Destination", state: BreakerState) -> None: ...


@dataclass(slots=True)
class _Call:
    """A call in a task. A call inside it, of the same task, is a part of it."""

    permit: Permit
    deadline: asyncio.Timeout
    depth: int = 1
    outcome: Outcome | None = None
    """What an answer showed, if one was seen."""


class Destination(breaker.Destination):
    """A service that handlers call. Use it in the event loop of the handlers."""

    def __init__(self, name: str, options: Options, watch: Callable[[], "Watch | None"]) -> None:
        self.name = name
        self.options = options
        self.last_error: str | None = None
        """The class of the last failure, or its status as in `HTTP 503`."""
        self._watch = watch
        self._calls: dict[asyncio.Task[Any], _Call] = {}
        self._began: dict[Permit, float] = {}
        self._connectors: WeakKeyDictionary[asyncio.AbstractEventLoop, aiohttp.TCPConnector] = (
            WeakKeyDictionary()
        )
        super().__init__(options.concurrency, self._new_breaker())

    def session(self) -> "aiohttp.ClientSession":
        """An aiohttp session whose requests are calls of this destination: enter it and use it.

        URLs may be relative to the base URL; begin them without a slash. Sessions share their
        connections, so one per handler run is cheap. An answer with a permanent status raises
        PermanentFailure, one of 429 or 503 with `Retry-After` raises Unavailable, and one of 5xx,
        408, 425 or 429 raises an aiohttp.ClientError, unless the request says
        `raise_for_status=False`. Needs `ringback[server]`.
        """
        # Imported here: it needs the packages of a server.
        from ringback.runtime.outgoing import session  # ruff: ignore[import-outside-top-level]

        loop, options = asyncio.get_running_loop(), self.options
        connector = self._connectors.get(loop)
        if connector is None or connector.closed:
            connector = session.connector_of(options.scheme, options.allow_networks)
            self._connectors[loop] = connector
        return session.guarded_session(
            self,
            connector,
            scheme=options.scheme,
            base_url=options.base_url,
            max_answer_bytes=options.max_answer_bytes,
            check=self._check,
        )

    async def __aenter__(self) -> Self:
        """Begin a call. Raises Unavailable."""
        task = _this_task()
        call = self._calls.get(task)
        if call is not None:
            call.depth += 1
            return self
        permit = self.begin()
        if permit is None:
            busy = self.is_busy or self.breaker.state is BreakerState.HALF_OPEN
            raise Unavailable(self.name, _BUSY_RETRY_S if busy else self.breaker.retry_in_s)
        deadline = asyncio.timeout(self.options.timeout_s)
        await deadline.__aenter__()
        self._calls[task] = _Call(permit, deadline)
        task.add_done_callback(self._drop)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the call. Raises TimeoutError after the deadline, PermanentFailure, Unavailable."""
        task = _this_task()
        call = self._calls.get(task)
        if call is None:
            # The event loop ends a generator that was left early in a task of its own.
            raise RuntimeError(
                f"A call of {self.name} must end in the task that began it. If it is in an async "
                "generator, close that with contextlib.aclosing."
            )
        call.depth -= 1
        if call.depth:
            if outcome_of_error(error, self.options.failures) is Outcome.FAILED:
                call.outcome = Outcome.FAILED
            return
        del self._calls[task]
        task.remove_done_callback(self._drop)
        try:
            await call.deadline.__aexit__(kind, error, traceback)
        except TimeoutError as late:
            self.end(call.permit, Outcome.FAILED, late)
            raise self.error_of_call(late) from error
        self.end(call.permit, self._outcome(call, error), error)
        if error is None:
            return
        status = status_of(error)
        if status in self.options.permanent:
            raise self._permanent(status) from error
        raised = self.error_of_call(error)
        if raised is not error:
            raise raised from error

    def error_of_call(self, error: BaseException) -> BaseException:
        """What to raise for a call that failed: Unavailable if the breaker is open now."""
        is_open = self.breaker.state is BreakerState.OPEN
        if not is_open or not isinstance(error, Exception) or isinstance(error, Unavailable):
            return error
        if outcome_of_error(error, self.options.failures) is not Outcome.FAILED:
            return error
        return Unavailable(self.name, self.breaker.retry_in_s, error)

    def _drop(self, task: asyncio.Task[Any]) -> None:
        """End a call that its task has left open: otherwise it would use a permit for good."""
        call = self._calls.pop(task, None)
        if call is not None:
            self.end(call.permit, Outcome.CANCELLED)

    def answered(self, status: int) -> None:
        """Count the status of an answer for the call in this task, for a client that raises none.

        The worst one of a call counts.
        """
        call = self._calls.get(_this_task())
        if call is not None and call.outcome is not Outcome.FAILED:
            call.outcome = outcome_of_status(status)
            if call.outcome is Outcome.FAILED:
                self.last_error = f"HTTP {status}"

    def begin(self) -> Permit | None:
        permit = super().begin()
        watch = self._watch()
        if permit is not None:
            self._began[permit] = time.monotonic()
        elif watch is not None:
            watch.refused(self)
        return permit

    def end(self, permit: Permit, outcome: Outcome, error: BaseException | None = None) -> None:
        began = self._began.pop(permit, None)
        if began is None:
            # It began before a reset.
            return
        if outcome is Outcome.FAILED and error is not None:
            status = status_of(error)
            self.last_error = f"HTTP {status}" if status else type(error).__qualname__
        super().end(permit, outcome, error)
        seconds = time.monotonic() - began
        watch = self._watch()
        if watch is not None:
            watch.ended(self, outcome, seconds)

    def reset(self) -> None:
        """Forget all calls and failures, for the next test."""
        self.breaker = self._new_breaker()
        self.in_flight = 0
        self.last_error = None
        self._began.clear()

    async def close(self) -> None:
        """Close the connections of the running event loop."""
        connector = self._connectors.pop(asyncio.get_running_loop(), None)
        if connector is not None:
            await connector.close()

    def _new_breaker(self) -> CircuitBreaker:
        options = self.options
        rules = BreakerRules(
            window_s=options.window_s,
            min_calls=options.minimum,
            failed_share=options.failure_ratio,
            open_s=options.open_s,
            max_open_s=max(options.open_s, _MAX_OPEN_S),
        )
        return CircuitBreaker(rules, on_change=self._changed)

    def _changed(self, state: BreakerState) -> None:
        watch = self._watch()
        if watch is not None:
            watch.changed(self, state)

    def _outcome(self, call: _Call, error: BaseException | None) -> Outcome:
        if call.deadline.expired() or call.outcome is Outcome.FAILED:
            return Outcome.FAILED
        outcome = outcome_of_error(error, self.options.failures)
        return call.outcome or outcome if outcome is Outcome.CANCELLED else outcome

    async def _check(self, answer: "aiohttp.ClientResponse") -> None:
        if answer.status in self.options.permanent:
            raise self._permanent(answer.status)
        if answer.status in _ASKS_TO_WAIT:
            header = answer.headers.get("Retry-After", "")
            wait_s = retry_after_s(header, now_s=time.time(), max_s=_MAX_RETRY_AFTER_S)
            if wait_s is not None:
                raise Unavailable(self.name, wait_s)

    def _permanent(self, status: int | None) -> PermanentFailure:
        return PermanentFailure(f"{self.name} answered {status}: another attempt cannot help.")


def _this_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("Call a destination in a coroutine")
    return task
