import os
import secrets
from pathlib import Path

import orjson
from pydantic import Field, SecretStr

from ringback.contract import broker_access as contract
from ringback.runtime.process.settings import Settings, load

_SALT_BYTES = 4
_READABLE_BY_ALL = 0o644


class BrokerPasswords(Settings):
    """The passwords of the broker's users; the person's may be left out."""

    broker_gateway_password: SecretStr = Field(min_length=1)
    broker_processor_password: SecretStr = Field(min_length=1)
    broker_metrics_password: SecretStr = Field(min_length=1)
    broker_topology_password: SecretStr = Field(min_length=1)
    broker_administrator_password: SecretStr | None = None


def access(*, to: Path, vhost: str = contract.VHOST) -> None:
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
        name: contract.password_hash(given.get_secret_value(), secrets.token_bytes(_SALT_BYTES))
        for name in contract.USERS
        if (given := getattr(passwords, f"broker_{name}_password")) is not None
    }
    document = orjson.dumps(contract.definitions(hashes, vhost), option=orjson.OPT_INDENT_2)
    unfinished = to.with_name(f".{to.name}")
    unfinished.write_bytes(document)
    # The broker reads it as another user, and in it are only hashes.
    unfinished.chmod(_READABLE_BY_ALL)
    unfinished.replace(to)
