"""Who may do what at the broker: a user for each service, and one that alone may declare.

As RabbitMQ has it: a user may configure, write to and read from what three patterns name. To
publish is to write to an exchange, to consume is to read from a queue; to look passively needs no
right at all.
"""

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from ringback.contract.topology import (
    DEAD,
    DEAD_LETTER_QUEUE,
    SUSPECT_QUEUE,
    WEBHOOKS,
    WORK_QUEUE,
)

VHOST = "ringback"

_DEFAULT_EXCHANGE = "amq.default"
"""Its name in permissions. Whoever may write to it may publish to any queue."""

_EVERYTHING_OF_OURS = rf"^{re.escape(WEBHOOKS)}(\..+)?$"


@dataclass(frozen=True, slots=True)
class BrokerUser:
    name: str
    configure: str
    write: str
    read: str
    tags: tuple[str, ...] = ()


def _only(*names: str) -> str:
    """The pattern of exactly these; of nothing, if there are none."""
    return f"^({'|'.join(map(re.escape, names))})$" if names else "^$"


GATEWAY = BrokerUser("gateway", configure=_only(), write=_only(WEBHOOKS), read=_only())
PROCESSOR = BrokerUser(
    "processor",
    configure=_only(),
    # What fails for good goes to the dead letters; what kills processes, to the suspects.
    write=_only(DEAD, _DEFAULT_EXCHANGE),
    read=_only(WORK_QUEUE, SUSPECT_QUEUE, DEAD_LETTER_QUEUE),
    # It asks the management API whether the work queue is still bound.
    tags=("management",),
)
METRICS = BrokerUser(
    "metrics",
    configure=_only(),
    write=_only(WEBHOOKS),
    read=_only(),
    # It asks the management API how much is unacknowledged.
    tags=("monitoring",),
)
TOPOLOGY = BrokerUser(
    "topology",
    configure=_EVERYTHING_OF_OURS,
    # To bind and to dead-letter is to write at one end and to read at the other.
    write=_EVERYTHING_OF_OURS,
    read=_EVERYTHING_OF_OURS,
    # It asks the management API which ladder is bound.
    tags=("management",),
)
ADMINISTRATOR = BrokerUser(
    "administrator", configure=".*", write=".*", read=".*", tags=("administrator",)
)
"""For a person, at the management pages. No program of ours needs it."""

USERS = {user.name: user for user in (GATEWAY, PROCESSOR, METRICS, TOPOLOGY, ADMINISTRATOR)}


def password_hash(password: str, salt: bytes) -> str:
    """What RabbitMQ keeps of a password, by SHA-256; the salt has 4 bytes."""
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def definitions(hashes: Mapping[str, str], vhost: str = VHOST) -> dict[str, object]:
    """A document that RabbitMQ imports: a virtual host, and the users of which there is a hash.

    Importing it again changes passwords and permissions to these, and removes nobody.
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
