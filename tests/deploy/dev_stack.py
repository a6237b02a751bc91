"""The dev overlay without a cluster: its accounts on a real broker and a real database, and its
containers as processes, with the environment that the kubelet would give them.
"""

# ruff: file-ignore[suspicious-subprocess-import] - psql and the services are programs.
import asyncio
import json
import os
import subprocess
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import asyncpg

from ringback.contract.broker_access import VHOST
from ringback.local.broker import PrivateBroker
from ringback.local.database import PrivateDatabase
from ringback.local.database_files import program
from ringback.local.ports import LOOPBACK, free_ports
from tests.deploy.policies.settings import environment
from tests.deploy.rendered import K8S, Manifest, Workload, overlay, workloads

DEV = K8S / "overlays" / "dev"


@asynccontextmanager
async def accounts_on(broker: PrivateBroker) -> AsyncGenerator[None, None]:
    """The virtual host and the users of the overlay's definitions, as the broker imports them."""
    document = json.loads((DEV / "rabbitmq" / "definitions.json").read_bytes())
    async with broker.management() as api:
        async with api.post("/api/definitions", json=document) as answer:
            answer.raise_for_status()
        try:
            yield
        finally:
            paths = [f"/api/users/{user['name']}" for user in document["users"]]
            for path in (f"/api/vhosts/{quote(VHOST)}", *paths):
                async with api.delete(path) as gone:
                    gone.raise_for_status()


async def make_logins(database: PrivateDatabase) -> None:
    """What the PostgreSQL image does at its first start: create a superuser, then run our file."""
    admin = await asyncpg.connect(database.url())
    await admin.execute("CREATE ROLE ringback_owner LOGIN SUPERUSER PASSWORD 'dev-only-owner'")
    await admin.close()
    [server] = [one for one in workloads(overlay("dev")) if one.name == "StatefulSet/postgresql"]
    environ = environment(server.containers[0], overlay("dev")) | {
        "PATH": f"{Path(program('psql')).parent}:{os.environ['PATH']}",
        "PGHOST": LOOPBACK,
        "PGPORT": str(database.port),
        "PGPASSWORD": "dev-only-owner",
    }
    await asyncio.to_thread(_run, DEV / "postgresql" / "10-logins.sh", environ)


def _run(script: Path, environ: dict[str, str]) -> None:
    subprocess.run(["sh", "-e", script], env=os.environ | environ, check=True)


@dataclass(frozen=True, slots=True)
class Stage:
    """Where the broker and the database of the overlay are here."""

    broker: PrivateBroker
    database: PrivateDatabase
    folder: Path
    schedule: str = "100ms,200ms"

    def environment(self, container: Manifest) -> dict[str, str]:
        """A container's environment, with local addresses and a short retry schedule."""
        found = environment(container, overlay("dev"))
        places = {
            "@rabbitmq:5672": f"@{LOOPBACK}:{self.broker.ports.amqp}",
            "http://rabbitmq:15672": self.broker.management_url,
            "@database:5432": f"@{LOOPBACK}:{self.database.port}",
        }
        for name, text in found.items():
            for there, here in places.items():
                text = text.replace(there, here)  # ruff: ignore[redefined-loop-name]  # step by step
            found[name] = text
        return found | {"RINGBACK_RETRY_SCHEDULE": self.schedule}

    def service_environment(self, container: Manifest) -> dict[str, str]:
        """As `environment`, on ports that are free here, and a spool in our folder."""
        found = self.environment(container)
        names = {
            "gateway": ("GATEWAY_PORT", "GATEWAY_OBSERVABILITY_PORT"),
            "processor": ("PROCESSOR_OBSERVABILITY_PORT",),
            "metrics": ("METRICS_GRPC_PORT", "METRICS_REST_PORT", "METRICS_OBSERVABILITY_PORT"),
        }[container["name"]]
        ports = zip(names, free_ports(len(names)), strict=True)
        found |= {f"RINGBACK_{name}": str(port) for name, port in ports}
        if "RINGBACK_SPOOL_DIR" in found:
            found["RINGBACK_SPOOL_DIR"] = str(self.folder / "spool")
        return found


def workload(name: str) -> Workload:
    """One of the overlay."""
    [found] = [one for one in workloads(overlay("dev")) if one.name == name]
    return found
