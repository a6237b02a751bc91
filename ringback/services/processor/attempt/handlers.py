"""Imports the modules of handlers, checks what they declare, and selects the handlers of a type."""

import difflib
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from ringback.contract.retry_schedule import RetrySchedule
from ringback.contract.telemetry import KNOWN_EVENT_TYPES
from ringback.handlers import (
    ANY_TYPE,
    AnswerFunction,
    Event,
    Handler,
    Handles,
    Hook,
    HookTime,
    answered_types,
    declared,
    declared_hook,
    name_of,
)
from ringback.runtime.process.modules import import_modules
from ringback.services.processor.attempt.result import CallUpdate

CallUpdateOf = Callable[[Event], CallUpdate | None]

_OWN_TYPES = "ringback."
"""Types that Ringback itself sends, for tests and demos, begin with this."""


class HandlersError(Exception):
    """The handlers cannot be used. There is a sentence for each mistake."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class HandlerSelection:
    """The handlers of one event type, in the order of their modules.

    `plain` ones act outside the database, `transactional` ones inside the attempt's transaction.
    `call_update_of` only returns what to write in it. `schedules` has the handlers that declare
    their own retry schedule. `timeout_s` replaces that of the setting. `is_ordered`: one of them is
    declared with `ordered_by`.
    """

    plain: tuple[Handler, ...]
    transactional: tuple[Handler, ...]
    call_update_of: CallUpdateOf | None
    schedules: Mapping[Handler, RetrySchedule]
    timeout_s: float | None = None
    is_ordered: bool = False

    def longest_schedule(self, default: RetrySchedule) -> RetrySchedule:
        """The schedule to use if it is unknown which handler failed: the one with most attempts.

        Handlers that declare none have the default. A shorter one could end the retries of another.
        """
        if not self.schedules:
            return default
        handlers = (*self.plain, *self.transactional)
        found = [self.schedules.get(handler, default) for handler in handlers]
        return max(found, key=lambda schedule: schedule.max_attempts)


class HandlerSet:
    def __init__(
        self, handlers: Iterable[Handler], call_update_of: CallUpdateOf | None = None
    ) -> None:
        self._handlers = [(declaration_of(handler), handler) for handler in handlers]
        self._call_update_of = call_update_of

    def for_type(self, event_type: str) -> HandlerSelection:
        wanted = [(d, handler) for d, handler in self._handlers if d.wants(event_type)]
        return HandlerSelection(
            plain=tuple(handler for d, handler in wanted if not d.transaction),
            transactional=tuple(handler for d, handler in wanted if d.transaction),
            call_update_of=self._call_update_of,
            schedules={
                handler: d.retry_schedule for d, handler in wanted if d.retry_schedule is not None
            },
            is_ordered=any(d.ordered_by is not None for d, _ in wanted),
        )


@dataclass(frozen=True, slots=True)
class LoadedHandlers:
    """What modules declare, in the order of their names and lines."""

    handlers: tuple[Handler, ...] = ()
    on_start: tuple[Hook, ...] = ()
    on_stop: tuple[Hook, ...] = ()
    answers: tuple[AnswerFunction, ...] = ()
    """Not for a processor: the process of the gateway runs them."""

    def unknown_types(self) -> list[str]:
        """A sentence for each type that Vapi does not document, with the nearest one that it does.

        Such a type may be right: Vapi adds types, and other senders have their own.
        """
        found = []
        for handler in self.handlers:
            for event_type in declaration_of(handler).types:
                if event_type != ANY_TYPE and not _is_known(event_type):
                    near = difflib.get_close_matches(event_type, KNOWN_EVENT_TYPES, n=1)
                    meant = f" Did you mean {near[0]}?" if near else ""
                    found.append(
                        f"{name_of(handler)} handles {event_type}, which is not a type that Vapi "
                        f"documents.{meant}"
                    )
        return found

    def overlaps(self) -> list[str]:
        """A sentence for each event type that several handlers handle."""
        found = []
        for event_type in self.types():
            wanting = [h for h in self.handlers if declaration_of(h).wants(event_type)]
            if len(wanting) > 1:
                names = ", then ".join(map(name_of, _in_order_of_running(wanting)))
                found.append(f"{event_type} runs {names}; an error of one ends the attempt.")
        return found

    def types(self) -> list[str]:
        """The event types that the handlers name, each once."""
        named = (event_type for h in self.handlers for event_type in declaration_of(h).types)
        return list(dict.fromkeys(named))

    def ordered_types(self) -> list[str]:
        """The event types with a handler that is declared with `ordered_by`; `*` is all."""
        declarations = map(declaration_of, self.handlers)
        return [name for d in declarations if d.ordered_by is not None for name in d.types]


def load_handlers(modules: str) -> LoadedHandlers:
    """Import modules, comma separated, and check what they declare.

    Raises HandlersError with everything that is wrong: a module that cannot be imported or declares
    nothing, or a function that cannot be called as it is declared.
    """
    loaded, problems = import_modules(modules, setting="RINGBACK_HANDLERS")
    problems.extend(problem for module in loaded for problem in _problems_of(module))
    if problems:
        raise HandlersError(*problems)
    return declared_in(*loaded)


def declared_in(*modules: ModuleType) -> LoadedHandlers:
    """What modules declare; a function that several of them contain counts once."""
    once = _once([value for module in modules for value in _declarations_in(module)])
    values = [value for module in modules for value in vars(module).values()]
    return LoadedHandlers(
        handlers=tuple(value for value in once if declared(value) is not None),
        on_start=tuple(value for value in once if declared_hook(value) is HookTime.START),
        on_stop=tuple(value for value in once if declared_hook(value) is HookTime.STOP),
        answers=tuple(_once([value for value in values if answered_types(value)])),
    )


def _once(values: list[Any]) -> list[Any]:
    return [value for place, value in enumerate(values) if value not in values[:place]]


def declaration_of(handler: Handler) -> Handles:
    """The declaration of a handler. Raises TypeError if it has none."""
    found = declared(handler)
    if found is None:
        raise TypeError(f"{handler!r} is not declared with @handles(…)")
    return found


def _declarations_in(module: ModuleType) -> list[Callable[..., Any]]:
    return [
        value
        for value in vars(module).values()
        if declared(value) is not None or declared_hook(value) is not None
    ]


def _problems_of(module: ModuleType) -> Iterator[str]:
    found = _declarations_in(module)
    if not found:
        yield (
            f"RINGBACK_HANDLERS names {module.__name__}, which has no function with @handles(…), "
            "@on_start or @on_stop."
        )
    for function in found:
        handles = declared(function)
        if handles is None:
            arguments: tuple[str, ...] = ()
        else:
            arguments = ("event", "connection") if handles.transaction else ("event",)
        try:
            inspect.signature(function).bind(*arguments)
        except (TypeError, ValueError) as exc:
            called = f"{name_of(function)}({', '.join(arguments)})"
            yield f"Ringback calls {called}, but its parameters do not allow that: {exc}."


def _is_known(event_type: str) -> bool:
    return event_type.partition("[")[0] in KNOWN_EVENT_TYPES or event_type.startswith(_OWN_TYPES)


def _in_order_of_running(handlers: list[Handler]) -> list[Handler]:
    return sorted(handlers, key=lambda handler: declaration_of(handler).transaction)
