"""Commands with real services, as a person on call uses them."""

import asyncio
import json
import re
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson

from ringback.local.ports import free_ports
from tests.acceptance.whole import whole_ringback
from tests.integration.cli.command import Ended, begin, ended, ringback
from tests.support.eventually import eventually

ORG = "00000000-0000-0000-0000-000000000001"
OTHER_ORG = "00000000-0000-0000-0000-000000000002"
EVENT = b'{"message": {"type": "ringback.demo", "failUntilAttempt": 9, "call": {"id": "call-1"}}}'


async def test_demo_send_and_status(amqp_url: str, database_url: str, tmp_path: Path) -> None:
    """Demo webhooks end as expected, sent ones end once, and status shows what is missing."""
    secret = {"RINGBACK_VAPI_SECRET": "s3cret", "RINGBACK_ALLOW_UNAUTHENTICATED": "false"}
    schedule = "100ms,200ms,300ms"
    async with whole_ringback(
        amqp_url,
        database_url,
        tmp_path,
        RINGBACK_RETRY_SCHEDULE=schedule,
        **secret,
        **with_questions("s3cret"),
    ) as whole:

        async def run(*arguments: str, **more: str) -> Ended:
            return await ringback(*arguments, cwd=tmp_path, **(whole.settings | more))

        copies = await run("send", "tool-calls", "--count", "200", "--wait")
        same = await run("send", "hang", "--same", "--count", "4", "--wait")
        rejected = await run("send", "hang", "--wait", RINGBACK_VAPI_SECRET="wrong")
        status = await run("status", RINGBACK_METRICS_OBSERVABILITY_PORT="1")
        demo = await run("demo")

    assert demo.status == 0, demo.out + demo.err
    assert "✗" not in demo.out
    for shown in ("completed 3/4", "dead letter 4/4", "dead letter 1/4", "customer-ended-call"):
        assert shown in demo.out
    assert demo.out.count("answered by the backend") == 2
    unwrapped = " ".join(demo.out.split())
    assert "table for two is free." in unwrapped
    assert "the backend is gone" in demo.out
    assert "The service cannot answer at the moment." in unwrapped
    assert copies.status == 0, copies.out + copies.err
    numbers = numbers_of(copies.out)
    assert (numbers["finished"], numbers["completed"]) == ("200 of 200", "200")
    assert numbers["ended twice"] == "none"
    assert same.status == 0
    assert (numbers_of(same.out)["completed"], numbers_of(same.out)["duplicate"]) == ("1", "3")
    assert rejected.status == 1
    assert "rejected 401" in rejected.out
    lines = {line.split("  ")[0]: line for line in status.out.splitlines()}
    assert status.status == 1
    assert "ready" in lines["gateway"]
    assert "ready" in lines["processor"]
    assert "no answer" in lines["metrics"]
    assert "webhooks.retry.1.100ms" in status.out
    assert lines["completed"].split()[1] == "201"


def with_questions(secret: str) -> dict[str, str]:
    """The settings of an endpoint whose questions the demo answers."""
    [port] = free_ports(1)
    url = {"url": f"http://127.0.0.1:{port}/"}
    demo = {
        "org_id": ORG,
        "secret": secret,
        "questions": {"assistant-request": url, "tool-calls": url},
    }
    return {
        "RINGBACK_ENDPOINTS": json.dumps({"demo": demo}),
        "RINGBACK_OUTGOING_NETWORKS": "127.0.0.0/8",
        "RINGBACK_LOCAL_ANSWERS_PORT": str(port),
    }


def numbers_of(table: str) -> dict[str, str]:
    rows = (line.strip().partition("  ") for line in table.splitlines())
    return {name: value.strip() for name, _, value in rows}


class Installation:
    """A folder from which commands reach three services."""

    def __init__(self, folder: Path, settings: dict[str, str]) -> None:
        self.folder = folder
        self.settings = settings

    async def run(self, *arguments: str, **more: str) -> Ended:
        return await ringback(*arguments, cwd=self.folder, **self.settings, **more)

    async def json(self, *arguments: str) -> Any:
        done = await self.run(*arguments, "--json")
        assert done.status == 0, done.err
        return orjson.loads(done.out)

    async def dead_letters(self, count: int) -> list[str]:
        """Send webhooks that fail at each attempt; return their job ids."""
        (self.folder / "event.json").write_bytes(EVENT)
        sent = await self.run("send", "event.json", "--count", str(count), "--wait")
        assert sent.status == 0, sent.out + sent.err
        found = await self.json("dead", "list")
        return [letter["jobId"] for letter in found["deadLetters"]]


@asynccontextmanager
async def installation(
    tmp_path: Path, *, amqp_url: str, database_url: str
) -> AsyncGenerator[Installation, None]:
    async with whole_ringback(
        amqp_url, database_url, tmp_path, RINGBACK_RETRY_SCHEDULE="100ms"
    ) as whole:
        target = {"RINGBACK_METRICS_URL": whole.grpc_address}
        yield Installation(tmp_path, whole.settings | target)


async def test_dead_letters_and_a_pause(amqp_url: str, database_url: str, tmp_path: Path) -> None:
    async with installation(tmp_path, amqp_url=amqp_url, database_url=database_url) as here:
        await check_dead_letter(here)
        await check_pause(here)
        await check_many_retries(here)


async def check_dead_letter(here: Installation) -> None:
    """From the list to its attempts, event and retry; other tenants do not see it."""
    [job_id] = await here.dead_letters(1)
    failures = await here.run("failures")
    listed = await here.run(
        "delivery", "list", "--type", "ringback.demo", "--status", "dead-letter"
    )
    shown = await here.run("dead", "show", job_id[:18])
    await check_tenants(here, job_id)
    retried = await here.run("dead", "retry", job_id, "--reason", "The shop is back.")
    again = await here.run("dead", "retry", job_id)
    found = await here.json("delivery", "show", job_id)
    new_job_id = found["retriedAs"]["newJobId"]

    first, second = failures.out.splitlines()
    assert first == f"{job_id}  ringback.demo"
    assert second.startswith("    dead letter 2/2  ")
    assert second.endswith("  DemoFailure: The demo asked attempt 2 to fail.")
    assert "attempt 1  failed" in shown.out
    assert '"failUntilAttempt": 9' in shown.out
    assert retried.status == 0, retried.err
    assert new_job_id in retried.out
    assert again.status == 1
    assert new_job_id in again.err
    assert found["delivery"]["resolution"] == "retried"
    assert found["retriedAs"]["reason"] == "The shop is back."
    assert re.search(
        rf"^{job_id} .* dead letter  ringback.demo  DemoFailure$", listed.out, re.MULTILINE
    )
    assert listed.out.endswith("1 webhook matched; these are all.\n")


async def check_tenants(here: Installation, job_id: str) -> None:
    """A tenant sees its own webhooks; a forged token is rejected."""
    own, other = [
        (await here.run("token", "--role", "tenant", "--org", org)).out.splitlines()[-1]
        for org in (ORG, OTHER_ORG)
    ]
    by_tenant = await here.run("delivery", "show", job_id, RINGBACK_TOKEN=own)
    by_other = await here.run("delivery", "show", job_id, RINGBACK_TOKEN=other)
    forged = await here.run("health", RINGBACK_TOKEN=f"{own[:-8]}AAAAAAAA")

    assert by_tenant.status == 0
    assert (by_other.status, forged.status) == (1, 1)
    assert f"There is no webhook with the job id {job_id}." in " ".join(by_other.err.split())
    assert "rejected the token from RINGBACK_TOKEN" in " ".join(forged.err.split())


async def check_pause(here: Installation) -> None:
    """Webhooks wait during it."""
    paused = await here.run("pause", "--reason", "A new release.")
    await here.run("send", "hang", "--count", "3")

    async def three_wait() -> bool:
        done = await here.run("health", "--json")
        return bool(orjson.loads(done.out)["metrics"]["paused"] == 3)

    await eventually(three_wait, deadline_s=60)
    watched = await first_line_of_watch(here)
    resumed = await here.run("resume")

    async def all_done() -> bool:
        summary = (await here.json("stats", "--range", "15m"))["summary"]
        return bool(summary["completed"] == 3)

    await eventually(all_done, deadline_s=60)

    assert paused.status == 0
    assert "A new release." in paused.out
    assert "1 of 1 processor stopped consuming" in paused.out
    assert "waiting 3" in watched
    assert watched.endswith("paused")
    assert resumed.out.startswith("Processing is running")


async def check_many_retries(here: Installation) -> None:
    """A bulk retry stops when its retries fail again."""
    await here.dead_letters(40)
    counted = await here.run("dead", "retry", "--event-type", "ringback.demo", "--dry-run")
    bulk = ("dead", "retry", "--all", "--reason", "Again.", "--rate", "1", "--yes", "--json")
    run = await here.run(*bulk)

    states = [orjson.loads(line) for line in run.out.splitlines()]
    assert counted.out.startswith("41 dead letters match.")
    assert run.status == 1, run.err
    assert (states[-1]["state"], states[-1]["matched"]) == ("stopped", 41)
    assert 3 <= states[-1]["retried"] < 41


async def first_line_of_watch(here: Installation) -> str:
    """Start it as a script in the background does, and interrupt it after a line."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process = await begin("watch", cwd=here.folder, **here.settings)
    finally:
        signal.signal(signal.SIGINT, before)
    assert process.stdout is not None
    async with asyncio.timeout(120):
        line = await process.stdout.readline()
    process.send_signal(signal.SIGINT)
    assert (await ended(process)).status == 130
    return line.decode().strip()
