"""The event types that metrics distinguish."""

from typing import Final

OTHER_EVENT_TYPE: Final = "other"

KNOWN_EVENT_TYPES: Final = frozenset(
    {
        "assistant-request",
        "assistant.speechStarted",
        "assistant.started",
        "call.artifact.upload",
        "call.delete.failed",
        "call.deleted",
        "call.endpointing.request",
        "campaign.predial",
        "chat.created",
        "chat.deleted",
        "conversation-update",
        "end-of-call-report",
        "function-call",
        "handoff-destination-request",
        "hang",
        "knowledge-base-request",
        "language-change-detected",
        "model-output",
        "phone-call-control",
        "session.created",
        "session.deleted",
        "session.updated",
        "speech-update",
        "status-update",
        "tool-calls",
        "transcript",
        "transfer-destination-request",
        "transfer-update",
        "user-interrupted",
        "voice-input",
        "voice-request",
    }
)
"""The types that Vapi documents. Other types are accepted too; as a label they are `other`."""


EVENT_TYPE_LABELS: Final = (*sorted(KNOWN_EVENT_TYPES), OTHER_EVENT_TYPE)


def event_type_label(event_type: str) -> str:
    """A label of bounded cardinality: untrusted senders choose types, and each is a series."""
    base = event_type.partition("[")[0]
    return base if base in KNOWN_EVENT_TYPES else OTHER_EVENT_TYPE
