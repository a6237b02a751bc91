"""How many replicas for which rate, as the table of docs/how-to/plan-capacity.md.

.venv/bin/python -m benchmarks.capacity
"""

from collections.abc import Iterator

from benchmarks.demands import Demands, read
from benchmarks.scale_model import RETENTION_DAYS, SECONDS_PER_DAY, processors, replicas

RATES_PER_S = (10, 50, 200, 500, 1000)


def table(demands: Demands) -> Iterator[str]:
    """The lines of the table, in Markdown."""
    yield _line("webhooks a second", (f"{rate:,}" for rate in RATES_PER_S))
    yield "|---" * (1 + len(RATES_PER_S)) + "|"
    yield _line("gateways", (replicas(rate, demands.gateway_ms) for rate in RATES_PER_S))
    for handler_ms in (0, 100):
        counts = (processors(rate, handler_ms / 1000, demands) for rate in RATES_PER_S)
        yield _line(f"processors, handlers of {handler_ms} ms", counts)
    for name, cost_ms in (("RabbitMQ", demands.broker_ms), ("PostgreSQL", demands.database_ms)):
        yield _line(f"cores of {name}", (replicas(rate, cost_ms) for rate in RATES_PER_S))
    bytes_kept = demands.stored_bytes * SECONDS_PER_DAY * RETENTION_DAYS
    sizes = (f"{bytes_kept * rate / 1e12:,.1f} TB" for rate in RATES_PER_S)
    yield _line(f"log in {RETENTION_DAYS} days", sizes)


def _line(name: str, values: Iterator[object]) -> str:
    return f"| {name} | {' | '.join(map(str, values))} |"


if __name__ == "__main__":
    print("\n".join(table(read())))
