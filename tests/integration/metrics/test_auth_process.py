"""The real process authenticates its callers."""

# ruff: file-ignore[suspicious-subprocess-import] - how the service refuses to start is tested here.
import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ringback.contract.retry_schedule import RetrySchedule
from ringback.metrics.v1.metrics_service_pb2 import ListDeliveriesRequest, ListDeliveriesResponse
from ringback.metrics.v1.metrics_service_pb2_grpc import MetricsServiceStub
from ringback.runtime.amqp import topology
from tests.integration.metrics.metrics_process import metrics_process
from tests.support.eventually import eventually
from tests.support.service_process import ROOT
from tests.support.tokens import JWT_SECRET, bearer

SCHEDULE = RetrySchedule.parse("2s,4s,8s")
CLAIMS = {"role": "service", "sub": "x", "aud": "ringback", "exp": 9_999_999_999}
ORG = "0190f5c4-0000-7000-8000-000000000001"


async def listed(port: int, authorization: str | None) -> ListDeliveriesResponse:
    metadata = (("authorization", authorization),) if authorization else ()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        reads: Any = MetricsServiceStub(channel)
        answer: ListDeliveriesResponse = await reads.ListDeliveries(
            ListDeliveriesRequest(page_size=1), metadata=metadata, timeout=10
        )
        return answer


async def code(port: int, authorization: str | None) -> grpc.StatusCode:
    try:
        await listed(port, authorization)
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


def lines_of(log: Path, event: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if line["event"] == event]


async def test_a_secret_verifies_callers(amqp_url: str, database_url: str, tmp_path: Path) -> None:
    """Valid tokens are accepted, others are not; each call is a line in the log and is counted."""
    await topology.apply(amqp_url, SCHEDULE)
    forged = bearer(secret="a secret that somebody else made up, and long")
    async with metrics_process(tmp_path, amqp_url=amqp_url, database_url=database_url) as metrics:
        await eventually(metrics.is_ready)
        port = metrics.grpc_port

        codes = [
            await code(port, authorization)
            for authorization in (bearer("tenant", ORG), bearer(), forged, None)
        ]
        samples = await metrics.samples()
        await eventually(metrics.is_serving)
        assert await metrics.stop() == 0

    assert [one.name for one in codes] == ["OK", "OK", "UNAUTHENTICATED", "UNAUTHENTICATED"]
    lines = lines_of(metrics.log_path, "rpc.finished")
    assert [(line["role"], line["org_id"]) for line in lines] == [
        ("tenant", ORG),
        ("service", None),
        (None, None),
        (None, None),
    ]
    assert lines[2]["cause"] == "InvalidSignatureError: Signature verification failed"
    assert JWT_SECRET not in metrics.log_path.read_text(encoding="utf-8")
    series = (
        'rpc_server_calls_total{{code="{}",method="ringback.metrics.v1.MetricsService.'
        'ListDeliveries",transport="grpc"}}'
    )
    assert samples[series.format("OK")] == 2
    assert samples[series.format("UNAUTHENTICATED")] == 2


async def test_a_public_key_accepts_its_owners_tokens(
    amqp_url: str, database_url: str, tmp_path: Path
) -> None:
    """Without any secret in the service."""
    await topology.apply(amqp_url, SCHEDULE)
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    path = tmp_path / "key.pem"
    path.write_bytes(public)
    settings = {"RINGBACK_JWT_SECRET": "", "RINGBACK_JWT_PUBLIC_KEY_FILE": str(path)}
    async with metrics_process(
        tmp_path, amqp_url=amqp_url, database_url=database_url, **settings
    ) as metrics:
        await eventually(metrics.is_ready)

        good = await code(metrics.grpc_port, f"Bearer {jwt.encode(CLAIMS, key, 'ES256')}")
        secret = await code(metrics.grpc_port, bearer())

    assert (good, secret) == (grpc.StatusCode.OK, grpc.StatusCode.UNAUTHENTICATED)


async def test_it_does_not_start_without_a_good_key() -> None:
    """One sentence names the setting, and the exit status means a wrong setting."""
    needed = {
        "RINGBACK_AMQP_URL": "amqp://localhost",
        "RINGBACK_DATABASE_URL": "postgresql://localhost/ringback",
    }
    plain = {name: value for name, value in os.environ.items() if "RINGBACK" not in name}

    ended = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "services.metrics"],
        env=plain | needed,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        check=False,
    )

    first, error = ended.stderr.splitlines()
    assert ended.returncode == 2
    assert first == "These settings cannot be used:"
    assert error.startswith("RINGBACK_JWT_SECRET: is required, to check callers' tokens")
