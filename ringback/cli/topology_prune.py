import asyncio
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.text import Text

from ringback.cli.addresses import Addresses
from ringback.cli.failure import CommandError
from ringback.cli.terminal import EXIT_FAILED, err, out
from ringback.cli.words import plural
from ringback.local.console import printable
from ringback.runtime.amqp.retry_queue_removal import (
    OldRetryQueues,
    old_retry_queues,
    remove_old_retry_queues,
)
from ringback.runtime.amqp.schedule_change import SETTLE_S


def prune(
    *,
    dry_run: Annotated[bool, Parameter(negative="")] = False,
    settle: float = SETTLE_S,
) -> int:
    """Delete empty retry queues of former schedules; exit with 1 while some have messages.

    Do it after all services were restarted with the new retry schedule: a service with the old one
    takes no work when it connects anew and a retry queue is missing.

    Parameters
    ----------
    dry_run
        Tell what would be deleted, and delete nothing.
    settle
        For how many seconds a retry queue must be seen to be empty. The broker's figures can be ten
        seconds old.
    """
    addresses = Addresses.from_env()
    management_url = addresses.management
    if management_url is None:
        raise CommandError(
            "Only the management API tells whether a retry queue is empty. Set "
            "RINGBACK_RABBITMQ_MANAGEMENT_URL."
        )
    if dry_run:
        found = asyncio.run(old_retry_queues(addresses.amqp, management_url))
    else:
        found = asyncio.run(
            remove_old_retry_queues(
                addresses.amqp,
                management_url,
                settle_s=settle,
                waits=lambda sentence: err().print(Text(sentence, "dim")),
            )
        )
    return _told(out(), found, "would delete" if dry_run else "deleted")


def _told(console: Console, found: OldRetryQueues, verb: str) -> int:
    for name in found.empty:
        console.print(f"{verb}  {printable(name)}")
    for name, count in found.held.items():
        holds = "its messages are not counted yet" if count is None else plural(count, "message")
        console.print(f"kept  {printable(name)}: {holds}")
    if not found.empty and not found.held:
        console.print("There are no retry queues of former retry schedules.")
    return EXIT_FAILED if found.held else 0
