"""A webhook as the broker stores it."""

from pamqp.commands import Basic

from ringback.contract.envelope import CONTENT_TYPE, Envelope

_PERSISTENT = 2


def properties_of(envelope: Envelope) -> Basic.Properties:
    """The properties under which a body is published."""
    return Basic.Properties(
        content_type=CONTENT_TYPE,
        headers=envelope.headers(),
        delivery_mode=_PERSISTENT,
        message_id=str(envelope.job_id),
        timestamp=envelope.received_at,
        message_type=envelope.event_type,
    )
