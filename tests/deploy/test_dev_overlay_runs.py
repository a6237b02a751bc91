"""The accounts of the dev overlay have the rights that its containers need."""

# ruff: file-ignore[suspicious-subprocess-import] - the database's script is a program.
import asyncio
import json
import os
import subprocess
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import aiormq
import asyncpg
import pytest

from ringback.contract.broker_access import VHOST
from ringback.local.broker import PrivateBroker
from ringback.local.database import PrivateDatabase
from ringback.local.database_files import program
from ringback.local.ports import LOOPBACK
from tests.deploy.policies.settings import environment, expanded
from tests.deploy.rendered import K8S, Manifest, overlay, workloads
from tests.integration.cli.command import ringback

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

    def environment(self, container: Manifest) -> dict[str, str]:
        """A container's environment, with local addresses."""
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
        return found


SERVICES = ("StatefulSet/gateway", "Deployment/processor", "Deployment/metrics")
CRON_JOBS = ("CronJob/housekeeping", "CronJob/change-retry-schedule", "CronJob/prune-retry-queues")


@pytest.fixture
async def stage(
    broker: PrivateBroker, own_database: PrivateDatabase, tmp_path: Path
) -> AsyncIterator[Stage]:
    await make_logins(own_database)
    async with accounts_on(broker):
        yield Stage(broker, own_database, tmp_path)


async def test_each_account_suffices_for_its_containers(stage: Stage) -> None:
    """The job sets up, init containers find the result, services log in, and cron jobs work."""
    of = {one.name: one for one in workloads(overlay("dev"))}
    services = [of[name] for name in SERVICES]
    starts = [one for service in services for one in service.pod["initContainers"]]
    crons = [of[name].containers[0] for name in CRON_JOBS]
    for container in (*of["Job/setup-0-1-0"].all_containers, *starts, *crons):
        # What moves a schedule needs the broker's statistics, which are slow.
        more = ["--dry-run"] if container["name"] == "change-retry-schedule" else []
        environ = stage.environment(container)
        arguments = [*(expanded(text, environ) for text in container["args"]), *more]
        ended = await ringback(*arguments, cwd=stage.folder, **environ)
        assert ended.status == 0, f"{container['name']}: {ended.err}{ended.out}"

    for service in services:
        environ = stage.environment(service.containers[0])
        await (await asyncpg.connect(environ["RINGBACK_DATABASE_URL"])).close()
        await (await aiormq.connect(environ["RINGBACK_AMQP_URL"])).close()
