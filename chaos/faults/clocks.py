"""Wrong clocks, and webhooks of days without a partition."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from chaos.fault import Fault, Part, Strike
from chaos.stage import Stage
from chaos.wrong_clock import is_available, off_by
from ringback.runtime.postgres.queries import load

_READY_WITHIN_S = 60.0
_HOLD_S = 5.0
_NO_DATABASE = {"RINGBACK_DATABASE_URL": "postgresql://127.0.0.1:1/ringback"}


def _gateway_off_by(offset: str, *, can_correct: bool) -> Strike:
    """A gateway that cannot reach the database gives its webhooks the wrong time."""

    @asynccontextmanager
    async def strike(stage: Stage) -> AsyncGenerator[None, None]:
        await stage.gateway.restart(off_by(offset) | ({} if can_correct else _NO_DATABASE))
        try:
            await stage.gateway.ready(within_s=_READY_WITHIN_S)
            yield
        finally:
            await stage.gateway.restart({})

    return strike


@asynccontextmanager
async def _partition_created_late(stage: Stage) -> AsyncGenerator[None, None]:
    """The webhooks' day has no partition: the processor may not create it, another role does."""
    async with stage.connection() as connection:
        await connection.execute(load("chaos", "forbid_partitions.sql"))
        try:
            async with _gateway_off_by("+30d", can_correct=False)(stage):
                yield
                first = datetime.now(UTC).date() + timedelta(days=30)
                await connection.execute(
                    load("chaos", "create_partitions.sql"), first, first + timedelta(days=1)
                )
        finally:
            await connection.execute(load("chaos", "allow_partitions.sql"))


_NEED_FAKETIME = (
    Fault(
        name="gateway-clock-behind",
        sentence="The gateway's clock is 3 days behind; the gateway uses the database's time.",
        part=Part.GATEWAY,
        strike=_gateway_off_by("-3d", can_correct=True),
        hold_s=_HOLD_S,
        may_not_answer=True,
        is_mixed=False,
    ),
    Fault(
        name="gateway-clock-ahead",
        sentence="The gateway's clock is 9 days ahead, and no database is available to correct it.",
        part=Part.GATEWAY,
        strike=_gateway_off_by("+9d", can_correct=False),
        hold_s=_HOLD_S,
        may_not_answer=True,
        is_mixed=False,
    ),
    Fault(
        name="partition-dropped",
        sentence="Webhooks arrive whose partition was dropped long ago, as from an old spool.",
        part=Part.GATEWAY,
        strike=_gateway_off_by("-90d", can_correct=False),
        hold_s=_HOLD_S,
        may_not_answer=True,
        is_mixed=False,
    ),
    Fault(
        name="partition-created-late",
        sentence="The processor may not create the webhooks' missing partition; another role does.",
        part=Part.GATEWAY,
        strike=_partition_created_late,
        hold_s=_HOLD_S,
        may_not_answer=True,
        is_mixed=False,
    ),
)

FAULTS: tuple[Fault, ...] = _NEED_FAKETIME if is_available() else ()
