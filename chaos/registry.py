"""The list of all faults. A new group is a file in `chaos/faults` and a line here."""

from collections.abc import Sequence

from chaos.fault import Fault
from chaos.faults import (
    broker,
    clients,
    clocks,
    database,
    destinations,
    disk,
    forwards,
    handlers,
    network,
    order,
    processes,
    questions,
    spool,
    waits,
)

ALL: tuple[Fault, ...] = (
    *processes.FAULTS,
    *broker.FAULTS,
    *database.FAULTS,
    *clocks.FAULTS,
    *network.FAULTS,
    *disk.FAULTS,
    *spool.FAULTS,
    *handlers.FAULTS,
    *destinations.FAULTS,
    *waits.FAULTS,
    *forwards.FAULTS,
    *order.FAULTS,
    *clients.FAULTS,
    *questions.FAULTS,
)


class UnknownFaultError(Exception):
    """No fault has this name; the text lists the existing ones."""


def named(names: Sequence[str]) -> tuple[Fault, ...]:
    """Give the faults of these names, in the order of the registry; all of them for no names."""
    known = {fault.name for fault in ALL}
    for name in names:
        if name not in known:
            raise UnknownFaultError(
                f"There is no fault {name!r}. There are: {', '.join(sorted(known))}."
            )
    return tuple(fault for fault in ALL if not names or fault.name in names)
