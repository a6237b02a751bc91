"""A simple model of a large installation: what each part has to do, and what is full first.

.venv/bin/python -m benchmarks.scale_model --per-s 10000 --organisations 100000

Utilisation is rate times the cost of one webhook, as benchmarks/demands.json has it. Waiting for a
slot of a processor is that of M/M/c: arrivals at random, times exponential, which errs on the side
of too many. Nothing here is measured at that size.
"""

import argparse
import math
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.demands import Demands, read

BUSY = 0.6
"""How busy a part may be on average: there is room for a burst, and for a part that fails."""

PREFETCH = 5
EVENT_TYPES = 5
MINUTES_KEPT = 48 * 60
STATS_ROW_BYTES = 200
"""A bucket with its index entry, in round figures."""

SECONDS_PER_DAY = 86_400
RETENTION_DAYS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The capacities of one installation. Not measured: enter your own."""

    database_cores: float = 16
    broker_cores: float = 8
    wal_mb_per_s: float = 200.0
    stored_tb: float = 10.0
    queue_per_s: float = 4_000.0
    """Webhooks per second in one quorum queue, measured on two cores."""
    buckets_bytes: float = 50e9
    """Of statistics by the minute, so that folding them stays in memory."""


@dataclass(frozen=True, slots=True)
class Limit:
    """Which part is full at which rate, and which setting to change then."""

    what: str
    per_webhook: str
    full_at_per_s: float
    turn: str


def replicas(per_s: float, cost_ms: float, busy: float = BUSY) -> int:
    """How many processes of one core each, so that none is busier than `busy` on average."""
    return max(1, math.ceil(per_s * cost_ms / 1000 / busy))


def waiting_probability(slots: int, load: float) -> float:
    """Erlang C: how likely it is that all slots are busy; `load` is arrivals times service time.

    1.0 if there are not enough slots at all.
    """
    if load >= slots:
        return 1.0
    # The blocking probability of Erlang B by its recursion: no factorials.
    blocked = 1.0
    for count in range(1, slots + 1):
        blocked = load * blocked / (count + load * blocked)
    return blocked / (1 - load / slots * (1 - blocked))


def waiting_s(slots: int, per_s: float, service_s: float, share: float = 0.99) -> float:
    """The wait within which this share of the arrivals gets a slot; infinite if it never does."""
    load = per_s * service_s
    if load >= slots:
        return math.inf
    waits = waiting_probability(slots, load)
    if waits <= 1 - share:
        return 0.0
    return math.log(waits / (1 - share)) / (slots / service_s - per_s)


def slots_needed(per_s: float, service_s: float, within_s: float, share: float = 0.99) -> int:
    """The fewest slots with which this share of the webhooks waits no longer than `within_s`."""
    slots = max(1, math.floor(per_s * service_s) + 1)
    while waiting_s(slots, per_s, service_s, share) > within_s:
        slots += 1
    return slots


def processors(per_s: float, handler_s: float, demands: Demands, within_s: float = 0.1) -> int:
    """Enough for the processor time of the webhooks, and enough slots for their handlers."""
    service_s = handler_s + demands.processor_ms / 1000
    slots = slots_needed(per_s, service_s, within_s)
    return max(replicas(per_s, demands.processor_ms), math.ceil(slots / PREFETCH))


def buckets(per_s: float, organisations: int) -> float:
    """How many buckets of statistics by the minute there are at a time, traffic spread evenly.

    The first webhook of an organisation and a type in a minute creates a bucket.
    """
    pairs = organisations * EVENT_TYPES
    hit = -math.expm1(-per_s * 60 / pairs)
    return pairs * hit * MINUTES_KEPT


def limits(place: Place, organisations: int, demands: Demands) -> list[Limit]:
    """All limits of one installation, the first one reached at the beginning."""
    per_day = demands.stored_bytes * SECONDS_PER_DAY * RETENTION_DAYS
    found = [
        *_server_limits(place, demands),
        Limit(
            f"disk of the log, {place.stored_tb:g} TB for {RETENTION_DAYS} days",
            f"{demands.stored_bytes / 1000:.1f} kB",
            place.stored_tb * 1e12 / per_day,
            "`RINGBACK_RETENTION_DAYS`; a larger disk; more installations",
        ),
        Limit(
            f"the work queue, {place.queue_per_s:,.0f}/s",
            "1 message",
            place.queue_per_s * BUSY,
            "more installations: each has a work queue of its own",
        ),
        Limit(
            f"statistics by the minute, {place.buckets_bytes / 1e9:g} GB, "
            f"{organisations:,} organisations",
            f"up to {STATS_ROW_BYTES} B for each minute with it",
            rate_of_buckets(place.buckets_bytes / STATS_ROW_BYTES, organisations),
            "fewer organisations in one installation",
        ),
    ]
    return sorted(found, key=lambda limit: limit.full_at_per_s)


def _server_limits(place: Place, demands: Demands) -> list[Limit]:
    return [
        Limit(
            f"PostgreSQL's processors, {place.database_cores:g}",
            f"{demands.database_ms:.2f} ms",
            place.database_cores * BUSY / demands.database_ms * 1000,
            "a larger server; more installations",
        ),
        Limit(
            f"PostgreSQL's WAL, {place.wal_mb_per_s:g} MB/s",
            f"{demands.wal_bytes / 1000:.1f} kB",
            place.wal_mb_per_s * 1e6 * BUSY / demands.wal_bytes,
            "a faster disk for the WAL; more installations",
        ),
        Limit(
            f"RabbitMQ's processors, {place.broker_cores:g}",
            f"{demands.broker_ms:.2f} ms",
            place.broker_cores * BUSY / demands.broker_ms * 1000,
            "larger nodes, until the one queue is full",
        ),
    ]


def rate_of_buckets(count: float, organisations: int) -> float:
    """At which rate there are so many buckets; infinite if there never are."""
    pairs = organisations * EVENT_TYPES
    share = count / (pairs * MINUTES_KEPT)
    return math.inf if share >= 1 else -math.log1p(-share) * pairs / 60


def installations(per_s: float, organisations: int, place: Place, demands: Demands) -> int:
    """How many installations are needed so that none is full, if they share the organisations."""
    count = 1
    while per_s / count > limits(place, organisations // count, demands)[0].full_at_per_s:
        count += 1
    return count


def tables(per_s: float, organisations: int, place: Place, demands: Demands) -> Iterator[str]:
    """The model as lines of Markdown."""
    count = installations(per_s, organisations, place, demands)
    yield "| what | one webhook | full at | then turn |"
    yield "|---|---|---|---|"
    for limit in limits(place, organisations, demands):
        full = "never" if math.isinf(limit.full_at_per_s) else f"{limit.full_at_per_s:,.0f}/s"
        yield f"| {limit.what} | {limit.per_webhook} | {full} | {limit.turn} |"
    yield ""
    yield f"| {per_s:,.0f}/s, {organisations:,} organisations | together | in each of {count} |"
    yield "|---|---|---|"
    for name, value in _needs(per_s, organisations, demands).items():
        share = _needs(per_s / count, organisations // count, demands)[name]
        yield f"| {name} | {value} | {share} |"


def _needs(per_s: float, organisations: int, demands: Demands) -> dict[str, str]:
    daily_tb = demands.stored_bytes * per_s * SECONDS_PER_DAY / 1e12
    return {
        "gateways": f"{replicas(per_s, demands.gateway_ms):,}",
        "processors, handlers of 0 ms": f"{processors(per_s, 0.0, demands):,}",
        "processors, handlers of 100 ms": f"{processors(per_s, 0.1, demands):,}",
        "cores of RabbitMQ": f"{replicas(per_s, demands.broker_ms):,}",
        "cores of PostgreSQL": f"{replicas(per_s, demands.database_ms):,}",
        "WAL": f"{per_s * demands.wal_bytes / 1e6:,.0f} MB/s",
        "log a day": f"{daily_tb:,.2f} TB",
        f"log in {RETENTION_DAYS} days": f"{daily_tb * RETENTION_DAYS:,.1f} TB",
        "buckets by the minute": f"{buckets(per_s, organisations) / 1e6:,.0f} million",
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale_model", description=__doc__)
    parser.add_argument("--per-s", type=float, default=10_000, help="webhooks a second")
    parser.add_argument("--organisations", type=int, default=100_000)
    for name, default in (("database-cores", 16.0), ("wal-mb-per-s", 200.0), ("stored-tb", 10.0)):
        parser.add_argument(f"--{name}", type=float, default=default)
    given = parser.parse_args()
    place = Place(
        database_cores=given.database_cores,
        wal_mb_per_s=given.wal_mb_per_s,
        stored_tb=given.stored_tb,
    )
    print("\n".join(tables(given.per_s, given.organisations, place, read())))


if __name__ == "__main__":
    main()
