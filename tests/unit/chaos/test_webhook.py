"""The webhooks that the load sends."""

from collections import Counter

from chaos.load.webhook import RESENT_EVERY, Kind, Mix, webhook
from ringback.contract.event import Event, read_event
from services.gateway.events.metadata import EventMetadata, parse_metadata

MANY = range(500)


def test_every_request_carries_an_event_that_the_gateway_can_read() -> None:
    """Its call id is the name to look it up by in the log."""
    for number in MANY:
        sent = webhook("run", number, Mix())
        event = read_event(sent.body)

        assert isinstance(event, Event)
        assert event.type == sent.kind
        assert event.call_id == sent.event


def test_only_what_is_sent_again_has_the_same_key() -> None:
    """Two events never count as one, and a repeated event is always recognized."""
    heads: dict[str | None, str] = {}
    for number in MANY:
        sent = webhook("run", number, Mix())
        head = parse_metadata(sent.body)
        assert isinstance(head, EventMetadata)
        assert heads.setdefault(head.dedup_key, sent.event) == sent.event

    assert len(heads) == len(MANY) - len(MANY) // RESENT_EVERY


def test_every_kind_comes_and_some_fail_first() -> None:
    """An event without a handler cannot fail."""
    sent = [webhook("run", number, Mix(failing_in_ten=2)) for number in MANY]

    assert set(Counter(one.kind for one in sent)) == set(Kind)
    assert {one.attempts for one in sent if one.kind is Kind.WRITTEN} == {1, 3}
    assert {one.attempts for one in sent if one.kind is Kind.LIGHT} == {1}
    assert {webhook("run", number, Mix(failing_in_ten=0)).attempts for number in MANY} == {1}
