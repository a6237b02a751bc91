"""Prepares the start of a private RabbitMQ node, from installed files or in a container."""

import json
import os
import re
import secrets
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ringback.contract.broker_access import password_hash
from ringback.local.account import Account, account_in, make_elsewhere
from ringback.local.child import LocalStackError, run_command
from ringback.local.ports import BROKER_USER, LOOPBACK, BrokerPorts

# Debian's /usr/sbin/rabbitmq-server is a wrapper that only works with the system's own user.
SERVERS = (
    Path("/usr/lib/rabbitmq/bin/rabbitmq-server"),
    Path("/opt/homebrew/opt/rabbitmq/sbin/rabbitmq-server"),
    Path("/usr/local/opt/rabbitmq/sbin/rabbitmq-server"),
)
IMAGE = "rabbitmq:4.1-management"
NODE_NAME = "ringback@localhost"

# Quorum queues keep the write-ahead log in memory; its default of 512 MB is for servers.
# The disk limit makes the broker refuse publishes while PostgreSQL and the logs still have room.
SETTINGS = """\
disk_free_limit.absolute = 500MB
raft.wal_max_size_bytes = 64000000
vm_memory_high_watermark.absolute = 1GB
log.file.level = info
"""

_ON_LOOPBACK = "-kernel inet_dist_use_interface {127,0,0,1}"
# A message that a retry queue refused or did not confirm is moved again after this time. RabbitMQ's
# default is three minutes, is read only at its start, and cannot be set in its configuration file.
_SOONER_AGAIN = "-rabbit dead_letter_worker_publisher_confirm_timeout 30000"


@dataclass(frozen=True, slots=True)
class Launch:
    """The command for one node; `epmd` is the name server it needs outside a container."""

    command: Sequence[str]
    env: Mapping[str, str]
    control: Sequence[str]
    """What runs `rabbitmqctl` against the node, in the same environment."""
    epmd: Sequence[str] | None = None
    container: str | None = None
    account: Account = field(default_factory=Account)


def prepare_launch(data_dir: Path, ports: BrokerPorts, password: str, settings: str = "") -> Launch:
    """Write the node's files under `data_dir` and return how to start it.

    With RINGBACK_RABBITMQ_IMAGE it runs in a container of that image, even if it is installed.
    LocalStackError if neither RabbitMQ nor a container engine is installed.
    """
    account = account_in(data_dir)
    definitions = data_dir / "definitions.json"
    definitions.write_text(json.dumps(definitions_of(password)), encoding="utf-8")
    account.admit(definitions)
    image = os.environ.get("RINGBACK_RABBITMQ_IMAGE")
    for server in SERVERS:
        if server.exists() and not image:
            return _native(server, data_dir, ports, SETTINGS + settings, account)
    if docker_answers():
        return _container(image or IMAGE, data_dir, ports, SETTINGS + settings, account)
    raise LocalStackError(
        "RabbitMQ is not installed and no Docker engine answers; "
        "install the package rabbitmq-server, or set RINGBACK_AMQP_URL to your own broker."
    )


def docker_answers() -> bool:
    """Whether a container engine is installed and answers within a few seconds."""
    return run_command(["docker", "info"], within_s=10).exit_code == 0


def _native(
    server: Path, folder: Path, ports: BrokerPorts, settings: str, account: Account
) -> Launch:
    data_dir = plain_path(folder, account)
    home = data_dir / "home"
    for taken in (home, data_dir / "data", data_dir / "log"):
        account.take(taken)
    write_cookie(home / ".erlang.cookie", account)
    config = data_dir / "rabbitmq.conf"
    config.write_text(_listeners(data_dir, ports) + settings)
    plugins = data_dir / "enabled_plugins"
    plugins.write_text("[rabbitmq_management, rabbitmq_prometheus].\n")
    for shown in (config, plugins):
        account.admit(shown)
    env = _clean_environment() | {
        "HOME": str(home),
        "RABBITMQ_NODENAME": NODE_NAME,
        "RABBITMQ_MNESIA_BASE": str(data_dir / "data"),
        "RABBITMQ_LOG_BASE": str(data_dir / "log"),
        "RABBITMQ_NODE_PORT": str(ports.amqp),
        "RABBITMQ_DIST_PORT": str(ports.dist),
        "RABBITMQ_CONFIG_FILE": str(config),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(plugins),
        # The administrator's settings for the system's broker do not apply to this one.
        "RABBITMQ_CONF_ENV_FILE": str(data_dir / "no-environment-file"),
        "RABBITMQ_CONFIG_FILES": str(data_dir / "no-conf.d"),
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(data_dir / "no-advanced.config"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"{_ON_LOOPBACK} {_SOONER_AGAIN}",
        "ERL_CRASH_DUMP": str(data_dir / "log" / "erl_crash.dump"),
        "ERL_EPMD_PORT": str(ports.epmd),
        "ERL_EPMD_ADDRESS": LOOPBACK,
        # Makes the start script become the Erlang machine instead of waiting beside it, so that
        # the process we started is the node, and ending it ends the node.
        "RUNNING_UNDER_SYSTEMD": "true",
    }
    epmd = [_epmd(), "-port", str(ports.epmd), "-address", LOOPBACK]
    control = [str(server.with_name("rabbitmqctl"))]
    return Launch(command=[str(server)], env=env, control=control, epmd=epmd, account=account)


def _listeners(data_dir: Path, ports: BrokerPorts) -> str:
    return (
        f"listeners.tcp.1 = {LOOPBACK}:{ports.amqp}\n"
        f"management.tcp.ip = {LOOPBACK}\n"
        f"management.tcp.port = {ports.management}\n"
        f"prometheus.tcp.ip = {LOOPBACK}\n"
        f"prometheus.tcp.port = {ports.broker_metrics}\n"
        f"load_definitions = {data_dir / 'definitions.json'}\n"
    )


def _container(
    image: str, data_dir: Path, ports: BrokerPorts, settings: str, account: Account
) -> Launch:
    data = data_dir / "container"
    account.take(data)
    config = data_dir / "container.conf"
    config.write_text(f"load_definitions = /etc/rabbitmq/ringback.json\n{settings}")
    account.admit(config)
    user = f"{account.uid}:{account.gid}" if account.name else f"{os.getuid()}:{os.getgid()}"
    name = f"ringback-{ports.amqp}"
    # The container's input closes when we die; then the node must end too.
    script = (
        "exec 3<&0; (cat <&3 >/dev/null; kill -TERM 1) & exec docker-entrypoint.sh rabbitmq-server"
    )
    command = [
        *["docker", "run", "--rm", "--interactive", "--name", name, "--hostname", "localhost"],
        *["--user", user, "--env", f"RABBITMQ_NODENAME={NODE_NAME}"],
        *["--env", f"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS={_SOONER_AGAIN}"],
        *["--publish", f"{LOOPBACK}:{ports.amqp}:5672"],
        *["--publish", f"{LOOPBACK}:{ports.management}:15672"],
        *["--publish", f"{LOOPBACK}:{ports.broker_metrics}:15692"],
        *["--volume", f"{data}:/var/lib/rabbitmq"],
        *["--volume", f"{config}:/etc/rabbitmq/conf.d/20-ringback.conf:ro"],
        *["--volume", f"{data_dir / 'definitions.json'}:/etc/rabbitmq/ringback.json:ro"],
        *[image, "sh", "-c", script],
    ]
    control = ["docker", "exec", name, "rabbitmqctl"]
    return Launch(command=command, env=dict(os.environ), control=control, container=name)


def _clean_environment() -> dict[str, str]:
    foreign = ("RABBITMQ_", "ERL_", "NOTIFY_SOCKET")
    return {name: value for name, value in os.environ.items() if not name.startswith(foreign)}


def _epmd() -> str:
    found = shutil.which("epmd")
    if found is None:
        raise LocalStackError("RabbitMQ is installed but Erlang's epmd is not on the PATH.")
    return found


# RabbitMQ passes its paths unquoted to a shell to measure the disk.
_PLAIN = re.compile(r"[A-Za-z0-9/._+@-]+")


def definitions_of(password: str) -> dict[str, object]:
    """The stack's only user. With these definitions, RabbitMQ does not create guest."""
    rights = {"configure": ".*", "write": ".*", "read": ".*"}
    return {
        "vhosts": [{"name": "/"}],
        "users": [
            {
                "name": BROKER_USER,
                "password_hash": password_hash(password, secrets.token_bytes(4)),
                "hashing_algorithm": "rabbit_password_hashing_sha256",
                "tags": "administrator",
            }
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
            f"RabbitMQ cannot work in {folder}, because its path has special characters, and "
            f"neither can a link to it in {link.parent}. Set TMPDIR to a path with only plain "
            "letters and digits."
        )
    link.unlink(missing_ok=True)
    link.symlink_to(folder)
    return link


def write_cookie(path: Path, account: Account) -> None:
    """Write Erlang's password. The file gets its name only when it is complete."""
    if path.exists():
        return
    unfinished = path.with_name(".erlang.cookie.new")
    unfinished.unlink(missing_ok=True)
    unfinished.write_text(secrets.token_hex(16), encoding="ascii")
    unfinished.chmod(0o400)
    if account.name:
        os.chown(unfinished, account.uid, account.gid)
    unfinished.rename(path)
