import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import asyncpg
import uvloop
from cyclopts import App, Parameter

from chaos import delivery_log
from chaos.load.ledger import NoLedgerError, Offered, read_ledger
from chaos.verdict import Logged, Verdict, judge
from ringback.cli.client.database import database
from ringback.cli.client.metrics import MetricsTarget, command_error
from ringback.cli.terminal import EXIT_FAILED, BadInputError, out
from ringback.metrics import MetricsClient, MetricsError

_SHOWN = 20

check = App(name="check", help_epilogue="")


@check.default
def _check(
    *,
    ledger: Path,
    database: Annotated[str | None, Parameter(env_var="RINGBACK_DATABASE_URL")] = None,
    metrics: str | None = None,
) -> int:
    """Check that each webhook that a ledger lists as accepted ended exactly once.

    Run it when the queues are empty again: unfinished webhooks count as lost. The exit status is 0
    if nothing is lost and nothing was finished twice.

    Parameters
    ----------
    ledger
        The file that `load` wrote.
    database
        The URL of PostgreSQL. Only the database shows webhooks that were stored without an answer,
        and the effects, if the handlers of the suite ran.
    metrics
        Instead, the metrics API by gRPC: host:port or https://host:port, with RINGBACK_TOKEN.
    """
    if (database is None) == (metrics is None):
        raise BadInputError(
            "Give either --database or --metrics: where to read how the webhooks ended."
        )
    try:
        offers = read_ledger(ledger)
    except NoLedgerError as exc:
        raise BadInputError(str(exc)) from exc
    verdict = uvloop.run(verdict_of(offers, database, metrics))
    show(verdict, offers, by_database=database is not None)
    return EXIT_FAILED if verdict.lost or verdict.twice else 0


async def verdict_of(
    offers: Sequence[Offered], database_url: str | None, metrics: str | None
) -> Verdict:
    if database_url is not None:
        async with database(database_url) as connection:
            rows, effects = await _from_database(connection, offers)
    else:
        rows, effects = await _from_metrics(metrics or "", offers), None
    return judge(offers, rows, effects)


async def _from_database(
    connection: asyncpg.Connection, offers: Sequence[Offered]
) -> tuple[list[Logged], Mapping[str, int] | None]:
    rows = await delivery_log.logged(connection, offers)
    effects = await delivery_log.effects(connection, offers)
    # No effects at all: other handlers ran.
    return rows, effects or None


async def _from_metrics(address: str, offers: Sequence[Offered]) -> list[Logged]:
    environ = {**os.environ, "RINGBACK_METRICS_URL": address}
    place = MetricsTarget.from_env(Path(".ringback"), environ)
    async with MetricsClient(
        place.address, token=place.token, tls=place.tls, root_certificates=place.root_certificates
    ) as client:
        try:
            return await delivery_log.logged_by_metrics(client, offers)
        except MetricsError as exc:
            raise command_error(exc, place) from exc


def show(verdict: Verdict, offers: Sequence[Offered], *, by_database: bool) -> None:
    console = out()
    console.print(
        f"{verdict.offered} offered: {verdict.accepted} accepted, {verdict.refused} refused, "
        f"{verdict.unanswered} without an answer."
    )
    console.print(
        f"{verdict.finished} finished, of them {verdict.duplicates} duplicates and "
        f"{verdict.dead_letters} dead letters. The longest time without accepting: "
        f"{verdict.gap_s:.1f} s."
    )
    job_ids = {offer.event: offer.job_id for offer in offers if offer.is_accepted}
    for title, events in (("Lost", verdict.lost), ("Finished twice", verdict.twice)):
        console.print(f"{title}: {len(events)}.")
        for event in events[:_SHOWN]:
            console.print(f"  {event}  {job_ids.get(event) or 'no answer'}")
    if not by_database:
        console.print(
            "Read from the metrics API: it shows neither effects nor webhooks without an answer."
        )
