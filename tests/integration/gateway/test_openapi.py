"""The gateway does what docs/gateway-openapi.json says, whatever schemathesis thinks of."""

# ruff: file-ignore[suspicious-subprocess-import] - schemathesis is a program.
import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.gateway.running_gateway import (
    DEFAULT_ORG,
    SECRET,
    RunningGateway,
    running,
    settings_for,
)

DOCUMENT = Path(__file__).parents[3] / "docs" / "gateway-openapi.json"
SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")
CONFIG = """
[generation]
# In ASCII as many letters as bytes; JSON Schema cannot bound bytes.
codec = "ascii"
database = "none"
deterministic = true

[[operations]]
include-operation-id = "takeWebhookOfEndpoint"
parameters = { "path.endpointId" = "acme" }
"""


def tried(gateway: RunningGateway, folder: Path) -> subprocess.CompletedProcess[str]:
    config = folder / "schemathesis.toml"
    config.write_text(CONFIG, encoding="utf-8")
    return subprocess.run(
        [
            SCHEMATHESIS,
            f"--config-file={config}",
            "run",
            DOCUMENT,
            f"--url=http://127.0.0.1:{gateway.port}",
            f"--header=X-Vapi-Secret:{SECRET}",
            "--checks=all",
            "--phases=coverage,fuzzing",
            "--max-examples=25",
            "--continue-on-failure",
            "--no-color",
        ],
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=100,
    )


@pytest.mark.slow
async def test_it_does_what_it_says(ready_amqp_url: str, database_url: str, tmp_path: Path) -> None:
    """What it says it takes it takes, what it does not it refuses in the form that is described."""
    acme = {"acme": {"org_id": DEFAULT_ORG, "secret": SECRET}}
    settings = settings_for(ready_amqp_url, database_url, endpoints=json.dumps(acme))

    async with running(settings) as gateway:
        result = await asyncio.to_thread(tried, gateway, tmp_path)

    assert result.returncode == 0, result.stdout + result.stderr
    assert "2 passed" in result.stdout
