"""How many files this process may open; connections count as files."""

import resource

_RESERVED = 128
"""Files other than client connections: broker, database, spool, probes, logs."""


def room_for_connections(wanted: int) -> int:
    """Raise the soft limit of the process to its hard limit; return how many connections fit.

    At the limit the process could not accept connections or connect to the broker.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard == resource.RLIM_INFINITY:
        return wanted
    return max(1, min(wanted, hard - _RESERVED))
