"""How many files this process may have open: connections are files."""

import resource

_RESERVED = 128
"""Files that are no connections of senders or callers: broker, database, spool, probes, logs."""


def room_for_connections(wanted: int) -> int:
    """Raise the soft limit of the process to its hard one; return how many connections fit.

    At the limit nothing could be accepted, and no link to the broker be made either.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard == resource.RLIM_INFINITY:
        return wanted
    return max(1, min(wanted, hard - _RESERVED))
