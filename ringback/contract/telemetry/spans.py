"""The spans and their attributes.

Attributes without `ringback.` are from OpenTelemetry's semantic conventions, with their meaning.
"""

from typing import Final

from ringback.contract.telemetry.spec import AttributeSpec, Service, SpanKind, SpanSpec, declared


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


_ANSWER = (
    Attribute.MESSAGING_SYSTEM,
    Attribute.OPERATION_NAME,
    Attribute.OPERATION_TYPE,
    Attribute.DESTINATION,
    Attribute.ROUTING_KEY,
    Attribute.MESSAGE_ID,
)
_MESSAGE = (*_ANSWER, Attribute.MESSAGE_BODY_SIZE)
_WEBHOOK = (Attribute.JOB_ID, Attribute.ORG_ID, Attribute.EVENT_TYPE, Attribute.ENDPOINT_ID)


class Span:
    """Every kind of span."""

    RECEIVE: Final = SpanSpec(
        name="{http.request.method} {http.route}",
        kind=SpanKind.SERVER,
        tells="A request, from its head to its answer. One to no endpoint of ours has no route.",
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
        tells="A call by gRPC; a stream until its last answer. It is an error where the fault is "
        "ours, not the caller's.",
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
        tells="A webhook, from its publish to the broker's confirm. The message carries this span: "
        "it is the origin of all attempts. That of a retry by a person links to the webhook that "
        "was retried.",
        services=(Service.GATEWAY, Service.METRICS),
        attributes=(
            *_MESSAGE,
            Attribute.JOB_ID,
            Attribute.RETRY_OF,
            Attribute.LINK,
            Attribute.ERROR_TYPE,
        ),
    )
    PROCESS: Final = SpanSpec(
        name="process {messaging.destination.name}",
        kind=SpanKind.CONSUMER,
        tells="A message, from our hand to its settlement: an attempt, or a dead letter to be "
        "written down. The first attempt is a child of the publish. Every later one, a retry by a "
        "person and a dead letter begin a trace, with links to what went before.",
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
            Attribute.LINK,
            Attribute.ERROR_TYPE,
        ),
    )
    HANDLE: Final = SpanSpec(
        name="handle {ringback.handler}",
        kind=SpanKind.INTERNAL,
        tells="One handler with one webhook.",
        services=(Service.PROCESSOR,),
        attributes=(Attribute.HANDLER, Attribute.JOB_ID, Attribute.ERROR_TYPE),
    )
    QUERY: Final = SpanSpec(
        name="{db.query.summary}",
        kind=SpanKind.CLIENT,
        tells="A statement. Webhooks that shared it have one such span each.",
        services=(Service.PROCESSOR, Service.METRICS),
        attributes=(
            Attribute.DB_SYSTEM,
            Attribute.DB_SUMMARY,
            Attribute.DB_BATCH_SIZE,
            Attribute.JOB_ID,
            Attribute.ERROR_TYPE,
        ),
    )
    MOVE: Final = SpanSpec(
        name="route {ringback.routed_to}",
        kind=SpanKind.PRODUCER,
        tells="A message leaves for a retry queue, the dead letters or the quarantine. Its "
        "wait there is in no span.",
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
        tells="The answer to the broker for one message.",
        services=(Service.PROCESSOR,),
        attributes=(*_ANSWER, Attribute.JOB_ID, Attribute.ERROR_TYPE),
    )


def all_spans() -> tuple[SpanSpec, ...]:
    return tuple(declared(Span, SpanSpec).values())
