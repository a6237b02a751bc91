"""The names under which Ringback is observed, and the values that labels may take."""

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
"""The types that Vapi documents. Others are accepted as well; as a label they are `other`."""


def event_type_label(event_type: str) -> str:
    """A label of bounded cardinality: strangers choose types, and each would be a series."""
    base = event_type.partition("[")[0]
    return base if base in KNOWN_EVENT_TYPES else OTHER_EVENT_TYPE


class Metric:
    """Names of metrics. The first four are older than Ringback; dashboards out there use them."""

    ACCEPTED: Final = "webhook_total"
    COMPLETED: Final = "webhook_completed_total"
    PROCESSING_SECONDS: Final = "webhook_processing_duration_seconds"
    DEAD_LETTER_QUEUE_SIZE: Final = "webhook_dead_letter_queue_size"

    REFUSED: Final = "webhook_refused_total"
    PUBLISH_SECONDS: Final = "webhook_publish_duration_seconds"
    PENDING_ROWS: Final = "webhook_pending_rows_total"
    ATTEMPTS: Final = "webhook_attempts_total"
    REPEATED: Final = "webhook_repeated_total"
    DUPLICATES: Final = "webhook_duplicates_total"
    DEAD_LETTERS: Final = "webhook_dead_letters_total"
    SUSPECTS: Final = "webhook_suspects_total"
    IN_FLIGHT: Final = "webhook_in_flight"
    PROCESSING_PAUSED: Final = "webhook_processing_paused"
    QUEUE_MESSAGES: Final = "webhook_queue_messages"
    BROKER_LINK_UP: Final = "broker_link_up"
    RPC_CALLS: Final = "rpc_server_calls_total"
    RPC_SECONDS: Final = "rpc_server_duration_seconds"


class LogEvent:
    """Names of log lines. One wide line per webhook, one per attempt, one per call of the API."""

    WEBHOOK_ACCEPTED: Final = "webhook.accepted"
    WEBHOOK_REFUSED: Final = "webhook.refused"
    ATTEMPT_FINISHED: Final = "attempt.finished"
    SUSPECT_SET_ASIDE: Final = "suspect.set_aside"
    MESSAGE_UNDELIVERABLE: Final = "message.undeliverable"
    DEAD_LETTER_RECORDED: Final = "dead_letter.recorded"
    PROCESSING_PAUSED: Final = "processing.paused"
    PROCESSING_RESUMED: Final = "processing.resumed"
    PAUSE_UNKNOWN: Final = "pause.unknown"
    RPC_FINISHED: Final = "rpc.finished"
    RPC_FAILED: Final = "rpc.failed"
