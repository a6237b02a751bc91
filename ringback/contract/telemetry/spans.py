"""The spans and their attributes.

Attributes without `ringback.` are from OpenTelemetry's semantic conventions, with their meaning.
"""

from typing import Final

from ringback.contract.telemetry.spec import AttributeSpec, Service, SpanKind, SpanSpec, declared


class _HttpAttribute:
    HTTP_METHOD: Final = AttributeSpec(
        "http.request.method", "The method, or `_OTHER` if it is not an HTTP method."
    )
    HTTP_METHOD_SENT: Final = AttributeSpec(
        "http.request.method_original", "The method as sent, if it is not an HTTP method."
    )
    HTTP_ROUTE: Final = AttributeSpec("http.route", "The path of the endpoint, without its id.")
    HTTP_STATUS: Final = AttributeSpec("http.response.status_code", "The status of the response.")
    HTTP_BODY_SIZE: Final = AttributeSpec("http.request.body.size", "Size of the body in bytes.")
    URL_PATH: Final = AttributeSpec("url.path", "The requested path, without the query.")
    URL_SCHEME: Final = AttributeSpec("url.scheme", "`http`: a proxy in front terminates TLS.")
    USER_AGENT: Final = AttributeSpec(
        "user_agent.original", "The sender's User-Agent, at most 200 characters."
    )


class _RpcAttribute:
    RPC_SYSTEM: Final = AttributeSpec("rpc.system.name", "`grpc`.")
    RPC_METHOD: Final = AttributeSpec(
        "rpc.method", "The method, as in `ringback.metrics.v1.AdminService/RetryDelivery`."
    )
    RPC_STATUS: Final = AttributeSpec(
        "rpc.response.status_code", "The gRPC status of the call, such as `OK` or `NOT_FOUND`."
    )


class _MessagingAttribute:
    MESSAGING_SYSTEM: Final = AttributeSpec("messaging.system", "`rabbitmq`.")
    OPERATION_NAME: Final = AttributeSpec(
        "messaging.operation.name", "`publish`, `process`, `ack` or `reject`."
    )
    OPERATION_TYPE: Final = AttributeSpec(
        "messaging.operation.type", "`send`, `process` or `settle`."
    )
    DESTINATION: Final = AttributeSpec(
        "messaging.destination.name",
        "`exchange:key` for a publish, otherwise `exchange:key:queue`.",
    )
    ROUTING_KEY: Final = AttributeSpec(
        "messaging.rabbitmq.destination.routing_key", "The routing key, as in `attempt.2`."
    )
    MESSAGE_ID: Final = AttributeSpec("messaging.message.id", "The job id.")
    MESSAGE_BODY_SIZE: Final = AttributeSpec(
        "messaging.message.body.size", "Size of the body in bytes."
    )


class _DatabaseAttribute:
    DB_SYSTEM: Final = AttributeSpec("db.system.name", "`postgresql`.")
    DB_SUMMARY: Final = AttributeSpec("db.query.summary", "The name of the statement's file.")
    DB_BATCH_SIZE: Final = AttributeSpec(
        "db.operation.batch.size", "Number of webhooks in the statement; absent for one."
    )


class _RingbackAttribute:
    JOB_ID: Final = AttributeSpec("ringback.job_id", "The webhook.")
    ORG_ID: Final = AttributeSpec("ringback.org_id", "The organisation of the webhook.")
    ENDPOINT_ID: Final = AttributeSpec(
        "ringback.endpoint_id", "The endpoint that received the webhook."
    )
    EVENT_TYPE: Final = AttributeSpec(
        "ringback.event_type", "The type of the event, as it was sent."
    )
    CALL_ID: Final = AttributeSpec("ringback.call_id", "The call that the event is about.")
    ATTEMPT: Final = AttributeSpec("ringback.attempt", "The number of the attempt; the first is 1.")
    OUTCOME: Final = AttributeSpec(
        "ringback.outcome",
        "Outcome of an attempt: `completed`, `failed`, `permanent` or `duplicate`.",
    )
    DELIVERIES_BEFORE: Final = AttributeSpec(
        "ringback.deliveries_before",
        "How often the broker delivered the message before without an answer; absent if never.",
    )
    IS_REPEATED: Final = AttributeSpec(
        "ringback.repeated", "True if the outcome was already in the log, so that no handler ran."
    )
    DUPLICATE_OF: Final = AttributeSpec(
        "ringback.duplicate_of", "The webhook that carried the same event first."
    )
    RETRY_OF: Final = AttributeSpec(
        "ringback.retry_of", "The webhook of which this is a manual retry."
    )
    CALLED_DESTINATION: Final = AttributeSpec(
        "ringback.destination", "The name of the destination that a handler calls."
    )
    HANDLER: Final = AttributeSpec("ringback.handler", "The handler's module and name.")
    ROUTED_TO: Final = AttributeSpec(
        "ringback.routed_to", "The queue to which the message was routed."
    )
    RETRY_DELAY_MS: Final = AttributeSpec(
        "ringback.retry_delay_ms", "How long the webhook waits before its next attempt."
    )
    WAIT_REASON: Final = AttributeSpec(
        "ringback.wait_reason", "Why the webhook waits in PostgreSQL; absent if it does not."
    )
    REJECTION: Final = AttributeSpec("ringback.rejection", "Why the request was rejected.")
    STORAGE_TIER: Final = AttributeSpec(
        "ringback.storage_tier",
        "Where the webhook was stored when it was answered: `broker` or `spool`.",
    )
    LINK: Final = AttributeSpec(
        "ringback.link", "What the linked span is: `origin`, `previous_attempt` or `retry_request`."
    )


class Attribute(
    _HttpAttribute, _RpcAttribute, _MessagingAttribute, _DatabaseAttribute, _RingbackAttribute
):
    ERROR_TYPE: Final = AttributeSpec("error.type", "The kind of error; absent on success.")


def all_attributes() -> tuple[AttributeSpec, ...]:
    return tuple(declared(Attribute, AttributeSpec).values())


_SETTLEMENT = (
    Attribute.MESSAGING_SYSTEM,
    Attribute.OPERATION_NAME,
    Attribute.OPERATION_TYPE,
    Attribute.DESTINATION,
    Attribute.ROUTING_KEY,
    Attribute.MESSAGE_ID,
)
_MESSAGE = (*_SETTLEMENT, Attribute.MESSAGE_BODY_SIZE)
_WEBHOOK = (Attribute.JOB_ID, Attribute.ORG_ID, Attribute.EVENT_TYPE, Attribute.ENDPOINT_ID)


class Span:
    """Every kind of span."""

    RECEIVE: Final = SpanSpec(
        name="{http.request.method} {http.route}",
        kind=SpanKind.SERVER,
        description="A request, from its headers to its response. A request to an unknown path has "
        "no route.",
        services=(Service.GATEWAY, Service.METRICS),
        attributes=(
            Attribute.HTTP_METHOD,
            Attribute.HTTP_METHOD_SENT,
            Attribute.HTTP_ROUTE,
            Attribute.HTTP_STATUS,
            Attribute.HTTP_BODY_SIZE,
            Attribute.URL_PATH,
            Attribute.URL_SCHEME,
            Attribute.USER_AGENT,
            *_WEBHOOK,
            Attribute.CALL_ID,
            Attribute.RPC_METHOD,
            Attribute.RPC_STATUS,
            Attribute.REJECTION,
            Attribute.STORAGE_TIER,
            Attribute.ERROR_TYPE,
        ),
    )
    CALL: Final = SpanSpec(
        name="{rpc.method}",
        kind=SpanKind.SERVER,
        description="A gRPC call; a stream until its last message. Its status is an error only if "
        "the server failed, not for a caller's mistake.",
        services=(Service.METRICS,),
        attributes=(
            Attribute.RPC_SYSTEM,
            Attribute.RPC_METHOD,
            Attribute.RPC_STATUS,
            Attribute.JOB_ID,
            Attribute.ORG_ID,
            Attribute.REJECTION,
            Attribute.ERROR_TYPE,
        ),
    )
    PUBLISH: Final = SpanSpec(
        name="publish {messaging.destination.name}",
        kind=SpanKind.PRODUCER,
        description="The publish of a webhook, until the broker confirms it. The message contains "
        "the context of this span, which is the origin of all attempts. The publish of "
        "a manual retry links to the retried webhook.",
        services=(Service.GATEWAY, Service.METRICS),
        attributes=(
            *_MESSAGE,
            Attribute.JOB_ID,
            Attribute.RETRY_OF,
            Attribute.LINK,
            Attribute.ERROR_TYPE,
        ),
    )
    ASK: Final = SpanSpec(
        name="ask {ringback.event_type}",
        kind=SpanKind.CLIENT,
        description="A question to its backend, which gets the context of this span. It failed if "
        "Vapi got the fallback.",
        services=(Service.GATEWAY,),
        attributes=(
            Attribute.HTTP_METHOD,
            Attribute.HTTP_STATUS,
            Attribute.JOB_ID,
            Attribute.ENDPOINT_ID,
            Attribute.EVENT_TYPE,
            Attribute.ERROR_TYPE,
        ),
    )
    PROCESS: Final = SpanSpec(
        name="process {messaging.destination.name}",
        kind=SpanKind.CONSUMER,
        description="A message, from its delivery to its settlement: an attempt, or the recording "
        "of a dead letter. The first attempt is a child of the publish. Each later "
        "attempt, manual retry and dead letter begins a new trace, with links to the "
        "earlier spans.",
        services=(Service.PROCESSOR,),
        attributes=(
            *_MESSAGE,
            *_WEBHOOK,
            Attribute.CALL_ID,
            Attribute.ATTEMPT,
            Attribute.OUTCOME,
            Attribute.DELIVERIES_BEFORE,
            Attribute.IS_REPEATED,
            Attribute.DUPLICATE_OF,
            Attribute.RETRY_OF,
            Attribute.WAIT_REASON,
            Attribute.RETRY_DELAY_MS,
            Attribute.LINK,
            Attribute.ERROR_TYPE,
        ),
    )
    HANDLE: Final = SpanSpec(
        name="handle {ringback.handler}",
        kind=SpanKind.INTERNAL,
        description="One handler that processes one webhook.",
        services=(Service.PROCESSOR,),
        attributes=(Attribute.HANDLER, Attribute.JOB_ID, Attribute.ERROR_TYPE),
    )
    CALL_DESTINATION: Final = SpanSpec(
        name="{http.request.method} {ringback.destination}",
        kind=SpanKind.CLIENT,
        description="A request that a handler sends by the session of a destination, until its "
        "whole answer. The destination gets the context of this span.",
        services=(Service.PROCESSOR,),
        attributes=(
            Attribute.HTTP_METHOD,
            Attribute.HTTP_STATUS,
            Attribute.CALLED_DESTINATION,
            Attribute.ERROR_TYPE,
        ),
    )
    QUERY: Final = SpanSpec(
        name="{db.query.summary}",
        kind=SpanKind.CLIENT,
        description="A statement. If webhooks share it, each of them has its own span.",
        services=(Service.PROCESSOR, Service.METRICS),
        attributes=(
            Attribute.DB_SYSTEM,
            Attribute.DB_SUMMARY,
            Attribute.DB_BATCH_SIZE,
            Attribute.JOB_ID,
            Attribute.ERROR_TYPE,
        ),
    )
    ROUTE: Final = SpanSpec(
        name="route {ringback.routed_to}",
        kind=SpanKind.PRODUCER,
        description="A message is routed to a retry queue, the dead letters or the quarantine. No "
        "span covers the time it waits there.",
        services=(Service.PROCESSOR,),
        attributes=(
            Attribute.MESSAGING_SYSTEM,
            Attribute.ROUTED_TO,
            Attribute.RETRY_DELAY_MS,
            Attribute.MESSAGE_ID,
            Attribute.JOB_ID,
            Attribute.ATTEMPT,
            Attribute.ERROR_TYPE,
        ),
    )
    SETTLE: Final = SpanSpec(
        name="{messaging.operation.name} {messaging.destination.name}",
        kind=SpanKind.CLIENT,
        description="The acknowledgement or rejection of one message.",
        services=(Service.PROCESSOR,),
        attributes=(*_SETTLEMENT, Attribute.JOB_ID, Attribute.ERROR_TYPE),
    )


def all_spans() -> tuple[SpanSpec, ...]:
    return tuple(declared(Span, SpanSpec).values())
