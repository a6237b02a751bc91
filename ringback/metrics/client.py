import uuid
from collections.abc import AsyncGenerator, Callable, Iterable
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from ringback.metrics.calling import Caller, TokenSource
from ringback.metrics.channel import open_channel
from ringback.metrics.pages import Pages
from ringback.metrics.v1 import admin_service_pb2 as admin
from ringback.metrics.v1 import metrics_service_pb2 as metrics
from ringback.metrics.v1.admin_service_pb2_grpc import AdminServiceStub
from ringback.metrics.v1.delivery_pb2 import Delivery, DeliveryStatus, ProcessingState
from ringback.metrics.v1.metrics_service_pb2_grpc import MetricsServiceStub


class MetricsClient:
    """The metrics API for Python: a method for each call of the contract.

    Every method raises only MetricsError and its subclasses, never gRPC's errors. Reads,
    RetryDelivery, RunDuplicate and pausing are repeated for about two seconds while the service is
    unavailable.
    """

    def __init__(
        self,
        address: str,
        *,
        token: str | TokenSource | None = None,
        timeout_s: float = 10.0,
        tls: bool = False,
        root_certificates: Path | None = None,
        received: Callable[[Message], None] | None = None,
    ) -> None:
        """Prepare for the service at `address` (host:port); the first call connects.

        Pass a `token` that may expire as a function. `timeout_s` is for each call, but streams have
        no limit. `root_certificates`, a PEM file, is for a service with TLS whose authority the
        machine does not trust. `received` is called with each answer before the caller gets it, and
        may change it.
        """
        self._channel = open_channel(address, tls=tls, root_certificates=root_certificates)
        self._caller = Caller(token, timeout_s, received)
        self._metrics = MetricsServiceStub(self._channel)
        self._admin = AdminServiceStub(self._channel)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Cancel running calls and close the connection."""
        await self._channel.close()

    async def queue_health(self) -> metrics.GetQueueHealthResponse:
        request = metrics.GetQueueHealthRequest()
        return await self._caller.ask(self._metrics.GetQueueHealth, request)

    def watch_queue_health(
        self, *, interval_s: float = 2.0
    ) -> AsyncGenerator[metrics.WatchQueueHealthResponse, None]:
        """The health now and every `interval_s` seconds, without end; closing it ends the call."""
        request = metrics.WatchQueueHealthRequest(interval_s=interval_s)
        return self._caller.follow(self._metrics.WatchQueueHealth, request)

    async def delivery_stats(
        self, time_range: str = "24h", *, org_id: str = ""
    ) -> metrics.GetDeliveryStatsResponse:
        """Statistics of the webhooks of the last `time_range`: from `15m` to `30d`."""
        request = metrics.GetDeliveryStatsRequest(range=time_range, org_id=org_id)
        return await self._caller.ask(self._metrics.GetDeliveryStats, request)

    def recent_failures(
        self, *, page_size: int = 0, org_id: str = ""
    ) -> Pages[metrics.ListRecentFailuresResponse, Delivery]:
        """Failed webhooks and dead letters, newest first, without their events."""

        async def fetch(page_token: str) -> metrics.ListRecentFailuresResponse:
            request = metrics.ListRecentFailuresRequest(
                limit=page_size, page_token=page_token, org_id=org_id
            )
            return await self._caller.ask(self._metrics.ListRecentFailures, request)

        return Pages(fetch, _failures)

    def dead_letters(
        self,
        *,
        event_type: str = "",
        error_class: str = "",
        org_id: str = "",
        page_size: int = 0,
    ) -> Pages[metrics.ListDeadLettersResponse, Delivery]:
        """Unresolved dead letters with their events, newest first."""

        async def fetch(page_token: str) -> metrics.ListDeadLettersResponse:
            request = metrics.ListDeadLettersRequest(
                page_size=page_size,
                page_token=page_token,
                event_type=event_type,
                error_class=error_class,
                org_id=org_id,
            )
            return await self._caller.ask(self._metrics.ListDeadLetters, request)

        return Pages(fetch, _dead_letters)

    async def delivery(self, job_id: str) -> metrics.GetDeliveryResponse:
        """One webhook with its event, its attempts and its retries."""
        request = metrics.GetDeliveryRequest(job_id=job_id)
        return await self._caller.ask(self._metrics.GetDelivery, request)

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
        page_size: int = 0,
    ) -> Pages[metrics.ListDeliveriesResponse, Delivery]:
        """Webhooks that match all filters, newest first. Times have a time zone."""

        async def fetch(page_token: str) -> metrics.ListDeliveriesResponse:
            request = metrics.ListDeliveriesRequest(
                page_size=page_size,
                page_token=page_token,
                status=status,
                event_type=event_type,
                call_id=call_id,
                error_class=error_class,
                start_time=_timestamp(start_time),
                end_time=_timestamp(end_time),
                org_id=org_id,
            )
            return await self._caller.ask(self._metrics.ListDeliveries, request)

        return Pages(fetch, _deliveries)

    def failure_groups(
        self, *, org_id: str = "", page_size: int = 0
    ) -> Pages[metrics.ListFailureGroupsResponse, metrics.FailureGroup]:
        """Unresolved dead letters, counted by event type and error class."""

        async def fetch(page_token: str) -> metrics.ListFailureGroupsResponse:
            request = metrics.ListFailureGroupsRequest(
                page_size=page_size, page_token=page_token, org_id=org_id
            )
            return await self._caller.ask(self._metrics.ListFailureGroups, request)

        return Pages(fetch, _groups)

    async def retry_delivery(
        self, job_id: str, *, reason: str = "", request_id: str | None = None
    ) -> admin.RetryDeliveryResponse:
        """Retry a dead letter.

        If the outcome is unknown (DeadlineError, for example), call again with the same
        `request_id`, a UUID: a retry that was made is then returned, not refused. Without one, the
        client creates an id.
        """
        request = admin.RetryDeliveryRequest(
            job_id=job_id, reason=reason, request_id=request_id or str(uuid.uuid4())
        )
        return await self._caller.ask(self._admin.RetryDelivery, request)

    def retry_deliveries(
        self, request: admin.RetryDeliveriesRequest
    ) -> AsyncGenerator[admin.RetryDeliveriesResponse, None]:
        """Retry all matching dead letters, and yield the progress; never repeated.

        Closing the generator stops the run. Webhooks that were already retried stay retried.
        """
        return self._caller.follow(self._admin.RetryDeliveries, request)

    async def discard_dead_letter(
        self, job_id: str, *, reason: str
    ) -> admin.DiscardDeadLetterResponse:
        request = admin.DiscardDeadLetterRequest(job_id=job_id, reason=reason)
        return await self._caller.ask(self._admin.DiscardDeadLetter, request)

    async def run_duplicate(
        self, job_id: str, *, reason: str, request_id: str | None = None
    ) -> admin.RunDuplicateResponse:
        """Run a webhook that was wrongly detected as a duplicate.

        `request_id` is as in `retry_delivery`.
        """
        request = admin.RunDuplicateRequest(
            job_id=job_id, reason=reason, request_id=request_id or str(uuid.uuid4())
        )
        return await self._caller.ask(self._admin.RunDuplicate, request)

    async def pause_processing(self, *, reason: str) -> ProcessingState:
        """Let processors finish their webhooks and consume no more, until `resume_processing`."""
        request = admin.PauseProcessingRequest(reason=reason)
        return (await self._caller.ask(self._admin.PauseProcessing, request)).processing

    async def resume_processing(self, *, reason: str = "") -> ProcessingState:
        request = admin.ResumeProcessingRequest(reason=reason)
        return (await self._caller.ask(self._admin.ResumeProcessing, request)).processing


def _failures(page: metrics.ListRecentFailuresResponse) -> Iterable[Delivery]:
    return page.failures


def _dead_letters(page: metrics.ListDeadLettersResponse) -> Iterable[Delivery]:
    return page.dead_letters


def _deliveries(page: metrics.ListDeliveriesResponse) -> Iterable[Delivery]:
    return page.deliveries


def _groups(page: metrics.ListFailureGroupsResponse) -> Iterable[metrics.FailureGroup]:
    return page.groups


def _timestamp(time: datetime | None) -> Timestamp | None:
    if time is None:
        return None
    timestamp = Timestamp()
    timestamp.FromDatetime(time)
    return timestamp
