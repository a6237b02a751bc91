import asyncio
import os
import secrets
from pathlib import Path

import orjson
from cyclopts import App
from pydantic import Field, SecretStr

from ringback.cli.client.addresses import Addresses
from ringback.cli.commands.topology_change import move, prune
from ringback.cli.poll import Within, until_nothing_missing
from ringback.cli.terminal import EXIT_FAILED, err, out
from ringback.contract import broker_access
from ringback.contract import topology as contract
from ringback.contract.telemetry.spec import Service
from ringback.runtime.amqp import topology as broker
from ringback.runtime.process.settings import Settings, load

topology = App(
    name="topology",
    help="Declare the exchanges, queues and bindings of Ringback on the broker, or check them; "
    "move to another retry schedule.",
    help_epilogue="",
)
topology.command(move)
topology.command(prune)


@topology.command
def apply() -> None:
    """Declare every exchange, queue and binding. Declaring again changes nothing.

    The waits between attempts come from RINGBACK_RETRY_SCHEDULE, for example 2s,4s,8s. Where the
    management API tells that another retry schedule is bound nothing is changed: see `topology
    move`.
    """
    addresses = Addresses.from_env()
    management_url = addresses.management
    if management_url is None:
        err().print(
            "Without RINGBACK_RABBITMQ_MANAGEMENT_URL nobody can tell whether another retry "
            "schedule is "
            "bound. Two at once would copy messages.",
            soft_wrap=True,
        )
    asyncio.run(broker.apply(addresses.amqp, addresses.schedule, management_url=management_url))
    wanted = contract.topology(addresses.schedule)
    out().print(
        f"Declared {len(wanted.exchanges)} exchanges, {len(wanted.queues)} queues and "
        f"{len(wanted.bindings)} bindings. {_attempts(addresses)}"
    )


@topology.command
def check() -> int:
    """Tell what on the broker differs from what must be there; exit with 1 if anything does."""
    addresses = Addresses.from_env()
    differences = asyncio.run(
        broker.check(addresses.amqp, addresses.schedule, management_url=addresses.management)
    )
    console = out()
    for sentence in differences:
        console.print(sentence, soft_wrap=True)
    if differences:
        is_another = any("another retry schedule" in sentence for sentence in differences)
        console.print(
            f"`ringback topology move --to {addresses.schedule}` changes the retry schedule."
            if is_another
            else "`ringback topology apply` declares what is missing."
        )
        return EXIT_FAILED
    console.print(f"The topology stands. {_attempts(addresses)}")
    return 0


@topology.command
def wait(service: Service, *, within: Within = 300.0) -> int:
    """Wait until what a service needs stands on the broker; exit with 1 if it is not in time.

    Changes nothing. For what starts beside the run of `ringback topology apply`: the broker's user
    of any service may ask. The gateway needs less than the others, and can accept while the broker
    is away, so for it nobody waits for a broker that does not answer.

    Parameters
    ----------
    service
        For whom.
    within
        Seconds to wait at most.
    """
    addresses = Addresses.from_env()
    whole = contract.topology(addresses.schedule)
    accepts = service is Service.GATEWAY
    wanted = contract.for_accepting(whole) if accepts else whole

    async def lacking() -> str:
        try:
            return " ".join(await broker.absent(addresses.amqp, wanted))
        except broker.BrokerAwayError as exc:
            return "" if accepts else str(exc)

    status = asyncio.run(until_nothing_missing(lacking, within))
    if not status:
        out().print(f"Nothing keeps the {service} from starting.")
    return status


def _attempts(addresses: Addresses) -> str:
    schedule = addresses.schedule
    waits = f", after waits of {schedule}" if schedule.retry_queues else ""
    return f"Attempts per webhook: {schedule.max_attempts}{waits}."


_SALT_BYTES = 4
_READABLE_BY_ALL = 0o644


class BrokerPasswords(Settings):
    """The passwords of the broker's users; the person's may be left out."""

    broker_gateway_password: SecretStr = Field(min_length=1)
    broker_processor_password: SecretStr = Field(min_length=1)
    broker_metrics_password: SecretStr = Field(min_length=1)
    broker_topology_password: SecretStr = Field(min_length=1)
    broker_administrator_password: SecretStr | None = None


@topology.command
def access(*, to: Path, vhost: str = broker_access.VHOST) -> None:
    """Write the users of the broker, and what each may do, as definitions for RabbitMQ to import.

    The passwords are those of RINGBACK_BROKER_GATEWAY_PASSWORD, and so on for PROCESSOR, METRICS
    and TOPOLOGY, and for a person ADMINISTRATOR; the file has their salted hashes. RabbitMQ takes
    it by its setting `load_definitions`, or by `rabbitmqctl import_definitions`.

    Parameters
    ----------
    to
        The file.
    vhost
        The virtual host that they may use.
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
    # The broker reads it as another user, and in it are only hashes.
    unfinished.chmod(_READABLE_BY_ALL)
    unfinished.replace(to)
