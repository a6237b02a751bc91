"""What a system has used: processor time and memory of its parts, and work of the database."""

from collections.abc import Mapping

from benchmarks.process_usage import cpu_by_part_s, pss_by_part_mib
from benchmarks.systems import System

_DATABASE = """
    SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::float8 / 1000 AS wal_kb,
           (SELECT sum(calls) FROM pg_stat_statements WHERE toplevel)::float8 AS statements,
           (SELECT coalesce(sum(fsyncs), 0) FROM pg_stat_io WHERE object = 'wal')::float8 AS fsyncs
"""


def cpu(system: System) -> dict[str, float]:
    """The milliseconds of each part since it started, and of all."""
    parts = cpu_by_part_s(system.parts)
    each = {f"cpu_{name}_ms": seconds * 1e3 for name, seconds in parts.items()}
    return {"cpu_ms": sum(each.values())} | each


def memory(system: System) -> dict[str, float]:
    """The MiB of each part, with its share of shared pages, and of all."""
    parts = {f"{name}_mib": mib for name, mib in pss_by_part_mib(system.parts).items()}
    return {"mib": sum(parts.values())} | parts


async def database(system: System) -> dict[str, float]:
    """Read it when the system has stopped: its connections report some of it only at their end."""
    [row] = await system.stack.sql(_DATABASE)
    return dict(row)


def per_webhook(
    before: Mapping[str, float], after: Mapping[str, float], webhooks: int
) -> dict[str, float]:
    return {name: (after[name] - before[name]) / max(webhooks, 1) for name in after}
