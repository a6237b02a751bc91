"""The queries on a real database, as the role that the metrics service has there."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from ringback.contract.redaction.redaction import DEFAULT_REDACTION
from ringback.runtime.postgres.pool import open_pool
from ringback.runtime.process.settings import DatabaseSettings
from ringback.services.metrics.app import queries
from ringback.services.metrics.auth.access import Access
from ringback.services.metrics.auth.principal import Principal, Role
from ringback.services.metrics.queries.delivery_search import first_id_at
from ringback.services.metrics.queries.queue_snapshot import QueueSnapshot
from ringback.services.metrics.transport.call import Call
from tests.support.database_roles import METRICS, url_as

OURS, THEIRS = UUID(int=0xA), UUID(int=0xB)
_NOW = datetime.now(UTC)


def id_at(moment: datetime) -> UUID:
    """A job id of a moment, to the millisecond."""
    return UUID(int=first_id_at(moment).int | (uuid4().int & (2**62 - 1)))


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRow:
    """A webhook in the log; `ago_s` is its age."""

    ago_s: float = 0.0
    org_id: UUID = OURS
    event_type: str = "hang"
    status: str = "completed"
    error_class: str | None = None
    error_message: str | None = None
    call_id: str | None = None
    resolution: str | None = None
    event: object = field(default_factory=lambda: {"type": "hang", "of": "a test"})
    id: UUID = field(default=UUID(int=0))

    def __post_init__(self) -> None:
        if not self.id.int:
            object.__setattr__(self, "id", id_at(self.created_at))

    @property
    def created_at(self) -> datetime:
        exact = _NOW - timedelta(seconds=self.ago_s)
        return exact - timedelta(microseconds=exact.microsecond % 1000)


def dead(ago_s: float = 0.0, **more: object) -> LogRow:
    """An unresolved dead letter, unless `more` overrides that."""
    given = {"error_class": "TimeoutError", "error_message": "It took too long."} | more
    return LogRow(ago_s=ago_s, status="dead_letter", **given)  # type: ignore[arg-type]  # as a row has them


async def write(connection: asyncpg.Connection, *rows: LogRow) -> None:
    await connection.executemany(
        "INSERT INTO webhook_delivery_log (id, org_id, endpoint_id, event_type, event_data, status,"
        " attempts, max_attempts, created_at, error_class, error_message, call_id, resolution)"
        " VALUES ($1, $2, 'default', $3, $4, $5, 1, 4, $6, $7, $8, $9, $10)",
        [
            (
                row.id, row.org_id, row.event_type, json.dumps(row.event), row.status,
                row.created_at, row.error_class, row.error_message, row.call_id, row.resolution,
            )
            for row in rows
        ],
    )  # fmt: skip


async def write_retries(connection: asyncpg.Connection, run_id: UUID, *rows: LogRow) -> None:
    """Let a retry run have created these webhooks, whether they are in the log or not."""
    await connection.executemany(
        "INSERT INTO webhook_retries (original, new_id, org_id, actor, role, reason, run_id,"
        " received_at) VALUES (gen_random_uuid(), $1, $2, 'ann', 'service', '', $3, now())",
        [(row.id, row.org_id, run_id) for row in rows],
    )


def as_org(org_id: UUID | None = None) -> Call:
    """A call of a tenant, or of a service if there is no organisation."""
    role = Role.TENANT if org_id else Role.SERVICE
    deadline = asyncio.get_running_loop().time() + 300
    return Call(Principal(role, org_id, "test"), deadline, asyncio.Event())


async def all_pages(method: Any, request: Any, caller: UUID | None = None) -> list[Any]:
    """The answers of a list, from its first page to its last."""
    found: list[Any] = []
    while not found or request.page_token:
        found.append(await method(request, as_org(caller)))
        request.page_token = found[-1].next_page_token
    return found


@pytest.fixture
async def log(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """The superuser's connection, to write into the log. Three days back have partitions."""
    opened = await asyncpg.connect(database_url, command_timeout=300)
    await opened.execute("SELECT ensure_webhook_partitions(current_date - 3, current_date + 1)")
    yield opened
    await opened.close()


@pytest.fixture
async def access(database_url: str) -> AsyncIterator[Access]:
    settings = DatabaseSettings(database_url=url_as(database_url, METRICS), database_pool_min=1)
    async with open_pool(settings, "test") as pool:
        yield Access(pool)


@pytest.fixture
def api(access: Access) -> Any:
    """All methods of MetricsService."""
    return rpcs(*queries(access, QueueSnapshot(count_max_age_s=10), DEFAULT_REDACTION))


def rpcs(*implementations: object) -> Any:
    """The public methods of several objects as those of one."""
    return SimpleNamespace(
        **{
            name: getattr(each, name)
            for each in implementations
            for name in dir(each)
            if not name.startswith("_")
        }
    )
