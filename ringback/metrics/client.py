import uuid
from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from ringback.metrics.calling import AsyncCaller, SyncCaller
from ringback.metrics.declared import listing, stream, unary
from ringback.metrics.v1 import admin_service_pb2 as admin
from ringback.metrics.v1 import metrics_service_pb2 as metrics
from ringback.metrics.v1.delivery_pb2 import (
    BreakerState,
    ChangeAction,
    DeliveryStatus,
    WaitReason,
)


class _RetryRuns:
    """A method for each call about retry runs."""

    @unary(admin.CreateRetryRunResponse)
    def create_retry_run(
        self, request: admin.CreateRetryRunRequest, *, request_id: str | None = None
    ) -> admin.CreateRetryRunRequest:
        """Begin a run that works on the server, or preview it (`dry_run`).

        `request_id` is as in `retry_delivery`.
        """
        identified = admin.CreateRetryRunRequest()
        identified.CopyFrom(request)
        identified.request_id = request_id or request.request_id or str(uuid.uuid4())
        return identified

    @unary(admin.GetRetryRunResponse)
    def retry_run(self, run_id: str) -> admin.GetRetryRunRequest:
        return admin.GetRetryRunRequest(run_id=run_id)

    @listing(admin.ListRetryRunsResponse, lambda page: page.runs)
    def retry_runs(
        self, *, active_only: bool = False, org_id: str = "", page_size: int = 0
    ) -> admin.ListRetryRunsRequest:
        """Retry runs, newest first."""
        return admin.ListRetryRunsRequest(
            active_only=active_only, org_id=org_id, page_size=page_size
        )

    @unary(admin.PauseRetryRunResponse)
    def pause_retry_run(self, run_id: str, *, reason: str = "") -> admin.PauseRetryRunRequest:
        """Let a run retry nothing until `resume_retry_run`."""
        return admin.PauseRetryRunRequest(run_id=run_id, reason=reason)

    @unary(admin.ResumeRetryRunResponse)
    def resume_retry_run(self, run_id: str, *, reason: str = "") -> admin.ResumeRetryRunRequest:
        return admin.ResumeRetryRunRequest(run_id=run_id, reason=reason)

    @unary(admin.StopRetryRunResponse)
    def stop_retry_run(self, run_id: str, *, reason: str = "") -> admin.StopRetryRunRequest:
        """End a run. Webhooks that were already retried stay retried."""
        return admin.StopRetryRunRequest(run_id=run_id, reason=reason)


class _Queries:
    """A method for each call of MetricsService; it makes the request."""

    @unary(metrics.GetQueueHealthResponse)
    def queue_health(self, *, allow_stale: bool = False) -> metrics.GetQueueHealthRequest:
        """The health now. `allow_stale`: with the last numbers of a source that is unavailable."""
        return metrics.GetQueueHealthRequest(allow_stale=allow_stale)

    @stream(metrics.WatchQueueHealthResponse)
    def watch_queue_health(self, *, interval_s: float = 2.0) -> metrics.WatchQueueHealthRequest:
        """The health now and every `interval_s` seconds, without end; closing it ends the call."""
        return metrics.WatchQueueHealthRequest(interval_s=interval_s)

    @unary(metrics.GetDeliveryStatsResponse)
    def delivery_stats(
        self, time_range: str = "24h", *, org_id: str = ""
    ) -> metrics.GetDeliveryStatsRequest:
        """Statistics of the webhooks of the last `time_range`: from `15m` to `30d`."""
        return metrics.GetDeliveryStatsRequest(range=time_range, org_id=org_id)

    @listing(metrics.ListRecentFailuresResponse, lambda page: page.failures)
    def recent_failures(
        self, *, page_size: int = 0, org_id: str = ""
    ) -> metrics.ListRecentFailuresRequest:
        """Failed webhooks and dead letters, newest first, without their events."""
        return metrics.ListRecentFailuresRequest(limit=page_size, org_id=org_id)

    @listing(metrics.ListDeadLettersResponse, lambda page: page.dead_letters)
    def dead_letters(
        self,
        *,
        event_type: str = "",
        error_class: str = "",
        org_id: str = "",
        page_size: int = 0,
    ) -> metrics.ListDeadLettersRequest:
        """Unresolved dead letters with their events, newest first."""
        return metrics.ListDeadLettersRequest(
            page_size=page_size, event_type=event_type, error_class=error_class, org_id=org_id
        )

    @unary(metrics.GetDeliveryResponse)
    def delivery(self, job_id: str) -> metrics.GetDeliveryRequest:
        """One webhook with its event, its attempts and its retries."""
        return metrics.GetDeliveryRequest(job_id=job_id)

    @listing(metrics.ListDeliveriesResponse, lambda page: page.deliveries)
    def deliveries(
        self,
        *,
        status: DeliveryStatus.ValueType = DeliveryStatus.DELIVERY_STATUS_UNSPECIFIED,
        event_type: str = "",
        call_id: str = "",
        error_class: str = "",
        start_time: datetime | None = None,
        end_time: datetime | None = None,
        org_id: str = "",
        job_id_prefix: str = "",
        run_id: str = "",
        page_size: int = 0,
    ) -> metrics.ListDeliveriesRequest:
        """Webhooks that match all filters, newest first. Times have a time zone.

        A page may be short or empty and still have a next one: `searched_until` of the answer is
        how far it has looked.
        """
        return metrics.ListDeliveriesRequest(
            page_size=page_size,
            status=status,
            event_type=event_type,
            call_id=call_id,
            error_class=error_class,
            start_time=_timestamp(start_time),
            end_time=_timestamp(end_time),
            org_id=org_id,
            job_id_prefix=job_id_prefix,
            run_id=run_id,
        )

    @listing(metrics.ListWaitingResponse, lambda page: page.waiting)
    def waiting(
        self,
        *,
        reason: WaitReason.ValueType = WaitReason.WAIT_REASON_UNSPECIFIED,
        destination: str = "",
        org_id: str = "",
        page_size: int = 0,
    ) -> metrics.ListWaitingRequest:
        """Webhooks that wait in the database, in the order in which they are due."""
        return metrics.ListWaitingRequest(
            page_size=page_size, reason=reason, destination=destination, org_id=org_id
        )

    @listing(metrics.ListFailureGroupsResponse, lambda page: page.groups)
    def failure_groups(
        self, *, org_id: str = "", page_size: int = 0
    ) -> metrics.ListFailureGroupsRequest:
        """Unresolved dead letters, counted by event type and error class."""
        return metrics.ListFailureGroupsRequest(page_size=page_size, org_id=org_id)

    @unary(metrics.ListDestinationsResponse)
    def destinations(self) -> metrics.ListDestinationsRequest:
        """The services that handlers call, with the states of their breakers."""
        return metrics.ListDestinationsRequest()

    @listing(metrics.ListEndpointsResponse, lambda page: page.endpoints)
    def endpoints(self, *, org_id: str = "", page_size: int = 0) -> metrics.ListEndpointsRequest:
        """The endpoints of running gateways, and the last requests that they refused."""
        return metrics.ListEndpointsRequest(page_size=page_size, org_id=org_id)

    @listing(metrics.ListChangesResponse, lambda page: page.changes)
    def changes(
        self,
        *,
        action: ChangeAction.ValueType = ChangeAction.CHANGE_ACTION_UNSPECIFIED,
        actor: str = "",
        job_id: str = "",
        start_time: datetime | None = None,
        end_time: datetime | None = None,
        org_id: str = "",
        page_size: int = 0,
    ) -> metrics.ListChangesRequest:
        """What people changed, newest first. Times have a time zone."""
        return metrics.ListChangesRequest(
            page_size=page_size,
            action=action,
            actor=actor,
            job_id=job_id,
            start_time=_timestamp(start_time),
            end_time=_timestamp(end_time),
            org_id=org_id,
        )


class _Commands:
    """A method for each call of AdminService; it makes the request."""

    @unary(admin.RetryDeliveryResponse)
    def retry_delivery(
        self, job_id: str, *, reason: str = "", request_id: str | None = None
    ) -> admin.RetryDeliveryRequest:
        """Retry a dead letter.

        If the outcome is unknown (DeadlineError, for example), call again with the same
        `request_id`, a UUID: a retry that was made is then returned, not refused. Without one, the
        client creates an id.
        """
        return admin.RetryDeliveryRequest(
            job_id=job_id, reason=reason, request_id=request_id or str(uuid.uuid4())
        )

    @stream(admin.RetryDeliveriesResponse)
    def retry_deliveries(
        self, request: admin.RetryDeliveriesRequest
    ) -> admin.RetryDeliveriesRequest:
        """Retry all matching dead letters, and yield the progress; never repeated.

        Closing the generator stops the run. Webhooks that were already retried stay retried.
        """
        return request

    @unary(admin.DiscardDeadLetterResponse)
    def discard_dead_letter(self, job_id: str, *, reason: str) -> admin.DiscardDeadLetterRequest:
        return admin.DiscardDeadLetterRequest(job_id=job_id, reason=reason)

    @unary(admin.RunDuplicateResponse)
    def run_duplicate(
        self, job_id: str, *, reason: str, request_id: str | None = None
    ) -> admin.RunDuplicateRequest:
        """Run a webhook that was wrongly detected as a duplicate.

        `request_id` is as in `retry_delivery`.
        """
        return admin.RunDuplicateRequest(
            job_id=job_id, reason=reason, request_id=request_id or str(uuid.uuid4())
        )

    @unary(admin.ReleaseWaitingResponse)
    def release_waiting(
        self,
        job_id: str = "",
        *,
        matching: admin.WaitingFilter | None = None,
        limit: int = 0,
        reason: str,
        request_id: str | None = None,
    ) -> admin.ReleaseWaitingRequest:
        """Make the attempt of a waiting webhook due now, or of those that match the filter.

        With a filter, repeat the call while the answer has `has_more`. `request_id` is as in
        `retry_delivery`.
        """
        return admin.ReleaseWaitingRequest(
            job_id=job_id,
            filter=matching,
            limit=limit,
            reason=reason,
            request_id=request_id or str(uuid.uuid4()),
        )

    @unary(admin.CancelWaitingResponse)
    def cancel_waiting(
        self,
        job_id: str = "",
        *,
        matching: admin.WaitingFilter | None = None,
        limit: int = 0,
        reason: str,
        request_id: str | None = None,
    ) -> admin.CancelWaitingRequest:
        """Turn a waiting webhook, or those that match the filter, into dead letters.

        The arguments are those of `release_waiting`.
        """
        return admin.CancelWaitingRequest(
            job_id=job_id,
            filter=matching,
            limit=limit,
            reason=reason,
            request_id=request_id or str(uuid.uuid4()),
        )

    @unary(admin.PauseProcessingResponse)
    def pause_processing(self, *, reason: str) -> admin.PauseProcessingRequest:
        """Let processors finish their webhooks and consume no more, until `resume_processing`."""
        return admin.PauseProcessingRequest(reason=reason)

    @unary(admin.ResumeProcessingResponse)
    def resume_processing(self, *, reason: str = "") -> admin.ResumeProcessingRequest:
        return admin.ResumeProcessingRequest(reason=reason)

    @unary(admin.SetDestinationResponse)
    def set_destination(
        self, name: str, forced_state: BreakerState.ValueType, *, reason: str
    ) -> admin.SetDestinationRequest:
        """Keep the breakers of a destination in a state; unspecified ends that."""
        return admin.SetDestinationRequest(name=name, forced_state=forced_state, reason=reason)

    @unary(admin.CreateConsoleCodeResponse)
    def create_console_code(self) -> admin.CreateConsoleCodeRequest:
        """A code with which a browser signs in to the console as the caller, within a minute."""
        return admin.CreateConsoleCodeRequest()


class MetricsClient(_Queries, _Commands, _RetryRuns, AsyncCaller):
    """The metrics API for asyncio: a method for each call of the contract.

    Every method raises only MetricsError and its subclasses, never gRPC's errors. Reads, and
    changes with a request id, are repeated for about two seconds while the service is unavailable.
    """


class SyncMetricsClient(_Queries, _Commands, _RetryRuns, SyncCaller):
    """The same for programs without asyncio. Threads may share it."""


def _timestamp(time: datetime | None) -> Timestamp | None:
    if time is None:
        return None
    timestamp = Timestamp()
    timestamp.FromDatetime(time)
    return timestamp
