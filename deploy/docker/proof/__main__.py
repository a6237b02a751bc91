"""Do the Dockerfile's steps in a Debian, and run its images there like containers. Needs root.

python -m deploy.docker.proof [--debian trixie] [--mirror URL] [--folder DIR]

No container engine is needed: debootstrap makes the base, chroot stands for the builder, namespaces
with a read-only root for containers. RabbitMQ and PostgreSQL are private nodes, as of `make run`.
"""

import argparse
import asyncio
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from deploy.docker.proof.chroot import ChrootRoot, debian
from deploy.docker.proof.product import SERVICES, Product, ProofError
from deploy.docker.proof.stages import DEFAULT_PATH, image, stages
from deploy.docker.proof.steps import DOCKERFILE, Builder, StepError
from ringback.local.broker import PrivateBroker
from ringback.local.database import PrivateDatabase
from ringback.local.ports import BrokerPorts, ServicePorts, free_ports, named_ports, port_setting

_STAGES = stages(DOCKERFILE.read_text(encoding="utf-8"))


def build(folder: Path, base: Path) -> ChrootRoot:
    """The root of the images: the stage `run`, on a copy of the base."""
    roots = {name: ChrootRoot(folder / name) for name in ("build", "run")}
    environ = {
        "PATH": DEFAULT_PATH,
        "HOME": "/root",
        **{name: value for name, value in os.environ.items() if name.startswith("PIP_")},
    }
    for name, root in roots.items():
        root.copy_of(base)
        _let_pip_out(root)
        Builder(environ=environ, say=print).build(_STAGES[name], root, roots)
    return roots["run"]


def _let_pip_out(root: ChrootRoot) -> None:
    """What a builder gives a RUN beside the image: names, and this machine's way to packages."""
    files = ["/etc/resolv.conf", "/etc/hosts", "/etc/pip.conf", os.environ.get("PIP_CERT", "")]
    for name in files:
        if name and Path(name).is_file():
            to = root.path(name)
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(name, to)


_PROBE = """\
import errno, os
assert os.getpid() == 1, "not the first process"
assert os.getuid() == os.getgid() == 10001 and os.getgroups() in ([], [10001]), "not our user"
for folder in ("/", "/opt/ringback", "/tmp"):
    try:
        open(folder + "/probe", "w")
    except OSError as exc:
        assert exc.errno == errno.EROFS, exc
    else:
        raise AssertionError(folder + " can be written to")
"""


async def require_confinement(root: ChrootRoot) -> None:
    """What stands for a container must be as narrow as one, or it proves nothing."""
    words = ["/opt/ringback/bin/python", "-c", _PROBE]
    status, said = await (await root.start(image(_STAGES, "ringback"), words, {})).ended()
    if status:
        raise ProofError(f"The processes are not confined as they must be:\n{said}")
    print("Confined: PID 1, user 10001, and nothing to write to but the state's folder.")


async def prove(root: ChrootRoot, state: Path) -> None:
    await require_confinement(root)
    broker_names = named_ports(BrokerPorts())
    broker_ports = dict(zip(broker_names, free_ports(len(broker_names)), strict=True))
    broker = PrivateBroker(state / "rabbitmq", BrokerPorts(**broker_ports))
    database = PrivateDatabase(state / "postgres", free_ports(1)[0])
    try:
        await asyncio.gather(broker.start(), database.start())
        await database.ensure_database("ringback")
        product = _product(root, broker.amqp_url(), database.url())
        await product.migrate()
        await product.declare()
        await product.serve()
    finally:
        await asyncio.gather(broker.stop(), database.stop())


def _product(root: ChrootRoot, amqp_url: str, database_url: str) -> Product:
    names = [port_setting(name) for name in named_ports(ServicePorts())]
    ports = dict(zip(names, map(str, free_ports(len(names))), strict=True))
    targets = ("ringback", *SERVICES)
    shared = ports | {
        "RINGBACK_AMQP_URL": amqp_url,
        "RINGBACK_VAPI_SECRET": secrets.token_hex(16),
        "RINGBACK_JWT_SECRET": secrets.token_hex(32),
    }
    variables: Mapping[str, Mapping[str, str]] = {
        "ringback": shared | {"RINGBACK_DATABASE_URL": database_url},
        **{
            name: shared | {"RINGBACK_DATABASE_URL": f"{database_url}?role=ringback_{name}"}
            for name in SERVICES
        },
    }
    spool = {"RINGBACK_SPOOL_DIR": "/var/lib/ringback/spool"}
    return Product(
        images={name: image(_STAGES, name) for name in targets},
        start=root.start,
        variables={**variables, "gateway": {**variables["gateway"], **spool}},
        database_url=database_url,
        gateway_url=f"http://127.0.0.1:{ports['RINGBACK_GATEWAY_PORT']}/api/webhooks/vapi",
        say=print,
    )


def main() -> int:
    asked = argparse.ArgumentParser(prog="python -m deploy.docker.proof")
    asked.add_argument("--debian", default="trixie", help="the suite; trixie has Python 3.13")
    asked.add_argument("--mirror", help="of Debian's packages; else the one that debootstrap knows")
    asked.add_argument(
        "--folder", type=Path, default=Path(".ringback/image-proof"), help="where it is made"
    )
    given = asked.parse_args()
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        print("This needs root and the package debootstrap.", file=sys.stderr)
        return 2
    try:
        folder = given.folder.absolute()
        folder.mkdir(parents=True, exist_ok=True)
        debian(folder / given.debian, given.debian, given.mirror)
        root = build(folder, folder / given.debian)
        with tempfile.TemporaryDirectory(prefix="ringback-proof-") as state:
            asyncio.run(prove(root, Path(state)))
    except (StepError, ProofError) as exc:
        print(exc, file=sys.stderr)
        return 1
    print("Proved: the Dockerfile's steps work, and what they make works as containers do.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
