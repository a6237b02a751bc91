"""The attributes of spans.

Names without `ringback.` are those of OpenTelemetry's semantic conventions, and mean what they say.
"""

from typing import Final

from ringback.contract.telemetry.attribute_spec import AttributeSpec
from ringback.contract.telemetry.declared import declared


class Attribute:
    JOB_ID: Final = AttributeSpec("ringback.job_id", "The webhook.")
    ORG_ID: Final = AttributeSpec("ringback.org_id", "The organisation that the webhook is of.")
    EVENT_TYPE: Final = AttributeSpec("ringback.event_type", "The type of the event, as sent.")
    ATTEMPT: Final = AttributeSpec("ringback.attempt", "The number of the attempt; the first is 1.")
    LINK: Final = AttributeSpec(
        "ringback.link", "Of a link: `origin`, `previous_attempt` or `retry_request`."
    )
    MESSAGE_ID: Final = AttributeSpec("messaging.message.id", "The job id.")
    ERROR_TYPE: Final = AttributeSpec("error.type", "What went wrong, as a word; absent when well.")


def all_attributes() -> tuple[AttributeSpec, ...]:
    return tuple(declared(Attribute, AttributeSpec).values())
