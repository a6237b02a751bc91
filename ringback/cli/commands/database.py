"""`ringback migrate` and `housekeeping`: the schema and partitions of the database."""

from cyclopts import App

from ringback.cli.client.addresses import Addresses
from ringback.cli.client.database import database
from ringback.cli.poll import Within, until_nothing_missing
from ringback.cli.terminal import out
from ringback.runtime.postgres.housekeeping import clean_up, create_partitions
from ringback.runtime.postgres.migrate import migrate as apply_migrations
from ringback.runtime.postgres.migrate import missing_migrations

migrate = App(name="migrate", help_epilogue="")


@migrate.default
async def _migrate() -> None:
    """Update the database in RINGBACK_DATABASE_URL to the newest version.

    Each migration is applied once, in one transaction. Repeating this changes nothing, and it is
    safe to run several at once.
    """
    applied = await apply_migrations(Addresses.from_env().database)
    console = out()
    for name in applied:
        console.print(f"Applied {name}")
    if not applied:
        console.print("Nothing to do: the database is up to date.")


@migrate.command
async def wait(*, within: Within = 300.0) -> int:
    """Wait until the database has this version or a newer one. Changes nothing.

    Use it before a service starts while `ringback migrate` may still run. It works with the
    database role of any service. The exit status is 1 if the database is not ready in time.

    Parameters
    ----------
    within
        Maximum seconds to wait; with 0 it checks once.
    """
    url = Addresses.from_env().database
    status = await until_nothing_missing(lambda: missing_migrations(url), within)
    if not status:
        out().print("The database is up to date.")
    return status


housekeeping = App(name="housekeeping", help_epilogue="")


@housekeeping.default
async def _housekeeping() -> None:
    """Create the partitions of the next days in the delivery log, and drop expired ones.

    Finished webhooks are kept for RINGBACK_RETENTION_DAYS, dead letters until someone retries or
    discards them. Run it every hour as a cron job if the processors have
    RINGBACK_HOUSEKEEPING=false. It needs the database role of the processor.
    """
    settings = Addresses.from_env()
    async with database(settings.database) as connection:
        await create_partitions(connection)
        await clean_up(connection, settings.retention_days)
    out().print(
        "The partitions of the next days exist. Finished webhooks of the last "
        f"{settings.retention_days} days are kept."
    )
