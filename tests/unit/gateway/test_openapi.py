"""docs/gateway-openapi.json describes every response of the gateway."""

import asyncio
import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from ringback import samples
from ringback.contract.event import InvalidEvent
from ringback.services.gateway.endpoints.endpoint import PATH
from ringback.services.gateway.http import rejection
from ringback.services.gateway.http.rejection import Rejection
from tests.support.gateway_client import DEFAULT_ORG, SECRET
from tests.support.schemathesis_run import tried
from tests.unit.gateway.serving import serving

DOCUMENT_PATH = Path(__file__).parents[3] / "docs" / "gateway-openapi.json"
DOCUMENT: dict[str, Any] = json.loads(DOCUMENT_PATH.read_text(encoding="utf-8"))
ALL = [
    *(one for one in vars(rejection).values() if isinstance(one, Rejection)),
    *(rejection.invalid_event(why) for why in InvalidEvent),
    rejection.unauthenticated("wrong_secret", "acme"),
    rejection.unauthenticated(rejection.KEYS_UNAVAILABLE, "acme"),
    rejection.endpoint_disabled("acme"),
    rejection.event_type_not_allowed("acme", "hang"),
    rejection.wrong_network("acme", None),
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


CLIENT = {"client_id": "vapi", "client_secret": "a client secret: of 24+ characters"}
CLIENTS = {"acme": {"org_id": DEFAULT_ORG, "credentials": [{"kind": "oauth2", **CLIENT}]}}
GRANT = {"grant_type": "client_credentials"}


TOKEN_REQUESTS: list[tuple[int, dict[str, str]]] = [
    (200, {**GRANT, **CLIENT}),
    (400, CLIENT),
    (400, {f"f{n}": "x" for n in range(30)}),
    (401, {**GRANT, **CLIENT, "client_secret": "no"}),
    (413, {"x": "y" * 9000}),
]


async def test_every_answer_to_a_client_is_described() -> None:
    """By its media type, with its headers, in its schema."""
    responses = DOCUMENT["paths"]["/oauth2/token"]["post"]["responses"]
    async with serving(endpoints=json.dumps(CLIENTS), vapi_secret="") as gateway:
        url = f"http://127.0.0.1:{gateway.port}/oauth2/token"
        for status, fields in TOKEN_REQUESTS:
            async with gateway.session.post(url, data=fields) as got:
                assert got.status == status
                name = responses[str(status)]["$ref"].rpartition("/")[2]
                described = DOCUMENT["components"]["responses"][name]
                assert described.get("headers", {}).keys() <= got.headers.keys()
                content = described["content"][got.content_type]["schema"]
                schema = content["$ref"].rpartition("/")[2]
                validator(schema).validate(await got.json(content_type=None))


def test_every_problem_matches_the_schema() -> None:
    for one in ALL:
        validator("Problem").validate(json.loads(one.body()))


def test_what_vapi_sends_is_an_event() -> None:
    """The schema accepts what Vapi really sends."""
    for name in samples.names():
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
    acme = {**CLIENTS["acme"], "secret": SECRET}

    async with serving(endpoints=json.dumps({"acme": acme})) as gateway:
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
    assert "3 passed" in result.stdout
