"""Print the messages on the broker as an AsyncAPI document; it becomes `docs/asyncapi.yaml`."""

import sys
from typing import Any

import yaml

from ringback.contract.envelope import CONTENT_TYPE, Header
from ringback.contract.event import MAX_TYPE_BYTES
from ringback.contract.retry_schedule import BULK_KEY, FIRST_ATTEMPT, routing_key
from ringback.contract.topology import DEAD, WEBHOOKS

_ABOUT = f"""\
What other programs may rely on at RabbitMQ: two exchanges, and the messages that Ringback publishes
to them. To get a copy of each message, bind a queue of your own to one of the exchanges. Everything
else (the queues `{WEBHOOKS}.…`, the exchange `{WEBHOOKS}.failed`, other routing keys and headers)
belongs to Ringback and may change. Don't consume from its queues, and don't publish to its
exchanges: send webhooks to the gateway.

Your queue must never refuse a message: the gateway would get no confirm, and spool the webhook or
answer 503. So set `x-max-length` or a TTL, and never `x-overflow: reject-publish`. A queue that
grows fills the broker's disk. A message may come twice; its id (`message_id`) is then the same.

The body is not redacted: it contains every credential that the sender put into the event."""

_UUID = {"type": "string", "format": "uuid"}
_TIME = {"type": "string", "format": "date-time"}
_TEXT = {"type": "string", "minLength": 1}

Schema = dict[str, Any]

_OF_THE_WEBHOOK: dict[Header, tuple[Schema, str]] = {
    Header.ORG_ID: (_UUID, "The organisation: that of the endpoint where the webhook arrived."),
    Header.ENDPOINT_ID: (_TEXT, "The id of that endpoint."),
    Header.RECEIVED_AT: (_TIME, "When it arrived."),
    Header.GATEWAY_INSTANCE_ID: (_UUID, "The process that accepted it."),
    Header.TRACEPARENT: (_TEXT, "The trace (W3C Trace Context) of the webhook."),
}
_OPTIONAL: dict[Header, tuple[Schema, str]] = {
    Header.TRACESTATE: (_TEXT, "The trace's own `tracestate`, if it has one."),
    Header.DEDUP_KEY: (
        _TEXT,
        "Messages of one organisation and endpoint with the same key carry the same event.",
    ),
    Header.RETRY_OF: (_UUID, "On a manual retry: the id of the webhook that it runs again."),
    Header.RETRY_SCHEDULE: (
        {"type": "string"},
        "The delays between attempts, such as `2s,1m`, if the endpoint has its own.",
    ),
    Header.FORWARD: (_TEXT, "If a forward sends this webhook to its URL: the forward's name."),
    Header.FORWARD_OF: (_UUID, "Of a forward: the id of the webhook that a gateway received."),
}
_OF_A_DEAD_LETTER: dict[Header, tuple[Schema, str]] = {
    Header.ATTEMPT: (
        {"type": "integer", "minimum": 1},
        "The last attempt. Absent if the broker dead-lettered the message.",
    ),
    Header.ERROR_CLASS: (
        _TEXT,
        "The class of the last error. Absent if the broker dead-lettered the message.",
    ),
    Header.ERROR_MESSAGE: ({"type": "string"}, "The text of that error."),
}
INTERNAL = frozenset(
    {
        Header.BULK,
        Header.ORIGIN,
        Header.REQUEUES,
        Header.CRASHES,
        Header.PARKS,
        Header.FREE_FAILURES,
    }
)
"""Headers on which nobody else may rely."""

_PROPERTIES = {
    "message_id": {**_UUID, "description": "The job id that the gateway returned, a UUIDv7."},
    "type": {"type": "string", "description": f"The event type, {MAX_TYPE_BYTES} bytes at most."},
    "timestamp": {"type": "integer", "description": "When it arrived, in seconds since 1970."},
    "content_type": {"const": CONTENT_TYPE},
    "delivery_mode": {"const": 2},
}


def document() -> dict[str, Any]:
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Ringback messages", "version": "1", "description": _ABOUT},
        "defaultContentType": CONTENT_TYPE,
        "channels": {
            "accepted": _channel(
                "Each accepted webhook, before its first attempt, unless its organisation sends "
                "more than its rate. Manual retries too. The binding key `attempt.1.#` gets these "
                "webhooks and those of `acceptedBulk`.",
                "Webhook",
                address=routing_key(FIRST_ATTEMPT),
                exchange={"name": WEBHOOKS, "type": "topic"},
            ),
            "acceptedBulk": _channel(
                "Each accepted webhook of an organisation that sends more than its rate "
                "(RINGBACK_ORG_RATE_PER_S), before its first attempt.",
                "Webhook",
                address=BULK_KEY,
                exchange={"name": WEBHOOKS, "type": "topic"},
            ),
            "deadLetters": _channel(
                "Each webhook that failed for good. The routing key does not matter.",
                "DeadLetter",
                address=None,
                exchange={"name": DEAD, "type": "fanout"},
            ),
        },
        "operations": {
            "publishAccepted": _sending("accepted", "Webhook"),
            "publishAcceptedBulk": _sending("acceptedBulk", "Webhook"),
            "publishDeadLetter": _sending("deadLetters", "DeadLetter"),
        },
        "components": {
            "messages": {
                "Webhook": _message("A webhook", {}),
                "DeadLetter": _message("A webhook that failed for good", _OF_A_DEAD_LETTER),
            },
            "schemas": {"Event": _event(), "Properties": _properties()},
        },
    }


def _channel(
    description: str, message: str, *, address: str | None, exchange: dict[str, Any]
) -> dict[str, Any]:
    declared = {**exchange, "durable": True, "autoDelete": False}
    return {
        "address": address,
        "description": description,
        "messages": {message: {"$ref": f"#/components/messages/{message}"}},
        "bindings": {
            "amqp": {"is": "routingKey", "exchange": declared, "bindingVersion": "0.3.0"},
        },
    }


def _sending(channel: str, message: str) -> dict[str, Any]:
    return {
        "action": "send",
        "channel": {"$ref": f"#/channels/{channel}"},
        "messages": [{"$ref": f"#/channels/{channel}/messages/{message}"}],
    }


def _message(title: str, more: dict[Header, tuple[Schema, str]]) -> dict[str, Any]:
    return {
        "title": title,
        "contentType": CONTENT_TYPE,
        "headers": headers_schema(more),
        "payload": {"$ref": "#/components/schemas/Event"},
        # AsyncAPI has no place for the properties of AMQP.
        "x-amqp-properties": {"$ref": "#/components/schemas/Properties"},
    }


def headers_schema(more: dict[Header, tuple[Schema, str]]) -> Schema:
    described = _OF_THE_WEBHOOK | _OPTIONAL | more
    return {
        "type": "object",
        "properties": {
            name.value: {**schema, "description": text}
            for name, (schema, text) in described.items()
        },
        "required": [name.value for name in _OF_THE_WEBHOOK],
        "additionalProperties": True,
    }


def _event() -> Schema:
    return {
        "type": "object",
        "description": "The exact bytes of the body that the sender sent, in UTF-8. Vapi's events "
        "have their content in `message`.",
        "properties": {
            "message": {"type": "object", "properties": {"type": {"type": "string"}}},
        },
    }


def _properties() -> Schema:
    return {
        "type": "object",
        "description": "Properties of AMQP 0-9-1. Each message has all of these.",
        "properties": _PROPERTIES,
        "required": list(_PROPERTIES),
    }


class _Dumper(yaml.SafeDumper):
    """Writes a text of several lines as such."""


_Dumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style="|" if "\n" in text else None
    ),
)


def as_yaml() -> str:
    head = "# Made by `make generate` from ringback/contract.\n"
    options: dict[str, Any] = {"sort_keys": False, "width": 100, "allow_unicode": True}
    return head + str(yaml.dump(document(), Dumper=_Dumper, **options))


if __name__ == "__main__":
    sys.stdout.write(as_yaml())
