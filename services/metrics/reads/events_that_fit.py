"""Which events of a page of dead letters go into one answer."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """`fits`: as it is stored, beside those before it. `text`: None if it was not read."""

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
    """As many of `ids` as hold at most `most_bytes` of events together, and at least the first.

    An event that alone is larger is left out and takes no room. A webhook that is not among
    `events` has vanished from the log since it was found, and is passed over.
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
