import asyncio

from cyclopts import App

from ringback.cli.addresses import Addresses
from ringback.cli.database import database
from ringback.cli.terminal import out
from ringback.runtime.postgres.housekeeping import clean_up, make_days

housekeeping = App(name="housekeeping", help_epilogue="")


@housekeeping.default
def _housekeeping() -> None:
    """Make the days ahead of the delivery log, and clean up those behind.

    Keeps finished webhooks for RINGBACK_RETENTION_DAYS, and what waits for a person for as long as
    it takes. For a cron job, where processors have RINGBACK_HOUSEKEEPING=false; it needs the
    database role of the processor. Run it every hour: a run with nothing to do is short.
    """
    settings = Addresses.from_env()
    asyncio.run(_keep_house(settings.database, settings.retention_days))
    out().print(
        f"The days ahead are made; finished webhooks of the last {settings.retention_days} days "
        "are kept."
    )


async def _keep_house(database_url: str, retention_days: int) -> None:
    async with database(database_url) as connection:
        await make_days(connection)
        await clean_up(connection, retention_days)
