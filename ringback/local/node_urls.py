"""The addresses of the private nodes for their owner."""

import os
from pathlib import Path
from urllib.parse import quote, urlencode

from ringback.local.account import elsewhere
from ringback.local.ports import LOOPBACK

BROKER_USER = "ringback"
SUPERUSER = "postgres"

# The kernel's limit for the path of a unix socket, less PostgreSQL's file name in the folder.
LONGEST_SOCKET_DIR = 107 - len("/.s.PGSQL.65535.lock")


def password_path(broker_dir: Path) -> Path:
    return broker_dir / "password"


def broker_url(port: int, password: str, vhost: str = "/") -> str:
    return f"amqp://{BROKER_USER}:{password}@{LOOPBACK}:{port}/{quote(vhost, safe='')}"


def socket_path(data_dir: Path) -> Path:
    """The folder of the unix socket: `data_dir`, or another if clients could not use its path."""
    folder = data_dir.resolve() / "socket"
    # A comma separates hosts in a client's URL.
    usable = len(os.fsencode(folder)) <= LONGEST_SOCKET_DIR and "," not in str(folder)
    return folder if usable else elsewhere(folder)


def superuser_url(data_dir: Path, port: int, database: str = "ringback") -> str:
    """Give the superuser's address, by the unix socket: it has no password, and needs none."""
    place = urlencode({"host": str(socket_path(data_dir)), "port": port}, quote_via=quote)
    return f"postgresql://{SUPERUSER}@/{quote(database, safe='')}?{place}"
