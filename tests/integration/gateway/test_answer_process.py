"""A gateway as a process, with functions that answer questions in another one."""

import asyncio
import json
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from ringback.local.ports import free_ports
from tests.integration.gateway.test_process import (
    GatewayProcess,
    gateway_environment,
    gateway_process,
)
from tests.support.eventually import eventually
from tests.support.gateway_client import NOBODY, SECRET

FUNCTIONS = "tests.unit.gateway.questions.answering_functions"
ROOT = Path(__file__).parents[3]


SOON, PATIENT = "handoff-destination-request", "transfer-destination-request"
"""A question that gets its fallback soon, and one that has much time."""


def environment(folder: Path, *types: str) -> dict[str, str]:
    """A gateway that has neither a broker nor a database."""
    questions = {name: {"handler": True, "timeout_s": 1 if name == SOON else 60} for name in types}
    acme = {
        "org_id": "5b0c2f0e-7d1c-4a55-9a86-2f2f5f1f0001",
        "secret": {"env": "ACME_SECRET"},
        "questions": questions,
    }
    file = folder / "endpoints.json"
    file.write_text(json.dumps({"endpoints": {"acme": acme}}))
    environ = gateway_environment(f"amqp://{NOBODY}/", f"postgresql://{NOBODY}/x", *free_ports(2))
    return environ | {
        "RINGBACK_ENDPOINTS_FILE": str(file),
        "RINGBACK_SPOOL_DIR": str(folder / "spool"),
        "RINGBACK_GATEWAY_DRAIN_TIMEOUT_S": "1",
        "RINGBACK_ANSWERS": FUNCTIONS,
        "RINGBACK_ANSWERS_ENVIRONMENT": "CRM_TOKEN",
        "PYTHONPATH": str(ROOT),
        "TMPDIR": str(folder),
        "ACME_SECRET": SECRET,
        "CRM_TOKEN": "for the functions",
    }


@dataclass
class Gateway:
    process: GatewayProcess
    session: aiohttp.ClientSession
    url: str

    async def send(self, event_type: str, do: str, number: int = 0) -> Any:
        message = {"type": event_type, "do": do, "call": {"id": f"{do}-{number}"}}
        async with self.session.post(
            self.url, json={"message": message}, headers={"X-Vapi-Secret": SECRET}
        ) as got:
            assert got.status == 200
            return await got.json()


@asynccontextmanager
async def gateway(environ: dict[str, str]) -> AsyncGenerator[Gateway, None]:
    url = f"http://127.0.0.1:{environ['RINGBACK_GATEWAY_PORT']}/api/webhooks/vapi/acme"
    async with gateway_process(environ) as process, aiohttp.ClientSession() as session:

        async def listens() -> bool:
            assert process.is_running
            try:
                async with session.get(url) as got:
                    return got.status == 405
            except aiohttp.ClientError:
                return False

        await eventually(listens)
        yield Gateway(process, session, url)


def is_alive(process_id: int) -> bool:
    try:
        stat = Path(f"/proc/{process_id}/stat").read_text(encoding="utf-8")
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def sockets_in(folder: Path) -> list[Path]:
    return list(folder.glob("ringback-answers-*"))


async def test_a_function_that_blocks_stops_no_event(tmp_path: Path) -> None:
    """Events are accepted while it blocks; the question gets the fallback in time.

    Functions see no secret of the gateway.
    """
    async with gateway(environment(tmp_path, SOON, PATIENT)) as served:
        names = set((await served.send(PATIENT, "answer"))["variables"])
        blocked = asyncio.create_task(served.send(SOON, "block"))
        accepted = [await served.send("status-update", "none", number) for number in range(20)]
        answer = await blocked

    assert all(one["success"] for one in accepted)
    assert "error" in answer
    assert {"PATH", "PYTHONPATH", "CRM_TOKEN"} <= names
    assert not names & (
        {"ACME_SECRET", "RINGBACK_AMQP_URL", "RINGBACK_DATABASE_URL", "RINGBACK_VAPI_SECRET"}
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize(
    ("event_type", "do"),
    [pytest.param(PATIENT, "answer", marks=pytest.mark.slow), (SOON, "block")],
)
async def test_the_functions_end_with_the_gateway(
    tmp_path: Path, number: signal.Signals, event_type: str, do: str
) -> None:
    """Also if the gateway is killed, and if a function blocks the event loop of its process."""
    async with gateway(environment(tmp_path, PATIENT, SOON)) as served:
        process_id = int((await served.send(PATIENT, "answer"))["assistantId"])
        await served.send(event_type, do, 1)
        assert is_alive(process_id)

        served.process.service.send_signal(number)
        status, _, _ = await served.process.ended()

        await eventually(lambda: not is_alive(process_id))
    assert not sockets_in(tmp_path)
    expected = 0 if number is signal.SIGTERM else -signal.SIGKILL
    assert status == expected


@pytest.mark.slow
@pytest.mark.parametrize(
    ("modules", "sentence"),
    [
        ("no.such.module", "RINGBACK_ANSWERS names no.such.module, which cannot be imported: "),
        (FUNCTIONS, "acme.questions.campaign.predial.handler: RINGBACK_ANSWERS names no module "),
        ("", f"acme.questions.{PATIENT}.handler: RINGBACK_ANSWERS names no module with "),
    ],
)
async def test_a_gateway_without_the_functions_does_not_start(
    tmp_path: Path, modules: str, sentence: str
) -> None:
    environ = environment(tmp_path, PATIENT, "campaign.predial")
    async with gateway_process(environ | {"RINGBACK_ANSWERS": modules}) as process:
        status, _, errors = await process.ended()

    assert status == 1
    assert errors.startswith(sentence)


@pytest.mark.slow
async def test_a_changed_file_that_needs_another_function_changes_nothing(tmp_path: Path) -> None:
    environ = environment(tmp_path, PATIENT)
    async with gateway(environ) as served:
        environment(tmp_path, PATIENT, "campaign.predial")
        await eventually(lambda: "endpoints.rejected" in served.process.out.read_text("utf-8"))
        answer = await served.send(PATIENT, "answer")
        lines = map(orjson.loads, served.process.out.read_text("utf-8").splitlines())
        [line] = [line for line in lines if line["event"] == "endpoints.rejected"]

    assert "campaign.predial" in line["problems"][0]
    assert answer["assistantId"]
