"""The files of a private RabbitMQ node: its users, its cookie, and a usable path."""

import os
import re
import secrets
from pathlib import Path

from ringback.contract.broker_access import password_hash
from ringback.local.account import Account, make_elsewhere
from ringback.local.errors import LocalStackError
from ringback.local.node_urls import BROKER_USER

# RabbitMQ passes its paths unquoted to a shell to measure the disk.
_PLAIN = re.compile(r"[A-Za-z0-9/._+@-]+")


def definitions_of(password: str) -> dict[str, object]:
    """Our user, and guest without a password: a node of an earlier version still has it."""
    algorithm = "rabbit_password_hashing_sha256"
    hashes = {BROKER_USER: password_hash(password, secrets.token_bytes(4)), "guest": ""}
    tags = {BROKER_USER: "administrator", "guest": ""}
    rights = {"configure": ".*", "write": ".*", "read": ".*"}
    return {
        "vhosts": [{"name": "/"}],
        "users": [
            {
                "name": name,
                "password_hash": text,
                "hashing_algorithm": algorithm,
                "tags": tags[name],
            }
            for name, text in hashes.items()
        ],
        "permissions": [{"user": BROKER_USER, "vhost": "/", **rights}],
    }


def plain_path(folder: Path, account: Account) -> Path:
    """Return `folder`, or a link to it if its path contains special characters."""
    if _PLAIN.fullmatch(str(folder)):
        return folder
    place = make_elsewhere(folder, account)
    account.admit(place)
    link = place / "rabbitmq"
    if not _PLAIN.fullmatch(str(link)):
        raise LocalStackError(
            f"RabbitMQ cannot work in {folder}, nor in {link.parent}: one of the two paths must be "
            "made of plain letters only; TMPDIR moves the second one."
        )
    link.unlink(missing_ok=True)
    link.symlink_to(folder)
    return link


def write_cookie(path: Path, account: Account) -> None:
    """Write Erlang's password, complete when it has its name."""
    if path.exists():
        return
    unfinished = path.with_name(".erlang.cookie.new")
    unfinished.unlink(missing_ok=True)
    unfinished.write_text(secrets.token_hex(16), encoding="ascii")
    unfinished.chmod(0o400)
    if account.name:
        os.chown(unfinished, account.uid, account.gid)
    unfinished.rename(path)
