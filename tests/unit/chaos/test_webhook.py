"""The webhooks that the load sends."""

from collections import Counter

from chaos.load.webhook import RESENT_EVERY, Kind, Mix, webhook
from ringback.services.gateway.events.metadata import EventMetadata, parse_metadata

MANY = range(500)


def test_every_request_is_an_event_and_only_what_is_sent_again_has_the_same_key() -> None:
    """Its call id is the name to look it up by in the log."""
    events: dict[str | None, str] = {}
    for number in MANY:
        sent = webhook("run", number, Mix())
        metadata = parse_metadata(sent.body)

        assert isinstance(metadata, EventMetadata)
        assert (metadata.type, metadata.call_id) == (sent.kind, sent.event)
        assert events.setdefault(metadata.dedup_key, sent.event) == sent.event

    assert len(events) == len(MANY) - len(MANY) // RESENT_EVERY


def test_every_kind_comes_and_some_fail_first() -> None:
    """An event without a handler cannot fail."""
    sent = [webhook("run", number, Mix(failing_in_ten=2)) for number in MANY]

    only_of_faults = {Kind.WAITING, Kind.ORDERED}
    assert set(Counter(one.kind for one in sent)) == set(Kind) - only_of_faults
    assert {one.attempts for one in sent if one.kind is Kind.WRITTEN} == {1, 3}
    assert {one.attempts for one in sent if one.kind is Kind.LIGHT} == {1}
    assert {webhook("run", number, Mix(failing_in_ten=0)).attempts for number in MANY} == {1}
