"""Permissions at the broker: a user for each service, and one that may declare.

In RabbitMQ a user may configure, write to and read from what three patterns match. Publishing is
writing to an exchange, consuming is reading from a queue. A passive declare needs no permission.
"""

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from ringback.contract.topology import ATTEMPT_QUEUES, DEAD, DEAD_LETTER_QUEUE, FAILED, WEBHOOKS

VHOST = "ringback"

_DEFAULT_EXCHANGE = "amq.default"
"""The default exchange's name in permissions.

A user that may write to it may publish to any queue.
"""

_EVERYTHING_OF_OURS = rf"^{re.escape(WEBHOOKS)}(\..+)?$"


@dataclass(frozen=True, slots=True)
class BrokerUser:
    name: str
    configure: str
    write: str
    read: str
    tags: tuple[str, ...] = ()


def _only(*names: str) -> str:
    """A pattern that matches exactly these names; nothing if there are none."""
    return f"^({'|'.join(map(re.escape, names))})$" if names else "^$"


GATEWAY = BrokerUser("gateway", configure=_only(), write=_only(WEBHOOKS), read=_only())
PROCESSOR = BrokerUser(
    "processor",
    configure=_only(),
    # Permanent failures go to the dead letters, copies of failed messages to retry queues, crashing
    # messages to quarantine, and what waited in PostgreSQL to its next attempt.
    write=_only(DEAD, FAILED, WEBHOOKS, _DEFAULT_EXCHANGE),
    read=_only(*ATTEMPT_QUEUES, DEAD_LETTER_QUEUE),
    # It asks the management API whether its queues are still bound.
    tags=("management",),
)
METRICS = BrokerUser(
    "metrics",
    configure=_only(),
    write=_only(WEBHOOKS),
    read=_only(),
    # It asks the management API how many messages are unacknowledged.
    tags=("monitoring",),
)
TOPOLOGY = BrokerUser(
    "topology",
    configure=_EVERYTHING_OF_OURS,
    # Binding and dead-lettering write at one end and read at the other.
    write=_EVERYTHING_OF_OURS,
    read=_EVERYTHING_OF_OURS,
    # It asks the management API which schedule is bound.
    tags=("management",),
)
ADMINISTRATOR = BrokerUser(
    "administrator", configure=".*", write=".*", read=".*", tags=("administrator",)
)
"""For a person who uses the management pages. Our programs don't need it."""

USERS = {user.name: user for user in (GATEWAY, PROCESSOR, METRICS, TOPOLOGY, ADMINISTRATOR)}


def password_hash(password: str, salt: bytes) -> str:
    """The password hash that RabbitMQ stores, with SHA-256; the salt has 4 bytes."""
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def definitions(hashes: Mapping[str, str], vhost: str = VHOST) -> dict[str, object]:
    """Definitions for RabbitMQ to import: a virtual host, and each user with a hash.

    Importing them again resets passwords and permissions to these, and removes no user.
    """
    users = [USERS[name] for name in hashes]
    return {
        "vhosts": [{"name": vhost}],
        "users": [
            {
                "name": user.name,
                "password_hash": hashes[user.name],
                "hashing_algorithm": "rabbit_password_hashing_sha256",
                "tags": ",".join(user.tags),
            }
            for user in users
        ],
        "permissions": [
            {
                "user": user.name,
                "vhost": vhost,
                "configure": user.configure,
                "write": user.write,
                "read": user.read,
            }
            for user in users
        ],
    }
