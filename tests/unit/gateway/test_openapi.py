"""docs/gateway-openapi.json describes every response of the gateway."""

import asyncio
import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from ringback import samples
from ringback.contract.event import InvalidEvent
from services.gateway.endpoints import PATH
from services.gateway.http import rejection
from services.gateway.http.rejection import Rejection
from tests.support.gateway_client import DEFAULT_ORG, SECRET
from tests.support.schemathesis_run import tried
from tests.unit.gateway.serving import serving

DOCUMENT_PATH = Path(__file__).parents[3] / "docs" / "gateway-openapi.json"
DOCUMENT: dict[str, Any] = json.loads(DOCUMENT_PATH.read_text(encoding="utf-8"))
ALL = [
    *(one for one in vars(rejection).values() if isinstance(one, Rejection)),
    *(rejection.invalid_event(why) for why in InvalidEvent),
]


def validator(schema: str) -> Any:
    return jsonschema_rs.validator_for(
        {"components": DOCUMENT["components"], "$ref": f"#/components/schemas/{schema}"}
    )


@pytest.mark.parametrize("path", [PATH, f"{PATH}/{{endpointId}}"])
def test_every_rejection_is_described(path: str) -> None:
    """By its status, with exactly its headers."""
    responses = DOCUMENT["paths"][path]["post"]["responses"]

    assert {str(one.status.value) for one in ALL} == responses.keys() - {"200"}
    for one in ALL:
        name = responses[str(one.status.value)]["$ref"].rpartition("/")[2]
        described = DOCUMENT["components"]["responses"][name]
        assert set(described.get("headers", {})) == {header for header, _ in one.headers}


@pytest.mark.parametrize("one", ALL, ids=lambda one: one.reason)
def test_every_problem_matches_the_schema(one: Rejection) -> None:
    validator("Problem").validate(json.loads(one.body()))


@pytest.mark.parametrize("name", samples.names())
def test_what_vapi_sends_is_an_event(name: str) -> None:
    """The schema accepts what Vapi really sends."""
    validator("Event").validate(json.loads(samples.sample(name)))


CONFIG = """
[generation]
# ASCII only: JSON Schema limits characters, not bytes.
codec = "ascii"
database = "none"
deterministic = true

[[operations]]
include-operation-id = "takeWebhookOfEndpoint"
parameters = { "path.endpointId" = "acme" }
"""


@pytest.mark.slow
async def test_the_gateway_behaves_as_described(tmp_path: Path) -> None:
    """It accepts what the document allows, and rejects the rest in the described form."""
    acme = {"acme": {"org_id": DEFAULT_ORG, "secret": SECRET}}

    async with serving(endpoints=json.dumps(acme)) as gateway:
        result = await asyncio.to_thread(
            tried,
            DOCUMENT_PATH,
            tmp_path,
            CONFIG,
            f"--url=http://127.0.0.1:{gateway.port}",
            f"--header=X-Vapi-Secret:{SECRET}",
            "--phases=coverage,fuzzing",
            "--max-examples=25",
        )

    assert result.returncode == 0, result.stdout + result.stderr
    assert "2 passed" in result.stdout
