"""The OpenAPI document: the answers match it."""

from importlib.resources import files
from typing import Any

import jsonschema_rs
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ringback.metrics.json_document import json_bytes
from ringback.services.metrics.transport import problem
from ringback.services.metrics.transport.errors import internal, no_such_delivery
from ringback.services.metrics.transport.methods import Method, methods_of
from ringback.services.metrics.transport.problem import HttpError
from tests.unit.metrics.transport.any_message import messages

DOCUMENT: dict[str, Any] = orjson.loads(
    files("ringback.metrics.v1").joinpath("openapi.json").read_bytes()
)
OPERATIONS = {
    operation["operationId"]: operation
    for verbs in DOCUMENT["paths"].values()
    for operation in verbs.values()
}


def validator(reference: dict[str, str]) -> Any:
    return jsonschema_rs.validator_for({"components": DOCUMENT["components"], **reference})


def test_it_describes_every_call() -> None:
    """With a sentence and a longer text, which are the comments of the contract."""
    assert OPERATIONS.keys() == {method.name for method in methods_of()}
    for operation in OPERATIONS.values():
        assert operation["summary"]
        assert operation["description"].endswith(("`tenant`.", "`service`."))


@pytest.mark.parametrize("method", methods_of(), ids=lambda method: method.name)
@given(data=st.data())
@settings(max_examples=settings().max_examples // 4, suppress_health_check=[HealthCheck.too_slow])
def test_every_answer_matches_its_schema(method: Method, data: st.DataObject) -> None:
    """The document of any message matches the schema."""
    content = OPERATIONS[method.name]["responses"]["200"]["content"]
    [described] = content.values()
    message = data.draw(messages(method.response_class))

    validator(described["schema"]).validate(orjson.loads(json_bytes(message)))


@pytest.mark.parametrize(
    "error",
    [
        internal(),
        no_such_delivery("0190"),
        *(value for value in vars(problem).values() if isinstance(value, HttpError)),
    ],
    ids=lambda error: error.reason,
)
def test_every_problem_matches_its_schema(error: Any) -> None:
    """Including those that exist only in HTTP."""
    document = orjson.loads(orjson.dumps(problem.problem(error)))

    validator({"$ref": "#/components/schemas/Problem"}).validate(document)
    assert document["detail"].endswith(".")
