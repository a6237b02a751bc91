from dataclasses import dataclass
from enum import StrEnum


class Protocol(StrEnum):
    """The transport of a call; a label of metrics."""

    GRPC = "grpc"
    REST = "rest"


@dataclass(frozen=True, slots=True)
class Peer:
    """The other end of the connection, for the log."""

    protocol: Protocol
    #: From the socket, for example `127.0.0.1:41234`.
    address: str
