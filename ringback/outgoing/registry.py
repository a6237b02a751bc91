"""The destinations of a process: declared once, observed, and kept in a state by people."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ringback.outgoing.calls import Destination, Options, Watch
from ringback.runtime.outgoing.breaker import BreakerState

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_MAX_DESTINATIONS = 200
"""Each is a label of metrics. A name that is built from an event would make too many."""

KNOWN: Mapping[str, Mapping[str, Any]] = {
    # https://developers.google.com/workspace/calendar/api/guides/errors: 403 may be a rate limit,
    # 404 may be temporary, and 409 means that an earlier attempt created the event.
    "google-calendar": {
        "base_url": "https://www.googleapis.com/calendar/v3/",
        "permanent": frozenset({400, 410}),
    },
    # 401 and 403 end when a person corrects the account.
    "twilio": {
        "base_url": "https://api.twilio.com/2010-04-01/",
        "permanent": frozenset({400, 404, 405, 422}),
    },
    # 400 may mean that too many calls are in progress.
    "vapi": {"base_url": "https://api.vapi.ai/", "permanent": frozenset({404})},
}
"""Defaults by name: the base URL, and the statuses that no repetition changes."""


@dataclass(slots=True)
class Destinations:
    """The destinations of a process, and the states that people keep some of them in."""

    watch: Watch | None = None
    _by_name: dict[str, Destination] = field(default_factory=dict)
    _forced: Mapping[str, BreakerState] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Destination]:
        return iter(list(self._by_name.values()))

    def declare(
        self,
        name: str,
        *,
        base_url: str | None = None,
        failure_ratio: float = 0.5,
        minimum: int = 10,
        window_s: float = 30.0,
        open_s: float = 5.0,
        timeout_s: float = 5.0,
        concurrency: int = 4,
        permanent: frozenset[int] | None = None,
        failures: tuple[type[BaseException], ...] = (),
        allow_networks: str = "",
        max_answer_bytes: int = 1024 * 1024,
    ) -> Destination:
        """The destination with this name, one object in a process.

        Its breaker opens for `open_s` if `failure_ratio` of at least `minimum` calls within
        `window_s` failed, or five in a row; each failed probe doubles that time, up to 30 s.
        At most `concurrency` calls are in flight in a process, and each ends after
        `timeout_s`.

        Failures are timeouts, connection errors, answers of 5xx, 408, 425 and 429, and the error
        types in `failures`. A status in `permanent` raises PermanentFailure. For `google-calendar`,
        `twilio` and `vapi`, the base URL and the permanent statuses are known.

        `session()` connects only to public addresses, by https. With a `base_url` that begins with
        http:, or for a private address, name its network: `allow_networks="10.0.0.0/8"`.

        Raises ValueError for an argument that is not valid, or that differs from an earlier one.
        """
        known = KNOWN.get(name, {})
        options = Options(
            base_url=base_url or known.get("base_url"),
            failure_ratio=failure_ratio,
            minimum=minimum,
            window_s=window_s,
            open_s=open_s,
            timeout_s=timeout_s,
            concurrency=concurrency,
            permanent=known.get("permanent", frozenset()) if permanent is None else permanent,
            failures=failures,
            allow_networks=allow_networks,
            max_answer_bytes=max_answer_bytes,
        )
        return self._declare(name, options)

    def observe(self, watch: Watch) -> None:
        """Let `watch` observe all destinations, also those that are declared later."""
        self.watch = watch
        for one in self:
            watch.declared(one)

    def force(self, states: Mapping[str, BreakerState]) -> None:
        """Keep these destinations in these states, and no others."""
        self._forced = dict(states)
        for one in self:
            one.breaker.force(states.get(one.name))

    def free_permits(self, name: str) -> int | None:
        """How many calls of a destination would be admitted now; None for any number.

        A destination that no handler has declared here counts as closed.
        """
        known = self._by_name.get(name)
        return None if known is None else known.breaker.free_permits

    def reset(self) -> None:
        """Forget all calls and failures, for the next test."""
        self._forced = {}
        for one in self:
            one.reset()

    async def close(self) -> None:
        """Close the connections of the running event loop."""
        for one in self:
            await one.close()

    async def close_idle(self) -> None:
        """Do so for destinations without a call in flight."""
        for one in self:
            if not one.in_flight:
                await one.close()

    def _declare(self, name: str, options: Options) -> Destination:
        declared = self._by_name.get(name)
        if declared is not None:
            differences = options.differences(declared.options)
            if differences:
                raise ValueError(
                    f"The destination {name} was declared before with {'; '.join(differences)}. "
                    "Declare it once, and import it where it is called."
                )
            return declared
        if not _NAME.fullmatch(name):
            raise ValueError(
                f"{name!r} is not a name of a destination: use a-z, 0-9, '.', '_' and '-', "
                "at most 63, as in google-calendar."
            )
        if len(self._by_name) >= _MAX_DESTINATIONS:
            raise ValueError(
                f"There are {_MAX_DESTINATIONS} destinations already. Declare destinations when "
                "the module is imported; never make a name from an event."
            )
        made = self._by_name[name] = Destination(name, options, lambda: self.watch)
        made.breaker.force(self._forced.get(name))
        if self.watch is not None:
            self.watch.declared(made)
        return made


DESTINATIONS = Destinations()
"""Those of this process."""

destination = DESTINATIONS.declare
