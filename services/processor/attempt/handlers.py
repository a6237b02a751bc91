"""Imports the handlers, and selects those of an event type."""

import importlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ringback.handlers import Event, Handler, Handles, declared
from ringback.runtime.process.lifecycle import CannotStartError
from services.processor.attempt.context import CallUpdate

CallUpdateOf = Callable[[Event], CallUpdate | None]


@dataclass(frozen=True, slots=True)
class HandlerSelection:
    """The handlers of one event type, in the order of their modules.

    `plain` ones act outside the database, `transactional` ones inside the finishing transaction.
    `call_update_of` only returns what to write in it.
    """

    plain: tuple[Handler, ...]
    transactional: tuple[Handler, ...]
    call_update_of: CallUpdateOf | None


class HandlerSet:
    def __init__(
        self, handlers: Iterable[Handler], call_update_of: CallUpdateOf | None = None
    ) -> None:
        self._handlers = [(_declared(handler), handler) for handler in handlers]
        self._call_update_of = call_update_of

    def for_type(self, event_type: str) -> HandlerSelection:
        wanted = [(d, handler) for d, handler in self._handlers if d.wants(event_type)]
        return HandlerSelection(
            plain=tuple(handler for d, handler in wanted if not d.transaction),
            transactional=tuple(handler for d, handler in wanted if d.transaction),
            call_update_of=self._call_update_of,
        )


def import_handlers(modules: str) -> list[Handler]:
    """The handlers that the modules declare, in the order of their names and lines.

    `modules` is comma separated. Raises CannotStartError with a sentence for a module that cannot
    be imported, or that declares no handler.
    """
    handlers: list[Handler] = []
    for name in filter(None, (part.strip() for part in modules.split(","))):
        try:
            module = importlib.import_module(name)
        except (Exception, SystemExit) as exc:
            raise CannotStartError(
                f"RINGBACK_HANDLERS names {name}, which cannot be imported: "
                f"{type(exc).__name__}: {exc}"
            ) from exc
        found = [value for value in vars(module).values() if declared(value) is not None]
        if not found:
            raise CannotStartError(
                f"RINGBACK_HANDLERS names {name}, which has no function with @handles(…)."
            )
        handlers.extend(handler for handler in found if handler not in handlers)
    return handlers


def _declared(handler: Handler) -> Handles:
    found = declared(handler)
    if found is None:
        raise TypeError(f"{handler!r} is not declared with @handles(…)")
    return found
