"""One piece of work in a trace."""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType, TracebackType
from typing import Self

from ringback.contract.trace_context import TraceContext, new_trace_context
from ringback.runtime.tracing.shape import Shape, Value

NOTHING: Mapping[str, Value] = MappingProxyType({})

_HAS_IS_REMOTE, _IS_REMOTE = 0x100, 0x200
"""OTLP flags beside those of W3C: it is known whether the other span is remote, and it is."""


@dataclass(frozen=True, slots=True)
class Link:
    """A related span that is not the parent; `relation` names the relation."""

    context: TraceContext
    relation: str

    @property
    def otlp_flags(self) -> int:
        return self.context.flags | _HAS_IS_REMOTE | _IS_REMOTE


class OpenSpan:
    """A span from beginning to end. If it is not recorded, its data is discarded."""

    __slots__ = ()

    is_recorded = False

    @property
    def context(self) -> TraceContext:
        """The context that others continue: this span, or the nearest recorded one."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the span; an exception inside is recorded as its failure."""
        if error is not None:
            self.failed(type(error).__qualname__)
        self.end()

    def child(
        self, shape: Shape, attributes: Mapping[str, Value] = NOTHING, *, began_ns: int = 0
    ) -> "OpenSpan":
        """A part of this work, which may end after it. `began_ns` is given if it began earlier."""
        del shape, attributes, began_ns
        return self

    def set_attributes(self, attributes: Mapping[str, Value]) -> None:
        """Add attributes; a name that is already set gets the new value."""

    def link(self, link: Link) -> None:
        """Add a link to something that became known after the beginning."""

    def failed(self, error_type: str, description: str = "") -> None:
        """Mark the span as failed. `error_type` is one of a few words."""

    def end(self, ended_ns: int = 0) -> None:
        """End the span, now or at the given time, and keep it. Only the first call counts."""


class UnrecordedSpan(OpenSpan):
    """A span that is not recorded: its data is discarded."""

    __slots__ = ("_context",)

    def __init__(self, context: TraceContext) -> None:
        self._context = context

    @property
    def context(self) -> TraceContext:
        return self._context


def untraced() -> OpenSpan:
    """The span of work that is not traced."""
    return UnrecordedSpan(new_trace_context())


class RecordedSpan(OpenSpan):
    """A span that goes to `keep` when it ends. Ids are in hexadecimal, times in ns since 1970."""

    __slots__ = (
        "_keep",
        "attributes",
        "began_ns",
        "description",
        "ended_ns",
        "error_type",
        "flags",
        "links",
        "parent_id",
        "parent_is_remote",
        "shape",
        "span_id",
        "trace_id",
        "tracestate",
    )

    is_recorded = True

    def __init__(  # ruff: ignore[too-many-positional-arguments]  # names would cost more than the rest
        self,
        shape: Shape,
        keep: Callable[["RecordedSpan"], None],
        trace_id: str,
        flags: int,
        tracestate: str | None,
        parent_id: str,
        attributes: Mapping[str, Value],
        began_ns: int,
    ) -> None:
        self.shape = shape
        self.trace_id = trace_id
        self.span_id = new_span_id()
        self.flags = flags
        self.tracestate = tracestate
        self.parent_id = parent_id
        self.parent_is_remote = False
        self.links: Sequence[Link] = ()
        self.attributes = attributes
        self.began_ns = began_ns or time.time_ns()
        self.ended_ns = 0
        self.error_type = ""
        self.description = ""
        self._keep = keep

    @property
    def context(self) -> TraceContext:
        return TraceContext(
            f"00-{self.trace_id}-{self.span_id}-{self.flags:02x}",
            self.tracestate,
        )

    @property
    def otlp_flags(self) -> int:
        return self.flags | _HAS_IS_REMOTE | _IS_REMOTE * self.parent_is_remote

    def child(
        self, shape: Shape, attributes: Mapping[str, Value] = NOTHING, *, began_ns: int = 0
    ) -> OpenSpan:
        return RecordedSpan(
            shape,
            self._keep,
            self.trace_id,
            self.flags,
            self.tracestate,
            self.span_id,
            attributes,
            began_ns,
        )

    def set_attributes(self, attributes: Mapping[str, Value]) -> None:
        self.attributes = {**self.attributes, **attributes} if self.attributes else attributes

    def link(self, link: Link) -> None:
        self.links = (*self.links, link)

    def failed(self, error_type: str, description: str = "") -> None:
        self.error_type, self.description = error_type, description

    def end(self, ended_ns: int = 0) -> None:
        if not self.ended_ns:
            self.ended_ns = ended_ns or time.time_ns()
            self._keep(self)


def new_span_id() -> str:
    # Ids must be unlikely to collide, not hard to guess; asking the kernel costs ten times as much.
    return f"{random.getrandbits(64) or 1:016x}"


def new_trace_id() -> str:
    return f"{random.getrandbits(128) or 1:032x}"
