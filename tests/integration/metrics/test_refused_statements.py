"""A statement that PostgreSQL refuses is our fault, and no outage."""

import traceback
from pathlib import Path
from uuid import uuid4

import aiohttp
import asyncpg
import pytest

from ringback.services.metrics.auth.access import Access
from ringback.services.metrics.transport.errors import ApiError, Reason, cause_of
from tests.integration.metrics.metrics_process import metrics_process
from tests.integration.metrics.queried_log import OURS, as_org
from tests.support.eventually import eventually
from tests.support.session_nodes import SessionNodes
from tests.support.tokens import bearer

_MISSING = "InsufficientPrivilegeError 42501: permission denied for table webhook_delivery_log"


async def test_the_caller_gets_an_internal_error_and_the_log_the_reason(
    session_nodes: SessionNodes, tmp_path: Path
) -> None:
    """The service stays ready: another instance would be refused too."""
    async with (
        session_nodes.place("2s,4s,8s") as (amqp_url, database_url),
        metrics_process(tmp_path, amqp_url=amqp_url, database_url=database_url) as process,
    ):
        await eventually(process.is_ready)
        connection = await asyncpg.connect(database_url)
        await connection.execute("REVOKE SELECT ON webhook_delivery_log FROM ringback_service")
        await connection.close()
        url = f"http://127.0.0.1:{process.rest_port}/api/webhook-metrics/deliveries/{uuid4()}"
        async with (
            aiohttp.ClientSession(headers={"Authorization": bearer()}) as session,
            session.get(url) as answer,
        ):
            problem = await answer.json()

        assert (answer.status, problem["reason"]) == (500, "INTERNAL")
        assert "webhook_delivery_log" not in problem["detail"]
        assert await process.is_ready()
        assert process.logged("rpc.failed") == 1
        assert _MISSING in process.log_path.read_text(encoding="utf-8")


async def test_no_value_of_a_refused_row_is_logged(access: Access) -> None:
    with pytest.raises(ApiError) as caught:
        async with access.changing(as_org(OURS)) as connection:
            await connection.execute(
                "INSERT INTO webhook_console_codes (code_hash, role, org_id, subject)"
                " VALUES ('', 'tenant', NULL, $1)",
                "s3cret",
            )

    error = caught.value
    assert error.reason is Reason.INTERNAL
    assert "42501" in str(cause_of(error))
    assert "s3cret" not in "".join(traceback.format_exception(error))
