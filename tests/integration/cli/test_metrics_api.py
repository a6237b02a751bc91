"""The commands of the metrics API against the three services, as a person on call uses them."""

import asyncio
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson

from tests.integration.cli.command import Ended, begin, ended, ringback
from tests.integration.cli.running_services import running_services
from tests.integration.metrics.metrics_process import metrics_process
from tests.support.eventually import eventually
from tests.support.tokens import JWT_SECRET

ORG = "00000000-0000-0000-0000-000000000001"
STRANGER = "00000000-0000-0000-0000-000000000002"
EVENT = b'{"message": {"type": "ringback.demo", "failUntilAttempt": 9, "call": {"id": "call-1"}}}'


class Place:
    """A folder with three services that run on nodes of a test's own."""

    def __init__(self, folder: Path, settings: dict[str, str]) -> None:
        self.folder = folder
        self.settings = settings

    async def run(self, *arguments: str, **more: str) -> Ended:
        return await ringback(*arguments, cwd=self.folder, **self.settings, **more)

    async def json(self, *arguments: str, **more: str) -> Any:
        done = await self.run(*arguments, "--json", **more)
        assert done.status == 0, done.err
        return orjson.loads(done.out)

    async def dead_letters(self, count: int) -> list[str]:
        """Send so many webhooks that fail at each attempt; their job ids once they are dead."""
        (self.folder / "event.json").write_bytes(EVENT)
        sent = await self.run("send", "event.json", "--count", str(count), "--wait")
        assert sent.status == 0, sent.out + sent.err
        found = await self.json("dead", "list")
        return [letter["jobId"] for letter in found["deadLetters"]]


@asynccontextmanager
async def place(tmp_path: Path, *, amqp_url: str, database_url: str) -> AsyncGenerator[Place, None]:
    async with (
        running_services(
            tmp_path,
            amqp_url=amqp_url,
            database_url=database_url,
            schedule="100ms",
            handlers="ringback.cli.demo.handlers",
        ) as settings,
        metrics_process(
            tmp_path, amqp_url=amqp_url, database_url=database_url, RINGBACK_RETRY_SCHEDULE="100ms"
        ) as metrics,
    ):
        await eventually(metrics.is_ready, deadline_s=20)
        yield Place(
            tmp_path,
            settings
            | {
                "RINGBACK_METRICS_URL": f"127.0.0.1:{metrics.grpc_port}",
                "RINGBACK_JWT_SECRET": JWT_SECRET,
            },
        )


async def test_a_dead_letter_is_found_understood_and_retried(
    amqp_url: str, database_url: str, tmp_path: Path
) -> None:
    """From the list to its attempts, its event and its retry; a second retry is refused."""
    async with place(tmp_path, amqp_url=amqp_url, database_url=database_url) as here:
        [job_id] = await here.dead_letters(1)
        failures = await here.run("failures")
        groups = await here.run("dead", "groups")
        shown = await here.run("dead", "show", job_id)

        retried = await here.run("dead", "retry", job_id, "--reason", "The shop is back.")
        again = await here.run("dead", "retry", job_id)

        found = await here.json("delivery", "show", job_id)
        new_job_id = found["retriedAs"]["newJobId"]
        followed = await here.run("delivery", "show", new_job_id)

    assert failures.out.startswith(f"{job_id}  ringback.demo         dead letter 2/2")
    assert "DemoFailure: The demo asked attempt 2 to fail." in failures.out
    assert "1  ringback.demo  DemoFailure" in groups.out
    assert "attempt 1  failed" in shown.out
    assert '"failUntilAttempt": 9' in shown.out
    assert retried.status == 0, retried.err
    assert new_job_id in retried.out
    assert again.status == 1
    assert new_job_id in again.err
    assert found["delivery"]["resolution"] == "retried"
    assert found["retriedAs"]["reason"] == "The shop is back."
    assert f"as a retry of {job_id}" in followed.out


async def test_many_are_counted_retried_and_discarded(
    amqp_url: str, database_url: str, tmp_path: Path
) -> None:
    """A dry run changes nothing; a run stops when what it retries fails again."""
    async with place(tmp_path, amqp_url=amqp_url, database_url=database_url) as here:
        job_ids = await here.dead_letters(12)
        counted = await here.run("dead", "retry", "--event-type", "ringback.demo", "--dry-run")
        other = await here.run("dead", "retry", "--event-type", "hang", "--dry-run")
        discarded = await here.run("dead", "discard", job_ids[0], "--reason", "A test call.")
        run = await here.run(
            "dead", "retry", "--all", "--reason", "Again.", "--rate", "5", "--yes", "--json"
        )

    states = [orjson.loads(line) for line in run.out.splitlines()]
    assert counted.out.startswith("12 dead letters match.")
    assert other.out == "No dead letter matches.\n"
    assert discarded.status == 0, discarded.err
    assert run.status == 1, run.err
    assert states[-1]["state"] == "stopped"
    assert states[-1]["matched"] == 11
    assert 3 <= states[-1]["retried"] < 11


async def test_a_tenant_sees_its_own_and_nothing_else(
    amqp_url: str, database_url: str, tmp_path: Path
) -> None:
    """With a token of `ringback token`; what is for the service alone is refused in a sentence."""
    async with place(tmp_path, amqp_url=amqp_url, database_url=database_url) as here:
        [job_id] = await here.dead_letters(1)
        tokens = [
            (await here.run("token", "--role", "tenant", "--org", org)).out.splitlines()[-1]
            for org in (ORG, STRANGER)
        ]
        own = await here.run("delivery", "show", job_id, RINGBACK_TOKEN=tokens[0])
        others = await here.run("delivery", "show", job_id, RINGBACK_TOKEN=tokens[1])
        nothing = await here.run("dead", "list", RINGBACK_TOKEN=tokens[1])
        paused = await here.run("pause", "--reason", "Mine.", RINGBACK_TOKEN=tokens[0])
        forged = await here.run("health", RINGBACK_TOKEN=f"{tokens[0][:-8]}AAAAAAAA")

    assert own.status == 0
    assert others.status == 1
    assert f"There is no webhook with the job id {job_id}." in " ".join(others.err.split())
    assert nothing.out == "There are no dead letters.\n"
    assert (paused.status, forged.status) == (1, 1)
    assert "Not allowed:" in paused.err
    assert "rejected the token from RINGBACK_TOKEN" in " ".join(forged.err.split())


async def test_processing_is_paused_and_resumed(
    amqp_url: str, database_url: str, tmp_path: Path
) -> None:
    """While it is paused webhooks wait, and `health`, `watch` and `stats` say so."""
    async with place(tmp_path, amqp_url=amqp_url, database_url=database_url) as here:
        paused = await here.run("pause", "--reason", "A new release.")
        await here.run("send", "hang", "--count", "3")

        async def three_wait() -> bool:
            done = await here.run("health", "--json")
            return bool(orjson.loads(done.out)["metrics"]["paused"] == 3)

        await eventually(three_wait, deadline_s=20)
        watched = await _first_line_of_watch(here)
        resumed = await here.run("resume")

        async def all_done() -> bool:
            summary = (await here.json("stats", "--range", "15m"))["summary"]
            return bool(summary["completed"] == 3)

        await eventually(all_done, deadline_s=20)
        stats = await here.run("stats", "--range", "15m")
        health = await here.run("health")

    assert paused.status == 0
    assert "A new release." in paused.out
    assert "1 of 1 processor stopped consuming" in paused.out
    assert "waiting 3" in watched
    assert watched.endswith("paused")
    assert resumed.out.startswith("Processing is running")
    assert "100.00%" in stats.out
    assert health.status == 0, health.out
    assert health.out.startswith("Healthy")


async def _first_line_of_watch(here: Place) -> str:
    """Interrupted after it, and begun as a script begins it in the background."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process = await begin("watch", cwd=here.folder, **here.settings)
    finally:
        signal.signal(signal.SIGINT, before)
    assert process.stdout is not None
    async with asyncio.timeout(120):
        line = await process.stdout.readline()
    process.send_signal(signal.SIGINT)
    done = await ended(process)
    assert done.status == 130
    return line.decode().strip()
