"""The ports and addresses of the local stack."""

import fcntl
import os
import random
import socket
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self
from urllib.parse import quote, urlencode

from ringback.local.account import elsewhere
from ringback.local.child import LocalStackError

LOOPBACK = "127.0.0.1"
LOOPBACK_OF_BOTH = f"{LOOPBACK},::1"

_UNUSED_RANGE = range(15_000, 32_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerPorts:
    amqp: int = 7672
    dist: int = 7673
    epmd: int = 7674
    management: int = 7675
    broker_metrics: int = 7676


@dataclass(frozen=True, slots=True, kw_only=True)
class ServicePorts:
    gateway: int = 8080
    metrics_grpc: int = 50051
    metrics_rest: int = 8081
    gateway_observability: int = 9101
    processor_observability: int = 9102
    metrics_observability: int = 9103


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabasePorts:
    database: int = 7432


@dataclass(frozen=True, slots=True, kw_only=True)
class PrometheusPorts:
    # Not 9090, which the distribution's own service uses.
    prometheus: int = 7090


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoPorts:
    """Where the backend of `ringback demo` listens while it runs."""

    answers: int = 8090


def port_setting(name: str) -> str:
    """The environment variable that changes the port called `name`."""
    # Services have their own settings for ports; those of private nodes begin with RINGBACK_LOCAL_.
    of_a_service = name in {field.name for field in fields(ServicePorts)}
    return f"RINGBACK_{'' if of_a_service else 'LOCAL_'}{name.upper()}_PORT"


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalPorts:
    broker: BrokerPorts = BrokerPorts()
    database: DatabasePorts = DatabasePorts()
    services: ServicePorts = ServicePorts()
    prometheus: PrometheusPorts = PrometheusPorts()
    demo: DemoPorts = DemoPorts()

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Self:
        """Read the ports, each from its setting or its default; LocalStackError names a bad one."""
        return cls(
            broker=BrokerPorts(**_read(BrokerPorts, environ)),
            database=DatabasePorts(**_read(DatabasePorts, environ)),
            services=ServicePorts(**_read(ServicePorts, environ)),
            prometheus=PrometheusPorts(**_read(PrometheusPorts, environ)),
            demo=DemoPorts(**_read(DemoPorts, environ)),
        )


def named_ports(
    ports: BrokerPorts | DatabasePorts | ServicePorts | PrometheusPorts | DemoPorts,
) -> dict[str, int]:
    """The ports of one group by name."""
    return {field.name: getattr(ports, field.name) for field in fields(ports)}


def require_free(ports: Mapping[str, int]) -> None:
    """Raise LocalStackError, with the port and its setting, if one is taken."""
    for name, port in ports.items():
        if port_in_use(port):
            raise LocalStackError(
                f"Port {port} ({name.replace('_', ' ')}) is in use by another program; "
                f"stop that program, or choose another port with {port_setting(name)}."
            )


def port_in_use(port: int) -> bool:
    """Whether anything listens on the loopback address at this port."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # A port whose last connections are in TIME_WAIT is free for a server; servers bind so too.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except PermissionError as exc:
            raise LocalStackError(f"This user may not listen on port {port}.") from exc
        except OSError:
            return True
    return False


class PortReservations:
    """Ports that no other process of this user gets from here, until this process ends.

    Port n is reserved by a lock on byte n of the file. The system drops the locks of a process that
    ends, also when it is killed.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._descriptor: int | None = None
        self._reserved: set[int] = set()

    def reserve(self, port: int) -> bool:
        """Whether the port is now reserved; False if this or another process already has it."""
        if self._descriptor is None:
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
            self._descriptor = os.open(self._file, flags, 0o600)
        if port in self._reserved:
            return False
        try:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
        except OSError:
            return False
        self._reserved.add(port)
        return True


_RESERVATIONS = PortReservations(Path(tempfile.gettempdir(), f"ringback-ports-{os.getuid()}"))


def free_ports(count: int, reservations: PortReservations = _RESERVATIONS) -> list[int]:
    """Reserve `count` loopback ports that are free at this moment.

    They are below the range that systems use for outgoing connections, so that no connection takes
    a port before a server listens on it.
    """
    found: list[int] = []
    for port in random.sample(_UNUSED_RANGE, len(_UNUSED_RANGE)):
        if len(found) == count:
            return found
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe, suppress(OSError):
            probe.bind((LOOPBACK, port))
            found += [port] * reservations.reserve(port)
    raise LocalStackError(f"There are no {count} free ports in {_UNUSED_RANGE}.")


def _read(group: type, environ: Mapping[str, str]) -> dict[str, int]:
    given = ((field.name, environ.get(port_setting(field.name), "")) for field in fields(group))
    return {name: _parse(name, text) for name, text in _present(given)}


def _present(given: Iterable[tuple[str, str]]) -> Iterable[tuple[str, str]]:
    return ((name, text) for name, text in given if text.strip())


def _parse(name: str, text: str) -> int:
    highest = 65535
    if text.strip().isascii() and text.strip().isdigit() and 0 < int(text) <= highest:
        return int(text)
    raise LocalStackError(f"{port_setting(name)} must be a port from 1 to {highest}, not {text!r}.")


BROKER_USER = "ringback"
SUPERUSER = "postgres"

# The kernel's limit for the path of a unix socket, less PostgreSQL's file name in the folder.
MAX_SOCKET_DIR = 107 - len("/.s.PGSQL.65535.lock")


def password_path(broker_dir: Path) -> Path:
    return broker_dir / "password"


def broker_url(port: int, password: str, vhost: str = "/") -> str:
    return f"amqp://{BROKER_USER}:{password}@{LOOPBACK}:{port}/{quote(vhost, safe='')}"


def socket_path(data_dir: Path) -> Path:
    """The folder of the unix socket: `data_dir`, or another if clients could not use its path."""
    folder = data_dir.resolve() / "socket"
    # A comma separates hosts in a client's URL.
    usable = len(os.fsencode(folder)) <= MAX_SOCKET_DIR and "," not in str(folder)
    return folder if usable else elsewhere(folder)


def superuser_url(data_dir: Path, port: int, database: str = "ringback") -> str:
    """The superuser's address, by the unix socket, which needs no password."""
    place = urlencode({"host": str(socket_path(data_dir)), "port": port}, quote_via=quote)
    return f"postgresql://{SUPERUSER}@/{quote(database, safe='')}?{place}"
