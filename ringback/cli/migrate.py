import asyncio

from cyclopts import App

from ringback.cli.addresses import Addresses
from ringback.cli.terminal import out
from ringback.runtime.migrate import migrate as apply_migrations

migrate = App(name="migrate", help_epilogue="")


@migrate.default
def _migrate() -> None:
    """Bring the database of RINGBACK_DATABASE_URL to the newest version.

    Each migration is applied once, in one transaction. Running it again changes nothing, and two
    at the same time wait for each other.
    """
    applied = asyncio.run(apply_migrations(Addresses.from_env().database))
    console = out()
    for name in applied:
        console.print(f"Applied {name}")
    if not applied:
        console.print("Nothing to do: the database is at the newest version.")
