"""docs/asyncapi.yaml describes the messages that the gateway really publishes."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import jsonschema
import orjson
import pytest
import yaml

from protos.asyncapi.document import INTERNAL, as_yaml
from ringback.contract.envelope import Envelope, Header, InvalidEnvelope, open_envelope
from ringback.contract.identity import new_job_id
from ringback.contract.retry_schedule import RetrySchedule
from ringback.contract.topology import BULK_BINDING, WORK_BINDING, topology
from ringback.contract.trace_context import TraceContext

PAGE = Path(__file__).parents[3] / "docs" / "asyncapi.yaml"
DOCUMENT: dict[str, Any] = yaml.safe_load(as_yaml())
HEADERS = DOCUMENT["components"]["messages"]["Webhook"]["headers"]
#: Installed by `make validators`, with the other packages of npm.
SPECIFICATION = (
    Path(sys.prefix) / "validators" / "node_modules" / "@asyncapi" / "specs" / "schemas"
) / "3.0.0-without-$id.json"

TRACE = TraceContext(f"00-{1:032x}-{2:016x}-01", "a=b")
FULL = Envelope(
    job_id=new_job_id(),
    event_type="hang",
    org_id=UUID(int=1),
    endpoint_id="acme",
    received_at=datetime.now(UTC),
    gateway_instance_id=UUID(int=2),
    trace=TRACE,
    dedup_key="hang:1",
    retry_of=new_job_id(),
    origin=TRACE,
    retry_schedule=RetrySchedule.parse("2s,1m"),
    forward="crm",
    forward_of=new_job_id(),
)


def test_the_page_is_what_the_code_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == as_yaml(), "it is stale: run `make generate`"


@pytest.mark.skipif(not SPECIFICATION.is_file(), reason="see `make validators`")
def test_it_is_valid_asyncapi() -> None:
    """By the JSON Schema of the specification."""
    schema = orjson.loads(SPECIFICATION.read_bytes())
    jsonschema.validators.validator_for(schema)(schema).validate(DOCUMENT)


def test_the_headers_are_those_that_are_published() -> None:
    """All are described or internal. Without a required one, no processor takes the message."""
    dead_letter = DOCUMENT["components"]["messages"]["DeadLetter"]["headers"]["properties"]
    assert {*dead_letter, *INTERNAL} == set(Header)
    assert FULL.headers().keys() - INTERNAL == HEADERS["properties"].keys()
    validator = jsonschema.Draft202012Validator(HEADERS)
    validator.validate(FULL.headers())

    for name in FULL.headers():
        less = {key: value for key, value in FULL.headers().items() if key != name}
        opened = open_envelope(message_id=str(FULL.job_id), event_type="hang", headers=less)
        assert validator.is_valid(less) is not isinstance(opened, InvalidEnvelope), name


def test_the_exchanges_are_those_that_are_declared() -> None:
    """And the routing keys are those of the first attempt."""
    declared = {(one.name, one.kind) for one in topology(RetrySchedule(())).exchanges}
    channels = DOCUMENT["channels"]
    bindings = [channel["bindings"]["amqp"]["exchange"] for channel in channels.values()]

    assert {(one["name"], one["type"]) for one in bindings} <= declared
    for name, binding in (("accepted", WORK_BINDING), ("acceptedBulk", BULK_BINDING)):
        assert channels[name]["address"] == binding.routing_key
        assert channels[name]["bindings"]["amqp"]["exchange"]["name"] == binding.exchange
