"""What compose.yaml tells its containers, with this machine's places for those of its network."""

import asyncio
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import asyncpg

from ringback.cli.broker_access import BrokerPasswords
from ringback.local.broker import PrivateBroker
from ringback.local.database import PrivateDatabase
from ringback.local.database_files import program as database_program
from ringback.local.ports import ServicePorts, free_ports, named_ports, port_setting
from ringback.runtime.settings import load
from tests.integration.images.mapped_root import MappedRoot
from tests.support.compose import FOLDER, compose

PARTS: dict[str, dict[str, Any]] = compose()["services"]


def _free() -> dict[str, str]:
    names = [port_setting(name) for name in named_ports(ServicePorts())]
    return dict(zip(names, map(str, free_ports(len(names))), strict=True))


@dataclass(frozen=True, slots=True)
class Here:
    broker: PrivateBroker
    amqp_url: str
    database: PrivateDatabase
    root: MappedRoot
    ports: dict[str, str] = field(default_factory=_free)

    def variables(self, name: str) -> dict[str, str]:
        """What the container `name` is told."""
        database = urlsplit(self.database.url())
        amqp = urlsplit(self.amqp_url)
        places = {
            "@rabbitmq:5672/ringback": f"@127.0.0.1:{amqp.port}{amqp.path}",
            "@postgres:5432/": f"@127.0.0.1:{database.port}/",
            "http://rabbitmq:15672": self.broker.management_url,
            "/var/lib/ringback/": f"{self.root.path('/var/lib/ringback')}/",
        }
        told: dict[str, str] = dict(PARTS[name]["environment"])
        for there, here in places.items():
            told = {variable: text.replace(there, here) for variable, text in told.items()}
        listening = {
            "RINGBACK_EXPOSITION_HOST": "127.0.0.1",
            "RINGBACK_GATEWAY_HOST": "127.0.0.1",
            "RINGBACK_METRICS_HOST": "127.0.0.1",
            "OTEL_TRACES_EXPORTER": "none",
        }
        return {**told, **listening, **self.ports}

    def broker_passwords(self) -> dict[str, str]:
        given = load(BrokerPasswords, PARTS["broker-access"]["environment"])
        return {
            name.removeprefix("broker_").removesuffix("_password"): secret.get_secret_value()
            for name, secret in given
            if secret is not None
        }

    async def make_logins(self) -> None:
        """Do what the job `logins` does."""
        job = PARTS["logins"]
        database = urlsplit(self.database.url())
        program, *options = job["entrypoint"]
        assert program == "psql"
        words = [option.replace("/etc/ringback", str(FOLDER.parent)) for option in options]
        process = await asyncio.create_subprocess_exec(
            *[database_program("psql"), *words],
            env={**job["environment"], "PGHOST": "127.0.0.1", "PGPORT": str(database.port)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        assert process.returncode == 0, said.decode()

    async def who_may_log_in(self) -> set[str]:
        """The logins of the server; those of services have passwords."""
        connection = await asyncpg.connect(self.database.url())
        rows = await connection.fetch(
            "SELECT rolname, rolpassword IS NOT NULL AS has_password"
            " FROM pg_authid WHERE rolcanlogin"
        )
        await connection.close()
        assert all(row["has_password"] for row in rows if row["rolname"] != "postgres")
        return {row["rolname"] for row in rows}
