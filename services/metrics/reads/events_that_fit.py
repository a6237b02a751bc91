"""Chooses which events of a page of dead letters fit into one answer."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """`fits`: its stored size, beside those before it, fits. `text`: None if it was not read."""

    size_bytes: int
    fits: bool
    text: str | None

    @property
    def most_bytes(self) -> int:
        """Its bytes in an answer, or as it is stored if that is more."""
        return max(self.size_bytes, len((self.text or "").encode()))


@dataclass(frozen=True, slots=True)
class Fitting:
    """The first webhooks of a page, in its order; those in `omitted` without their events."""

    ids: tuple[UUID, ...]
    omitted: frozenset[UUID]


def fit(ids: Iterable[UUID], events: Mapping[UUID, StoredEvent], most_bytes: int) -> Fitting:
    """The first of `ids` whose events fit into `most_bytes` together; at least one.

    An event that is too large alone is left out and uses no room. A webhook missing from `events`
    was deleted from the log since it was found, and is skipped.
    """
    fitting: list[UUID] = []
    omitted: set[UUID] = set()
    used = 0
    for job_id in ids:
        event = events.get(job_id)
        if event is None:
            continue
        if event.most_bytes > most_bytes:
            omitted.add(job_id)
        elif not event.fits or used + event.most_bytes > most_bytes:
            break
        else:
            used += event.most_bytes
        fitting.append(job_id)
    return Fitting(tuple(fitting), frozenset(omitted))
