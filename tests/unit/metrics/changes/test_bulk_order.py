from datetime import UTC, datetime

from ringback.metrics.v1.admin_service_pb2 import DeadLetterFilter, RetryDeliveriesRequest
from services.metrics.changes.bulk_order import Matching, order_of


def test_what_is_not_asked_has_a_default() -> None:
    """The numbers are those of the contract."""
    order = order_of(RetryDeliveriesRequest(reason=" Mended. "))

    assert (order.limit, order.rate_per_second, order.stop_after_failures) == (1_000, 10, 3)
    assert (order.matching, order.org_id, order.is_dry_run) == (Matching(), None, False)
    assert order.reason == "Mended."


def test_more_than_is_allowed_is_made_less() -> None:
    """A run is never faster or longer than the contract allows."""
    order = order_of(
        RetryDeliveriesRequest(reason="Mended.", limit=2_000_000, rate_per_second=5_000)
    )

    assert (order.limit, order.rate_per_second) == (100_000, 100)


def test_times_are_in_utc() -> None:
    """As the database compares them."""
    chosen = DeadLetterFilter(event_type="hang")
    chosen.start_time.FromJsonString("2026-01-27T06:30:00Z")

    order = order_of(RetryDeliveriesRequest(reason="Mended.", filter=chosen))

    assert order.matching == Matching("hang", start=datetime(2026, 1, 27, 6, 30, tzinfo=UTC))
