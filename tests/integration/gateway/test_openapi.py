"""The gateway behaves as docs/gateway-openapi.json describes (schemathesis)."""

import asyncio
import json
from pathlib import Path

import pytest

from tests.integration.gateway.running_gateway import running
from tests.support.gateway_client import DEFAULT_ORG, SECRET, settings_for
from tests.support.schemathesis_run import tried

DOCUMENT = Path(__file__).parents[3] / "docs" / "gateway-openapi.json"
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
async def test_it_behaves_as_described(
    ready_amqp_url: str, database_url: str, tmp_path: Path
) -> None:
    """It accepts what the document allows, and rejects the rest in the described form."""
    acme = {"acme": {"org_id": DEFAULT_ORG, "secret": SECRET}}
    settings = settings_for(ready_amqp_url, database_url, endpoints=json.dumps(acme))

    async with running(settings) as gateway:
        result = await asyncio.to_thread(
            tried,
            DOCUMENT,
            tmp_path,
            CONFIG,
            f"--url=http://127.0.0.1:{gateway.port}",
            f"--header=X-Vapi-Secret:{SECRET}",
            "--phases=coverage,fuzzing",
            "--max-examples=25",
        )

    assert result.returncode == 0, result.stdout + result.stderr
    assert "2 passed" in result.stdout
