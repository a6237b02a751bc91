from typing import Final

from ringback.contract.telemetry.attributes import Attribute
from ringback.contract.telemetry.declared import declared
from ringback.contract.telemetry.service_name import Service
from ringback.contract.telemetry.span_spec import SpanKind, SpanSpec

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
