import asyncio
import os
import secrets
from pathlib import Path

import orjson
from cyclopts import App
from pydantic import Field, SecretStr

from ringback.cli.client.addresses import Addresses
from ringback.cli.commands.topology_change import change, prune
from ringback.cli.poll import Within, until_nothing_missing
from ringback.cli.terminal import EXIT_FAILED, JsonFlag, err, out, write_json
from ringback.contract import broker_access
from ringback.contract import topology as contract
from ringback.contract.telemetry.spec import Service
from ringback.runtime.amqp import topology as broker
from ringback.runtime.process.settings import Settings, load

_SALT_BYTES = 4
_READABLE_BY_ALL = 0o644

topology = App(
    name="topology",
    help="Declare or check Ringback's exchanges, queues and bindings on the broker, and change the "
    "retry schedule.",
    help_epilogue="",
)
topology.command(change)
topology.command(prune)


@topology.command
def apply() -> None:
    """Declare every exchange, queue and binding. Repeating this changes nothing.

    The delays between attempts come from RINGBACK_RETRY_SCHEDULE, for example 2s,4s,8s. If the
    management API shows that another schedule is bound, nothing is changed: use `topology change`.
    """
    addresses = Addresses.from_env()
    management_url = addresses.management
    if management_url is None:
        err().print(
            "Warning: without RINGBACK_RABBITMQ_MANAGEMENT_URL this command cannot detect another "
            "bound retry schedule. Two schedules at once copy messages.",
            soft_wrap=True,
        )
    asyncio.run(broker.apply(addresses.amqp, addresses.schedule, management_url=management_url))
    wanted = contract.topology(addresses.schedule)
    out().print(
        f"Declared {len(wanted.exchanges)} exchanges, {len(wanted.queues)} queues and "
        f"{len(wanted.bindings)} bindings. {_attempts(addresses)}"
    )


@topology.command
def check(*, json: JsonFlag = False) -> int:
    """Compare the broker with what Ringback needs; the exit status is 1 if anything differs.

    Parameters
    ----------
    json
        Print a JSON document.
    """
    addresses = Addresses.from_env()
    differences = asyncio.run(
        broker.check(addresses.amqp, addresses.schedule, management_url=addresses.management)
    )
    if json:
        schedule = addresses.schedule
        document = {"differences": differences, "retrySchedule": str(schedule)}
        write_json(orjson.dumps(document | {"maxAttempts": schedule.max_attempts}))
        return EXIT_FAILED if differences else 0
    console = out()
    for sentence in differences:
        console.print(sentence, soft_wrap=True)
    if differences:
        is_another = any("another retry schedule" in sentence for sentence in differences)
        console.print(
            f"RINGBACK_RETRY_SCHEDULE is {addresses.schedule} for this command. Set it to the "
            f"schedule that is bound, or bind this one: "
            f"`ringback topology change --to {addresses.schedule}`."
            if is_another
            else "`ringback topology apply` declares what is missing.",
            soft_wrap=True,
        )
        return EXIT_FAILED
    console.print(f"The topology is complete. {_attempts(addresses)}")
    return 0


@topology.command
def wait(service: Service, *, within: Within = 300.0) -> int:
    """Wait until the queues that a service needs exist. Changes nothing.

    Use it before a service starts while `ringback topology apply` may still run. It works with the
    broker user of any service. The gateway needs fewer queues. It can accept webhooks without the
    broker, so for the gateway an unreachable broker counts as ready. The exit status is 1 if a
    queue is still missing when the time is over.

    Parameters
    ----------
    service
        The service that will start.
    within
        Maximum seconds to wait; with 0 it checks once.
    """
    addresses = Addresses.from_env()
    whole = contract.topology(addresses.schedule)
    accepts = service is Service.GATEWAY
    wanted = contract.accepting_topology() if accepts else whole

    async def missing() -> str:
        try:
            return " ".join(await broker.absent(addresses.amqp, wanted))
        except broker.BrokerUnavailableError as exc:
            return "" if accepts else str(exc)

    status = asyncio.run(until_nothing_missing(missing, within))
    if not status:
        out().print(f"The {service} can start.")
    return status


def _attempts(addresses: Addresses) -> str:
    schedule = addresses.schedule
    waits = f", with delays of {schedule}" if schedule.steps else ""
    return f"Attempts per webhook: {schedule.max_attempts}{waits}."


class BrokerPasswords(Settings):
    """The passwords of the broker's users; only the administrator's is optional."""

    broker_gateway_password: SecretStr = Field(min_length=1)
    broker_processor_password: SecretStr = Field(min_length=1)
    broker_metrics_password: SecretStr = Field(min_length=1)
    broker_topology_password: SecretStr = Field(min_length=1)
    broker_administrator_password: SecretStr | None = None


@topology.command
def access(*, to: Path, vhost: str = broker_access.VHOST) -> None:
    """Write the broker's users and their permissions to a file that RabbitMQ can import.

    The passwords come from RINGBACK_BROKER_GATEWAY_PASSWORD, and likewise for PROCESSOR, METRICS,
    TOPOLOGY and, optionally, ADMINISTRATOR for a person. The file contains only salted hashes.
    Import it with RabbitMQ's setting `load_definitions` or `rabbitmqctl import_definitions`.

    Parameters
    ----------
    to
        The file to write.
    vhost
        The virtual host that the users may use.
    """
    passwords = load(BrokerPasswords, os.environ)
    hashes = {
        name: broker_access.password_hash(
            given.get_secret_value(), secrets.token_bytes(_SALT_BYTES)
        )
        for name in broker_access.USERS
        if (given := getattr(passwords, f"broker_{name}_password")) is not None
    }
    document = orjson.dumps(broker_access.definitions(hashes, vhost), option=orjson.OPT_INDENT_2)
    unfinished = to.with_name(f".{to.name}")
    unfinished.write_bytes(document)
    # The broker runs as another user, and the file contains only hashes.
    unfinished.chmod(_READABLE_BY_ALL)
    unfinished.replace(to)
