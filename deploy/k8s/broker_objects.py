"""The broker's users and their permissions, as objects for its operator."""

from collections.abc import Iterator
from typing import Any, Final

from ringback.contract.broker_access import (
    GATEWAY,
    METRICS,
    PROCESSOR,
    TOPOLOGY,
    VHOST,
    BrokerUser,
)

Document = dict[str, Any]

AUTOSCALER: Final = BrokerUser(
    "autoscaler", configure="^$", write="^$", read="^$", tags=("monitoring",)
)
"""KEDA, which reads the length of a queue from the management API."""

USERS: Final = (GATEWAY, PROCESSOR, METRICS, TOPOLOGY, AUTOSCALER)


def broker_objects(cluster: str) -> Iterator[Document]:
    """Objects for the Messaging Topology Operator.

    A user's name and password are in the Secret `<name>-broker`.
    """
    at = {"rabbitmqClusterReference": {"name": cluster}}
    # Deleting a virtual host deletes all its queues, so it outlives the object that made it.
    kept = {"defaultQueueType": "quorum", "deletionPolicy": "retain"}
    yield _object("Vhost", VHOST, {"name": VHOST, **kept, **at})
    for user in USERS:
        login = {"importCredentialsSecret": {"name": f"{user.name}-broker"}, **at}
        tags = {"tags": [*user.tags]} if user.tags else {}
        yield _object("User", user.name, login | tags)
        rights = {"configure": user.configure, "write": user.write, "read": user.read}
        reference = {"userReference": {"name": user.name}, "vhost": VHOST}
        yield _object("Permission", user.name, {"permissions": rights, **reference, **at})


def _object(kind: str, name: str, spec: Document) -> Document:
    return {
        "apiVersion": "rabbitmq.com/v1beta1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": spec,
    }
