"""The logins that the PostgreSQL operator creates are sufficient, and have minimal rights."""

from pathlib import Path
from typing import Any

import asyncpg
import pytest

from ringback.local.database import PrivateDatabase
from ringback.local.ports import LOOPBACK
from tests.deploy.policies.settings import environment
from tests.deploy.rendered import Manifest, of_kind, overlay, workloads
from tests.integration.cli.command import ringback

COMMANDS = (
    ("Job/setup-0-1-0", "migrate", "ringback_owner"),
    ("Deployment/processor", "wait-for-schema", "webhooks_processor"),
    ("Deployment/metrics", "wait-for-schema", "webhooks_metrics"),
    ("CronJob/housekeeping", "housekeeping", "webhooks_processor"),
)


async def make_roles(database: PrivateDatabase) -> None:
    """As CloudNativePG does: an owner who may create no roles, then the roles that it manages."""
    [cluster] = of_kind(overlay("production"), "Cluster")
    owner = cluster["spec"]["bootstrap"]["initdb"]["owner"]
    admin = await asyncpg.connect(database.url())
    await admin.execute(f"CREATE ROLE {owner} LOGIN PASSWORD '{database.password}'")
    await admin.execute(f"ALTER DATABASE ringback OWNER TO {owner}")
    for role in cluster["spec"]["managed"]["roles"]:
        await admin.execute(_statement(role, database.password))
    await admin.close()


def _statement(role: dict[str, Any], password: str) -> str:
    login = f"LOGIN PASSWORD '{password}'" if role["login"] else "NOLOGIN"
    inherit = "INHERIT" if role["inherit"] else "NOINHERIT"
    groups = f" IN ROLE {', '.join(role['inRoles'])}" if role.get("inRoles") else ""
    return f"CREATE ROLE {role['name']} {login} {inherit}{groups}"


def as_login(container: Manifest, login: str, database: PrivateDatabase) -> dict[str, str]:
    """A container's environment, with our address; without TLS: this server has no certificate."""
    found = environment(container, overlay("production"))
    url = found["RINGBACK_DATABASE_URL"].replace(found["DATABASE_OPTIONS"], "")
    url = url.replace(
        f"{found['DATABASE_USER']}:{found['DATABASE_PASSWORD']}", f"{login}:{database.password}"
    )
    place = f"@{LOOPBACK}:{database.port}/"
    return found | {"RINGBACK_DATABASE_URL": url.replace("@database-rw:5432/", place)}


async def test_the_operators_roles_suffice_for_the_jobs(
    own_database: PrivateDatabase, tmp_path: Path
) -> None:
    """An owner who is not a superuser migrates, the services work, and housekeeping runs."""
    await make_roles(own_database)

    for place, name, login in COMMANDS:
        [workload] = [one for one in workloads(overlay("production")) if one.name == place]
        [container] = [one for one in workload.all_containers if one["name"] == name]
        settings = as_login(container, login, own_database)
        ended = await ringback(*container["args"], cwd=tmp_path, **settings)
        assert ended.status == 0, f"{place}: {ended.err}{ended.out}"

    for login, other in (
        ("gateway", "processor"),
        ("processor", "metrics"),
        ("metrics", "gateway"),
    ):
        url = own_database.url("ringback", f"webhooks_{login}")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await asyncpg.connect(f"{url}?role=ringback_{other}")
