from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Literal

from cyclopts import App, Parameter

from ringback.cli.client.job_ids import resolve_job_id
from ringback.cli.client.metrics import DEFAULT_OPTIONS, CommonOptions, metrics_client, show_pages
from ringback.cli.commands.bulk_retry import point_in_time
from ringback.cli.options import Limit, ListAll, OptionalText, Org
from ringback.cli.terminal import out
from ringback.cli.views.changes_view import print_changes
from ringback.metrics import MetricsClient
from ringback.metrics.pages import AsyncPages
from ringback.metrics.v1.delivery_pb2 import Change, ChangeAction
from ringback.metrics.v1.metrics_service_pb2 import ListChangesResponse

_EXAMPLES = """Examples:

    ringback changes
    ringback changes --action pause --since 7d
    ringback changes --job JOB
    ringback changes --actor anna@laptop --all --json
"""

changes = App(
    name="changes",
    help="List what people changed: who, when and why, newest first.",
    help_epilogue=_EXAMPLES,
)

_Action = Literal[
    "retry", "replay", "bulk_retry", "bulk_retry_paused", "bulk_retry_resumed",
    "bulk_retry_stopped", "bulk_retry_ended", "discard", "pause", "resume",
    "run_duplicate", "set_destination", "release_wait", "cancel_wait",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Filter:
    """The options that select changes, as typed."""

    action: _Action | None
    actor: str
    job: str
    since: str
    until: str
    org: str

    async def pages(
        self, client: MetricsClient, page_size: int
    ) -> AsyncPages[ListChangesResponse, Change]:
        """Raises the errors of `resolve_job_id`."""
        now = datetime.now(UTC)
        return client.changes(
            action=ChangeAction.Value(f"CHANGE_ACTION_{(self.action or 'UNSPECIFIED').upper()}"),
            actor=self.actor,
            job_id=await resolve_job_id(client, self.job) if self.job else "",
            start_time=point_in_time(self.since, now) if self.since else None,
            end_time=point_in_time(self.until, now) if self.until else None,
            org_id=self.org,
            page_size=page_size,
        )


@changes.default
async def _list(
    *,
    action: Annotated[_Action | None, Parameter(show_default=False, show_choices=False)] = None,
    actor: OptionalText = "",
    job: OptionalText = "",
    since: OptionalText = "",
    until: OptionalText = "",
    org: Org = "",
    limit: Limit = 20,
    every: ListAll = False,
    options: CommonOptions = DEFAULT_OPTIONS,
) -> None:
    """List what people changed, newest first.

    Parameters
    ----------
    action
        Only this action: retry, replay, bulk_retry, bulk_retry_paused, bulk_retry_resumed,
        bulk_retry_stopped, bulk_retry_ended, discard, pause, resume, run_duplicate,
        set_destination, release_wait or cancel_wait.
    actor
        Only the changes of this person or service.
    job
        Only the changes of the webhook with this job id, or its beginning.
    since
        Only those made after this time: 2026-01-27T06:30 (UTC), or 2h for two hours ago.
    until
        Only those made before this time.
    """
    selected = _Filter(action, actor, job, since, until, org)

    def shown(page: ListChangesResponse) -> int:
        print_changes(out(), page.changes)
        return len(page.changes)

    async with metrics_client(options) as client:
        pages = await selected.pages(client, 100 if every else limit)
        await show_pages(pages, options, shown, every=every, nothing="No changes match.")
