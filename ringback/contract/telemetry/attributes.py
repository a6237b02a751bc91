"""The attributes of spans.

Names without `ringback.` are from OpenTelemetry's semantic conventions, with their meaning.
"""

from typing import Final

from ringback.contract.telemetry.attribute_spec import AttributeSpec
from ringback.contract.telemetry.declared import declared


class _OfHttp:
    HTTP_METHOD: Final = AttributeSpec(
        "http.request.method", "The method, or `_OTHER` for one that HTTP does not know."
    )
    HTTP_METHOD_SENT: Final = AttributeSpec(
        "http.request.method_original", "The method that was sent, where HTTP does not know it."
    )
    HTTP_ROUTE: Final = AttributeSpec("http.route", "The path of the endpoint, without its id.")
    HTTP_STATUS: Final = AttributeSpec("http.response.status_code", "The status of the answer.")
    HTTP_BODY_SIZE: Final = AttributeSpec("http.request.body.size", "Bytes of the body.")
    URL_PATH: Final = AttributeSpec("url.path", "The path that was asked for, without the query.")
    URL_SCHEME: Final = AttributeSpec("url.scheme", "`http`: whoever ends TLS stands before us.")
    USER_AGENT: Final = AttributeSpec(
        "user_agent.original", "What the sender calls itself; 200 letters at most."
    )


class _OfCalls:
    RPC_SYSTEM: Final = AttributeSpec("rpc.system.name", "`grpc`.")
    RPC_METHOD: Final = AttributeSpec(
        "rpc.method", "The method, as in `ringback.metrics.v1.AdminService/RetryDelivery`."
    )
    RPC_STATUS: Final = AttributeSpec(
        "rpc.response.status_code", "How the call ended, in the words of gRPC: `OK`, `NOT_FOUND`."
    )


class _OfMessages:
    MESSAGING_SYSTEM: Final = AttributeSpec("messaging.system", "`rabbitmq`.")
    OPERATION_NAME: Final = AttributeSpec(
        "messaging.operation.name", "`publish`, `process`, `ack` or `reject`."
    )
    OPERATION_TYPE: Final = AttributeSpec(
        "messaging.operation.type", "`send`, `process` or `settle`: the same for any broker."
    )
    DESTINATION: Final = AttributeSpec(
        "messaging.destination.name", "`exchange:key` of a publish, else `exchange:key:queue`."
    )
    ROUTING_KEY: Final = AttributeSpec(
        "messaging.rabbitmq.destination.routing_key", "The routing key, as in `attempt.2`."
    )
    MESSAGE_ID: Final = AttributeSpec("messaging.message.id", "The job id.")
    MESSAGE_BODY_SIZE: Final = AttributeSpec("messaging.message.body.size", "Bytes of the body.")


class _OfQueries:
    DB_SYSTEM: Final = AttributeSpec("db.system.name", "`postgresql`.")
    DB_SUMMARY: Final = AttributeSpec("db.query.summary", "The name of the statement's file.")
    DB_BATCH_SIZE: Final = AttributeSpec(
        "db.operation.batch.size", "How many webhooks shared the statement; absent for one."
    )


class _OfOurs:
    JOB_ID: Final = AttributeSpec("ringback.job_id", "The webhook.")
    ORG_ID: Final = AttributeSpec("ringback.org_id", "The organisation that the webhook is of.")
    ENDPOINT_ID: Final = AttributeSpec("ringback.endpoint_id", "The endpoint by which it came.")
    EVENT_TYPE: Final = AttributeSpec("ringback.event_type", "The type of the event, as sent.")
    CALL_ID: Final = AttributeSpec("ringback.call_id", "The call that the event is about.")
    ATTEMPT: Final = AttributeSpec("ringback.attempt", "The number of the attempt; the first is 1.")
    OUTCOME: Final = AttributeSpec(
        "ringback.outcome", "Of an attempt: `completed`, `failed`, `permanent` or `duplicate`."
    )
    DELIVERIES_BEFORE: Final = AttributeSpec(
        "ringback.deliveries_before",
        "How often the broker had delivered the message before, unanswered; absent for never.",
    )
    IS_REPEATED: Final = AttributeSpec(
        "ringback.repeated", "True where the outcome stood in the log before and nothing was run."
    )
    DUPLICATE_OF: Final = AttributeSpec(
        "ringback.duplicate_of", "The webhook that carried the same event first."
    )
    RETRY_OF: Final = AttributeSpec(
        "ringback.retry_of", "The webhook that a person retried by this one."
    )
    HANDLER: Final = AttributeSpec("ringback.handler", "The handler: its module and its name.")
    ROUTED_TO: Final = AttributeSpec("ringback.routed_to", "The queue to which a message goes.")
    RETRY_DELAY_MS: Final = AttributeSpec(
        "ringback.retry_delay_ms", "How long it waits there before the next attempt."
    )
    REJECTION: Final = AttributeSpec("ringback.rejection", "Why a request was not accepted.")
    STORAGE_TIER: Final = AttributeSpec(
        "ringback.storage_tier", "Whose disk held a webhook when it was answered: broker or spool."
    )
    LINK: Final = AttributeSpec(
        "ringback.link", "Of a link: `origin`, `previous_attempt` or `retry_request`."
    )


class Attribute(_OfHttp, _OfCalls, _OfMessages, _OfQueries, _OfOurs):
    ERROR_TYPE: Final = AttributeSpec("error.type", "What went wrong, as a word; absent when well.")


def all_attributes() -> tuple[AttributeSpec, ...]:
    return tuple(declared(Attribute, AttributeSpec).values())
