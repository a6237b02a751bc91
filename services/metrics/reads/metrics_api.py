"""Implements every call of MetricsService; each has a file named after it."""

from collections.abc import AsyncGenerator

from ringback.contract.redaction.redaction import DEFAULT_REDACTION, Redaction
from ringback.metrics.v1 import metrics_service_pb2 as pb
from services.metrics.access import Access
from services.metrics.api.call import Call
from services.metrics.reads.dead_letters import DeadLetters
from services.metrics.reads.deliveries import Deliveries
from services.metrics.reads.delivery_stats import DeliveryStats
from services.metrics.reads.failure_groups import FailureGroups
from services.metrics.reads.one_delivery import OneDelivery
from services.metrics.reads.queue_health import QueueHealth
from services.metrics.reads.queue_snapshot import QueueSnapshot
from services.metrics.reads.recent_failures import RecentFailures


class MetricsApi:
    """Each method deliberately raises only ApiError."""

    def __init__(
        self,
        access: Access,
        snapshot: QueueSnapshot,
        redaction: Redaction = DEFAULT_REDACTION,
    ) -> None:
        self._health = QueueHealth(snapshot)
        self._stats = DeliveryStats(access)
        self._failures = RecentFailures(access)
        self._dead_letters = DeadLetters(access, redaction)
        self._one = OneDelivery(access, redaction)
        self._deliveries = Deliveries(access)
        self._groups = FailureGroups(access)

    async def get_queue_health(
        self, request: pb.GetQueueHealthRequest, call: Call
    ) -> pb.GetQueueHealthResponse:
        return await self._health.answer(request, call)

    def watch_queue_health(
        self, request: pb.WatchQueueHealthRequest, call: Call
    ) -> AsyncGenerator[pb.WatchQueueHealthResponse, None]:
        return self._health.watch(request, call)

    async def get_delivery_stats(
        self, request: pb.GetDeliveryStatsRequest, call: Call
    ) -> pb.GetDeliveryStatsResponse:
        return await self._stats.get(request, call)

    async def list_recent_failures(
        self, request: pb.ListRecentFailuresRequest, call: Call
    ) -> pb.ListRecentFailuresResponse:
        return await self._failures.answer(request, call)

    async def list_dead_letters(
        self, request: pb.ListDeadLettersRequest, call: Call
    ) -> pb.ListDeadLettersResponse:
        return await self._dead_letters.answer(request, call)

    async def get_delivery(
        self, request: pb.GetDeliveryRequest, call: Call
    ) -> pb.GetDeliveryResponse:
        return await self._one.answer(request, call)

    async def list_deliveries(
        self, request: pb.ListDeliveriesRequest, call: Call
    ) -> pb.ListDeliveriesResponse:
        return await self._deliveries.answer(request, call)

    async def list_failure_groups(
        self, request: pb.ListFailureGroupsRequest, call: Call
    ) -> pb.ListFailureGroupsResponse:
        return await self._groups.answer(request, call)
